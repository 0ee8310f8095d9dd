"""The public sets by name: what each is, where it comes from and how it is read."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from leadline.datasets.public import (
    form_coco,
    form_csv,
    form_folders,
    form_masks,
    form_voc,
    set_cargoxray,
    set_coco,
    set_compass,
    set_eagle,
    set_eds,
    set_gdxray,
    set_lines,
    set_objects,
    set_sixray,
)
from leadline.datasets.public.folder import Folder
from leadline.datasets.public.scans import Found, Report
from leadline.datasets.scan import Kind, LeadlineError

Reader = Callable[[Folder, Report], Iterator[Found]]

_TABLE = Path(__file__).resolve().parent.parent / "data" / "public_sets.toml"
_READERS: dict[str, Reader] = {
    "csv": form_csv.read,
    "folders": form_folders.read,
    "voc": form_voc.read,
    "coco": form_coco.read,
    "masks": form_masks.read,
    "sixray": set_sixray.read,
    "opixray": set_lines.read,
    "hixray": set_lines.read,
    "pidray": set_coco.pidray,
    "clcxray": set_coco.clcxray,
    "eds": set_eds.read,
    "pixray": set_objects.pixray,
    "dvxray": set_objects.dvxray,
    "ldxray": set_coco.ldxray,
    "compass-xp": set_compass.read,
    "gdxray": set_gdxray.read,
    "cargoxray": set_cargoxray.read,
    "miro-cargo": set_coco.miro,
    "eagle-r60": set_eagle.read,
}


@dataclass(frozen=True)
class PublicSet:
    """A data set, and how it lies on disk; the texts are in `datasets/data/public_sets.toml`.

    Attributes:
        name: what the command line calls it.
        reader: gives the entries of a folder.
        title: its name among people.
        size: how many scans, as its authors tell.
        depth: of the stored values.
        labels: what is labelled.
        terms: under which it may be used, as its authors state.
        address: where to get it.
        layout: what the folder must hold.
        good_for: what it can do for this project.
        verified: what the form on disk was checked against.
        scanner: kind of scanner, where all scans are of one.
        palette: that was fitted to its colours; without it that of the scanner's kind serves.
        mixed: whether its authors publish scans of different depths together.
    """

    name: str
    reader: Reader
    title: str
    size: str
    depth: str
    labels: str
    terms: str
    address: str
    layout: str
    good_for: str
    verified: str
    scanner: Kind | None = None
    palette: str | None = None
    mixed: bool = False


def _load() -> dict[str, PublicSet]:
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return {name: PublicSet(name=name, reader=_READERS[name], **entry) for name, entry in table.items()}


SETS: dict[str, PublicSet] = _load()
"""Every set that is read, by name."""


def get(name: str) -> PublicSet:
    """The set of a name.

    Raises:
        LeadlineError: there is none.
    """
    if name not in SETS:
        raise LeadlineError(f"{name}: is no set that is read; take one of {', '.join(SETS)}")
    return SETS[name]
