"""What every adapter gives: a scan in a folder with what its annotators say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from leadline.datasets.formats import read_scan
from leadline.datasets.scan import Declaration, Fidelity, FileError, Kind, Scan, ScanError


class SetError(FileError):
    """A folder that is not the set it should be, or a label or file in it that cannot be used.

    What labels say goes into messages cut short and without characters that would steer a terminal.
    """

    def __init__(self, path: str | Path, reason: str, remedy: str) -> None:
        plain = "".join(c if c.isprintable() else "?" for c in reason)
        super().__init__(path, plain if len(plain) <= _LONGEST else plain[: _LONGEST - 3] + "...", remedy)


_LONGEST = 500


class PictureError(SetError):
    """A labelled picture whose header cannot be read.

    Attributes:
        found: what the labels say of it.
    """

    def __init__(self, error: FileError, found: Found) -> None:
        super().__init__(error.path, error.reason, error.remedy)
        self.found = found


class Unfit(Exception):
    """A folder is not laid out as an adapter needs it; the message tells what it lacks: `"has no labels.csv"`."""


Report = Callable[[SetError], None]
"""Takes a problem that concerns one scan or label. It may raise it, or note it and return."""


@dataclass(frozen=True)
class Box:
    """A labelled rectangle.

    Attributes:
        name: class as the set spells it.
        x1, y1, x2, y2: edges in pixels of the scan as read, x to the right, y down, origin in the top
            left corner; 0 <= x1 < x2 <= columns and 0 <= y1 < y2 <= rows. Sets differ on whether they
            count from 0 or 1, so an edge may be off by a pixel.
    """

    name: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class LabelledScan:
    """One scan of a set, with its labels; the pixels are read when asked for.

    Attributes:
        path: the file; of two energies in two files, that of the high energy.
        low: file of the low energy, where it is another one.
        name: name of the set in the registry.
        rows, columns: of the picture, from its header.
        bits: of a stored value, from its header.
        fidelity: what the pixels are worth; every 8-bit picture is `"pseudocolour"`, a grey one too.
        boxes: labelled rectangles; sets with image-level labels have none.
        labels: names of the classes in the scan, sorted; empty where annotators found none of the set's
            classes, `None` where nobody looked.
        split: `"train"`, `"val"`, `"test"` or what the set calls it; `None` where it has none.
        group: scans of one group show the same object or are copies of one another (views, other
            energies, re-encodings) and belong on the same side of any split.
        part: which part of the set it belongs to, such as its scanner or difficulty; empty where there is one.
        view: of a scanner with several, such as `"OL"`; empty where there is one.
        scanner: kind of scanner, where the whole set is of one.
        declaration: declared goods, where the set tells them.
        mask: picture of the labelled pixels, where there is one.
        mass_kg: of what is labelled; 0 where nobody says.
        palette: of the vendor's colours, where they are known; else that of the scanner's kind serves.
    """

    path: Path
    name: str
    rows: int
    columns: int
    bits: int
    fidelity: Fidelity
    boxes: tuple[Box, ...] = ()
    labels: tuple[str, ...] | None = None
    split: str | None = None
    group: str = ""
    low: Path | None = None
    part: str = ""
    view: str = ""
    scanner: Kind | None = None
    declaration: Declaration | None = None
    mask: Path | None = None
    mass_kg: float = 0.0
    palette: str | None = None

    def shows(self, classes: Collection[str] | None = None) -> bool | None:
        """Whether any of some classes is in the scan; `None` where nobody looked.

        Args:
            classes: names as the set spells them; `None` means any class of the set.
        """
        if self.labels is None:
            return None
        return bool(self.labels) if classes is None else not set(classes).isdisjoint(self.labels)

    def read(self) -> Scan:
        """Read the pixels.

        Returns:
            The scan at this entry's fidelity, with its declaration and kind of scanner.

        Raises:
            ScanError: the file is damaged, or is not what its header said.
        """
        scan = read_both(
            self.path,
            self.low,
            kind=self.scanner,
            pseudocolour=self.fidelity == "pseudocolour",
            palette=self.palette,
        )
        if scan.shape != (self.rows, self.columns):
            raise ScanError(
                self.path,
                f"has {scan.shape[0]} x {scan.shape[1]} pixels, its header said {self.rows} x {self.columns}",
                "copy the set again from its source",
            )
        return scan.declared(self.declaration or scan.declaration)


def read_both(
    path: Path, low: Path | None, *, kind: Kind | None, pseudocolour: bool = False, palette: str | None = None
) -> Scan:
    """Read a scan whose low energy may lie in a file of its own.

    Raises:
        ScanError: a file is damaged, or the two differ in size.
    """
    scan = read_scan(path, scanner=kind, pseudocolour=pseudocolour, palette=palette if pseudocolour else None)
    return scan if low is None else _joined(scan, read_scan(low, scanner=kind))


def _joined(high: Scan, low: Scan) -> Scan:
    """One scan of the high energy's file and the low energy's."""
    if high.shape != low.shape:
        raise ScanError(
            high.path,
            f"has {high.shape[0]} x {high.shape[1]} pixels, {low.path} has {low.shape[0]} x {low.shape[1]}",
            "copy the set again from its source: both energies of a scan have one size",
        )
    both = np.stack([high.transmission[0], low.transmission[0]])
    digest = hashlib.sha256((high.sha256 + low.sha256).encode()).hexdigest()
    return replace(high, transmission=both, fidelity="dual", sha256=digest)


@dataclass
class Found:
    """What an adapter finds, before the picture's header is looked at; fields as in `LabelledScan`.

    Attributes:
        boxes: as labelled: may leave the picture.
        relative: boxes are shares of the picture's width and height instead of pixels.
        source: file of the labels, which a problem with them names.
        size: (rows, columns) that the labels state, if they do.
    """

    path: Path
    boxes: list[Box] = field(default_factory=list)
    labels: Collection[str] | None = None
    split: str | None = None
    group: str = ""
    low: Path | None = None
    part: str = ""
    view: str = ""
    declaration: Declaration | None = None
    mask: Path | None = None
    mass_kg: float = 0.0
    relative: bool = False
    source: Path | None = None
    size: tuple[int, int] | None = None
