"""The ledger as a table for other programs: CSV or Parquet, written in bounded memory, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from leadline.datasets.scan import LeadlineError
from leadline.inference.ledger.location import private
from leadline.inference.ledger.store import Ledger

TEXTS = ("at", "kind", "subject", "model", "who", "key")
VERDICT = ("verdict", "path", "provider", "model_name", "model_version", "scanner", "hs_code", "description", "taken")
NUMBERS = ("score", "threshold", "elapsed_ms")
REST = ("reasons", "error", "body", "context", "previous", "hash")
COLUMNS = ("seq", *TEXTS, *VERDICT, *NUMBERS, *REST)
"""Columns of an export: those of the ledger, and the figures of a verdict drawn out of its body."""

GROUP = 2000
"""Rows of one Parquet row group."""

EXACT = 1 << 53
"""Beyond it a column of floats takes no whole number."""


def export(ledger: Ledger, target: Path) -> int:
    """Write all rows to a file that only its owner may read.

    Args:
        ledger: to read.
        target: its suffix decides: `.csv` (UTF-8, RFC 4180) or `.parquet`.

    Returns:
        The number of rows.

    Raises:
        LedgerError: the database does not answer.
        LeadlineError: the suffix is another, pyarrow is missing, or the file cannot be written.
    """
    writers = {".csv": _csv, ".parquet": _parquet}
    if target.suffix.lower() not in writers:
        raise LeadlineError(f"{target}: is neither .csv nor .parquet; end its name in one of them")
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        count = writers[target.suffix.lower()](_records(ledger), partial)
        partial.replace(target)
    except OSError as error:
        raise LeadlineError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return count


def _records(ledger: Ledger) -> Iterator[dict[str, Any]]:
    return map(_record, ledger.raw_rows())


def _record(row: sa.Row[Any]) -> dict[str, Any]:
    body, context = _object(_json(row.body)), _object(_json(row.context))
    declared, model, scanner = (_object(body.get(name)) for name in ("declared", "model", "scanner"))
    found: dict[str, Any] = {name: getattr(row, name) for name in TEXTS}
    found |= {"verdict": body.get("verdict"), "path": body.get("path"), "provider": body.get("provider")}
    found |= {"model_name": model.get("name"), "model_version": model.get("version"), "scanner": scanner.get("kind")}
    found |= {"hs_code": declared.get("hs_code"), "description": declared.get("description")}
    found |= {"taken": body.get("taken"), "error": body.get("error")}
    reasons = body.get("reasons")
    found["reasons"] = " ".join(map(str, reasons)) if isinstance(reasons, list) else None
    found |= {name: getattr(row, name) for name in ("body", "context", "previous", "hash")}
    # A station's events may use the names for something else, and what was tampered with may hold anything.
    found = {name: None if value is None else _encodable(str(value)) for name, value in found.items()}
    numbers = {"score": body.get("score"), "threshold": body.get("threshold"), "elapsed_ms": context.get("elapsed_ms")}
    found |= {name: _number(value) for name, value in numbers.items()}
    found["seq"] = row.seq
    return {name: found[name] for name in COLUMNS}


def _json(text: Any) -> Any:
    """What a text says; nothing where it was tampered with, which the check of the chain tells."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def _number(value: Any) -> float | None:
    """A figure; nothing where it is none, or more than a float can be."""
    try:
        whole = isinstance(value, int) and abs(value) <= EXACT
        return value if whole else float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _csv(records: Iterator[dict[str, Any]], path: Path) -> int:
    count = 0
    with open(path, "w", encoding="utf-8", newline="", opener=private) as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for record in records:
            writer.writerow({k: _harmless(v) for k, v in record.items()})
            count += 1
        stream.flush()
        os.fsync(stream.fileno())
    return count


def _harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: declarations and file names come from strangers."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def _parquet(records: Iterator[dict[str, Any]], path: Path) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise LeadlineError(
            f"{path.suffix}: needs {error.name}, which is not installed; pip install 'leadline[cluster]', or write .csv"
        ) from error
    kinds = {"seq": pa.int64()} | dict.fromkeys(NUMBERS, pa.float64())
    form = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    count = 0
    with (
        open(path, "wb", opener=private) as stream,
        pq.ParquetWriter(stream, form, compression="zstd") as writer,
    ):
        while group := list(islice(records, GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=form))
            count += len(group)
    return count
