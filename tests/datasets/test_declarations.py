"""What a declaration explains: codes, words, traps and denials."""

from __future__ import annotations

import csv
import tomllib
from importlib.resources import files

import numpy as np
import pytest

from leadline.datasets import materials
from leadline.datasets.declarations import describe, expected_families, explains, hs_code
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration, LeadlineError

NAMES = catalogue().names
WATCHED = {"antimony", "rare_earth_oxide", "rare_earth_magnet"}
DATA = files("leadline.datasets") / "data"


def expected(code: str | None = None, text: str | None = None) -> set[str]:
    vector = expected_families(Declaration(code, text))
    assert vector.dtype == np.float32
    assert vector.shape == (len(NAMES) + 1,)
    assert set(np.unique(vector)) <= {0, 1}
    return {name for name, value in zip(NAMES, vector, strict=False) if value}


def words(text: str) -> set[str]:
    """Families that a description alone adds, without those of the packing."""
    return expected(None, text) - {"organic"}


def test_the_tables_are_whole() -> None:
    rows = list(csv.DictReader((DATA / "hs_headings.csv").read_text("utf-8").splitlines()))
    codes = [row["code"] for row in rows]
    assert len(codes) == len(set(codes))
    assert [c for c in codes if len(c) == 2] == [f"{n:02d}" for n in range(1, 98)]
    for row in rows:
        assert row["title"]
        assert set(row["families"].split()) <= set(NAMES)
        assert row["families"] or row["code"] == "77"
        assert row["code"].isdigit()
    for section in tomllib.loads((DATA / "declared_words.toml").read_text("utf-8")).values():
        for families in section.values():
            assert set(families) <= set(NAMES)


def test_every_chapter_is_known() -> None:
    for chapter in set(range(1, 98)) - {77}:
        vector = expected_families(Declaration(f"{chapter:02d}99"))
        assert vector[-1] == 1
        assert vector[:-1].any()


@pytest.mark.parametrize(
    ("code", "families"),
    [
        ("3816", {"mineral"}),
        ("381600", {"mineral"}),
        ("38160020", {"mineral"}),
        ("2601", {"steel", "mineral"}),
        ("2607", {"lead", "copper", "mineral"}),
        ("2617", {"antimony", "mineral", "other_heavy"}),
        ("261710", {"antimony", "mineral"}),
        ("8110", {"antimony"}),
        ("81101000", {"antimony"}),
        ("8001", {"other_heavy"}),
        ("8101", {"other_heavy"}),
        ("8106", {"other_heavy"}),
        ("8207", {"steel", "other_heavy"}),
        ("7801", {"lead"}),
        ("7806", {"lead"}),
        ("7901", {"copper"}),
        ("7403", {"copper"}),
        ("7606", {"light_metal"}),
        ("7204", {"steel"}),
        ("7229", {"steel"}),
        ("6907", {"mineral"}),
        ("6909", {"mineral"}),
        ("3304", {"mineral"}),
        ("2106", set()),
        ("3105", {"mineral"}),
        ("2523", {"mineral"}),
        ("2505", {"mineral", "steel"}),
        ("2846", {"rare_earth_oxide"}),
        ("280530", {"rare_earth_oxide", "rare_earth_magnet", "steel"}),
        ("2825", {"antimony", "mineral", "copper", "steel", "other_heavy"}),
        ("282580", {"antimony"}),
        ("282550", {"copper"}),
        ("850511", {"rare_earth_magnet", "steel", "copper"}),
        ("850519", {"steel"}),
        ("8507", {"lead", "steel", "copper", "light_metal"}),
        ("850760", {"steel", "copper", "light_metal"}),
        ("8501", {"rare_earth_magnet", "steel", "copper", "light_metal"}),
        ("8518", {"rare_earth_magnet", "steel", "copper", "light_metal"}),
        ("8544", {"steel", "copper", "light_metal"}),
        ("9503", {"steel", "copper"}),
        ("3926", set()),
    ],
)
def test_codes(code: str, families: set[str]) -> None:
    assert expected(code) == families | {"organic"}


@pytest.mark.parametrize(
    "code", ["3816", "6907", "3304", "2106", "2601", "2505", "7204", "3105", "9703", "6909", "3926"]
)
def test_the_covers_of_smugglers_explain_nothing_watched(code: str) -> None:
    assert not expected(code) & WATCHED
    assert "lead" not in expected(code)


@pytest.mark.parametrize(
    ("text", "families"),
    [
        ("lead", {"lead"}),
        ("LEAD INGOTS 99.97%", {"lead"}),
        ("Refined lead, in pigs", {"lead"}),
        ("lead-acid batteries", {"lead"}),
        ("lead antimony alloy", {"lead"}),
        ("antimony ingots", {"antimony"}),
        ("Antimony trioxide", {"antimony"}),
        ("锑锭", {"antimony"}),
        ("三氧化二锑", {"antimony"}),
        ("tile adhesive", {"mineral"}),
        ("瓷砖胶", {"mineral"}),
        ("磁铁", {"rare_earth_magnet", "steel"}),
        ("钕铁硼磁钢", {"rare_earth_magnet", "steel"}),
        ("NdFeB blocks", {"rare_earth_magnet"}),
        ("Nd-Fe-B", {"rare_earth_magnet"}),
        ("neodymium magnets", {"rare_earth_magnet"}),
        ("rare-earth permanent magnets", {"rare_earth_magnet"}),
        ("rare earth oxides", {"rare_earth_oxide"}),
        ("氧化铈抛光粉", {"rare_earth_oxide"}),
        ("稀土氧化物", {"rare_earth_oxide"}),
        ("铅锭", {"lead"}),
        ("plomb", {"lead"}),
        ("Bleibarren", {"lead"}),
        ("сурьма", {"antimony"}),
        ("stepper motors", {"rare_earth_magnet", "steel", "copper", "light_metal"}),
        ("tungsten carbide", {"other_heavy"}),
        ("iron ore", {"steel", "mineral"}),
        ("copper/zinc/lead", {"copper", "lead"}),
    ],
)
def test_words(text: str, families: set[str]) -> None:
    assert words(text) == families


@pytest.mark.parametrize(
    "text",
    [
        "leading brand",
        "misleading",
        "leader pins",
        "unleaded",
        "lead time 3 weeks",
        "lead-free",
        "Lead Free solder-mask",
        "leadfree",
        "Pb-free",
        "free of lead",
        "free from any lead",
        "does not contain lead",
        "not containing lead or antimony",
        "without lead, antimony and cadmium",
        "no lead",
        "zero lead",
        "lead and antimony free",
        "lead/cadmium-free",
        "lead content < 90 ppm",
        "sans plomb",
        "sin plomo",
        "bleifrei",
        "无铅",
        "不含铅",
        "不含铅、锑和镉",
        "鉛フリー",
        "pencil leads",
        "铅笔",
        "test leads",
        "dog leads",
        "lead screws",
        "lead frames",
        "antimony-free",
        "antimony free plastic",
        "no antimony",
        "无锑",
        "fridge magnets",
        "冰箱贴",
        "ferrite magnets",
        "铁氧体磁铁",
        "electromagnets",
        "电磁铁",
        "magnet wire",
        "magnetic tape",
        "non-magnetic steel",
        "magnet-free couplings",
        "rare books",
        "earth moving",
        "ceriani bicycles",
    ],
)
def test_traps(text: str) -> None:
    """None of these is lead, antimony, a rare earth or a magnet of them."""
    assert not words(text) & (WATCHED | {"lead"})


@pytest.mark.parametrize(
    ("text", "families"),
    [
        ("lead-free solder", {"other_heavy", "copper"}),
        ("free of antimony; lead ingots", {"lead"}),
        ("non-alloyed lead", {"lead"}),
        ("without packing, lead ingots", {"lead"}),
        ("lead ingots, free of charge", {"lead"}),
        ("lead free on board Ningbo", {"lead"}),
        ("no brand, lead", {"lead"}),
        ("brass taps lead free", {"copper"}),
        ("无缝钢管", {"steel"}),
    ],
)
def test_a_denial_reaches_no_further_than_it_should(text: str, families: set[str]) -> None:
    assert words(text) == families


def test_code_and_words_add_up() -> None:
    assert expected("3816", "tile adhesive with antimony") == {"organic", "mineral", "antimony"}


@pytest.mark.parametrize("declaration", [None, Declaration(), Declaration(None, "  "), Declaration(None, "goods")])
def test_nothing_known(declaration: Declaration | None) -> None:
    assert not expected_families(declaration).any()
    assert not any(explains(declaration, family) for family in NAMES)


def test_explains() -> None:
    assert explains(Declaration("8110"), "antimony")
    assert not explains(Declaration("3816", "tile adhesive"), "rare_earth_magnet")
    assert explains(Declaration(None, "lead ingots"), "lead")


@pytest.mark.parametrize(
    ("declaration", "text"),
    [
        (None, "nothing declared"),
        (Declaration(), "nothing declared"),
        (Declaration(None, " tile\n adhesive "), '"tile adhesive"'),
        (Declaration("8110"), "HS 8110, antimony"),
        (Declaration("3816.00", "tile adhesive"), '"tile adhesive" (HS 381600, refractory cements and mortars)'),
    ],
)
def test_describe(declaration: Declaration | None, text: str) -> None:
    assert describe(declaration) == text


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("3816", "3816"),
        ("3816.00", "381600"),
        (" 3816 00 20 ", "38160020"),
        ("0101.21.0000", "0101210000"),
        ("38160", "38160"),
    ],
)
def test_hs_codes(text: str, digits: str) -> None:
    assert hs_code(text) == digits


@pytest.mark.parametrize(
    "text",
    ["", "abc", "38", "381", "38160000000", "0012", "7701", "9801", "3816-00", "-3816", "3.816E+05", "3816x", "①②③④x"],
)
def test_bad_hs_codes(text: str) -> None:
    with pytest.raises(LeadlineError, match="give 4 to 10 digits"):
        hs_code(text)
    if text:
        with pytest.raises(LeadlineError):
            expected_families(Declaration(text))


def test_a_family_that_a_researcher_adds(tmp_path) -> None:
    """Headings in a watch list of one's own are honoured without touching any table."""
    text = (DATA / "materials.toml").read_text("utf-8")
    added = '[families.gallium]\ntitle = "gallium"\nwatch = true\nheadings = ["8112", "382499"]\n\n[materials]\n'
    (tmp_path / "own.toml").write_text(text.replace("[materials]\n", added, 1), "utf-8")
    own = materials.load(tmp_path / "own.toml")
    assert own.names[-1] == "gallium"
    for code, known in (("8112", 1), ("81129289", 1), ("382499", 1), ("3824", 1), ("382430", 0), ("3816", 0)):
        vector = expected_families(Declaration(code), own)
        assert vector.shape == (len(own.names) + 1,)
        assert vector[-2] == known
        assert explains(Declaration(code), "gallium", own) == bool(known)


def test_the_shipped_headings_are_honoured() -> None:
    for family in catalogue().families:
        for heading in family.headings:
            assert family.name in expected(heading)
