"""TIFF and BigTIFF of either byte order: two pages, two samples, two planes, one energy, or a picture."""

from __future__ import annotations

import io
import logging
import math
import struct

import numpy as np
import tifffile

from leadline.datasets.formats import description, strips
from leadline.datasets.formats.decoded import Decoded, Unreadable, check_shape, check_size, split_channels

_COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits", 50000: "zstd"}
_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32), np.dtype(np.float64))
_CUT = "copy the file again from the scanner"

# Without a handler, Python prints the library's remarks on damaged files to stderr; the reader says it better.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def decode(data: bytes, threads: int = 1) -> Decoded:
    """Decode the bytes of a TIFF file.

    Args:
        data: the file.
        threads: that decode at once.

    Raises:
        Unreadable: cut, too large, or not a layout that holds a scan.
        Exception: whatever the library raises on damaged data.
    """
    pages_told = _count_pages(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        # The library stops without a word at a page that it cannot read.
        if len(file.pages) != pages_told:
            raise Unreadable("is damaged: its chain of pages is broken", _CUT)
        first = file.pages.first
        scanner, fidelity = description.parse(first.description)
        rowwise = len(file.pages) > 2 and len(first.shape) == 2 and first.shape[1] == 2
        if rowwise:
            planes = _read_rowwise(file, len(data))
        elif len(file.pages) == 1:
            planes = split_channels(_read(first, data, threads))
        elif len(file.pages) == 2:
            planes = _read_two(file, data, threads)
        else:
            raise Unreadable(
                f"has {len(file.pages)} pages; a scan has two (high energy, then low), or one",
                "export one scan a file",
            )
        if len(planes) == 1 and scanner.low is not None and fidelity != "single":
            raise Unreadable(
                f"describes two energies ({scanner.high}, {scanner.low}) but holds one page", "export both energies"
            )
        bits = int(first.bitspersample)
        full = float(2**bits - 1) if planes.dtype.kind == "u" else 1.0
        inverted = first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        return Decoded(planes, full, inverted, scanner, fidelity)


def _read(page: tifffile.TiffPage, data: bytes, threads: int) -> np.ndarray:
    """Pixels of the only page, of whatever layout."""
    _check(page, len(data))
    return _pixels([page], data, threads)[0] if len(page.shape) == 2 else page.asarray()


def _pixels(pages: list[tifffile.TiffPage], data: bytes, threads: int) -> np.ndarray:
    """Pixels of checked pages of one plane and one size each, (pages, rows, columns)."""
    stored = strips.in_place(pages, data)
    if stored is not None:
        return stored
    planes: np.ndarray = np.empty((len(pages), *pages[0].shape), pages[0].dtype)
    if not strips.decode(pages, data, planes, threads):
        for page, plane in zip(pages, planes, strict=True):
            page.asarray(out=plane)
    return planes


def _check(frame: tifffile.TiffPage, length: int) -> None:
    """Refuse all that can be refused without decoding."""
    if frame.imagedepth != 1:
        raise Unreadable(f"declares an image depth of {frame.imagedepth}", "save plain two-dimensional pages")
    check_shape(frame.shape)
    if (
        frame.dtype is None
        or frame.dtype not in _DTYPES
        or (frame.dtype == np.uint16 and not 8 < frame.bitspersample <= 16)
    ):
        raise Unreadable(
            f"holds {frame.bitspersample}-bit values of type {frame.dtype or 'unknown'}",
            "save 16-bit unsigned values, or floats from 0 to 1",
        )
    if frame.is_tiled:
        check_size(max(frame.tilelength, 32), max(frame.tilewidth, 32))
    if frame.compression not in _COMPRESSIONS:
        raise Unreadable(
            f"is compressed with {getattr(frame.compression, 'name', frame.compression)}",
            "save it with deflate, LZW or no compression",
        )
    if frame.photometric == tifffile.PHOTOMETRIC.PALETTE:
        raise Unreadable("holds palette colours, not measured values", "export the raw 16-bit scan")
    _check_segments(frame, length)


def _check_segments(page: tifffile.TiffPage | tifffile.TiffFrame, length: int) -> None:
    """Every strip must lie in the file: the library would fill the others with zeros, and zeros are real."""
    frame = page.aspage()
    if not len(page.dataoffsets) == len(page.databytecounts) == math.prod(frame.chunked):
        raise Unreadable(f"is damaged: it has {len(page.dataoffsets)} of {math.prod(frame.chunked)} strips", _CUT)
    for start, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        if start <= 0 or size <= 0 or start + size > length:
            raise Unreadable("is cut: pixels that it declares lie beyond its end", _CUT)


def _read_two(file: tifffile.TiffFile, data: bytes, threads: int) -> np.ndarray:
    high, low = (file.pages[i].aspage() for i in range(2))
    if high.shape != low.shape or high.dtype != low.dtype or len(high.shape) != 2:
        raise Unreadable(
            f"has pages of different or coloured pixels ({high.shape} {high.dtype}, {low.shape} {low.dtype})",
            "save two grey pages of one size: high energy, then low",
        )
    if high.photometric != low.photometric:
        raise Unreadable("has one page with white as zero and one with black as zero", "save both pages alike")
    check_shape(high.shape)
    for page in (high, low):
        _check(page, len(data))
    return _pixels([high, low], data, threads)


def _read_rowwise(file: tifffile.TiffFile, length: int) -> np.ndarray:
    """An array (rows, columns, 2) saved without saying that 2 is the channel: one page for each row."""
    rows, (columns, _) = len(file.pages), file.pages.first.shape
    check_size(rows, columns)
    if len(file.series) != 1 or file.series[0].shape != (rows, columns, 2):
        raise Unreadable(f"has {rows} pages of {columns} x 2 pixels", "save two pages: high energy, then low")
    if file.pages.first.compression not in _COMPRESSIONS:
        raise Unreadable("is compressed in an unusual way", "save it with deflate, LZW or no compression")
    for page in file.pages:
        _check_segments(page, length)
    return split_channels(file.series[0].asarray())


def _count_pages(data: bytes) -> int:
    """Length of the chain of image directories.

    Raises:
        Unreadable: the chain leaves the file or turns back on itself.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    start, number, entry, pointer = (8, "Q", 20, "Q") if big else (4, "H", 12, "I")
    try:
        (offset,) = struct.unpack_from(order + pointer, data, start)
        seen: set[int] = set()
        while offset:
            if offset in seen or len(seen) > 100_000:
                raise Unreadable("is damaged: its chain of pages turns back on itself", _CUT)
            seen.add(offset)
            (entries,) = struct.unpack_from(order + number, data, offset)
            next_at = offset + struct.calcsize(order + number) + entries * entry
            (offset,) = struct.unpack_from(order + pointer, data, next_at)
    except (struct.error, OverflowError) as error:
        raise Unreadable("is cut: its chain of pages leads beyond its end", _CUT) from error
    if not seen:
        raise Unreadable("is a TIFF without a page", "export the scan again")
    return len(seen)
