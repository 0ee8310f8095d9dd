"""A table of labels: one row a scan, or one row a box."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from leadline.datasets.declarations import hs_code
from leadline.datasets.materials import catalogue
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

    Columns: `path` (from the folder; a folder in which the station keeps a scan stands for that); `label`, one class
    or several with semicolons between them, or a word of `PRESENT` or `ABSENT`; if wanted `family`, the class where the
    label names none; `split`; `group`; `boxes` (`x1 y1 x2 y2`, pixels, several with semicolons between them) or one row
    a box in `x1`, `y1`, `x2`, `y2`; `mass_kg` of what is labelled; `hs_code` and `description` of the declared goods.
    Other columns are ignored.
    Where the user named the table itself, its paths may lead anywhere; in a folder they stay inside.
    """
    source = folder.table or folder.need(TABLE)
    found: dict[str, Found] = {}
    for line, cells in read_table(source, ("path", "label")):
        where = Path(f"{source} line {line}")
        try:
            path = _path(folder, where, cells["path"])
            known = os.path.realpath(path) in found
            entry = found.setdefault(os.path.realpath(path), Found(path, labels=set(), source=source))
            _add(entry, where, cells, known)
        except SetError as error:
            report(error)
    yield from found.values()


def _path(folder: Folder, where: Path, name: str) -> Path:
    path = None
    if name:
        path = folder.inside(where, name)[0] if folder.table is None else folder.root / name
        if os.path.isdir(path):  # of the station, which keeps the file as it arrived
            path = next((p for p in sorted(path.glob("scan*")) if p.is_file()), path)
    if path is None or not os.path.isfile(path):
        raise SetError(where, f"names {name or 'no file'}, which is not in the folder", "correct the path")
    return path


def _add(entry: Found, where: Path, cells: dict[str, str], known: bool) -> None:
    names = _names(where, cells)
    if known and bool(names) != bool(entry.labels):
        raise SetError(where, f"labels {cells['path']} again, as the contrary", "keep the line that is right")
    edges = _edges(cells)
    if known and not edges and names <= set(entry.labels or ()):
        raise SetError(where, f"labels {cells['path']} again", "keep one line a scan, or one a box")
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
    entry.mass_kg = _mass(where, cells.get("mass_kg") or "0", entry.mass_kg)
    code, description = cells.get("hs_code", ""), cells.get("description", "")
    if code or description:
        try:
            entry.declaration = Declaration(hs_code(code) if code else None, description or None)
        except LeadlineError as error:
            raise SetError(where, f"declares an HS code that is none ({error})", "correct hs_code") from error


def _mass(where: Path, cell: str, before: float) -> float:
    try:
        mass = number(cell)
    except ValueError:
        mass = -1.0
    if mass < 0:
        raise SetError(where, f"has the mass_kg {cell}", "give kilograms, 0 or more")
    if before and mass not in (0, before):
        raise SetError(where, f"gives {mass:g} kg to a scan that had {before:g} kg", "give the mass on one line")
    return mass or before


def _names(where: Path, cells: dict[str, str]) -> set[str]:
    label, family = cells["label"], cells.get("family", "")
    if label.lower() in PRESENT:
        if family in set(catalogue().names) - set(catalogue().watched):
            told = f"labels a threat of the family {family}, which is not on the watch list"
            raise SetError(where, told, f"the watch list has {', '.join(catalogue().watched)}")
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
