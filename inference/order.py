"""Medians and quantiles of many pixels: numpy's very figures in a third of its time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]

SAMPLE = 1024
"""Values that are sorted to know between which bounds the one that is sought lies."""

MARGIN = 50
"""Ranks of the sample between what is expected and each bound: three standard deviations for a median."""


def median(values: Values) -> np.float32:
    """`numpy.median` of at least one value.

    Args:
        values: float32, one-dimensional, finite.
    """
    count = len(values)
    if count % 2:
        return _pair(values, count // 2)[0]
    below, above = _pair(values, count // 2 - 1)
    return (below + above) / np.float32(2)


def quantile(values: Values, share: float) -> np.float32:
    """`numpy.quantile`, interpolated linearly and in float32.

    Args:
        values: float32, one-dimensional, finite, at least one.
        share: 0..1.
    """
    place = (len(values) - 1) * share
    rank = int(place)
    part = place - rank
    below, above = _pair(values, rank)
    step = above - below
    return below + step * np.float32(part) if part < 0.5 else above - step * np.float32(1 - part)


def _pair(values: Values, rank: int) -> tuple[np.float32, np.float32]:
    """The value of a rank (0 = least) and that of the next, the same again for the last.

    A sample tells bounds between which the value must lie, and only what lies there is put in order (Floyd and Rivest,
    "Expected time bounds for selection", 1975). Where the bounds turn out wrong, all is.
    """
    count = len(values)
    if count > 4 * SAMPLE:
        sample = np.sort(values[:: count // SAMPLE])
        expected = rank * len(sample) // count
        least = sample[max(0, expected - MARGIN)]
        most = sample[min(len(sample) - 1, expected + MARGIN)]
        among = values[(values >= least) & (values <= most)]
        left = rank - int(np.count_nonzero(values < least))
        if 0 <= left < len(among) - 1:
            return _ordered(among, left)
    return _ordered(values, rank)


def _ordered(values: Values, rank: int) -> tuple[np.float32, np.float32]:
    parted = np.partition(values, rank)
    found: np.float32 = parted[rank]
    rest = parted[rank + 1 :]
    return found, rest.min() if len(rest) else found
