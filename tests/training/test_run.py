import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from leadline.datasets import materials
from leadline.inference.cli import main
from leadline.training import run
from leadline.training.checkpoints import load_checkpoint
from leadline.training.config import load

ROOT = Path(__file__).resolve().parents[2]


def train(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(write_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two steps, begun from a configuration file."""
    place = tmp_path_factory.mktemp("config")
    done = train(write_run(place))
    assert done.exit_code == 0, done.output
    assert "final.ckpt: fitted; next: leadline export" in done.output
    return place / "run"


def test_the_folder_holds_all_that_repeats_the_run(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    assert record["settings"]["seed"] == 4 and record["versions"]["torch"] and record["command"].startswith("leadline")
    assert {"materials.toml", "goods.toml", "scenarios.toml", "attenuation.npz"} <= set(record["data"])
    assert all(len(h) == 64 for h in record["data"].values()) and len(record["starts"]) == 1
    again = load(str(folder / "config.toml"), {})
    assert again.out == str(folder) and again.seed == 4 and again.fit.steps == 2
    assert tomllib.loads((folder / "config.toml").read_text())["network"]["decoder"] == 16
    assert not (folder / "materials.toml").exists()


def test_the_written_configuration_goes_on(folder: Path) -> None:
    done = train(folder / "config.toml", "--steps", 3)
    assert done.exit_code == 0, done.output
    assert load_checkpoint(folder / "final.ckpt")["global_step"] == 3
    assert len(json.loads((folder / "run.json").read_text())["starts"]) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--seed", 5], "seed was 4 and is 5"),
        (["--batch", 5], "fit.batch was 4 and is 5"),
        (["--materials", ROOT / "examples" / "tungsten.toml"], "materials was ''"),
    ],
)
def test_going_on_with_other_settings_is_refused(folder: Path, options: list[object], told: str) -> None:
    done = train(folder.parent / "small.toml", *options)
    materials.use_catalogue("")
    assert done.exit_code == 2
    assert f"{folder}: holds a fit with other settings" in done.stderr and told in done.stderr
    assert "give another --out, or --restart" in done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["nowhere.toml"], "nowhere.toml: no configuration"),
        (["release", "--materials", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["finetune", "--data", "scans"], "kind: is not said"),
        (["finetune", "--model", "nowhere.ckpt"], "nowhere.ckpt: no such checkpoint"),
        (["finetune", "--model", "nowhere.onnx"], "nowhere.onnx: No such file"),
        (["quick", "--devices", "many"], "accelerator, devices, nodes or strategy cannot be had here"),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, options: list[str], told: str) -> None:
    done = train(*options, "--out", tmp_path / "run", "--steps", 1, "--workers", 0)
    assert done.exit_code == 2 and told in done.stderr
    assert "Traceback" not in done.output


def test_a_kind_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[fit]\nsteps = 1\n")
    done = train(path)
    assert done.exit_code == 2 and 'write kind = "parcel" or "container", or give --kind' in done.stderr


def test_changed_files_and_versions_are_told() -> None:
    assert isinstance(run.changed_files(), list)
    assert {"python", "torch", "lightning", "numpy"} <= set(dict(run.versions()))
