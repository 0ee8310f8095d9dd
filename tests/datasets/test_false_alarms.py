import numpy as np
import pytest
from scipy.stats import genpareto

from leadline.datasets.false_alarms import threshold_at


def test_read_off_where_there_are_enough_scans() -> None:
    honest = np.arange(10000) / 10000
    assert threshold_at(0.01, honest) == pytest.approx(0.99, abs=1e-3)
    assert threshold_at(0.2, honest[:100]) == pytest.approx(0.008, abs=2e-4)


@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.2])
def test_further_out_by_the_shape_of_the_tail(shape: float) -> None:
    tail = genpareto(shape, 0, 2.0)
    reached = [
        tail.sf(threshold_at(0.002, np.sort(tail.rvs(1000, random_state=np.random.default_rng(k))))) for k in range(40)
    ]
    assert np.median(reached) == pytest.approx(0.002, rel=0.5)


def test_few_scans_err_towards_fewer_false_alarms() -> None:
    honest = np.sort(np.random.default_rng(0).uniform(size=60))
    assert threshold_at(0.002, honest) > 1.0
    assert threshold_at(0.002, np.zeros(60)) == 0.0
