"""COMPASS-XP: objects in a tray, each scan as Low, High, Density, Grey and Colour pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from leadline.datasets.public.folder import Folder, read_text
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
    reader = csv.DictReader(io.StringIO(read_text(source)), delimiter="\t")
    missing = {"basename", "class"} - set(reader.fieldnames or ())
    if missing:
        raise Unfit(f"has a {TABLE} without the column {' or '.join(sorted(missing))}")
    for row in reader:
        name, kind = (row["basename"] or "").strip(), (row["class"] or "").strip()
        try:
            if not name.isdigit() or not kind:
                raise SetError(source, f"line {reader.line_num} has no number of a scan or no class", "correct it")
            found = _one(top, name.zfill(4), source)
        except SetError as error:
            report(error)
            continue
        found.labels = {kind, DANGEROUS} if (row.get("dangerous") or "").strip().lower() in ("true", "1") else {kind}
        found.group = f"{kind}/{(row.get('instance') or '').strip()}"
        yield found


def _one(top: Path, name: str, source: Path) -> Found:
    high, low, colour = (top / kind / f"{name}.png" for kind in ("High", "Low", "Colour"))
    if high.is_file() and low.is_file() and read_header(high).bits > 8:
        return Found(high, low=low, part="High and Low", source=source)
    if not colour.is_file():
        raise SetError(source, f"names {name}, which is neither in High and Low nor in Colour", "add the pictures")
    return Found(colour, part="Colour", source=source)
