"""The station's own copies of scans, and what was computed from them, by scan.

`scans/ab/abcd.../` holds the files as they arrived (one, or the two of a pair) under clean names, the
model's maps (`maps.npz`) and a thumbnail. A file that is there is whole: it is written beside, flushed to
the disk and renamed.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from leadline.datasets.scan import LeadlineError, Scan
from leadline.inference.engine import Scores

LONGEST_NAME = 120

_SUFFIX = re.compile(r"\.(tiff?|npy|png|dcm|dcs|dicos|jpe?g)$", re.IGNORECASE)


class Files:
    """The folder with the station's copies.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, scan: str) -> Path:
        """The folder of a scan."""
        return self.folder / scan[:2] / scan

    def keep(self, scan: str, parts: Sequence[tuple[str, bytes]]) -> None:
        """Keep the files of a scan.

        Args:
            scan: its identifier.
            parts: clean name and bytes of each file.

        Raises:
            LeadlineError: the disk is full or the folder may not be written to.
        """
        place = self.place(scan)
        try:
            place.mkdir(parents=True, exist_ok=True)
            for name, data in parts:
                write_whole(place / name, data)
        except OSError as error:
            raise LeadlineError(
                f"{place}: the scan cannot be kept ({error.strerror}); free some space, it is taken up again then"
            ) from error

    def original(self, scan: str) -> Path:
        """The scan's file; of a pair, the one with the high energy.

        Raises:
            LeadlineError: it is no longer there.
        """
        place = self.place(scan)
        names = sorted(p for p in place.glob("*") if p.name.startswith("scan")) if place.is_dir() else []
        if not names:
            raise LeadlineError(f"{place}: the station's copy of the scan is missing; restore it from the backup")
        return names[0]

    def keep_results(self, scan: str, seen: Scan, scores: Scores) -> None:
        """Keep the model's maps and a thumbnail of a judged scan."""
        place = self.place(scan)
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / "maps.bin", maps_bytes(scores))
        write_whole(place / "thumb.png", thumbnail(seen))


def maps_bytes(scores: Scores) -> bytes:
    """The maps for the page: evidence uint8 (F, h, w), 255 = certain; then areal density float32 (2, h, w)."""
    evidence = np.rint(np.clip(scores.evidence, 0, 1) * 255).astype(np.uint8)
    areal = np.nan_to_num(np.clip(scores.areal_density, 0, 6e4)).astype("<f4")
    return evidence.tobytes() + areal.tobytes()


def thumbnail(scan: Scan, width: int = 224, height: int = 120) -> bytes:
    """PNG of the high energy, logarithmic, at most so large."""
    rows, columns = scan.shape
    zoom = min(width / columns, height / rows, 1.0)
    size = (max(1, round(columns * zoom)), max(1, round(rows * zoom)))
    small = cv2.resize(scan.transmission[0], size, interpolation=cv2.INTER_AREA)
    darkest = 3e-4 if scan.scanner.kind == "container" else 1e-3
    grey = 255 * (1 - np.log(np.clip(small, darkest, 1)) / np.log(darkest))
    _, data = cv2.imencode(".png", grey.astype(np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    return bytes(data.tobytes())


def pixel_bytes(scan: Scan) -> tuple[bytes, float]:
    """The pixels for the page: uint16 little-endian (rows, columns, 2), [high, low], and what 65535 means.

    A scan of 16 bits or fewer with nothing above the open beam comes out as it was measured.
    """
    scale = max(1.0, float(scan.transmission.max()))
    values = np.rint(np.clip(scan.transmission / np.float32(scale), 0, 1) * np.float32(65535)).astype("<u2")
    return np.ascontiguousarray(values.transpose(1, 2, 0)).tobytes(), scale


def identifier(sha256: str, *declared: str | None) -> str:
    """Identifier of a scan under a declaration: the same scan declared anew is another case."""
    text = "\0".join([sha256, *((d or "") for d in declared)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def clean_name(name: str) -> str:
    """A file's name for people: no folders, no control characters, not too long."""
    base = PurePosixPath(name.replace("\\", "/")).name
    shown = "".join(c for c in unicodedata.normalize("NFC", base) if c.isprintable())
    shown = shown.encode("utf-8", "replace").decode("utf-8").strip()
    return (shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 12] + "…" + shown[-11:]) or "scan"


def stored_name(name: str, half: str = "") -> str:
    """The name under which a scan's file is kept: nothing of the given name but its known suffix."""
    suffix = _SUFFIX.search(name)
    return f"scan{half}{suffix.group(0).lower() if suffix else ''}"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole, on the disk, or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
