"""A full disk, through the real commands."""

from __future__ import annotations

import csv
import resource
from collections.abc import Iterator
from contextlib import contextmanager
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

MODEL = contract.released("parcel")


def leadline(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """Files cannot grow beyond a size, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
    return {
        "evaluate": ["evaluate", MODEL, parcels, "--processes", 1, "--out", out],
        "palette": ["palette", "--pairs", pairs, "--out", out / "own.json"],
        "project": ["project", scan, "--material", "cerium_oxide", "--mass", 0.2, "--out", out / "threat.tif"],
    }


@pytest.mark.parametrize("name", ["evaluate", "palette", "project"])
def test_a_full_disk_is_told_and_nothing_half_written_is_left(
    parcels: Path, pairs: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with full_after(700):
        done = leadline(*commands(parcels, pairs, out)[name])
    told(done, "File too large")
    assert str(out) in done.stderr
    left = {p.name: p.stat().st_size for p in out.rglob("*") if p.is_file()}
    assert set(left) <= {"rows.jsonl"}, left  # the lines that were measured stay; the command goes on from them
