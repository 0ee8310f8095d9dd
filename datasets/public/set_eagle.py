"""Container scans of a Rapiscan Eagle R60: arrays of two energies, without labels."""

from __future__ import annotations

from collections.abc import Iterator

from leadline.datasets.public.folder import Folder
from leadline.datasets.public.scans import Found, Report, Unfit


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """`N.npy`, N a number: uint16 (rows, columns, 2), 6 MeV first, then 4 MeV, transmission = value / 65535."""
    paths = [path for path in folder.files((".npy",)) if path.stem.isdigit()]
    if not paths:
        raise Unfit("has no arrays called 6.npy or by another number")
    for path in sorted(paths, key=lambda path: int(path.stem)):
        yield Found(path, group=path.stem)
