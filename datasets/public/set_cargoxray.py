"""CargoXray: lorries and railcars, three packed JSON tables."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leadline.datasets.public.folder import Folder, number, read_json
from leadline.datasets.public.scans import Box, Found, Report, SetError

_AGAIN = "copy it again from the set's source"


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """`images.json.gz`, `annotations.json.gz` and, in later versions, `categories.json.gz`; pictures in `images/`.

    A table is a list of records. Boxes are `x`, `y` (centre), `width`, `height` as shares of the picture, as the
    set's page tells; tables written by its later programs hold `x`, `y` (top left corner), `w`, `h` in pixels.
    A file in which every number is at most 1 holds shares. A picture without boxes shows nothing labelled.
    """
    images = _records(folder.need("images.json.gz", "images.json"))
    source = folder.need("annotations.json.gz", "annotations.json")
    names = _names(folder)
    labelled: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    records = _records(source)
    for record in records:
        labelled[_id(record, "image_id")].append(record)
    shares = all(_is_share(record) for record in records)
    for record in images:
        key = _id(record, "image_id", "id")
        try:
            path = _path(folder, source, record)
        except SetError as error:
            report(error)
            labelled.pop(key, None)
            continue
        boxes = []
        for label in labelled.pop(key, ()):
            try:
                boxes.append(_box(source, label, names, shares))
            except SetError as error:
                report(error)
        split = record.get("subset")
        found = Found(path, boxes, (), split if isinstance(split, str) else None, str(record.get("md5") or path.stem))
        found.relative, found.source = shares, source
        yield found
    if labelled:
        key = next(iter(labelled))
        report(SetError(source, f"labels {len(labelled)} images that images.json.gz lacks, such as {key!r}", _AGAIN))


def _records(path: Path) -> list[dict[str, Any]]:
    values = read_json(path)
    if not isinstance(values, list) or not all(isinstance(record, dict) for record in values):
        raise SetError(path, "is not a list of records", _AGAIN)
    return values


def _names(folder: Folder) -> dict[Any, str]:
    path = next(
        (folder.root / n for n in ("categories.json.gz", "categories.json") if (folder.root / n).is_file()), None
    )
    if path is None:
        return {}
    return {_id(record, "category_id", "id"): str(record.get("name")) for record in _records(path)}


def _id(record: dict[str, Any], *fields: str) -> int | str | None:
    """The first of some fields that is there, if it can be an id."""
    value = next((record[name] for name in fields if name in record), None)
    return value if isinstance(value, (int, str)) else None


def _path(folder: Folder, source: Path, record: dict[str, Any]) -> Path:
    name = record.get("file_name") or record.get("filepath")
    if not isinstance(name, str):
        raise SetError(source, f"speaks of an image without a file_name: {str(record)[:60]}", _AGAIN)
    base = name.replace("\\", "/").rpartition("/")[2]
    paths = folder.inside(source, f"images/{base}", base)
    path = paths[0] if os.path.isfile(paths[0]) else folder.picture(source, base)
    if path is None:
        raise SetError(source, f"speaks of {name}, which is not in the folder", "add the picture")
    return path


def _edges(record: dict[str, Any]) -> tuple[float, float, float, float]:
    x, y = number(record["x"]), number(record["y"])
    return x, y, number(record.get("width", record.get("w"))), number(record.get("height", record.get("h")))


def _is_share(record: dict[str, Any]) -> bool:
    try:
        return max(_edges(record)) <= 1
    except (KeyError, ValueError):
        return True  # tells nothing; its box is reported later


def _box(source: Path, record: dict[str, Any], names: dict[Any, str], shares: bool) -> Box:
    name = record.get("label", names.get(_id(record, "category_id")))
    if not isinstance(name, str) or not name:
        raise SetError(source, f"has a box of no class or an unknown one: {str(record)[:80]}", "correct the label")
    try:
        x, y, width, height = _edges(record)
    except (KeyError, ValueError) as error:
        raise SetError(source, f"has a box of {name} without its numbers ({error})", "correct the label") from error
    if shares:
        return Box(name, x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return Box(name, x, y, x + width, y + height)
