"""A folder for results that cannot be made is told before anything is computed."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from leadline.inference.cli import main
from leadline.models import contract

MODEL = str(contract.released("parcel"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "quick", "--minutes", "1", "--out", "{}"],
        ["export", "final.ckpt", "--release", "{}", "--version", "1.0.0"],
        ["evaluate", MODEL, "--out", "{}"],
    ],
)
def test_a_folder_that_cannot_be_made(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "results"
    done = CliRunner().invoke(main, [a.format(folder) for a in arguments])
    assert done.exit_code == 2
    assert f"{folder}: cannot be made" in done.stderr
    assert "give another folder" in done.stderr
