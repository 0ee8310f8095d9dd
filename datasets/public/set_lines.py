"""OPIXray and HiXray: one text file a picture, one line a box."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from leadline.datasets.public.folder import Folder, number, read_text
from leadline.datasets.public.scans import Box, Found, Report, SetError, Unfit

_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """`SPLIT_annotation/ID.txt` with lines `name class x1 y1 x2 y2`, pictures in `SPLIT_image/`.

    Both lie in the folder itself or in `train/` and `test/`. `test_knife-1.txt` to `-3.txt` of OPIXray list
    the test scans by occlusion and give the part; a picture without a text file is not labelled.
    """
    pairs = [(split, top) for split in ("train", "test") for top in (folder.root / split, folder.root)]
    pairs = [(split, top) for split, top in pairs if (top / f"{split}_annotation").is_dir()]
    if not pairs:
        raise Unfit("has no train_annotation or test_annotation, nor train/train_annotation or test/test_annotation")
    for split, top in pairs:
        parts = _parts(top, split)
        pictures = {path.stem: path for path in folder.files(_ENDINGS, top / f"{split}_image")}
        for source in folder.files((".txt",), top / f"{split}_annotation"):
            path = pictures.pop(source.stem, None)
            if path is None:
                reason = f"labels {source.stem}, which is not in {split}_image"
                report(SetError(source, reason, "add the picture"))
                continue
            try:
                boxes = _boxes(source, report)
            except SetError as error:
                report(error)
                continue
            yield Found(path, boxes, (), split, path.stem, part=parts.get(path.stem, ""), source=source)
        for path in pictures.values():
            yield Found(path, split=split, group=path.stem, part=parts.get(path.stem, ""))


def _boxes(source: Path, report: Report) -> list[Box]:
    boxes = []
    for at, line in enumerate(read_text(source).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            if len(words) != 6:
                raise ValueError(f"{len(words)} words instead of 6")
            x1, y1, x2, y2 = (number(word) for word in words[2:])
            boxes.append(Box(words[1], x1, y1, x2, y2))
        except ValueError as error:
            reason = f"line {at} is not `name class x1 y1 x2 y2` ({error})"
            report(SetError(source, reason, "correct the label"))
    return boxes


def _parts(top: Path, split: str) -> dict[str, str]:
    parts = {}
    for level in "123":
        path = top / f"{split}_knife-{level}.txt"
        if path.is_file():
            for line in read_text(path).splitlines():
                if line.strip():
                    parts[Path(line.split()[0]).stem] = f"occlusion {level}"
    return parts
