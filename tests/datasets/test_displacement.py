import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from leadline.datasets.simulator.appearance import shift_of


def scan(columns: float) -> np.ndarray:
    """Blocks of goods in the open beam; the low channel is displaced by some columns."""
    rng = np.random.default_rng(0)
    depth = np.zeros((160, 200))
    for _ in range(12):
        row, column = rng.integers(10, 120, 2)
        depth[row : row + 30, column : column + 40] += rng.uniform(0.2, 0.8)
    high = gaussian_filter(depth, 2.0)
    at = np.arange(200.0)
    low = 1.4 * np.stack([np.interp(at - columns, at, line) for line in high])
    return np.exp(-np.stack([high, low])).astype(np.float32)


@pytest.mark.parametrize("columns", [0.0, 0.5, -1.0])
def test_a_displacement_is_read_off_the_edges(columns: float) -> None:
    assert shift_of(scan(columns)) == pytest.approx((0.0, columns), abs=0.1)


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_scans_without_edges_tell_none_and_warn_of_nothing(level: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert shift_of(np.full((2, 100, 100), level, np.float32)) == (0.0, 0.0)
