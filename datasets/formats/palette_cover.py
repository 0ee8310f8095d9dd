"""Palettes whose stated deviations cover the truth: widened until pixels of left-out scans lie within them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from leadline.datasets.formats.palette import BRIGHTNESS, Palette
from leadline.datasets.formats.palette_fit import DEEPEST, THINNEST, fit_pairs

Float32Array = npt.NDArray[np.float32]

WANTED = (0.72, 0.955)
"""Shares of left-out pixels within one and two deviations, at each attenuation; a normal distribution has 0.68 and
0.95, and other vendors may differ by a little more than those that were left out."""
DEPTHS = (0.02, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.5, 5.5, 7.01)
"""Edges of the bins of -ln T (high) in which the shares must hold."""
_FOLDS = 5
_ROUNDS = 20
_LEAST = 200  # pixels that speak for a bin or a row


def fit_covering(
    name: str,
    title: str,
    pixels: npt.NDArray[np.uint8],
    transmissions: Float32Array,
    scans: npt.NDArray[np.integer],
    colours: tuple[Float32Array, Float32Array] | None = None,
) -> Palette:
    """Fit a palette, and widen what it states by what scans teach that were left out of the fit.

    The palette is fitted five times, each time without a fifth of the scans. How far the truth of those lies from the
    estimate, in stated deviations, is counted by the true attenuation. As long as too few lie within, the rows of
    brightness in which they are shown are widened; nothing is narrowed. Means are those of the whole fit.

    Args:
        name, title, pixels, transmissions, colours: see `fit_pairs`.
        scans: (N,) number of the scan that each pixel is of, from 0; with fewer than two nothing can be left out.

    Raises:
        ValueError: fewer than 1,000 pixels show goods.
    """
    whole = fit_pairs(name, title, pixels, transmissions, colours)
    folds = min(_FOLDS, int(scans.max()) + 1)
    if folds < 2:
        return whole
    high, low = (-np.log(np.clip(t, np.exp(-DEEPEST), 1.2)) for t in transmissions)
    truth = {"attenuation": high, "ratio": np.clip(low / np.maximum(high, THINNEST), 0.9, 4)}
    off = {key: np.zeros(len(scans), np.float32) for key in truth}
    for fold in range(folds):
        out = scans % folds == fold
        part = fit_pairs(name, title, pixels[:, ~out], transmissions[:, ~out], (whole.hues, whole.chroma))
        light, unsure = part.estimate(pixels[:, out])
        depth = -np.log(np.minimum(light, 0.9999))
        off["attenuation"][out] = np.abs(depth[0] - truth["attenuation"][out]) / unsure.attenuation
        off["ratio"][out] = np.abs(depth[1] / depth[0] - truth["ratio"][out]) / unsure.ratio
    rows = np.rint(whole.coordinates(pixels)[0] * (len(BRIGHTNESS) - 1)).astype(int)
    goods = high > THINNEST
    wider = {key: _factors(off[key][goods], rows[goods], high[goods])[:, None] for key in truth}
    return replace(
        whole,
        attenuation_sd=(whole.attenuation_sd * wider["attenuation"]).astype(np.float32),
        ratio_sd=(whole.ratio_sd * wider["ratio"]).astype(np.float32),
    )


def _factors(
    off: npt.NDArray[np.floating], rows: npt.NDArray[np.int_], depth: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """By how much each row of brightness must state more; (B,), 1 or more.

    Args:
        off: distances from the truth in stated deviations.
        rows: of the pixels.
        depth: true -ln T (high) of the pixels.
    """
    bins = np.digitize(depth, DEPTHS) - 1
    counts = np.bincount(bins, minlength=len(DEPTHS))
    inside = [bins == k for k in range(len(DEPTHS))]
    weight = 1 / counts[bins]  # each attenuation counts alike
    near = [np.abs(rows - row) <= 1 for row in range(len(BRIGHTNESS))]
    factors = np.ones(len(BRIGHTNESS))
    for _ in range(_ROUNDS):
        now = off / factors[rows]
        short = np.ones(len(DEPTHS))
        for k, here in enumerate(inside):
            if counts[k] >= _LEAST:
                one, two = np.quantile(now[here], WANTED)
                short[k] = max(1.0, one, two / 2)
        if short.max() < 1.02:
            break
        for row, here in enumerate(near):
            if here.sum() >= _LEAST:
                factors[row] *= np.average(short[bins[here]], weights=weight[here])
    return factors
