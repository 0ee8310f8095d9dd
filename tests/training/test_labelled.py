"""Every form of labelled set serves fine-tuning and evaluation, through the real commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from leadline.datasets.formats.write import write_scan
from leadline.datasets.scan import LeadlineError, Scan, Scanner
from leadline.inference.cli import main
from leadline.models import contract
from leadline.training.labelled import Specimen, parse_classes, read_labels
from leadline.training.own import check, part

MODEL = str(contract.released("parcel"))
BOX = (50, 40, 90, 80)


def draw(path: Path, dense: bool) -> Path:
    """A parcel of 120 x 160 pixels, with a dense block at `BOX` or without."""
    rng = np.random.default_rng(len(str(path)) + 7 * dense + sum(map(ord, path.name)))
    t = np.full((2, 120, 160), 0.9, np.float32) + rng.normal(0, 0.004, (2, 120, 160)).astype(np.float32)
    if dense:
        x0, y0, x1, y1 = BOX
        t[0, y0:y1, x0:x1], t[1, y0:y1, x0:x1] = 0.2, 0.06
    path.parent.mkdir(parents=True, exist_ok=True)
    write_scan(Scan(np.clip(t, 0, 1), Scanner("parcel", "160 kV", "160 kV", 1.2)), path)
    return path


def folders(root: Path) -> None:
    for k in range(6):
        draw(root / ("Sb ingots" if k % 2 else "benign") / f"{k}.tif", bool(k % 2))


def voc(root: Path) -> None:
    x0, y0, x1, y1 = BOX
    for k in range(6):
        draw(root / f"{k}.tif", bool(k % 2))
        box = f"<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>"
        found = f"<object><name>Sb ingots</name>{box}</object>" if k % 2 else ""
        (root / f"{k}.xml").write_text(f"<annotation><filename>{k}.tif</filename>{found}</annotation>")


def coco(root: Path) -> None:
    x0, y0, x1, y1 = BOX
    for k in range(6):
        draw(root / "scans" / f"{k}.tif", bool(k % 2))
    tables = {
        "images": [{"id": k, "file_name": f"{k}.tif", "height": 120, "width": 160} for k in range(6)],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 9, "bbox": [x0, y0, x1 - x0, y1 - y0]} for k in (1, 3, 5)
        ],
        "categories": [{"id": 9, "name": "Sb ingots"}],
    }
    (root / "labels.json").write_text(json.dumps(tables))


def masks(root: Path) -> None:
    x0, y0, x1, y1 = BOX
    for k in range(6):
        draw(root / "images" / f"{k}.tif", bool(k % 2))
        mask = np.zeros((120, 160), np.uint8)
        mask[y0:y1, x0:x1] = k % 2
        (root / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(root / "masks" / f"{k}.png"), mask)
    (root / "classes.txt").write_text("Sb ingots\n")


FORMS: dict[str, Callable[[Path], None]] = {"folders": folders, "voc": voc, "coco": coco, "masks": masks}
MAP = "Sb ingots=antimony"


def leadline(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    def made(form: str) -> Path:
        root = tmp_path / form
        root.mkdir()
        FORMS[form](root)
        return root

    return made


@pytest.mark.parametrize("form", FORMS)
def test_evaluating_a_set_of_each_form(
    make: Callable[[str], Path], tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = make(form), tmp_path / "out"
    words = ("evaluate", MODEL, root, "--set", form, "--class", MAP, "--out", out, "--processes", 1)
    monkeypatch.setattr(sys, "argv", ["leadline", *map(str, words)])  # the page repeats what was typed
    done = leadline(*words)
    assert done.exit_code == 0, done.output
    assert json.loads((out / "figures.json").read_text())["scans"]["threats"] == 3
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()[1:]]
    assert {(r["family"], r["undeclared"]) for r in rows} == {("antimony", True), ("", False)} and len(rows) == 6
    assert {r["placed"] for r in rows if r["undeclared"]} == {form != "folders"}
    assert f"--set {form} --class &#39;{MAP}&#39;" in (out / "report.html").read_text()


def test_fitting_on_to_class_folders(make: Callable[[str], Path], checkpoint: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(
        'preset = "finetune"\nout = "run"\n[fit]\nminutes = 0.0\nsteps = 1\nbatch = 4\ncanvas = [96, 128]\n'
        "bf16 = false\n[scans]\nworkers = 0\n[machine]\nthreads = 1\n"
        f'[finetune]\nmodel = "{checkpoint}"\ndata = "{make("folders")}"\nset = "folders"\nclasses = ["{MAP}"]\n'
        "scenes = 20\n"
    )
    done = leadline("train", config)
    assert done.exit_code == 0, done.output
    own = json.loads((tmp_path / "run" / "forgetting.json").read_text())["sets"]["own"]
    assert (own["threats"], own["honest"]) == (1, 1)


@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_classes_that_are_no_families_are_listed(make: Callable[[str], Path], tmp_path: Path, command: str) -> None:
    root, out = make("folders"), tmp_path / "out"
    draw(root / "steel" / "6.tif", True)  # a family, though not of the watch list
    first = [MODEL, root] if command == "evaluate" else ["finetune", "--kind", "parcel", "--data", root]
    done = leadline(command, *first, "--set", "folders", "--out", out)
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert "has classes that are no families of the watch list: Sb ingots (3); say what each is" in done.stderr
    assert "FAMILY being antimony, rare_earth_oxide, rare_earth_magnet, threat or honest" in done.stderr


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (["Sb ingots"], "--class Sb ingots: give NAME=FAMILY, with FAMILY one of antimony, "),
        (["Sb ingots=lead"], "--class Sb ingots=lead: give NAME=FAMILY"),
        (["=antimony"], "--class =antimony: give NAME=FAMILY"),
        (["a=threat", "a=honest"], "--class a=honest: a is threat already"),
    ],
)
def test_mistakes_in_the_map(pairs: list[str], told: str) -> None:
    with pytest.raises(LeadlineError) as caught:
        parse_classes(pairs)
    assert str(caught.value).startswith(told)


def test_what_the_map_says(make: Callable[[str], Path]) -> None:
    root = make("folders")
    draw(root / "rare-earth oxide" / "7.tif", True)
    draw(root / "Kaffee" / "8.tif", False)
    found = read_labels(root, form="folders", classes=["Sb ingots=threat", "*=honest"])
    said = {s.path.name: (s.positive, s.family) for s in found}
    assert said["1.tif"] == (True, "") and said["7.tif"] == (True, "rare_earth_oxide")
    assert said["8.tif"] == said["0.tif"] == (False, "")
    assert parse_classes(["a=b=antimony"]) == {"a=b": "antimony"}


def test_a_class_without_a_sample(make: Callable[[str], Path], tmp_path: Path) -> None:
    root = make("coco")
    done = leadline("evaluate", MODEL, root, "--set", "coco", "--class", "*=honest", "--out", tmp_path / "out")
    assert done.exit_code == 2 and "has no sample of a scan with undeclared watch-list material" in done.stderr


def test_a_slip_in_a_class_of_the_map_is_told(make: Callable[[str], Path], tmp_path: Path) -> None:
    """Else its scans would be whatever `*` says: threats that count as honest."""
    root = make("folders")
    for command in (["evaluate", MODEL, root], ["train", "finetune", "--kind", "parcel", "--data", root]):
        options = ["--set", "folders", "--class", "Sb ingot=antimony", "--class", "*=honest", "--out", tmp_path / "out"]
        done = leadline(*command, *options)
        assert (
            done.exit_code == 2 and "has no class Sb ingot, which --class names; did you mean Sb ingots?" in done.stderr
        )
    with pytest.raises(LeadlineError, match="has no class guns, which --class names; its classes are Sb ingots"):
        read_labels(root, form="folders", classes=[MAP, "guns=threat"])
    assert len(read_labels(root, form="folders", classes=[MAP, "benign=honest"])) == 6  # says what is so already


def test_classes_without_a_sample_are_named(make: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    root = make("coco")
    tables = json.loads((root / "labels.json").read_text())
    tables["categories"].append({"id": 10, "name": "rare-earth oxide"})
    (root / "labels.json").write_text(json.dumps(tables))
    assert len(read_labels(root, form="coco", classes=[MAP, "rare-earth oxide=threat"])) == 6
    assert "classes without a sample: rare-earth oxide\n" in capsys.readouterr().err


def test_splits(make: Callable[[str], Path], tmp_path: Path) -> None:
    root = make("folders")
    (root / "test").mkdir()
    for name in ("Sb ingots", "benign"):
        (root / name).rename(root / "test" / name)
    for k in range(4):
        draw(root / "train" / ("Sb ingots" if k % 2 else "benign") / f"new{k}.tif", bool(k % 2))
    assert len(read_labels(root, form="folders", classes=[MAP], split="test")) == 6
    fitted, held = part(check(read_labels(root, form="folders", classes=[MAP]), "parcel"), 0.25)
    assert {s.specimen.split for s in held} == {"test"} and {s.specimen.split for s in fitted} == {"train"}
    done = leadline("evaluate", MODEL, root, "--set", "folders", "--class", MAP, "--set-split", "val")
    assert done.exit_code == 2 and "has no labelled scan of the split val; it has test (6), train (4)" in done.stderr


def test_groups_stay_on_one_side(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{k}.tif", bool(k % 2)) for k in range(12)]
    given = [Specimen(p, bool(k % 2), group=f"object {k // 4}") for k, p in enumerate(paths)]
    fitted, held = part(check(given, "parcel"), 0.4)
    assert len(fitted) + len(held) == 12
    assert not {s.specimen.group for s in fitted} & {s.specimen.group for s in held}


def test_a_public_set_serves_as_honest_scans_and_its_bad_entries_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "opixray" / "train"
    (root / "train_image").mkdir(parents=True)
    (root / "train_annotation").mkdir()
    rng = np.random.default_rng(0)
    for k in range(3):
        cv2.imwrite(str(root / "train_image" / f"{k}.jpg"), rng.integers(0, 255, (60, 80, 3), np.uint8))
        name = "Folding_Knife" if k else "Straight_Knife"
        (root / "train_annotation" / f"{k}.txt").write_text(f"{k}.jpg {name} 1 2 30 40\n")
    (root / "train_annotation" / "9.txt").write_text("9.jpg Folding_Knife 1 2 30 40\n")
    found = read_labels(
        root.parent, form="opixray", classes=["Straight_Knife=threat", "*=honest"]
    )  # knives stand in for what is sought: no public set shows it
    assert [(s.positive, s.pseudocolour) for s in found] == [(True, True), (False, True), (False, True)]
    assert found[0].boxes == ((1, 2, 30, 40),) and not found[1].boxes
    assert found[0].read("parcel").fidelity == "pseudocolour"
    assert "1 entries are left out, such as" in capsys.readouterr().err


def test_own_pictures_of_8_bits_are_declared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(4):
        folder = tmp_path / "set" / ("antimony" if k % 2 else "benign")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{k}.png"), rng.integers(0, 255, (96, 128, 3), np.uint8))
    options = ["evaluate", MODEL, tmp_path / "set", "--set", "folders", "--out", tmp_path / "out", "--processes", 1]
    refused = leadline(*options)
    assert refused.exit_code == 2 and "8-bit" in refused.stderr
    done = leadline(*options, "--pseudocolour")  # the remedy of the message, in the same folder
    assert done.exit_code == 0, done.output
    scans = json.loads((tmp_path / "out" / "figures.json").read_text())["scans"]
    assert (scans["threats"], scans["honest"]) == (2, 2)


def test_mixed_depths_and_unlabelled_sets_are_told(make: Callable[[str], Path], tmp_path: Path) -> None:
    root = make("folders")
    cv2.imwrite(str(root / "benign" / "x.png"), np.zeros((96, 128, 3), np.uint8))
    for command in (["evaluate", MODEL, root], ["train", "finetune", "--kind", "parcel", "--data", root]):
        done = leadline(*command, "--set", "folders", "--class", MAP, "--out", tmp_path / "out")
        assert done.exit_code == 2 and "x.png: stores 8 bits a value" in done.stderr
    np.save(tmp_path / "6.npy", np.full((64, 64, 2), 40000, np.uint16))
    done = leadline("evaluate", MODEL, tmp_path, "--set", "eagle-r60", "--out", tmp_path / "out")
    assert done.exit_code == 2 and "has 1 scans, none of them labelled" in done.stderr


def test_scans_of_one_and_of_two_energies_are_not_mixed(make: Callable[[str], Path], tmp_path: Path) -> None:
    root = make("folders")
    (root / "benign" / "0.tif").write_bytes((root / "benign" / "0.tif").read_bytes()[:400])  # says nothing of depth
    rng = np.random.default_rng(0)
    cv2.imwrite(str(root / "benign" / "x.png"), rng.integers(9000, 60000, (96, 128), np.uint16))
    for command in (["evaluate", MODEL, root], ["train", "finetune", "--kind", "parcel", "--data", root]):
        done = leadline(*command, "--set", "folders", "--class", MAP, "--out", tmp_path / "out")
        assert (
            done.exit_code == 2 and "x.png: holds one energy, " in done.stderr and "holds two energies" in done.stderr
        )
        assert "0.tif" not in done.stderr and not (tmp_path / "out" / "rows.jsonl").exists()


def test_options_of_sets_are_for_sets() -> None:
    done = leadline("evaluate", MODEL, "--set", "voc")
    assert done.exit_code == 2 and "are for labelled scans; name DATA" in done.stderr
    done = leadline("evaluate", MODEL, "nowhere", "--set", "vocc")
    assert done.exit_code == 2 and "vocc: is no set that is read; take one of csv" in done.stderr
