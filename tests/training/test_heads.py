"""Refitted heads: they learn what a declaration means, and leave the rest of the network alone."""

import torch

from leadline.datasets.appearance import APPEARANCE
from leadline.models.config import config_for
from leadline.models.network import Network
from leadline.models.outputs import POOLED, Summary
from leadline.training.heads import Seen, fit_heads

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
