"""What the network must beat: the darkest spot, and the best rule on attenuation and energy ratio.

Both look at the scan alone, or, in a second form, also at the declaration, by logistic regression
over the rule's value and the declared families. Whatever they have to learn is fitted on scans of
the training split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from leadline.datasets.scan import Kind
from leadline.models.features import halve

DEPTHS = np.concatenate([[0.02, 0.05], np.geomspace(0.1, 8.0, 14)])
"""Edges of the bins of the high-energy attenuation."""

RATIOS: dict[Kind, npt.NDArray[np.float64]] = {
    "parcel": np.linspace(0.9, 3.7, 29),
    "container": np.linspace(0.95, 1.45, 26),
}
"""Edges of the bins of the attenuation ratio, low over high energy."""

_SMOOTH: dict[Kind, int] = {"parcel": 4, "container": 8}


@dataclass(frozen=True)
class Clues:
    """What the baselines see of a scan.

    Attributes:
        darkest: largest high-energy attenuation after averaging 4 x 4 pixels in transmission.
        pixels: int64 (depths, ratios), smoothed pixels by attenuation and energy ratio.
    """

    darkest: float
    pixels: npt.NDArray[np.int64]


def clues(transmission: npt.NDArray[np.float32], kind: Kind) -> Clues:
    """Clues of a scan, (2, rows, columns)."""
    t = torch.from_numpy(transmission)[None]
    darkest = float(-np.log(max(float(halve(t[:, :1], 4).min()), 1e-5)))
    a = -torch.log(halve(t, _SMOOTH[kind]).clamp(min=1e-5))[0].double().numpy().reshape(2, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(a[0] > DEPTHS[0], a[1] / a[0], 0.0)
    counts, _, _ = np.histogram2d(a[0], ratio, bins=(DEPTHS, RATIOS[kind]))
    return Clues(darkest, counts.astype(np.int64))


@dataclass(frozen=True)
class BandRule:
    """Counts smoothed pixels in a rectangle of attenuation and energy ratio.

    Attributes:
        depth: least and greatest high-energy attenuation.
        ratio: least and greatest a_low / a_high.
        auc: on the scans it was fitted on.
        cells: the rectangle as bins (d0, d1, r0, r1).
    """

    depth: tuple[float, float]
    ratio: tuple[float, float]
    auc: float
    cells: tuple[int, int, int, int]

    def __call__(self, scan: Clues) -> float:
        """Pixels of the scan in the rectangle."""
        d0, d1, r0, r1 = self.cells
        return float(scan.pixels[d0:d1, r0:r1].sum())


def fit_band(scans: Sequence[Clues], threat: Sequence[bool], kind: Kind) -> BandRule:
    """The rectangle whose count of pixels tells threats from honest scans best, by AUC; all are tried."""
    labels = np.asarray(threat, bool)
    table = np.stack([s.pixels for s in scans]).astype(np.float64)
    sums = np.pad(table.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    depths, ratios = table.shape[1:]
    best: tuple[float, tuple[int, int, int, int]] = (-1.0, (0, depths, 0, ratios))
    starts, ends = np.triu_indices(ratios + 1, 1)
    for d0 in range(depths):
        for d1 in range(d0 + 1, depths + 1):
            strip = sums[:, d1] - sums[:, d0]
            counts = strip[:, ends] - strip[:, starts]
            auc = aucs(counts, labels)
            k = int(np.argmax(auc))
            if auc[k] > best[0]:
                best = (float(auc[k]), (d0, d1, int(starts[k]), int(ends[k])))
    d0, d1, r0, r1 = best[1]
    edges = RATIOS[kind]
    return BandRule((float(DEPTHS[d0]), float(DEPTHS[d1])), (float(edges[r0]), float(edges[r1])), best[0], best[1])


def aucs(values: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Area under the ROC curve of each column, from the ranks (Mann-Whitney), ties by their mean rank.

    All columns at once: scikit-learn's and SciPy's functions take one after another, and there are 60,000.
    """
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    place = np.arange(len(values))[:, None]
    steps = np.diff(ordered, axis=0) > 0
    edge = np.ones((1, values.shape[1]), bool)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, steps]), place, 0), axis=0)
    last = np.minimum.accumulate(np.where(np.concatenate([steps, edge]), place, len(values))[::-1], axis=0)[::-1]
    ranks = (((first + last) / 2 + 1) * labels[order]).sum(0)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    return (ranks - positives * (positives + 1) / 2) / max(positives * negatives, 1)


@dataclass(frozen=True)
class Baselines:
    """The fitted baselines.

    Attributes:
        band: the ratio rule.
        with_declaration: for each baseline, the regression over its value and the declared families.
    """

    band: BandRule
    with_declaration: dict[str, Pipeline]

    def scores(self, scan: Clues, declared: npt.NDArray[np.float32]) -> dict[str, float]:
        """All baselines' scores of a scan; higher is more suspicious."""
        plain = {"largest_attenuation": scan.darkest, "ratio_rule": self.band(scan)}
        found = dict(plain)
        for name, model in self.with_declaration.items():
            found[f"{name}_and_declaration"] = float(model.decision_function([_features(plain[name], declared)])[0])
        return found


def fit_baselines(
    scans: Sequence[Clues], declared: Sequence[npt.NDArray[np.float32]], undeclared: Sequence[bool], kind: Kind
) -> Baselines:
    """Fit on training scans: the clues, what was declared, and whether something undeclared is there."""
    band = fit_band(scans, undeclared, kind)
    models = {}
    for name, rule in (("largest_attenuation", lambda s: s.darkest), ("ratio_rule", band)):
        rows = [_features(rule(s), d) for s, d in zip(scans, declared, strict=True)]
        models[name] = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(rows, undeclared)
    return Baselines(band, models)


def _features(value: float, declared: npt.NDArray[np.float32]) -> list[float]:
    return [float(np.log1p(max(value, 0.0))), *declared.tolist()]
