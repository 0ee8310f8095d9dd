"""Attenuation against xraylib, against the table itself, and at absorption edges."""

import numpy as np
import pytest

from leadline.datasets.materials import catalogue
from leadline.datasets.physics.attenuation import (
    ATOMIC_WEIGHT,
    SYMBOLS,
    mass_attenuation,
    mass_energy_transfer,
    mass_fractions,
    material_attenuation,
    parse_formula,
)
from leadline.datasets.scan import LeadlineError

KEV_EDGES = {"Sb": 30.491, "Pb": 88.005, "Nd": 43.569, "W": 69.525, "Gd": 50.239}


@pytest.mark.parametrize(
    "formula", ["H2O", "C6H10O5", "SiO2", "Fe2O3", "Al", "Fe", "Sb", "Sb2O3", "CeO2", "Nd2O3", "W"]
)
def test_agrees_with_xraylib_within_one_per_cent(formula):
    xraylib = pytest.importorskip("xraylib")
    energies = np.geomspace(0.010, 0.800, 150)
    elements = [xraylib.SymbolToAtomicNumber(s) for s in parse_formula(formula)]
    edges = [xraylib.EdgeEnergy(z, shell) for z in elements if z > 10 for shell in range(4)]
    clear = np.all([np.abs(energies * 1e3 - edge) > 0.02 * edge for edge in edges or [1.0]], axis=0)
    ours = mass_attenuation({formula: 1}, energies[clear])
    theirs = [xraylib.CS_Total_CP(formula, e * 1e3) for e in energies[clear]]
    np.testing.assert_allclose(ours, theirs, rtol=0.01)


def test_lead_by_hand():
    # NIST X-ray mass attenuation tables: lead, total with coherent scatter, cm2/g
    np.testing.assert_allclose(
        mass_attenuation({"Pb": 1}, [0.1, 0.15, 1.0, 6.0]), [5.549, 2.014, 0.07102, 0.04391], rtol=5e-3
    )


@pytest.mark.parametrize("symbol", KEV_EDGES)
def test_never_interpolates_across_an_edge(symbol):
    edge = KEV_EDGES[symbol] / 1e3
    energies = edge * np.array([0.96, 0.98, 0.995, 1.005, 1.02, 1.04])
    mu = mass_attenuation({symbol: 1}, energies)
    assert mu[3] > 3 * mu[2]
    assert np.all(np.diff(mu[:3]) < 0) and np.all(np.diff(mu[3:]) < 0)


def test_grid_points_come_back_and_coherent_can_be_left_out():
    # antimony at 0.1 MeV: coherent 0.1012, photoelectric 1.546, incoherent 0.1107
    np.testing.assert_allclose(mass_attenuation({"Sb": 1}, 0.1), 0.1012 + 1.546 + 0.1107, rtol=1e-5)
    np.testing.assert_allclose(mass_attenuation({"Sb": 1}, 0.1, coherent=False), 1.546 + 0.1107, rtol=1e-5)


def test_water_energy_transfer_by_hand():
    # NIST mass energy-absorption of water: 0.02546 at 0.1 MeV, 0.03192 at 0.4 MeV, cm2/g
    np.testing.assert_allclose(mass_energy_transfer({"H2O": 1}, [0.1, 0.4]), [0.02546, 0.03279], rtol=0.02)


def test_formulas_and_mixtures():
    assert parse_formula("Ca3Al2O6") == {"Ca": 3, "Al": 2, "O": 6}
    assert parse_formula("CaSO6H4")["H"] == 4
    water = mass_fractions({"H2O": 1})
    assert water["H"] == pytest.approx(2 * 1.008 / 18.015, rel=1e-4)
    half = mass_fractions({"Fe": 2, "Pb": 2})
    assert half == {"Fe": 0.5, "Pb": 0.5}
    mixed = mass_attenuation({"SiO2": 0.3, "Pb": 0.7}, [0.1, 2.0])
    parts = 0.3 * mass_attenuation({"SiO2": 1}, [0.1, 2.0]) + 0.7 * mass_attenuation({"Pb": 1}, [0.1, 2.0])
    np.testing.assert_allclose(mixed, parts)


@pytest.mark.parametrize("formula", ["", "Xx", "h2o", "Ca(OH)2", "2H", "Fe-2"])
def test_bad_formulas_are_clear_errors(formula):
    with pytest.raises(LeadlineError, match="formula"):
        parse_formula(formula)


def test_bad_energies_and_names():
    with pytest.raises(ValueError, match="MeV"):
        mass_attenuation({"Fe": 1}, [30.0])
    with pytest.raises(ValueError, match="MeV"):
        mass_attenuation({"Fe": 1}, [np.nan])
    with pytest.raises(LeadlineError, match="unobtainium"):
        material_attenuation("unobtainium", [0.1])
    with pytest.raises(LeadlineError, match="composition"):
        mass_attenuation({}, [0.1])


def test_every_catalogue_material_has_finite_attenuation():
    energies = np.geomspace(0.005, 10, 60)
    for name in catalogue().materials:
        mu = material_attenuation(name, energies)
        assert np.all(np.isfinite(mu)) and np.all(mu > 0)
        assert mu is material_attenuation(name, energies) and not mu.flags.writeable


def test_tables_cover_the_elements_in_order():
    assert len(SYMBOLS) == 100 and SYMBOLS[50] == "Sb" and SYMBOLS[81] == "Pb"
    assert ATOMIC_WEIGHT["Pb"] == 207.2
    heavier = np.diff([ATOMIC_WEIGHT[s] for s in SYMBOLS[:92]])
    assert (heavier < 0).sum() == 4  # Ar-K, Co-Ni, Te-I and Th-Pa run backwards
