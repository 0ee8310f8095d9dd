"""A labelled scan on disk, to fit on or to measure with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from leadline.datasets.formats.files import pair_of
from leadline.datasets.public.scans import read_both
from leadline.datasets.scan import Declaration, FileError, Kind, Scan
from leadline.training.places import Box


@dataclass(frozen=True)
class Specimen:
    """A scan on disk and what is known to be in it.

    Attributes:
        path: of the file; of two energies in two files, that of the high energy.
        positive: whether watch-list material is there that the declaration does not explain.
        family: the watch-list family, empty where nobody says or where there are several.
        declaration: the declared goods.
        mass_kg: of the watch-list material; 0 where nobody says.
        boxes: (x0, y0, x1, y1) of it, pixels of the scan as read.
        pseudocolour: whether the file is a picture in a vendor's colours.
        low: file of the low energy, where it is another one.
        palette: of the vendor's colours, if known.
        group: scans of one group show the same object; empty for a scan by itself.
        split: of the set, such as `"test"`, if it has splits.
    """

    path: Path
    positive: bool
    family: str = ""
    declaration: Declaration | None = None
    mass_kg: float = 0.0
    boxes: tuple[Box, ...] = ()
    pseudocolour: bool = False
    low: Path | None = None
    palette: str | None = None
    group: str = ""
    split: str | None = None

    def read(self, kind: Kind) -> Scan:
        """Read the pixels.

        Raises:
            ScanError: the file is missing or damaged, or is of another kind of scanner.
        """
        scan = read_both(self.path, self.low, kind=kind, pseudocolour=self.pseudocolour, palette=self.palette)
        if scan.scanner.kind not in (None, kind):
            raise FileError(
                self.path, f"is a {scan.scanner.kind} scan and the model reads {kind} scans", "take the other model"
            )
        return scan.declared(self.declaration or scan.declaration)

    def sha256(self) -> str:
        """Hash of the bytes of its files, by which one that was exchanged is known; empty where they cannot be read."""
        high, low = pair_of(self.path)
        files = [high, low] if high and low else [self.path, self.low]
        digest = hashlib.sha256()
        try:
            for path in filter(None, files):
                digest.update(path.read_bytes())
        except OSError:
            return ""
        return digest.hexdigest()
