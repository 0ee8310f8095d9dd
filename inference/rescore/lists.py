"""Lists and manifests of any length: read line by line, looked up in a file of their own rather than in memory."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from leadline.datasets.declarations import hs_code
from leadline.datasets.formats.files import pair_of
from leadline.datasets.manifest import COLUMNS
from leadline.datasets.scan import Declaration, LeadlineError
from leadline.inference.rescore.fetch import open_binary

ENDINGS = (".csv", ".parquet", ".txt")


@dataclass(frozen=True)
class Listed:
    """One line of a list or manifest.

    Attributes:
        line: its number; for Parquet the row's, from 1.
        path: the scan as written there.
        declaration: the goods, or `None`.
        taken: the date, where there is a column `date`.
    """

    line: int
    path: str
    declaration: Declaration | None = None
    taken: str | None = None


def is_list(source: str) -> bool:
    """Whether a source is a list or manifest, by its name."""
    return source.lower().endswith(ENDINGS) and not os.path.isdir(source)


def read_list(source: str, *, wanted: tuple[str, ...] = ("path",)) -> Iterator[Listed]:
    """The lines of a list (`.txt`: a path a line) or manifest (`.csv`, `.parquet`), one after the other.

    Args:
        source: path or URL. A list may hold names in any encoding, a manifest is UTF-8.
        wanted: columns that a manifest must have; `hs_code`, `description` and `date` count where they are there.

    Raises:
        LeadlineError: it cannot be read, lacks a column, or a line makes no sense.
    """
    low = source.lower()
    try:
        if low.endswith(".parquet"):
            yield from _parquet(source, wanted)
        elif low.endswith(".csv"):
            yield from _csv(source, wanted)
        else:
            with open_binary(source) as stream:
                for number, raw in enumerate(stream, 1):
                    if path := os.fsdecode(raw.strip(b"\r\n")):
                        yield Listed(number, path)
    except OSError as error:
        raise LeadlineError(
            f"{source}: cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error


def _csv(source: str, wanted: tuple[str, ...]) -> Iterator[Listed]:
    with open_binary(source) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        try:
            names = [name.strip().lower() for name in reader.fieldnames or ()]
            _check_columns(source, names, wanted)
            reader.fieldnames = names
            for row in reader:
                if None in row:
                    raise LeadlineError(
                        f"{source} line {reader.line_num}: has more cells than the header; quote cells with commas"
                    )
                if any(row.values()):
                    yield _line(source, reader.line_num, row)
        except UnicodeDecodeError as error:
            raise LeadlineError(f'{source}: is not UTF-8; save the table as "CSV UTF-8"') from error
        except csv.Error as error:
            raise LeadlineError(f"{source} line {reader.line_num}: is no CSV ({error}); correct the line") from error


def _parquet(source: str, wanted: tuple[str, ...]) -> Iterator[Listed]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise LeadlineError(
            f"{source}: needs {error.name}, which is not installed; pip install 'leadline[cluster]', or give a .csv"
        ) from error
    with open_binary(source) as stream:
        try:
            table = pq.ParquetFile(stream)
            names = {name.strip().lower(): name for name in table.schema_arrow.names}
            _check_columns(source, list(names), wanted)
            columns = [names[name] for name in (*COLUMNS, "date") if name in names]
            number = 0
            for batch in table.iter_batches(batch_size=4096, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    plain = {k.strip().lower(): "" if v is None else str(v) for k, v in row.items()}
                    yield _line(source, number, plain)
        except pa.ArrowException as error:
            raise LeadlineError(f"{source}: is no Parquet file, or damaged ({error}); write it anew") from error


def _check_columns(source: str, names: list[str], wanted: tuple[str, ...]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise LeadlineError(
            f"{source}: has no column {' or '.join(missing)} (found: {', '.join(names)[:80]}); add it to its header"
        )
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise LeadlineError(f"{source}: has the column {twice[0]} twice; remove one")


def _line(source: str, number: int, row: dict[str, Any]) -> Listed:
    path, code, description, date = ((row.get(name) or "").strip() for name in (*COLUMNS, "date"))
    if not path or "\0" in path:
        raise LeadlineError(f"{source} line {number}: names no scan; fill its path, or remove the line")
    if code:
        try:
            code = hs_code(code)
        except LeadlineError as error:
            raise LeadlineError(f"{source} line {number}: {error}") from error
    declaration = Declaration(code or None, description or None) if code or description else None
    return Listed(number, path, declaration, date[:10] or None)


class Manifest:
    """Declarations by scan, in a temporary file, so that a manifest of millions of lines takes no memory.

    A relative path is meant from the manifest's folder, or else from the current one; URLs and members of archives
    (`archive.tar!member`) are compared as text, members also by their name alone.

    Raises:
        LeadlineError: it cannot be read, lacks a column, or names a scan twice; the message names the lines.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._folder = tempfile.TemporaryDirectory(prefix="leadline-")
        try:
            self._table = sqlite3.connect(Path(self._folder.name, "manifest"), check_same_thread=False)
            self._table.executescript(
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
                "CREATE TABLE lines (key BLOB PRIMARY KEY, line INTEGER, code TEXT, description TEXT, date TEXT);"
                "CREATE TABLE beside (key BLOB PRIMARY KEY, line INTEGER, code TEXT, description TEXT, date TEXT);"
            )
            self._fill()
        except BaseException:
            self.close()
            raise

    def find(self, place: str, path: str | None = None) -> Listed | None:
        """The line that speaks of a scan, or `None`."""
        if path is not None:
            keys = [os.path.realpath(p) for p in (Path(path), *(h for h in pair_of(Path(path)) if h))]
        else:
            member = place.partition("!")[2]
            keys = [place, *([member] if member else [])]
        for table in ("lines", "beside"):
            for key in keys:
                query = f"SELECT line, code, description, date FROM {table} WHERE key = ?"
                found = self._table.execute(query, (os.fsencode(key),)).fetchone()
                if found:
                    line, code, description, date = found
                    goods = Declaration(code, description) if code or description else None
                    return Listed(line, place, goods, date)
        return None

    def close(self) -> None:
        """Remove the temporary file."""
        if hasattr(self, "_table"):
            self._table.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self) -> None:
        folder = "" if "://" in self.source else os.path.realpath(Path(self.source).parent)
        for line in read_list(self.source, wanted=COLUMNS):
            goods = line.declaration or Declaration()
            values = (line.line, goods.hs_code, goods.description, line.taken)
            if "://" in line.path or "!" in line.path or not folder:
                key = line.path
            else:
                key = os.path.realpath(os.path.join(folder, line.path))
                for other in (line.path, os.path.realpath(line.path)):
                    self._put("INSERT OR IGNORE INTO beside", other, values)
            try:
                self._put("INSERT INTO lines", key, values)
            except sqlite3.IntegrityError as error:
                query = "SELECT line FROM lines WHERE key = ?"
                (first,) = self._table.execute(query, (os.fsencode(key),)).fetchone()
                raise LeadlineError(
                    f"{self.source} line {line.line}: names {line.path[:200]} again, as line {first} does; remove one"
                ) from error
            except sqlite3.OperationalError as error:
                raise LeadlineError(f"{self.source}: no room for it in {self._folder.name} ({error})") from error
        self._table.commit()

    def _put(self, how: str, key: str, values: tuple[Any, ...]) -> None:
        self._table.execute(f"{how} VALUES (?, ?, ?, ?, ?)", (os.fsencode(key), *values))
