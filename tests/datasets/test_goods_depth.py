"""What projection reads of a scan: depth of the goods, gains of the open beam, converter; and a known scanner."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from click.testing import CliRunner

from leadline.datasets.fitted import fitted_scanner
from leadline.datasets.formats import write_scan
from leadline.datasets.scan import LeadlineError, Scan
from leadline.datasets.simulator.background import measure, measure_with
from leadline.datasets.simulator.goods_depth import depth_of
from leadline.datasets.simulator.open_beam import levelled, step_of
from leadline.datasets.simulator.projection import Threat, project
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.simulate import simulate
from leadline.inference.cli import main

BOTH = (("Al", 1.2), ("Cu", 0.03))
QUIET = Machine(
    "parcel", "dual_layer", (175.0, 175.0), ("175 kV", "175 kV"), filters=(BOTH, BOTH), scintillators=("CsI", "CsI"),
    front_g_cm2=0.1, crystal_g_cm2=1.6, between_mm=0.6, quanta=(7.6e5, 6.5e5), blur_px=(0.55, 0.56),
    scatter=(2.8e-3, 3e-3), pedestal=(1.4e-4, 1e-4), line_gain=(8e-3, 8e-3), element_gain=(1e-3, 1e-3), drift=2e-3,
    level=(0.957, 0.96), electronics=(3e-5, 3e-5), pixel_mm=1.4,
)  # fmt: skip
PLAIN = replace(QUIET, line_gain=(0.0, 0.0), element_gain=(0.0, 0.0), drift=0.0, level=(1.0, 1.0))
INNER = (70, 90, 70, 90)


def slab(machine: Machine, material: str, g_cm2: float) -> Scan:
    """An even slab of 100 x 100 pixels with air around it."""
    layers = np.zeros((1, 160, 160), np.float32)
    layers[0, 30:130, 30:130] = g_cm2
    return Scan(machine.expose(layers, (material,), np.random.default_rng(3)), machine.scanner())


@pytest.mark.parametrize(("material", "g_cm2"), [("abs", 7.4), ("aluminium", 6.0), ("steel", 3.0), ("tile", 8.0)])
def test_depth_is_that_of_the_goods_at_every_energy(material: str, g_cm2: float) -> None:
    """ABS reads like a thin layer of lead with plastics, for a K edge lies between; it must count as plastics."""
    scan = slab(PLAIN, material, g_cm2)
    depth = depth_of(levelled(measure(scan, PLAIN))[0], INNER).mean(axis=(1, 2))
    true = PLAIN.response.attenuation((material,))[0] * g_cm2
    counts = PLAIN.response.weights.max(axis=1) * np.exp(-true) > 1e-3
    np.testing.assert_allclose(depth[counts], true[counts], rtol=0.03)


def test_edges_of_goods_are_blurred_once() -> None:
    """At a sharp edge the depth follows the goods, not their blurred image."""
    background, _ = levelled(measure(slab(PLAIN, "steel", 2.0), PLAIN))
    depth = depth_of(background, (60, 100, 20, 40)).mean(axis=1)
    true = PLAIN.response.attenuation(("steel",))[0] * 2.0
    k = int(np.argmax(PLAIN.response.weights[:, 0]))
    assert depth[k, 9] < 0.08 * true[k]
    assert depth[k, 10] == pytest.approx(true[k], rel=0.08)


def test_gains_are_read_from_the_air() -> None:
    scan = slab(QUIET, "steel", 1.0)
    (line, element), *_ = QUIET._faults(scan.shape, np.random.default_rng(3))[0]
    _, gains = levelled(background := measure(scan, QUIET))
    found = gains[0] * background.level[0] / (line * element)
    assert found.std() < 1.5e-3 < (line * element / line.mean()).std()
    clipped = replace(scan, transmission=np.minimum(scan.transmission, np.float32(0.94)))
    assert (levelled(measure(clipped, QUIET))[1] == 1).all()


def test_quiet_scanners_show_what_full_simulation_shows() -> None:
    """Behind uneven plastics, through gains of 0.8 %, the light of a thick threat is right to less than its noise."""
    rows, columns = np.mgrid[:160, :160]
    goods = np.zeros((1, 160, 160), np.float32)
    goods[0, 30:130, 30:130] = (4 + 3 * np.sin(rows / 9) * np.cos(columns / 7))[30:130, 30:130]
    honest = Scan(QUIET.expose(goods, ("abs",), np.random.default_rng(3)), QUIET.scanner())
    threat = Threat(("cerium_oxide",), np.full((1, 60, 60), 1.0, np.float32), np.zeros((60, 60), np.float32), "test")
    shown = project(measure(honest, QUIET), threat, (50, 50), np.random.default_rng(1)).scan.transmission
    both = np.concatenate([goods, np.zeros_like(goods)])
    both[1, 50:110, 50:110] = 1.0
    mean, variance = QUIET.mean(both, ("abs", "cerium_oxide"))
    expected = replace(QUIET, bits=24).measure(mean, np.full_like(mean, 1e-20), np.random.default_rng(3))
    z = ((shown - expected) / np.sqrt(variance))[:, 50:110, 50:110]
    assert np.abs(z.mean(axis=(1, 2))).max() < 0.25
    assert 0.85 < np.median(np.abs(z)) * 1.4826 < 1.25


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_the_converter_is_rounded_to(bits: int) -> None:
    scan = slab(replace(PLAIN, bits=bits, quanta=(2e4, 2e4)), "steel", 1.0)
    background = measure(scan, PLAIN)
    assert step_of(background) == pytest.approx(1 / (2**bits - 1) if bits < 16 else 0.0, rel=1e-3)
    threat = Threat(("antimony",), np.full((1, 40, 40), 0.5, np.float32), np.zeros((40, 40), np.float32), "test")
    shown = project(background, threat, (60, 60), np.random.default_rng(1)).scan.transmission[:, 60:100, 60:100]
    if bits < 16:
        steps = shown * (2**bits - 1)
        assert np.abs(steps - np.rint(steps)).max() < 0.01


PROFILE = json.dumps({"leadline": "scanner profile", "details": {"machine": asdict(QUIET), "pixel_known": True}})


def test_a_profile_tells_the_response(tmp_path) -> None:
    (tmp_path / "gate.json").write_text(PROFILE)
    machine = fitted_scanner(tmp_path / "gate.json").machine
    assert machine == QUIET
    scan = slab(QUIET, "steel", 1.0)
    found = measure_with(scan, machine, "gate.json")
    np.testing.assert_array_equal(found.machine.response.weights, QUIET.response.weights)
    assert found.quanta == QUIET.quanta and found.blur_px == QUIET.blur_px
    other = replace(scan, scanner=replace(scan.scanner, kind="container"), path="a.tif")
    with pytest.raises(LeadlineError, match=r"a\.tif: a container scan, but gate\.json is the profile of a parcel"):
        measure_with(other, machine, "gate.json")


def test_the_command_takes_a_profile(tmp_path) -> None:
    write_scan(simulate("parcel", 31, 8, threat=False).scan, tmp_path / "honest.tif")
    (tmp_path / "gate.json").write_text(PROFILE)
    command = ["project", str(tmp_path / "honest.tif"), "--material", "cerium_oxide", "--mass", "0.2"]
    done = CliRunner().invoke(
        main, [*command, "--profile", str(tmp_path / "gate.json"), "--out", str(tmp_path / "a.tif")]
    )
    assert done.exit_code == 0, done.output
    background = json.loads((tmp_path / "a.json").read_text())["background"]
    assert background["response"].endswith("gate.json") and background["quanta"] == [760000, 650000]
    done = CliRunner().invoke(
        main, [*command, "--profile", str(tmp_path / "none.json"), "--out", str(tmp_path / "b.tif")]
    )
    assert done.exit_code == 2 and "none.json: No such file" in done.output
