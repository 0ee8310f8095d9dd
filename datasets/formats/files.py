"""Which files are scans: folders, pairs of files, and content told by its first bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from leadline.datasets.formats.picture import PNG_MAGIC, png_bits

Format = Literal["tiff", "npy", "png", "jpeg", "dicom"]

_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\x93NUMPY", "npy"),
    (PNG_MAGIC, "png"),
    (b"\xff\xd8\xff", "jpeg"),
)
_SUFFIXES = {".tif", ".tiff", ".btf", ".npy", ".dcm", ".dcs", ".dicos", ".dicom"}
_PICTURES = {".png", ".jpg", ".jpeg"}
SUFFIXES = frozenset(_SUFFIXES | _PICTURES)
"""Endings of names that scans have, lower case."""
HEAD = 132
"""Bytes that `sniff` needs."""


def sniff(head: bytes) -> Format | None:
    """The format that a file's first bytes tell, whatever its name says; `None` for none that is read."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return "dicom" if head[128:132] == b"DICM" else None


def find_scans(paths: Iterable[str | Path], *, pseudocolour: bool = False) -> list[Path]:
    """Files to read as scans.

    A file that is named is always returned, so that reading it says what is wrong with it. A
    folder is walked, sorted by name: hidden files and files that are no scans by name and by
    content are left out; so are JPEG and 8-bit PNG pictures unless `pseudocolour` is set. A
    folder that may not be entered is returned itself, so that reading it says so. Of a pair
    `X_high`, `X_low` the high one is returned. Nothing is returned twice.

    Args:
        paths: files and folders.
        pseudocolour: take 8-bit pictures in folders too.
    """
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        for file in _walk(path, pseudocolour) if os.path.isdir(path) else [path]:
            first = pair_of(file)[0] or file
            found.setdefault(os.path.realpath(first), first)
    return list(found.values())


def pair_of(path: Path) -> tuple[Path | None, Path | None]:
    """The high and low files of the pair to which a file belongs by its name.

    Returns:
        Both halves, `None` for a half that is not there; both `None` if the name ends in
        neither `_high` nor `_low`.
    """
    stem, ending = path.stem[:-5], path.stem[-5:]
    if ending.lower() == "_high":
        return path, _partner(path, stem, "_low", ending)
    stem, ending = path.stem[:-4], path.stem[-4:]
    if ending.lower() == "_low":
        return _partner(path, stem, "_high", ending), path
    return None, None


def _partner(path: Path, stem: str, ending: str, like: str) -> Path | None:
    """The other half: the same suffix and case first."""
    suffixes = [path.suffix, *sorted(_SUFFIXES | {".png"})]
    endings = [ending.upper() if like.isupper() else ending, ending, ending.upper(), ending.title()]
    for suffix in suffixes:
        for end in endings:
            other = path.with_name(stem + end + suffix)
            if os.path.isfile(other):
                return other
    return None


def _walk(folder: Path, pseudocolour: bool) -> Iterable[Path]:
    closed: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=lambda e: closed.append(Path(e.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and is_scan(path, pseudocolour):
                yield path
    yield from closed


def is_scan(path: Path, pseudocolour: bool) -> bool:
    """Whether a file in a folder is taken for a scan, by its name and its first bytes; see `find_scans`."""
    suffix = path.suffix.lower()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError:
        return suffix in _SUFFIXES or suffix in _PICTURES
    content = sniff(head)
    if content == "png" and (png_bits(head) or 16) < 16:
        return pseudocolour
    if content == "jpeg" or (content is None and suffix in (".jpg", ".jpeg")):
        return pseudocolour
    return content is not None or suffix in _SUFFIXES or suffix in _PICTURES
