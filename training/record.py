"""Measured rows on disk: written as they come, so that an interrupted evaluation goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from leadline.datasets.scan import FileError
from leadline.training.measure import Task, measure_groups
from leadline.training.rows import Row, Unread, as_record, from_record

FORM = 2
"""Version of the form of these files."""

Told = Callable[[int, int], None]
"""Takes the number of scenes measured so far and of all."""


def measured(
    task: Task,
    numbers: Sequence[int],
    path: Path | None,
    about: dict[str, Any],
    *,
    processes: int = 1,
    told: Told | None = None,
) -> list[Row | Unread]:
    """The rows of some scenes: those on disk, and the others measured now and added there.

    A scan that could not be read, or whose file is another one by now, is measured anew.

    Args:
        task: what to measure.
        numbers: of the scenes.
        path: file of JSON lines: what `about` says, then one line a scan. `None` = nothing is kept.
        about: tells the evaluation from others; rows of another one are never mixed in.
        processes: that work at it.
        told: is told of the progress.

    Raises:
        FileError: the file cannot be read or written, or holds another evaluation.
    """
    rows: list[Row | Unread] = [*_resume(path, about, task)] if path is not None else []
    have = {row.index for row in rows}
    missing = [n for n in numbers if n not in have]
    wanted = set(numbers)
    rows = [row for row in rows if row.index in wanted]
    done = len(wanted) - len(missing)
    if told is not None:
        told(done, len(numbers))
    try:
        file = path.open("a", encoding="utf-8") if path is not None else None
        try:
            for group in measure_groups(task, missing, processes) if missing else ():
                if file is not None:
                    file.write("".join(_line(as_record(row)) for row in group))
                    file.flush()
                rows += group
                done += 1
                if told is not None:
                    told(done, len(numbers))
        finally:
            if file is not None:
                file.close()
    except OSError as error:
        raise FileError(
            path or "rows",
            f"cannot be written ({error.strerror or error})",
            "make room; the same command then goes on where it was",
        ) from error
    return sorted(rows, key=lambda row: (row.index, isinstance(row, Row) and not row.threat))


def load(path: Path) -> tuple[dict[str, Any], list[Row | Unread]]:
    """What a file of rows is about, and the rows that are whole.

    Raises:
        FileError: it cannot be read or is none.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(path, f"cannot be read ({error})", "give the folder of `leadline evaluate`") from error
    try:
        head = json.loads(lines[0])
        about = head["about"]
        form = head["leadline_rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(path, "holds no rows of an evaluation", "give the folder of `leadline evaluate`") from error
    if form != FORM:
        raise FileError(path, "is of another version of leadline", "give another folder, or remove it and measure anew")
    rows: list[Row | Unread] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        try:
            rows.append(from_record(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            if number >= len(lines):  # the last line, cut when the run was killed
                break
            raise FileError(path, f"line {number} is damaged ({error})", "remove the file and measure anew") from error
    return about, rows


def _resume(path: Path, about: dict[str, Any], task: Task) -> list[Row]:
    """Rows of an earlier run of the same evaluation that still hold; the file then ends with a whole scene."""
    try:
        if not path.exists() or not path.stat().st_size:
            path.write_text(_line({"leadline_rows": FORM, "about": about}), "utf-8")
            return []
    except OSError as error:
        raise FileError(path, f"cannot be written ({error.strerror or error})", "give another folder") from error
    found, kept = load(path)
    rows = [row for row in kept if isinstance(row, Row)]
    if found != about and rows:
        other = ", ".join(f"{key} {str(found.get(key))[:60]}" for key in about if found.get(key) != about[key])
        raise FileError(path, f"holds another evaluation ({other})", "give another --out, or remove the file")
    if rows:  # the last scene may lack a scan
        last = rows[-1].index
        rows = [row for row in rows if row.index != last and _holds(row, task)]
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(
            _line({"leadline_rows": FORM, "about": about}) + "".join(_line(as_record(r)) for r in rows), "utf-8"
        )
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileError(path, f"cannot be written ({error.strerror or error})", "make room") from error
    return rows


def _holds(row: Row, task: Task) -> bool:
    """Whether a scan is the one that was measured: a simulated one always is."""
    return not task.specimens or row.sha256 == task.specimens[row.index].sha256()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
