"""Every sentence that the engine can say has its Chinese."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration
from leadline.inference import reasons
from leadline.inference.regions import Opaque, Region
from leadline.inference.station import chinese, words

HAN = re.compile(r"[一-鿿]")
DECLARATIONS = [
    None,
    Declaration("381600", None),
    Declaration(None, "tile adhesive, 25 kg bags"),
    Declaration("381600", "瓷砖胶"),
    Declaration(None, "a; b is declared, probability (odd)."),
]


def sentences() -> list[str]:
    """What every function of `reasons` says, in all its forms."""
    quality: Any = SimpleNamespace(unpenetrated_goods=0.62, one_energy_fraction=0.07, unpenetrated_fraction=0.97)
    said: list[str] = [reasons.below(0.1, 0.4), reasons.novel(1.7), reasons.one_energy_only(quality)]
    said += [reasons.no_reading(quality), reasons.swapped(), reasons.noisy(0.2, 0.15), reasons.clipped(0.08)]
    said += [reasons.dead_lines(120), reasons.open_beam(0.45), *reasons.fidelity("single")]
    unsure: Any = SimpleNamespace(attenuation_sd=0.42, ratio_sd=0.16)
    said += reasons.fidelity("pseudocolour", unsure)
    opaque = [[Opaque((0, 0, 9, 9), 81, a) for a in areas] for areas in ([900.0], [20.0, 4e4], [None], [None, None])]
    for declaration in DECLARATIONS:
        said.append(reasons.alarm(0.93, 0.41, declaration))
        said.append(reasons.mostly_opaque(quality, declaration))
        said.append(reasons.explained(["antimony"], {"antimony": 0.9}, declaration, 0.8, 0.4))
        for places in opaque:
            said += reasons.hidden(places, declaration)
            said.append(reasons.opaque_explained(places, declaration))
    for kind in ("parcel", "container"):
        for family in catalogue().watched:
            for mass in (None, (0.4, 0.4), (0.2, 3.0), (200.0, 4000.0)):
                for area in (None, 300.0, 12_000.0):
                    region = Region((0, 0, 9, 9), family, 0.97, mass, area)
                    said += reasons.places([region] * 5, kind)  # type: ignore[arg-type]
    return sorted(set(said))


@pytest.mark.parametrize("sentence", sentences())
def test_every_sentence_is_translated(sentence: str) -> None:
    told = chinese.translate(sentence)
    assert told != sentence
    assert HAN.search(told)
    # The declarant's own words, between quotation marks, stay as they are; no other English word does.
    rest = re.sub(r"“.*”", "", told)
    assert not [w for w in re.findall(r"[A-Za-z]{2,}", rest) if w not in ("HS", "kg", "cm", "mm")]
    for number in re.findall(r"\d+\.\d{2,}", sentence):
        assert number in told


def test_no_function_of_reasons_was_forgotten() -> None:
    """A new sentence must be added here and to `chinese`."""
    known = {
        "alarm", "below", "places", "hidden", "opaque_explained", "mostly_opaque", "explained", "novel", "fidelity",
        "one_energy_only", "no_reading", "swapped", "noisy", "clipped", "dead_lines", "open_beam", "title", "percent",
        "area", "mass_range", "declared_goods", "goods",
    }  # fmt: skip
    public = {n for n, f in vars(reasons).items() if callable(f) and getattr(f, "__module__", "") == reasons.__name__}
    assert {n for n in public if not n.startswith("_")} == known


def test_every_family_has_a_chinese_name() -> None:
    assert set(chinese.FAMILIES) == {family.title for family in catalogue().families}


def test_the_reports_words_are_in_both_languages() -> None:
    for english, other in words.WORDS.values():
        assert english
        assert HAN.search(other)
