"""Checkpoints that are whole or not there, and failures of a long fit told in one sentence."""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from leadline.datasets.scan import FileError, LeadlineError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TOLD = re.compile(r"leadline\.datasets\.\S*?(?:LeadlineError|FileError|ScanError|SetError): (.+)\s*\Z", re.DOTALL)


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside the old one, flushes it to the disk, and only then puts it in its place.

    Lightning's own way writes into the system's temporary folder first and copies from there, which a kill or a full
    disk can cut in the middle.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        target = Path(path)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(target, buffer.getbuffer())


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file that appears whole, or not at all; what was there before stays until then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def explained(out: Path) -> Iterator[None]:
    """Tell a full disk, and what worker processes tell, as a `LeadlineError`.

    Args:
        out: folder of the run.
    """
    try:
        yield
    except LeadlineError:
        raise
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise FileError(
            error.filename or out,
            f"cannot be written, the disk is full ({error.strerror})",
            f"free some space and give the same command again: {_left(out)}",
        ) from error
    except RuntimeError as error:  # a worker's exception comes back as text
        told = _TOLD.search(str(error))
        if told is None:
            raise
        raise LeadlineError(told[1].strip()) from error


def _left(out: Path) -> str:
    return "it goes on from last.ckpt" if (out / "last.ckpt").is_file() else "nothing was saved yet, it begins anew"
