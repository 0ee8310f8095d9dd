import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from leadline.datasets import materials
from leadline.datasets.scan import LeadlineError
from leadline.inference.cli import main
from leadline.training import progress, provenance, run
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
        (["quick", "--data", "scans"], "the preset quick fits from nothing; to fit a model on to scans of your own"),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, options: list[str], told: str) -> None:
    done = train(*options, "--out", tmp_path / "run", "--steps", 1, "--workers", 0)
    assert done.exit_code == 2 and told in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize("seed", [-1, 99999999999])
@pytest.mark.parametrize("command", [["train", "quick"], ["export", "x.ckpt"], ["quantise", "x.onnx"]])
def test_seeds_that_no_source_of_random_numbers_takes_are_refused(command: list[str], seed: int) -> None:
    done = CliRunner().invoke(main, [*command, "--out", "x", "--seed", str(seed)])
    assert done.exit_code == 2 and "0<=x<=4294967295" in done.stderr


def test_an_accelerator_that_is_not_there_is_told(write_run: Callable[..., Path], tmp_path: Path) -> None:
    config = write_run(tmp_path)
    config.write_text(config.read_text().replace("[machine]", '[machine]\naccelerator = "tpu"'))
    done = train(config)
    assert done.exit_code == 2 and "accelerator, devices, nodes or strategy cannot be had here" in done.stderr
    assert "Traceback" not in done.output


def test_the_shape_of_a_model_that_is_fitted_on_is_not_chosen(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f'[fit]\nsteps = 1\n[network]\ndecoder = 8\n[finetune]\nmodel = "{checkpoint}"\ndata = "x"\n')
    done = train(path, "--out", tmp_path / "run")
    assert done.exit_code == 2 and "network: cannot be chosen, the model that is fitted on has its shape" in done.stderr


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ('begin = "released"', "fit.begin: fine-tuning begins from finetune.model; name the model there"),
        ("heads = 30", "fit.heads: heads are refitted on simulated scans alone, not in fine-tuning; write heads = 0"),
    ],
)
def test_what_fine_tuning_does_not_do_is_refused(checkpoint: Path, tmp_path: Path, key: str, told: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f'[fit]\nsteps = 1\n{key}\n[finetune]\nmodel = "{checkpoint}"\ndata = "x"\n')
    done = train(path, "--out", tmp_path / "run")
    assert done.exit_code == 2 and told in done.stderr


@pytest.fixture(scope="module")
def hasty(write_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, fitted in less time than passes between two states that are saved."""
    config = write_run(tmp_path_factory.mktemp("short"))
    config.write_text(config.read_text().replace("save_minutes = 0.0", "save_minutes = 2.0"))
    done = train(config)
    assert done.exit_code == 0, done.output
    return config


def test_a_short_fit_is_not_written_over_and_stays_finished(hasty: Path) -> None:
    out = hasty.parent / "run"
    before = {name: (out / name).read_bytes() for name in ("config.toml", "final.ckpt", "last.ckpt")}
    done = train(hasty, "--seed", 77)
    assert done.exit_code == 2 and "seed was 4 and is 77" in done.stderr
    assert train(hasty).exit_code == 0
    assert {name: (out / name).read_bytes() for name in before} == before
    assert json.loads((out / "run.json").read_text())["fitted"]["steps"] == 2
    (out / "last.ckpt").unlink()
    done = train(hasty, "--seed", 77)
    assert done.exit_code == 2 and "seed was 4 and is 77" in done.stderr
    (out / "last.ckpt").write_bytes(before["last.ckpt"])


def test_every_start_tells_with_what_it_ran(hasty: Path) -> None:
    path = hasty.parent / "run" / "run.json"
    record = json.loads(path.read_text())
    assert {"commit", "versions", "data", "machine", "changed_files"} <= set(record["starts"][-1])
    record["starts"] = [{"at": "then", "command": "leadline train"}]  # as earlier versions wrote it
    record["data"]["goods.toml"], record["commit"] = "0" * 64, "before"
    path.write_text(json.dumps(record))
    done = train(hasty)
    assert done.exit_code == 0 and "goes on with other data than before (goods.toml)" in done.stderr
    starts = json.loads(path.read_text())["starts"]
    assert (len(starts), starts[0]["commit"], starts[0]["data"]["goods.toml"]) == (2, "before", "0" * 64)
    assert starts[1]["data"]["goods.toml"] != "0" * 64


def test_a_broken_state_names_the_way_out(hasty: Path) -> None:
    last = hasty.parent / "run" / "last.ckpt"
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    done = train(hasty, "--steps", 3)
    last.write_bytes(whole)
    assert done.exit_code == 2 and "last.ckpt: not a readable checkpoint" in done.stderr
    assert "give --restart to begin anew, or another --out" in done.stderr


def test_what_was_fitted_goes_with_restart(hasty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("leadline.training.run.fit", stop)
        train(hasty, "--seed", 5, "--restart")
    assert not (hasty.parent / "run" / "last.ckpt").exists()  # the next start begins anew too, and with the new seed
    done = train(hasty, "--seed", 5)
    assert done.exit_code == 0, done.output
    assert load_checkpoint(hasty.parent / "run" / "final.ckpt")["leadline"]["seed"] == 5


def test_progress_is_told_without_a_terminal(
    write_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    done = train(write_run(tmp_path))
    assert done.exit_code == 0 and "fitting: step 1, 50 % done, loss " in done.stderr


def test_a_kind_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[fit]\nsteps = 1\n")
    done = train(path)
    assert done.exit_code == 2 and 'write kind = "parcel" or "container", or give --kind' in done.stderr


def test_changed_files_and_versions_are_told() -> None:
    assert isinstance(provenance.changed_files(), list)
    assert {"python", "torch", "lightning", "numpy"} <= set(dict(provenance.versions()))


@pytest.fixture
def begun(write_run: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Begins runs in one folder, of which a first state is saved; gives the folder."""

    def begin(*, restart: bool = False, inputs: Any = None, materials: str = "", **changes: Any) -> Path:
        materials_in_use(materials)
        config = load(str(write_run(tmp_path)), {"materials": materials or None} | changes)
        made = config.fit_config(config.shape("parcel"), 1)
        run.begin(config, made, command="leadline train", restart=restart, inputs=inputs)
        materials_in_use("")
        (made.out / "last.ckpt").touch()
        return made.out

    return begin


def materials_in_use(file: str) -> None:
    materials.use_catalogue(Path(file).read_text("utf-8") if file else "")


def test_the_command_goes_on_from_paths_as_they_were_typed(
    begun: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = {"finetune.model": "parcel.onnx", "finetune.data": "my-scans"}
    begun(**typed)
    assert json.loads((begun(**typed) / "run.json").read_text())["starts"][1:]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(LeadlineError, match="finetune.data was .*my-scans"):
        begun(**typed)


def test_a_restart_leaves_nothing_of_the_run_before(begun: Callable[..., Path]) -> None:
    list_of_own = str(ROOT / "examples" / "tungsten.toml")
    out = begun(materials=list_of_own, inputs={"begun_from": {"file": "base.onnx", "sha256": "0" * 64}})
    assert (out / "materials.toml").exists() and (out / "inputs.json").exists()
    for name in ("final.ckpt", "heads.ckpt", "suspicion.ckpt"):
        (out / name).touch()
    begun(restart=True)
    assert sorted(p.name for p in out.iterdir()) == ["config.toml", "last.ckpt", "run.json"]
    begun()  # goes on
