"""Rows for a calibration, kept scene by scene, so that an interrupted export goes on where it was.

They hold more than those of an evaluation (`training.record`): embeddings, cells and logits of the families as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from leadline.training.measure import Task, measure_groups
from leadline.training.page import write
from leadline.training.record import Told
from leadline.training.rows import Row, as_record, from_record

_MORE = {"embedding": np.float32, "cells": np.int64, "material_logits": np.float32}
"""What calibration alone needs of a row."""


def kept_rows(
    task: Task, numbers: Sequence[int], path: Path, *, processes: int = 1, told: Told = lambda done, total: None
) -> list[Row]:
    """The rows of simulated scenes, in their order: those of the file, and the others measured now and added to it.

    Args:
        task: what to measure.
        numbers: of the scenes.
        path: file of JSON lines, one a scene. It must be of the same task.
        processes: that measure.
        told: is told of the progress.

    Raises:
        FileError, OSError: the file cannot be written to.
    """
    found = dict(_read(path))
    missing = [n for n in numbers if n not in found]
    told(len(numbers) - len(missing), len(numbers))
    write(path, "".join(_line(number, rows) for number, rows in found.items()))  # without a line that a kill has cut
    with path.open("a", encoding="utf-8") as file:
        for group in measure_groups(task, missing, processes) if missing else ():
            rows = [row for row in group if isinstance(row, Row)]
            found[rows[0].index] = rows
            file.write(_line(rows[0].index, rows))
            file.flush()
            told(len(found), len(numbers))
    return [row for number in numbers for row in found[number]]


def _read(path: Path) -> Iterator[tuple[int, list[Row]]]:
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            number, records = json.loads(line)
        except ValueError:  # the last line, cut when the command was killed
            return
        yield number, [_row(record) for record in records]


def _line(number: int, rows: Sequence[Row]) -> str:
    return json.dumps([number, [_record(row) for row in rows]]) + "\n"


def _record(row: Row) -> dict[str, Any]:
    return as_record(row) | {name: None if (v := getattr(row, name)) is None else v.tolist() for name in _MORE}


def _row(record: dict[str, Any]) -> Row:
    row: Any = from_record(record)
    more = {name: None if record[name] is None else np.asarray(record[name], kind) for name, kind in _MORE.items()}
    return cast(Row, replace(row, **more))
