"""From an item to its scan: bytes out of folders, archives and object stores, decoded by the ordinary readers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath

from leadline.datasets.formats import read_scan
from leadline.datasets.formats.decoded import LARGEST_FILE
from leadline.datasets.formats.files import pair_of
from leadline.datasets.formats.picture import PNG_MAGIC, png_bits
from leadline.datasets.scan import LeadlineError, Scan, ScanError
from leadline.inference.rescore.item import Item, Part
from leadline.inference.rescore.spool import temporary
from leadline.inference.rescore.stores import open_binary, reason, store
from leadline.inference.rescore.zips import from_zip
from leadline.inference.screening import Settings

TRIES, PAUSE_S = 3, 0.5
"""An object that cannot be fetched is asked for so often, with a pause that doubles."""


class NoScan(Exception):
    """An ordinary picture that has a scan's name."""


class Unfit(LeadlineError):
    """The worker itself cannot go on (its disk is full): no fault of the file."""


def load(item: Item, settings: Settings) -> Scan:
    """Read an item's scan; its `path` is the item's place, its declaration the item's.

    Raises:
        ScanError: it cannot be read.
        NoScan: it is an ordinary picture.
        Unfit: there is no room to unpack it.
    """
    if item.error is not None:
        raise ScanError(item.place, item.error, "see whether it can be read again, then run again")
    if item.path is not None:
        scan = _read(item.path, settings)
        return replace(scan, path=item.place, declaration=item.declaration)
    contents = [(part, fetch(part, item.place)) for part in item.parts]
    if not settings.pseudocolour and any(_ordinary(data) for _, data in contents):
        raise NoScan
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-"))
            files = [Path(folder, name) for name in _names(item.parts)]
            for file, (_, data) in zip(files, contents, strict=True):
                file.write_bytes(data)
        except OSError as error:
            said = f"{temporary()}: cannot be written ({error.strerror}); make room there, or set TMPDIR"
            raise Unfit(said) from error
        try:
            scan = _read(files[0], settings)
        except ScanError as error:
            raise ScanError(item.place, error.reason.replace(folder + os.sep, ""), error.remedy) from error
    return replace(scan, path=item.place, declaration=item.declaration)


def _read(path: str | Path, settings: Settings) -> Scan:
    return read_scan(path, scanner=settings.scanner, pseudocolour=settings.pseudocolour, palette=settings.palette)


def content_hash(item: Item) -> str:
    """SHA-256 of an item's bytes as `read_scan` forms it, empty if they cannot be read."""
    digest = hashlib.sha256()
    try:
        if item.path is not None:
            halves = pair_of(Path(item.path))
            for path in halves if all(halves) else (Path(item.path),):
                if not path or not path.is_file() or path.stat().st_size > LARGEST_FILE:
                    return ""
                digest.update(path.read_bytes())
        elif not item.parts:
            return ""
        else:
            for part in item.parts:
                digest.update(fetch(part, item.place))
    except (OSError, ValueError, LeadlineError):
        return ""
    return digest.hexdigest()


def fetch(part: Part, place: str) -> bytes:
    """The bytes of a part.

    Raises:
        ScanError: they cannot be had, or there are more of them than a scan has.
    """
    if part.how == "bytes":
        return bytes(part.data)
    if part.size > LARGEST_FILE:
        raise ScanError(place, f"has {part.size / 1e9:.1f} GB, more than a scan can have", "export one scan a file")
    try:
        match part.how:
            case "slice":
                with open_binary(part.container) as stream:
                    stream.seek(part.offset)
                    data = stream.read(part.size)
            case "zip":
                data = from_zip(part)
            case _:
                data = _from_store(part)
    except ScanError:
        raise
    except FileNotFoundError as error:
        raise ScanError(place, "does not exist any more", "see who removes files during the run") from error
    except Exception as error:  # zlib, zipfile and object stores each raise types of their own
        raise ScanError(place, f"cannot be read ({reason(error)})", "check the archive or the connection") from error
    if len(data) < part.size:
        raise ScanError(place, "ends early", "copy the archive again")
    return data


def announce(item: Item) -> None:
    """Tell the system that an item on a local disk will be read soon, so that it reads while others are computed."""
    if not hasattr(os, "posix_fadvise"):
        return
    wanted = [(item.path, 0, 0)] if item.path is not None else []
    wanted += [(part.container, part.offset, part.size) for part in item.parts if part.how == "slice"]
    for path, offset, size in wanted:
        try:
            # Without O_NONBLOCK a pipe that has a scan's name would be waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):  # whoever reads it will say why
            continue
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_WILLNEED)
        os.close(descriptor)


def _from_store(part: Part) -> bytes:
    fs, path = store(part.container)
    for attempt in range(TRIES - 1):
        try:
            data: bytes = fs.cat_file(path)
            return data
        except FileNotFoundError:
            raise
        except Exception:  # every store has its own kinds of hiccups
            time.sleep(PAUSE_S * 2**attempt)
    last: bytes = fs.cat_file(path)
    return last


def _ordinary(data: bytes) -> bool:
    return data.startswith(PNG_MAGIC) and (png_bits(data[:132]) or 16) < 16


def _names(parts: tuple[Part, ...]) -> list[str]:
    """Names that are files of one folder on every system and keep what says which half of a pair each is."""
    last = [PurePosixPath(part.name.replace("\\", "/")).name for part in parts]
    if len(last) == 2:
        return [f"scan{half}{_plain(PurePosixPath(n).suffix)}" for n, half in zip(last, ("_high", "_low"), strict=True)]
    return [_plain(last[0]).lstrip(".")[-80:] or "scan"]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)
