"""What the network gives: to the world, to the losses, and between its own parts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from leadline.models.features import halve

POOLED = 6
"""Rows of `pool_evidence`."""

ABSENT = 10.0
"""Evidence logits of whole scans are cut at this size: below, nothing is there."""


class Outputs(NamedTuple):
    """What the released graph gives, in the order of the ONNX outputs.

    Attributes:
        score: (N,) calibrated probability that undeclared watch-list material is present.
        materials: (N, F) probability that each family is present anywhere.
        evidence: (N, F, h, w) probability per cell that the family is there.
        areal_density: (N, 2, h, w) g/cm2 per cell: all goods; watch-list material alone.
        embedding: (N, D) description of the scan, for finding similar ones.
        novelty: (N,) distance from the training scans; above 1 = unlike anything fitted.
    """

    score: Tensor
    materials: Tensor
    evidence: Tensor
    areal_density: Tensor
    embedding: Tensor
    novelty: Tensor


class Raw(NamedTuple):
    """What the losses need: logits, before calibration.

    Attributes:
        score: (N,) logit.
        materials: (N, F) logits.
        evidence: (N, F, h, w) logits.
        log_areal: (N, 2, h, w) ln(1 + g/cm2).
        embedding: (N, D).
        suspicion: (N, 1, h, w) logits that watch-list material which nobody declared is in the cell.
        curves: (N, R, K) contrast curves of the scanner, see `ScannerCurves`.
    """

    score: Tensor
    materials: Tensor
    evidence: Tensor
    log_areal: Tensor
    embedding: Tensor
    suspicion: Tensor
    curves: Tensor


class View(NamedTuple):
    """What of a scan does not depend on its declaration.

    Attributes:
        evidence: (N, F, h, w) logits.
        log_areal: (N, 2, h, w) ln(1 + g/cm2).
        cells: (N, C, h, w) features, of which the maps are made.
        own: (N, O, h, w) what was measured in each cell: attenuations, contrasts, distances from the curves.
        summary: of the whole scan.
        curves: (N, R, K), of the scanner.
        beam: (N, BEAM).
    """

    evidence: Tensor
    log_areal: Tensor
    cells: Tensor
    own: Tensor
    summary: Summary
    curves: Tensor
    beam: Tensor


class Summary(NamedTuple):
    """What the scan-level heads see of a scan, without its declaration.

    Attributes:
        pooled: (N, POOLED, F) evidence of the whole scan, see `pool_evidence`.
        amounts: (N, 2) mean of `log_areal`.
        embedding: (N, D).
    """

    pooled: Tensor
    amounts: Tensor
    embedding: Tensor


def pool_evidence(evidence: Tensor) -> Tensor:
    """Evidence of a whole scan, (N, POOLED, F), from the logits of its cells, (N, F, h, w).

    The rows: log-mean-exp at sharpness 0.5, 1 and 2 (wide and thin, ordinary, small and certain), and the greatest
    mean over blocks of 2, 4 and 8 cells a side (a speck, a thing, a pile).
    """
    z = evidence.clamp(-ABSENT, ABSENT)
    root = torch.exp(0.5 * z)  # at most e^5, so that its fourth power needs no care
    once = root * root
    means = torch.stack([power.mean((2, 3)) for power in (root, once, once * once)], 1)
    wide = torch.log(means) * means.new_tensor([[[2.0], [1.0], [0.5]]])
    peaks = []
    for _ in range(POOLED - 3):
        z = halve(z)
        peaks.append(z.amax((2, 3)))
    return torch.cat((wide, torch.stack(peaks, 1)), 1)
