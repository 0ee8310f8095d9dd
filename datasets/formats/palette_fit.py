"""Fitting palettes: from pairs of picture and scan, and the colours alone from pictures of benign goods."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leadline.datasets.formats.palette import BRIGHTNESS, POSITIONS, Palette, hue_of

Float32Array = npt.NDArray[np.float32]

DEEPEST = 7.0
"""Greatest -ln T that a palette tells; deeper counts as this."""
THINNEST = 0.02
"""Least -ln T whose energy ratio counts in a fit."""

CONVENTION = (36.0, 105.0, 208.0)
"""Hues of orange, green and blue, degrees, where a vendor's own are not known."""
_HUES = ((5.0, 62.0), (82.0, 165.0), (190.0, 262.0))
"""Degrees among which orange, green and blue are looked for."""
_LEAST = 40  # pixels that a cell or a bin needs to speak for itself
_LEAST_SD = 0.02
_STEP = 0.25  # of -ln T, in which pixels are counted
_RAREST = 20  # an attenuation that so many times fewer pixels have than on average counts no more than that


def colours_of(pixels: npt.NDArray[np.uint8]) -> tuple[Float32Array, Float32Array]:
    """The three hues and the chroma of a vendor's pure colours, by brightness.

    Args:
        pixels: uint8 (3, N), red, green, blue, of pictures with organic matter, mixed goods and metal.

    Returns:
        `hues` (3, B), degrees, and `chroma` (B,) of a `Palette`; where a hue is not seen, the nearest brightness
        at which it is counts, and the common convention where it never is.
    """
    values = pixels.astype(np.float32) / np.float32(255)
    brightness = np.float32(0.299) * values[0] + np.float32(0.587) * values[1] + np.float32(0.114) * values[2]
    hue, chroma = hue_of(values)
    rows = np.rint(brightness * (len(BRIGHTNESS) - 1)).astype(int)
    hues, strength = np.full((3, len(BRIGHTNESS)), np.nan), np.full((3, len(BRIGHTNESS)), np.nan)
    for k, (low, high) in enumerate(_HUES):
        mine = (hue > low) & (hue < high) & (chroma > 0.06)
        for row in np.unique(rows[mine]):
            here = mine & (rows == row)
            if here.sum() >= _LEAST:
                hues[k, row] = np.median(hue[here])
                strength[k, row] = np.quantile(chroma[here], 0.7)
        hues[k] = _filled(hues[k], CONVENTION[k])
    told = np.isfinite(strength).any(axis=0)
    pure = np.full(len(BRIGHTNESS), np.nan)
    pure[told] = np.nanmedian(strength[:, told], axis=0)
    kernel = np.ones(3) / 3
    hues = np.stack([np.convolve(np.pad(h, 1, mode="edge"), kernel, "valid") for h in hues])
    return hues.astype(np.float32), _filled(pure, 0.4).astype(np.float32)


def fit_pairs(
    name: str,
    title: str,
    pixels: npt.NDArray[np.uint8],
    transmissions: Float32Array,
    colours: tuple[Float32Array, Float32Array] | None = None,
) -> Palette:
    """Fit a palette to pixels whose transmissions are known.

    In each cell of brightness and position mean and standard deviation are taken of all that was shown in it; pixels
    of an attenuation that many have count less, by how many have it to the power of 3/4, so that what most goods are
    does not stand for all. Cells that few pixels reach take from the nearest ones, with their spread.

    Args:
        name, title: of the palette.
        pixels: uint8 (3, N), red, green, blue.
        transmissions: float32 (2, N), high and low energy.
        colours: the vendor's hues and chroma, if known; found among the pixels otherwise.

    Raises:
        ValueError: fewer than 1,000 pixels show goods.
    """
    high, low = (-np.log(np.clip(t, np.exp(-DEEPEST), 1.2)) for t in transmissions)
    if (high > THINNEST).sum() < 1000:
        raise ValueError(f"only {(high > THINNEST).sum()} pixels show goods, 1,000 are needed")
    hues, chroma = colours or colours_of(pixels)
    shape = (len(BRIGHTNESS), len(POSITIONS) + 1)
    empty = [np.zeros(shape, np.float32)] * 4
    blank = Palette(name, title, hues, chroma, *empty)
    brightness, position, colourful = blank.coordinates(pixels)
    rows = np.rint(brightness * (shape[0] - 1)).astype(int)
    columns = np.rint(position * (len(POSITIONS) - 1) / 2).astype(int)
    columns = np.where(colourful < 0.5, shape[1] - 1, columns)
    cells = rows * shape[1] + columns
    ratio = low / np.maximum(high, THINNEST)
    thick = high > THINNEST
    weights = _weights(np.maximum(high, 0))
    attenuation = _moments(cells, np.maximum(high, 0), weights, shape)
    energy = _moments(cells[thick], np.clip(ratio[thick], 0.9, 4), weights[thick], shape)
    means = np.minimum.accumulate(attenuation[0], axis=0)
    means[-1] = np.minimum(means[-1], 0.005)  # white is the open beam
    tables = (means, attenuation[1] + np.abs(means - attenuation[0]), energy[0], energy[1])
    return Palette(name, title, hues, chroma, *(t.astype(np.float32) for t in tables))


def _weights(high: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Weight of each pixel, 1 on average, by how many have its -ln T."""
    bins = np.minimum((high / _STEP).astype(int), round(DEEPEST / _STEP) - 1)
    counts = np.bincount(bins, minlength=round(DEEPEST / _STEP))
    weights = 1 / np.maximum(counts, len(high) / len(counts) / _RAREST)[bins] ** 0.75
    return weights / weights.mean()


def _moments(
    cells: npt.NDArray[np.int_],
    values: npt.NDArray[np.floating],
    weights: npt.NDArray[np.floating],
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each cell, borrowing from neighbours where there are few values."""
    size = shape[0] * shape[1]
    moments = [np.bincount(cells, weights * values**k, minlength=size) for k in range(3)]
    sums = np.stack([*moments, np.bincount(cells, minlength=size)]).reshape(4, *shape)
    # rows close by speak too, the farther the less; then columns close by
    near = np.exp(-0.5 * (np.subtract.outer(np.arange(shape[0]), np.arange(shape[0])) / 0.7) ** 2)
    total = np.einsum("ij,kjc->kic", near, sums)
    for reach in range(1, max(shape)):
        few = total[3] < _LEAST
        if not few.any():
            break
        wide = np.exp(-0.5 * (np.subtract.outer(np.arange(shape[0]), np.arange(shape[0])) / (0.7 + reach)) ** 2)
        side = np.exp(-0.5 * (np.subtract.outer(np.arange(shape[1]), np.arange(shape[1])) / (0.4 * reach)) ** 2)
        borrowed = np.einsum("ij,kjc,cd->kid", wide, sums, side)
        total = np.where(few[None], borrowed, total)
    count = np.maximum(total[0], 1e-9)
    mean = total[1] / count
    return mean, np.sqrt(np.maximum(total[2] / count - mean**2, _LEAST_SD**2))


def _filled(values: npt.NDArray[np.float64], otherwise: float) -> npt.NDArray[np.float64]:
    """Gaps filled between and beyond the known ones."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return np.full_like(values, otherwise)
    return np.interp(np.arange(len(values)), known, values[known])
