"""The figures of a released file on scanners that training never drew, beside two baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from leadline.datasets.simulator.simulate import Split
from leadline.models import contract as contracts
from leadline.models.contract import ModelContract
from leadline.training.baselines import Baselines, aucs, fit_baselines
from leadline.training.measure import Row, Task, measure

RATES = (0.002, 0.004, 0.01, 0.05)
DETECTABLE = 5.0
"""d' and d'_m from which physics allows telling the threat from honest goods."""

_BOOTSTRAPS = 500

Scores = npt.NDArray[np.float64]


def evaluate(
    model: Path,
    *,
    scenes: int,
    seed: int = 1000,
    split: Split = "heldout",
    processes: int = 1,
    baseline_scenes: int = 200,
) -> dict[str, Any]:
    """Measure a released file.

    Args:
        model: ONNX file; it runs on ONNX Runtime, as it does for users.
        scenes: each gives an honest scan and, three times out of four, one with a threat.
        seed: names the set of scenes.
        split: `"heldout"` for scanner settings, meshes and scenes that training never drew.
        processes: that work at it.
        baseline_scenes: of the training split, on which the baselines are fitted.

    Returns:
        The figures, ready for JSON. Every share comes as [value, low, high] with its 95 % interval.
    """
    contract = contracts.read(model)
    kind = contract.scanner
    fitted_on = list(measure(Task(None, kind, "train", seed + 1), baseline_scenes, processes=processes))
    baselines = fit_baselines(
        [r.clues for r in fitted_on], [r.declared for r in fitted_on], [r.undeclared for r in fitted_on], kind
    )
    task = Task(model, kind, split, seed, physics=True, evidence_threshold=contract.evidence_threshold)
    rows = list(measure(task, scenes, processes=processes))
    return figures(rows, contract, baselines) | {
        "set": {"split": split, "seed": seed, "scenes": scenes, "baseline_scenes": baseline_scenes}
    }


def figures(rows: Sequence[Row], contract: ModelContract, baselines: Baselines | None) -> dict[str, Any]:
    """All figures of measured scans."""
    columns: dict[str, Scores] = {"network": np.array([r.logit for r in rows], float)}
    if baselines is not None:
        scored = [baselines.scores(r.clues, r.declared) for r in rows]
        columns |= {name: np.array([s[name] for s in scored]) for name in scored[0]}
    return {
        "scans": {
            "honest": sum(_honest(r) for r in rows),
            "threats": sum(_threat(r) for r in rows),
            "threats_allowed_by_physics": sum(_threat(r) and _allowed(r) for r in rows),
        },
        "methods": {name: _method(rows, values) for name, values in columns.items()},
        "scenarios": _scenarios(rows, columns["network"]),
        "thresholds": _promises(rows, contract),
        "places": _places(rows, contract.threshold),
        "calibration_error": _calibration_error(rows),
        "areal_density_error": _median(r.areal_error for r in rows),
        "cargo_mass_error": _median(abs(r.cargo_mass - 1) for r in rows),
        "novel": _share([r.novelty > 1 for r in rows]),
        "ratio_rule": _rule(baselines),
    }


def _method(rows: Sequence[Row], values: Scores) -> dict[str, Any]:
    honest = values[[_honest(r) for r in rows]]
    groups = {
        "all": [_threat(r) for r in rows],
        "allowed_by_physics": [_threat(r) and _allowed(r) for r in rows],
        "beyond_physics": [_threat(r) and not _allowed(r) for r in rows],
    }
    return {
        name: {"auc": _auc(honest, values[chosen]), "found": _found(honest, values[chosen])}
        for name, chosen in groups.items()
    } | {"pairs_won": _pairs(rows, values)}


def _scenarios(rows: Sequence[Row], values: Scores) -> dict[str, Any]:
    honest = values[[_honest(r) for r in rows]]
    limit = np.quantile(honest, 0.99) if len(honest) else 0.0
    table: dict[str, Any] = {}
    for scenario in sorted({r.scenario for r in rows if _threat(r)}):
        chosen = [(r, v) for r, v in zip(rows, values, strict=True) if _threat(r) and r.scenario == scenario]
        allowed = [v > limit for r, v in chosen if _allowed(r)]
        table[scenario] = {
            "threats": len(chosen),
            "found_at_0.01": _share([v > limit for _, v in chosen]),
            "allowed_by_physics": len(allowed),
            "found_at_0.01_allowed_by_physics": _share(allowed),
        }
    return table


def _promises(rows: Sequence[Row], contract: ModelContract) -> dict[str, Any]:
    """What the stored thresholds keep of what they promise."""
    return {
        rate: {
            "threshold": threshold,
            "false_alarms": _share([r.score >= threshold for r in rows if _honest(r)]),
            "found": _share([r.score >= threshold for r in rows if _threat(r)]),
            "found_allowed_by_physics": _share([r.score >= threshold for r in rows if _threat(r) and _allowed(r)]),
        }
        for rate, threshold in contract.thresholds.items()
    }


def _places(rows: Sequence[Row], threshold: float) -> dict[str, Any]:
    found = [r for r in rows if _threat(r) and r.score >= threshold]
    allowed = [r for r in found if _allowed(r)]
    return {
        "right": _share([r.place_right for r in found]),
        "right_allowed_by_physics": _share([r.place_right for r in allowed]),
        "family_right_where_place_right": _share([r.family_right for r in allowed if r.place_right]),
    }


def _pairs(rows: Sequence[Row], values: Scores) -> list[float]:
    """Share of threats that score above their honest twin; a tie is half a win."""
    by_scene: dict[int, dict[bool, float]] = {}
    for row, value in zip(rows, values, strict=True):
        if _threat(row) or (_honest(row) and not row.threat):
            by_scene.setdefault(row.index, {})[row.threat] = float(value)
    gaps = np.array([pair[True] - pair[False] for pair in by_scene.values() if len(pair) == 2])
    return _interval(float((gaps > 0).sum() + 0.5 * (gaps == 0).sum()), len(gaps))


def _threat(row: Row) -> bool:
    return row.threat and row.undeclared


def _honest(row: Row) -> bool:
    return not row.undeclared


def _allowed(row: Row) -> bool:
    return (row.d_known or 0.0) >= DETECTABLE and (row.d_material or 0.0) >= DETECTABLE


def _auc(honest: Scores, threats: Scores) -> list[float] | None:
    """Area under the ROC curve with a 95 % bootstrap interval."""
    if not len(honest) or not len(threats):
        return None
    labels = np.r_[np.zeros(len(honest)), np.ones(len(threats))]
    values = np.r_[honest, threats]
    rng = np.random.default_rng(0)
    h = rng.choice(honest, (len(honest), _BOOTSTRAPS))
    t = rng.choice(threats, (len(threats), _BOOTSTRAPS))
    draws = aucs(np.concatenate([h, t]), labels > 0)
    low, high = np.quantile(draws, (0.025, 0.975))
    return [float(roc_auc_score(labels, values)), float(low), float(high)]


def _found(honest: Scores, threats: Scores) -> dict[str, list[float]]:
    """Share of threats above the honest scans' own quantile, for each false-alarm rate."""
    if not len(honest):
        return {}
    return {str(rate): _share(list(threats > np.quantile(honest, 1 - rate))) for rate in RATES}


def _share(hits: Sequence[bool]) -> list[float]:
    return _interval(float(sum(bool(h) for h in hits)), len(hits))


def _interval(hits: float, total: int) -> list[float]:
    """Share with its 95 % Wilson interval; empty where nothing was counted."""
    if not total:
        return []
    interval = binomtest(int(hits), total).proportion_ci(0.95, method="wilson")
    return [hits / total, float(interval.low), float(interval.high)]


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
