"""SIXray: a million bags, XML for those with prohibited items, CSV for what is in which subset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from leadline.datasets.public import form_voc
from leadline.datasets.public.folder import Folder, number, read_table
from leadline.datasets.public.scans import Box, Found, Report, SetError, Unfit

SUBSETS = ("10", "100", "1000")
"""SIXray10 has ten scans without prohibited items for each with some, and so on; each is within the next."""
UNNAMED = "prohibited item"
"""Class of a scan that is known to show one (its name begins with P) when neither XML nor CSV tells which."""


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """Pictures called `P*` (with prohibited items) and `N*` (without), wherever below the folder.

    `Annotation/P*.xml` gives boxes; `ImageSet/10/train.csv` and its like give splits and classes (1 there,
    -1 not there). A scan in several subsets belongs to the smallest. Classes are spelt as in the CSV, `Gun`.
    """
    xml = {path.stem: path for path in folder.files((".xml",))}
    told = _tables(folder, report)
    seen: set[str] = set()
    for path in folder.files((".jpg", ".jpeg", ".png")):
        if path.stem[:1] not in "PN" or not path.stem[1:].isdigit():
            continue
        seen.add(path.stem)
        yield _one(path, xml.get(path.stem), told.get(path.stem), report)
    if not seen:
        raise Unfit("has no pictures called P00001.jpg or N0000001.jpg")
    for name, path in xml.items():
        if name not in seen:
            report(SetError(path, f"labels {name}, which is not in the folder", "add the picture"))


def _one(path: Path, xml: Path | None, told: tuple[str, str, tuple[str, ...]] | None, report: Report) -> Found:
    part, split, classes = told or ("", None, ())
    found = Found(path, split=split, group=path.stem, part=part, labels=set(classes), source=xml)
    if xml is not None:
        try:
            labelled = form_voc.read_labels(xml, report)
            found.boxes = [Box(b.name.capitalize(), b.x1, b.y1, b.x2, b.y2) for b in labelled.boxes]
            found.size = labelled.size
        except SetError as error:
            report(error)
    if path.stem.startswith("P") and not found.boxes and not classes:
        found.labels = {UNNAMED}
    return found


def _tables(folder: Folder, report: Report) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Part, split and classes of each scan by its name."""
    told: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for subset in SUBSETS:
        for split in ("train", "test"):
            source = folder.root / "ImageSet" / subset / f"{split}.csv"
            if not source.is_file():
                continue
            try:
                for line, cells in read_table(source, ("name",)):
                    name = cells.pop("name")
                    if name not in told:
                        told[name] = (f"SIXray{subset}", split, _classes(source, line, cells))
            except SetError as error:
                report(error)
    return told


def _classes(source: Path, line: int, cells: dict[str, str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(name.capitalize() for name, value in cells.items() if value and number(value) > 0))
    except ValueError as error:
        raise SetError(source, f"line {line} has a class that is not 1 or -1 ({error})", "copy it again") from error
