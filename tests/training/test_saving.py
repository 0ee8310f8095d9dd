import os
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from leadline.datasets.scan import FileError, LeadlineError
from leadline.inference.cli import main
from leadline.training.checkpoints import load_checkpoint
from leadline.training.saving import WholeFiles, explained, write_whole


def test_a_checkpoint_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.ckpt"
    WholeFiles().save_checkpoint({"leadline": {}, "state_dict": {"a": torch.arange(3)}}, path)
    assert load_checkpoint(path)["state_dict"]["a"].tolist() == [0, 1, 2]
    assert [p.name for p in path.parent.iterdir()] == ["x.ckpt"]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, full_after: Any) -> None:
    path = tmp_path / "last.ckpt"
    write_whole(path, b"old")
    with full_after(100_000), pytest.raises(OSError, match="File too large"):
        WholeFiles().save_checkpoint({"state": torch.zeros(100_000)}, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_told_with_what_is_left(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError(28, os.strerror(28), str(tmp_path / "last.ckpt"))

    with (
        pytest.raises(FileError, match=r"last.ckpt: cannot be written, the disk is full .* nothing was saved yet"),
        explained(tmp_path),
    ):
        fail()
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(FileError, match="give the same command again: it goes on from last.ckpt"), explained(tmp_path):
        fail()


def test_other_failures_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), explained(tmp_path):
        raise PermissionError(13, "denied")
    with pytest.raises(RuntimeError, match="out of memory"), explained(tmp_path):
        raise RuntimeError("out of memory")


def test_what_a_worker_tells_comes_without_its_traceback(tmp_path: Path) -> None:
    text = (
        "Caught FileError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "x.py", line 1, in f\nleadline.datasets.scan.FileError: a.scene: the scene cannot be kept; free space\n'
    )
    with pytest.raises(LeadlineError, match=r"^a.scene: the scene cannot be kept; free space$"), explained(tmp_path):
        raise RuntimeError(text)


def train(out: Path) -> Result:
    """A short fit."""
    config = out.with_name("full.toml")
    config.write_text(
        'kind = "parcel"\n[fit]\nsteps = 4\nbatch = 4\ncanvas = [64, 80]\nvalidation = 0\nsave_minutes = 0.0\n'
        "bf16 = false\n[scans]\nworkers = 0\nscenes = 2\n[machine]\nthreads = 1\n"
        "[network]\nwidths = [16, 16, 16, 16]\nblocks = [0, 1, 1, 1]\ndecoder = 16\npixel_width = 8\nembedding = 12\n"
    )
    return CliRunner().invoke(main, ["train", str(config), "--out", str(out)])


def test_a_fit_on_a_full_disk_ends_with_advice_and_goes_on(tmp_path: Path, full_after: Any) -> None:
    out = tmp_path / "run"
    with full_after(600_000):
        done = train(out)
    assert done.exit_code == 2, done.output
    assert "last.ckpt: cannot be written, the disk is full (File too large)" in done.stderr
    assert "nothing was saved yet" in done.stderr
    assert not list(out.glob(".*.part")) and not (out / "final.ckpt").exists()
    done = train(out)
    assert done.exit_code == 0, done.output
    assert load_checkpoint(out / "final.ckpt")["global_step"] == 4


def test_scenes_that_cannot_be_kept_are_told(tmp_path: Path, full_after: Any) -> None:
    with full_after(20_000):
        done = train(tmp_path / "run")
    assert done.exit_code == 2 and "the scene cannot be kept (File too large)" in done.stderr
    assert not [p for p in (tmp_path / "run" / "scenes").rglob("*") if p.is_file() and p.suffix != ".scene"]
