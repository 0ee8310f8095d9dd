"""Going through a set, and the command that does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from leadline.datasets.public.check import check_set
from leadline.inference.cli import main


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["datasets", *map(str, arguments)])


@pytest.fixture
def table(tmp_path: Path, draw: Any) -> Path:
    """Four scans in a table: two classes, a group in two splits, one not there, one box outside."""
    draw(tmp_path / "a.png", rows=48)
    for name in ("b", "c", "d"):
        draw(tmp_path / f"{name}.png", rows=60, columns=80)
    (tmp_path / "labels.csv").write_text(
        "path,label,split,group,boxes\n"
        "a.png,gun,train,bag 1,1 2 30 40; 1 2 3 4\n"
        "b.png,knife,test,bag 1,1 2 30 400\n"
        "c.png,,test,,\n"
        "d.png,gun; knife,,,\n"
        "e.png,gun,,,\n"
    )
    return tmp_path


def test_counts(table: Path) -> None:
    told: list[int] = []
    found = check_set("csv", table, told=lambda summary: told.append(summary.scans))
    assert told == [1, 2, 3, 4]
    assert (found.scans, found.labelled, found.empty, found.boxes, found.groups) == (4, 4, 1, 3, 3)
    assert found.classes == {
        "gun": {"scans": 2, "boxes": 2, "splits": {"train": 1, "": 1}},
        "knife": {"scans": 2, "boxes": 1, "splits": {"test": 1, "": 1}},
    }
    assert found.splits == {"train": 1, "test": 2, "": 1}
    assert (found.torn, found.bits, found.fidelities) == (["bag 1"], {8: 4}, {"pseudocolour": 4})
    assert (found.rows, found.columns) == ((48, 60), (64, 80))
    assert found.problem_count == len(found.problems) == 2


def test_pixels_finds_what_headers_do_not_tell(tmp_path: Path, draw: Any) -> None:
    path = draw(tmp_path / "gun" / "a.png")
    draw(tmp_path / "gun" / "b.png")
    path.write_bytes(path.read_bytes()[:-40])
    assert check_set("folders", tmp_path).problem_count == 0
    (problem,) = check_set("folders", tmp_path, pixels=True).problems
    assert "a.png: is a cut PNG" in problem


def test_check_for_people(table: Path) -> None:
    result = run("check", "csv", table)
    assert result.exit_code == 1
    for line in (
        "scans      4: 3 with a class, 1 with none, 0 not labelled",
        "depth      8 bits: 4 (pseudocolour: 4)",
        "pixels     48-60 x 64-80",
        "splits     no split: 1, test: 2, train: 1",
        "  gun    2 scans, 2 boxes (no split: 1, train: 1)",
        "1 groups have scans in several splits: keep each on one side",
        "2 problems",
    ):
        assert line in result.stdout
    assert "line 6: names e.png, which is not in the folder" in result.stdout


def test_check_for_programs(table: Path) -> None:
    result = run("check", "csv", table, "--json")
    values = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (values["scans"], values["torn"], values["bits"]) == (4, ["bag 1"], {"8": 4})
    assert len(values["problems"]) == 2
    text = (table / "labels.csv").read_text().replace("400", "40").replace("e.png,gun,,,\n", "")
    (table / "labels.csv").write_text(text)
    assert run("check", "csv", table, "--json", "--pixels").exit_code == 0


def test_what_labels_say_does_not_steer_the_terminal(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,label\na.png,\x1b[2Jgun\n\x1b[31mb.png,knife\n")
    result = run("check", "csv", tmp_path)
    assert "\x1b" not in result.output
    assert "?[2Jgun" in result.stdout
    assert "names ?[31mb.png, which is not in the folder" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "sixrays", "."), "sixrays: is no set that is read; take one of csv, "),
        (("check", "sixray", "gone"), "gone: does not exist; get SIXray from https://github.com/MeioJane/SIXray"),
        (("show", "sixrays"), "sixrays: is no set that is read"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_set_without_one_usable_scan_tells_the_first_problem(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,label\nb.png,knife\n")
    result = run("check", "csv", tmp_path)
    assert result.exit_code == 2
    assert "holds no scans of the set csv that can be used; the first problem: " in result.stderr
    assert "names b.png" in result.stderr


def test_the_list_and_a_set() -> None:
    listed = run()
    assert listed.exit_code == 0
    assert "compass-xp  COMPASS-XP: image-level" in listed.stdout
    every = json.loads(run("--json").stdout)
    one = json.loads(run("show", "pidray", "--json").stdout)
    assert one == every["pidray"]
    assert one["terms"] == "academic use only, no commercial use"
    assert "terms:     academic use only, no commercial use" in run("show", "pidray").stdout


def test_depths_that_do_not_go_together_are_a_problem(tmp_path: Path, draw: Any) -> None:
    for k in range(3):
        draw(tmp_path / "gun" / f"{k}.tif", bits=16, channels=2)
    draw(tmp_path / "gun" / "x.png", bits=16, channels=1)
    done = run("check", "folders", tmp_path)
    assert done.exit_code == 1 and "(dual: 3)" in done.stdout
    assert "x.png: holds one energy, " in done.stdout and "0.tif holds two energies" in done.stdout


def test_classes_that_no_scan_shows_are_listed(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "a.png")
    tables = {
        "images": [{"id": 1, "file_name": "a.png", "height": 48, "width": 64}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 29, 38]}],
        "categories": [{"id": 1, "name": "gun"}, {"id": 2, "name": "knife"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(tables))
    done = run("check", "coco", tmp_path)
    assert done.exit_code == 0 and "knife  0 scans, 0 boxes" in done.stdout, done.output
