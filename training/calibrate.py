"""Calibration on scans that the fit never saw: probabilities, thresholds, novelty, regions, masses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression

from leadline.datasets.false_alarms import threshold_at
from leadline.datasets.scan import LeadlineError
from leadline.models.calibrated import Calibrated
from leadline.training.measure import EVIDENCE_BINS, Row

Floats = npt.NDArray[np.float64]

RATES = ("0.002", "0.004", "0.01", "0.05")
"""False-alarm rates on honest scans for which a model carries thresholds."""

_FLAT = 1e-5  # least variance of the embedding in any direction, as a share of the greatest
_SLACK = 1.5  # accepted novelty in units of what 99.8 % of calibration scans keep below


@dataclass(frozen=True)
class Affine:
    """A calibrated logit is `scale * logit + bias`."""

    scale: float = 1.0
    bias: float = 0.0


def fit_affine(logits: Floats, labels: npt.NDArray[np.bool_]) -> Affine:
    """Temperature and bias by logistic regression (Platt scaling); identity where one class is missing."""
    if labels.all() or not labels.any():
        return Affine()
    model = LogisticRegression(C=1e4, max_iter=1000).fit(logits[:, None], labels)
    scale = float(model.coef_[0, 0])
    return Affine(scale, float(model.intercept_[0])) if scale > 0 else Affine()


@dataclass(frozen=True)
class Novelty:
    """Distance of an embedding e: |(e - typical) @ whiten| / accepted.

    Attributes:
        typical: (D,).
        whiten: (D, D).
        accepted: distance that is still ordinary.
    """

    typical: Floats
    whiten: Floats
    accepted: float


def fit_novelty(embeddings: Floats) -> Novelty:
    """Mahalanobis distance with a shrunk covariance (Ledoit and Wolf 2004), generously accepted.

    Where the embedding hardly varies, its last digits must not count: they differ between machines.
    """
    model = LedoitWolf().fit(embeddings)
    values, vectors = np.linalg.eigh(model.covariance_)
    whiten = vectors / np.sqrt(np.maximum(values, _FLAT * values.max()))
    distances = np.linalg.norm((embeddings - model.location_) @ whiten, axis=1)
    return Novelty(model.location_, whiten, _SLACK * float(np.quantile(distances, 0.998)))


def evidence_threshold(rows: Sequence[Row]) -> float:
    """The evidence at which cells of watch-list material are found best (F1 over watched cells)."""
    counts = np.sum([r.cells for r in rows if r.cells is not None], axis=0)
    above = counts[:, ::-1].cumsum(1)[:, ::-1].astype(float)
    false, found = above
    total = counts[1].sum()
    if total == 0:
        return 0.5
    f1 = 2 * found / np.maximum(found + false + total, 1)
    return float(np.clip(int(np.argmax(f1)) / EVIDENCE_BINS, 0.1, 0.9))


def mass_factors(rows: Sequence[Row], least: int = 20) -> tuple[float, float]:
    """Factors on the estimated mass between which the true one lies in 80 of 100 found threats."""
    ratios = [
        r.mass_kg / r.place.mass_kg for r in rows if r.place_right and r.place and r.place.mass_kg and r.mass_kg > 0
    ]
    if len(ratios) < least:
        return 0.2, 5.0
    low, high = np.quantile(ratios, (0.1, 0.9))
    return float(np.clip(low, 0.01, 1.0)), float(np.clip(high, 1.0, 100.0))


@dataclass(frozen=True)
class Calibration:
    """Everything that calibration sets.

    Attributes:
        score: of the score's logit.
        families: of each family's logit.
        thresholds: false-alarm rate, as text, to score.
        novelty: see `Novelty`.
    """

    score: Affine
    families: tuple[Affine, ...]
    thresholds: dict[str, float]
    novelty: Novelty


def calibrate(rows: Sequence[Row]) -> Calibration:
    """Calibrate on measured scans of a checkpoint.

    Raises:
        LeadlineError: too few scans for any threshold.
    """
    honest = [r for r in rows if not r.undeclared]
    if len(honest) < 20 or len(honest) == len(rows):
        raise LeadlineError(
            f"calibration: {len(honest)} honest of {len(rows)} scans, and both kinds are needed; "
            "give more with --calibration"
        )
    logits = np.array([r.logit for r in rows], float)
    score = fit_affine(logits, np.array([r.undeclared for r in rows]))
    families = []
    for k in range(len(rows[0].declared) - 1):
        values = np.array([r.material_logits[k] for r in rows if r.material_logits is not None], float)
        there = np.array([r.present[k] for r in rows if r.present is not None], bool)
        families.append(fit_affine(values, there))
    calm = np.sort(np.array([r.logit for r in honest], float) * score.scale + score.bias)
    thresholds = {}
    least = 0.0
    for rate in reversed(RATES):  # a rarer false alarm never has the lower threshold
        least = max(least, float(1 / (1 + np.exp(-threshold_at(float(rate), calm)))))
        thresholds[rate] = min(least, 1.0 - 1e-6)
    embeddings = np.stack([r.embedding for r in rows if r.embedding is not None]).astype(float)
    return Calibration(score, tuple(families), {rate: thresholds[rate] for rate in RATES}, fit_novelty(embeddings))


def apply(network: Calibrated, calibration: Calibration) -> None:
    """Write a calibration into the buffers of a network."""
    with torch.no_grad():
        network.score_scale.fill_(calibration.score.scale)
        network.score_bias.fill_(calibration.score.bias)
        network.family_scale.copy_(torch.tensor([a.scale for a in calibration.families]))
        network.family_bias.copy_(torch.tensor([a.bias for a in calibration.families]))
        network.typical.copy_(torch.from_numpy(calibration.novelty.typical))
        network.whiten.copy_(torch.from_numpy(calibration.novelty.whiten))
        network.accepted.fill_(calibration.novelty.accepted)
