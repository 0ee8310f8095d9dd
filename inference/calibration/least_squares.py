"""Bounded non-linear least squares for a handful of parameters (Levenberg and Marquardt), in numpy alone.

The plain install, which calibrates, does not bring scipy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """The least of a sum of squares.

    Attributes:
        values: (P,) parameters.
        errors: (P,) standard errors, if residuals are in units of theirs.
        residuals: (R,) at the least.
        cost: half their sum of squares.
    """

    values: Floats
    errors: Floats
    residuals: Floats
    cost: float


def solve(
    residuals: Callable[[Floats], Floats],
    start: npt.ArrayLike,
    lower: npt.ArrayLike,
    upper: npt.ArrayLike,
    *,
    step: npt.ArrayLike,
    most: int = 60,
) -> Solution:
    """Find a least sum of squares (J. J. More, Lecture Notes in Mathematics 630, 1978), parameters kept in a box.

    Args:
        residuals: (P,) -> (R,).
        start: (P,) where to begin.
        lower, upper: (P,) the box.
        step: (P,) of the finite differences; also the scale of each parameter.
        most: iterations.
    """
    low, high, scale = (np.asarray(v, float) for v in (lower, upper, step))
    x = np.clip(np.asarray(start, float), low, high)
    r = residuals(x)
    cost, damping = float(r @ r) / 2, 1e-2
    jacobian = _jacobian(residuals, x, r, scale, low, high)
    for _ in range(most):
        curvature, slope = jacobian.T @ jacobian, jacobian.T @ r
        # parameters that stand at a bound and want beyond it stay where they are
        free = ~(((x <= low) & (slope > 0)) | ((x >= high) & (slope < 0)))
        if not free.any():
            break
        improved = False
        while damping < 1e8:
            damped = curvature[np.ix_(free, free)].copy()
            damped[np.diag_indices_from(damped)] *= 1 + damping
            move = np.zeros_like(x)
            move[free] = -np.linalg.lstsq(damped, slope[free], rcond=None)[0]
            trial = np.clip(x + move, low, high)
            r_trial = residuals(trial)
            cost_trial = float(r_trial @ r_trial) / 2
            if cost_trial < cost:
                improved = True
                break
            damping *= 4
        if not improved:
            break
        gained = cost - cost_trial
        x, r, cost, damping = trial, r_trial, cost_trial, max(damping / 6, 1e-9)
        jacobian = _jacobian(residuals, x, r, scale, low, high)
        if gained < 1e-7 * (1 + cost):
            break
    errors = np.sqrt(np.maximum(np.diag(np.linalg.pinv(jacobian.T @ jacobian)), 0))
    return Solution(x, errors, r, cost)


def _jacobian(
    residuals: Callable[[Floats], Floats], x: Floats, r: Floats, step: Floats, low: Floats, high: Floats
) -> Floats:
    """(R, P), by differences that stay in the box."""
    columns = []
    for k in range(len(x)):
        h = step[k] if x[k] + step[k] <= high[k] else -step[k]
        moved = x.copy()
        moved[k] = np.clip(x[k] + h, low[k], high[k])
        columns.append((residuals(moved) - r) / (moved[k] - x[k] if moved[k] != x[k] else 1.0))
    return np.stack(columns, axis=1)
