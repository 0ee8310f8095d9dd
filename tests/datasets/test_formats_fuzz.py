"""Any cut or changed file gives a `Scan` or a `ScanError`, never another exception."""

from __future__ import annotations

import functools
import io
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian

from leadline.datasets.formats import read_scan, write_scan
from leadline.datasets.scan import Scan, ScanError, Scanner

VALUES = np.random.default_rng(0).integers(0, 65536, (2, 33, 34), dtype=np.uint16)


@functools.cache
def valid(name: str) -> bytes:
    stream = io.BytesIO()
    match name:
        case "canonical":
            with tempfile.TemporaryDirectory() as folder:
                scan = Scan(VALUES / np.float32(65535), Scanner("parcel", "160 kV", "80 kV", 1.5))
                write_scan(scan, Path(folder, "a"))
                return Path(folder, "a").read_bytes()
        case "lzw":
            tifffile.imwrite(stream, VALUES, photometric="minisblack", compression="lzw", byteorder=">", predictor=True)
        case "tiles":
            options = {"tile": (16, 16), "planarconfig": "separate", "bigtiff": True}
            tifffile.imwrite(stream, VALUES, photometric="minisblack", compression="zstd", **options)
        case "plain":
            tifffile.imwrite(stream, VALUES, photometric="minisblack")
        case "rowwise":
            tifffile.imwrite(stream, np.moveaxis(VALUES, 0, -1))
        case "npy":
            np.save(stream, VALUES)
        case "png":
            return imagecodecs.png_encode(VALUES[0])
        case "jpeg":
            return imagecodecs.jpeg8_encode((VALUES[0] >> 8).astype(np.uint8))
        case "dicom" | "jpegls" | "jpeg2k":
            return dicom(name)
    return stream.getvalue()


def dicom(name: str) -> bytes:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = {
        "dicom": ExplicitVRLittleEndian,
        "jpegls": "1.2.840.10008.1.2.4.80",
        "jpeg2k": "1.2.840.10008.1.2.4.90",
    }[name]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.501.2.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = VALUES.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation, dataset.PhotometricInterpretation = 1, 0, "MONOCHROME1"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.KVP = 16, 16, 15, "160"
    frames = {
        "dicom": lambda: VALUES.tobytes(),
        "jpegls": lambda: pydicom.encaps.encapsulate([imagecodecs.jpegls_encode(v) for v in VALUES]),
        "jpeg2k": lambda: pydicom.encaps.encapsulate(
            [imagecodecs.jpeg2k_encode(v, codecformat="j2k", reversible=True, level=0) for v in VALUES]
        ),
    }
    dataset.PixelData = frames[name]()
    dataset["PixelData"].VR = "OW"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def check(folder: Path, data: bytes) -> None:
    path = folder / "scan.tif"
    path.write_bytes(data)
    try:
        scan = read_scan(path, pseudocolour=True)
    except ScanError:
        return
    assert np.isfinite(scan.transmission).all()
    assert scan.transmission.min() >= 0
    assert scan.transmission.max() <= 1.5


NAMES = ["canonical", "lzw", "tiles", "plain", "rowwise", "npy", "png", "jpeg", "dicom", "jpegls", "jpeg2k"]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_is_met(tmp_path, name, data):
    whole = valid(name)
    # Headers are where a changed bit does most harm; TIFF keeps some at the end.
    place = st.one_of(st.integers(0, min(len(whole), 600) - 1), st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    for at, byte in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=4)):
        changed[at] = byte
    check(tmp_path, bytes(changed[: data.draw(st.one_of(st.just(len(whole)), place))]))


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_file_is_read(tmp_path, name):
    (tmp_path / "scan.tif").write_bytes(valid(name))
    assert read_scan(tmp_path / "scan.tif", pseudocolour=True).shape == (33, 34)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "jpeg"])
def test_no_cut_file_passes_as_a_scan(tmp_path, name):
    """A file that lost its second half must not be screened as if it had none (the last bytes may be mere tags)."""
    path, whole = tmp_path / "scan.tif", valid(name)
    for length in range(0, len(whole) - 100, max(1, len(whole) // 97)):
        path.write_bytes(whole[:length])
        with pytest.raises(ScanError):
            read_scan(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from([b"", b"II*\0", b"MM\0+", b"\x93NUMPY", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]),
    tail=st.binary(),
)
def test_any_bytes_are_met(tmp_path, head, tail):
    check(tmp_path, head + tail)
