"""From transmission to what the network sees of a pixel: attenuation, energy contrast, both over the goods around it.

Noise averages out in transmission, not in its logarithm (at low counts the mean of logs is biased), so images are
averaged as transmissions and each average is turned into attenuation by itself.

All resolutions come from halving with the last, incomplete cell kept, so any height and width works.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from leadline.models.config import NetworkConfig

BRIGHTEST = 1.15
"""Transmissions above are cut: noise and gain drift reach there, cargo never does."""

FEATURES = 11
SURROUNDINGS = 9
"""Side of the window, cells of a level, over which goods count as the background of what is smaller."""


def halve(x: Tensor, size: int = 2) -> Tensor:
    """Average over `size` x `size` blocks; those at the lower and right edge average what they have."""
    return functional.avg_pool2d(x, size, size, ceil_mode=True, count_include_pad=False)


def pool_pixels(transmission: Tensor, config: NetworkConfig) -> Tensor:
    """The network's first step: cut what is brighter than `BRIGHTEST`, average over blocks of `pool` pixels.

    Args:
        transmission: (N, 2, rows, columns).
        config: of the network.

    Returns:
        (N, 2, ceil(rows / pool), ceil(columns / pool)).
    """
    return halve(transmission.clamp(0.0, BRIGHTEST), config.pool)


def attenuation_features(t: Tensor, config: NetworkConfig) -> Tensor:
    """Attenuation and energy contrast of averaged transmissions.

    Args:
        t: (N, 2, h, w), [high, low].
        config: floor and scales.

    Returns:
        (N, 4, h, w): both attenuations a = -ln T, their difference, and the contrast
        (a_low - a_high) / (a_high + thin).
    """
    a = -torch.log(t.clamp(min=config.floor))
    difference, ratio = _contrast(a, config.thin)
    return torch.cat((a, difference, ratio), 1)


def _contrast(a: Tensor, thin: float) -> tuple[Tensor, Tensor]:
    """Difference of the attenuations [high, low], and its share of the high one."""
    high, low = a[:, :1], a[:, 1:]
    difference = low - high
    return difference, (difference / (high.clamp(min=0.0) + thin)).clamp(-1.0, 4.0)


def excess_features(a: Tensor, config: NetworkConfig) -> Tensor:
    """What lies on top of the goods around it: a thing between others shows its own energy contrast here.

    The background is the morphological opening of each attenuation (least, then greatest of a window), so
    what remains, the top hat, is what is narrower than the window.

    Args:
        a: (N, 2, h, w) attenuations, [high, low].
        config: scales; the contrast of thin excesses is noise, so four times `thin` is added below it.

    Returns:
        (N, 2, h, w): high-energy attenuation over the background, and its energy contrast.
    """
    excess = a - _greatest(-_greatest(-a))
    return torch.cat((excess[:, :1], _contrast(excess, 4 * config.thin)[1]), 1)


def _greatest(x: Tensor) -> Tensor:
    """Greatest value of each window of `SURROUNDINGS` cells; row and column apart, which costs less."""
    half = SURROUNDINGS // 2
    across = functional.max_pool2d(x, (1, SURROUNDINGS), 1, (0, half))
    return functional.max_pool2d(across, (SURROUNDINGS, 1), 1, (half, 0))


def periodic_features(features: Tensor, config: NetworkConfig) -> Tensor:
    """Attenuation and excess features with what makes small contrasts large.

    Args:
        features: (N, 6, h, w), `attenuation_features` and `excess_features`.
        config: period and thinness.

    Returns:
        (N, FEATURES, h, w): also sine and cosine of both contrasts over `ratio_period`, and the
        logarithm of the high-energy attenuation.
    """
    angle = features[:, 3::2] * (2 * math.pi / config.ratio_period)
    shade = torch.log(features[:, :1].clamp(min=0.0) + config.thin)
    return torch.cat((features, torch.sin(angle), torch.cos(angle), shade), 1)
