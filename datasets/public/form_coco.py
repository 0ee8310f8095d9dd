"""COCO: one JSON file a split, with tables of pictures, boxes and classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leadline.datasets.public.folder import Folder, number, read_json, split_of
from leadline.datasets.public.form_voc import source_of
from leadline.datasets.public.scans import Box, Found, Report, SetError


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """Every JSON file below the folder that holds the tables of COCO; the others are passed over."""
    for source in folder.files((".json", ".json.gz")):
        try:
            values = read_json(source)
        except SetError as error:
            report(error)
            continue
        if isinstance(values, dict) and isinstance(values.get("images"), list) and "annotations" in values:
            yield from read_tables(folder, source, values, report, split_of(source, folder.root))


def read_tables(
    folder: Folder, source: Path, values: dict[str, Any], report: Report, split: str | None
) -> Iterator[Found]:
    """Pictures of one COCO file, with their boxes `[x, y, width, height]` in pixels.

    Args:
        source: the JSON file.
        values: what is in it.
        split: of all its pictures.
    """
    try:
        names = {entry["id"]: str(entry["name"]).strip() for entry in values["categories"]}
        labelled: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for entry in values["annotations"]:
            labelled[entry["image_id"]].append(entry)
        pictures = {entry["id"]: entry for entry in values["images"]}
    except (KeyError, TypeError, AttributeError) as error:
        report(SetError(source, f"lacks or misuses the COCO field {error}", "export it as COCO again"))
        return
    for lost in [key for key in labelled if key not in pictures][:1]:
        report(
            SetError(source, f"labels the image {lost!r}, which its table of images lacks", "export it as COCO again")
        )
    for key, picture in pictures.items():
        try:
            path = _path(folder, source, picture)
        except SetError as error:
            report(error)
            continue
        boxes = []
        for entry in labelled.get(key, ()):
            try:
                boxes.append(_box(source, entry, names))
            except SetError as error:
                report(error)
        yield Found(path, boxes, (), split, source_of(path), source=source, size=_size(picture))


def _path(folder: Folder, source: Path, picture: dict[str, Any]) -> Path:
    name = picture.get("file_name")
    if not isinstance(name, str) or not name.strip():
        raise SetError(source, f"has the image {picture.get('id')!r} without a file_name", "export it as COCO again")
    beside = source.parent.relative_to(folder.root)
    path = folder.inside(source, name, f"{beside}/{name}")[0]
    if path.is_file():
        return path
    found = folder.picture(source, name)
    if found is None:
        raise SetError(source, f"labels {name}, which is not in the folder", "add the picture")
    return found


def _box(source: Path, entry: dict[str, Any], names: dict[Any, str]) -> Box:
    try:
        name = names[entry["category_id"]]
    except (KeyError, TypeError) as error:
        raise SetError(
            source, f"has a box of the class {error}, which its categories lack", "correct the label"
        ) from error
    try:
        x, y, width, height = (number(value) for value in entry["bbox"])
    except (KeyError, TypeError, ValueError) as error:
        reason = f"has a box of {name} that is not [x, y, width, height]"
        raise SetError(source, f"{reason} ({error})", "correct the label") from error
    return Box(name, x, y, x + width, y + height)


def _size(picture: dict[str, Any]) -> tuple[int, int] | None:
    try:
        return int(picture.get("height") or 0), int(picture.get("width") or 0)
    except (TypeError, ValueError):
        return None
