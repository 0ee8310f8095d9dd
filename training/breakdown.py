"""The figures by scenario, family, mass, shielding, cover, goods and scanner, with curves, places and masses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import Kind
from leadline.models.contract import ModelContract
from leadline.training.figures import RATES, Scores, areas_of, is_allowed, is_honest, is_threat, scenes
from leadline.training.measure import Row
from leadline.training.statistics import Areas, calibration, resampled, roc, share, spread, weighted_auc

CURVE_RATES = np.unique(np.concatenate([[0.0], np.geomspace(1e-3, 1, 61), np.linspace(0, 1, 41), RATES]))
"""False-alarm rates at which curves are drawn."""

EDGES: dict[str, dict[Kind, tuple[float, ...]]] = {
    "mass_kg": {"parcel": (0.1, 0.3, 1, 3, 10), "container": (100, 300, 1000, 3000)},
    "shield_mm": {"parcel": (0.05, 1, 2, 4), "container": (0.5, 5, 15, 30)},
    "cover": {"parcel": (1, 3, 10, 30), "container": (10, 30, 60, 100)},
    "d_material": {"parcel": (1, 5, 20, 100, 1000), "container": (1, 5, 20, 100, 1000)},
}
"""Borders of the classes of a quantity."""

UNITS = {"mass_kg": "kg", "shield_mm": "mm", "cover": "g/cm²", "d_material": ""}

TITLES = {
    "scenario": "By scenario",
    "family": "By family",
    "mass_kg": "By mass of watch-list material",
    "shield_mm": "By shielding: lead in the beam where the material lies",
    "cover": "By areal density of the cover",
    "d_material": "By material detectability d′ₘ",
    "goods": "By declared goods",
    "scanner": "By scanner",
}
HONEST_TOO = ("goods", "scanner")
"""Groups to which honest scans belong as well."""

WORST = 8
"""Scans that are shown of the worst misses, and of the highest honest ones."""

_LEAST = 5  # threats of a class from which their area is told


def details(rows: Sequence[Row], contract: ModelContract) -> dict[str, Any]:
    """Everything that the report shows beyond `figures.figures`, ready for JSON.

    Shares come as [share, low, high] with their 95 % Wilson interval; bands of curves are 95 % of a bootstrap
    over scenes, which also draws the threshold anew.
    """
    values = np.array([r.logit for r in rows], float)
    bins, error = calibration(np.array([r.score for r in rows], float), np.array([r.undeclared for r in rows], bool))
    return {
        "curves": {
            name: curve(rows, values, chosen)
            for name, chosen in (("all", is_threat), ("allowed_by_physics", lambda r: is_threat(r) and is_allowed(r)))
            if any(chosen(r) for r in rows) and any(is_honest(r) for r in rows)
        },
        "calibration": {"bins": bins, "error": error},
        "groups": {
            name: groups(rows, values, class_of(name, contract.scanner), honest_too=name in HONEST_TOO)
            for name in TITLES
        },
        "places": places(rows, contract.threshold),
        "mass": masses(rows, contract),
        "errors": errors(rows),
        "worst": worst(rows, contract.threshold),
    }


def curve(rows: Sequence[Row], values: Scores, chosen: Callable[[Row], bool]) -> dict[str, Any]:
    """ROC curve of the chosen threats against all honest scans, with its bootstrap band and area."""
    keep = np.array([is_honest(r) or chosen(r) for r in rows], bool)
    scores, positive = values[keep], np.array([chosen(r) for r in rows], bool)[keep]
    scenes = np.array([r.index for r in rows], np.int64)[keep]
    ones, draws = np.ones((1, len(scores))), resampled(scenes)
    found = roc(scores, positive, ones, CURVE_RATES)[0]
    bands = roc(scores, positive, draws, CURVE_RATES)
    limits = np.array([spread(column) for column in bands.T])
    at = [int(np.argmin(np.abs(CURVE_RATES - rate))) for rate in RATES]
    area = weighted_auc(scores, positive, np.concatenate([ones, draws]))
    return {
        "false_alarms": CURVE_RATES.tolist(),
        "found": found.tolist(),
        "low": limits[:, 0].tolist(),
        "high": limits[:, 1].tolist(),
        "at": {
            str(rate): [float(found[k]), float(limits[k, 0]), float(limits[k, 1])]
            for rate, k in zip(RATES, at, strict=True)
        },
        "auc": [float(area[0]), *spread(area[1:])],
        "threats": int(positive.sum()),
        "honest": int((~positive).sum()),
    }


def groups(
    rows: Sequence[Row], values: Scores, place_of: Callable[[Row], tuple[float, str] | None], *, honest_too: bool
) -> list[dict[str, Any]]:
    """Threats of each class against all honest scans, and, where asked, the false alarms of its honest scans.

    Thresholds are the quantiles of all honest scans of the set. The area of fewer than five threats says nothing and
    is left out.
    """
    honest = values[[is_honest(r) for r in rows]]
    areas = areas_of(rows, values)
    limits = {str(rate): float(np.quantile(honest, 1 - rate)) for rate in RATES} if len(honest) else {}
    classes: dict[tuple[float, str], list[int]] = {}
    for k, row in enumerate(rows):
        place = place_of(row) if is_threat(row) or (honest_too and is_honest(row)) else None
        if place is not None:
            classes.setdefault(place, []).append(k)
    table = []
    for (_, name), members in sorted(classes.items()):
        threats = [k for k in members if is_threat(rows[k])]
        allowed = [k for k in threats if is_allowed(rows[k])]
        entry: dict[str, Any] = {
            "name": name,
            "threats": len(threats),
            "allowed_by_physics": len(allowed),
            "found": {rate: share(values[threats] > limit) for rate, limit in limits.items()},
            "found_allowed_by_physics": {rate: share(values[allowed] > limit) for rate, limit in limits.items()},
            "auc": _area(areas, rows, values, threats),
            "auc_allowed_by_physics": _area(areas, rows, values, allowed),
        }
        if honest_too:
            calm = [k for k in members if is_honest(rows[k])]
            entry["honest"] = len(calm)
            entry["false_alarms"] = {rate: share(values[calm] > limit) for rate, limit in limits.items()}
        table.append(entry)
    return table


def places(rows: Sequence[Row], threshold: float) -> dict[str, Any]:
    """How often the most probable place is right: among all threats, and among those that alarm."""
    known = [r for r in rows if is_threat(r) and r.placed]
    alarming = [r for r in known if r.score >= threshold]
    return {
        "threats": share([r.place_right for r in known]),
        "allowed_by_physics": share([r.place_right for r in known if is_allowed(r)]),
        "alarming": share([r.place_right for r in alarming]),
        "family_right": share([r.family_right for r in known if r.place_right and r.family]),
    }


def masses(rows: Sequence[Row], contract: ModelContract) -> dict[str, Any]:
    """Estimated over true mass of threats whose place is right; their median error as [median, low, high]."""
    weighed = [
        (r.index, r.mass_kg, r.place.mass_kg)
        for r in rows
        if is_threat(r) and r.place_right and r.place is not None and r.place.mass_kg and r.mass_kg > 0
    ]
    pairs = [(true, estimate) for _, true, estimate in weighed]
    ratios = np.array([estimate / true for true, estimate in pairs])
    low, high = contract.mass_factor
    inside = [low * estimate <= true <= high * estimate for true, estimate in pairs]
    quantiles = np.quantile(ratios, (0.1, 0.5, 0.9)).tolist() if len(ratios) else []
    return {
        "threats": len(pairs),
        "ratio_10_50_90": quantiles,
        "median_error": _median(np.abs(ratios - 1), np.array([index for index, *_ in weighed], np.int64)),
        "within_promised": share(inside),
        "promised": [low, high],
        "pairs": [[round(float(a), 5), round(float(b), 5)] for a, b in pairs],
    }


def errors(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Median relative errors as [median, low, high], 95 % of a bootstrap over scenes; empty where nobody knows.

    Of areal density and cargo mass, over all goods of a scan.
    """
    return {
        "areal_density": _median([r.areal_error for r in rows], scenes(rows)),
        "cargo_mass": _median([abs(r.cargo_mass - 1) for r in rows], scenes(rows)),
    }


def _median(values: Sequence[float] | Scores, groups: npt.NDArray[np.int64]) -> list[float]:
    """The median of the finite values, with the interval of a bootstrap over groups."""
    found = np.asarray(values, float)
    kept = np.flatnonzero(np.isfinite(found))
    if not len(kept):
        return []
    order = kept[np.argsort(found[kept])]
    counts = resampled(groups[order]).cumsum(1)
    draws = found[order][(counts >= counts[:, -1:] / 2).argmax(1)]
    return [float(np.median(found[kept])), *spread(draws)]


def worst(rows: Sequence[Row], threshold: float) -> dict[str, list[dict[str, Any]]]:
    """The lowest threats that physics allows telling (all, where nobody knows) and the highest honest scans."""
    threats = [r for r in rows if is_threat(r)]
    allowed = [r for r in threats if is_allowed(r)] or threats
    missed = sorted((r for r in allowed if r.score < threshold), key=lambda r: r.logit)[:WORST]
    alarms = sorted((r for r in rows if is_honest(r)), key=lambda r: -r.logit)[:WORST]
    return {"misses": [_brief(r) for r in missed], "false_alarms": [_brief(r) for r in alarms]}


def _brief(row: Row) -> dict[str, Any]:
    names = (
        "index", "threat", "name", "scenario", "score", "goods", "scanner", "family", "mass_kg", "shield_mm", "cover",
        "d_known", "d_material", "novelty",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names}


def _area(areas: Areas, rows: Sequence[Row], values: Scores, members: list[int]) -> list[float] | None:
    return areas(values[members], scenes(rows[k] for k in members)) if len(members) >= _LEAST else None


def class_of(name: str, kind: Kind) -> Callable[[Row], tuple[float, str] | None]:
    """From a row to the class of a group: its place in the table and its words."""
    if name not in EDGES:
        return lambda row: (0.0, getattr(row, name)) if getattr(row, name) else None
    edges, unit = EDGES[name][kind], UNITS[name]

    def place(row: Row) -> tuple[float, str] | None:
        value = getattr(row, name)
        if value is None or (name == "mass_kg" and value <= 0):
            return None
        k = int(np.searchsorted(edges, value, side="right"))
        if k == 0:
            words = "none" if name == "shield_mm" else f"below {edges[0]:g} {unit}"
        elif k == len(edges):
            words = f"{edges[-1]:g} {unit} and more"
        else:
            words = f"{edges[k - 1]:g} to {edges[k]:g} {unit}"
        return float(k), words.replace("  ", " ").strip()

    return place
