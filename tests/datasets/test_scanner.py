"""Machines: what is drawn, the noise they add, their faults, and that an exposure is a pure function."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from leadline.datasets.physics.forward import transmission
from leadline.datasets.simulator import machines
from leadline.datasets.simulator.scanner import Machine

QUIET = Machine(kind="container", detector="crystal", energies=(6.0, 4.0), labels=("6 MV", "4 MV"), blur_px=(0.0, 0.0))


def steel(mm, shape=(200, 200)):
    return np.full((1, *shape), 0.787 * mm, np.float32)


@pytest.mark.parametrize("kind", ["parcel", "container"])
@pytest.mark.parametrize("split", machines.SPLITS)
def test_drawn_machines_expose_and_stay_in_range(kind, split):
    areal = np.zeros((2, 60, 90), np.float32)
    areal[0, 10:30, 10:50], areal[1, 20:50, 20:60] = 8.0, 3.0
    for seed in range(12):
        machine = Machine.draw(kind, np.random.default_rng(seed), split)
        result = machine.expose(areal, ("steel", "polyethylene"), np.random.default_rng(seed))
        assert result.shape == (2, 60, 90) and result.dtype == np.float32
        assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= machine.saturation + 1e-6
        assert np.median(result[:, 55:, 70:]) > 0.9 or machine.blind_rows[1]
        scanner = machine.scanner()
        assert scanner.kind == kind and scanner.pixel_mm == pytest.approx(machine.pixel_mm, abs=1e-3)
        assert scanner.high is not None and scanner.high.endswith("kV" if kind == "parcel" else "MV")


@pytest.mark.parametrize("table", [machines.CONTAINER, machines.PARCEL])
def test_held_out_bands_never_meet_the_training_bands(table):
    for name, bands in table.items():
        for low, high in bands.train:
            for other_low, other_high in bands.heldout:
                assert high < other_low or other_high < low, name
        rng = np.random.default_rng(0)
        for split in machines.SPLITS:
            own = bands.train if split == "train" else bands.heldout
            values = [bands.draw(rng, split) for _ in range(200)]
            assert all(any(low <= v <= high for low, high in own) for v in values), name


def test_common_settings_belong_to_training():
    def within(bands, value):
        return any(low <= value <= high for low, high in bands.train)

    assert within(machines.CONTAINER["high"], 6) and within(machines.CONTAINER["high"], 9)
    assert within(machines.CONTAINER["low_share"], 4 / 6)
    assert within(machines.PARCEL["high"], 160)


def test_labels_are_nominal():
    labels = {Machine.draw("container", np.random.default_rng(s)).labels for s in range(200)}
    assert ("6 MV", "4 MV") in labels and ("9 MV", "6 MV") in labels
    assert all(float(high.split()[0]) > float(low.split()[0]) for high, low in labels)


def test_pixel_size_of_the_scene_is_kept():
    assert Machine.draw("parcel", np.random.default_rng(0), pixel_mm=1.44).scanner().pixel_mm == 1.44
    with pytest.raises(ValueError, match="split"):
        Machine.draw("parcel", np.random.default_rng(0), "test")  # type: ignore[arg-type]


def test_same_generator_same_scan():
    machine = Machine.draw("container", np.random.default_rng(3))
    areal = steel(50, (50, 70))
    scans = [machine.expose(areal, ("steel",), np.random.default_rng(5)) for _ in range(2)]
    np.testing.assert_array_equal(*scans)
    assert np.any(scans[0] != machine.expose(areal, ("steel",), np.random.default_rng(6)))
    np.testing.assert_array_equal(areal, steel(50, (50, 70)))


def test_threat_and_twin_share_gains_and_faults():
    machine = replace(QUIET, quanta=(1e12, 1e12), line_gain=(0.02, 0.02), element_gain=(0.02, 0.02), dead_pixels=0.01)
    honest = machine.expose(steel(20), ("steel",), np.random.default_rng(1))
    threat = machine.expose(steel(40), ("steel",), np.random.default_rng(1))
    alive = honest[0] > 0
    assert 0.005 < 1 - alive.mean() < 0.015
    np.testing.assert_array_equal(alive, threat[0] > 0)
    ratio = (threat[0] / np.where(alive, honest[0], 1))[alive]
    assert ratio.std() / ratio.mean() < 2e-4
    assert honest[0][alive].std() / honest[0].mean() > 0.02


@pytest.mark.parametrize("mm", [0, 50, 150])
def test_noise_has_the_stated_mean_and_variance(mm):
    machine = replace(QUIET, saturation=2.0, electronics=(1e-4, 1e-4))
    mean, variance = machine.mean(steel(mm), ("steel",))
    scan = machine.measure(mean, variance, np.random.default_rng(0)).astype(float)
    for channel in range(2):
        error = abs(scan[channel].mean() - mean[channel, 0, 0])
        assert error < 4 * np.sqrt(variance[channel, 0, 0] / scan[channel].size) + machine.saturation / 65535
        assert scan[channel].var() == pytest.approx(float(variance[channel, 0, 0]), rel=0.05)
    if mm == 0:  # open beam: one over the effective quanta
        np.testing.assert_allclose(variance[:, 0, 0], [1 / 6000, 1 / 3000], rtol=1e-3)


def test_few_quanta_leave_exact_zeros_at_the_poisson_rate():
    machine = replace(QUIET, saturation=2.0)
    mean, variance = machine.mean(steel(300), ("steel",))
    # deposits spread by half their mean squared: so many more quanta than the variance alone tells
    quanta = 1.5 * mean[:, 0, 0] ** 2 / (variance[:, 0, 0] - machine.floor_variance)
    assert np.all(quanta < 8)
    scan = machine.measure(mean, variance, np.random.default_rng(0))
    np.testing.assert_allclose((scan == 0).mean(axis=(1, 2)), np.exp(-quanta), rtol=0.15)
    np.testing.assert_allclose(scan.mean(axis=(1, 2)), mean[:, 0, 0], rtol=0.05)


def test_mean_without_faults_is_the_forward_model():
    areal = np.random.default_rng(0).random((1, 30, 40)).astype(np.float32) * 30
    response = QUIET.response
    np.testing.assert_allclose(
        QUIET.mean(areal, ("steel",))[0], transmission(areal, response.attenuation(["steel"]), response), atol=1e-6
    )


def test_blur_keeps_the_sum_and_the_shift_moves_the_low_channel():
    areal = steel(0, (41, 61))
    areal[0, 20, 30] = 100
    machine = replace(QUIET, blur_px=(0.8, 0.8), shift_px=(0.0, 0.4))
    lost = 1 - machine.mean(areal, ("steel",))[0]
    sharp = 1 - QUIET.mean(areal, ("steel",))[0]
    np.testing.assert_allclose(lost.sum(axis=(1, 2)), sharp.sum(axis=(1, 2)), rtol=1e-3)
    columns = np.arange(61)
    at = lost.sum(axis=1) @ columns / lost.sum(axis=(1, 2))
    np.testing.assert_allclose(at, [30, 30.4], atol=0.01)


def test_scatter_fills_shadows_and_leaves_the_open_beam_alone():
    areal = steel(0, (120, 160))
    areal[0, 40:80, 60:100] = 500
    machine = replace(QUIET, scatter=(0.01, 0.01), scatter_width=0.2, pedestal=(0.001, 0.001))
    mean, _ = machine.mean(areal, ("steel",))
    assert 0.005 < mean[0, 60, 80] < 0.011
    np.testing.assert_allclose(mean[:, 5, 5], 1, atol=1e-4)


def test_offset_dead_rows_clipping_and_bits():
    machine = replace(QUIET, offset=(-0.05, 0.05), dead_rows=2, blind_rows=(0, 5), bits=8, quanta=(1e9, 1e9))
    scan = machine.expose(steel(300, (40, 50)), ("steel",), np.random.default_rng(0))
    assert np.all(scan[0] == 0) and np.all(scan[1, 35:] == 0)
    assert 5 < np.all(scan[1] == 0, axis=1).sum() <= 7
    assert np.all(np.abs(scan * 255 - np.rint(scan * 255)) < 1e-4)
    assert machine.expose(steel(0, (40, 50)), ("steel",), np.random.default_rng(0)).max() <= 1.0


def test_smoothing_correlates_the_noise_and_keeps_the_level():
    areal = steel(30)
    rough, smooth = (
        replace(QUIET, smoothing_px=s).expose(areal, ("steel",), np.random.default_rng(0)) for s in (0, 0.6)
    )
    assert smooth[0].std() < 0.8 * rough[0].std() and smooth.mean() == pytest.approx(rough.mean(), rel=1e-3)
    residual = smooth[0] - cv2.blur(smooth[0], (15, 15))
    assert (residual[:, 1:] * residual[:, :-1]).mean() > 0.2 * (residual**2).mean()
