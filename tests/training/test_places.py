import numpy as np
import pytest

from leadline.training.places import inside_any, strongest_place


def maps() -> tuple[np.ndarray, np.ndarray]:
    """Three families; family 1 in a large weak patch and a small strong one, family 2 inside the latter."""
    evidence = np.full((3, 20, 30), 0.01, np.float32)
    evidence[0] = 0.99  # not watched
    evidence[1, 2:10, 2:10] = 0.6
    evidence[1, 14:17, 20:24] = 0.95
    evidence[2, 14:15, 20:21] = 0.97
    areal = np.zeros((2, 20, 30), np.float32)
    areal[1, 14:17, 20:24] = 5.0
    return evidence, areal


def test_place_family_and_mass_by_hand() -> None:
    place = strongest_place(*maps(), watched=[1, 2], threshold=0.5, stride=4, pixel_mm=2.0)
    assert place is not None
    assert place.centre == (22 * 4, 15.5 * 4)
    assert place.family == 1
    assert place.peak == pytest.approx(0.97)
    assert place.mass_kg == pytest.approx(12 * 5.0 * 0.8**2 / 1000)  # 12 cells of 8 mm


def test_nothing_above_the_threshold_is_no_place() -> None:
    assert strongest_place(*maps(), watched=[1, 2], threshold=0.98, stride=4, pixel_mm=2.0) is None


def test_mass_needs_the_pixel_size() -> None:
    place = strongest_place(*maps(), watched=[1], threshold=0.5, stride=4, pixel_mm=None)
    assert place is not None and place.mass_kg is None


def test_inside() -> None:
    boxes = [(0, 0, 10, 10), (20, 20, 30, 40)]
    assert inside_any((25.0, 39.0), boxes) and inside_any((0.0, 10.0), boxes)
    assert not inside_any((15.0, 15.0), boxes) and not inside_any((1.0, 1.0), [])
