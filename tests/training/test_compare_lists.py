"""What two models must have in common to be compared, told before anything is measured."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from leadline.datasets.scan import LeadlineError
from leadline.inference.cli import main
from leadline.models import contract as contracts
from leadline.training.baselines import DEPTHS, RATIOS, Clues
from leadline.training.compare import pair
from leadline.training.compare_report import check, side_from, side_of
from leadline.training.evaluate import ROWS, Wanted, run, simulator
from leadline.training.rows import Row

MODEL = contracts.released("parcel")
STIBNITE = """
[materials.stibnite]
family = "antimony"
formula = "Sb2S3"
density = [2.0, 3.0]
"""


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The same model with a material of the user's own on its watch list."""
    path = tmp_path / "other.onnx"
    shutil.copy(MODEL, path)
    contracts.write(path, replace(contracts.read(MODEL), watch_list=STIBNITE))
    return path


def test_models_of_different_watch_lists_have_no_simulated_scenes_in_common(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["compare", str(MODEL), str(other), "--scenes", "20", "--processes", "1"])
    assert done.exit_code == 2 and "have different watch lists" in done.stderr, done.output
    assert not (tmp_path / "evaluations").exists()  # nothing was measured
    labelled = Wanted(specimens=(), data="scans")
    check(*(replace(side_of(m, labelled), about={"data": "scans", "labels": "ab"}) for m in (MODEL, other)))


def test_models_of_two_kinds_are_told_before_they_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["compare", str(MODEL), str(contracts.released("container")), "--scenes", "20"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "compare models of one kind" in done.stderr, done.output
    assert not (tmp_path / "evaluations").exists()


def test_folders_of_two_simulators_are_told(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    run(MODEL, Wanted(2, 7, "validation"), folder=first, baseline_scenes=0)
    shutil.copytree(first, second)
    check(side_from(first), side_from(second))
    assert side_from(first).wanted == Wanted(2, 7, "validation")
    text = (second / ROWS).read_text()
    (second / ROWS).write_text(text.replace(simulator(), "0" * 16, 1))
    assert side_from(second).wanted is None  # its scenes cannot be drawn any more
    with pytest.raises(LeadlineError, match="different versions of the simulator; measure both anew"):
        check(side_from(first), side_from(second))


@pytest.mark.parametrize("words", [["evaluate", MODEL], ["compare", MODEL, MODEL]])
@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_are_what_generators_take(words: list[object], seed: int) -> None:
    done = CliRunner().invoke(main, [*map(str, words), "--seed", str(seed)])
    assert done.exit_code == 2 and "Invalid value for '--seed'" in done.stderr


def test_a_file_that_was_exchanged_between_is_no_pair() -> None:
    def row(index: int, content: str) -> Row:
        clues = Clues(0.5, np.zeros((len(DEPTHS) - 1, len(RATIOS["parcel"]) - 1), np.int64))
        threat = bool(index % 2)
        return Row(
            index, "labelled", threat, threat, None, None, 0.0, clues, np.zeros(11, np.float32), name=f"{index}.tif",
            sha256=content,
        )  # fmt: skip

    first = [row(k, "a") for k in range(6)]
    second = [row(k, "a" if k else "b") for k in range(6)]
    assert [a.index for a, _ in pair(first, second)] == [1, 2, 3, 4, 5]
