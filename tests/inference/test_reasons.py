"""Words for figures."""

import pytest

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import KINDS, Declaration
from leadline.inference import reasons
from leadline.inference.regions import Region


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.0004, "0.1 %"),
        (0.004, "0.4 %"),
        (0.5, "50 %"),
        (0.973, "97 %"),
        (0.9999, "99.9 %"),
        (1, "100 %"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert reasons.percent(share) == text


@pytest.mark.parametrize(("cm2", "text"), [(3.4, "3 cm²"), (42, "42 cm²"), (1000, "0.1 m²"), (12345, "1.2 m²")])
def test_area(cm2: float, text: str) -> None:
    assert reasons.area(cm2) == text


@pytest.mark.parametrize(
    ("mass", "text"),
    [
        ((0.0123, 0.05), "12 to 50 g"),
        ((0.45, 1.84), "450 g to 1.8 kg"),
        ((12.2, 30), "12 to 30 kg"),
        ((450, 1830), "450 kg to 1.8 t"),
        ((1200, 25400), "1.2 to 25 t"),
        ((0.0, 0.0), "about 0 g"),
    ],
)
def test_mass(mass: tuple[float, float], text: str) -> None:
    assert reasons.mass_range(mass) == text


@pytest.mark.parametrize(
    ("declaration", "text"),
    [
        (None, "nothing is declared"),
        (Declaration(), "nothing is declared"),
        (Declaration("690721", None), "HS 690721 is declared"),
        (Declaration(None, "瓷砖"), "“瓷砖” is declared"),
        (Declaration(None, "a\n b " + "c" * 99), "“a b " + "c" * 55 + "…” is declared"),
        (Declaration("690721", "tiles"), "“tiles” (HS 690721) is declared"),
    ],
)
def test_goods(declaration: Declaration | None, text: str) -> None:
    assert reasons.declared_goods(declaration) == text


def test_every_watched_family_says_what_cannot_be_told() -> None:
    for kind in KINDS:
        for family in catalogue().watched:
            assert (kind, family) in reasons.UNTOLD


def test_many_places_are_counted() -> None:
    regions = [Region((0, 0, 8, 8), "antimony", 0.9, (1.0, 2.0), 5.0)] * 5
    said = reasons.places(regions, "parcel")
    assert sum("looks like antimony" in s for s in said) == 3
    assert "2 more places look like watch-list material." in said
