import copy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from leadline.datasets.appearance import APPEARANCE
from leadline.datasets.scan import LeadlineError
from leadline.models import contract
from leadline.models.config import config_for
from leadline.models.export import ParityError, draft_contract, export, parity, phantom
from leadline.models.network import Network
from leadline.models.outputs import Outputs

TINY = {"widths": (16, 16, 16, 16), "blocks": (0, 1, 1, 1), "decoder": 16, "pixel_width": 8, "embedding": 12}
SHAPES = ((1, 48, 64), (2, 61, 93), (3, 33, 130), (1, 1, 1), (1, 5, 200))


def lively(kind: str) -> Network:
    """A small network whose outputs vary as a fitted one's do: random statistics, calibration, novelty."""
    torch.manual_seed(1)
    network = Network(config_for(kind, **TINY))  # type: ignore[arg-type]
    network.train()
    rng = np.random.default_rng(2)
    for _ in range(40):  # running means and variances settle on phantoms
        network.raw(torch.from_numpy(phantom(rng, 4, 64, 80)), torch.rand(4, 11 + APPEARANCE).round())
    torch.nn.init.normal_(network.context[-1].weight, std=0.2)
    torch.nn.init.normal_(network.evidence_head.weight, std=0.7)
    torch.nn.init.normal_(network.density_head.weight, std=0.4)
    network.score_scale.fill_(1.7)
    network.score_bias.fill_(-0.4)
    network.whiten.copy_(torch.randn(12, 12))
    network.accepted.fill_(3.0)
    return network.eval()


@pytest.fixture(scope="module", params=["parcel", "container"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    network = lively(request.param)
    path = tmp_path_factory.mktemp("export") / f"{request.param}.onnx"
    export(network, path, draft_contract(network.config, version="1.2.3"), shapes=SHAPES)
    return network, path


def run(path: Path, **feed: np.ndarray) -> Outputs:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Outputs(*session.run(list(Outputs._fields), feed))


def test_one_file_with_contract_and_nothing_beside_it(exported: tuple[Network, Path]) -> None:
    network, path = exported
    found = contract.read(path)
    assert (found.version, found.families, found.stride) == ("1.2.3", network.config.families, network.config.stride)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.stat().st_size < 20e6
    assert b"stack_trace" not in path.read_bytes()  # the exporter notes the builder's paths
    onnx.checker.check_model(str(path), full_check=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_onnxruntime_agrees_with_torch(exported: tuple[Network, Path], shape: tuple[int, int, int]) -> None:
    network, path = exported
    rng = np.random.default_rng(5)
    scan = phantom(rng, *shape)
    declared = (rng.random((shape[0], 11)) < 0.5).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(scan), torch.from_numpy(declared))
    found = run(path, transmission=scan, declared=declared)
    for name in Outputs._fields:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name).numpy(), rtol=1e-4, atol=1e-4)
    assert shape[1] < 40 or expected.evidence.std() > 0.05  # the comparison is of something that varies


def test_declaration_is_optional_and_defaults_to_none(exported: tuple[Network, Path]) -> None:
    _, path = exported
    scan = phantom(np.random.default_rng(3), 2, 40, 52)
    without = run(path, transmission=scan)
    one = run(path, transmission=scan, declared=np.zeros((1, 11), np.float32))
    each = run(path, transmission=scan, declared=np.zeros((2, 11), np.float32))
    for a, b, c in zip(without, one, each, strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c)


def test_a_scan_scores_the_same_alone_and_in_company(exported: tuple[Network, Path]) -> None:
    _, path = exported
    scans = phantom(np.random.default_rng(4), 3, 50, 70)
    together, alone = run(path, transmission=scans), run(path, transmission=scans[1:2])
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a[1], b[0], rtol=1e-5, atol=1e-6)


def test_the_gate_refuses_a_file_that_differs(exported: tuple[Network, Path]) -> None:
    network, path = exported
    other = lively(network.config.kind)
    other.score_bias.fill_(-0.39)
    with pytest.raises(ParityError, match=r"score by .* do not release"):
        parity(other, path, SHAPES[:1])


def test_nothing_is_left_where_the_gate_fails(
    exported: tuple[Network, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, path = exported
    monkeypatch.setattr("leadline.models.export._save", lambda _, target: shutil.copy(path, target))
    export(network, tmp_path / "same.onnx", draft_contract(network.config), shapes=SHAPES[:1])
    network = copy.deepcopy(network)
    network.accepted.fill_(2.0)
    with pytest.raises(ParityError, match="novelty by"):
        export(network, tmp_path / "other.onnx", draft_contract(network.config), shapes=SHAPES[:1])
    assert [p.name for p in tmp_path.iterdir()] == ["same.onnx"]


def test_a_contract_of_another_network_is_refused(tmp_path: Path) -> None:
    network = lively("parcel")
    with pytest.raises(LeadlineError, match="other families, stride or scanner"):
        export(network, tmp_path / "m.onnx", replace(draft_contract(network.config), stride=16))
