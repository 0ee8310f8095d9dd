"""Two models on the same scans: paired differences with their tests, by group, and the scans that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from leadline.datasets.scan import LeadlineError
from leadline.models.contract import ModelContract
from leadline.training.breakdown import EDGES, HONEST_TOO, TITLES, class_of, curve
from leadline.training.figures import GROUPS, RATES, is_honest, is_threat
from leadline.training.measure import Row
from leadline.training.statistics import Floats, delong, mcnemar, resampled, roc, share, spread, weighted_auc

__all__ = ["EDGES", "compare", "pair"]

WHO = {name: GROUPS[name] for name in ("all", "allowed_by_physics")}
"""Threats that are compared: all, and those that physics allows telling."""

SHOWN = 12
"""Scans of each kind of change that are listed."""

Pair = tuple[Row, Row]


def pair(first: Sequence[Row], second: Sequence[Row]) -> list[Pair]:
    """The scans that both measured.

    Raises:
        LeadlineError: there are none, or too few of a class.
    """
    others = {row.key: row for row in second}
    pairs = [(row, others[row.key]) for row in first if row.key in others]
    threats = sum(is_threat(a) for a, _ in pairs)
    honest = sum(is_honest(a) for a, _ in pairs)
    if threats < 2 or honest < 2:
        raise LeadlineError(
            f"compare: {threats} threats and {honest} honest scans were measured with both models, and at least two of "
            "each are needed; measure both on the same scans"
        )
    return pairs


def compare(pairs: Sequence[Pair], contracts: tuple[ModelContract, ModelContract]) -> dict[str, Any]:
    """Everything that a comparison tells, ready for JSON.

    Areas by DeLong's test, which counts scans as independent, and by a bootstrap over scenes, which does not (a threat
    and its twin share a scene). What is found and what alarms by McNemar's exact test: at each model's own quantile of
    the honest scans for each rate, and at each model's stored threshold. `limits` are both models' logits at 5 % false
    alarms.
    """
    scores = tuple(np.array([p[k].logit for p in pairs], float) for k in (0, 1))
    rows = [a for a, _ in pairs]
    chosen = {name: [who(r) for r in rows] for name, who in WHO.items()}
    if sum(chosen["allowed_by_physics"]) < 2:
        del chosen["allowed_by_physics"]
    calm = np.array([is_honest(r) for r in rows], bool)
    return {
        "scans": {"both": len(pairs), "honest": int(calm.sum()), "threats": int(sum(chosen["all"]))},
        "areas": {name: _area(rows, scores, np.array(flags, bool), calm) for name, flags in chosen.items()},
        "found": {name: _found(rows, scores, np.array(flags, bool), calm) for name, flags in chosen.items()},
        "stored": _stored(pairs, contracts),
        "curves": {name: [curve([p[k] for p in pairs], scores[k], WHO[name]) for k in (0, 1)] for name in chosen},
        "limits": [float(np.quantile(s[calm], 0.95)) for s in scores],
        "groups": {name: _groups(pairs, scores, calm, name, contracts[0]) for name in TITLES},
        "changed": _changed(pairs, scores, calm),
        "places": [share([p[k].place_right for p in pairs if is_threat(p[k]) and p[k].placed]) for k in (0, 1)],
    }


def _area(rows: Sequence[Row], scores: tuple[Floats, ...], threats: Any, calm: Any) -> dict[str, Any]:
    keep = threats | calm
    positive = threats[keep]
    first, second = (s[keep] for s in scores)
    if positive.sum() < 2:
        return {}
    found = delong(first, second, positive)
    weights = resampled(np.array([r.index for r in rows], np.int64)[keep])
    draws = weighted_auc(second, positive, weights) - weighted_auc(first, positive, weights)
    return {
        "areas": [found.first, found.second],
        "difference": found.difference,
        "delong": [found.low, found.high],
        "p": found.p,
        "bootstrap": list(spread(draws)),
    }


def _found(rows: Sequence[Row], scores: tuple[Floats, ...], threats: Any, calm: Any) -> dict[str, Any]:
    """Threats found by each model at each rate; thresholds are the models' own quantiles of the honest scans."""
    keep = threats | calm
    positive = threats[keep]
    weights = resampled(np.array([r.index for r in rows], np.int64)[keep])
    rates = np.array(RATES)
    first, second = (roc(s[keep], positive, weights, rates) for s in scores)
    result = {}
    for k, rate in enumerate(RATES):
        hit = [s[threats] > np.quantile(s[calm], 1 - rate) for s in scores]
        result[str(rate)] = _paired(hit[0], hit[1]) | {"bootstrap": list(spread(second[:, k] - first[:, k]))}
    return result


def _stored(pairs: Sequence[Pair], contracts: tuple[ModelContract, ModelContract]) -> dict[str, Any]:
    """Alarms at each model's stored default threshold, as its users get them."""
    result = {}
    for name, kind in (("threats", is_threat), ("honest", is_honest)):
        hit = [np.array([p[k].score >= contracts[k].threshold for p in pairs if kind(p[k])], bool) for k in (0, 1)]
        result[name] = _paired(hit[0], hit[1])
    return {"thresholds": [c.threshold for c in contracts]} | result


def _paired(first: Any, second: Any) -> dict[str, Any]:
    """Shares of both, what only one has, and McNemar's test."""
    only = int((first & ~second).sum()), int((second & ~first).sum())
    return {
        "first": share(first), "second": share(second), "only_first": only[0], "only_second": only[1],
        "p": mcnemar(*only),
    }  # fmt: skip


def _groups(
    pairs: Sequence[Pair], scores: tuple[Floats, ...], calm: Any, name: str, contract: ModelContract
) -> list[dict[str, Any]]:
    """Threats found at 5 % false alarms, and, where honest scans belong to the group, their alarms."""
    place: Callable[[Row], tuple[float, str] | None] = class_of(name, contract.scanner)
    hit = [s > np.quantile(s[calm], 0.95) for s in scores]
    classes: dict[tuple[float, str], list[int]] = {}
    for k, (row, _) in enumerate(pairs):
        at = place(row) if is_threat(row) or (name in HONEST_TOO and is_honest(row)) else None
        if at is not None:
            classes.setdefault(at, []).append(k)
    table = []
    for (_, words), members in sorted(classes.items()):
        entry: dict[str, Any] = {"name": words}
        for key, kind in (("found", is_threat), ("false_alarms", is_honest)):
            own = [k for k in members if kind(pairs[k][0])]
            entry[key] = _paired(hit[0][own], hit[1][own])
            entry[f"{key}_scans"] = len(own)
        table.append(entry)
    return table


def _changed(pairs: Sequence[Pair], scores: tuple[Floats, ...], calm: Any) -> dict[str, list[dict[str, Any]]]:
    """Scans that pass 5 % false alarms with one model only, the greatest change of score first."""
    limits = [float(np.quantile(s[calm], 0.95)) for s in scores]
    result: dict[str, list[dict[str, Any]]] = {"lost": [], "gained": [], "new_alarms": [], "alarms_gone": []}
    for k in np.argsort(-np.abs(scores[1] - scores[0])):
        first, second = pairs[k]
        hit = scores[0][k] > limits[0], scores[1][k] > limits[1]
        if hit[0] == hit[1] or not (is_threat(first) or is_honest(first)):
            continue
        kind = ("lost" if hit[0] else "gained") if is_threat(first) else ("alarms_gone" if hit[0] else "new_alarms")
        if len(result[kind]) < SHOWN:
            names = ("index", "threat", "name", "scenario", "goods", "scanner", "family", "mass_kg", "d_material")
            brief = {name: getattr(first, name) for name in names}
            places = [r.place.centre if r.place is not None else None for r in pairs[k]]
            result[kind].append(brief | {"scores": [first.score, second.score], "places": places})
    return result
