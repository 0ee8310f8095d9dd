"""What goes wrong on a real machine, through the real commands: full disks, kills, empty folders, labels and tables."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from leadline.datasets.formats.write import write_scan
from leadline.datasets.scan import Scan, Scanner
from leadline.inference.cli import main
from leadline.models import contract
from leadline.training.checkpoints import load_checkpoint

PROGRAM = [sys.executable, "-c", "from leadline.inference.cli import main; main(prog_name='leadline')"]
MODEL = contract.released("parcel")
SMALL = (
    'kind = "parcel"\n[fit]\nsteps = 100000\nbatch = 4\ncanvas = [64, 80]\nvalidation = 0\nsave_minutes = 0.0\n'
    "bf16 = false\n[scans]\nworkers = 0\nscenes = 2\n[machine]\nthreads = 1\n"
    "[network]\nwidths = [16, 16, 16, 16]\nblocks = [0, 1, 1, 1]\ndecoder = 16\npixel_width = 8\nembedding = 12\n"
)


def leadline(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labelled parcels; every second one holds a dense block. `labels.csv` and class folders say so."""
    folder = tmp_path_factory.mktemp("parcels")
    rng = np.random.default_rng(0)
    lines = ["path,label,family"]
    for k in range(6):
        t = np.full((2, 120, 160), 0.9, np.float32) + rng.normal(0, 0.004, (2, 120, 160)).astype(np.float32)
        t[:, 20:60, 90:140] *= 0.6
        if k % 2:
            t[0, 40:80, 50:90], t[1, 40:80, 50:90] = 0.2, 0.06
        place = folder / ("antimony" if k % 2 else "benign") / f"{k}.tif"
        place.parent.mkdir(exist_ok=True)
        write_scan(Scan(np.clip(t, 0, 1), Scanner("parcel", "160 kV", "160 kV", 1.2)), place)
        lines.append(f"{place.relative_to(folder)},{'threat' if k % 2 else 'honest'},{'antimony' if k % 2 else ''}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def pairs(parcels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two pictures and their scans, as `leadline palette` takes it."""
    folder = tmp_path_factory.mktemp("pairs")
    with (folder / "pairs.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["picture", "scan"])
        for k in (1, 3):
            rng = np.random.default_rng(k)
            cv2.imwrite(str(folder / f"{k}.png"), rng.integers(0, 255, (120, 160, 3), np.uint8))
            table.writerow([f"{k}.png", parcels / "antimony" / f"{k}.tif"])
    return folder / "pairs.csv"


def told(done: Any, words: str) -> None:
    """The command ended with its words for what is wrong, and nothing else."""
    assert done.exit_code == 2, done.output
    assert words in done.stderr and "Traceback" not in done.output


# --- a full disk ---------------------------------------------------------------------------------------------------


def commands(parcels: Path, pairs: Path, out: Path) -> dict[str, list[object]]:
    scan = parcels / "benign" / "0.tif"
    small = ["--calibration", 4, "--scenes", 20]
    benign = ["--benign", parcels / "benign", "--model", MODEL, "--scenes", 60]
    return {
        "evaluate": ["evaluate", MODEL, parcels, "--processes", 1, "--out", out],
        "palette": ["palette", "--pairs", pairs, "--out", out / "own.json"],
        "project": ["project", scan, "--material", "cerium_oxide", "--mass", 0.2, "--out", out / "threat.tif"],
        "quantise": ["quantise", MODEL, *small, "--out", out / "int8.onnx"],
        "calibrate": ["calibrate", *benign, "--out", out / "gate.json"],
    }


@pytest.mark.parametrize("name", ["evaluate", "palette", "project", "quantise", "calibrate"])
def test_a_full_disk_is_told_and_nothing_half_written_is_left(
    parcels: Path, pairs: Path, tmp_path: Path, name: str, full_after: Any
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with full_after(700):
        done = leadline(*commands(parcels, pairs, out)[name])
    told(done, "File too large")
    assert str(out) in done.stderr
    left = {p.name: p.stat().st_size for p in out.rglob("*") if p.is_file()}
    assert set(left) <= {"rows.jsonl"}, left  # the lines that were measured stay; the command goes on from them


def test_an_evaluation_goes_on_after_a_full_disk(parcels: Path, tmp_path: Path, full_after: Any) -> None:
    out = tmp_path / "out"
    command = ["evaluate", MODEL, parcels, "--processes", 1, "--out", out]
    with full_after(12_000):
        told(leadline(*command), "File too large")
    done = leadline(*command)
    assert done.exit_code == 0, done.output
    assert len((out / "rows.jsonl").read_text().splitlines()) == 7


# --- a kill --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_training_goes_on_by_the_same_command(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    out = tmp_path / "run"
    command = [*PROGRAM, "train", str(tmp_path / "small.toml"), "--out", str(out)]
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        deadline = time.monotonic() + 240
        while not (out / "last.ckpt").is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    before = load_checkpoint(out / "last.ckpt")["global_step"]
    assert before > 0
    done = leadline("train", tmp_path / "small.toml", "--out", out, "--steps", before + 1)
    assert done.exit_code == 0, done.output
    made = load_checkpoint(out / "final.ckpt")
    assert made["global_step"] == before + 1 and made["leadline"]["scans"] == 4 * (before + 1)  # none was counted twice


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_by_the_same_command(parcels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["evaluate", str(MODEL), str(parcels), "--processes", "1", "--out", str(out)]
    rows = out / "rows.jsonl"
    with subprocess.Popen([*PROGRAM, *arguments], env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        while process.poll() is None and not (rows.is_file() and rows.read_bytes().count(b"\n") >= 2):
            time.sleep(0.01)
        process.kill()
    first = rows.read_bytes()
    done = leadline(*arguments)
    assert done.exit_code == 0, done.output
    assert rows.read_bytes().startswith(first[: first.rindex(b"\n") + 1])
    assert len(rows.read_text().splitlines()) == 7


# --- folders, labels, tables ---------------------------------------------------------------------------------------


def test_empty_folders_are_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = ["--out", tmp_path / "out"]
    told(leadline("evaluate", MODEL, empty, *out), "empty: holds no labels.csv")
    told(leadline("evaluate", MODEL, empty, "--set", "folders", *out), "empty: is empty; the folder must hold CLASS/")
    tune = ["train", "finetune", "--kind", "parcel", "--data", empty]
    told(leadline(*tune, *out), "empty: holds no labels.csv")
    told(leadline(*tune, "--set", "coco", *out), "empty: is empty; the folder must hold JSON files")
    told(leadline("datasets", "check", "sixray", empty), "empty: is empty; get SIXray from")
    told(leadline("calibrate", "--benign", empty, "--out", tmp_path / "gate.json"), "no scans in there")
    told(leadline("palette", "--pictures", empty, "--out", tmp_path / "x.json"), "holds no 8-bit colour pictures")


@pytest.mark.parametrize("command", ["evaluate", "train"])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gone.tif,threat,", "line 8: names gone.tif, which is not in the folder; correct the path"),
        ("../x.tif,threat,", "line 8: names ../x.tif, which lies outside the folder"),
        ("benign/0.tif,threat,antimony", "line 8: labels benign/0.tif again, as the contrary"),
        ("grey.png,honest,", "grey.png: stores 8 bits a value"),
        ("benign/0.tif", "line 8: labels benign/0.tif again"),
    ],
)
def test_labels_that_cannot_be_used(parcels: Path, tmp_path: Path, command: str, line: str, words: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("antimony", "benign"):
        (folder / name).symlink_to(parcels / name)
    cv2.imwrite(str(folder / "grey.png"), np.full((64, 64), 90, np.uint8))
    (folder / "labels.csv").write_text((parcels / "labels.csv").read_text() + line + "\n")
    first = [MODEL, folder] if command == "evaluate" else ["finetune", "--kind", "parcel", "--data", folder]
    done = leadline(command, *first, "--out", tmp_path / "out")
    told(done, words)
    assert not list((tmp_path / "out").rglob("*.ckpt"))


@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_a_class_without_a_sample(parcels: Path, tmp_path: Path, command: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,label\n" + "".join(f"{parcels}/benign/{k}.tif,honest\n" for k in (0, 2, 4)))
    first = [MODEL, table] if command == "evaluate" else ["finetune", "--kind", "parcel", "--data", table]
    done = leadline(command, *first, "--out", tmp_path / "out")
    told(done, "labels.csv: has no sample of a scan with undeclared watch-list material")


def test_pairs_of_mixed_depth_or_without_files_are_told(pairs: Path, tmp_path: Path) -> None:
    rows = pairs.read_text().splitlines()
    gone = tmp_path / "gone.csv"
    gone.write_text("picture,scan\nnone.png,none.tif\n")
    told(leadline("palette", "--pairs", gone, "--out", tmp_path / "x.json"), "none.png")
    deep = tmp_path / "deep.csv"
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((120, 160, 3), 40_000, np.uint16))
    deep.write_text(f"picture,scan\ndeep.png,{rows[1].split(',')[1]}\n")
    told(leadline("palette", "--pairs", deep, "--out", tmp_path / "x.json"), "deep.png: is no 8-bit colour picture")
    assert not (tmp_path / "x.json").exists()


def test_scans_of_one_energy_are_not_projected_into_nor_calibrated_on(parcels: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.full((120, 160), 50_000, np.uint16))
    done = leadline("project", tmp_path / "one.png", "--scanner", "parcel", "--material", "cerium_oxide",
                    "--out", tmp_path / "x.tif")  # fmt: skip
    assert done.exit_code == 2 and "one.png" in done.stderr and "Traceback" not in done.output
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for k in (0, 2, 4):
        (mixed / f"{k}.tif").write_bytes((parcels / "benign" / f"{k}.tif").read_bytes())
    (mixed / "one.png").write_bytes((tmp_path / "one.png").read_bytes())
    done = leadline("calibrate", "--benign", mixed, "--model", MODEL, "--out", tmp_path / "gate.json")
    assert done.exit_code == 2 and "one.png" in done.stderr and "Traceback" not in done.output
    assert not (tmp_path / "gate.json").exists()
