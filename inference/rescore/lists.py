"""Lists and manifests of any length, read line by line."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from leadline.datasets.declarations import hs_code
from leadline.datasets.manifest import COLUMNS
from leadline.datasets.scan import Declaration, LeadlineError
from leadline.inference.rescore.stores import open_binary, public, reason

ENDINGS = (".csv", ".parquet", ".txt")


@dataclass(frozen=True)
class Listed:
    """One line of a list or manifest.

    Attributes:
        line: its number; for Parquet the row's, from 1.
        path: the scan as written there.
        declaration: the goods, or `None`.
        taken: the date, where there is a column `date`.
        error: what is wrong with this line, and the remedy; the others count all the same.
    """

    line: int
    path: str
    declaration: Declaration | None = None
    taken: str | None = None
    error: str | None = None


def is_list(source: str) -> bool:
    """Whether a source is a list or manifest, by its name."""
    return source.lower().endswith(ENDINGS) and not os.path.isdir(source)


def read_list(source: str, *, wanted: tuple[str, ...] = ("path",)) -> Iterator[Listed]:
    """The lines of a list (`.txt`: a path a line) or manifest (`.csv`, `.parquet`), one after the other.

    Args:
        source: path or URL. A list may hold names in any encoding, a manifest is UTF-8.
        wanted: columns that a manifest must have; `hs_code`, `description` and `date` count where they are there.

    Raises:
        LeadlineError: it cannot be read, or lacks a column.
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
                    raw = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
                    if path := os.fsdecode(raw.strip(b"\r\n")):
                        yield Listed(number, path)
    except LeadlineError:
        raise
    except Exception as error:  # each store has its own
        said = (error.strerror if isinstance(error, OSError) else None) or reason(error)
        raise LeadlineError(f"{public(source)}: cannot be read ({said}); check the path and its permissions") from error


def _csv(source: str, wanted: tuple[str, ...]) -> Iterator[Listed]:
    shown = public(source)
    with open_binary(source) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        try:
            names = [name.strip().lower() for name in reader.fieldnames or ()]
            _check_columns(shown, names, wanted)
            reader.fieldnames = names
            while True:
                begun = reader.reader.line_num + 1
                try:
                    row = next(reader, None)
                except csv.Error as error:
                    number = reader.reader.line_num  # its own line_num is that of the last good line
                    remedy = "correct the line"
                    if begun < number:  # a quote that is opened and never closed takes many lines with it
                        remedy = f"nothing from line {begun} to here was read; close the quotes there"
                    yield Listed(number, "", error=f"is no CSV ({error}); {remedy}")
                    continue
                if row is None:
                    return
                if None in row:
                    said = "has more cells than the header; quote cells with commas"
                    yield Listed(reader.line_num, "", error=said)
                elif any(row.values()):
                    yield _line(reader.line_num, row)
        except UnicodeDecodeError as error:
            raise LeadlineError(f'{shown}: is not UTF-8; save the table as "CSV UTF-8"') from error
        except csv.Error as error:
            raise LeadlineError(f"{shown} line {reader.line_num}: is no CSV ({error}); correct the line") from error


def _parquet(source: str, wanted: tuple[str, ...]) -> Iterator[Listed]:
    shown = public(source)
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise LeadlineError(
            f"{shown}: needs {error.name}, which is not installed; pip install 'leadline[cluster]', or give a .csv"
        ) from error
    with open_binary(source) as stream:
        try:
            table = pq.ParquetFile(stream)
            names = {name.strip().lower(): name for name in table.schema_arrow.names}
            _check_columns(shown, list(names), wanted)
            columns = [names[name] for name in (*COLUMNS, "date") if name in names]
            number = 0
            for batch in table.iter_batches(batch_size=4096, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield _line(number, {name.strip().lower(): _text(value) for name, value in row.items()})
        except pa.ArrowException as error:
            raise LeadlineError(f"{shown}: is no Parquet file, or damaged ({error}); write it anew") from error


def _check_columns(shown: str, names: list[str], wanted: tuple[str, ...]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise LeadlineError(
            f"{shown}: has no column {' or '.join(missing)} (found: {', '.join(names)[:80]}); add it to its header"
        )
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise LeadlineError(f"{shown}: has the column {twice[0]} twice; remove one")


def _text(value: Any) -> str:
    """A Parquet file's cell as a CSV would have it: pandas makes floats of codes, and NaN of gaps."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


def _line(number: int, row: dict[str, Any]) -> Listed:
    path, code, description, date = ((row.get(name) or "").strip() for name in (*COLUMNS, "date"))
    if not path or "\0" in path:
        return Listed(number, "", error="names no scan; fill its path, or remove the line")
    if code:
        try:
            code = hs_code(code)
        except LeadlineError as error:
            return Listed(number, path, error=str(error))
    declaration = Declaration(code or None, description or None) if code or description else None
    return Listed(number, path, declaration, date[:10] or None)
