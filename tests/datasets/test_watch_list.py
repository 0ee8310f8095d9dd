from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from leadline.datasets import materials, watch_list
from leadline.datasets.declarations import expected_families, explains
from leadline.datasets.physics.attenuation import material_attenuation
from leadline.datasets.scan import Declaration, LeadlineError
from leadline.datasets.simulator.cache import SceneCache
from leadline.datasets.simulator.goods import FORMS, goods, packings, scenarios, watched
from leadline.datasets.simulator.simulate import simulate

ROOT = Path(__file__).resolve().parents[2]
TUNGSTEN = ROOT / "examples" / "tungsten.toml"


@pytest.fixture
def tungsten() -> Iterator[materials.Catalogue]:
    yield materials.use_catalogue(watch_list.read(TUNGSTEN))
    materials.use_catalogue("")


def test_new_families_follow_the_shipped_ones(tungsten: materials.Catalogue) -> None:
    shipped = materials.shipped()
    assert tungsten.names == (*shipped.names, "tungsten") and tungsten.watched == (*shipped.watched, "tungsten")
    assert materials.catalogue() is tungsten and materials.use_catalogue(tungsten.text) is tungsten
    assert tungsten.materials["tungsten"].family == "tungsten" and shipped.materials["tungsten"].family == "other_heavy"


def test_an_entry_brings_scenarios_and_honest_goods(tungsten: materials.Catalogue) -> None:
    new = {"tungsten_as_block", "tungsten_as_ingot", "tungsten_as_sheet", "tungsten_powder_as_powder"}
    assert new <= set(scenarios()) and scenarios()["tungsten_as_block"].mass_kg["parcel"] == (0.05, 8)
    assert goods()["honest_tungsten"].hs == "8101" and watched(goods()["honest_tungsten"])
    assert watched(goods()["tungsten_tools"]) and not watched(goods()["hand_tools"])


def test_declarations_know_it(tungsten: materials.Catalogue) -> None:
    for declared in (
        Declaration("820770"),
        Declaration("8101"),
        Declaration(None, "Milling cutters"),
        Declaration(None, "钨"),
    ):
        assert explains(declared, "tungsten")
        assert not explains(declared, "tungsten", materials.shipped())
    assert not explains(Declaration("820559", "hand tools"), "tungsten")
    assert expected_families(Declaration("8101")).shape == (len(tungsten.names) + 1,)


def test_it_is_hidden_and_found_in_the_truth(tungsten: materials.Catalogue) -> None:
    channel = tungsten.names.index("tungsten")
    scenes = (simulate("parcel", 5, k, threat=True) for k in range(60))
    hidden = next(s for s in scenes if s.truth.scenario.startswith("tungsten"))
    assert hidden.truth.families[channel].max() > 0
    assert hidden.truth.boxes[0][0] == "tungsten" and hidden.truth.undeclared


def test_without_it_everything_is_as_before() -> None:
    def scene() -> tuple[np.ndarray, np.ndarray, object]:
        s = simulate("parcel", 5, 9, threat=True)
        return s.scan.transmission, s.truth.families, s.truth.boxes

    energies = np.array([0.05, 0.1])
    before, lead = scene(), material_attenuation("lead", energies)
    materials.use_catalogue(watch_list.read(TUNGSTEN))
    other = scene()
    materials.use_catalogue("")
    after = scene()
    assert before[2] == after[2] and all(np.array_equal(a, b) for a, b in zip(before[:2], after[:2], strict=True))
    assert before[1].shape != other[1].shape
    assert np.array_equal(lead, material_attenuation("lead", energies))
    assert list(goods())[-1] == "honest_oxide" and list(scenarios())[-1] == "anything_anywhere"


def test_watched_goods_of_the_shipped_list_are_the_honest_ones() -> None:
    assert {g.name for g in goods().values() if watched(g)} == {n for n in goods() if n.startswith("honest_")}


def test_kept_scenes_are_kept_apart(tmp_path: Path) -> None:
    plain = SceneCache(tmp_path, "parcel", 1).folder
    materials.use_catalogue(watch_list.read(TUNGSTEN))
    own = SceneCache(tmp_path, "parcel", 1).folder
    materials.use_catalogue("")
    assert plain != own and SceneCache(tmp_path, "parcel", 1).folder == plain


def test_every_form_names_packings_and_a_way() -> None:
    for way, _, packed in FORMS.values():
        assert way in ("replace", "mix", "bury")
        assert all(name in packings() for names in packed.values() for name in names)


ENTRY = """
[families.tungsten]
title = "tungsten"
headings = ["8101"]
[materials.w]
family = "tungsten"
formula = "W"
density = [17, 19.3]
forms = ["block"]
covers = ["hand_tools"]
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('title = "tungsten"', "", r"families.tungsten: has no title; add title"),
        ("title", "tittle", r"families.tungsten: 'tittle' is not a key; did you mean title\?"),
        ('["8101"]', '["99999x"]', r"families.tungsten.headings: HS code"),
        ('["8101"]', "8101", r"families.tungsten.headings: is 8101; write a list"),
        ('["8101"]', "[8101]", r"families.tungsten.headings: is 8101; write text in quotes"),
        ('family = "tungsten"', 'family = "wolfram"', r"materials.w.family: 'wolfram' is not a family"),
        ('"W"', '"Wx2"', r"materials.w.formula: formula 'Wx2'"),
        ('formula = "W"', "mixture = { W = 0.5 }", r"materials.w.mixture: is not of shares by mass that sum to 1"),
        ('formula = "W"', "", r"materials.w: needs a formula or a mixture"),
        ("[17, 19.3]", "[19.3, 17]", r"materials.w.density: is \[19.3, 17\], not a least and a greatest"),
        ("[17, 19.3]", '["a", 17]', r"materials.w.density"),
        ("density = [17, 19.3]", "", r"materials.w.density: is None"),
        ('["block"]', '["blok"]', r"materials.w.forms: 'blok' is not a form; did you mean block\?"),
        ('["hand_tools"]', '["hand_tool"]', r"materials.w.covers: 'hand_tool' is not goods.*did you mean hand_tools\?"),
        ('forms = ["block"]', "", r"materials.w: has covers and no forms"),
        ('["hand_tools"]', '["hand_tools"]\nmass_kg = { parcell = [1, 2] }', r"mass_kg: 'parcell' is not a kind"),
        ("[materials.w]", "[material.w]", r"the file: 'material' is not a key; did you mean materials\?"),
        ("[families.tungsten]", "[families.tungsten", "is not TOML"),
    ],
)
def test_mistakes_are_told_by_file_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "own.toml"
    assert old in ENTRY
    path.write_text(ENTRY.replace(old, new, 1))
    with pytest.raises(LeadlineError, match=told) as caught:
        watch_list.read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(LeadlineError, match="nowhere.toml: cannot be read"):
        watch_list.read(tmp_path / "nowhere.toml")
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    with pytest.raises(LeadlineError, match="names no material"):
        watch_list.read(empty)
    empty.write_text('[families.x]\ntitle = "x"\n')
    with pytest.raises(LeadlineError, match=r"families.x: has no material; add one with family = \"x\""):
        watch_list.read(empty)
