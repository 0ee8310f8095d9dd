"""The figures of measured scans: areas, shares found, scenarios, thresholds, places, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.functional.classification import binary_calibration_error

from leadline.models.contract import ModelContract
from leadline.training.baselines import Baselines
from leadline.training.measure import Row
from leadline.training.statistics import Areas, interval, share

RATES = (0.002, 0.004, 0.01, 0.05)
DETECTABLE = 5.0
"""d' and d'_m from which physics allows telling the threat from honest goods."""

Scores = npt.NDArray[np.float64]


def figures(rows: Sequence[Row], contract: ModelContract, baselines: Baselines | None) -> dict[str, Any]:
    """All figures of measured scans."""
    columns: dict[str, Scores] = {"network": np.array([r.logit for r in rows], float)}
    if baselines is not None:
        scored = [baselines.scores(r.clues, r.declared) for r in rows]
        columns |= {name: np.array([s[name] for s in scored]) for name in scored[0]}
    return {
        "scans": {
            "honest": sum(is_honest(r) for r in rows),
            "threats": sum(is_threat(r) for r in rows),
            "threats_allowed_by_physics": sum(is_threat(r) and is_allowed(r) for r in rows),
        },
        "methods": {name: _method(rows, values) for name, values in columns.items()},
        "scenarios": _scenarios(rows, columns["network"]),
        "thresholds": _promises(rows, contract),
        "places": _places(rows, contract.threshold),
        "calibration_error": _calibration_error(rows),
        "areal_density_error": _median(r.areal_error for r in rows),
        "cargo_mass_error": _median(abs(r.cargo_mass - 1) for r in rows),
        "novel": share([r.novelty > 1 for r in rows]),
        "ratio_rule": _rule(baselines),
    }


def _method(rows: Sequence[Row], values: Scores) -> dict[str, Any]:
    honest = values[[is_honest(r) for r in rows]]
    areas = areas_of(rows, values)
    return {name: _group(rows, values, chosen, honest, areas) for name, chosen in GROUPS.items()} | {
        "pairs_won": _pairs(rows, values)
    }


def _scenarios(rows: Sequence[Row], values: Scores) -> dict[str, Any]:
    """Threats of each scenario against all honest scans of the set: all of them, and those that physics allows."""
    honest = values[[is_honest(r) for r in rows]]
    areas = areas_of(rows, values)
    table: dict[str, Any] = {}
    for scenario in sorted({r.scenario for r in rows if is_threat(r)}):
        keep = [k for k, r in enumerate(rows) if is_threat(r) and r.scenario == scenario]
        own, scores = [rows[k] for k in keep], values[keep]
        table[scenario] = {
            "threats": len(own),
            "threats_allowed_by_physics": sum(is_allowed(r) for r in own),
        } | {name: _group(own, scores, GROUPS[name], honest, areas) for name in ("all", "allowed_by_physics")}
    return table


def areas_of(rows: Sequence[Row], values: Scores) -> Areas:
    """Areas under the ROC curve of any threats of a set against all its honest scans."""
    honest = np.array([is_honest(r) for r in rows], bool)
    return Areas(values[honest], scenes(r for r in rows if is_honest(r)), scenes(r for r in rows if is_threat(r)))


def scenes(rows: Iterable[Row]) -> npt.NDArray[np.int64]:
    """Numbers of the scenes of some scans."""
    return np.array([r.index for r in rows], np.int64)


def _group(
    rows: Sequence[Row], values: Scores, chosen: Callable[[Row], bool], honest: Scores, areas: Areas
) -> dict[str, Any]:
    """Area, and share found at each false-alarm rate, of the chosen threats."""
    threats = values[[chosen(r) for r in rows]]
    return {"auc": areas(threats, scenes(r for r in rows if chosen(r))) or None, "found": _found(honest, threats)}


def _promises(rows: Sequence[Row], contract: ModelContract) -> dict[str, Any]:
    """What the stored thresholds keep of what they promise."""
    return {
        rate: {
            "threshold": threshold,
            "false_alarms": share([r.score >= threshold for r in rows if is_honest(r)]),
            "found": share([r.score >= threshold for r in rows if is_threat(r)]),
            "found_allowed_by_physics": share([r.score >= threshold for r in rows if is_threat(r) and is_allowed(r)]),
        }
        for rate, threshold in contract.thresholds.items()
    }


def _places(rows: Sequence[Row], threshold: float) -> dict[str, Any]:
    found = [r for r in rows if is_threat(r) and r.placed and r.score >= threshold]
    allowed = [r for r in found if is_allowed(r)]
    return {
        "right": share([r.place_right for r in found]),
        "right_allowed_by_physics": share([r.place_right for r in allowed]),
        "family_right_where_place_right": share([r.family_right for r in allowed if r.place_right]),
    }


def _pairs(rows: Sequence[Row], values: Scores) -> list[float]:
    """Share of threats that score above their honest twin; a tie is half a win."""
    by_scene: dict[int, dict[bool, float]] = {}
    for row, value in zip(rows, values, strict=True):
        if is_threat(row) or (is_honest(row) and not row.threat):
            by_scene.setdefault(row.index, {})[row.threat] = float(value)
    gaps = np.array([pair[True] - pair[False] for pair in by_scene.values() if len(pair) == 2])
    return interval(float((gaps > 0).sum() + 0.5 * (gaps == 0).sum()), len(gaps))


def is_threat(row: Row) -> bool:
    """Whether undeclared watch-list material is there, in the version of the scene that hides it."""
    return row.threat and row.undeclared


def is_honest(row: Row) -> bool:
    """Whether an alarm would be a false one."""
    return not row.undeclared


def is_allowed(row: Row) -> bool:
    """Whether physics allows telling it: d' and d'm of at least `DETECTABLE`."""
    return (row.d_known or 0.0) >= DETECTABLE and (row.d_material or 0.0) >= DETECTABLE


def _found(honest: Scores, threats: Scores) -> dict[str, list[float]]:
    """Share of threats above the honest scans' own quantile, for each false-alarm rate."""
    if not len(honest):
        return {}
    return {str(rate): share(list(threats > np.quantile(honest, 1 - rate))) for rate in RATES}


GROUPS: dict[str, Callable[[Row], bool]] = {
    "all": is_threat,
    "allowed_by_physics": lambda r: is_threat(r) and is_allowed(r),
    "beyond_physics": lambda r: is_threat(r) and not is_allowed(r),
}
"""Threats by what physics allows."""


def _calibration_error(rows: Sequence[Row]) -> float:
    scores = torch.tensor([r.score for r in rows])
    return float(
        binary_calibration_error(scores, torch.tensor([int(r.undeclared) for r in rows]), n_bins=15, norm="l1")
    )


def _median(values: Any) -> float | None:
    kept = [v for v in values if np.isfinite(v)]
    return float(np.median(kept)) if kept else None


def _rule(baselines: Baselines | None) -> dict[str, Any] | None:
    if baselines is None:
        return None
    return {"depth": baselines.band.depth, "ratio": baselines.band.ratio, "auc_where_fitted": baselines.band.auc}
