"""Reading: from a path to a `Scan`, or a `ScanError` that says what to do."""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leadline.datasets.formats.decoded import LARGEST_FILE, Decoded, Unreadable
from leadline.datasets.formats.files import pair_of, sniff
from leadline.datasets.formats.palette import Palette
from leadline.datasets.formats.palette import palette as palette_of
from leadline.datasets.formats.values import to_transmission
from leadline.datasets.scan import Fidelity, Kind, Scan, ScanError, Scanner, Uncertainty

_FORMATS = "the formats that are read are TIFF, NPY, 16-bit PNG and DICOS/DICOM, see docs/formats.md"

LEAST_SHARED = 500_000
"""Smaller files are hashed and decoded one after the other: to start a thread takes as long. Bytes."""

_TEXT = bytes([9, 10, 12, 13, *range(32, 127), *range(128, 256)])


def read_scan(
    path: str | Path,
    *,
    scanner: Kind | None = None,
    pseudocolour: bool = False,
    palette: Palette | str | Path | None = None,
    threads: int = 1,
) -> Scan:
    """Read a scan.

    The content decides the format, not the name. Of a pair `X_high.png`, `X_low.png` either
    file may be named: both are read. Each file is read once, hashed and decoded from memory.

    Args:
        path: the file.
        scanner: the kind of scanner, for files that do not say it.
        pseudocolour: read 8-bit pictures as a vendor's pseudo-colour, at fidelity
            `"pseudocolour"`; without it they are refused.
        palette: the palette, or its name or file, that maps their colours; without it, that of the scanner's kind.
        threads: that read at once; more than one make a single scan faster, not many of them.

    Returns:
        The scan. `scanner.kind` is `None` where neither file nor caller says it; `sha256` is
        that of the file, for a pair of the high file's bytes followed by the low one's.

    Raises:
        ScanError: the file cannot be read, is no scan, is damaged, or says that it is of
            another kind of scanner than the caller does.
    """
    path = Path(path)
    high, low = pair_of(path)
    if high is not None and low is not None:
        return _read_pair(high, low, scanner)
    data = _bytes(path)
    colours = palette_of(palette, scanner) if pseudocolour else None
    if threads > 1 and len(data) >= LEAST_SHARED:
        with ThreadPoolExecutor(1, thread_name_prefix="leadline-hash") as beside:
            hashed = beside.submit(_hash, data)
            decoded, transmission, fidelity, uncertainty = _decode(path, data, colours, threads)
        digest = hashed.result()
    else:
        decoded, transmission, fidelity, uncertainty = _decode(path, data, colours)
        digest = _hash(data)
    if (high is not None or low is not None) and fidelity == "single" and decoded.fidelity is None:
        missing = path.with_name(path.stem[: -5 if high else -4] + ("_low" if high else "_high") + path.suffix)
        raise ScanError(
            path,
            f"is one half of a pair whose other half, {missing.name}, is missing",
            "put the other half beside it, or rename it if it is a scan at one energy",
        )
    told = _resolve(path, decoded.scanner, scanner)
    return Scan(transmission, told, None, fidelity, str(path), digest, uncertainty)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_pair(high: Path, low: Path, kind: Kind | None) -> Scan:
    digest, scanners, rows = hashlib.sha256(), [], []
    for path in (high, low):
        data = _bytes(path)
        digest.update(data)
        decoded, transmission, _, _ = _decode(path, data, None)
        if len(decoded.planes) != 1:
            raise ScanError(
                path,
                "holds two energies by itself, yet its name makes it one half of a pair",
                "rename it without _high or _low",
            )
        scanners.append(decoded.scanner)
        rows.append(transmission[0])
    if rows[0].shape != rows[1].shape:
        raise ScanError(
            high,
            f"has {rows[0].shape[0]} x {rows[0].shape[1]} pixels, its other half {low.name} "
            f"{rows[1].shape[0]} x {rows[1].shape[1]}",
            "export both energies of one scan at one size",
        )
    first, second = scanners
    if first.kind and second.kind and first.kind != second.kind:
        raise ScanError(high, f"is of a {first.kind} scanner, {low.name} of a {second.kind} one", "pair them rightly")
    told = Scanner(first.kind or second.kind, first.high, second.low or second.high, first.pixel_mm or second.pixel_mm)
    return Scan(np.stack(rows), _resolve(high, told, kind), None, "dual", str(high), digest.hexdigest())


def _bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path):  # a folder that may not be entered is a PermissionError
                pass
            raise ScanError(path, "is a folder", "name a file in it; `leadline screen` takes whole folders")
        if not stat.S_ISREG(status.st_mode):
            raise ScanError(path, "is not a file", "name a file")
        if status.st_size > LARGEST_FILE:
            raise ScanError(
                path, f"has {status.st_size / 1e9:.1f} GB, more than a scan can have", "export one scan a file"
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ScanError(path, "does not exist", "check the spelling of the path") from error
    except PermissionError as error:
        raise ScanError(path, "may not be read by this user", "ask its owner for read permission") from error
    except (OSError, ValueError) as error:
        raise ScanError(path, f"cannot be read ({error})", "check the disk or network drive") from error
    if not data:
        raise ScanError(path, "is empty", "copy the file again from the scanner")
    return data


def _decode(
    path: Path, data: bytes, palette: Palette | None, threads: int = 1
) -> tuple[Decoded, npt.NDArray[np.float32], Fidelity, Uncertainty | None]:
    """Decode and check; whatever goes wrong becomes a `ScanError`."""
    try:
        decoded = _decode_any(data, threads)
        return decoded, *to_transmission(decoded, palette=palette)
    except Unreadable as error:
        raise ScanError(path, error.reason, error.remedy) from error
    except Exception as error:  # decoders meet damaged bytes with exceptions of every kind
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ScanError(path, f"is damaged ({reason})", "copy the file again from the scanner") from error


def _decode_any(data: bytes, threads: int) -> Decoded:
    # Each decoder brings its own library: only the one that is needed is imported.
    match sniff(data):
        case "tiff":
            from leadline.datasets.formats import tiff

            return tiff.decode(data, threads)
        case "npy":
            from leadline.datasets.formats import npy

            return npy.decode(data)
        case "png":
            from leadline.datasets.formats import picture

            return picture.decode_png(data)
        case "jpeg":
            from leadline.datasets.formats import picture

            return picture.decode_jpeg(data)
        case "dicom":
            from leadline.datasets.formats import dicom

            return dicom.decode(data)
    raise Unreadable(f"is {_guess(data)}, not a scan", _FORMATS)


def _guess(data: bytes) -> str:
    known = {b"PK\x03\x04": "a ZIP or NPZ archive", b"%PDF": "a PDF", b"GIF8": "a GIF picture", b"BM": "a BMP picture"}
    for magic, name in known.items():
        if data.startswith(magic):
            return name
    return "text" if not data[:400].translate(None, _TEXT) else "of an unknown format"


def _resolve(path: Path, told: Scanner, kind: Kind | None) -> Scanner:
    """The scanner, with the caller's word where the file leaves its kind open."""
    if kind is None or kind == told.kind:
        return told
    if told.kind is not None:
        named = f" ({told.high})" if told.high else ""
        raise ScanError(
            path,
            f"says that a {told.kind} scanner took it{named}, not a {kind} scanner",
            "leave out --scanner for files that say it themselves",
        )
    return replace(told, kind=kind)
