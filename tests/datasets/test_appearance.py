import tomllib
from importlib.resources import files

import numpy as np
import pytest

from leadline.datasets.appearance import APPEARANCE, appearance, known_goods
from leadline.datasets.materials import catalogue, extended
from leadline.datasets.scan import Declaration, LeadlineError
from leadline.datasets.simulator.goods import goods

ENTRIES = tomllib.loads((files("leadline.datasets") / "data" / "appearance.toml").read_text("utf-8"))
GALLIUM = """
[families.gallium]
title = "gallium"
watch = true
headings = ["8112"]
words = ["gallium"]
[materials.gallium]
family = "gallium"
formula = "Ga"
density = [5.8, 6.0]
"""


def test_entries_are_of_known_materials_and_no_heading_or_word_is_given_twice() -> None:
    seen: dict[str, str] = {}
    for name, entry in ENTRIES.items():
        assert set(entry) <= {"like", "bulk", "form", "headings", "words"}, name
        assert set(entry["like"]) <= set(catalogue().materials), name
        least, most = entry["bulk"]
        assert 0 < least < most < 20, name
        for key in (*entry.get("headings", ()), *entry.get("words", ())):
            assert seen.setdefault(key, name) == name, key


def test_all_goods_of_the_simulator_are_known_by_code_and_by_words() -> None:
    # Goods that it trades in are what networks learn the appearance on.
    for item in goods().values():
        assert known_goods(Declaration(item.hs, None)), item.name
        for words in item.words:
            assert known_goods(Declaration(None, words)), words


def test_an_entry_is_as_dense_as_the_goods_of_the_simulator() -> None:
    for item in goods().values():
        solid = [catalogue().materials[m].density for m in item.fill if m != "air"]
        if not solid or not item.powder:
            continue
        names = known_goods(Declaration(item.hs, item.words[0]))
        most = max(ENTRIES[name]["bulk"][1] for name in names)
        assert most == pytest.approx(max(d[1] for d in solid) * item.solidity[1], rel=0.6), item.name


@pytest.mark.parametrize(
    ("code", "words", "names"),
    [
        ("690721", None, ("tile",)),
        ("6907.21", "tile adhesive", ("tile", "tile_adhesive")),
        (None, "Clay tiles, cement and books", ("cement", "paper", "tile")),
        (None, "lead-free solder wire", ("solder",)),
        (None, "lead time six weeks", ()),
        ("847170", "lead time tbd", ("electronics",)),
        ("280461", None, ()),
        (None, "铅锭", ("lead",)),
        (None, None, ()),
    ],
)
def test_goods_by_code_and_words(code: str | None, words: str | None, names: tuple[str, ...]) -> None:
    assert known_goods(Declaration(code, words)) == names


def test_what_is_told_of_tiles() -> None:
    told = appearance(Declaration("690721", "clay tiles"))
    assert told.shape == (APPEARANCE,) and told.dtype == np.float32
    assert 0.1 < told[0] <= told[1] < 0.5  # silicates: a little more contrast than water
    assert np.expm1(told[6:8]) == pytest.approx(ENTRIES["tile"]["bulk"], rel=1e-5)
    assert told[9:].tolist() == pytest.approx([1, 0, 1 / 3])


def test_contrasts_rise_with_the_atomic_number_until_the_edge_of_lead() -> None:
    low = [appearance(Declaration(code))[1] for code in ("2106", "690721", "7208", "2846")]
    assert low == sorted(low)
    pairs = [appearance(Declaration(code))[4] for code in ("2106", "690721", "7208", "2846", "7801", "8101")]
    assert pairs == sorted(pairs)


def test_goods_that_no_entry_knows_look_as_their_families_may() -> None:
    unknown = appearance(Declaration("280461"))  # silicon: minerals and steel
    assert unknown[0] < 0.3 and unknown[1] > 1.0
    assert unknown.tolist() == appearance(Declaration("280461"), coarse=True).tolist()


def test_nothing_known_and_nothing_valid() -> None:
    assert not appearance(None).any()
    assert not appearance(Declaration(None, "qwertz")).any()
    with pytest.raises(LeadlineError, match="no chapter"):
        appearance(Declaration("0000"))


def test_families_that_are_declared_beside_the_goods() -> None:
    alone, beside = (appearance(Declaration("690721"), also=also) for also in ((), ("rare_earth_oxide",)))
    assert beside[1] > alone[1] and beside[11] > alone[11]


def test_a_material_of_the_users_own() -> None:
    own = extended(GALLIUM)
    told = appearance(Declaration("8112", "gallium"), own)
    assert told[1] == pytest.approx(appearance(None, own, also=("gallium",))[1], rel=0.2)
