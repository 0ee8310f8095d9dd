"""Shares, curves and paired tests with their uncertainty, for the evaluation and for comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm, rankdata

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

CALIBRATION_BINS = 15


def interval(hits: float, total: int) -> list[float]:
    """Share with its 95 % Wilson interval, [share, low, high]; empty where nothing was counted."""
    if not total:
        return []
    found = binomtest(int(hits), total).proportion_ci(0.95, method="wilson")
    return [hits / total, float(found.low), float(found.high)]


def share(hits: Sequence[bool] | Flags) -> list[float]:
    """`interval` of the hits among some cases."""
    return interval(float(sum(bool(h) for h in hits)), len(hits))


def resampled(groups: npt.NDArray[np.int64], draws: int = 400, seed: int = 0) -> Floats:
    """Weights of a bootstrap over groups: scans of one scene are drawn together or not at all.

    Args:
        groups: (N,) number of the group of each case.
        draws: B.
        seed: of the draws.

    Returns:
        (B, N): how often each case is drawn.
    """
    names, member = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return counts[:, member].astype(np.float64)


def roc(scores: Floats, positive: Flags, weights: Floats, rates: Floats) -> Floats:
    """Share of positives above the negatives' quantile at given false-alarm rates, for each row of weights.

    Args:
        scores: (N,), higher is more suspicious.
        positive: (N,).
        weights: (B, N) whole numbers: how often each case counts, such as from `resampled`.
        rates: (R,), 0 to 1; at 1 everything is found.

    Returns:
        (B, R); NaN where a row of weights holds no positive or no negative.
    """
    result = np.full((len(weights), len(rates)), np.nan)
    order = np.argsort(scores, kind="stable")
    above, below = order[positive[order]], order[~positive[order]]
    for row, weight in enumerate(weights.astype(int)):
        found, honest = np.repeat(scores[above], weight[above]), np.repeat(scores[below], weight[below])
        if len(found) and len(honest):
            missed = np.searchsorted(found, np.quantile(honest, 1 - rates), side="right")
            result[row] = np.where(rates >= 1, 1.0, 1 - missed / len(found))
    return result


def weighted_auc(scores: Floats, positive: Flags, weights: Floats) -> Floats:
    """Area under the ROC curve for each row of weights (B, N); ties count half. NaN where a class is missing."""
    order = np.argsort(scores, kind="stable")
    edge = np.append(True, np.diff(scores[order]) != 0)
    member = np.cumsum(edge) - 1
    starts = np.flatnonzero(edge)
    flags = positive[order]
    win = np.add.reduceat(weights[:, order] * flags, starts, axis=1)
    lose = np.add.reduceat(weights[:, order] * ~flags, starts, axis=1)
    below = lose.cumsum(1) - lose / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (win * below).sum(1) / (win.sum(1) * lose.sum(1)) if len(member) else np.full(len(weights), np.nan)


class Areas:
    """Areas under the ROC curve of groups of threats against the same honest scans, with 95 % intervals.

    A bootstrap over scenes: a threat and its honest twin are drawn together or not at all. The draws of the honest
    scans are made once, so that many groups cost little. Ties count half.

    Args:
        honest: (N,) scores.
        scenes: (N,) numbers of their scenes, 0 or more.
        others: numbers of the scenes of all threats that will be asked for.
        draws: of the bootstrap.
    """

    def __init__(
        self, honest: Floats, scenes: npt.NDArray[np.int64], others: npt.NDArray[np.int64], draws: int = 400
    ) -> None:
        order = np.argsort(honest, kind="stable")
        self._honest = honest[order]
        self._scenes = np.unique(np.concatenate([scenes, others]))
        weights = resampled(self._scenes, draws) if len(self._scenes) else np.zeros((draws, 0))
        self._weights = np.concatenate([np.ones((1, len(self._scenes))), weights])
        own = self._weights[:, np.searchsorted(self._scenes, scenes[order])]
        self._below = np.concatenate([np.zeros((len(own), 1)), own.cumsum(1)], axis=1)

    def __call__(self, threats: Floats, scenes: npt.NDArray[np.int64]) -> list[float]:
        """[area, low, high] of some threats; empty where there is none, or no honest scan."""
        if not len(threats) or not len(self._honest):
            return []
        weights = self._weights[:, np.searchsorted(self._scenes, scenes)]
        beaten = self._below[:, np.searchsorted(self._honest, threats, side="left")]
        reached = self._below[:, np.searchsorted(self._honest, threats, side="right")]
        with np.errstate(invalid="ignore", divide="ignore"):
            areas = (weights * (beaten + reached) / 2).sum(1) / (weights.sum(1) * self._below[:, -1])
        return [float(areas[0]), *spread(areas[1:])]


def spread(draws: Floats) -> tuple[float, float]:
    """The 95 % interval of bootstrap draws, without those that had nothing to count."""
    kept = draws[np.isfinite(draws)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, (0.025, 0.975))
    return float(low), float(high)


def calibration(scores: Floats, positive: Flags, bins: int = CALIBRATION_BINS) -> tuple[list[dict[str, float]], float]:
    """Calibration curve over equal bins of the score, and the expected calibration error.

    Args:
        scores: (N,) probabilities.
        positive: (N,).
        bins: number of bins over 0..1.

    Returns:
        The bins that hold a scan (`count`, mean `score`, share `observed` with its Wilson interval `low`,
        `high`), and the mean over all scans of the distance between score and share of their bin
        (M. P. Naeini et al., AAAI 2015).
    """
    place = np.minimum((scores * bins).astype(int), bins - 1)
    rows, error = [], 0.0
    for k in np.unique(place):
        chosen = place == k
        observed, low, high = share(positive[chosen])
        mean = float(scores[chosen].mean())
        rows.append({"count": int(chosen.sum()), "score": mean, "observed": observed, "low": low, "high": high})
        error += float(chosen.mean()) * abs(mean - observed)
    return rows, error


@dataclass(frozen=True)
class PairedArea:
    """Two areas under the ROC curve on the same cases.

    Attributes:
        first, second: the areas.
        difference: second - first, with its 95 % interval `low`, `high`.
        p: two-sided probability of such a difference by chance.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


def delong(first: Floats, second: Floats, positive: Flags) -> PairedArea:
    """DeLong's test of two correlated areas.

    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988) 837; components from midranks,
    X. Sun, W. Xu, IEEE Signal Processing Letters 21 (2014) 1389. Cases count as independent.

    Args:
        first, second: (N,) scores of the two.
        positive: (N,), with at least two of each class.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        raise ValueError("DeLong's test needs at least two cases of each class")
    areas, win, lose = [], [], []
    for scores in (first, second):
        ranks = rankdata(scores)
        above = (ranks[positive] - rankdata(scores[positive])) / n
        below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / m
        areas.append(float(above.mean()))
        win.append(above)
        lose.append(below)
    covariance = np.cov(np.array(win)) / m + np.cov(np.array(lose)) / n
    difference = areas[1] - areas[0]
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= 1e-15:
        p = 1.0 if abs(difference) < 1e-12 else 0.0
        return PairedArea(areas[0], areas[1], difference, difference, difference, p)
    error = variance**0.5
    reach = float(norm.ppf(0.975)) * error
    p = 2 * float(norm.sf(abs(difference) / error))
    return PairedArea(areas[0], areas[1], difference, difference - reach, difference + reach, p)


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test: two-sided probability of cases that only one of two gets right, were both as good."""
    total = only_first + only_second
    return float(binomtest(only_first, total).pvalue) if total else 1.0
