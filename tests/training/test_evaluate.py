import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leadline.models.config import NetworkConfig
from leadline.models.export import draft_contract
from leadline.training.baselines import DEPTHS, RATIOS, Clues, aucs, clues, fit_band, fit_baselines
from leadline.training.evaluate import figures
from leadline.training.measure import EVIDENCE_BINS, Row
from leadline.training.report import card, table
from leadline.training.statistics import Areas, resampled

FAMILIES = 10


def row(index: int, threat: bool, logit: float, d: float = 9.0, darkest: float = 0.0, scenario: str = "reo") -> Row:
    return Row(
        index, scenario, threat, threat, d if threat else None, d if threat else None, float(threat),
        Clues(darkest, np.zeros((len(DEPTHS) - 1, len(RATIOS["parcel"]) - 1), np.int64)),
        np.zeros(FAMILIES + 1, np.float32), logit, float(1 / (1 + np.exp(-logit))), place_right=threat and logit > 2,
        family_right=threat and logit > 3, cells=np.zeros((2, EVIDENCE_BINS), np.int64), areal_error=0.1,
        cargo_mass=1.2, novelty=0.5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """100 pairs: 90 threats that physics allows score 3 above their twin, 10 hopeless ones below it."""
    found = []
    for k in range(100):
        honest = -2.0 + k / 100
        found += [
            row(k, True, honest + (4.5 if k < 90 else -0.1), d=9.0 if k < 90 else 1.0, darkest=k % 10),
            row(k, False, honest, darkest=k % 10),
        ]
    return found


def test_figures_by_hand(rows: list[Row], tiny: NetworkConfig) -> None:
    contract = draft_contract(tiny, thresholds={"0.01": 0.5, "0.05": 0.2})
    found = figures(rows, contract, None)
    network = found["methods"]["network"]
    assert found["scans"] == {"honest": 100, "threats": 100, "threats_allowed_by_physics": 90}
    assert network["allowed_by_physics"]["auc"] == pytest.approx([1.0, 1.0, 1.0])
    assert network["allowed_by_physics"]["found"]["0.01"][0] == 1.0
    assert network["beyond_physics"]["found"]["0.01"][0] == 0.0
    assert network["all"]["found"]["0.01"][0] == pytest.approx(0.9)
    low, high = network["all"]["found"]["0.01"][1:]
    assert (low, high) == (pytest.approx(0.8256, abs=1e-3), pytest.approx(0.9448, abs=1e-3))  # Wilson, 90 of 100
    assert network["pairs_won"][0] == pytest.approx(0.9)
    assert found["thresholds"]["0.01"]["false_alarms"][0] == 0
    assert found["thresholds"]["0.05"]["false_alarms"][0] == pytest.approx(0.38)  # logits from -1.386 on
    scenario = found["scenarios"]["reo"]
    assert (scenario["threats"], scenario["threats_allowed_by_physics"]) == (100, 90)
    assert scenario["all"] == network["all"]  # the only scenario
    assert scenario["allowed_by_physics"] == network["allowed_by_physics"]
    assert found["places"]["right"][0] == pytest.approx(1.0)
    assert found["cargo_mass_error"] == pytest.approx(0.2)
    json.dumps(found)


def test_scenarios_by_hand(rows: list[Row], tiny: NetworkConfig) -> None:
    """Eight more threats of another scenario, between two honest scans: 94 of 100 lie below."""
    more = [row(200 + k, True, -1.065, d=9.0 if k < 4 else 1.0, scenario="art") for k in range(8)]
    found = figures([*rows, *more], draft_contract(tiny), None)
    art = found["scenarios"]["art"]
    assert (art["threats"], art["threats_allowed_by_physics"]) == (8, 4)
    for group in ("all", "allowed_by_physics"):
        area, low, high = art[group]["auc"]
        assert area == pytest.approx(0.94) and 0.85 < low < area < high < 1
        assert art[group]["found"]["0.01"][0] == 0 and art[group]["found"]["0.05"][0] == 0
    assert found["scenarios"]["reo"]["all"]["found"]["0.05"][0] == pytest.approx(0.9)
    text = table(found)
    assert "| art | 4 | 0.940 (" in text and "| art | 8 | 0.940 (" in text and "| reo | 90 | 1.000 (" in text


def test_nothing_is_said_of_what_labels_do_not_tell(rows: list[Row], tiny: NetworkConfig) -> None:
    """Scans without boxes, twins and a simulator's truth."""
    plain = [
        replace(r, index=k, placed=False, place_right=False, d_known=None, d_material=None, areal_error=np.nan,
                cargo_mass=np.nan)
        for k, r in enumerate(rows)
    ]  # fmt: skip
    found = figures(plain, draft_contract(tiny, thresholds={"0.01": 0.5}), None)
    assert not found["places"]["right"]
    text = table(found)
    assert "| 1 % false alarms | 0.500 |" in text and "Expected calibration error" in text
    for words in ("place", "physics", "twin", "areal", "–"):
        assert words not in text, text


def test_baselines_are_in_the_same_table(rows: list[Row], tiny: NetworkConfig) -> None:
    few = rows[::10] + rows[1::10]
    baselines = fit_baselines([r.clues for r in few], [r.declared for r in few], [r.undeclared for r in few], "parcel")
    contract = draft_contract(tiny)
    found = figures(rows, contract, baselines) | {"set": {"split": "heldout", "seed": 1, "scenes": 100}}
    assert found["methods"]["largest_attenuation"]["all"]["auc"][0] == pytest.approx(0.5)
    assert found["methods"]["ratio_rule"]["pairs_won"][0] == pytest.approx(0.5)  # all ties
    text = table(found)
    for words in ("this model", "largest attenuation", "best energy-ratio rule", "reo", "90.0 % (82.6 to 94.5)"):
        assert words in text
    page = card(contract, found, "ab" * 32)
    assert "ab" * 32 in page and "leadline evaluate parcel.onnx --scenes 100 --seed 1" in page


def test_clues_by_hand() -> None:
    t = np.ones((2, 40, 40), np.float32)
    t[0, 8:16, 8:16], t[1, 8:16, 8:16] = np.exp(-1.0), np.exp(-2.0)  # four smoothed pixels of ratio 2
    found = clues(t, "parcel")
    assert found.darkest == pytest.approx(1.0, abs=1e-5)
    assert found.pixels.sum() == 4
    depth, ratio = (int(k[0]) for k in np.nonzero(found.pixels))
    assert DEPTHS[depth] <= 1.0 <= DEPTHS[depth + 1]
    assert RATIOS["parcel"][ratio] <= 2.0 <= RATIOS["parcel"][ratio + 1]


def test_the_rule_finds_the_band_that_tells() -> None:
    rng = np.random.default_rng(0)
    scans, labels = [], []
    for k in range(24):
        pixels = rng.poisson(3.0, (len(DEPTHS) - 1, len(RATIOS["parcel"]) - 1))
        if k % 2:
            pixels[6:9, 10:13] += 8
        scans.append(Clues(0.0, pixels.astype(np.int64)))
        labels.append(bool(k % 2))
    rule = fit_band(scans, labels, "parcel")
    assert rule.auc == pytest.approx(1.0)
    assert rule.cells[0] <= 8 and rule.cells[1] >= 7 and rule.cells[2] <= 12 and rule.cells[3] >= 11
    fired = [rule(s) for s in scans]
    assert min(f for f, label in zip(fired, labels, strict=True) if label) > max(
        f for f, label in zip(fired, labels, strict=True) if not label
    )


def test_areas_of_groups_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    honest, threats = rng.integers(0, 9, 60).astype(float), rng.integers(2, 12, 40).astype(float)  # with ties
    areas = Areas(honest, np.arange(60), np.arange(20, 60))
    found = areas(threats, np.arange(20, 60))
    labels = np.r_[np.zeros(60), np.ones(40)]
    assert found[0] == pytest.approx(roc_auc_score(labels, np.r_[honest, threats]))
    weights = resampled(np.r_[np.arange(60), np.arange(20, 60)])
    draws = [roc_auc_score(labels, np.r_[honest, threats], sample_weight=w) for w in weights[:60]]
    few = Areas(honest, np.arange(60), np.arange(20, 60), draws=60)(threats, np.arange(20, 60))
    assert few[1:] == pytest.approx(np.quantile(draws, (0.025, 0.975)))
    assert areas(threats[:0], np.arange(0)) == []


def test_areas_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(40) < 0.4
    values = rng.integers(0, 6, (40, 9)).astype(float)  # many ties
    assert aucs(values, labels) == pytest.approx([roc_auc_score(labels, column) for column in values.T])
