"""A table of labels: one row a scan, or one row a box; the same file serves evaluation and fine-tuning."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from leadline.datasets.declarations import hs_code
from leadline.datasets.public.folder import Folder, number, read_table
from leadline.datasets.public.scans import Box, Found, Report, SetError
from leadline.datasets.scan import Declaration, LeadlineError

TABLE = "labels.csv"
THREAT = "threat"
"""Class of a scan that is labelled as a threat without saying of what family."""
PRESENT = frozenset({"1", "threat", "yes", "true", "found"})
ABSENT = frozenset({"", "0", "honest", "clear", "benign", "none", "no", "false", "not_found"})
"""Labels that name no class, lower case: something is there (the column `family` may say what), or nothing."""
_EDGES = ("x1", "y1", "x2", "y2")


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """Scans in the order in which `labels.csv` names them.

    Columns: `path` (from the folder); `label`, one class or several with semicolons between them, or a word of
    `PRESENT` or `ABSENT`; if wanted `family`, the class where the label names none; `split`; `group`; `boxes`
    (`x1 y1 x2 y2`, pixels, several with semicolons between them) or one row a box in `x1`, `y1`, `x2`, `y2`;
    `hs_code` and `description` of the declared goods. Other columns are ignored.
    """
    source = folder.need(TABLE)
    found: dict[str, Found] = {}
    for line, cells in read_table(source, ("path", "label")):
        where = Path(f"{source} line {line}")
        try:
            path = folder.inside(where, cells["path"])[0] if cells["path"] else None
            if path is None or not os.path.isfile(path):
                reason = f"names {cells['path'] or 'no file'}, which is not in the folder"
                raise SetError(where, reason, "correct the path")
            entry = found.setdefault(os.path.realpath(path), Found(path, labels=set(), source=source))
            _add(entry, where, cells)
        except SetError as error:
            report(error)
    yield from found.values()


def _add(entry: Found, where: Path, cells: dict[str, str]) -> None:
    names = _names(where, cells)
    edges = _edges(cells)
    if edges and len(names) != 1:
        raise SetError(where, "has a box with no class, or with several", "give the label of this box alone")
    for edge in edges:
        try:
            x1, y1, x2, y2 = (number(value) for value in edge)
        except ValueError as error:
            raise SetError(where, f"has a box whose edges are no numbers ({error})", "give x1 y1 x2 y2") from error
        entry.boxes.append(Box(min(names), x1, y1, x2, y2))
    entry.labels = {*(entry.labels or ()), *names}
    split = cells.get("split") or entry.split
    if entry.split not in (None, split):
        raise SetError(where, f"puts a scan of the split {entry.split} into {split} too", "keep it in one")
    entry.split, entry.group = split, cells.get("group") or entry.group
    code, description = cells.get("hs_code", ""), cells.get("description", "")
    if code or description:
        try:
            entry.declaration = Declaration(hs_code(code) if code else None, description or None)
        except LeadlineError as error:
            raise SetError(where, f"declares an HS code that is none ({error})", "correct hs_code") from error


def _names(where: Path, cells: dict[str, str]) -> set[str]:
    label, family = cells["label"], cells.get("family", "")
    if label.lower() in PRESENT:
        return {family or THREAT}
    if label.lower() in ABSENT:
        if family:
            raise SetError(where, f"labels nothing yet names the family {family}", "correct one of them")
        return set()
    return {name.strip() for name in label.split(";")} - {""}


def _edges(cells: dict[str, str]) -> list[list[str]]:
    listed = [part.replace(",", " ").split() for part in cells.get("boxes", "").split(";") if part.strip()]
    one = [cells.get(edge, "") for edge in _EDGES]
    return [*listed, one] if any(one) else listed
