"""Places and masses against maps whose answers were worked out by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from leadline.datasets.scan import Scan
from leadline.inference.engine import Scores
from leadline.inference.quality import assess
from leadline.inference.regions import MOST_REGIONS, find_opaque, find_regions

Picture = Callable[..., Scan]
Answers = Callable[..., Scores]
WATCHED = ("antimony", "rare_earth_oxide", "rare_earth_magnet")


def test_box_probability_and_mass(picture: Picture, answers: Answers) -> None:
    """6 x 4 cells and a margin of one cell, of 4 pixels of 1.5 mm, 2 g/cm2:

    48 cells x 0.36 cm2 x 2 g/cm2 = 34.56 g, times 0.5 and 2.
    """
    scores = answers(places=(("antimony", (5, 3, 11, 7), 0.9),), areal=2.0)
    (region,) = find_regions(scores, picture(), WATCHED)
    assert region.box == (20, 12, 44, 28)
    assert region.family == "antimony"
    assert region.probability == pytest.approx(0.9)
    assert region.mass_kg == pytest.approx((0.01728, 0.06912))
    assert region.area_cm2 == pytest.approx(24 * 0.36)


def test_no_mass_without_a_pixel_size(picture: Picture, answers: Answers) -> None:
    scores = answers(places=(("antimony", (5, 3, 11, 7), 0.9),), areal=2.0)
    (region,) = find_regions(scores, picture(pixel_mm=None), WATCHED)
    assert (region.mass_kg, region.area_cm2) == (None, None)


def test_boxes_end_with_the_scan(picture: Picture, answers: Answers) -> None:
    """93 x 126 pixels are 24 x 32 cells, of which the last are not whole."""
    scores = answers(shape=(93, 126), places=(("antimony", (30, 22, 32, 24), 0.9),), areal=1.0)
    (region,) = find_regions(scores, picture(shape=(93, 126)), WATCHED)
    assert region.box == (120, 88, 126, 93)


def test_one_place_has_one_family(picture: Picture, answers: Answers) -> None:
    """Oxide and antimony compete cell by cell; the one with more evidence in all has it."""
    places = (("rare_earth_oxide", (4, 4, 12, 12), 0.8), ("antimony", (4, 4, 6, 6), 0.95))
    (region,) = find_regions(answers(places=places), picture(), WATCHED)
    assert region.family == "rare_earth_oxide"
    assert region.box == (16, 16, 48, 48)
    assert region.probability == pytest.approx(0.8)


def test_two_places_and_a_gap_of_one_cell(picture: Picture, answers: Answers) -> None:
    places = (
        ("antimony", (2, 2, 6, 6), 0.7),
        ("antimony", (7, 2, 10, 6), 0.7),  # one place with the first
        ("rare_earth_magnet", (20, 10, 24, 14), 0.9),
    )
    found = find_regions(answers(places=places), picture(), WATCHED)
    assert [(r.family, r.box) for r in found] == [
        ("rare_earth_magnet", (80, 40, 96, 56)),
        ("antimony", (8, 8, 40, 24)),
    ]


def test_below_the_threshold_only_an_alarm_names_a_place(picture: Picture, answers: Answers) -> None:
    scores = answers(places=(("antimony", (5, 3, 11, 7), 0.3), ("antimony", (20, 15, 22, 17), 0.2)))
    assert find_regions(scores, picture(), WATCHED) == []
    (region,) = find_regions(scores, picture(), WATCHED, always=True)
    assert region.box == (20, 12, 44, 28)
    assert region.probability == pytest.approx(0.3)


def test_only_the_families_asked_for(picture: Picture, answers: Answers) -> None:
    scores = answers(places=(("antimony", (5, 3, 11, 7), 0.9), ("lead", (1, 1, 4, 4), 0.9)))
    assert find_regions(scores, picture(), ("rare_earth_oxide",)) == []
    assert find_regions(scores, picture(), ()) == []
    assert len(find_regions(scores, picture(), WATCHED)) == 1


def test_never_more_than_help(picture: Picture, answers: Answers) -> None:
    places = tuple(("antimony", (x, y, x + 2, y + 2), 0.9) for x in range(0, 30, 5) for y in range(0, 22, 5))
    assert len(find_regions(answers(places=places), picture(), WATCHED)) == MOST_REGIONS


class TestOpaque:
    def test_area(self, picture: Picture) -> None:
        scan = picture(shape=(240, 320), boxes=((40, 40, 160, 200, 15.0),), noise=0.002)
        (place,) = find_opaque(assess(scan), scan, 6.0, 400)
        assert place.box == (40, 40, 160, 200)
        assert place.area_cm2 == pytest.approx(120 * 160 * 0.0225)
        assert place.pixels == 120 * 160

    def test_small_and_thin_things_are_no_region(self, picture: Picture) -> None:
        boxes = ((40, 40, 52, 52, 15.0), (100, 0, 106, 240, 15.0))
        scan = picture(shape=(240, 320), boxes=boxes, noise=0.002)
        assert assess(scan).unpenetrated_fraction > 0
        assert find_opaque(assess(scan), scan, 6.0, 400) == []

    def test_pixels_count_where_their_size_is_unknown(self, picture: Picture) -> None:
        scan = picture(shape=(240, 320), boxes=((40, 40, 60, 60, 15.0),), noise=0.002, pixel_mm=None)
        assert [p.area_cm2 for p in find_opaque(assess(scan), scan, 6.0, 400)] == [None]
        assert find_opaque(assess(scan), scan, 6.0, 401) == []

    def test_largest_first(self, picture: Picture) -> None:
        boxes = ((20, 20, 60, 60, 15.0), (100, 20, 220, 160, 15.0))
        scan = picture(shape=(240, 320), boxes=boxes, noise=0.002)
        places = find_opaque(assess(scan), scan, 6.0, 400)
        assert [p.pixels for p in places] == sorted((p.pixels for p in places), reverse=True)
        assert len(places) == 2


def test_nothing_anywhere(picture: Picture, answers: Answers) -> None:
    scores = answers()
    scores.evidence[:] = 0
    assert find_regions(scores, picture(), WATCHED, always=True) == []
    assert not np.isnan(scores.evidence).any()
