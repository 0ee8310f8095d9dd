"""The threshold that keeps a false-alarm rate, from what honest scans score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ENOUGH = 20
"""Scans above a threshold from which it is read off directly."""

TAIL = 0.1
"""Share of the honest scans that tells how the rarer ones are spread."""

_SHAPED = 10  # scans of the tail from which its shape can be told


def threshold_at(rate: float, honest: npt.NDArray[np.float64]) -> float:
    """The logit that a share `rate` of honest scans reaches.

    Read off where at least 20 scans lie above; further out, from a generalised Pareto distribution of the upper tenth.
    Its shape counts: logits of honest scans end sooner than an exponential tail, which would put the
    thresholds of rare false alarms far too high.

    Args:
        rate: false-alarm rate, 0..1.
        honest: logits of honest scans, sorted upwards.
    """
    if rate * len(honest) >= ENOUGH or rate >= TAIL:
        return float(np.quantile(honest, 1 - rate))
    start = float(np.quantile(honest, 1 - TAIL))
    above = honest[honest > start] - start
    if not len(above):
        return start
    shape, scale = _tail(above)
    rarer = TAIL / rate
    return start + scale * (float(np.log(rarer)) if abs(shape) < 1e-6 else (rarer**shape - 1) / shape)


def _tail(above: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Shape and scale of what lies above a threshold, sorted: by probability-weighted moments, which are surer than
    the greatest likelihood for so few (Hosking and Wallis 1987, Technometrics 29, 339)."""
    mean, count = float(above.mean()), len(above)
    exponential = 0.0, mean  # errs towards fewer false alarms
    if count < _SHAPED:
        return exponential
    weighted = float(((count - np.arange(1, count + 1)) / (count - 1) * above).mean())
    spread = mean - 2 * weighted
    if spread < 1e-6 * mean:  # all score the same, and have no shape
        return exponential
    return 2 - mean / spread, 2 * mean * weighted / spread
