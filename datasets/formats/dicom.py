"""DICOM and DICOS: projection images of one frame (one energy) or two frames (high, then low)."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import generate_frames

from leadline.datasets.formats.decoded import Decoded, Unreadable, check_size
from leadline.datasets.formats.description import kind_of_energy, pixel_mm
from leadline.datasets.formats.picture import jpeg_size
from leadline.datasets.scan import Scanner

_EXPORT = "export it as a raw projection in linear, unsigned values"

_LOSSLESS: dict[str, Callable[[bytes], np.ndarray]] = {
    "1.2.840.10008.1.2.4.57": imagecodecs.ljpeg_decode,
    "1.2.840.10008.1.2.4.70": imagecodecs.ljpeg_decode,
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.90": imagecodecs.jpeg2k_decode,
}
_RLE = "1.2.840.10008.1.2.5"


def decode(data: bytes) -> Decoded:
    """Decode the bytes of a DICOM or DICOS file.

    Polarity: `PixelIntensityRelationshipSign` decides where it is present (1: values grow with
    intensity, -1: with attenuation); otherwise MONOCHROME1, which shows 0 as white, means
    0 = open beam, and MONOCHROME2 means 0 = nothing arrives. Open beam is the largest value
    of `BitsStored` bits.

    Raises:
        Unreadable: no projection in linear unsigned values of 9 to 16 bits, too large, or cut.
        Exception: whatever the libraries raise on damaged data.
    """
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # remarks on values that are not used here
        dataset = pydicom.dcmread(io.BytesIO(data))
        if "PixelData" not in dataset:
            raise Unreadable(f"is a DICOM file without pixels ({dataset.get('Modality', 'no modality')})", _EXPORT)
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        check_size(rows, columns)
        frames = int(dataset.get("NumberOfFrames") or 1)
        if frames not in (1, 2):
            raise Unreadable(
                f"has {frames} frames; a scan has one (one energy) or two (high, then low)", "export one projection"
            )
        allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
        _check_values(dataset, allocated, stored)
        shift = int(dataset.get("HighBit", stored - 1)) - stored + 1
        if not 0 <= shift <= allocated - stored:
            raise Unreadable("has a HighBit that does not fit its BitsStored", "correct the DICOM header")
        planes = _pixels(dataset, frames, rows, columns, allocated)
        full = 2**stored - 1
        if shift or stored < allocated:
            planes = (planes >> shift) & planes.dtype.type(full)
        return Decoded(planes, float(full), _inverted(dataset), _scanner(dataset))


def _check_values(dataset: pydicom.Dataset, allocated: int, stored: int) -> None:
    if int(dataset.get("SamplesPerPixel", 1)) != 1 or not str(dataset.PhotometricInterpretation).startswith("MONO"):
        raise Unreadable(f"holds colours ({dataset.PhotometricInterpretation}), not measured values", _EXPORT)
    if allocated not in (8, 16) or not 0 < stored <= allocated:
        raise Unreadable(f"stores {stored} of {allocated} bits; 9 to 16 of 16 are read", _EXPORT)
    if allocated == 16 and stored <= 8:
        raise Unreadable(f"stores {stored} bits in 16: a picture, not measured values", _EXPORT)
    if int(dataset.get("PixelRepresentation", 0)) != 0:
        raise Unreadable("holds signed values", _EXPORT)
    if str(dataset.get("PixelIntensityRelationship") or "LIN") != "LIN":
        raise Unreadable(f"holds {dataset.PixelIntensityRelationship} values, which are not linear", _EXPORT)
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    if (slope, intercept) != (1.0, 0.0):
        raise Unreadable(f"rescales its values ({slope:g} x + {intercept:g}) to an unknown unit", _EXPORT)


def _pixels(dataset: pydicom.Dataset, frames: int, rows: int, columns: int, allocated: int) -> np.ndarray:
    syntax = dataset.file_meta.TransferSyntaxUID
    dtype = np.dtype(np.uint8 if allocated == 8 else np.uint16)
    raw, count = dataset.PixelData, frames * rows * columns
    if not syntax.is_compressed:
        if len(raw) < count * dtype.itemsize:
            raise Unreadable("is cut: it holds fewer pixels than it declares", "copy the file again from the scanner")
        stored = dtype.newbyteorder("<" if syntax.is_little_endian else ">")
        return np.frombuffer(raw, stored, count).reshape(frames, rows, columns)
    if syntax == _RLE:
        planes = dataset.pixel_array.reshape(-1, rows, columns)
    elif syntax in _LOSSLESS:
        planes = np.stack([_frame(_LOSSLESS[syntax], f) for f in generate_frames(raw, number_of_frames=frames)])
    else:
        raise Unreadable(
            f"is compressed with {syntax.name}", "save it uncompressed, or with a lossless transfer syntax"
        )
    if planes.shape != (frames, rows, columns) or planes.dtype != dtype:
        raise Unreadable(f"declares {frames} x {rows} x {columns} pixels but holds {planes.shape}", "export it again")
    return planes


def _frame(decompress: Callable[[bytes], np.ndarray], stream: bytes) -> np.ndarray:
    """One compressed frame, after its own header's size is checked."""
    if stream[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000: SIZ follows
        columns, rows = struct.unpack_from(">II", stream, 8)
        check_size(rows, columns)
    else:
        check_size(*jpeg_size(stream))
    return decompress(stream)


def _inverted(dataset: pydicom.Dataset) -> bool:
    sign = dataset.get("PixelIntensityRelationshipSign")
    if sign in (1, -1):
        return sign == -1
    return dataset.PhotometricInterpretation == "MONOCHROME1"


def _scanner(dataset: pydicom.Dataset) -> Scanner:
    energy = None
    kvp = dataset.get("KVP")
    if kvp is not None and 20 <= float(kvp) <= 20_000:
        energy = f"{float(kvp):g} kV" if float(kvp) < 1000 else f"{float(kvp) / 1000:g} MV"
    spacing = dataset.get("PixelSpacing")
    return Scanner(kind_of_energy(energy), energy, None, pixel_mm(float(spacing[0])) if spacing else None)
