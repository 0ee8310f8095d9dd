"""Detectability by hand in cases where it can be worked out, and its bounds."""

from dataclasses import replace

import numpy as np
import pytest

from leadline.datasets.materials import catalogue
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.truth import detectability, family_maps

MATERIALS = ("tile_adhesive", "ndfeb_powder", "lead", "antimony")
MACHINE = Machine(
    kind="container", detector="crystal", energies=(6.0, 4.0), labels=("6 MV", "4 MV"), blur_px=(0.0, 0.0)
)


def scene(honest, change, shape=(40, 50)):
    areal, extra = np.zeros((4, *shape), np.float32), np.zeros((4, 20, 30), np.float32)
    for name, value in honest.items():
        areal[MATERIALS.index(name)] = value
    for name, value in change.items():
        extra[MATERIALS.index(name)] = value
    return areal, (10, 30, 10, 40), extra


def test_known_signal_is_the_sum_over_pixels_by_hand():
    areal, window, change = scene({"tile_adhesive": 30.0}, {"ndfeb_powder": 10.0})
    known, _ = detectability(areal, window, change, MATERIALS, MACHINE)
    threat = areal.copy()
    threat[:, 10:30, 10:40] += change
    (before, _), (after, variance) = MACHINE.mean(areal, MATERIALS), MACHINE.mean(threat, MATERIALS)
    assert known == pytest.approx(np.sqrt(((after - before) ** 2 / variance).sum()), rel=1e-3)


def test_more_of_the_same_goods_is_no_material_evidence():
    areal, window, change = scene({"tile_adhesive": 30.0}, {"tile_adhesive": 15.0})
    known, material = detectability(areal, window, change, MATERIALS, MACHINE)
    assert known > 100 and material < 1e-3 * known


def test_material_evidence_is_what_the_energies_tell_apart():
    other = detectability(*scene({"tile_adhesive": 40.0}, {"ndfeb_powder": 20.0}), MATERIALS, MACHINE)
    close = detectability(*scene({"lead": 45.0}, {"antimony": 20.0}), MATERIALS, MACHINE)
    assert 0 < other[1] < other[0] and 0 <= close[1] < close[0]
    assert close[1] < 0.2 * other[1]


def test_distance_to_the_curve_by_hand():
    areal, window, change = scene({"tile_adhesive": 40.0}, {"ndfeb_powder": 20.0})
    _, material = detectability(areal, window, change, MATERIALS, MACHINE)
    pixel = areal[:, :1, :1] * np.linspace(0, 6, 20001, dtype=np.float32)
    curve = MACHINE.mean(pixel, MATERIALS)[0][:, 0]
    threat, variance = MACHINE.mean(areal[:, :1, :1] + change[:, :1, :1], MATERIALS)
    least = ((curve - threat[:, 0]) ** 2 / variance[:, 0]).sum(axis=0).min()
    assert material == pytest.approx(np.sqrt(600 * least), rel=0.01)


def test_dense_beam_precision_does_not_invent_evidence():
    parcel = replace(Machine.draw("parcel", np.random.default_rng(0)), quanta=(1e6, 1e6))
    areal, window, change = scene({"tile_adhesive": 2.0}, {"tile_adhesive": 1.3})
    known, material = detectability(areal, window, change, MATERIALS, parcel)
    assert material < 2e-3 * known


def test_subsampling_agrees_with_every_pixel():
    rng = np.random.default_rng(0)
    areal = np.zeros((4, 300, 400), np.float32)
    areal[0] = 30 + rng.random((300, 400))
    change = np.zeros_like(areal)
    change[1] = 2 + rng.random((300, 400))
    known, material = detectability(areal, (0, 300, 0, 400), change, MATERIALS, MACHINE)
    parts = [
        detectability(areal, (y, y + 30, x, x + 40), change[:, y : y + 30, x : x + 40], MATERIALS, MACHINE)
        for y in range(0, 300, 30)
        for x in range(0, 400, 40)
    ]
    whole = np.sqrt((np.array(parts) ** 2).sum(axis=0))
    assert (known, material) == pytest.approx(tuple(whole), rel=0.03)


def test_blur_lowers_small_threats_and_thin_lines_are_found():
    areal = np.zeros((4, 60, 60), np.float32)
    areal[0] = 10
    change = np.zeros_like(areal)
    change[3, 30:32, 30:32] = 20
    window = (0, 60, 0, 60)
    sharp = detectability(areal, window, change, MATERIALS, MACHINE)
    soft = detectability(areal, window, change, MATERIALS, replace(MACHINE, blur_px=(1.0, 1.0)))
    assert 0.2 * sharp[0] < soft[0] < 0.8 * sharp[0]
    assert soft[1] / soft[0] == pytest.approx(sharp[1] / sharp[0])
    lines = np.zeros((4, 300, 300), np.float32)
    lines[3, 7::20] = 5
    assert detectability(np.zeros_like(lines), (0, 300, 0, 300), lines, MATERIALS, MACHINE)[0] > 0


def test_nothing_changes_nothing_to_find():
    assert detectability(*scene({"lead": 5.0}, {}), MATERIALS, MACHINE) == (0.0, 0.0)
    areal = np.zeros((4, 5, 5), np.float32)
    assert detectability(areal, (0, 0, 0, 0), np.zeros((4, 0, 0), np.float32), MATERIALS, MACHINE) == (0.0, 0.0)
    with pytest.raises(ValueError, match="match"):
        detectability(areal, (0, 2, 0, 2), np.zeros((4, 3, 3), np.float32), MATERIALS, MACHINE)


def test_purity_and_families():
    areal, window, change = scene({"lead": 12.0, "tile_adhesive": 1.0}, {"antimony": 5.0, "lead": -20.0})
    copies = areal.copy(), change.copy()
    first = detectability(areal, window, change, MATERIALS, MACHINE)
    assert first == detectability(areal, window, change, MATERIALS, MACHINE)
    np.testing.assert_array_equal(areal, copies[0])
    np.testing.assert_array_equal(change, copies[1])
    maps = family_maps(MATERIALS, areal)
    names = catalogue().names
    assert maps.shape == (len(names), 40, 50) and maps.dtype == np.float32
    assert maps[names.index("lead"), 0, 0] == 12 and maps[names.index("mineral"), 0, 0] == 1
    assert maps[names.index("antimony")].max() == 0
