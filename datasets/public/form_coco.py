"""COCO: one JSON file a split, with tables of pictures, boxes and classes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadline.datasets.public.folder import Folder, number, read_json, split_of
from leadline.datasets.public.form_voc import source_of
from leadline.datasets.public.scans import Box, Found, Report, SetError

_AGAIN = "export it as COCO again"


@dataclass(frozen=True)
class Tables:
    """What is in a COCO file.

    Attributes:
        source: the file.
        pictures: entries of the table `images` by their id.
        labelled: entries of the table `annotations` by the id of their picture.
        names: classes by their id.
    """

    source: Path
    pictures: dict[Any, dict[str, Any]]
    labelled: dict[Any, list[dict[str, Any]]]
    names: dict[Any, str]


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """Every JSON file below the folder that holds the tables of COCO; the others are passed over."""
    for source in folder.files((".json", ".json.gz")):
        tables = load(source, report)
        if tables is not None:
            yield from entries(folder, tables, report, split=split_of(source, folder.root))


def load(source: Path, report: Report, *, must: bool = False) -> Tables | None:
    """The tables of a JSON file; `None` after a report, and for a file that is no COCO unless it must be."""
    try:
        values = read_json(source)
        if not isinstance(values, dict) or not {"images", "annotations"} <= values.keys():
            if must:
                raise SetError(source, "has no tables images and annotations", _AGAIN)
            return None
        labelled: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for entry in values["annotations"]:
            labelled[entry["image_id"]].append(entry)
        tables = Tables(
            source,
            {entry["id"]: entry for entry in values["images"]},
            labelled,
            {entry["id"]: str(entry["name"]).strip() for entry in values["categories"]},
        )
    except (KeyError, TypeError, AttributeError) as error:
        report(SetError(source, f"lacks or misuses the COCO field {error}", _AGAIN))
        return None
    except SetError as error:
        report(error)
        return None
    lost = [key for key in labelled if key not in tables.pictures]
    if lost:
        reason = f"labels {len(lost)} images that its table of images lacks, such as {lost[0]!r}"
        report(SetError(source, reason, _AGAIN))
    return tables


def entries(
    folder: Folder, tables: Tables, report: Report, *, split: str | None, inside: str = "", part: str = ""
) -> Iterator[Found]:
    """Pictures of a COCO file, with their boxes `[x, y, width, height]` in pixels.

    Args:
        folder: where the pictures are.
        tables: of the file.
        split: of all its pictures.
        inside: folder of its pictures, from the set's.
        part: of all its pictures.
    """
    folder.classes.update(tables.names.values())
    for key, picture in tables.pictures.items():
        try:
            path = _path(folder, tables.source, picture, inside)
        except SetError as error:
            report(error)
            continue
        boxes = []
        for entry in tables.labelled.get(key, ()):
            try:
                boxes.append(_box(tables.source, entry, tables.names))
            except SetError as error:
                report(error)
        found = Found(path, boxes, (), split, source_of(path), source=tables.source, size=_size(picture))
        found.part = part
        yield found


def _path(folder: Folder, source: Path, picture: dict[str, Any], inside: str) -> Path:
    name = picture.get("file_name")
    if not isinstance(name, str) or not name.strip():
        raise SetError(source, f"has the image {picture.get('id')!r} without a file_name", _AGAIN)
    near = [f"{inside}/{name}"] if inside else []
    path = folder.inside(source, *near, name, f"{source.parent.relative_to(folder.root)}/{name}")[0]
    if os.path.isfile(path):
        return path
    found = folder.picture(source, name)
    if found is None:
        raise SetError(source, f"labels {name}, which is not in the folder", "add the picture")
    return found


def _box(source: Path, entry: dict[str, Any], names: dict[Any, str]) -> Box:
    try:
        name = names[entry["category_id"]]
    except (KeyError, TypeError) as error:
        reason = f"has a box of the class {error}, which its categories lack"
        raise SetError(source, reason, "correct the label") from error
    try:
        x, y, width, height = (number(value) for value in entry["bbox"])
    except (KeyError, TypeError, ValueError) as error:
        reason = f"has a box of {name} that is not [x, y, width, height]"
        raise SetError(source, f"{reason} ({error})", "correct the label") from error
    return Box(name, x, y, x + width, y + height)


def _size(picture: dict[str, Any]) -> tuple[int, int] | None:
    try:
        return int(picture.get("height") or 0), int(picture.get("width") or 0)
    except (TypeError, ValueError, OverflowError):
        return None
