"""Scans inside tar and zip archives: read where they lie, never unpacked under the names they carry."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from leadline.datasets.formats.decoded import LARGEST_FILE
from leadline.datasets.formats.files import SUFFIXES
from leadline.datasets.scan import LeadlineError
from leadline.inference.rescore.fetch import open_binary
from leadline.inference.rescore.item import Item, Part

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MOST_HALVES = 64
"""Halves of pairs that wait for their other half inside one archive; beyond that they are taken as they are."""


def is_archive(source: str) -> bool:
    """Whether a source is a tar or zip archive, by its name."""
    return source.lower().endswith((*TARS, ".zip")) and not os.path.isdir(source)


def count(source: str) -> int | None:
    """How many members of a zip archive look like scans; `None` for others, which only reading would tell."""
    if not source.lower().endswith(".zip"):
        return None
    try:
        with open_binary(source) as stream, zipfile.ZipFile(stream) as archive:
            return sum(_wanted(name) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return None


def members(source: str) -> Iterator[Item]:
    """The scans of an archive, in its order. A damaged end is an item with an error; what came before counts.

    Raises:
        LeadlineError: it does not exist or may not be read.
    """
    halves: dict[str, Item] = {}
    try:
        stamp = _stamp(source)
        found = _zip(source, stamp) if source.lower().endswith(".zip") else _tar(source, stamp)
        for item in found:
            yield from paired(item, halves)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        yield Item(source, error=f"is damaged ({' '.join(str(error).split())[:120]}); scans behind the damage are lost")
    except OSError as error:
        if "://" not in source and not os.path.exists(source):
            raise LeadlineError(f"{source}: does not exist; check the spelling of the source") from error
        yield Item(source, error=f"cannot be read to its end ({error.strerror or error})")
    yield from halves.values()


def paired(item: Item, halves: dict[str, Item]) -> Iterator[Item]:
    """Both halves of a pair as one item as soon as both are known; other items at once.

    Args:
        item: of one part.
        halves: halves that wait; what is left in the end has no other half.
    """
    name = PurePosixPath(item.parts[0].name if item.parts else "")
    stem = name.stem.lower()
    if not stem.endswith(("_high", "_low")):
        yield item
        return
    is_high = stem.endswith("_high")
    base = f"{PurePosixPath(item.place).parent}/{name.stem[: -5 if is_high else -4]}"
    other = halves.get(base)
    if other is None:
        if len(halves) >= MOST_HALVES:
            yield halves.pop(next(iter(halves)))
        halves[base] = item
        return
    del halves[base]
    high, low = (item, other) if is_high else (other, item)
    stamp = f"{high.stamp}+{low.stamp}" if high.stamp and low.stamp else ""
    yield replace(high, stamp=stamp, parts=high.parts + low.parts)


def _tar(source: str, stamp: str) -> Iterator[Item]:
    """Members of a tar: of an uncompressed one only where they lie, of a compressed one their bytes."""
    plain = source.lower().endswith(".tar")
    with open_binary(source) as stream, tarfile.open(fileobj=stream, mode="r:" if plain else "r|*") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else every header of the archive stays in memory
            if not member.isreg() or not _wanted(member.name):
                continue
            item = Item(f"{source}!{member.name}", f"{stamp}:{member.offset}", taken=_date(member.mtime))
            part = Part(member.name, source, "slice", member.offset_data, member.size)
            if member.size > LARGEST_FILE or member.issparse():
                what = "is stored sparsely" if member.issparse() else f"has {member.size / 1e9:.1f} GB"
                yield replace(item, error=f"{what}, which no scan has")
                continue
            if not plain:
                content = archive.extractfile(member)
                data = content.read() if content is not None else b""
                part = replace(part, how="bytes", data=data, offset=0)
            yield replace(item, parts=(part,))


def _zip(source: str, stamp: str) -> Iterator[Item]:
    with open_binary(source) as stream, zipfile.ZipFile(stream) as archive:
        last = {info.filename: info for info in archive.infolist() if not info.is_dir() and _wanted(info.filename)}
    for name, info in last.items():
        try:
            taken: str | None = datetime(*info.date_time).date().isoformat()
        except ValueError:
            taken = None
        item = Item(f"{source}!{_readable(info)}", f"{stamp}:{info.header_offset}", taken=taken)
        if info.flag_bits & 1:
            yield replace(item, error="is encrypted")
        elif info.file_size > LARGEST_FILE:
            yield replace(item, error=f"unpacks to {info.file_size / 1e9:.1f} GB, which no scan has")
        else:
            yield replace(item, parts=(Part(name, source, "zip", size=info.file_size),))


def _readable(info: zipfile.ZipInfo) -> str:
    """A member's name. Where the archive does not say that it is UTF-8, it often is all the same."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return info.filename


def _wanted(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _stamp(source: str) -> str:
    if "://" in source:
        return ""
    status = Path(source).stat()
    return f"{status.st_size}:{status.st_mtime_ns}"


def _date(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return None
