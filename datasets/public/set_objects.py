"""DvXray and PIXray: one JSON file a bag, with a list `objects`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leadline.datasets.public import form_coco
from leadline.datasets.public.folder import Folder, number, read_json, split_of
from leadline.datasets.public.scans import Box, Found, Report, SetError, Unfit

VIEWS = (("OL", "ol_bb"), ("SD", "sd_bb"))
"""Ending of the picture's name, and the box of an object in that view."""
UNBOXED = "difficult"
"""Stands for a box where annotators saw that an object is there, but not where."""


def dvxray(folder: Folder, report: Report) -> Iterator[Found]:
    """`ID.json` beside `ID_OL.png` and `ID_SD.png`: two views of one bag, one entry each.

    `objects` is a list of `label`, `ol_bb` and `sd_bb` (two opposite corners, in either order), or the word
    `None`. The labels of a bag hold for both views, whether or not an object could be boxed in each.
    """
    for source in folder.files((".json",)):
        views = [(view, key, source.with_name(f"{source.stem}_{view}.png")) for view, key in VIEWS]
        if not any(path.is_file() for _, _, path in views) and not _bag(source):
            continue
        try:
            objects = _objects(source)
            labels = {_label(source, entry) for entry in objects}
        except SetError as error:
            report(error)
            continue
        split = split_of(source.parent, folder.root)
        for view, key, path in views:
            boxes = []
            for entry in objects:
                try:
                    if entry.get(key) != UNBOXED:
                        boxes.append(_corners(source, entry, key))
                except SetError as error:
                    report(error)
            yield Found(path, boxes, labels, split, source.stem, view=view, source=source)


def pixray(folder: Folder, report: Report) -> Iterator[Found]:
    """`ID.json` beside `ID.png`, `objects` a list of `label` and `polygon`; boxes go around the polygons.

    The same set with COCO files (`annotations/pixray_train.json`, pictures in `train/`) is read too.
    """
    tables = sorted((folder.root / "annotations").glob("pixray_*.json"))
    for source in tables:
        loaded = form_coco.load(source, report, must=True)
        split = split_of(source, folder.root)
        if loaded is not None:
            yield from form_coco.entries(folder, loaded, report, split=split, inside=split or "")
    if tables:
        return
    seen = False
    for source in folder.files((".json",)):
        path = source.with_suffix(".png")
        if not path.is_file() and not _bag(source):
            continue
        seen = True
        try:
            if not path.is_file():
                raise SetError(source, f"labels {path.name}, which is not beside it", "add the picture")
            boxes = [_around(source, entry) for entry in _objects(source)]
        except SetError as error:
            report(error)
            continue
        yield Found(path, boxes, (), split_of(source.parent, folder.root), source.stem, source=source)
    if not seen:
        raise Unfit("has no JSON files with a list of objects beside pictures of the same name")


def _bag(source: Path) -> bool:
    """Whether a JSON file without a picture is labels all the same, so that its picture is missed."""
    try:
        values = read_json(source)
    except SetError:
        return False
    return isinstance(values, dict) and "objects" in values


def _objects(source: Path) -> list[dict[str, Any]]:
    values = read_json(source)
    objects = values.get("objects") if isinstance(values, dict) else None
    if objects == "None":
        return []
    if not isinstance(objects, list) or not all(isinstance(entry, dict) for entry in objects):
        raise SetError(source, "has no list of objects", "copy it again from the set's source")
    return objects


def _label(source: Path, entry: dict[str, Any]) -> str:
    label = entry.get("label")
    if not isinstance(label, str) or not label.strip():
        raise SetError(source, "has an object without a label", "correct the label")
    return label.strip()


def _corners(source: Path, entry: dict[str, Any], key: str) -> Box:
    name = _label(source, entry)
    try:
        x1, y1, x2, y2 = (number(value) for value in entry[key])
    except (KeyError, TypeError, ValueError) as error:
        reason = f"has {name} whose {key} is not four numbers ({error})"
        raise SetError(source, reason, "correct the label") from error
    return Box(name, min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _around(source: Path, entry: dict[str, Any]) -> Box:
    name = _label(source, entry)
    try:
        points = [(number(x), number(y)) for x, y in entry["polygon"]]
        xs, ys = zip(*points, strict=True)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"has {name} whose polygon is not a list of points ({error})"
        raise SetError(source, reason, "correct the label") from error
    return Box(name, min(xs), min(ys), max(xs), max(ys))
