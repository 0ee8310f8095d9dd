"""A mask for each picture: the value of a pixel is the number of its class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.formats.files import SUFFIXES
from leadline.datasets.public.folder import Folder, read_text, split_of
from leadline.datasets.public.form_voc import source_of
from leadline.datasets.public.header import read_header
from leadline.datasets.public.scans import Box, Found, Report, SetError

_PICTURES, _MASKS, _CLASSES = "images", "masks", "classes.txt"


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """Pictures of `images/` with their masks of `masks/`, matched by name without the ending.

    A picture without a mask is not labelled; a mask without a picture is a problem. Each connected
    part of a class gives one box.
    """
    pictures, masks = folder.need(_PICTURES), folder.need(_MASKS)
    classes = _classes(folder.root / _CLASSES)
    folder.classes.update(classes or ())
    left = {_key(path, masks): path for path in folder.files(SUFFIXES, masks)}
    for path in folder.files(SUFFIXES, pictures):
        mask = left.pop(_key(path, pictures), None)
        found = Found(path, split=split_of(path.parent, folder.root), group=source_of(path), mask=mask, source=mask)
        if mask is not None:
            try:
                values = read_mask(mask)
                found.boxes = list(_boxes(mask, values, classes))
            except SetError as error:
                report(error)
                continue
            found.labels, found.size = (), (values.shape[0], values.shape[1])
        yield found
    for mask in left.values():
        report(SetError(mask, f"has no picture of its name in {pictures}", "add the picture, or remove the mask"))


def read_mask(path: Path) -> npt.NDArray[np.uint16]:
    """Class numbers of a mask's pixels, shape (rows, columns); 0 = nothing.

    Raises:
        SetError: cannot be read, too large, or coloured.
    """
    read_header(path)
    values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise SetError(path, "cannot be decoded", "copy it again from its source")
    if values.ndim == 3:
        if not (values[..., :1] == values[..., :3]).all():
            raise SetError(path, "is coloured", "save the numbers of the classes as a grey picture")
        values = values[..., 0]
    if values.dtype not in (np.uint8, np.uint16):
        raise SetError(path, f"holds {values.dtype} values", "save the numbers of the classes as 8 or 16 bits")
    return values.astype(np.uint16)


def _boxes(path: Path, values: npt.NDArray[np.uint16], classes: list[str] | None) -> Iterator[Box]:
    for value in np.unique(values[values > 0]).tolist():
        if classes is not None and value > len(classes):
            raise SetError(path, f"holds the class {value}; {_CLASSES} names {len(classes)}", f"complete {_CLASSES}")
        name = "object" if classes is None else classes[value - 1]
        part = (values > 0 if classes is None else values == value).astype(np.uint8)
        _, _, found, _ = cv2.connectedComponentsWithStats(part, connectivity=8)
        for x, y, width, height, _ in found[1:].tolist():
            yield Box(name, float(x), float(y), float(x + width), float(y + height))
        if classes is None:
            return


def _classes(path: Path) -> list[str] | None:
    if not path.is_file():
        return None
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def _key(path: Path, under: Path) -> str:
    return path.relative_to(under).with_suffix("").as_posix().lower()
