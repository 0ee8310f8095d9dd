"""`leadline join`: several models as one checkpoint, which is exported, fitted on and never refitted as a whole."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from leadline.inference.cli import main
from leadline.models import contract as contracts
from leadline.models.ensemble import Ensemble
from leadline.models.export import export_untrained
from leadline.training.checkpoints import load_checkpoint, network_from

TINY: dict[str, Any] = {"widths": (16, 16, 16, 16), "blocks": (0, 1, 1, 1), "decoder": 16, "embedding": 12}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {
        name: export_untrained("parcel", folder / f"{name}.onnx", pool, pool=pool, **TINY)
        for name, pool in (("fine", 2), ("coarse", 4))
    }
    made["other"] = folder / "other.onnx"  # of the same blocks as the first
    made["other"].write_bytes(made["fine"].read_bytes())
    contracts.write(made["other"], replace(contracts.read(made["fine"]), version="0.0.1"))
    made["tungsten"] = folder / "tungsten.onnx"
    made["tungsten"].write_bytes(made["coarse"].read_bytes())
    own = (Path(__file__).resolve().parents[2] / "examples" / "tungsten.toml").read_text("utf-8")
    contracts.write(made["tungsten"], replace(contracts.read(made["coarse"]), watch_list=own))
    return made | {"released": contracts.released("parcel"), "container": contracts.released("container")}


def leadline(*arguments: object) -> Any:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.mark.slow
def test_joined_models_are_exported_and_fitted_on(models: dict[str, Path], tmp_path: Path) -> None:
    both, file, run = tmp_path / "new" / "both.ckpt", tmp_path / "both.onnx", tmp_path / "run"
    done = leadline("join", models["coarse"], models["fine"], "--out", both)  # in any order
    assert done.exit_code == 0, done.output
    made = load_checkpoint(both)
    assert [told.split(",")[0] for told in made["leadline"]["joined_of"]] == ["fine.onnx", "coarse.onnx"]
    (both.parent / "run.json").write_text('{"command": "leadline train parcel"}')  # of another checkpoint there
    network = network_from(made)
    assert isinstance(network, Ensemble) and network.config.coarser == (4,)

    done = leadline("export", both, "--out", file, "--calibration", 24, "--processes", 1)
    assert done.exit_code == 0, done.output
    told = contracts.read(file).training
    assert contracts.sha256(models["fine"]) in told["joined_of"]
    assert told["command"] == "leadline join fine.onnx coarse.onnx"

    settings = tmp_path / "on.toml"
    settings.write_text(
        f'kind = "parcel"\n[fit]\nbegin = "{file}"\nsteps = 2\nbatch = 2\nvalidation = 2\nvalidate_every = 1\n'
        "bf16 = false\n[scans]\nworkers = 0\n[network]\npool = 2\ncoarser = [4]\n"
        "widths = [16, 16, 16, 16]\nblocks = [0, 1, 1, 1]\ndecoder = 16\nembedding = 12\n"
    )
    done = leadline("train", settings, "--out", run)
    assert done.exit_code == 0, done.output
    fitted = network_from(load_checkpoint(run / "final.ckpt")).state_dict()
    before = network.state_dict()
    for member in ("members.0.", "members.1."):
        name = f"{member}evidence_head.weight"
        assert not torch.equal(fitted[name], before[name]), "both members learn"

    done = leadline("train", settings, "--out", tmp_path / "heads", "--heads", 4)
    assert done.exit_code == 2 and "fit.heads: heads are refitted of one network at a time" in done.stderr
    assert not (tmp_path / "heads").exists()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["fine"], "wants two models or more"),
        (["coarse", "released"], "has another network (widths is (16, 16, 16, 16), and (32, 48, 96, 128) is wanted)"),
        (["fine", "container"], "is an ensemble already; give the models that it was joined from"),
        (["fine", "tungsten"], "tungsten.onnx: has another watch list than"),
        (["fine", "other"], "should be multiples of pool, 2"),
        (["fine", "coarse", "coarse"], "coarse.onnx: is given twice; give each model once"),
    ],
)
def test_models_that_do_not_go_together_are_refused(
    models: dict[str, Path], tmp_path: Path, names: list[str], told: str
) -> None:
    done = leadline("join", *(models[name] for name in names), "--out", tmp_path / "both.ckpt")
    assert done.exit_code == 2 and told in done.stderr and "Traceback" not in done.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fine.onnx", "is not the name of a checkpoint; give one that ends in .ckpt"),
        ("file/both.ckpt", "cannot be written"),
    ],
)
def test_where_no_checkpoint_may_be_written_is_told(
    models: dict[str, Path], tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "fine.onnx").write_bytes(models["fine"].read_bytes())
    done = leadline("join", tmp_path / "fine.onnx", models["coarse"], "--out", tmp_path / name)
    assert done.exit_code == 2 and told in done.stderr
    assert (tmp_path / "fine.onnx").read_bytes() == models["fine"].read_bytes()


def test_checkpoints_are_exported_first(models: dict[str, Path], checkpoint: Path, tmp_path: Path) -> None:
    done = leadline("join", checkpoint, models["coarse"], "--out", tmp_path / "new" / "both.ckpt")
    assert done.exit_code == 2 and "is a checkpoint; give the file that `leadline export` makes of it" in done.stderr
    assert not (tmp_path / "new").exists()


def test_blocks_that_are_no_multiples_are_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    settings = tmp_path / "on.toml"
    for blocks, told in (
        (3, "network.coarser: is [3]; it should be multiples of pool, 2"),
        (4096, "network.coarser.0: "),
    ):
        settings.write_text(f'kind = "parcel"\n[fit]\nsteps = 1\n[network]\ncoarser = [{blocks}]\n')
        done = leadline("train", settings, "--out", tmp_path / "run")
        assert done.exit_code == 2 and told in done.stderr
