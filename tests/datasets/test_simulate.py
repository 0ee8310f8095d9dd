"""Scenes and scans: pure, paired with their honest twins, and true to their own areal densities."""

import numpy as np
import pytest

from leadline.datasets.declarations import PACKING, explains
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import KINDS, Declaration
from leadline.datasets.simulator import simulate as simulate_module
from leadline.datasets.simulator.cache import SceneCache
from leadline.datasets.simulator.goods import goods, packings, scenarios
from leadline.datasets.simulator.simulate import build_scene, find_boxes, simulate

DESIGN_SCENARIOS = {
    "antimony_under_lead", "reo_in_plastic_models", "ndfeb_powder_as_tile_adhesive", "reo_as_cosmetics",
    "ndfeb_waste_in_scrap_metal", "epoxy_reo_as_ceramic_parts", "reo_clay_tiles", "reo_as_protein_powder",
    "antimony_ingots_as_iron_ore", "reo_in_iron_sand", "reo_in_paint_additive", "reo_as_fertiliser",
    "reo_in_art_pieces",
}  # fmt: skip


def test_data_files_agree_with_each_other():
    cat = catalogue()
    assert set(scenarios()) >= DESIGN_SCENARIOS
    for s in scenarios().values():
        assert all(cat.materials[m].family in cat.watched for m in s.threat)
        assert all(g in goods() for g in s.goods)
        for name in s.goods:
            assert set(s.mass_kg) <= set(goods()[name].packing), f"{s.name}: {name} is not packed for every scanner"
    for g in goods().values():
        assert all(m == "air" or m in cat.materials for m in g.fill)
        assert all(p in packings() for names in g.packing.values() for p in names)
        assert g.hs.isdigit()


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_is_a_pure_function_of_its_number(kind):
    first, again = (simulate(kind, 4, 2) for _ in range(2))
    np.testing.assert_array_equal(first.scan.transmission, again.scan.transmission)
    assert first.truth.boxes == again.truth.boxes
    other = simulate(kind, 5, 2)
    assert other.scan.shape != first.scan.shape or (other.scan.transmission != first.scan.transmission).any()


def _first_threat(kind, split="train"):
    return next(i for i in range(50) if build_scene(kind, 1, i, split).has_threat)


@pytest.mark.parametrize("kind", KINDS)
def test_twins_differ_only_where_the_threat_is(kind):
    index = _first_threat(kind)
    threat, honest = (simulate(kind, 1, index, threat=t) for t in (True, False))
    assert threat.machine == honest.machine
    assert threat.truth.is_threat and not honest.truth.is_threat
    assert threat.scan.declaration == honest.scan.declaration
    scene = build_scene(kind, 1, index)
    y0, y1, x0, x1 = scene.window
    outside = np.ones(scene.areal.shape[1:], bool)
    outside[y0:y1, x0:x1] = False
    np.testing.assert_array_equal(scene.with_threat()[:, outside], scene.areal[:, outside])
    assert threat.truth.boxes and threat.truth.undeclared


@pytest.mark.parametrize("kind", KINDS)
def test_every_scenario_can_be_built_and_leaves_watched_material(kind):
    """Each scenario of this scanner occurs in a few dozen scenes and puts watch-list mass in the beam."""
    missing = {s.name for s in scenarios().values() if kind in s.mass_kg}
    for index in range(150):
        scene = build_scene(kind, 9, index)
        if scene.scenario not in missing or not scene.has_threat:
            continue
        families = {
            catalogue().materials[m].family for m, c in zip(scene.materials, scene.change, strict=True) if c.max() > 0
        }
        if families & set(catalogue().watched):
            missing.discard(scene.scenario)
        if not missing:
            break
    assert not missing


def test_boxes_and_mass_by_hand():
    """Two patches of antimony, 10 x 20 and 5 x 5 pixels of 5 mm at 40 g/cm2: 2 kg and 0.25 kg."""
    families = np.zeros((len(catalogue().names), 60, 80), np.float32)
    row = families[catalogue().names.index("antimony")]
    row[10:20, 30:50] = 40
    row[40:45, 60:65] = 40
    boxes = find_boxes(families, pixel_mm=5.0)
    assert [(f, b) for f, b, _ in boxes] == [("antimony", (30, 10, 50, 20)), ("antimony", (60, 40, 65, 45))]
    assert [kg for *_, kg in boxes] == pytest.approx([200 * 0.25 * 40 / 1000, 25 * 0.25 * 40 / 1000])


def test_held_out_scans_come_from_other_scanners():
    train = [simulate("parcel", 1, i).machine for i in range(3)]
    held = [simulate("parcel", 1, i, split="heldout").machine for i in range(3)]
    assert not {m.energies for m in train} & {m.energies for m in held}


def test_scenes_on_disk_equal_scenes_built(tmp_path):
    cache = SceneCache(tmp_path, "parcel", 3)
    built, kept = cache[1], cache[1]
    fresh = build_scene("parcel", 3, 1)
    for scene in (built, kept):
        assert scene.materials == fresh.materials and scene.declaration == fresh.declaration
        np.testing.assert_allclose(scene.areal, fresh.areal, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(scene.change, fresh.change, rtol=1e-3, atol=1e-4)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".scene"]


@pytest.mark.parametrize("kind", KINDS)
def test_detectability_is_measured_for_threats(kind):
    sample = simulate(kind, 1, _first_threat(kind), threat=True, measure=True)
    assert sample.truth.d_known is not None and sample.truth.d_material is not None
    assert 0 <= sample.truth.d_material <= sample.truth.d_known * 1.001


def test_what_travels_along_is_mostly_declared():
    rng, cover = np.random.default_rng(0), [goods()["cosmetics"], goods()["hand_tools"]]
    papers = [simulate_module._declaration(rng, cover, "parcel") for _ in range(600)]
    main = goods()["cosmetics"].hs
    worded = [p for p in papers if p is not None and p.description and (p.hs_code or main) == main]
    named = [any(w in (p.description or "") for w in goods()["hand_tools"].words) for p in worded]
    assert 0.65 < np.mean(named) < 0.85
    assert {p.hs_code for p in worded} <= {None, main}  # the code is that of the main goods
    told = next(p for p, n in zip(worded, named, strict=True) if n)
    assert explains(told, "steel")
    assert not explains(goods()["cosmetics"].declaration(rng), "steel")
    assert np.mean([p is None for p in papers]) == pytest.approx(0.06, abs=0.03)


def test_the_words_of_all_goods_are_understood():
    cat = catalogue()
    for g in goods().values():
        families = {cat.materials[m].family for m in g.fill if m != "air"} - PACKING
        for words in g.words:
            unexplained = [f for f in families if not explains(Declaration(None, words), f)]
            assert not unexplained, f"{g.name}: {words!r} does not explain {unexplained}"
