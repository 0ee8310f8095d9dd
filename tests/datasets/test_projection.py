"""Threat image projection: against full simulation of the same scene, and the pieces of which it is made."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from leadline.datasets.formats import read_scan, write_scan
from leadline.datasets.scan import Declaration, LeadlineError, Scan
from leadline.datasets.simulator.appearance import blur_of, noise_of, shift_of
from leadline.datasets.simulator.background import goods_mask, measure, nominal_machine
from leadline.datasets.simulator.goods import scenarios
from leadline.datasets.simulator.projection import Threat, cut, project
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.simulate import build_scene, simulate
from leadline.datasets.simulator.threats import draw_threat, find_place, fully_simulated, hide_in, scenario_for
from leadline.inference.cli import main

CONTAINER = Machine(
    "container", "crystal", (6.0, 4.65), ("6 MV", "4 MV"), quanta=(7000.0, 3600.0), blur_px=(0.5, 0.5),
    shift_px=(0.0, 0.3), scatter=(3e-4, 3e-4), pedestal=(2e-4, 2e-4), line_gain=(7e-3, 7e-3),
    element_gain=(1e-3, 1e-3), dead_pixels=4e-4, electronics=(2e-5, 2e-5),
)  # fmt: skip
PARCEL = Machine(
    "parcel", "dual_layer", (160.0, 160.0), ("160 kV", "160 kV"), filters=((("Al", 2.0), ("Cu", 0.1)),) * 2,
    scintillators=("GOS", "CsI"), front_g_cm2=0.1, crystal_g_cm2=1.6, between_mm=0.6, quanta=(4e4, 2e4),
    blur_px=(0.5, 0.55), shift_px=(0.0, 0.1), scatter=(2e-3, 2.5e-3), pedestal=(1e-4, 1e-4), line_gain=(2e-3, 2e-3),
    element_gain=(1e-3, 1e-3), electronics=(2e-5, 2e-5), pixel_mm=1.4,
)  # fmt: skip
PLAIN = replace(
    PARCEL, scatter=(0.0, 0.0), pedestal=(0.0, 0.0), blur_px=(0.0, 0.0), shift_px=(0.0, 0.0), line_gain=(0.0, 0.0),
    element_gain=(0.0, 0.0),
)  # fmt: skip


def difference(machine: Machine, index: int) -> list[np.ndarray]:
    """Projected minus fully simulated in units of the noise, over the threat, by channel."""
    scene = build_scene(machine.kind, 8, index)
    machine = replace(machine, pixel_mm=scene.pixel_mm)
    honest = Scan(machine.expose(scene.areal, scene.materials, np.random.default_rng(index)), machine.scanner())
    background = measure(honest, machine)
    rng = np.random.default_rng(index)
    rows = [s for s in scenarios().values() if machine.kind in s.mass_kg]
    threat = draw_threat(machine.kind, rows[index % len(rows)], rng, scene.pixel_mm)
    at, _ = find_place(background, threat, rng)
    threat, (y0, y1, x0, x1) = cut(threat, at, honest.shape)
    threat = threat.within(background.goods[y0:y1, x0:x1])
    projected = project(background, threat, (y0, x0), rng).scan.transmission
    materials, areal = fully_simulated(scene, threat, (y0, x0))
    mean, variance = machine.mean(areal, materials)
    # the same gains and dead elements, no noise
    expected = machine.measure(mean, np.full_like(variance, 1e-20), np.random.default_rng(index))
    there = np.zeros(honest.shape, bool)
    there[y0:y1, x0:x1] = threat.areal.any(axis=0)
    there &= (honest.transmission > 0).all(axis=0)
    return [((projected - expected)[c] / np.sqrt(variance[c]))[there] for c in range(2)]


def spread(z: np.ndarray) -> float:
    return float(1.4826 * np.median(np.abs(z - np.median(z))))


@pytest.mark.parametrize(("machine", "scenes"), [(CONTAINER, (2, 3, 7)), (PARCEL, (2, 5, 6, 9, 10))])
def test_projected_and_fully_simulated_differ_by_noise(machine, scenes):
    found = [difference(machine, index) for index in scenes]
    means = np.array([[z.mean() for z in pair] for pair in found])
    spreads = np.array([[spread(z) for z in pair] for pair in found])
    assert np.abs(means).max() < 0.6, means
    assert np.median(np.abs(means)) < 0.2, means
    assert np.abs(means.mean()) < 0.2, means
    assert spreads.min() > 0.85 and spreads.max() < 1.7 and 0.9 < np.median(spreads) < 1.3, spreads


def flat(machine: Machine, materials: tuple[str, ...], areal: list[float], size: int = 160, seed: int = 3) -> Scan:
    """An even slab with air around it."""
    layers = np.zeros((len(materials), size, size), np.float32)
    layers[:, 20:-20, 20:-20] = np.array(areal, np.float32)[:, None, None]
    return Scan(machine.expose(layers, materials, np.random.default_rng(seed)), machine.scanner())


def slab(material: str, g_cm2: float, size: int = 60) -> Threat:
    return Threat((material,), np.full((1, size, size), g_cm2, np.float32), np.zeros((size, size), np.float32), "test")


@pytest.mark.parametrize("quanta", [(4e4, 2e4), (400.0, 300.0)])
def test_darker_pixels_have_the_noise_they_would_have_had(quanta):
    machine = replace(PLAIN, quanta=quanta)
    scan = flat(machine, ("steel",), [2.0])
    out = project(measure(scan, machine), slab("neodymium_oxide", 0.5), (50, 50), np.random.default_rng(1)).scan
    inner = out.transmission[:, 55:105, 55:105]
    areal = np.array([[[2.0]], [[0.5]]], np.float32)
    mean, variance = machine.mean(areal, ("steel", "neodymium_oxide"))
    for channel in range(2):
        m, v = float(mean[channel, 0, 0]), float(variance[channel, 0, 0])
        assert abs(inner[channel].mean() - m) < 0.004 * m + 4 * np.sqrt(v / inner[channel].size)
        assert inner[channel].var() == pytest.approx(v, rel=0.12)


def test_goods_harden_the_beam_before_the_threat():
    """Behind 3 g/cm2 of steel the same antimony takes less of what is left than in the open beam."""
    behind, alone = (
        project(measure(scan, PLAIN), slab("antimony", 1.0), (50, 50), np.random.default_rng(1)).factor[:, 30, 30]
        for scan in (flat(PLAIN, ("steel",), [3.0]), flat(PLAIN, ("steel",), [0.01]))
    )
    areal = np.array([[[3.0, 3.0, 0.01, 0.01]], [[0.0, 1.0, 0.0, 1.0]]], np.float32)
    mean, _ = PLAIN.mean(areal, ("steel", "antimony"))
    np.testing.assert_allclose(behind, mean[:, 0, 1] / mean[:, 0, 0], rtol=0.03)
    np.testing.assert_allclose(alone, mean[:, 0, 3] / mean[:, 0, 2], rtol=0.03)
    assert (behind > 1.5 * alone).all()


def test_goods_give_way_as_far_as_the_threat_says():
    scan = flat(PLAIN, ("tile",), [10.0])
    threat = replace(slab("cerium_oxide", 0.3), displaced=np.full((60, 60), 0.4, np.float32))
    out = project(measure(scan, PLAIN), threat, (50, 50), np.random.default_rng(1)).scan.transmission
    mean, _ = PLAIN.mean(np.array([[[6.0]], [[0.3]]], np.float32), ("tile", "cerium_oxide"))
    np.testing.assert_allclose(out[:, 60:100, 60:100].mean(axis=(1, 2)), mean[:, 0, 0], rtol=0.02)


def test_nothing_else_changes_and_dead_pixels_stay_dead():
    scan = flat(replace(PLAIN, dead_pixels=0.02), ("steel",), [1.0])
    result = project(measure(scan, PLAIN), slab("antimony", 1.0), (50, 50), np.random.default_rng(1))
    y0, y1, x0, x1 = result.window
    outside = np.ones(scan.shape, bool)
    outside[y0:y1, x0:x1] = False
    np.testing.assert_array_equal(result.scan.transmission[:, outside], scan.transmission[:, outside])
    dead = scan.transmission == 0
    assert dead.sum() > 300
    assert not result.scan.transmission[dead].any()


def test_truth_tells_mass_and_place():
    scan = replace(flat(PLAIN, ("steel",), [1.0]), declaration=Declaration("7318", "screws"))
    result = project(measure(scan, PLAIN), slab("neodymium_oxide", 0.5), (50, 52), np.random.default_rng(1))
    ((family, box, kg),) = result.truth.boxes
    assert (family, box) == ("rare_earth_oxide", (52, 50, 112, 110))
    assert kg == pytest.approx(0.5 * 3600 * 0.14**2 / 1000, rel=1e-3)
    assert result.mass_kg["neodymium_oxide"] == pytest.approx(kg, rel=1e-5)
    assert result.truth.undeclared and result.truth.d_known > 10
    honest = replace(scan, declaration=Declaration("2846", "neodymium oxide"))
    again = project(measure(honest, PLAIN), slab("neodymium_oxide", 0.5), (50, 52), np.random.default_rng(1))
    assert not again.truth.undeclared
    np.testing.assert_array_equal(again.scan.transmission, result.scan.transmission)


@pytest.mark.parametrize("kind", ["container", "parcel"])
def test_the_scan_tells_its_own_noise_blur_and_shift(kind):
    machine = replace(CONTAINER, quanta=(9000.0, 5000.0)) if kind == "container" else PARCEL
    scene = build_scene(kind, 5, 3)
    machine = replace(machine, blur_px=(0.7, 0.75), shift_px=(0.1, 0.4), pixel_mm=scene.pixel_mm)
    t = machine.expose(scene.areal, scene.materials, np.random.default_rng(1))
    for channel in range(2):
        quanta, smoothing = noise_of(t[channel], machine, channel)
        assert quanta == pytest.approx(machine.quanta[channel], rel=0.4)
        assert smoothing == 0
        assert blur_of(t[channel]) == pytest.approx(machine.blur_px[channel], abs=0.2)
    assert shift_of(t) == pytest.approx(machine.shift_px, abs=0.15)
    soft = replace(machine, smoothing_px=0.5).expose(scene.areal, scene.materials, np.random.default_rng(1))
    assert noise_of(soft[0], machine, 0)[1] == pytest.approx(0.5, abs=0.12)


def test_real_scans_tell_the_noise_that_was_measured_by_hand(real_scans):
    """About 6,000 and 3,000 quanta, says the folder's page; goods are found where the stacks stand."""
    scan = read_scan(real_scans / "cargo_dual_6_4MeV" / "8.npy", scanner="container")
    background = measure(scan)
    assert background.quanta == pytest.approx((6000, 3000), rel=0.3)
    mask = goods_mask(scan)
    assert mask[300:500, 250:1300].mean() > 0.95
    assert not mask[:80].any() and not mask[620:].any()
    result, share = hide_in(background, scenario_for("container", None, "antimony", 500), np.random.default_rng(2))
    assert share > 0.4
    assert result.scan.transmission.shape == scan.transmission.shape
    there = result.truth.families.any(axis=0)
    assert result.scan.transmission[0][there].mean() < scan.transmission[0][there].mean()


def test_a_threat_lies_among_the_goods_and_has_its_mass():
    sample = simulate("parcel", 31, 8, threat=False)
    background = measure(sample.scan)
    scenario = scenario_for("parcel", None, "neodymium_oxide", 0.3)
    result, share = hide_in(background, scenario, np.random.default_rng(4))
    there = result.truth.families.any(axis=0)
    assert background.goods[there].all()
    assert result.mass_kg["neodymium_oxide"] == pytest.approx(0.3 * share, rel=0.25)
    same, _ = hide_in(background, scenario, np.random.default_rng(4))
    np.testing.assert_array_equal(same.scan.transmission, result.scan.transmission)
    other, _ = hide_in(background, scenario, np.random.default_rng(5))
    assert not np.array_equal(other.scan.transmission, result.scan.transmission)


def test_lead_around_antimony_is_projected_with_it():
    threat = draw_threat("parcel", scenarios()["antimony_under_lead"], np.random.default_rng(0), 1.4)
    assert {"lead", "antimony"} <= set(threat.materials)
    lead, antimony = (threat.areal[threat.materials.index(m)] for m in ("lead", "antimony"))
    assert lead[antimony > 0].mean() > 0.3


def test_what_cannot_be_projected_is_said():
    air = Scan(np.ones((2, 100, 100), np.float32), PARCEL.scanner(), path="air.tif")
    with pytest.raises(LeadlineError, match=r"air\.tif: shows no goods"):
        hide_in(measure(air), scenario_for("parcel", "reo_as_cosmetics", None, None), np.random.default_rng(0))
    with pytest.raises(LeadlineError, match="no two measured energies"):
        measure(replace(air, fidelity="single"))
    with pytest.raises(LeadlineError, match="--scanner"):
        nominal_machine(replace(air, scanner=replace(air.scanner, kind=None)))
    with pytest.raises(LeadlineError, match="not one of a parcel scanner; take one of .*reo_as_cosmetics"):
        scenario_for("parcel", "reo_in_iron_sand", None, None)
    for name, material, what in ((None, None, "names? a scenario"), ("x", None, "not known"), (None, "x", "catalogue")):
        with pytest.raises(LeadlineError, match=what.replace("names?", "name")):
            scenario_for("parcel", name, material, None)


def test_the_command_writes_scan_and_truth(tmp_path):
    sample = simulate("parcel", 31, 8, threat=False)
    write_scan(sample.scan, tmp_path / "honest.tif")
    command = ["project", str(tmp_path / "honest.tif"), "--material", "cerium_oxide", "--mass", "0.2", "--seed", "4"]
    out = tmp_path / "threat.tif"
    done = CliRunner().invoke(main, [*command, "--out", str(out)])
    assert done.exit_code == 0, done.output
    truth = json.loads((tmp_path / "threat.json").read_text("utf-8"))
    honest, scan = read_scan(tmp_path / "honest.tif"), read_scan(out)
    assert truth["sha256"] == honest.sha256 and truth["regions"][0]["family"] == "rare_earth_oxide"
    assert scan.scanner == honest.scanner
    x0, y0, x1, y1 = truth["regions"][0]["box"]
    assert scan.transmission[:, y0:y1, x0:x1].mean() < 0.97 * honest.transmission[:, y0:y1, x0:x1].mean()
    first = out.read_bytes()
    assert CliRunner().invoke(main, [*command, "--out", str(out)]).exit_code == 0
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scenario", "reo_as_cosmetics", "--out", "a.png"], "let --out end in .tif"),
        (["--scenario", "reo_as_cosmetics", "--out", "missing/a.tif"], "is no folder"),
        (["--scenario", "reo_as_cosmetics", "--out", "honest.tif"], "is the scan itself"),
        (["--scenario", "reo_as_cosmetics", "--out", "a.tif", "--box", "5", "5", "5", "9"], "is no box in the scan"),
        (["--scenario", "nothing", "--out", "a.tif"], "not known"),
        (["--out", "a.tif"], "give --scenario NAME, --material NAME or both"),
    ],
)
def test_wrong_use_is_told(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    write_scan(simulate("parcel", 31, 8, threat=False).scan, tmp_path / "honest.tif")
    done = CliRunner().invoke(main, ["project", "honest.tif", *arguments])
    assert done.exit_code == 2 and says in done.output, done.output
    assert {p.name for p in tmp_path.iterdir()} == {"honest.tif"}
