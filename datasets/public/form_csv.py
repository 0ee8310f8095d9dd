"""A table of labels: one row a scan, or one row a box."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from leadline.datasets.declarations import hs_code
from leadline.datasets.public.folder import Folder, number, read_table
from leadline.datasets.public.scans import Box, Found, Report, SetError
from leadline.datasets.scan import Declaration, LeadlineError

TABLE = "labels.csv"
_EDGES = ("x1", "y1", "x2", "y2")


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """Scans in the order in which `labels.csv` names them.

    Columns: `path` (from the folder); `label`, one class or several with semicolons between them,
    empty where there is nothing; if wanted `split`, `group`, `x1`, `y1`, `x2`, `y2` (pixels, one
    row a box), `hs_code` and `description` of the declared goods.
    """
    source = folder.need(TABLE)
    found: dict[str, Found] = {}
    for line, cells in read_table(source, ("path", "label")):
        where = Path(f"{source} line {line}")
        try:
            path = folder.inside(where, cells["path"])[0] if cells["path"] else None
            if path is None or not path.is_file():
                raise SetError(
                    where, f"names {cells['path'] or 'no file'}, which is not in the folder", "correct the path"
                )
            entry = found.setdefault(os.path.realpath(path), Found(path, labels=set(), source=source))
            _add(entry, where, cells)
        except SetError as error:
            report(error)
    yield from found.values()


def _add(entry: Found, where: Path, cells: dict[str, str]) -> None:
    names = {name.strip() for name in cells["label"].split(";")} - {""}
    edges = [cells.get(edge, "") for edge in _EDGES]
    if any(edges):
        if len(names) != 1:
            raise SetError(where, "has a box with no class, or with several", "give the label of this box alone")
        try:
            x1, y1, x2, y2 = (number(edge) for edge in edges)
        except ValueError as error:
            raise SetError(where, f"has a box whose edges are no numbers ({error})", "fill x1, y1, x2, y2") from error
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
