"""What is known of a simulated scan, and what physics allows anyone to find in it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.materials import Catalogue, catalogue
from leadline.datasets.simulator.scanner import SCATTER_NOISE, Machine

Float32Array = npt.NDArray[np.float32]

_SAMPLES = 2000
_BLUR_PIXELS = 60_000
_SCALES = np.concatenate([np.arange(0, 2, 0.1), np.arange(2, 6.01, 0.25)]).astype(np.float32)
_REFINE = np.linspace(-1, 1, 9, dtype=np.float32)


def family_maps(
    materials: Sequence[str], areal: npt.NDArray[np.floating], cat: Catalogue | None = None
) -> Float32Array:
    """Areal density per family.

    Args:
        materials: names of the M materials.
        areal: areal density per material, g/cm2, shape (M, rows, columns).
        cat: catalogue with the families; the bundled one by default.

    Returns:
        float32 (F, rows, columns), g/cm2, in the order of `Catalogue.names`.
    """
    cat = cat or catalogue()
    maps = np.zeros((len(cat.names), *areal.shape[1:]), np.float32)
    for material, density in zip(materials, areal, strict=True):
        maps[cat.family_index(material)] += density
    return maps


def detectability(
    areal: npt.NDArray[np.floating],
    window: tuple[int, int, int, int],
    change: npt.NDArray[np.floating],
    materials: Sequence[str],
    machine: Machine,
) -> tuple[float, float]:
    """How far the threat stands out of the noise: for one who knows the honest scene, and by material alone.

    The known-signal detectability d' is the root of the sum over pixels and channels of (change of
    transmission)² / noise variance, with the noise of the scene that holds the threat: the signal-to-noise
    ratio of an ideal observer who knows scene and threat (H. H. Barrett and K. J. Myers, "Foundations
    of Image Science", Wiley 2004). The material detectability d'_m keeps of every pixel only the least
    distance, in noise units, from its pair of transmissions to the curve that 0 to 6 times the honest
    goods at that pixel trace: what more or less of the same goods cannot explain. d'_m <= d'.

    About 2,000 of the changed pixels are evaluated, on a regular sub-grid, and the sums scaled up.
    Blur is applied to the changes of windows of up to 60,000 pixels, and reduces both measures in
    the same proportion; in larger ones it matters at edges only and is left out. Scatter counts as
    a known background, gains as corrected.

    Args:
        areal: areal densities of the honest twin, g/cm2, (M, rows, columns).
        window: where the threat changes them, (y0, y1, x0, x1).
        change: what to add there for the threat scene, g/cm2, (M, y1 - y0, x1 - x0); may be negative.
        materials: names of the M materials.
        machine: the scanner.

    Returns:
        d' and d'_m, both 0 or more; 0, 0 where nothing changes.
    """
    y0, y1, x0, x1 = window
    honest = areal[:, y0:y1, x0:x1]
    if honest.shape != change.shape or honest.shape[0] != len(materials):
        raise ValueError(f"honest {honest.shape}, change {change.shape} and {len(materials)} materials do not match")
    changed = np.any(change != 0, axis=0)
    if not changed.any():
        return 0.0, 0.0
    rows, columns = _sample(changed)
    share = len(rows) / int(changed.sum())
    goods = honest[:, rows, columns].astype(np.float32)
    squares = pixel_detectability(goods, change[:, rows, columns].astype(np.float32), materials, machine)
    known, material = (float(square.sum()) for square in squares)
    attenuation = machine.response.attenuation(materials)
    blurred = _blur_factor(honest, change, attenuation, machine) if changed.size <= _BLUR_PIXELS else 1.0
    return blurred * float(np.sqrt(known / share)), blurred * float(np.sqrt(material / share))


def pixel_detectability(
    goods: Float32Array, change: Float32Array, materials: Sequence[str], machine: Machine
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """d'² and d'_m² of single pixels, without blur; see `detectability`.

    Args:
        goods: areal densities of the honest goods, g/cm2, (M, N).
        change: what the threat adds, g/cm2, (M, N).
        materials: names of the M materials.
        machine: the scanner.

    Returns:
        Two arrays (N,).
    """
    attenuation = machine.response.attenuation(materials)
    depth = attenuation.T @ goods
    threat, variance = _signal(machine, attenuation.T @ np.maximum(goods + change, 0))
    noise = np.sqrt(variance).astype(np.float32, copy=False)
    difference = (threat - _signal(machine, depth)[0]) / noise
    known = (difference.astype(np.float64) ** 2).sum(axis=0)
    return known, _least_squares(machine, threat / noise, depth, noise).astype(np.float64)


def channel_signal(
    areal: Float32Array, materials: Sequence[str], machine: Machine
) -> tuple[Float32Array, Float32Array]:
    """Mean transmission and its noise variance in single pixels, without blur; scatter as a constant pedestal.

    Args:
        areal: areal densities, g/cm2, (M, N).
        materials: names of the M materials.
        machine: the scanner.

    Returns:
        Two float32 arrays (2, N), high channel first.
    """
    return _signal(machine, machine.response.attenuation(materials).T @ areal)


def _sample(changed: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Changed pixels on the coarsest regular sub-grid that still holds about `_SAMPLES` of them."""
    step = max(int(np.sqrt(changed.sum() / _SAMPLES)), 1)
    rows, columns = np.nonzero(changed[step // 2 :: step, step // 2 :: step])
    if not len(rows):  # thinner than the sub-grid
        rows, columns = np.nonzero(changed)
        every = max(len(rows) // _SAMPLES, 1)
        return rows[::every], columns[::every]
    return rows * step + step // 2, columns * step + step // 2


def _signal(machine: Machine, depth: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Mean and noise variance, both (2, N), behind optical depths (E, N); scatter as a pedestal."""
    light = np.exp(-depth)
    mean, moment = machine.response.weights.T @ light, machine.response.noise_weights.T @ light
    for channel in range(2):
        share = machine.pedestal[channel]
        for value, added in ((mean[channel], share), (moment[channel], SCATTER_NOISE * share)):
            value *= 1 - share
            value += added
        moment[channel] /= machine.quanta[channel]
        moment[channel] += machine.floor_variance[channel]
    return mean, moment


def _least_squares(machine: Machine, threat: Float32Array, depth: Float32Array, noise: Float32Array) -> Float32Array:
    """Least squared distance from each threat pixel (2, N) to its curve of scaled goods, in noise units."""

    def curve(scales: Float32Array) -> Float32Array:
        """Points of the curves at scales (S, N), shape (S, 2, N)."""
        return np.stack([_signal(machine, depth * scale)[0] / noise for scale in scales])

    pixels = np.arange(threat.shape[1])
    scales = np.repeat(_SCALES[:, None], len(pixels), axis=1)
    for _ in range(3):
        points = curve(scales)
        best = ((points - threat) ** 2).sum(axis=1).argmin(axis=0)
        around = np.stack([np.maximum(best - 1, 0), best, np.minimum(best + 1, len(scales) - 1)])
        low, middle, high = scales[around, pixels]
        reach = np.maximum(high - middle, middle - low)
        scales = np.clip(middle + _REFINE[:, None] * reach, 0, _SCALES[-1])
        scales[len(_REFINE) // 2] = middle
    ends = [points[index, :, pixels].T for index in around]
    return np.minimum(_to_segment(threat, ends[0], ends[1]), _to_segment(threat, ends[1], ends[2]))


def _to_segment(point: Float32Array, start: Float32Array, end: Float32Array) -> Float32Array:
    """Squared distance (N,) from points (2, N) to segments between (2, N) and (2, N)."""
    along = end - start
    length = np.maximum((along**2).sum(axis=0), 1e-20)
    share = np.clip(((point - start) * along).sum(axis=0) / length, 0, 1)
    return ((start + share * along - point) ** 2).sum(axis=0)


def _blur_factor(
    honest: npt.NDArray[np.floating], change: npt.NDArray[np.floating], attenuation: Float32Array, machine: Machine
) -> float:
    """What blur leaves of d': the ratio of the blurred to the sharp known-signal detectability."""
    shape = honest.shape[1:]
    depth = attenuation.T @ honest.reshape(len(honest), -1).astype(np.float32)
    threat = attenuation.T @ np.maximum(honest + change, 0).reshape(len(honest), -1).astype(np.float32)
    mean, variance = _signal(machine, threat)
    difference = (mean - _signal(machine, depth)[0]).reshape(2, *shape)
    sharp = blurred = 0.0
    for channel in range(2):
        weight = 1 / variance[channel].reshape(shape)
        sharp += float((difference[channel] ** 2 * weight).sum())
        sigma = machine.blur_px[channel]
        soft = cv2.GaussianBlur(difference[channel], (0, 0), sigma) if sigma > 0.05 else difference[channel]
        blurred += float((soft**2 * weight).sum())
    return min(np.sqrt(blurred / sharp), 1.0) if sharp > 0 else 1.0
