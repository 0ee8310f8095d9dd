"""What a scan's open beam tells of its gains and its level: lines and elements that see nothing but air.

Gains that are left after the vendor's correction stay in the scan when a threat is projected into it. They must be
known all the same: where scatter is most of what is measured, half a per cent of it is more than a quiet scanner's
noise.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.simulator.appearance import repaired
from leadline.datasets.simulator.background import Background

Float32Array = npt.NDArray[np.float32]

_LEAST = 4  # rows or columns of air
_EVEN = 0.035  # share of the open beam by which air differs from air at most
_THIN = 0.01  # rows darker than the brightest by this hold something
_FINEST = 2.5 / 65535  # a converter's step that can be told from the file's
_CLIPPED = 0.05  # share of clipped pixels above which air tells nothing


def levelled(background: Background) -> tuple[Background, Float32Array]:
    """A background without the gains of its lines and elements, and those gains.

    Level and scatter are settled with it: what reads in the open beam is the beam, less what is scattered away, with
    what is scattered in. Where a scan shows too little air, or air is clipped, gains are 1.

    Returns:
        The background, its scan divided by the gains, and float32 (2, rows, columns): a measured value is that of the
        background returned times its gain.
    """
    found = [_gains(background, channel) for channel in range(2)]
    gains = np.stack([gain for gain, _ in found])
    machine = background.machine
    t = background.scan.transmission / gains
    around, levels = [], []
    for channel, (_, air) in enumerate(found):
        kept = 1 - machine.scatter[channel] - machine.pedestal[channel]
        before = background.around[channel]
        level = background.level[channel]
        if air is not None:
            level /= kept + float(before[air].mean())
        light = np.maximum((repaired(t[channel]) / np.float32(level) - before) / np.float32(kept), 0)
        # `around` was of the reading as it is; scatter is of the light alone
        change = machine.around(light, channel) - machine.around(
            repaired(background.scan.transmission[channel]) / np.float32(background.level[channel]), channel
        )
        around.append(np.maximum(before + np.float32(background.scattering) * change, 0))
        levels.append(float(level))
    scan = replace(background.scan, transmission=t.astype(np.float32))
    result = replace(background, scan=scan, level=(levels[0], levels[1]), around=np.stack(around).astype(np.float32))
    return result, gains.astype(np.float32)


def _gains(background: Background, channel: int) -> tuple[Float32Array, npt.NDArray[np.bool_] | None]:
    """Gains of a channel over its level (rows, columns), and where its air is; 1 and `None` if there is too little."""
    level = np.float32(background.level[channel])
    measured = background.scan.transmission[channel]
    rows, columns = measured.shape
    none = np.ones((rows, columns), np.float32)
    calm = cv2.medianBlur(np.ascontiguousarray(measured), 5) / level
    airy = np.abs(calm - 1) < _EVEN
    rows_read = np.median(calm, axis=1)
    across = (airy.mean(axis=1) > 0.98) & (rows_read > rows_read.max() - _THIN)  # no belt
    down = airy.mean(axis=0) > 0.98
    # beside goods their blur and their scatter begin
    across, down = (_narrowed(a) for a in (across, down))
    if across.sum() < _LEAST:
        return none, None
    air = np.zeros((rows, columns), bool)
    air[across] = True
    values = measured[across]
    if (values >= measured.max()).mean() > _CLIPPED:
        return none, None
    line = _mean(values, 0) / level
    element = np.ones(rows, np.float32)
    if down.sum() >= _LEAST:
        seen = _mean(measured[:, down] / line[down], 1) / level
        element = np.where(airy[:, down].mean(axis=1) > 0.98, seen, np.float32(1)).astype(np.float32)
        line = line / np.float32(element[across].mean())
    return np.clip(element[:, None] * line[None], 1 - 2 * _EVEN, 1 + 2 * _EVEN).astype(np.float32), air


def step_of(background: Background) -> float:
    """The step of the scanner's converter, share of full scale, where it is coarser than the file's; else 0."""
    step = 0.0
    for channel in background.scan.transmission:
        values = np.unique(channel[::3, ::3])
        values = values[values > 0].astype(np.float64)
        if len(values) < 50:
            return 0.0
        found = float(np.median(np.sort(np.diff(values))[: len(values) // 2]))
        if found < _FINEST:
            return 0.0
        found = float(values[-1]) / max(round(values[-1] / found), 1)
        off = np.abs(values / found - np.rint(values / found))
        if np.quantile(off, 0.98) * found > 0.6 / 65535:
            return 0.0
        step = found
    return step


def _narrowed(mask: npt.NDArray[np.bool_], by: int = 4) -> npt.NDArray[np.bool_]:
    """Runs without their ends; the picture's own border is none."""
    wide = np.pad(mask, by, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(wide, 2 * by + 1).all(axis=1), bool)


def _mean(values: Float32Array, axis: int) -> Float32Array:
    """Mean of the living pixels."""
    alive = values > 0
    total = np.where(alive, values, 0).sum(axis=axis) / np.maximum(alive.sum(axis=axis), 1)
    return np.where(total > 0, total, np.median(total[total > 0]) if (total > 0).any() else 1).astype(np.float32)
