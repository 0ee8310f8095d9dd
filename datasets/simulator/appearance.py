"""How a scan looks: noise, vendor's smoothing, blur and channel misregistration, measured on the picture alone."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.physics.forward import transmission_and_noise
from leadline.datasets.simulator.scanner import Machine

Float32Array = npt.NDArray[np.float32]


def noise_of(channel: Float32Array, machine: Machine, index: int) -> tuple[float, float]:
    """Effective quanta per open-beam pixel, and the vendor's smoothing (standard deviation, pixels).

    Second differences of neighbours and of pixels three apart are taken in patches of 8 x 8 and 24 x 24 that no
    clipped or dead pixel touches. In each bin of brightness the quieter patches count, for texture only adds; the
    variance is fitted as (moment of the deposited energy) / quanta + (gain error x transmission)^2,
    the moment being that behind steel (containers) or aluminium (parcels). Where neighbours differ less
    than pixels three apart, the noise was smoothed.
    """
    near, mean = _spread(channel, 1)
    far, far_mean = _spread(channel, 3)
    fine = np.concatenate([[0.0], np.geomspace(1e-3, 600, 300)]).astype(np.float32)
    attenuation = machine.response.attenuation(("steel" if machine.kind == "container" else "aluminium",))
    light, moment = transmission_and_noise(fine[None], attenuation, machine.response)
    order = np.argsort(light[index])
    expected = np.sqrt(np.interp(np.maximum(mean, 1e-4), light[index][order], moment[index][order]))
    expected_far = np.sqrt(np.interp(np.maximum(far_mean, 1e-4), light[index][order], moment[index][order]))
    points, ratios = [], []
    for low, high in pairwise(_LEVELS):
        here = (mean > low) & (mean <= high) & (near > 0)
        there = (far_mean > low) & (far_mean <= high) & (far > 0)
        if min(here.sum(), there.sum()) < 40:
            continue
        sigma = _quiet(near[here] / expected[here])
        points.append((float(np.median(mean[here] / expected[here])), sigma, here.sum()))
        ratios.append(sigma / _quiet(far[there] / expected_far[there]))
    if not points:
        return float(machine.quanta[index]), 0.0
    # texture makes far differences larger than noise does: the fullest bin has least of it
    ratio = ratios[int(np.argmax([p[2] for p in points]))]
    smoothing = float(np.interp(ratio, _SMOOTH_RATIO[::-1], _SMOOTHING[::-1]))
    smoothing = 0.0 if smoothing < _LEAST_SMOOTHING else smoothing
    share, sigma, count = np.array(points).T  # transmission and noise over the root of the moment
    white = sigma**2 / np.interp(smoothing, _SMOOTHING, _SMOOTH_LEFT)
    matrix = np.stack([np.ones(len(white)), share**2], axis=1) / white[:, None]
    weight, fit = count**0.5, np.array([1 / np.median(1 / white), 0.0])
    for _ in range(6):  # least absolute relative deviations, by reweighting
        now = weight / np.maximum(np.abs(matrix @ fit - 1), 0.05)
        fit, *_ = np.linalg.lstsq(matrix * now[:, None] ** 0.5, now**0.5, rcond=None)
        if len(white) < 4 or min(fit) <= 0:
            fit = np.array([float(np.exp(np.average(np.log(white), weights=now))), 0.0])
    inverse = float(fit[0])
    return float(np.clip(1 / max(inverse, 1e-9), 50, 5e6)), smoothing


def _quiet(noise: npt.NDArray[np.floating]) -> float:
    """Noise of the quieter patches, without the bias of having chosen them."""
    return float(np.median(np.sort(noise)[: max(12, int(_QUIET * len(noise)))])) / _QUIET_BIAS


def _spread(channel: Float32Array, lag: int) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """Robust noise of each patch from second differences `lag` apart, the smaller of both directions, and its mean.

    NaN-free: patches with clipped or dead pixels have noise 0.
    """
    top = float(channel.max())
    bad = cv2.dilate(((channel >= min(top, 1.0)) | (channel <= 0)).astype(np.uint8), np.ones((3, 3), np.uint8))
    rows, columns = channel.shape[0] - 2 * lag, channel.shape[1] - 2 * lag
    middle = (slice(lag, lag + rows), slice(lag, lag + columns))
    down = channel[: -2 * lag] - 2 * channel[lag:-lag] + channel[2 * lag :]
    across = channel[:, : -2 * lag] - 2 * channel[:, lag:-lag] + channel[:, 2 * lag :]
    pair = (_patches(np.abs(down[:, middle[1]])), _patches(np.abs(across[middle[0]])))
    spread = np.minimum(*(1.4826 * np.median(p, axis=1) / np.sqrt(6) for p in pair))
    spread[_patches(bad[middle]).mean(axis=1) > 0.1] = 0
    return spread, np.median(_patches(channel[middle]), axis=1)


# White noise, smoothed by the scanner's own kernel and measured by `_spread`: `crosscheck_projection.py --constants`
_QUIET = 0.3
_QUIET_BIAS = 0.786
_SMOOTHING = np.array([0.0, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7])
_SMOOTH_RATIO = np.array([1.0, 0.877, 0.838, 0.796, 0.750, 0.700, 0.652, 0.602, 0.555, 0.511, 0.437])
_SMOOTH_LEFT = np.array([1.0, 0.396, 0.303, 0.229, 0.170, 0.1235, 0.0901, 0.0652, 0.0474, 0.0345, 0.0188])
_LEAST_SMOOTHING = 0.22
_LEVELS = np.array([0.01, 0.03, 0.08, 0.15, 0.25, 0.4, 0.55, 0.7, 0.85, 1.1])


def _patches(image: npt.NDArray, side: int = 8) -> npt.NDArray:
    rows, columns = image.shape[0] // side, image.shape[1] // side
    cut = image[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.transpose(0, 2, 1, 3).reshape(rows * columns, side * side)


def blur_of(channel: Float32Array) -> float:
    """Standard deviation of the blur in pixels, 0.15 to 2.5, from the sharpest edges.

    Across a straight edge of height h that a Gaussian of sigma blurs, the steepest difference of two
    neighbouring pixels is h erf(1 / (2 sqrt 2 sigma)) or less; the sharper third of the strong edges
    tells. The lowest seventh of the picture, where rails and chassis stand, is left out.
    """
    sigmas: list[float] = []
    smooth = repaired(channel[: max(32, int(0.86 * len(channel)))])
    for image in (smooth, smooth.T):
        step = np.abs(image[:, 8:] - image[:, :-8])
        slopes = np.abs(np.diff(image, axis=1))
        near = np.stack([slopes[:, k : k + step.shape[1]] for k in range(3, 5)]).max(axis=0)
        flat = np.abs(image[:, 2:] - image[:, :-2])
        before, after = flat[:, : step.shape[1]], flat[:, 6 : 6 + step.shape[1]]
        clean = (step > 0.25) & (before < 0.1 * step) & (after < 0.1 * step)
        if clean.sum() >= 30:
            ratio = near[clean] / step[clean]
            sigmas.append(_sigma_of(float(np.quantile(ratio, 0.7))))
    return min(sigmas) if sigmas else 0.5


_SIGMAS = np.linspace(0.15, 2.5, 60)


def _sigma_of(ratio: float) -> float:
    """The blur whose steepest difference of neighbours is this share of an edge."""
    x = np.linspace(-4, 4, 801)
    shares = [
        np.trapezoid(np.exp(-(x**2) / 2) * np.clip(1 - np.abs(s * x), 0, 1), x) / np.sqrt(2 * np.pi) for s in _SIGMAS
    ]
    return float(np.interp(ratio, shares[::-1], _SIGMAS[::-1]))


_TOLD, _STEEP = 500, 50  # pixels of goods, and of their edges, without which no displacement can be told


def shift_of(transmission: Float32Array) -> tuple[float, float]:
    """(rows, columns) by which the low channel is displaced, at most 2 pixels.

    -ln T (low) is predicted from -ln T (high) by a cubic; what is left at edges goes with the slope of the
    prediction (B. D. Lucas and T. Kanade, 1981), the same way on both sides of an object, as materials do not.
    """
    images = []
    for channel in transmission:
        soft = cv2.GaussianBlur(repaired(channel), (0, 0), 1.0)
        images.append(-np.log(np.clip(soft[::1, ::1], 0.01, 1.5)).astype(np.float64))
    high, low = images
    told = (high > 0.02) & (high < 3.5) & (low < 4)
    if told.sum() < _TOLD or np.ptp(high[told]) < 0.05:  # too few goods, or all of one depth: no edge tells anything
        return 0.0, 0.0
    prediction = np.polyval(np.polyfit(high[told][::7], low[told][::7], 3), high)
    slopes = np.gradient(prediction)
    steep = told & (np.hypot(*slopes) > max(float(np.quantile(np.hypot(*slopes)[told], 0.9)), 0.01))
    steep[:3] = steep[-3:] = steep[:, :3] = steep[:, -3:] = False
    if steep.sum() < _STEEP:
        return 0.0, 0.0
    rest = (low - prediction)[steep]
    matrix = np.stack([slopes[0][steep], slopes[1][steep], np.ones(len(rest))], axis=1)
    keep = np.ones(len(rest), bool)
    answer = np.zeros(3)
    for _ in range(4):  # edges of a different material are outliers
        answer, *_ = np.linalg.lstsq(matrix[keep], rest[keep], rcond=None)
        left = np.abs(rest - matrix @ answer)
        keep = left < 2.5 * 1.4826 * np.median(left) + 1e-9
    rows, columns = -answer[:2]
    return (0.0, 0.0) if max(abs(rows), abs(columns)) > 2 else (float(rows), float(columns))


def repaired(channel: Float32Array) -> Float32Array:
    """Dead pixels (0 among light) replaced by the median of their neighbours."""
    median = cv2.medianBlur(np.ascontiguousarray(channel), 3)
    return np.where((channel <= 0) & (median > 0.02), median, channel)
