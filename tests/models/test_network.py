from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from leadline.datasets.appearance import APPEARANCE
from leadline.datasets.materials import catalogue
from leadline.models.config import NetworkConfig, config_for
from leadline.models.features import BRIGHTEST, attenuation_features, halve, pool_pixels
from leadline.models.network import Network
from leadline.models.outputs import pool_evidence

TINY = {"widths": (16, 16, 16, 16), "blocks": (0, 1, 1, 1), "decoder": 16, "pixel_width": 8, "embedding": 12}
FAMILIES = len(catalogue().names)


def tiny(kind: str = "parcel") -> Network:
    torch.manual_seed(0)
    return Network(config_for(kind, **TINY)).eval()  # type: ignore[arg-type]


def test_halving_averages_transmission_and_keeps_the_last_cell() -> None:
    x = torch.tensor([[[[1.0, 3.0, 7.0], [5.0, 7.0, 9.0], [2.0, 4.0, 6.0]]]])
    assert halve(x).tolist() == [[[[4.0, 8.0], [3.0, 6.0]]]]


def test_pixels_are_cut_then_averaged() -> None:
    config = config_for("parcel")
    t = torch.tensor([[[[1.3, 1.0], [0.0, -0.2]], [[0.5, 0.5], [0.5, 0.5]]]])
    assert pool_pixels(t, config)[0, :, 0, 0].tolist() == pytest.approx([(BRIGHTEST + 1.0) / 4, 0.5])


def test_features_worked_out_by_hand() -> None:
    config = replace(config_for("container"), thin=0.0, floor=1e-4)
    t = torch.exp(-torch.tensor([2.0, 2.5])).reshape(1, 2, 1, 1)
    assert attenuation_features(t, config).flatten().tolist() == pytest.approx([2.0, 2.5, 0.5, 0.25], abs=1e-5)
    black = attenuation_features(torch.zeros(1, 2, 1, 1), config).flatten().tolist()
    assert black == pytest.approx([9.2103, 9.2103, 0.0, 0.0], abs=1e-3)


def test_pooled_evidence_worked_out_by_hand() -> None:
    z = torch.full((1, 1, 4, 4), -10.0)
    z[0, 0, :2, :2] = 4.0
    wide, once, sharp, *peaks = pool_evidence(z)[0, :, 0].tolist()
    share = torch.log(torch.tensor(4 / 16)).item()
    assert peaks == pytest.approx([4.0, (4.0 - 30.0) / 4, (4.0 - 30.0) / 4])  # blocks of 2, 4, and all there is of 8
    assert once == pytest.approx(4.0 + share, abs=1e-3)
    assert wide == pytest.approx(4.0 + 2 * share, abs=1e-2)
    assert sharp == pytest.approx(4.0 + share / 2, abs=1e-3)


@pytest.mark.parametrize("kind", ["parcel", "container"])
@pytest.mark.parametrize("shape", [(64, 96), (61, 93), (1, 1), (17, 130)])
def test_any_size_gives_one_cell_a_stride(kind: str, shape: tuple[int, int]) -> None:
    network = tiny(kind)
    stride = network.config.stride
    cells = -(-shape[0] // stride), -(-shape[1] // stride)
    out = network(torch.rand(2, 2, *shape), torch.zeros(1, FAMILIES + 1))
    assert out.score.shape == (2,)
    assert out.materials.shape == (2, FAMILIES)
    assert out.evidence.shape == (2, FAMILIES, *cells)
    assert out.areal_density.shape == (2, 2, *cells)
    assert out.embedding.shape == (2, 12)
    assert out.novelty.shape == (2,)
    assert all(torch.isfinite(o).all() for o in out)
    assert (out.areal_density >= 0).all() and (out.evidence >= 0).all() and (out.evidence <= 1).all()


def test_only_the_score_depends_on_the_declaration() -> None:
    network = tiny()
    scan = torch.rand(1, 2, 64, 64)
    nothing, everything = (network(scan, torch.full((1, FAMILIES + 1), v)) for v in (0.0, 1.0))
    assert nothing.score.item() != everything.score.item()
    for name in ("materials", "evidence", "areal_density", "embedding", "novelty"):
        assert torch.equal(getattr(nothing, name), getattr(everything, name))


def test_the_appearance_of_the_goods_reaches_score_and_suspicion() -> None:
    network, t, declared = tiny(), torch.rand(2, 2, 64, 96), torch.ones(1, FAMILIES + 1)
    look = torch.rand(2, APPEARANCE)
    with torch.no_grad():
        silent, unknown = network(t, declared), network(t, declared, None, torch.zeros(1, APPEARANCE))
        told = network(t, declared, None, look)
        row = network(t[1:], declared, None, look[1:])
    assert torch.equal(silent.score, unknown.score)
    assert (told.score - silent.score).abs().min() > 1e-6
    assert torch.allclose(told.score[1], row.score[0], atol=1e-6)
    assert torch.equal(told.evidence, silent.evidence)


def test_suspicion_depends_on_the_declaration_and_evidence_does_not() -> None:
    network, t = tiny(), torch.rand(1, 2, 64, 96)
    known = torch.ones(1, FAMILIES + 1 + APPEARANCE)
    with torch.no_grad():
        silent, told = network.raw(t, 0 * known), network.raw(t, known)
    assert silent.suspicion.shape == (1, 1, *silent.evidence.shape[2:])
    torch.testing.assert_close(silent.evidence, told.evidence)
    assert (silent.suspicion - told.suspicion).abs().max() > 1e-3


def test_the_beam_shifts_the_estimate_of_the_curves() -> None:
    network, t, declared = tiny(), torch.rand(2, 2, 64, 96), torch.zeros(1, FAMILIES + 1 + APPEARANCE)
    with torch.no_grad():
        silent, told = network.raw(t, declared), network.raw(t, declared, torch.tensor([[1.2, 1.0], [1.8, 1.0]]))
        unknown = network.raw(t, declared, torch.zeros(1, 2))
    assert torch.equal(silent.curves, unknown.curves) and torch.equal(silent.score, unknown.score)
    assert (silent.curves - told.curves).abs().max() > 1e-3
    assert (silent.suspicion - told.suspicion).abs().max() > 1e-4


def test_pooled_input_is_the_same_as_raw() -> None:
    network = tiny("container")
    scan, declared = torch.rand(1, 2, 75, 90) * 1.3, torch.zeros(1, FAMILIES + 1 + APPEARANCE)
    raw = network.raw(scan, declared)
    pooled = network.raw(pool_pixels(scan, network.config), declared, pooled=True)
    assert all(torch.equal(a, b) for a, b in zip(raw, pooled, strict=True))


def test_calibration_and_novelty_are_in_the_graph() -> None:
    network = tiny()
    scan, declared = torch.rand(2, 2, 40, 40), torch.zeros(1, FAMILIES + 1)
    logit = network.raw(scan, torch.zeros(1, FAMILIES + 1 + APPEARANCE)).score
    network.score_scale.fill_(0.5)
    network.score_bias.fill_(-1.0)
    embedding = network(scan, declared).embedding
    network.typical.copy_(embedding[0])
    network.whiten.copy_(2 * torch.eye(12))
    network.accepted.fill_(0.25)
    out = network(scan, declared)
    assert torch.allclose(out.score, torch.sigmoid(0.5 * logit - 1))
    assert out.novelty[0].item() == pytest.approx(0, abs=1e-5)
    assert out.novelty[1].item() == pytest.approx(8 * (embedding[1] - embedding[0]).norm().item(), rel=1e-4)


def test_a_shift_by_whole_cells_shifts_the_evidence() -> None:
    network = tiny()
    for parameter in network.context.parameters():  # the scan's context is global by intent
        torch.nn.init.zeros_(parameter)
    scan = torch.ones(1, 2, 384, 384)
    scan[:, :, 160:200, 160:200] = 0.2
    moved = functional.pad(scan, (32, 0), value=1.0)[:, :, :, :384]
    declared = torch.zeros(1, FAMILIES + 1)
    a, b = network(scan, declared).evidence, network(moved, declared).evidence
    assert torch.allclose(a[..., 30:60, 30:60], b[..., 30:60, 38:68], atol=1e-5)


def test_config_survives_a_checkpoint() -> None:
    config = config_for("container", widths=(16, 32, 48, 64))
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in config.to_dict().items()}
    assert NetworkConfig.from_dict(values) == config


def test_the_embedding_of_a_network_that_is_fitted_tells_scans_apart() -> None:
    network = tiny().train()
    scans = torch.rand(8, 2, 64, 96) * torch.linspace(0.2, 1.0, 8)[:, None, None, None]
    spread = network.raw(scans, torch.zeros(1, FAMILIES + 1 + APPEARANCE)).embedding.std(0)
    assert spread.min() > 0.05
