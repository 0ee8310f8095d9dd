from dataclasses import replace

import numpy as np
import pytest
import torch

from leadline.datasets.scan import LeadlineError
from leadline.models.config import NetworkConfig
from leadline.models.network import Network
from leadline.training.baselines import Clues
from leadline.training.calibrate import (
    RATES,
    Affine,
    apply,
    calibrate,
    evidence_threshold,
    fit_affine,
    fit_novelty,
    mass_factors,
)
from leadline.training.measure import EVIDENCE_BINS, Row
from leadline.training.places import Place

FAMILIES = 10


def row(index: int, undeclared: bool, logit: float, **changes: object) -> Row:
    rng = np.random.default_rng(index)
    base: dict = {
        "index": index, "scenario": "x", "threat": undeclared, "undeclared": undeclared, "d_known": 9.0,
        "d_material": 9.0, "mass_kg": 1.0, "clues": Clues(0.0, np.zeros((2, 2), np.int64)),
        "declared": np.zeros(FAMILIES + 1, np.float32), "logit": logit, "score": float(1 / (1 + np.exp(-logit))),
        "materials": np.full(FAMILIES, 0.5, np.float32),
        "material_logits": rng.normal(size=FAMILIES).astype(np.float32),
        "embedding": rng.normal(size=12).astype(np.float32), "present": rng.random(FAMILIES) < 0.5,
        "cells": np.zeros((2, EVIDENCE_BINS), np.int64),
    }  # fmt: skip
    return Row(**(base | changes))


def test_overconfident_logits_are_cooled() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(-1.0, 2.0, 20000)
    labels = rng.random(20000) < 1 / (1 + np.exp(-true))
    found = fit_affine(3 * true + 1.5, labels)  # three times too sure, and shifted
    assert found.scale == pytest.approx(1 / 3, rel=0.05)
    assert found.bias == pytest.approx(-0.5, abs=0.06)


def test_one_class_or_a_reversed_one_changes_nothing() -> None:
    logits = np.linspace(-2, 2, 50)
    assert fit_affine(logits, np.zeros(50, bool)) == Affine()
    assert fit_affine(logits, logits < 0) == Affine()


def test_novelty_is_low_inside_and_high_far_out() -> None:
    rng = np.random.default_rng(2)
    mixing = rng.normal(size=(6, 6))
    known = rng.normal(size=(4000, 6)) @ mixing + 3
    found = fit_novelty(known)
    fresh = rng.normal(size=(4000, 6)) @ mixing + 3
    distance = np.linalg.norm((fresh - found.typical) @ found.whiten, axis=1) / found.accepted
    assert (distance > 1).mean() < 0.001
    away = np.linalg.norm((fresh + 60 - found.typical) @ found.whiten, axis=1) / found.accepted
    assert (away > 1).all()


def test_evidence_threshold_by_hand() -> None:
    cells = np.zeros((2, EVIDENCE_BINS), np.int64)
    cells[0, :20] = 1000  # nothing there: evidence below 0.4
    cells[0, 30] = 5
    cells[1, 28:] = 50  # there: evidence from 0.56
    assert evidence_threshold([row(0, True, 1.0, cells=cells)]) == pytest.approx(0.42, abs=0.15)
    cells[0, 20:32] = 1000
    assert evidence_threshold([row(0, True, 1.0, cells=cells)]) == pytest.approx(0.64, abs=1e-6)
    assert evidence_threshold([row(0, False, 1.0)]) == 0.5


def test_mass_factors_hold_80_of_100() -> None:
    masses = np.linspace(0.5, 2.0, 101)
    rows = [
        row(k, True, 1.0, mass_kg=float(m), place=Place((0, 0), 7, 0.9, 1.0), place_right=True)
        for k, m in enumerate(masses)
    ]
    low, high = mass_factors(rows)
    assert (low, high) == (pytest.approx(0.65), pytest.approx(1.85))
    assert mass_factors(rows[:5]) == (0.2, 5.0)
    assert mass_factors([replace(r, place_right=False) for r in rows]) == (0.2, 5.0)


def test_calibration_reaches_the_network(tiny: NetworkConfig) -> None:
    rng = np.random.default_rng(3)
    rows = [row(k, bool(k % 2), float(rng.normal(2.0 if k % 2 else -2.0, 2.0))) for k in range(400)]
    found = calibrate(rows)
    assert list(found.thresholds) == list(RATES)
    values = list(found.thresholds.values())
    assert values == sorted(values, reverse=True)
    scores = np.array([1 / (1 + np.exp(-(r.logit * found.score.scale + found.score.bias))) for r in rows])
    honest = scores[[not r.undeclared for r in rows]]
    assert (honest >= found.thresholds["0.05"]).mean() == pytest.approx(0.05, abs=0.01)
    network = Network(tiny)
    apply(network, found)
    assert network.score_scale.item() == pytest.approx(found.score.scale)
    assert network.accepted.item() == pytest.approx(found.novelty.accepted)
    network.eval()
    with torch.no_grad():
        assert network(torch.rand(1, 2, 40, 40), torch.zeros(1, FAMILIES + 1)).novelty.isfinite().all()


def test_too_few_scans_are_refused() -> None:
    with pytest.raises(LeadlineError, match="give more with --calibration"):
        calibrate([row(k, False, 0.0) for k in range(100)])


def test_honest_scans_that_score_the_same_far_out_have_thresholds() -> None:
    for highest in (5.0, 16.1):  # sums of the second are not exact
        rows = [row(k, False, -8 + 9 * k / 180) for k in range(180)]
        rows += [row(180 + k, False, highest) for k in range(20)]
        rows += [row(200 + k, True, 3.0 + k / 10) for k in range(200)]
        thresholds = calibrate(rows).thresholds
        assert list(thresholds.values()) == sorted(thresholds.values(), reverse=True)
        assert 0 < thresholds["0.05"] <= thresholds["0.002"] < 1
