"""The manifest: a CSV that tells the declared goods of each scan."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from leadline.datasets.declarations import hs_code
from leadline.datasets.formats.files import pair_of
from leadline.datasets.scan import Declaration, LeadlineError

COLUMNS = ("path", "hs_code", "description")


@dataclass(frozen=True)
class Row:
    """One line of a manifest.

    Attributes:
        line: its number in the file, from 1; the header is line 1.
        path: the scan as written there.
        declaration: the goods, or `None` where both cells are empty.
    """

    line: int
    path: str
    declaration: Declaration | None


@dataclass(frozen=True)
class Manifest:
    """Declarations by scan.

    Attributes:
        path: the manifest file.
        rows: its lines, in order.
    """

    path: Path
    rows: tuple[Row, ...]
    _by_file: dict[str, Row] = field(default_factory=dict, repr=False, compare=False)

    def row(self, path: str | Path) -> Row | None:
        """The line that speaks of a scan, or `None`.

        A relative path in the manifest is meant from the manifest's folder, or else from the
        current one. Of a pair of files, either half may be named.
        """
        return next((self._by_file[key] for key in _keys(Path(path)) if key in self._by_file), None)

    def declaration(self, path: str | Path) -> Declaration | None:
        """The declared goods of a scan; `None` if the manifest does not tell."""
        row = self.row(path)
        return row.declaration if row else None

    def unused(self, paths: Iterable[str | Path]) -> list[Row]:
        """Lines that speak of none of some scans: misspelt paths, or scans left out."""
        used = {row.line for path in paths if (row := self.row(path)) is not None}
        return [row for row in self.rows if row.line not in used]


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest.

    The file is CSV in UTF-8 (a byte-order mark is welcome) with a header and at least the
    columns `path`, `hs_code` and `description`, in any order; others are ignored, and so are
    empty lines. `hs_code` or `description` may be empty.

    Raises:
        LeadlineError: the file cannot be read or decoded, lacks a column, names a scan twice
            or none, or holds an HS code that is none; the message names the line.
    """
    path = Path(path)
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    rows: list[Row] = []
    by_file: dict[str, Row] = {}
    try:
        _check_header(path, reader.fieldnames)
        for cells in reader:
            row = _row(path, reader.line_num, cells)
            if row is None:
                continue
            for earlier in (by_file.get(key) for key in _keys(path.parent / row.path)):
                if earlier is not None:
                    raise LeadlineError(
                        f"{path} line {row.line}: {row.path} is already declared in line {earlier.line}; remove one"
                    )
            rows.append(row)
            by_file[_key(path.parent / row.path)] = row
    except csv.Error as error:
        raise LeadlineError(
            f"{path} line {max(reader.line_num, 1)}: is not CSV ({error}); quote cells with commas or quotes in them"
        ) from error
    # What is written from the manifest's folder goes before what may be meant from the current one.
    for row in rows:
        by_file.setdefault(_key(Path(row.path)), row)
    return Manifest(path, tuple(rows), by_file)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise LeadlineError(f"{path}: does not exist; check the spelling of the manifest's path") from error
    except IsADirectoryError as error:
        raise LeadlineError(f"{path}: is a folder; name the manifest's CSV file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LeadlineError(f"{path}: cannot be read ({reason}); check its permissions and the disk") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise LeadlineError(f'{path} line {line}: is not UTF-8; save the table as "CSV UTF-8"') from error
    if not text.strip():
        raise LeadlineError(f"{path}: is empty; give a table with the columns {', '.join(COLUMNS)}")
    return text


def _check_header(path: Path, names: Iterable[str] | None) -> None:
    given = [name.strip().lower() for name in names or ()]
    missing = [name for name in COLUMNS if name not in given]
    if missing:
        found = ", ".join(given)
        raise LeadlineError(
            f"{path} line 1: has no column {' or '.join(missing)} (found: {found[:80]}); "
            f"begin with the line {','.join(COLUMNS)}, separated by commas"
        )
    twice = [name for name in COLUMNS if given.count(name) > 1]
    if twice:
        raise LeadlineError(f"{path} line 1: has the column {twice[0]} twice; remove one")


def _row(manifest: Path, line: int, cells: dict) -> Row | None:
    where = f"{manifest} line {line}"
    if None in cells:
        raise LeadlineError(f"{where}: has more cells than the header; quote cells that hold commas")
    values = {name.strip().lower(): (value or "").strip() for name, value in cells.items()}
    if not any(values.values()):
        return None
    path, code, description = (values[name] for name in COLUMNS)
    if not path:
        raise LeadlineError(f"{where}: names no scan; fill its path, or remove the line")
    if "\0" in path:
        raise LeadlineError(f"{where}: has a path with a NUL character; correct the path")
    if code:
        try:
            code = hs_code(code)
        except LeadlineError as error:
            raise LeadlineError(f"{where}: {error}") from error
    declared = Declaration(code or None, description or None) if code or description else None
    return Row(line, path, declared)


def _key(path: Path) -> str:
    return os.path.realpath(path)


def _keys(path: Path) -> list[str]:
    """Under what a scan may be written: itself, and both halves if it is one of a pair."""
    return [_key(path), *(_key(half) for half in pair_of(path) if half is not None)]
