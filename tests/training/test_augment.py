import numpy as np
import pytest

from leadline.training.augment import Augment, AugmentConfig, fit_canvas

STILL = {"warp": 0.0, "blind": 0.0, "response": 0.0, "split": 0.0, "gain": 0.0}


def scan(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """A scan whose areal densities are readable from its transmission: 10 families, T = 0.5 ** (g/cm2)."""
    areal = np.zeros((10, rows, columns), np.float32)
    areal[3, rows // 4 : rows // 2, columns // 8 : columns // 2] = 2.0
    areal[7, rows // 4 + 2 : rows // 4 + 6, columns // 8 + 1 : columns // 8 + 9] = 1.0
    t = np.repeat(0.5 ** areal.sum(0, keepdims=True), 2, axis=0).astype(np.float32)
    return t, areal


@pytest.mark.parametrize("shape", [(40, 60), (30, 90), (64, 33)])
def test_goods_and_transmission_move_together(shape: tuple[int, int]) -> None:
    augment = Augment(AugmentConfig((40, 60), **STILL), seed=1)
    for _ in range(8):
        t, areal = augment(*scan(*shape))
        assert t.shape == (2, 40, 60) and areal.shape == (10, 40, 60)
        assert t.dtype == areal.dtype == np.float32
        np.testing.assert_allclose(t[0], 0.5 ** areal.sum(0), atol=1e-6)


def test_warped_goods_stay_in_place() -> None:
    augment = Augment(AugmentConfig((80, 120), **(STILL | {"warp": 1.0})), seed=2)
    for _ in range(5):
        t, areal = augment(*scan(80, 120))
        dense = areal.sum(0) > 1.0
        assert 100 < dense.sum() < 4000
        assert (t[0][dense] < 0.75).all() and (t[0][areal.sum(0) == 0] > 0.95).all()


def test_same_seed_same_changes() -> None:
    one, two = (Augment(AugmentConfig((40, 60)), seed=5) for _ in range(2))
    for _ in range(5):
        for a, b in zip(one(*scan(50, 70)), two(*scan(50, 70)), strict=True):
            assert np.array_equal(a, b)


def test_response_keeps_the_order_and_the_range() -> None:
    augment = Augment(AugmentConfig((40, 60), warp=0.0, blind=0.0, response=0.02, split=0.01, gain=0.02), seed=3)
    seen = [augment(*scan(40, 60))[0] for _ in range(20)]
    assert all(t.min() >= 0 and t.max() <= 1.15 for t in seen)
    assert np.std([t.max() for t in seen]) > 0.002  # the open beam varies
    assert np.std([t.min() for t in seen]) < 0.02  # and nothing else is invented


def test_validation_is_cut_in_the_middle_and_padded_with_air() -> None:
    t, areal = fit_canvas(*scan(20, 100), (30, 50))
    assert t.shape == (2, 30, 50) and areal.shape == (10, 30, 50)
    assert (t[:, :5] == 1).all() and (areal[:, :5] == 0).all()
    np.testing.assert_array_equal(t[:, 5:25], scan(20, 100)[0][:, :, 25:75])
