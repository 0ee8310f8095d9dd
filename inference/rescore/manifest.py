"""The declared goods of any number of scans: looked up in a file of their own rather than in memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from leadline.datasets.formats.files import pair_of
from leadline.datasets.manifest import COLUMNS
from leadline.datasets.scan import Declaration, LeadlineError
from leadline.inference.rescore.lists import Listed, read_list
from leadline.inference.rescore.names import split_member
from leadline.inference.rescore.spool import temporary
from leadline.inference.rescore.stores import public

ENDINGS = (".csv", ".parquet")


class Manifest:
    """Declarations by scan, in a temporary file, so that a manifest of millions of lines takes no memory.

    A relative path is meant from the manifest's folder, or else from the current one; so is the archive of a member
    (`archive.tar!member`), which is also found by the archive's name without its folder, and by its own name alone.
    URLs are compared as text.

    Raises:
        LeadlineError: it cannot be read, lacks a column, or names a scan twice; the message names the lines.
    """

    def __init__(self, source: str) -> None:
        self.source, self.name = source, public(source)
        if not source.lower().endswith(ENDINGS):
            raise LeadlineError(f"--manifest {self.name}: is neither .csv nor .parquet; save the table as one of them")
        self._used = bytearray()  # by number of the line: nothing is written while scans are looked up
        # An empty name is SQLite's own for a database in a temporary file that is gone with the process.
        self._table = sqlite3.connect("", check_same_thread=False)
        try:
            self._fill()
        except BaseException:
            self.close()
            raise

    def find(self, place: str, path: str | None = None) -> Listed | None:
        """The line that speaks of a scan, or `None`.

        Args:
            place: what people call it, see `Item`.
            path: its file, if it is one.
        """
        for table in ("lines", "beside"):
            for key in _names(place, path):
                query = f"SELECT line, code, description, date FROM {table} WHERE key = ?"
                found = self._table.execute(query, (os.fsencode(key),)).fetchone()
                if found:
                    line, code, description, date = found
                    self._used[line] = 1
                    goods = Declaration(code, description) if code or description else None
                    return Listed(line, place, goods, date)
        return None

    def unused(self) -> Iterator[Listed]:
        """Lines that spoke of no scan so far, each with the path by which it was looked for."""
        for line, key in self._table.execute("SELECT line, key FROM lines"):
            if not self._used[line]:
                yield Listed(line, os.fsdecode(key))

    def close(self) -> None:
        """Remove the temporary file."""
        self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self) -> None:
        try:
            self._table.executescript(
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
                "CREATE TABLE lines (key BLOB PRIMARY KEY, line INTEGER, code TEXT, description TEXT, date TEXT);"
                "CREATE TABLE beside (key BLOB PRIMARY KEY, line INTEGER, code TEXT, description TEXT, date TEXT);"
            )
            for line in read_list(self.source, wanted=COLUMNS):
                self._add(line)
            self._table.commit()
        except sqlite3.OperationalError as error:
            raise LeadlineError(
                f"{self.name}: no room for it in {temporary()} ({error}); make room there, or set TMPDIR"
            ) from error

    def _add(self, line: Listed) -> None:
        if line.error is not None:
            raise LeadlineError(f"{self.name} line {line.line}: {line.error}")
        self._used.extend(bytes(line.line + 1 - len(self._used)))
        goods = line.declaration or Declaration()
        values = (line.line, goods.hs_code, goods.description, line.taken)
        key, *others = self._keys(public(line.path))
        for other in others:
            self._put("INSERT OR IGNORE INTO beside", other, values)
        try:
            self._put("INSERT INTO lines", key, values)
        except sqlite3.IntegrityError as error:
            query = "SELECT line FROM lines WHERE key = ?"
            (first,) = self._table.execute(query, (os.fsencode(key),)).fetchone()
            raise LeadlineError(
                f"{self.name} line {line.line}: names {public(line.path)[:200]} again, as line {first} does; remove one"
            ) from error

    def _keys(self, path: str) -> list[str]:
        """What a path of the manifest may mean, the most likely first."""
        if "://" in path:
            return [path]
        archive, member = split_member(path)
        file, rest = (archive, f"!{member}") if archive else (path, "")
        here = os.path.realpath(file)
        if "://" in self.source:
            return [path, here + rest]
        beside = os.path.realpath(os.path.join(Path(self.source).parent, file))
        if not os.path.exists(beside) and os.path.exists(here):
            beside, here = here, beside
        return [beside + rest, path, here + rest]

    def _put(self, how: str, key: str, values: tuple[Any, ...]) -> None:
        self._table.execute(f"{how} VALUES (?, ?, ?, ?, ?)", (os.fsencode(key), *values))


def _names(place: str, path: str | None) -> list[str]:
    """By what a scan may be called in a manifest, the most exact first."""
    if path is not None:
        return [os.path.realpath(p) for p in (Path(path), *(h for h in pair_of(Path(path)) if h))]
    archive, member = split_member(place)
    if not archive:
        return [place]
    whole = place if "://" in archive else f"{_real(archive)}!{member}"
    return [whole, place, f"{os.path.basename(archive)}!{member}", member]


@lru_cache(maxsize=4)
def _real(archive: str) -> str:
    return os.path.realpath(archive)
