"""`leadline export`: what it refuses to write over, and what an interruption leaves and goes on with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from leadline.datasets.scan import FileError
from leadline.inference.cli import main
from leadline.models import contract as contracts
from leadline.models.export import export_untrained
from leadline.training import kept_rows, release

PROGRAM = [sys.executable, "-c", "from leadline.inference.cli import main; main(prog_name='leadline')"]
FEW = ["--calibration", "24", "--processes", "1"]


def leadline(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def stop(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("labels.csv", "is not the name of a model file; give one that ends in .onnx"),
        ("set", "is not the name of a model file"),
        ("folder.onnx", "is a folder; give the name of a file in it"),
        ("released.onnx", "lists a file of this name; give another name"),
    ],
)
def test_what_is_no_model_file_is_not_written_over(checkpoint: Path, tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "labels.csv").write_text("path,label\n")
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  released.onnx\n")
    for folder in ("set", "folder.onnx"):
        (tmp_path / folder).mkdir()
    before = sorted(tmp_path.rglob("*"))
    done = leadline(checkpoint, "--out", tmp_path / name, *FEW)
    assert done.exit_code == 2 and told in done.stderr and "Traceback" not in done.output
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "labels.csv").read_text() == "path,label\n"


def test_a_full_disk_is_told(tmp_path: Path, full_after: Any) -> None:
    with full_after(10_000), pytest.raises(FileError, match=r"m.onnx: cannot be written \(File too large\)"):
        export_untrained("parcel", tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="m.onnx: cannot be written"):
        export_untrained("parcel", tmp_path / "file" / "m.onnx")


def test_a_full_disk_while_calibrating_is_told(checkpoint: Path, tmp_path: Path, full_after: Any) -> None:
    with full_after(20_000):
        done = leadline(checkpoint, "--out", tmp_path / "m.onnx", *FEW)
    assert done.exit_code == 2 and "m.onnx: cannot be written (File too large)" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [".m.onnx.part"]


@pytest.mark.slow
def test_a_killed_export_goes_on_by_the_same_command(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole.onnx", tmp_path / "cut.onnx"
    rows = tmp_path / ".cut.onnx.part" / "calibration.jsonl"
    command = [*PROGRAM, "export", str(checkpoint), "--out", str(cut), *FEW]
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        while process.poll() is None and not (rows.is_file() and rows.read_bytes().count(b"\n") >= 5):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not cut.exists()
    kept = rows.read_bytes().count(b"\n")
    measured: list[int] = []

    def counted(task: object, numbers: list[int], processes: int) -> Any:
        measured.extend(numbers)
        return measure(task, numbers, processes)  # type: ignore[arg-type]

    measure = kept_rows.measure_groups
    monkeypatch.setattr(kept_rows, "measure_groups", counted)
    for target in (cut, whole):
        done = leadline(checkpoint, "--out", target, *FEW)
        assert done.exit_code == 0, done.output
    assert measured == [*range(kept, 44), *range(44)]
    found, expected = contracts.read(cut), contracts.read(whole)
    assert (found.thresholds, found.mass_factor) == (expected.thresholds, expected.mass_factor)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.onnx", "whole.onnx"]


def test_an_interrupted_release_leaves_the_old_one_whole(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = export_untrained("parcel", tmp_path / "parcel.onnx", widths=(16, 16, 16, 16), decoder=16)
    contracts.write_sums(tmp_path)
    digest = contracts.sha256(old)
    monkeypatch.setattr(release, "measure", stop)
    options = ["--release", tmp_path, "--version", "9.9.9", *FEW, "--scenes", 20]
    assert leadline(checkpoint, *options).exit_code != 0
    assert contracts.verify(old, required=True) == digest
    draft = tmp_path / ".parcel.onnx.part" / "parcel.onnx"
    assert contracts.read(draft).version == "9.9.9"
    told = draft.stat().st_mtime_ns
    assert leadline(checkpoint, *options).exit_code != 0  # goes on with measuring, and is stopped there again
    assert draft.stat().st_mtime_ns == told
    assert leadline(checkpoint, *options[:3], "9.9.10", *options[4:]).exit_code != 0
    assert contracts.read(draft).version == "9.9.10"  # what another command left is of no use


def test_a_release_is_given_its_version(checkpoint: Path, tmp_path: Path) -> None:
    done = leadline(checkpoint, "--release", tmp_path / "new", *FEW)
    assert done.exit_code == 2 and "say which version it is with --version" in done.stderr
    assert not list(tmp_path.iterdir())
