"""Mistakes in what `leadline palette` and `leadline project` are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from leadline.inference.cli import main


def test_pictures_that_are_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["palette", "--pictures", str(tmp_path / "nope"), "--out", str(tmp_path / "x.json")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "nope: cannot be read (No such file or directory); check its path" in done.stderr
    assert not capfd.readouterr().err  # nothing of a library's own


def test_a_pair_that_is_not_there(tmp_path: Path, draw: Any, capfd: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "pairs.csv").write_text("picture,scan\ngone.png,a.png\n")
    words = ["palette", "--pairs", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "x.json")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "gone.png: cannot be read (No such file" in done.stderr
    assert not capfd.readouterr().err


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_are_what_generators_take(tmp_path: Path, draw: Any, seed: int) -> None:
    scan = draw(tmp_path / "a.tif", bits=16, channels=2)
    words = ["project", str(scan), "--material", "cerium_oxide", "--out", str(tmp_path / "x.tif"), "--seed", str(seed)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "Invalid value for '--seed'" in done.stderr
