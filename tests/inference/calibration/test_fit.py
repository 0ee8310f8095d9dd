"""Simulated wedges of known machines: what the fit recovers, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leadline.datasets.scan import Kind, LeadlineError, Scan, Scanner
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.wedges import USUAL, WedgeScan, density_of, wedge_scan
from leadline.inference.calibration.fit import Fitted, common_scanner, fit_benign, fit_wedges
from leadline.inference.calibration.response import Reading, predict
from leadline.inference.calibration.table import Wedge
from leadline.inference.calibration.wedge import measure_wedge

CONTAINER = Machine(
    "container", "crystal", (6.9, 4.4), ("6 MV", "4 MV"), ((("Fe", 12.0), ("Pb", 2.0)),) * 2, crystal_g_cm2=17.0,
    quanta=(5000.0, 3200.0), blur_px=(0.8, 0.7), shift_px=(0.0, 0.4), pedestal=(2e-4, 2e-4), scatter=(1e-3, 1e-3),
    line_gain=(4e-3, 4e-3), element_gain=(2e-3, 2e-3), electronics=(5e-5, 5e-5), level=(0.99, 1.01), pixel_mm=4.6,
)  # fmt: skip
PARCEL = Machine(
    "parcel", "dual_layer", (148.0, 148.0), ("160 kV", "160 kV"), ((("Al", 2.0), ("Cu", 0.3)),) * 2, ("GOS", "CsI"),
    front_g_cm2=0.12, crystal_g_cm2=1.5, between_mm=0.7, quanta=(8e4, 5e4), blur_px=(0.5, 0.6), scatter=(4e-3, 5e-3),
    pedestal=(2e-4, 2e-4), electronics=(5e-5, 5e-5), line_gain=(2e-3, 2e-3), pixel_mm=1.6,
)  # fmt: skip
MACHINES: dict[Kind, Machine] = {"container": CONTAINER, "parcel": PARCEL}


def wedge_of(shown: WedgeScan, material: str, thickness: tuple[float, ...], **changes: object) -> Wedge:
    wedge = Wedge(Path(f"{material}.tif"), material, density_of(material), shown.box, "x", thickness, shown.step_mm)
    return replace(wedge, **changes)  # type: ignore[arg-type]


def wedges_of(machine: Machine, seed: int = 0) -> tuple[list[Wedge], list[Scan]]:
    """The usual three wedges, scanned; the files do not say the pixel size."""
    rng = np.random.default_rng(seed)
    table, scans = [], []
    for material, thickness in USUAL[machine.kind].items():
        shown = wedge_scan(machine, material, thickness, rng)
        table.append(wedge_of(shown, material, tuple(thickness)))
        scans.append(replace(shown.scan, scanner=replace(shown.scan.scanner, pixel_mm=None)))
    return table, scans


@pytest.fixture(scope="module")
def fitted() -> dict[Kind, Fitted]:
    return {kind: fit_wedges(*wedges_of(machine)) for kind, machine in MACHINES.items()}


@pytest.mark.parametrize("kind", ["container", "parcel"])
def test_energies_are_recovered(fitted: dict[Kind, Fitted], kind: Kind) -> None:
    true, found = MACHINES[kind], fitted[kind].machine
    assert found.detector == true.detector
    assert found.energies == pytest.approx(true.energies, rel=0.03)
    assert fitted[kind].details["misfit"] < 1.5


@pytest.mark.parametrize("kind", ["container", "parcel"])
def test_scatter_is_that_of_a_bright_surrounding(fitted: dict[Kind, Fitted], kind: Kind) -> None:
    """The wedges themselves darken what scatters; pedestal and scatter cannot be told apart in one scan."""
    assert fitted[kind].machine.scatter == pytest.approx(MACHINES[kind].scatter, rel=0.55)


def test_dead_elements_do_not_darken_the_steps() -> None:
    table, scans = wedges_of(PARCEL)
    for table_entry, scan in zip(table, scans, strict=True):
        row = (table_entry.box[1] + table_entry.box[3]) // 2
        scan.transmission[:, row] = 0
    assert fit_wedges(table, scans).machine.energies == pytest.approx(PARCEL.energies, rel=0.03)


@pytest.mark.parametrize("kind", ["container", "parcel"])
def test_materials_that_were_no_wedge_are_predicted(fitted: dict[Kind, Fitted], kind: Kind) -> None:
    """What thresholds are simulated with: the attenuation of materials far from the wedges, to a few thousandths."""
    areal = (5, 15, 40, 80) if kind == "container" else (0.3, 1.0, 2.0, 4.0)
    goods = [Reading(m, a, (0, 0), (0, 0)) for m in ("tile_adhesive", "antimony", "lead") for a in areal]
    true, found = (-np.log(predict(m, goods)) for m in (MACHINES[kind], fitted[kind].machine))
    seen = true.max(axis=0) < 6
    assert seen.sum() >= 6
    assert np.abs(found / true - 1)[:, seen].max() < 0.03
    contrast = [(a[1] - a[0]) / a[0] for a in (true, found)]
    assert np.abs(contrast[0] - contrast[1])[seen].max() < 0.02


@pytest.mark.parametrize("kind", ["container", "parcel"])
def test_noise_and_geometry_are_recovered(fitted: dict[Kind, Fitted], kind: Kind) -> None:
    true, found = MACHINES[kind], fitted[kind].machine
    assert found.quanta == pytest.approx(true.quanta, rel=0.08)
    assert found.line_gain == pytest.approx(true.line_gain, rel=0.5)
    assert found.blur_px == pytest.approx(true.blur_px, abs=0.1)
    assert found.shift_px[1] == pytest.approx(true.shift_px[1], abs=0.08)
    assert found.pixel_mm == pytest.approx(true.pixel_mm, rel=0.005)
    assert found.level == pytest.approx(true.level, abs=0.006)
    assert fitted[kind].pixel_known


def test_a_vendors_smoothing_is_not_taken_for_quanta() -> None:
    machine = replace(CONTAINER, smoothing_px=0.5)
    found = fit_wedges(*wedges_of(machine)).machine
    assert found.smoothing_px == pytest.approx(0.5, abs=0.08)
    assert found.quanta == pytest.approx(machine.quanta, rel=0.15)
    assert found.blur_px == pytest.approx(machine.blur_px, abs=0.15)


def test_an_open_beam_that_is_cut_off_at_one_does_not_bias(fitted: dict[Kind, Fitted]) -> None:
    """At level 1 half of the open beam's noise is cut: variance and level must not come from what is left."""
    machine = replace(CONTAINER, level=(1.0, 1.0), quanta=(1500.0, 1000.0), saturation=1.0)
    found = fit_wedges(*wedges_of(machine)).machine
    assert found.quanta == pytest.approx(machine.quanta, rel=0.1)
    assert found.level == pytest.approx((1.0, 1.0), abs=0.01)


def test_steps_are_found_though_the_box_is_off(fitted: dict[Kind, Fitted]) -> None:
    shown = wedge_scan(CONTAINER, "steel", USUAL["container"]["steel"], np.random.default_rng(0))
    x0, y0, x1, y1 = shown.box
    exact = measure_wedge(wedge_of(shown, "steel", USUAL["container"]["steel"]), shown.scan)
    off = measure_wedge(wedge_of(shown, "steel", USUAL["container"]["steel"], box=(x0 + 8, y0, x1 + 6, y1)), shown.scan)
    assert off.step_pixels == pytest.approx(exact.step_pixels, rel=0.003)
    assert [r.transmission for r in off.readings] == [
        pytest.approx(r.transmission, rel=0.01, abs=3e-4) for r in exact.readings
    ]


def test_wedges_may_stand_upright() -> None:
    thickness = USUAL["container"]["steel"]
    shown = wedge_scan(CONTAINER, "steel", thickness, np.random.default_rng(0))
    turned = replace(shown.scan, transmission=np.ascontiguousarray(shown.scan.transmission.transpose(0, 2, 1)))
    x0, y0, x1, y1 = shown.box
    upright = measure_wedge(wedge_of(shown, "steel", thickness, box=(y0, x0, y1, x1), along="y"), turned)
    lying = measure_wedge(wedge_of(shown, "steel", thickness), shown.scan)
    for one, other in zip(upright.readings, lying.readings, strict=True):
        assert one.transmission == pytest.approx(other.transmission) and one.areal == other.areal


Spoil = Callable[[WedgeScan, tuple[float, ...]], tuple[Wedge, Scan]]


def _scan(shown: WedgeScan, change: Callable[[np.ndarray], np.ndarray]) -> Scan:
    return replace(shown.scan, transmission=change(shown.scan.transmission).astype(np.float32))


SPOILED: dict[str, tuple[str, Spoil]] = {
    "outside": ("does not lie in the scan", lambda s, t: (wedge_of(s, "steel", t, box=(0, 0, 5000, 50)), s.scan)),
    "reversed": ("mm let more through than", lambda s, t: (wedge_of(s, "steel", t[::-1]), s.scan)),
    "no air": (
        "no open beam",
        lambda s, t: (
            wedge_of(s, "steel", t, box=(0, s.box[1], s.box[2] - s.box[0], s.box[3])),
            _scan(s, lambda a: a[:, :, s.box[0] : s.box[2]]),
        ),
    ),
    "elsewhere": (
        "does not begin and end with the wedge",
        lambda s, t: (wedge_of(s, "steel", t), _scan(s, lambda a: np.roll(a, 60, axis=2))),
    ),
    "too many steps": ("no 5 steps", lambda s, t: (wedge_of(s, "steel", t[:5]), s.scan)),
    "narrow": ("too small to measure", lambda s, t: (wedge_of(s, "steel", t, box=(50, 50, 80, 110)), s.scan)),
    "clipped": ("is clipped", lambda s, t: (wedge_of(s, "steel", t), _scan(s, lambda a: np.minimum(a, 0.5)))),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_wedge_that_does_not_fit_its_table_is_refused(name: str) -> None:
    thickness = USUAL["container"]["steel"]
    shown = wedge_scan(CONTAINER, "steel", thickness, np.random.default_rng(0))
    message, spoil = SPOILED[name]
    if name == "clipped":  # the open beam is lit, the steps are cut
        high = shown.scan.transmission.copy()
        x0, y0, x1, y1 = shown.box
        high[:, y0:y1, x0:x1] = np.minimum(high[:, y0:y1, x0:x1], 0.5)
        wedge, scan = wedge_of(shown, "steel", thickness), replace(shown.scan, transmission=high)
    else:
        wedge, scan = spoil(shown, thickness)
    with pytest.raises(LeadlineError, match=message) as caught:
        measure_wedge(wedge, scan)
    assert "wedge of steel" in str(caught.value)


def test_steps_that_nothing_penetrates_are_refused_when_too_few_are_left() -> None:
    thickness = (10.0, 60.0, 800.0, 900.0, 1000.0)
    shown = wedge_scan(CONTAINER, "steel", thickness, np.random.default_rng(0))
    dim = replace(shown.scan, transmission=np.where(shown.scan.transmission < 0.01, 0, shown.scan.transmission))
    with pytest.raises(LeadlineError, match="3 of 5 steps let nothing measurable through"):
        measure_wedge(wedge_of(shown, "steel", thickness), dim)


def test_wedges_that_no_scanner_explains_are_refused() -> None:
    table, scans = wedges_of(CONTAINER)
    wrong = [replace(w, density=w.density * 1.5) if w.material == "aluminium" else w for w in table]
    with pytest.raises(LeadlineError, match="no scanner explains the steps"):
        fit_wedges(wrong, scans)


def test_wedges_of_different_distances_are_refused() -> None:
    table, scans = wedges_of(CONTAINER)
    table[1] = replace(table[1], step_mm=1.2 * (table[1].step_mm or 0))
    with pytest.raises(LeadlineError, match="pixel sizes from"):
        fit_wedges(table, scans)


def test_scans_of_two_scanners_are_refused() -> None:
    empty = np.ones((2, 40, 40), np.float32)
    one = Scan(empty, Scanner("container", "6 MV", "4 MV", 5.0), path="one.tif")
    for other, told in (
        (Scanner("parcel"), "kind: parcel and container"),
        (Scanner("container", "9 MV", "6 MV"), "high: 9 MV and 6 MV"),
        (Scanner("container", pixel_mm=4.0), "pixel_mm: 4.0 and 5.0"),
    ):
        with pytest.raises(LeadlineError, match=told):
            common_scanner([one, Scan(empty, other, path="two.tif")], None)
    with pytest.raises(LeadlineError, match="--scanner parcel"):
        common_scanner([one], "parcel")
    with pytest.raises(LeadlineError, match="does not say what kind"):
        common_scanner([Scan(empty, path="x.tif")], None)
    with pytest.raises(LeadlineError, match="not measured at two energies"):
        common_scanner([replace(one, fidelity="pseudocolour")], None)


def test_benign_scans_give_the_noise_and_say_that_the_response_is_not_theirs() -> None:
    rng = np.random.default_rng(0)
    scans = []
    for _ in range(3):
        areal = np.zeros((1, 200, 300), np.float32)
        areal[:, 60:140, 100:220] = rng.uniform(20, 60)
        scans.append(Scan(CONTAINER.expose(areal, ("steel",), rng), CONTAINER.scanner(), path="goods.tif"))
    found = fit_benign(scans)
    assert found.machine.quanta == pytest.approx(CONTAINER.quanta, rel=0.2)  # cut off at 1, and stripes are in it
    assert found.machine.pixel_mm == 4.6 and found.pixel_known
    assert found.machine.energies == (6.0, 4.0)
    assert not found.errors and "usual" in found.details["fitted_to"]
    dark = replace(scans[0], transmission=0.5 * scans[0].transmission)
    with pytest.raises(LeadlineError, match="patches of open beam"):
        fit_benign([dark])
