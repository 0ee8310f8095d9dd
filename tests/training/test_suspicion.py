"""The suspicion goes on learning from cells of fresh scans, under several declarations."""

import numpy as np
import torch
from torch.nn import functional

from leadline.datasets.simulator.simulate import simulate_pair
from leadline.models.config import config_for
from leadline.models.network import Network
from leadline.training.suspicion import SAMPLE, Cells, cells_of, fit_suspicion

TINY = {"widths": (16, 16, 16, 16), "blocks": (0, 1, 1, 1), "decoder": 16, "pixel_width": 8, "embedding": 12}


def network() -> Network:
    torch.manual_seed(0)
    return Network(config_for("parcel", **TINY)).eval()  # type: ignore[arg-type]


def test_cells_are_labelled_by_what_the_declaration_leaves_open() -> None:
    threat, honest = next(pair for k in range(9) if len(pair := simulate_pair("parcel", 4, k)) == 2)
    declared, withheld, confessed = cells_of(network(), threat, 1)
    assert 0 < int(declared.hidden.sum()) <= SAMPLE
    assert int((~declared.hidden).sum()) == 2 * SAMPLE  # at random, and the most suspicious
    assert declared.seen.dtype == torch.float16
    assert len(declared.seen) == len(declared.hidden)
    assert 0 < int(withheld.hidden.sum()) <= SAMPLE // 4
    assert not confessed.hidden.any()  # it names what is there
    assert not torch.equal(declared.told, withheld.told)
    assert not any(cells.hidden.any() for cells in cells_of(network(), honest, 1))


def test_suspicion_learns_what_a_declaration_means() -> None:
    """A black cell counts only where the declaration does not expect it."""
    net, rng = network(), np.random.default_rng(0)
    cells, told = net.suspicion.cells.in_channels, net.suspicion.told.in_features

    def scan() -> Cells:
        black, expected = rng.random(40) < 0.5, rng.random() < 0.5
        seen, known = torch.zeros(40, cells), torch.zeros(told)
        seen[:, 0] = torch.from_numpy(3.0 * black)
        known[0] = float(expected)
        return Cells(seen.half(), known, torch.from_numpy(black & (not expected)))

    def loss(by: Network, scans: list[Cells]) -> float:
        with torch.no_grad():
            found = [by.suspicion(c.seen.float()[:, :, None, None], c.told.expand(40, -1)).flatten() for c in scans]
        hidden = torch.cat([c.hidden for c in scans]).float()
        return float(functional.binary_cross_entropy_with_logits(torch.cat(found), hidden))

    fitted = fit_suspicion(net, [scan() for _ in range(600)], passes=12)
    fresh = [scan() for _ in range(50)]
    assert loss(fitted, fresh) < 0.1 < loss(net, fresh)
    before, after = net.state_dict(), fitted.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed
    assert all(k.startswith("suspicion.") for k in changed)
