"""PIDray, CLCXray, LDXray and MIRO cargo: COCO files, each in folders of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from leadline.datasets.public import form_coco
from leadline.datasets.public.folder import Folder, read_table, split_of
from leadline.datasets.public.scans import Found, Report, SetError, Unfit

PIDRAY = {
    "train": ("xray_train.json", "train", ""),
    "easy": ("xray_test_easy.json", "test", "easy"),
    "hard": ("xray_test_hard.json", "test", "hard"),
    "hidden": ("xray_test_hidden.json", "test", "hidden"),
}
"""Folder of pictures -> file of labels, split, part."""
CLCXRAY_ERRATA = {(7547, ".png"): "20_40_04_140.png"}
"""(id, `file_name`) of a picture -> its right name; https://github.com/GreysonPhoenix/CLCXray/issues/2."""
_LDXRAY = ("train", "val", "test")


def pidray(folder: Folder, report: Report) -> Iterator[Found]:
    """`annotations/xray_*.json`, pictures in `train/`, `easy/`, `hard/` and `hidden/`; the last three are the test."""
    there = {inside: folder.root / "annotations" / entry[0] for inside, entry in PIDRAY.items()}
    _need(there.values(), "annotations/xray_train.json or annotations/xray_test_easy.json")
    for inside, (_, split, part) in PIDRAY.items():
        yield from _one(folder, there[inside], report, split, inside, part)


def clcxray(folder: Folder, report: Report) -> Iterator[Found]:
    """`annotations/instances_SPLIT2017.json`, pictures in `SPLIT2017/`.

    One picture of the authors' training table lacks its name; it is known and put right.
    """
    there = {split: folder.root / "annotations" / f"instances_{split}2017.json" for split in ("train", "val", "test")}
    _need(there.values(), "annotations/instances_train2017.json")
    for split, source in there.items():
        yield from _one(folder, source, report, split, f"{split}2017", "", CLCXRAY_ERRATA)


def ldxray(folder: Folder, report: Report) -> Iterator[Found]:
    """`SPLIT.json` labels the main view, in `SPLIT_A/`; the side view of the same name is in `SPLIT_B/`.

    These folders lie beside the tables, or in `dataset/`.

    The side view has no boxes. What is in the bag is the same, so it has the same image-level labels.
    """
    there = {split: folder.root / f"{split}.json" for split in _LDXRAY}
    _need(there.values(), "train.json or test.json")
    for split, source in there.items():
        above = "dataset/" if (folder.root / "dataset" / f"{split}_A").is_dir() else ""
        for found in _one(folder, source, report, split, f"{above}{split}_A", ""):
            found.view, found.group = "A", f"{split}/{found.path.stem}"
            yield found
            other = folder.root / f"{above}{split}_B" / found.path.name
            if other.is_file():
                yield replace(
                    found, path=other, view="B", boxes=[], labels={box.name for box in found.boxes}, size=None
                )


def miro(folder: Folder, report: Report) -> Iterator[Found]:
    """`annotations/SOURCE_coco.json`, one for each set that it was gathered from; `MANIFEST.csv` tells splits."""
    sources = sorted((folder.root / "annotations").glob("*_coco.json"))
    _need(sources, "annotations/SOURCE_coco.json")
    splits = _manifest(folder.root / "MANIFEST.csv", report)
    for source in sources:
        part = source.name.removesuffix("_coco.json")
        tables = form_coco.load(source, report, must=True)
        if tables is None:
            continue
        told = {str(picture.get("file_name")): picture.get("split") for picture in tables.pictures.values()}
        told = {Path(name).name: split for name, split in told.items() if isinstance(split, str) and split}
        for found in form_coco.entries(folder, tables, report, split=None, inside=f"images/{part}", part=part):
            name = found.path.name
            found.split = told.get(name) or splits.get((part, name)) or split_of(found.path, folder.root)
            found.group = f"{part}/{found.group}"
            yield found


def _one(
    folder: Folder,
    source: Path,
    report: Report,
    split: str,
    inside: str,
    part: str,
    errata: Mapping[tuple[int, str], str] = MappingProxyType({}),
) -> Iterator[Found]:
    """Entries of one file; nothing where the user has left out that split."""
    if not source.is_file():
        return
    tables = form_coco.load(source, report, must=True)
    if tables is None:
        return
    for (key, wrong), right in errata.items():
        if tables.pictures.get(key, {}).get("file_name") == wrong:
            tables.pictures[key]["file_name"] = right
    yield from form_coco.entries(folder, tables, report, split=split, inside=inside, part=part)


def _need(sources: Iterable[Path], told: str) -> None:
    if not any(source.is_file() for source in sources):
        raise Unfit(f"has no {told}")


def _manifest(path: Path, report: Report) -> dict[tuple[str, str], str]:
    """Split by source and name of the picture, from a manifest that has these columns under any of their names."""
    if not path.is_file():
        return {}
    splits = {}
    try:
        for _, cells in read_table(path, ()):
            name = next(
                (cells[key] for key in ("file_name", "filename", "path", "image", "file") if cells.get(key)), ""
            )
            part = next((cells[key] for key in ("dataset", "source") if cells.get(key)), "")
            if name and cells.get("split"):
                splits[part, name.replace("\\", "/").rpartition("/")[2]] = cells["split"]
    except SetError as error:
        report(error)
    return splits
