"""Strips of a TIFF page straight into the pixels: no copy between, and several at once where there are cores for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

Decode = Callable[..., bytes | bytearray]

_DEFLATE: Decode = imagecodecs.deflate_decode if imagecodecs.DEFLATE.available else imagecodecs.zlib_decode
_CODECS: dict[int, Decode] = {
    5: imagecodecs.lzw_decode,
    8: _DEFLATE,
    32773: imagecodecs.packbits_decode,
    32946: _DEFLATE,
    50000: imagecodecs.zstd_decode,
}

LEAST_SHARED = 500_000
"""Pages of fewer pixels in all are decoded by one thread: to start another takes as long."""


def in_place(pages: list[tifffile.TiffPage], data: bytes) -> npt.NDArray[np.uint16] | None:
    """Uncompressed 16-bit pages of one size as a view of the file's bytes, in the file's byte order.

    Args:
        pages: of one shape, checked to lie within the file.
        data: the file.

    Returns:
        uint16 (pages, rows, columns), read-only; `None` if the pages are not stored plainly.
    """
    if not all(_simple(page) and page.compression == 1 and page.predictor == 1 for page in pages):
        return None
    sizes = [2 * columns * rows for page in pages for rows, columns in [page.shape]]
    for page, size in zip(pages, sizes, strict=True):
        ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if ends[:-1] != list(page.dataoffsets[1:]) or ends[-1] - page.dataoffsets[0] != size:
            return None
    starts = [page.dataoffsets[0] for page in pages]
    step = starts[1] - starts[0] if len(starts) == 2 else sizes[0]
    if len(starts) > 2 or step < 0:
        return None
    rows, columns = pages[0].shape
    dtype = np.dtype(np.uint16).newbyteorder(pages[0].parent.byteorder)
    return np.ndarray((len(pages), rows, columns), dtype, data, starts[0], (step, 2 * columns, 2))


def decode(pages: list[tifffile.TiffPage], data: bytes, out: npt.NDArray, threads: int = 1) -> bool:
    """Decode compressed 16-bit pages.

    Args:
        pages: checked to lie within the file, all their strips too.
        data: the file.
        out: uint16 (pages, rows, columns), native byte order, C-contiguous.
        threads: that decode at once, if there is enough to decode.

    Returns:
        Whether this was done. If not, `out` holds anything, and the library must decode the pages: they are tiled,
        compressed in another way, or not sound.
    """
    if not all(_simple(page) and page.compression in _CODECS and page.predictor in (1, 2) for page in pages):
        return False
    tasks = [
        (page, start, size, plane[first : first + page.rowsperstrip])
        for page, plane in zip(pages, out, strict=True)
        for start, size, first in zip(
            page.dataoffsets, page.databytecounts, range(0, plane.shape[0], page.rowsperstrip), strict=True
        )
    ]
    view = memoryview(data)

    def strip(task: tuple[tifffile.TiffPage, int, int, npt.NDArray[np.uint16]]) -> bool:
        page, start, size, rows = task
        raw = rows.reshape(-1).view(np.uint8)
        if len(_CODECS[page.compression](view[start : start + size], out=raw.data)) != len(raw):
            return False
        if page.parent.byteorder != _NATIVE:
            rows.byteswap(inplace=True)
        if page.predictor == 2:
            imagecodecs.delta_decode(rows, axis=-1, out=rows)
        return True

    try:
        if threads == 1 or len(tasks) == 1 or out.size < LEAST_SHARED:
            return all(map(strip, tasks))
        with ThreadPoolExecutor(threads, thread_name_prefix="leadline-strips") as pool:
            return all(pool.map(strip, tasks))
    except Exception:  # each codec has errors of its own; the library's say more of what is wrong
        return False


_NATIVE = "<" if sys.byteorder == "little" else ">"


def _simple(page: tifffile.TiffPage) -> bool:
    """Whether a page is one plane of 16-bit values in strips of whole rows."""
    return (
        page.dtype == np.uint16
        and page.bitspersample == 16
        and page.samplesperpixel == 1
        and len(page.shape) == 2
        and not page.is_tiled
        and page.fillorder == 1
        and page.rowsperstrip > 0
    )
