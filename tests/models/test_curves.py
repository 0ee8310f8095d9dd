from dataclasses import replace

import pytest
import torch

from leadline.datasets.beam import BEAM
from leadline.models.config import REFERENCES, config_for
from leadline.models.curves import CONTRASTS, SHADES, ScannerCurves
from leadline.models.features import attenuation_features

CONFIG = replace(config_for("container"), floor=1e-9)


def curves(level: float) -> torch.Tensor:
    """(R, K) contrasts that fall with attenuation, the references a tenth of the period apart."""
    steps = torch.arange(len(REFERENCES)).unsqueeze(1) * 0.1 * CONFIG.ratio_period
    return level - steps - 0.01 * torch.tensor(CONFIG.knots)


def scanned(contrast: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Features of cells, (1, 4, h, w), of a contrast and a high-energy attenuation."""
    low = high + contrast * (high + CONFIG.thin)
    return attenuation_features(torch.exp(-torch.stack((high, low))).unsqueeze(0), CONFIG)


def test_distance_from_the_curves_worked_out_by_hand() -> None:
    machine = ScannerCurves(CONFIG)
    high = torch.tensor([[0.1, 0.375, 2.0, 3.5, 8.0, 8.6]])  # before, between, on a knot, between, on the last, beyond
    first = torch.tensor([[0.2975, 0.29625, 0.28, 0.265, 0.22, 0.22]])
    away = machine.distances(scanned(first, high), curves(0.3).unsqueeze(0))
    assert away[0, 0].flatten().tolist() == pytest.approx([0.0] * 6, abs=2e-3)
    assert away[0, -1].flatten().tolist() == pytest.approx([0.3] * 6, abs=2e-3)
    above = machine.distances(scanned(first + CONFIG.ratio_period, high), curves(0.3).unsqueeze(0))
    assert above[0, 0].flatten().tolist() == pytest.approx([1.0] * 6, abs=2e-3)


def test_each_scan_of_a_batch_is_held_against_its_own_curves() -> None:
    machine = ScannerCurves(CONFIG)
    cells = scanned(torch.full((3, 5), 0.25), torch.full((3, 5), 2.0))
    both = machine.distances(torch.cat((cells, cells)), torch.stack((curves(0.3), curves(0.2))))
    alone = machine.distances(cells, curves(0.2).unsqueeze(0))
    assert torch.equal(both[1], alone[0])
    assert not torch.allclose(both[0], both[1])


def test_histogram_counts_cells_whatever_the_size_of_the_scan() -> None:
    machine = ScannerCurves(CONFIG)
    cells = scanned(torch.full((8, 8), 0.3), torch.linspace(0.2, 4.0, 64).reshape(8, 8))
    small, large = machine.histogram(cells), machine.histogram(cells.repeat(1, 1, 3, 5))
    assert small.shape == (1, SHADES, CONTRASTS)
    assert torch.allclose(small, large, atol=1e-4)
    column = 31 * (0.3 - CONFIG.contrasts[0]) / (CONFIG.contrasts[1] - CONFIG.contrasts[0])
    assert set(torch.nonzero(small[0].sum(0))[:, 0].tolist()) == {int(column), int(column) + 1}


def test_a_fit_begins_with_a_typical_scanner() -> None:
    machine = ScannerCurves(CONFIG)
    machine.begin(curves(0.3))
    machine.tell.weight.data.zero_()
    found, _ = machine(scanned(torch.full((4, 4), 0.3), torch.full((4, 4), 2.0)), torch.zeros(1, BEAM))
    assert torch.allclose(found[0], curves(0.3), atol=1e-6)


def test_the_curves_of_a_scanner_are_learned_from_its_scans() -> None:
    torch.manual_seed(0)
    machine = ScannerCurves(CONFIG)
    levels = torch.rand(64) * 0.1 + 0.2
    scans = torch.cat([scanned(level + 0.01 * torch.randn(24, 24), 0.3 + 5 * torch.rand(24, 24)) for level in levels])
    true = torch.stack([curves(float(level)) for level in levels])
    machine.begin(true.mean(0))
    optimizer = torch.optim.Adam(machine.parameters(), 3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        (machine(scans[:48], torch.zeros(48, BEAM))[0] - true[:48]).square().mean().mul(100).backward()
        optimizer.step()
    error = (machine(scans[48:], torch.zeros(16, BEAM))[0] - true[48:]).abs().mean()
    assert error < 0.25 * (true[48:] - true.mean(0)).abs().mean()
