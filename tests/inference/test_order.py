"""Medians and quantiles: numpy's very figures, whatever the values."""

from __future__ import annotations

import numpy as np
import pytest

from leadline.inference.order import median, quantile

RNG = np.random.default_rng(4)

KINDS = {
    "spread": lambda n: RNG.gamma(2, 1, n),
    "many alike": lambda n: np.round(RNG.gamma(2, 1, n)),
    "all alike": lambda n: np.full(n, 0.25),
    "rising": lambda n: np.sort(RNG.random(n)),
    "falling": lambda n: -np.sort(RNG.random(n)),
    "two heaps": lambda n: np.where(np.arange(n) < n // 2, 0.0, 1.0),
    "the sample misleads": lambda n: np.where(np.arange(n) % max(1, n // 1024) == 0, 9.0, RNG.random(n)),
}


@pytest.mark.parametrize("count", [1, 2, 3, 8, 1000, 5000, 5001, 12000])
@pytest.mark.parametrize("kind", KINDS)
def test_as_numpy(kind, count):
    values = KINDS[kind](count).astype(np.float32)
    before = values.copy()
    assert median(values) == np.median(values)
    for share in (0, 0.005, 0.2, 0.5, 0.8, 0.995, 1):
        assert quantile(values, share) == np.quantile(values, share), share
    np.testing.assert_array_equal(values, before)


def test_by_hand():
    assert median(np.float32([3, 1, 2])) == 2
    assert median(np.float32([4, 1, 2, 3])) == 2.5
    assert quantile(np.float32([0, 10]), 0.25) == 2.5
