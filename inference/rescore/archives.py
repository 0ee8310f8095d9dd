"""Scans inside tar and zip archives: read where they lie, never unpacked under the names they carry."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from leadline.datasets.scan import LeadlineError
from leadline.inference.rescore.item import Item
from leadline.inference.rescore.names import is_zip, scan_name
from leadline.inference.rescore.stores import public, reason
from leadline.inference.rescore.tars import read_tar
from leadline.inference.rescore.zips import open_zip, read_zip

MOST_HELD = 1_000_000_000
"""Bytes of halves that wait on the disk for their other half inside one compressed tar; elsewhere they take none."""

DAMAGE = (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, ArithmeticError, LookupError, NotImplementedError)
"""What `tarfile` and `zipfile` raise for archives that are none, damaged, or made to do harm."""


def count(source: str) -> int | None:
    """How many members of a zip archive look like scans; `None` for others, which only reading would tell.

    Raises:
        Exception: as `open_zip` does.
    """
    if not is_zip(source):
        return None
    with open_zip(source) as archive:
        return sum(scan_name(name) for name in archive.namelist())


def members(source: str, stamp: str) -> Iterator[Item]:
    """The scans of an archive, in its order. A damaged end is an item with an error; what came before counts.

    Args:
        source: path or URL.
        stamp: of the archive, see `stamp_of`.

    Raises:
        LeadlineError: there is no room for what a compressed archive holds.
    """
    pairs = Pairs()
    place = public(source)
    try:
        for item in read_zip(source, stamp) if is_zip(source) else read_tar(source, stamp):
            yield from pairs.put(item)
    except LeadlineError:
        raise
    except DAMAGE as error:
        yield Item(place, error=f"is damaged ({reason(error)[:120]}); scans behind the damage are lost")
    except Exception as error:  # each store has its own
        said = (error.strerror if isinstance(error, OSError) else None) or reason(error)
        yield Item(place, error=f"cannot be read to its end ({said})")
    yield from pairs.rest()


class Pairs:
    """Makes one item of the two halves of a pair, wherever in an archive or folder they lie."""

    def __init__(self) -> None:
        self._halves: dict[str, Item] = {}
        self._held = 0

    def put(self, item: Item) -> Iterator[Item]:
        """Take an item of one part; both halves of a pair come back as soon as both are known, others at once."""
        name = PurePosixPath(item.parts[0].name if item.parts else "")
        stem = name.stem.lower()
        if not stem.endswith(("_high", "_low")):
            yield item
            return
        is_high = stem.endswith("_high")
        base = f"{PurePosixPath(item.place).parent}/{name.stem[: -5 if is_high else -4]}"
        if base not in self._halves:
            self._halves[base] = item
            self._held += item.held
            while self._held > MOST_HELD:
                far = self._taken(next(iter(self._halves)))
                error = f"has no other half within {MOST_HELD / 1e9:g} GB; store the archive uncompressed, or as .zip"
                yield replace(far, parts=(), error=error)
            return
        other = self._taken(base)
        high, low = (item, other) if is_high else (other, item)
        stamp = f"{high.stamp}+{low.stamp}" if high.stamp and low.stamp else ""
        yield replace(high, stamp=stamp, parts=high.parts + low.parts)

    def rest(self) -> Iterator[Item]:
        """Halves whose other half never came."""
        yield from self._halves.values()

    def _taken(self, base: str) -> Item:
        half = self._halves.pop(base)
        self._held -= half.held
        return half
