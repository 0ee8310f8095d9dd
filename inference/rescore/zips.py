"""Zip archives: their directories, also with names that are not what they claim to be, and single members."""

from __future__ import annotations

import struct
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, BinaryIO

from leadline.datasets.formats.decoded import LARGEST_FILE
from leadline.inference.rescore.item import Item, Part
from leadline.inference.rescore.names import archive_name, scan_name
from leadline.inference.rescore.stores import open_binary, public
from leadline.inference.rescore.tars import NESTED

UTF8 = 0x800
"""The flag of an entry whose name claims to be UTF-8."""


def open_zip(source: str) -> zipfile.ZipFile:
    """A zip archive. A name that claims to be UTF-8 and is not is read as any other; `zipfile` gives up all of them.

    Raises:
        OSError, BadZipFile, NotImplementedError, ValueError, LookupError: it is damaged, or cannot be read.
    """
    stream = open_binary(source)
    try:
        try:
            archive = _Archive(stream)
        except UnicodeDecodeError:
            archive = _Archive(_Unclaimed(stream))
    except BaseException:
        stream.close()
        raise
    archive.stream = stream
    return archive


class _Archive(zipfile.ZipFile):
    """A zip archive that closes its stream as well; `zipfile` leaves open what it has not opened itself."""

    stream: BinaryIO | None = None

    def close(self) -> None:
        """Let go of the archive."""
        super().close()
        if self.stream is not None:
            self.stream.close()


class _Unclaimed:
    """A zip archive's stream, in whose directory no name claims to be UTF-8 that is not."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, size: int = -1) -> bytes:
        """As of any stream; `zipfile` reads the directory in one piece."""
        data = self._stream.read(size)
        if not data.startswith(b"PK\1\2") or size < 46:
            return data
        directory, at = bytearray(data), 0
        while directory[at : at + 4] == b"PK\1\2" and at + 46 <= len(directory):
            (flags,) = struct.unpack_from("<H", directory, at + 8)
            name, extra, comment = struct.unpack_from("<3H", directory, at + 28)
            try:
                directory[at + 46 : at + 46 + name].decode("utf-8")
            except UnicodeDecodeError:
                struct.pack_into("<H", directory, at + 8, flags & ~UTF8)
            at += 46 + name + extra + comment
        return bytes(directory)


def read_zip(source: str, stamp: str) -> Iterator[Item]:
    """The scans of a zip archive; of members of one name the last, as whoever unpacks it has.

    Raises:
        OSError, BadZipFile, NotImplementedError, ValueError, LookupError: it is damaged, or cannot be read.
    """
    with open_zip(source) as archive:
        found = [info for info in archive.infolist() if not info.is_dir()]
    last = {info.filename: info for info in found if scan_name(info.filename) or archive_name(info.filename)}
    for name, info in last.items():
        try:
            taken: str | None = datetime(*info.date_time).date().isoformat()
        except ValueError:
            taken = None
        item = Item(f"{public(source)}!{_readable(info)}", stamp and f"{stamp}:{info.header_offset}", taken=taken)
        if not scan_name(name):
            yield replace(item, error=NESTED)
        elif info.flag_bits & 1:
            yield replace(item, error="is encrypted")
        elif info.file_size > LARGEST_FILE:
            yield replace(item, error=f"unpacks to {info.file_size / 1e9:.1f} GB, which no scan has")
        else:
            yield replace(item, parts=(Part(name, source, "zip", size=info.file_size),))


def _readable(info: zipfile.ZipInfo) -> str:
    """A member's name. Where the archive does not say that it is UTF-8, it often is all the same."""
    if info.flag_bits & UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return info.filename


_OPEN: OrderedDict[str, zipfile.ZipFile] = OrderedDict()
_LOCK = threading.Lock()


def from_zip(part: Part) -> bytes:
    """One member; the archive's directory is kept, for reading it costs more than a scan.

    Raises:
        Exception: it cannot be read, or is more than its directory says; zlib, zipfile and stores have types of
            their own.
    """
    with _LOCK:  # readers share an archive; one that another closes would fail them
        archive = _OPEN.pop(part.container, None) or open_zip(part.container)
        _OPEN[part.container] = archive
        while len(_OPEN) > 2:
            _OPEN.popitem(last=False)[1].close()
        with archive.open(archive.getinfo(part.name)) as stream:
            data = stream.read(part.size + 1)  # a forged size must not fill the memory
    if len(data) > part.size:
        raise ValueError("holds more than its directory says")
    return data
