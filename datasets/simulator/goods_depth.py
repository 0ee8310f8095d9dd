"""Optical depth of the goods in a scan, pixel by pixel, as projection needs it.

The measured light is noisy and blurred, and two channels are all that tells of the goods. Three steps:

1. Pixels are averaged with those around them that look the same in both channels, as far as the noise lets one say
   so (non-local means; A. Buades, B. Coll and J.-M. Morel, 2005), so that edges stay.
2. The scanner's blur, displacement and smoothing are undone as far as the noise allows (W. H. Richardson, 1972;
   L. B. Lucy, 1974; what the noise explains is not fitted). Without this, goods' edges are blurred a second time.
3. Goods become a mixture of two of five stand-ins that reads what both channels read. Under tube voltages the light
   ones come first: above its K edge lead can read like plastics of another thickness, and plastics are what is shipped.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.physics.forward import transmission
from leadline.datasets.simulator.background import DEEPEST, Background
from leadline.datasets.simulator.geometry import Window
from leadline.datasets.simulator.scanner import blur_kernel

Float32Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

STAND_INS = ("polyethylene", "aluminium", "steel", "tin", "lead")
"""Materials that stand for whatever goods there are, by rising attenuation of the low channel."""

_REACH = 6  # pixels around that are averaged
_ROUNDS = 10  # of sharpening
_MARGIN = 10  # pixels beside the window that are looked at
_DARKEST = float(np.exp(-DEEPEST))
_GRID = np.concatenate([[0.0], np.geomspace(0.01, DEEPEST, 60)])


def depth_of(background: Background, window: Window) -> Float32Array:
    """Optical depth of the goods at the working energies of the background's machine.

    Args:
        background: the measured scan.
        window: (y0, y1, x0, x1).

    Returns:
        float32 (E, y1 - y0, x1 - x0), 0 or more.
    """
    (y0, y1, x0, x1), (rows, columns) = window, background.scan.shape
    wide = max(0, y0 - _MARGIN), min(rows, y1 + _MARGIN), max(0, x0 - _MARGIN), min(columns, x1 + _MARGIN)
    light, left = _averaged(background, _mended(background, wide))
    sharp = np.stack([_sharpened(background, c, light[c], left) for c in range(2)])
    inner = sharp[:, y0 - wide[0] : y1 - wide[0], x0 - wide[2] : x1 - wide[2]]
    areal, attenuation = _stand_ins(background, np.ascontiguousarray(inner))
    return np.tensordot(attenuation.T, areal, axes=1).astype(np.float32)


def through(background: Background, channel: int, image: Float32Array) -> Float32Array:
    """An image of the light behind the goods as the scanner records it: blurred, displaced, smoothed."""
    return _recorded(background, channel, image, turned=False)


def _recorded(background: Background, channel: int, image: Float32Array, *, turned: bool) -> Float32Array:
    shift = background.shift_px if channel else (0.0, 0.0)
    kernels = [blur_kernel(background.blur_px[channel], s) for s in (shift[1], shift[0])]
    if turned:
        kernels = [np.ascontiguousarray(k[::-1]) for k in kernels]
    return smoothed(_filtered(image, *kernels), background)


def _filtered(image: Float32Array, across: Float32Array, down: Float32Array) -> Float32Array:
    out = cv2.sepFilter2D(np.ascontiguousarray(image), -1, across, down, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.float32)


def smoothed(image: Float32Array, background: Background) -> Float32Array:
    """What the vendor's smoothing makes of an image."""
    if not background.smoothing_px:
        return image
    soft = blur_kernel(background.smoothing_px, 0.0)
    return _filtered(image, soft, soft)


def _mended(background: Background, window: Window) -> Float32Array:
    """Light through the goods (2, rows, columns), 0 or more; dead pixels, which read 0, are as those around them."""
    y0, y1, x0, x1 = window
    result = []
    for channel in range(2):
        measured = background.scan.transmission[channel, y0:y1, x0:x1]
        around = background.around[channel, y0:y1, x0:x1]
        light = (measured / np.float32(background.level[channel]) - around) / (1 - around)
        alive = (measured > 0).astype(np.float32)
        near = cv2.blur(light * alive, (5, 5)) / np.maximum(cv2.blur(alive, (5, 5)), np.float32(0.04))
        # where few quanta arrive, nothing is a reading
        dead = (measured <= 0) & (near > 4 * np.sqrt(np.maximum(near, 0) / background.quanta[channel]))
        result.append(np.where(dead, near, light))
    return np.maximum(np.stack(result), 0).astype(np.float32)


def _variance(background: Background, channel: int, light: Float32Array) -> Float32Array:
    """Noise variance of a single pixel before any smoothing; the moment of the deposited energy counts as the light."""
    floor = np.float32(background.floor_variance(channel))
    return np.asarray(np.maximum(light, np.float32(1e-7)) / np.float32(background.quanta[channel]) + floor, np.float32)


def _averaged(background: Background, light: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Every pixel averaged with those within `_REACH` that look like it; and the share of the variance that is left."""
    box = np.full(3, 1 / 3, np.float32)
    kernel = np.convolve(box, blur_kernel(background.smoothing_px, 0.0)) if background.smoothing_px else box
    soft = np.stack([cv2.blur(c, (3, 3)) for c in light])
    spread = np.stack([_variance(background, c, cv2.blur(light[c], (5, 5))) for c in range(2)])
    spread *= np.float32((kernel**2).sum() ** 2)
    pad = ((0, 0), (_REACH, _REACH), (_REACH, _REACH))
    all_light, all_soft = np.pad(light, pad, "reflect"), np.pad(soft, pad, "reflect")
    rows, columns = light.shape[1:]
    total, weights, squares = light.copy(), np.ones((rows, columns), np.float32), np.ones((rows, columns), np.float32)
    for down in range(-_REACH, _REACH + 1):
        for across in range(-_REACH, _REACH + 1):
            if down**2 + across**2 > _REACH**2 or not (down or across):
                continue
            here = (
                slice(None),
                slice(_REACH + down, _REACH + down + rows),
                slice(_REACH + across, _REACH + across + columns),
            )
            differing = ((all_soft[here] - soft) ** 2 / (2 * spread)).sum(axis=0)
            weight = np.exp(-np.maximum(differing - 2, 0) / 2)
            total += weight * all_light[here]
            weights += weight
            squares += weight**2
    return total / weights, squares / weights**2


def _sharpened(background: Background, channel: int, light: Float32Array, left: Float32Array) -> Float32Array:
    """The light behind the goods before the scanner blurred it; `left` is the share of the noise that is in it."""
    floor = np.float32(1e-7)
    measured = np.maximum(light, floor)
    noise = np.sqrt(_variance(background, channel, measured) * left)
    sharp = measured.copy()
    for _ in range(_ROUNDS):
        seen = np.maximum(through(background, channel, sharp), floor)
        rest = measured - seen
        rest *= -np.expm1(-((rest / noise) ** 2) / 2)
        # twice the step of the plain method: a dark place beside a bright one comes out in half the rounds
        sharp *= np.clip(_recorded(background, channel, (seen + rest) / seen, turned=True), 0.3, 3) ** 2
        np.maximum(sharp, floor, out=sharp)
    return sharp


def _stand_ins(background: Background, light: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Areal densities (S, rows, columns), g/cm2, of the stand-ins that read `light`; their mass attenuation (S, E).

    At the depth of the high channel two between which the low channel lies are mixed, and their amounts are solved for
    by Newton's method.
    """
    response = background.machine.response
    attenuation = response.attenuation(STAND_INS)
    seen = -np.log(np.clip(light.reshape(2, -1), _DARKEST, 1)).astype(np.float64)
    fine = np.concatenate([[0.0], np.geomspace(1e-3, 800, 400)]).astype(np.float32)
    alone, low = [], []
    for one in attenuation:
        depth = -np.log(np.maximum(transmission(fine[None], one[None], response), 1e-12)).astype(np.float64)
        at = np.interp(_GRID, depth[0], fine)
        alone.append(np.interp(seen[0], _GRID, at))
        low.append(np.interp(seen[0], _GRID, np.interp(at, fine, depth[1])))
    thick, expected = np.asarray(alone), np.asarray(low)
    pixels = np.arange(seen.shape[1])
    measured = np.clip(seen[1], expected.min(axis=0), expected.max(axis=0))
    first, second = (_nearest if background.machine.kind == "container" else _lightest)(expected, measured)
    below, above = expected[first, pixels], expected[second, pixels]
    share = np.clip((measured - below) / np.where(above > below, above - below, 1e9), 0, 1)
    areal = np.stack([thick[first, pixels] * (1 - share), thick[second, pixels] * share])
    areal = _solved(areal, np.stack([seen[0], measured]), attenuation, (first, second), response.weights)
    result = np.zeros((len(STAND_INS), seen.shape[1]), np.float32)
    result[first, pixels], result[second, pixels] = areal
    return result.reshape(len(STAND_INS), *light.shape[1:]), attenuation


def _lightest(expected: Floats, measured: Floats) -> tuple[Integers, Integers]:
    """The first two stand-ins in a row between whose -ln T (low) the measured one lies: light goods come first.

    Args:
        expected: (S, N), of the stand-ins alone.
        measured: (N,), within their range.
    """
    first = np.argmax(expected, axis=0) - 1
    settled = measured <= expected[0]
    first[settled] = 0
    for k in range(len(expected) - 1):
        between = ~settled & (expected[k] < measured) & (measured <= expected[k + 1])
        first[between] = k
        settled |= between
    first = np.maximum(first, 0)
    return first, first + 1


def _nearest(expected: Floats, measured: Floats) -> tuple[Integers, Integers]:
    """The two stand-ins next below and above: behind thick goods of megavolts their order turns."""
    rank = np.argsort(expected, axis=0)
    upper = np.clip((np.take_along_axis(expected, rank, 0) < measured).sum(axis=0), 1, len(expected) - 1)
    pixels = np.arange(len(measured))
    return rank[upper - 1, pixels], rank[upper, pixels]


def _solved(
    areal: Floats,
    seen: Floats,
    attenuation: Float32Array,
    pairs: tuple[Integers, Integers],
    weights: Float32Array,
) -> Floats:
    """Newton's method, two rounds, for the amounts of two materials whose -ln T is known in both channels.

    Args:
        areal: (2, N), a first guess, g/cm2.
        seen: (2, N), -ln T.
        attenuation: (S, E), cm2/g.
        pairs: numbers of the two materials, (N,) each.
        weights: (E, 2), of the response.
    """
    result = areal.copy()
    for one, other in np.unique(np.stack(pairs), axis=1).T:
        here = (pairs[0] == one) & (pairs[1] == other)
        mu, guess, wanted = attenuation[[one, other]].astype(np.float64), result[:, here], seen[:, here]
        for _ in range(2):
            light = weights[:, :, None] * np.exp(-mu.T @ guess)[:, None]  # (E, 2, N)
            total = np.maximum(light.sum(axis=0), 1e-12)
            slope = np.einsum("ecn,me->cmn", light, mu) / total[:, None]
            miss = wanted + np.log(total)
            determinant = slope[0, 0] * slope[1, 1] - slope[0, 1] * slope[1, 0]
            solvable = np.abs(determinant) > 1e-3 * np.abs(slope[0, 0] * slope[1, 1])
            step = np.stack(
                [slope[1, 1] * miss[0] - slope[0, 1] * miss[1], slope[0, 0] * miss[1] - slope[1, 0] * miss[0]]
            ) / np.where(solvable, determinant, 1.0)
            step[:, ~solvable] = 0
            # never far: beyond the range of the two there is no solution
            reach = 0.2 * guess.sum(axis=0) + 1e-3
            guess = np.maximum(guess + np.clip(step, -reach, reach), 0)
        result[:, here] = guess
    return result
