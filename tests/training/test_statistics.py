import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from leadline.training.statistics import calibration, delong, mcnemar, resampled, roc, weighted_auc


def scored(n: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    return np.round(rng.normal(positive * 1.0, 1.0), 1), positive  # with ties


def test_roc_by_hand() -> None:
    scores, positive = np.array([0.0, 1, 2, 3, 4, 1.5, 3.5]), np.array([False] * 5 + [True] * 2)
    found = roc(scores, positive, np.ones((1, 7)), np.array([0.0, 0.25, 0.75, 1.0]))
    assert found.tolist() == [[0.0, 0.5, 1.0, 1.0]]  # above 4, 3, 1


def test_weighted_area_counts_a_case_as_often_as_it_is_drawn() -> None:
    scores, positive = scored()
    weights = np.random.default_rng(1).integers(0, 4, (5, len(scores))).astype(float)
    expected = [roc_auc_score(positive, scores, sample_weight=w) for w in weights]
    assert weighted_auc(scores, positive, weights) == pytest.approx(expected)


def test_scans_of_one_scene_are_drawn_together() -> None:
    weights = resampled(np.array([0, 0, 1, 2, 2]), draws=50)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()


def test_calibration_error_agrees_with_torchmetrics() -> None:
    scores, positive = scored(300)
    probability = 1 / (1 + np.exp(-scores))
    bins, error = calibration(probability, positive)
    peer = binary_calibration_error(torch.from_numpy(probability), torch.from_numpy(positive.astype(int)), n_bins=15)
    assert error == pytest.approx(float(peer), abs=1e-6)
    assert sum(b["count"] for b in bins) == 300
    assert all(b["low"] <= b["observed"] <= b["high"] for b in bins)


def test_delong_agrees_with_its_definition() -> None:
    first, positive = scored(60, 2)
    second = first + np.random.default_rng(3).normal(0, 0.7, 60)
    found = delong(first, second, positive)
    assert (found.first, found.second) == (
        pytest.approx(roc_auc_score(positive, first)),
        pytest.approx(roc_auc_score(positive, second)),
    )
    m, n = int(positive.sum()), int((~positive).sum())
    wins, losses = [], []
    for s in (first, second):  # the kernel of every pair, as the paper writes it
        kernel = (s[positive][:, None] > s[~positive]) + 0.5 * (s[positive][:, None] == s[~positive])
        wins.append(kernel.mean(1))
        losses.append(kernel.mean(0))
    variance = np.var(wins[1] - wins[0], ddof=1) / m + np.var(losses[1] - losses[0], ddof=1) / n
    assert found.high - found.difference == pytest.approx(1.959964 * variance**0.5)
    assert 0 < found.p < 1


def test_delong_of_a_model_with_itself() -> None:
    scores, positive = scored()
    found = delong(scores, scores, positive)
    assert (found.difference, found.p) == (0, 1)
    with pytest.raises(ValueError, match="two cases of each class"):
        delong(scores[:1], scores[:1], positive[:1])


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar(3, 3) == 1 and mcnemar(0, 0) == 1
