"""Size and depth of a picture from its header, without decoding it."""

from __future__ import annotations

import stat
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leadline.datasets.formats.decoded import Unreadable, check_size, split_channels
from leadline.datasets.formats.files import HEAD, pair_of, sniff
from leadline.datasets.formats.picture import jpeg_size, png_bits
from leadline.datasets.public.scans import SetError
from leadline.datasets.scan import Fidelity

_JPEG_HEAD = 1 << 16
_CUT = "copy it again from the set's source"


class Header(NamedTuple):
    """Rows, columns, bits of a stored value, and what `read_scan` will say the pixels are worth."""

    rows: int
    columns: int
    bits: int
    fidelity: Fidelity


def read_header(path: Path) -> Header:
    """Look at a picture's header.

    Raises:
        SetError: no such file, empty, damaged, or of a format that is not read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SetError(path, "is not a file", _CUT)
        with path.open("rb") as stream:
            head = stream.read(_JPEG_HEAD if path.suffix.lower() in (".jpg", ".jpeg") else HEAD)
        if not head:
            raise SetError(path, "is empty", _CUT)
        header = _header(path, head)
        check_size(header.rows, header.columns)
        return header
    except FileNotFoundError as error:
        raise SetError(path, "does not exist", _CUT) from error
    except Unreadable as error:
        raise SetError(path, error.reason, _CUT) from error
    except (OSError, ValueError) as error:
        raise SetError(path, f"cannot be read ({getattr(error, 'strerror', None) or error})", _CUT) from error


def _header(path: Path, head: bytes) -> Header:
    match sniff(head):
        case "png":
            bits = png_bits(head)
            if bits is None:
                raise Unreadable("is a cut PNG", _CUT)
            columns, rows = struct.unpack_from(">II", head, 16)
            return Header(rows, columns, max(bits, 8), _fidelity(max(bits, 8), 1, path))
        case "jpeg":
            try:
                rows, columns = jpeg_size(head)
            except (Unreadable, struct.error):  # metadata before the frame may be long
                rows, columns = jpeg_size(path.read_bytes())
            return Header(rows, columns, 8, "pseudocolour")
        case "npy":
            return _npy(path)
        case "tiff":
            return _tiff(path)
        case "dicom":
            return _dicom(path)
    raise SetError(path, "is no picture of a format that is read", "give TIFF, NPY, PNG, JPEG or DICOM files")


def _fidelity(bits: int, channels: int, path: Path) -> Fidelity:
    if bits == 8:
        return "pseudocolour"
    return "dual" if channels == 2 or None not in pair_of(path) else "single"


def _npy(path: Path) -> Header:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    channels, rows, columns = split_channels(np.broadcast_to(np.uint8(0), array.shape)).shape
    bits = 8 * array.dtype.itemsize
    return Header(rows, columns, bits, _fidelity(bits, channels, path))


def _tiff(path: Path) -> Header:
    import tifffile

    from leadline.datasets.formats import description

    try:
        with tifffile.TiffFile(path) as file:
            page, pages = file.pages.first, len(file.pages)
            text, shape, bits = page.description, page.shape, int(page.bitspersample)
    except (tifffile.TiffFileError, IndexError, struct.error, TypeError, AttributeError) as error:
        raise Unreadable("is a damaged TIFF", _CUT) from error
    if pages > 2 and len(shape) == 2 and shape[1] == 2:  # an array (rows, columns, 2) saved one row a page
        return Header(pages, shape[0], bits, _fidelity(bits, 2, path))
    channels, rows, columns = split_channels(np.broadcast_to(np.uint8(0), shape)).shape
    _, told = description.parse(text)
    return Header(rows, columns, bits, told or _fidelity(bits, max(channels, pages), path))


def _dicom(path: Path) -> Header:
    import pydicom

    try:
        data = pydicom.dcmread(path, stop_before_pixels=True)
        bits = 8 if int(data.BitsAllocated) == 8 else int(data.BitsStored)
        frames = int(data.get("NumberOfFrames") or 1)
        return Header(int(data.Rows), int(data.Columns), bits, _fidelity(bits, frames, path))
    except (pydicom.errors.InvalidDicomError, AttributeError, TypeError, EOFError) as error:
        raise Unreadable("is a damaged DICOM file", _CUT) from error
