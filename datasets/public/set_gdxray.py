"""GDXray: series of grey pictures of one object each, with boxes in a text file."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from leadline.datasets.public.folder import Folder, number, read_text
from leadline.datasets.public.scans import Box, Found, Report, SetError, Unfit

GROUPS = {"B": "Baggages", "C": "Castings", "N": "Nature", "S": "Settings", "W": "Welds"}
"""First letter of a series' name -> folder."""
OBJECT = "object"
"""The one class: the files tell where the object of interest of a series is, not what it is."""
_PICTURE = re.compile(r"([BCNSW]\d{4})_(\d+)\.png", re.IGNORECASE)
TABLE = "ground_truth.txt"


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """`SERIES/SERIES_NNNN.png`, and `SERIES/ground_truth.txt` with lines `image x1 x2 y1 y2`.

    A series shows one object in many poses: it is one group. Series without the text file are not labelled.
    Some lines have the edges in the wrong order; they are put right.
    """
    series: dict[Path, list[tuple[int, Path]]] = defaultdict(list)
    for path in folder.files((".png",)):
        match = _PICTURE.fullmatch(path.name)
        if match:
            series[path.parent].append((int(match[2]), path))
    if not series:
        raise Unfit("has no pictures called B0001_0001.png in folders of their series")
    for top, pictures in series.items():
        source = top / TABLE
        boxes: dict[int, list[Box]] | None = None
        if source.is_file():
            try:
                boxes = _boxes(source, report)
            except SetError as error:
                report(error)
        for at, path in pictures:
            part = GROUPS.get(path.name[0].upper(), "")
            found = Found(path, group=path.name.partition("_")[0].upper(), part=part, source=source)
            if boxes is not None:
                found.boxes, found.labels = boxes.pop(at, []), ()
            yield found
        for at in boxes or ():
            report(SetError(source, f"labels image {at}, which is not in the folder", "add the picture"))


def _boxes(source: Path, report: Report) -> dict[int, list[Box]]:
    boxes: dict[int, list[Box]] = defaultdict(list)
    for at, line in enumerate(read_text(source).splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        try:
            image, x1, x2, y1, y2 = (number(word) for word in words)
        except ValueError as error:
            report(SetError(source, f"line {at} is not `image x1 x2 y1 y2` ({error})", "correct the label"))
            continue
        boxes[int(image)].append(Box(OBJECT, min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
    return boxes
