"""Where a model file may be written, told before anything is computed, and the folder in which it is made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leadline.datasets.scan import FileError, LeadlineError
from leadline.training.page import write


def check_target(source: Path, target: Path) -> None:
    """Refuse what would spoil another file.

    Args:
        source: checkpoint or model that the file is made of.
        target: the model file to write.

    Raises:
        LeadlineError: the name is no model file's, its folder does not exist, it is the source itself, or a
            `SHA256SUMS` beside it lists it.
    """
    if target.suffix.lower() != ".onnx":
        raise LeadlineError(f"--out {target}: is not the name of a model file; give one that ends in .onnx")
    if target.is_dir():
        raise LeadlineError(f"--out {target}: is a folder; give the name of a file in it")
    if not target.parent.is_dir():
        raise LeadlineError(f"--out {target}: its folder does not exist; make it, or give another place")
    if target.exists() and source.exists() and target.samefile(source):
        raise LeadlineError(f"--out {target}: is the float model itself; give another name")
    sums = target.with_name("SHA256SUMS")
    if sums.is_file() and any(line.split()[-1:] == [target.name] for line in sums.read_text("utf-8").splitlines()):
        raise LeadlineError(f"--out {target}: {sums} lists a file of this name; give another name")


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Tell a full disk, and a folder that may not be written to, as an error of the target."""
    try:
        yield
    except OSError as error:
        reason = f"cannot be written ({error.strerror or error})"
        raise FileError(target, reason, "free some space, or choose another place") from error


@contextmanager
def work_folder(target: Path, about: dict[str, Any]) -> Iterator[Path]:
    """The hidden folder beside a file in which it is made; removed once that is done.

    What an interrupted command has left there serves the next one, if both are about the same.

    Args:
        target: the file in the making.
        about: all that the result follows from; plain values.
    """
    folder = target.with_name(f".{target.name}.part")
    note, text = folder / "about.json", json.dumps(about, indent=1, sort_keys=True)
    if not note.is_file() or note.read_text("utf-8") != text:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write(note, text)
    yield folder
    shutil.rmtree(folder)
