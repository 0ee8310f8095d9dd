"""Pascal VOC: one XML file a picture, with class and box of every object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

from leadline.datasets.public.folder import Folder, number, read_text, read_xml, split_of
from leadline.datasets.public.scans import Box, Found, Report, SetError


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """Every XML file below the folder, then the pictures without one as not labelled.

    A picture is found by its name, wherever it lies; names that occur in several folders mean the
    one nearest to the XML file. `ImageSets/Main/train.txt` and its like give the splits, else
    folders called train, val or test.
    """
    splits, used = _splits(folder), set()
    for source in folder.files((".xml",)):
        found = read_file(folder, source, report)
        if found is None:
            continue
        used.add(found.path)
        found.split = splits.get(source.stem) or split_of(source, folder.root)
        yield found
    if used:
        for path in dict.fromkeys(path for paths in folder.pictures.values() for path in paths):
            if path not in used:
                yield Found(path, split=splits.get(path.stem) or split_of(path, folder.root), group=source_of(path))


class Labels(NamedTuple):
    """What one XML file says: the picture's name, boxes, and (rows, columns) if it tells."""

    filename: str
    boxes: list[Box]
    size: tuple[int, int] | None


def read_file(folder: Folder, source: Path, report: Report) -> Found | None:
    """One XML file and its picture, or `None` after a report."""
    try:
        labels = read_labels(source, report)
        path = folder.picture(source, source.stem) or (labels.filename and folder.picture(source, labels.filename))
        if not path:
            named = labels.filename or source.stem
            raise SetError(source, f"labels {named}, which is not in the folder", "add the picture")
    except SetError as error:
        report(error)
        return None
    return Found(path, labels.boxes, labels=(), group=source_of(path), source=source, size=labels.size)


def read_labels(source: Path, report: Report) -> Labels:
    """What one XML file says; boxes that cannot be used are reported and left out.

    Raises:
        SetError: the file as a whole cannot be used.
    """
    root = read_xml(source)
    if root.tag != "annotation":
        raise SetError(source, f"is XML but no VOC annotation (root <{root.tag[:40]}>)", "move it elsewhere")
    boxes = []
    for element in root.iter("object"):
        try:
            boxes.append(_box(source, element))
        except SetError as error:
            report(error)
    return Labels((root.findtext("filename") or "").strip(), boxes, _size(root))


def source_of(path: Path) -> str:
    """What a picture was made of: Roboflow names its altered copies `X_jpg.rf.HASH.jpg` after one original."""
    return path.stem.partition("_jpg.rf.")[0].partition("_png.rf.")[0]


def _box(source: Path, element: Element) -> Box:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise SetError(source, "has an object without a name", "correct the label")
    try:
        edges = {edge: number((element.findtext(f"bndbox/{edge}") or "").strip()) for edge in _EDGES}
    except ValueError as error:
        raise SetError(
            source, f"has a box of {name} whose edges are no numbers ({error})", "correct the label"
        ) from error
    return Box(name, edges["xmin"], edges["ymin"], edges["xmax"], edges["ymax"])


_EDGES = ("xmin", "ymin", "xmax", "ymax")


def _size(root: Element) -> tuple[int, int] | None:
    try:
        return int(root.findtext("size/height") or 0), int(root.findtext("size/width") or 0)
    except (ValueError, OverflowError):
        return None


def _splits(folder: Folder) -> dict[str, str]:
    """Split of each picture by its name without an ending; trainval only where it is not told apart."""
    splits: dict[str, str] = {}
    for name in ("trainval", "train", "val", "test"):
        path = folder.root / "ImageSets" / "Main" / f"{name}.txt"
        if path.is_file():
            for line in read_text(path).splitlines():
                if line.strip():
                    splits[line.split()[0]] = name
    return splits
