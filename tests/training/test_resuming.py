"""An evaluation that goes on in its folder: a row counts as long as its scan is the one that was measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from leadline.datasets.formats.write import write_scan
from leadline.datasets.scan import FileError, Scan, Scanner
from leadline.inference.cli import main
from leadline.models import contract
from leadline.training.evaluate import ROWS, Wanted, run, simulator
from leadline.training.specimen import Specimen

MODEL = contract.released("parcel")


def draw(path: Path, dense: bool, seed: int) -> Path:
    """A parcel of 120 x 160 pixels, with a dense block or without."""
    t = np.full((2, 120, 160), 0.9, np.float32)
    t += np.random.default_rng(seed).normal(0, 0.004, t.shape).astype(np.float32)
    if dense:
        t[0, 40:80, 50:90], t[1, 40:80, 50:90] = 0.2, 0.06
    write_scan(Scan(np.clip(t, 0, 1), Scanner("parcel", "160 kV", "160 kV", 1.2)), path)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Six labelled parcels."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for k in range(6):
        draw(folder / f"{k}.tif", bool(k % 2), k)
    (folder / "labels.csv").write_text("path,label\n" + "".join(f"{k}.tif,{k % 2}\n" for k in range(6)))
    return folder


@pytest.fixture
def evaluate(scans: Path, tmp_path: Path) -> Callable[..., Result]:
    """The same command each time, in one folder."""

    def evaluated(*options: str) -> Result:
        words = ["evaluate", str(MODEL), str(scans), "--out", str(tmp_path / "out"), "--processes", "1", *options]
        return CliRunner().invoke(main, words)

    return evaluated


def measured(out: Path) -> dict[str, Any]:
    """Lines of the measured scans by name of the file."""
    lines = [json.loads(line) for line in (out / ROWS).read_text().splitlines()[1:]]
    return {Path(line["name"]).name: line for line in lines}


def test_a_mended_scan_is_read_again(scans: Path, tmp_path: Path, evaluate: Callable[..., Result]) -> None:
    whole = (scans / "4.tif").read_bytes()
    (scans / "4.tif").write_bytes(whole[:400])
    first = evaluate()
    assert first.exit_code == 0 and "not measured" in first.stderr
    before = measured(tmp_path / "out")
    (scans / "4.tif").write_bytes(whole)
    again = evaluate()
    assert again.exit_code == 0 and "not measured" not in again.stderr, again.output
    after = measured(tmp_path / "out")
    assert "unread" in before.pop("4.tif") and "score" in after.pop("4.tif")
    assert after == before


def test_an_exchanged_scan_is_measured_anew(scans: Path, tmp_path: Path, evaluate: Callable[..., Result]) -> None:
    assert evaluate().exit_code == 0
    before = measured(tmp_path / "out")
    shutil.copy(scans / "1.tif", scans / "0.tif")
    assert evaluate().exit_code == 0
    after = measured(tmp_path / "out")
    assert len(after) == 6 and after["0.tif"]["score"] == after["1.tif"]["score"] != before["0.tif"]["score"]
    assert {name for name in after if after[name] != before[name]} == {"0.tif"}


def test_how_a_set_is_read_is_part_of_it(tmp_path: Path) -> None:
    """A refused folder leaves nothing that the mended command would go on from."""
    for k in range(4):
        folder = tmp_path / "set" / ("antimony" if k % 2 else "benign")
        folder.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(k).integers(0, 255, (96, 128, 3), np.uint8)
        cv2.imwrite(str(folder / f"{k}.png"), picture)
    words = ["evaluate", str(MODEL), str(tmp_path / "set"), "--set", "folders", "--out", str(tmp_path / "out")]
    refused = CliRunner().invoke(main, [*words, "--processes", "1"])
    assert refused.exit_code == 2 and "--pseudocolour" in refused.stderr
    done = CliRunner().invoke(main, [*words, "--processes", "1", "--pseudocolour"])
    assert done.exit_code == 0, done.output
    assert all("score" in line for line in measured(tmp_path / "out").values()) and len(measured(tmp_path / "out")) == 4
    whole, coloured = (Wanted(specimens=(Specimen(Path("a.png"), True, pseudocolour=c),)) for c in (False, True))
    assert whole.about() != coloured.about()


def test_rows_of_another_simulator_are_not_mixed_in(tmp_path: Path) -> None:
    wanted = Wanted(2, 7, "validation")
    run(MODEL, wanted, folder=tmp_path, baseline_scenes=0)
    head, *rows = (tmp_path / ROWS).read_text().splitlines(keepends=True)
    assert simulator() in head
    (tmp_path / ROWS).write_text(head.replace(simulator(), "0" * 16) + "".join(rows))
    with pytest.raises(FileError, match="holds another evaluation .simulator 0000"):
        run(MODEL, wanted, folder=tmp_path, baseline_scenes=0)


def test_rows_of_another_version_are_told(tmp_path: Path) -> None:
    (tmp_path / ROWS).write_text('{"leadline_rows": 1, "about": {}}\n')
    with pytest.raises(FileError, match="is of another version of leadline; give another folder"):
        run(MODEL, Wanted(2, 7, "validation"), folder=tmp_path, baseline_scenes=0)


@pytest.mark.parametrize("name", ["data/goods.toml", "physics/detectors.py", "simulator/packing.py", "declarations.py"])
def test_the_simulator_is_told_by_its_files(root: Path, tmp_path: Path, name: str) -> None:
    package = tmp_path / "datasets"
    shutil.copytree(root / "datasets", package, ignore=shutil.ignore_patterns("__pycache__"))
    assert simulator(package) == simulator()
    with (package / name).open("a") as file:
        file.write("\n# another scene\n")
    simulator.cache_clear()
    assert simulator(package) != simulator()
