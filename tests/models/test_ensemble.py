"""Networks that look at blocks of different sizes, and whose logits are averaged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from leadline.datasets.appearance import APPEARANCE
from leadline.models import contract as contracts
from leadline.models.config import config_for
from leadline.models.ensemble import Ensemble, build
from leadline.models.export import draft_contract, export, phantom
from leadline.models.features import halve, pool_pixels
from leadline.models.network import Network
from leadline.models.restore import restore, widen

TINY = {"widths": (16, 16, 16, 16), "blocks": (0, 1, 1, 1), "decoder": 16, "pixel_width": 8, "embedding": 12}
SAID = len(config_for("parcel").families) + 1 + APPEARANCE


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    """Blocks of 2 and of 8 pixels; each member with statistics and a calibration of its own."""
    torch.manual_seed(4)
    made = build(config_for("parcel", coarser=(8,), **TINY))
    assert isinstance(made, Ensemble)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    for member, scale in zip(made.members, (0.5, 3.0), strict=True):
        member.score_scale.fill_(scale)
        member.family_bias.fill_(-scale)
    made.score_bias.fill_(0.7)
    return made.eval()


@pytest.fixture(scope="module")
def scans() -> torch.Tensor:
    return torch.from_numpy(phantom(np.random.default_rng(6), 2, 83, 117))


def test_logits_are_the_mean_of_the_calibrated_ones(ensemble: Ensemble, scans: torch.Tensor) -> None:
    said = (torch.arange(2 * SAID).reshape(2, SAID) % 3 == 0).float()
    pooled = pool_pixels(scans, ensemble.config)
    with torch.no_grad():
        found = ensemble.raw(scans, said)
        alone = [m.raw(halve(pooled, m.config.pool // 2), said, pooled=True) for m in ensemble.members]
        parts = [m.calibrated(raw) for m, raw in zip(ensemble.members, alone, strict=True)]
    torch.testing.assert_close(found.score, sum(p[0] for p in parts) / 2)
    torch.testing.assert_close(found.materials, sum(p[1] for p in parts) / 2)
    assert found.embedding.shape == (2, 24)
    torch.testing.assert_close(found.embedding[:, 12:24], alone[1].embedding)


def test_every_cell_hears_of_the_large_blocks_it_lies_in(ensemble: Ensemble, scans: torch.Tensor) -> None:
    said, pooled = torch.zeros(1, SAID), pool_pixels(scans, ensemble.config)
    with torch.no_grad():
        found = ensemble.raw(scans, said)
        maps = [m.raw(halve(pooled, m.config.pool // 2), said, pooled=True).evidence for m in ensemble.members]
    rows, columns = found.evidence.shape[2:]
    assert (rows, columns) == (21, 30)  # of 4 pixels
    for row, column in ((0, 0), (3, 5), (4, 6), (20, 29), (19, 8), (12, 28)):
        wanted = sum(m[:, :, row // k, column // k] for m, k in zip(maps, (1, 4), strict=True)) / 2
        torch.testing.assert_close(found.evidence[:, :, row, column], wanted)


@pytest.mark.slow
def test_one_file_that_gives_the_same_and_comes_back(ensemble: Ensemble, scans: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "both.onnx"
    export(ensemble, path, draft_contract(ensemble.config))  # compares at shapes down to a single pixel
    again, contract = restore(path)
    assert isinstance(again, Ensemble) and again.config == ensemble.config
    assert contract.stride == 4 and contracts.read(path).network["coarser"] == [8]
    declared = torch.zeros(2, SAID - APPEARANCE)
    with torch.no_grad():
        for a, b in zip(ensemble(scans, declared), again(scans, declared), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_more_families_keep_the_evidence_of_every_member(ensemble: Ensemble, scans: torch.Tensor) -> None:
    config = ensemble.config
    wider = widen(ensemble, replace(config, families=(*config.families, "tungsten"))).eval()
    with torch.no_grad():
        before = ensemble.raw(scans, torch.zeros(1, SAID)).evidence
        after = wider.raw(scans, torch.zeros(1, SAID + 1)).evidence
    torch.testing.assert_close(after[:, :-1], before)


def test_a_network_of_one_resolution_stays_itself() -> None:
    assert type(build(config_for("parcel", **TINY))) is Network


@pytest.mark.parametrize("coarser", [(3,), (2,), (1,)])
def test_blocks_that_are_no_multiples_are_refused(coarser: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="should be multiples of pool, 2"):
        config_for("parcel", coarser=coarser)
