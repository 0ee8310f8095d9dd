"""Refitted heads: they learn what a declaration means, and leave the rest of the network alone."""

from pathlib import Path

import pytest
import torch

from leadline.datasets.appearance import APPEARANCE
from leadline.models.config import config_for
from leadline.models.network import Network
from leadline.models.outputs import POOLED, Summary
from leadline.training import heads, looking
from leadline.training.checkpoints import load_checkpoint
from leadline.training.heads import fit_heads, refit
from leadline.training.looking import Seen

FAMILIES = len(config_for("parcel").families)


def _seen(scenes: int, generator: torch.Generator) -> list[Seen]:
    """Every scan shows the same dense evidence; what is declared says whether it is undeclared."""
    rows = []
    for scene in range(scenes):
        pooled = torch.full((POOLED, FAMILIES), -4.0)
        pooled[:, 3] = 2.0  # steel, always
        declared = torch.zeros(3, FAMILIES + 1 + APPEARANCE)
        declared[:, FAMILIES] = 1
        explained = bool(torch.rand((), generator=generator) < 0.5)
        declared[:, 3] = float(explained)
        label = torch.full((3,), 0.0 if explained else 1.0)
        present = torch.zeros(FAMILIES)
        noise = torch.randn(64, generator=generator)
        where = torch.tensor(scene)
        threat = torch.tensor(not explained)
        rows.append(Seen(pooled, torch.ones(2), noise, declared, torch.zeros(3, POOLED), label, present, where, threat))
    return rows


def test_heads_learn_that_the_declaration_explains():
    generator = torch.Generator().manual_seed(1)
    network = Network(config_for("parcel")).eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    fitted = fit_heads(network, _seen(400, generator), epochs=30)
    rows = Seen(*(torch.stack(part) for part in zip(*_seen(100, generator), strict=True)))
    with torch.inference_mode():
        summary = Summary(rows.pooled, rows.amounts, rows.embedding)
        score, _ = fitted.judge(summary, rows.said[:, 0], rows.suspected[:, 0])
    assert ((score > 0) == (rows.label[:, 0] > 0.5)).float().mean() > 0.95
    for key, value in fitted.state_dict().items():
        if not key.startswith(("score_head", "family_head")):
            torch.testing.assert_close(value, before[key])
    torch.testing.assert_close(network.state_dict()["score_head.1.weight"], before["score_head.1.weight"])


def _never(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_refit_goes_on_and_gives_the_same(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_PART", 2)
    whole = refit(checkpoint, tmp_path / "whole.ckpt", scenes=6, epochs=2)
    target = tmp_path / "heads.ckpt"
    with monkeypatch.context() as patch:
        patch.setattr(heads, "fit_heads", _never)
        with pytest.raises(KeyboardInterrupt):
            refit(checkpoint, target, scenes=6, epochs=2)
    assert not target.exists()
    with monkeypatch.context() as patch:
        patch.setattr(heads, "seen_in", _never)  # nothing is looked at again
        patch.setattr(heads, "cells_in", _never)
        refit(checkpoint, target, scenes=6, epochs=2)
    found, expected = (load_checkpoint(p)["state_dict"] for p in (target, whole))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["heads.ckpt", "whole.ckpt"]
    monkeypatch.setattr(heads, "look", _never)
    assert refit(checkpoint, target, scenes=6) == target  # done already
    with pytest.raises(KeyboardInterrupt):
        refit(checkpoint, target, scenes=8)
