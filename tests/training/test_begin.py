"""A fit that begins from the weights of a model, without scans of one's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from leadline.inference.cli import main
from leadline.models import contract as contracts
from leadline.models.export import export_untrained
from leadline.models.network import Network
from leadline.models.restore import restore
from leadline.training.checkpoints import load_checkpoint, network_from

TINY = {"widths": (16, 16, 16, 16), "blocks": (0, 1, 1, 1), "decoder": 16, "pixel_width": 8, "embedding": 12}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of the shape of `write_run`, with weights of its own."""
    return export_untrained("parcel", tmp_path_factory.mktemp("base") / "base.onnx", seed=31, **TINY)


def train(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def begun(config: Path, given: Path | str) -> Path:
    """A configuration that begins from a model."""
    config.write_text(config.read_text().replace("[fit]", f'[fit]\nbegin = "{given}"'))
    return config


def apart(a: Network, b: Network) -> float:
    """Greatest difference of a weight."""
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max(float((x - y).abs().max().detach()) for x, y in pairs)


@pytest.mark.parametrize("sort", ["model file", "checkpoint"])
def test_a_fit_begins_from_given_weights(
    base: Path, checkpoint: Path, write_run: Callable[..., Path], tmp_path: Path, sort: str
) -> None:
    given = base if sort == "model file" else checkpoint
    still = ["--learning-rate", 1e-12]
    done = train(begun(write_run(tmp_path), given), *still)
    assert done.exit_code == 0, done.output
    made = network_from(load_checkpoint(tmp_path / "run" / "final.ckpt"))
    before = restore(given)[0] if sort == "model file" else network_from(load_checkpoint(given))
    assert apart(made, before) < 1e-5
    told = json.loads((tmp_path / "run" / "inputs.json").read_text())
    assert told == {"begun_from": {"file": str(given), "sha256": contracts.sha256(given)}}
    assert train(write_run(tmp_path), *still, "--out", tmp_path / "new").exit_code == 0
    assert apart(network_from(load_checkpoint(tmp_path / "new" / "final.ckpt")), before) > 0.01


def test_paths_of_a_configuration_are_meant_from_its_folder(
    base: Path, write_run: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "base.onnx").write_bytes(base.read_bytes())
    config = begun(write_run(tmp_path), "base.onnx")
    assert train(config).exit_code == 0
    (tmp_path / "base.onnx").write_bytes(export_untrained("parcel", tmp_path / "b.onnx", seed=5, **TINY).read_bytes())
    done = train(config, "--steps", 3)
    assert done.exit_code == 2 and "base.onnx, as it was then); give another --out, or --restart" in done.stderr
    assert load_checkpoint(tmp_path / "run" / "final.ckpt")["global_step"] == 2
    assert train(config, "--restart").exit_code == 0


def test_another_shape_is_refused(base: Path, write_run: Callable[..., Path], tmp_path: Path) -> None:
    config = begun(write_run(tmp_path), base)
    config.write_text(config.read_text().replace("decoder = 16", "decoder = 32"))
    done = train(config)
    assert done.exit_code == 2 and "has another network (decoder is 16, and 32 is wanted)" in done.stderr
    done = train(begun(write_run(tmp_path), base), "--kind", "container")
    assert done.exit_code == 2 and 'write kind = "parcel", or begin from another file' in done.stderr
    done = train(begun(write_run(tmp_path), "nowhere.onnx"))
    assert done.exit_code == 2 and "nowhere.onnx: No such file" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_material_more_keeps_the_rest(base: Path, write_run: Callable[..., Path], tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    done = train(begun(write_run(tmp_path), base), "--materials", root / "examples" / "tungsten.toml",
                 "--learning-rate", 1e-12)  # fmt: skip
    assert done.exit_code == 0, done.output
    made, before = network_from(load_checkpoint(tmp_path / "run" / "final.ckpt")), restore(base)[0]
    torch.testing.assert_close(made.far[0].weight, before.far[0].weight, atol=1e-5, rtol=0)
    assert len(made.config.families) == len(before.config.families) + 1
