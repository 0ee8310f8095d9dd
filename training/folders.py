"""Folders for results."""

from __future__ import annotations

import os
from pathlib import Path

from leadline.datasets.scan import FileError


def make_folder(path: Path) -> None:
    """Make a folder for results before hours are spent on them.

    Raises:
        FileError: it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(path, f"cannot be made ({error.strerror or error})", "give another folder") from error
    if not os.access(path, os.W_OK):
        raise FileError(path, "cannot be written to", "give another folder, or the right to write there")
