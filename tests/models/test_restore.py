from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from leadline.datasets.appearance import APPEARANCE
from leadline.models import contract as contracts
from leadline.models.config import config_for
from leadline.models.contract import ModelError
from leadline.models.export import draft_contract, export, phantom
from leadline.models.network import Network
from leadline.models.restore import restore, widen

TINY = {"widths": (16, 16, 16, 16), "blocks": (0, 1, 1, 1), "decoder": 16, "pixel_width": 8, "embedding": 12}


@pytest.fixture(scope="module")
def network() -> Network:
    """A network whose normalisations have statistics and scales of their own, as a fitted one's do."""
    torch.manual_seed(3)
    made = Network(config_for("parcel", **TINY))
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.2)
    return made.eval()


@pytest.fixture(scope="module")
def file(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("restore") / "parcel.onnx"
    export(network, path, draft_contract(network.config), shapes=((1, 96, 128),))
    return path


def scans() -> tuple[torch.Tensor, torch.Tensor]:
    import numpy as np

    scan = phantom(np.random.default_rng(5), 2, 90, 110)
    return torch.from_numpy(scan), torch.tensor([[1.0] * 10 + [1.0], [0.0] * 11])


def test_a_network_comes_back_from_its_file(network: Network, file: Path) -> None:
    again, contract = restore(file)
    assert again.config == network.config and contract.network == contracts.read(file).network
    scan, declared = scans()
    with torch.no_grad():
        for a, b in zip(network(scan, declared), again(scan, declared), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_more_families_keep_the_evidence_of_the_old_ones(network: Network, file: Path) -> None:
    old, _ = restore(file)
    more = (*old.config.families, "tungsten")
    config = replace(old.config, families=more, watched=(*old.config.watched, "tungsten"))
    wider = widen(old, config).eval()
    scan, _ = scans()
    with torch.no_grad():
        before, areal = old.look(scan)[:2]
        after, areal_after = wider.look(scan)[:2]
    assert after.shape[1] == len(more)
    torch.testing.assert_close(after[:, : len(more) - 1], before)
    torch.testing.assert_close(areal_after, areal)
    assert wider.raw(scan, torch.zeros(2, len(more) + 1 + APPEARANCE)).score.shape == (2,)


def test_the_same_families_change_nothing(network: Network, file: Path) -> None:
    old, _ = restore(file)
    same = widen(old, old.config)
    assert all(torch.equal(a, b) for a, b in zip(old.state_dict().values(), same.state_dict().values(), strict=True))


def test_files_that_cannot_be_fitted_on_are_told(file: Path, tmp_path: Path) -> None:
    contract = contracts.read(file)
    path = tmp_path / "x.onnx"
    for changed, words in (
        (replace(contract, network={}), "before model files told the shape"),
        (replace(contract, network=dict(contract.network) | {"decoder": 32}), "cannot be rebuilt"),
        (replace(contract, network=dict(contract.network) | {"colour": 32}), "cannot be rebuilt"),
        (replace(contract, network=dict(contract.network) | {"floor": 0.1}), "cannot be rebuilt"),
    ):
        path.write_bytes(file.read_bytes())
        contracts.write(path, changed)
        with pytest.raises(ModelError, match=words):
            restore(path)


def test_the_statistics_come_back(network: Network, file: Path) -> None:
    state = restore(file)[0].state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(state[name], value, atol=1e-6, rtol=1e-5)
