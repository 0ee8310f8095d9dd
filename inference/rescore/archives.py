"""Scans inside tar and zip archives: read where they lie, never unpacked under the names they carry."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from leadline.datasets.scan import LeadlineError
from leadline.inference.rescore.item import Item
from leadline.inference.rescore.names import half_of, is_zip, scan_name
from leadline.inference.rescore.stores import public, reason
from leadline.inference.rescore.tars import read_tar
from leadline.inference.rescore.zips import open_zip, read_zip

MOST_HELD = 1_000_000_000
"""Bytes of halves, since the first that waits for its other half, on the disk for one compressed tar."""

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
        self._halves: dict[tuple[str, str], tuple[Item, int]] = {}
        self._passed = 0

    def put(self, item: Item) -> Iterator[Item]:
        """Take an item of one part; both halves of a pair come back as soon as both are known, others at once."""
        name = PurePosixPath(item.parts[0].name if item.parts else "")
        half = half_of(name.name)
        if not half:
            yield item
            return
        base = f"{PurePosixPath(item.place).parent}/{name.stem[: -len(half) - 1]}"
        before, self._passed = self._passed, self._passed + item.held
        other, _ = self._halves.pop((base, "low" if half == "high" else "high"), (None, 0))
        if other is not None:
            high, low = (item, other) if half == "high" else (other, item)
            stamp = f"{high.stamp}+{low.stamp}" if high.stamp and low.stamp else ""
            yield replace(high, stamp=stamp, parts=high.parts + low.parts)
        else:
            earlier, _ = self._halves.pop((base, half), (None, 0))
            if earlier is not None:  # two high ones are no pair
                yield earlier
            self._halves[base, half] = item, before
        # By what has passed, not by what waits: a file of the spool stays on the disk for the sake of one half in it.
        while self._halves and self._passed - next(iter(self._halves.values()))[1] > MOST_HELD:
            far, _ = self._halves.pop(next(iter(self._halves)))
            error = f"has no other half within {MOST_HELD / 1e9:g} GB; store the archive uncompressed, or as .zip"
            yield replace(far, parts=(), error=error)

    def rest(self) -> Iterator[Item]:
        """Halves whose other half never came."""
        for item, _ in self._halves.values():
            yield item
