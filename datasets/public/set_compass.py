"""COMPASS-XP: objects in a tray, each scan as Low, High, Density, Grey and Colour pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from leadline.datasets.public.folder import Folder, read_table
from leadline.datasets.public.header import read_header
from leadline.datasets.public.scans import Found, Report, SetError, Unfit

TABLE = "meta.txt"
DANGEROUS = "dangerous"
"""Label of a scan, beside its class, whose object the authors call dangerous."""


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """`meta.txt`, with tabs between its columns, names the class, instance and pose of each scan.

    `High/NNNN.png` and `Low/NNNN.png` make one scan of two energies where they hold more than 8 bits; else
    `Colour/NNNN.png` is taken as pseudo-colour. Scans of one object are one group.
    """
    top = next((p for p in (folder.root, folder.root / "COMPASS-XP") if (p / TABLE).is_file()), None)
    if top is None:
        raise Unfit(f"has no {TABLE}")
    source = top / TABLE
    for line, row in read_table(source, ("basename", "class"), tabs=True):
        name, kind = row["basename"], row["class"]
        try:
            if not (name.isascii() and name.isdigit() and len(name) < 10) or not kind:
                raise SetError(source, f"line {line} has no number of a scan or no class", "correct it")
            found = _one(top, name.zfill(4), source)
        except SetError as error:
            report(error)
            continue
        found.labels = {kind, DANGEROUS} if row.get("dangerous", "").lower() in ("true", "1") else {kind}
        found.group = f"{kind}/{row.get('instance', '')}"
        yield found


def _one(top: Path, name: str, source: Path) -> Found:
    high, low, colour = (top / kind / f"{name}.png" for kind in ("High", "Low", "Colour"))
    if high.is_file() and low.is_file() and read_header(high).bits > 8:
        return Found(high, low=low, part="High and Low", source=source)
    if not colour.is_file():
        raise SetError(source, f"names {name}, which is neither in High and Low nor in Colour", "add the pictures")
    return Found(colour, part="Colour", source=source)
