"""The walk-through of docs/new-material.md on a tiny network: tungsten, from the watch list to a screened scan."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from leadline.datasets import materials, watch_list
from leadline.datasets.formats.write import write_scan
from leadline.datasets.scan import Declaration
from leadline.datasets.simulator.simulate import simulate
from leadline.inference.cli import main
from leadline.inference.engine import Engine
from leadline.models import contract as contracts
from leadline.training.checkpoints import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
TUNGSTEN = ROOT / "examples" / "tungsten.toml"


def leadline(*arguments: object) -> str:
    done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    materials.use_catalogue("")  # as a new process begins
    return done.stdout


@pytest.fixture(scope="module")
def model(write_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The model file of the walk-through."""
    folder = tmp_path_factory.mktemp("tungsten")
    leadline("train", write_run(folder, 'preset = "quick"', heads=20), "--materials", TUNGSTEN)
    target = folder / "tungsten.onnx"
    leadline("export", folder / "run" / "heads.ckpt", "--out", target, "--calibration", 40, "--processes", 1)
    yield target
    materials.use_catalogue("")


@pytest.mark.slow
def test_the_run_and_the_model_carry_the_watch_list(model: Path) -> None:
    text = TUNGSTEN.read_text("utf-8")
    run = model.parent / "run"
    assert (run / "materials.toml").read_text("utf-8") == text
    assert "materials.toml" in json.loads((run / "run.json").read_text())["data"]
    assert load_checkpoint(run / "heads.ckpt")["leadline"]["watch_list"] == text
    contract = contracts.read(model)
    assert contract.watch_list == text
    assert contract.families == (*materials.shipped().names, "tungsten") and contract.watched[-1] == "tungsten"


@pytest.mark.slow
def test_screening_needs_nothing_else(model: Path, tmp_path: Path) -> None:
    scan = simulate("parcel", 3, 1).scan
    write_scan(scan, tmp_path / "a.tif")
    (line,) = leadline("screen", tmp_path / "a.tif", "--model", model, "--json").splitlines()
    said = json.loads(line)
    assert "tungsten" in [m["family"] for m in said["materials"]] and said["verdict"] in ("clear", "inspect", "rescan")
    # what is declared reaches the network by the model's own list: 8101 is no heading of other watched families
    engine = Engine(model)
    plain, declared = (engine.score(scan.declared(d)).score for d in (Declaration("6204"), Declaration("8101")))
    assert plain != declared


@pytest.mark.slow
def test_it_is_measured_by_its_own_scenarios(model: Path, tmp_path: Path) -> None:
    leadline("evaluate", model, "--scenes", 20, "--no-baselines", "--processes", 1, "--out", tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert any(name.startswith("tungsten") for name in figures["scenarios"])


def test_the_page_shows_the_file() -> None:
    page = (ROOT / "docs" / "new-material.md").read_text("utf-8")
    shown = page.split("```toml\n")[1].split("```")[0]
    catalogue = watch_list.check(shown, "docs/new-material.md")
    whole = watch_list.check(TUNGSTEN.read_text("utf-8"), str(TUNGSTEN))
    for name in ("tungsten", "tungsten_powder"):
        a, b = catalogue.materials[name], whole.materials[name]
        assert (a.composition, a.density, a.forms, a.covers) == (b.composition, b.density, b.forms, b.covers)
