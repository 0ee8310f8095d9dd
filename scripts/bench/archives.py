"""Archives to measure with: simulated scans of the targets' sizes, stored in the forms that archives hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from leadline.datasets.formats import description, write_scan
from leadline.datasets.scan import Kind, Scan

SIZES: dict[Kind, tuple[int, int]] = {"parcel": (400, 500), "container": (700, 1400)}
SMALL = (64, 64)
DISTINCT = 6
"""Different scans; more would take long to simulate."""


def specimens(kind: Kind, size: tuple[int, int]) -> Iterator[Scan]:
    """Simulated scans, repeated or cut to a size; of those that are cut, the part with most goods stays."""
    from leadline.datasets.simulator.simulate import simulate

    rows, columns = size
    for n in range(DISTINCT):
        scan = simulate(kind, 1, n).scan
        spare = [(0, 0), (0, max(0, rows - scan.shape[0])), (0, max(0, columns - scan.shape[1]))]
        pixels = np.pad(scan.transmission, spare, mode="wrap")
        downs, rights = range(0, pixels.shape[1] - rows + 1, 16), range(0, pixels.shape[2] - columns + 1, 16)
        y, x = min(product(downs, rights), key=lambda p: pixels[0, p[0] : p[0] + rows, p[1] : p[1] + columns].mean())
        yield replace(scan, transmission=np.ascontiguousarray(pixels[:, y : y + rows, x : x + columns]))


def _pages(scan: Scan) -> np.ndarray:
    return np.rint(np.clip(scan.transmission, 0, 1) * np.float32(65535)).astype(np.uint16)


def _tiff(**options: object) -> Callable[[Scan, Path], Path]:
    def write(scan: Scan, stem: Path) -> Path:
        path = stem.with_suffix(".tif")
        with tifffile.TiffWriter(path) as writer:
            for page, text in zip(_pages(scan), (description.write(scan), None), strict=True):
                writer.write(
                    page, photometric="minisblack", rowsperstrip=64, description=text, metadata=None, **options
                )
        return path

    return write


def _canonical(scan: Scan, stem: Path) -> Path:
    write_scan(scan, stem.with_suffix(".tif"))
    return stem.with_suffix(".tif")


def _png(scan: Scan, stem: Path) -> Path:
    """Two grey 16-bit pictures."""
    high, low = (stem.with_name(f"{stem.name}_{half}.png") for half in ("high", "low"))
    for path, page in zip((high, low), _pages(scan), strict=True):
        path.write_bytes(imagecodecs.png_encode(page))
    return high


FORMS: dict[str, Callable[[Scan, Path], Path]] = {
    "TIFF, deflate (canonical)": _canonical,
    "TIFF, deflate, differences": _tiff(compression="zlib", predictor=True),
    "TIFF, zstd": _tiff(compression="zstd"),
    "TIFF, uncompressed": _tiff(),
    "pair of 16-bit PNG": _png,
}
"""Each writes a scan and returns the file to name. Differences: of neighbours, TIFF's horizontal predictor."""


def make_archives(kind: Kind, count: int, folder: Path) -> dict[str, tuple[Path, list[Path]]]:
    """Write the scans in every form, and for each a manifest that names every scan many times.

    Returns:
        By form, manifest and files.
    """
    scans = list(specimens(kind, SIZES[kind]))
    made = {}
    for number, (form, write) in enumerate(FORMS.items()):
        place = folder / f"{kind}{number}"
        place.mkdir()
        paths = [write(scan, place / f"scan{n}") for n, scan in enumerate(scans)]
        lines = [f"{paths[n % DISTINCT].name},,consignment {n}" for n in range(count)]
        manifest = place / "archive.csv"
        manifest.write_text("\n".join(["path,hs_code,description", *lines]) + "\n")
        made[form] = manifest, paths
    return made


def make_small_files(kind: Kind, count: int, folder: Path) -> Path:
    """A tree of small files; eight bytes of its own behind the picture make each another scan."""
    contents = []
    for scan in specimens(kind, SMALL):
        write_scan(scan, folder / "small.tif")
        contents.append((folder / "small.tif").read_bytes())
    for n in range(count):
        part = folder / "small" / f"{n // 1000:04}"
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{n:07}.tif").write_bytes(contents[n % DISTINCT] + n.to_bytes(8, "big"))
    return folder / "small"
