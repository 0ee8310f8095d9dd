"""Spectra, detectors and the forward model: hand-worked numbers, the fine grid, and what must hold."""

import numpy as np
import pytest
from scipy.optimize import brentq

from leadline.datasets.materials import catalogue
from leadline.datasets.physics import detectors
from leadline.datasets.physics.attenuation import mass_attenuation
from leadline.datasets.physics.forward import transmission, transmission_and_noise
from leadline.datasets.physics.spectra import (
    linac_grid,
    linac_spectrum,
    linac_table,
    tube_grid,
    tube_spectrum,
)

STEEL_10_MM, LEAD_1_MM = 7.87, 1.135

TUBES = {
    "160 kV dual layer": lambda fine: detectors.dual_layer(160, {"Al": 1}, fine=fine),
    "110 kV dual layer": lambda fine: detectors.dual_layer(110, {"Al": 2, "Cu": 0.2}, front="CsI", fine=fine),
    "200 kV dual layer": lambda fine: detectors.dual_layer(200, {"Al": 1, "Cu": 0.5}, back="CdWO4", fine=fine),
    "160/90 kV": lambda fine: detectors.kv_switching(160, 90, {"Al": 1, "Cu": 0.5}, {"Al": 1}, fine=fine),
}
LINACS = {
    "6/4 MV": lambda fine: detectors.linac(6, 4, {}, {}, fine=fine),
    "9/6 MV": lambda fine: detectors.linac(9, 6, {"Fe": 20}, {"Fe": 20}, fine=fine),
    "4/3 MV": lambda fine: detectors.linac(4, 3, {"Pb": 5}, {"Pb": 5}, crystal_g_cm2=12, fine=fine),
    "10/5.6 MV": lambda fine: detectors.linac(10, 5.6, {}, {"W": 2}, crystal_g_cm2=30, fine=fine),
}


def depth(response, material, areal):
    """-ln T of a catalogue material, (2, N), in double precision."""
    light = np.exp(-np.outer(areal, response.attenuation([material])[0].astype(float)))
    return -np.log(light @ response.weights.astype(float)).T


@pytest.mark.parametrize("name", [*TUBES, *LINACS])
def test_few_energies_reproduce_the_fine_grid(name):
    build, most = (TUBES[name], 28) if name in TUBES else (LINACS[name], 18)
    few, fine = build(False), build(True)
    assert len(few.energies) <= most
    areal = np.geomspace(0.02, 60 if name in TUBES else 400, 50)
    for material in catalogue().materials:
        expected, found = depth(fine, material, areal), depth(few, material, areal)
        # 0.3 % of -ln T, or what the noise of a million quanta would hide
        counts = (expected > 0.01) & (expected < 8)
        assert np.all(np.abs(found - expected)[counts] < np.maximum(3e-3 * expected, 1e-3)[counts]), material


@pytest.mark.parametrize("name", [*TUBES, *LINACS])
def test_responses_are_normalised_and_positive(name):
    response = (TUBES | LINACS)[name](False)
    for weights in (response.weights, response.noise_weights):
        assert weights.shape == (len(response.energies), 2) and weights.dtype == np.float32
        np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-5)
        assert weights.min() > -1e-4
    high, low = response.energies @ response.weights
    assert high > 1.1 * low
    # noise weighs the hard photons more
    assert np.all(response.energies @ response.noise_weights > response.energies @ response.weights)


def test_two_millimetres_of_lead_stop_a_parcel_beam():
    response = detectors.dual_layer(160, {"Al": 1})
    two, four = np.exp(-depth(response, "lead", [2 * LEAD_1_MM, 4 * LEAD_1_MM]))[0]
    assert 0.001 < two < 0.004
    assert four < 1e-4


def test_linac_spectra_reproduce_the_table_and_vary_smoothly():
    table = linac_table()
    for end_point, column in ((6, "photons_6mv"), (9, "photons_9mv")):
        np.testing.assert_allclose(linac_spectrum(end_point)[:896], table[column][4:], atol=1e-7)
    means = [linac_spectrum(mv) @ linac_grid().centres for mv in np.arange(3, 10.1, 0.5)]
    assert np.all(np.diff(means) > 0) and np.all(np.abs(np.diff(means, n=2)) < 0.01)
    for end_point in (3.3, 4.7, 10):
        photons = linac_spectrum(end_point)
        assert np.all(photons[linac_grid().edges[:-1] >= end_point] == 0) and photons.min() >= 0


def test_antimony_and_lead_share_their_ratio_at_two_depths_in_a_6_4_mv_beam():
    response = detectors.linac(6, 4, {}, {}, fine=True)

    def low_depth(material, high_depth=2.0):
        areal = brentq(lambda a: depth(response, material, [a])[0, 0] - high_depth, 1, 400)
        return depth(response, material, [areal])[1, 0]

    assert abs(low_depth("antimony") - low_depth("lead")) < 0.006
    assert low_depth("tile_adhesive") - low_depth("ndfeb") == pytest.approx(0.085, abs=0.015)
    assert low_depth("steel") - low_depth("ndfeb") == pytest.approx(0.02, abs=0.005)
    assert low_depth("polyethylene") - low_depth("neodymium_oxide") == pytest.approx(0.135, abs=0.015)


def test_monochromatic_limit_is_beer_lambert():
    energy = np.array([0.1])
    one = np.ones((1, 2), np.float32)
    response = detectors.Response(energy, one, one)
    attenuation = mass_attenuation({"Fe": 1}, energy)[None].astype(np.float32)
    found = transmission(np.array([[0.0, 1.0, STEEL_10_MM]]), attenuation, response)
    # NIST: iron at 100 keV, 0.3717 cm2/g
    np.testing.assert_allclose(found[0], np.exp(-0.3717 * np.array([0, 1, STEEL_10_MM])), rtol=5e-3)


def test_spectra_by_filter_and_voltage():
    kev = tube_grid().centres * 1e3
    soft, hard = tube_spectrum(160, {"Al": 1}), tube_spectrum(160, {"Al": 1, "Cu": 1})
    assert soft.sum() == pytest.approx(1) and hard @ kev > soft @ kev + 10
    assert np.all(tube_spectrum(120)[kev > 120.5] == 0)
    # between two tabulated voltages
    assert tube_spectrum(150) @ kev < tube_spectrum(152.5) @ kev < tube_spectrum(155) @ kev
    # K lines of tungsten stand out
    assert soft[np.argmin(abs(kev - 59.5))] > 3 * soft[np.argmin(abs(kev - 63.5))]
    for bad in (40, 300, np.nan):
        with pytest.raises(ValueError, match="kV"):
            tube_spectrum(bad)
    with pytest.raises(ValueError, match="MV"):
        linac_spectrum(2)


def test_transmission_shape_range_and_purity():
    response = TUBES["160 kV dual layer"](False)
    names = ("steel", "lead", "polyethylene")
    rng = np.random.default_rng(1)
    areal = rng.random((3, 37, 291)).astype(np.float32) * (rng.random((3, 37, 291)) < 0.3)
    before = areal.copy()
    attenuation = response.attenuation(names)
    result = transmission(areal, attenuation, response)
    assert result.shape == (2, 37, 291) and result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 1 + 1e-5
    np.testing.assert_array_equal(areal, before)
    np.testing.assert_allclose(result[:, areal.sum(0) == 0], 1, atol=1e-5)
    # the same pixels in any layout, and against the plain sum in double precision
    np.testing.assert_allclose(transmission(areal[:, ::-1], attenuation, response)[:, ::-1], result, atol=1e-6)
    exponent = np.einsum("mrc,me->erc", areal.astype(float), attenuation.astype(float))
    expected = np.einsum("erc,ek->krc", np.exp(-exponent), response.weights.astype(float))
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_noise_moment_by_hand_and_empty_inputs():
    response = LINACS["6/4 MV"](False)
    mean, moment = transmission_and_noise(np.array([[0.0, 40.0]]), response.attenuation(["steel"]), response)
    light = np.exp(-40 * response.attenuation(["steel"])[0].astype(float))
    np.testing.assert_allclose(moment[:, 1], light @ response.noise_weights, rtol=1e-4)
    np.testing.assert_allclose(mean[:, 0], 1, rtol=1e-5)
    np.testing.assert_allclose(moment[:, 0], 1, rtol=1e-5)
    assert np.all(moment[:, 1] > mean[:, 1])  # hard photons are left, and they deposit more
    nothing = transmission(np.zeros((0, 2, 3), np.float32), response.attenuation([]), response)
    np.testing.assert_allclose(nothing, 1, rtol=1e-5)
    with pytest.raises(ValueError, match="match"):
        transmission(np.zeros((2, 3)), response.attenuation(["steel"]), response)
