"""What cannot be read: a `ScanError` that names the file, the reason and the remedy."""

from __future__ import annotations

import io
import os
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from leadline.datasets.formats import find_scans, read_scan, write_scan
from leadline.datasets.scan import LeadlineError, Scan, ScanError

SIDE = 48


def noise(shape=(SIDE, SIDE), seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, shape, dtype=np.uint16)


def pages(*arrays: np.ndarray, text: str | None = None, **options) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for i, array in enumerate(arrays):
            writer.write(
                array, **({"photometric": "minisblack"} | options), description=None if i else text, metadata=None
            )
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<u2", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def png_header(rows: int, columns: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 16, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def large_tiff(rows: int, columns: int) -> bytes:
    """A sound small file whose header declares another size."""
    data = bytearray(pages(noise(), noise(seed=1), compression="zlib", rowsperstrip=SIDE))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for page in file.pages:
            for name, value in (("ImageLength", rows), ("ImageWidth", columns), ("RowsPerStrip", rows)):
                tag = page.tags[name]
                data[tag.valueoffset : tag.valueoffset + 4] = value.to_bytes(4, "little")
                data[tag.offset + 2 : tag.offset + 4] = (4).to_bytes(2, "little")  # LONG
    return bytes(data)


def with_value(value: float) -> np.ndarray:
    array = np.full((2, SIDE, SIDE), 0.5, np.float32)
    array[1, 3, 4] = value
    return array


EIGHT = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
TWO = (noise(), noise(seed=1))
CANONICAL = pages(*TWO, compression="zlib")
PICKLED = io.BytesIO()
np.save(PICKLED, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)

BAD = {
    "empty": (b"", "is empty"),
    "text": (b"path,hs_code,description\n" * 20, "is text"),
    "chinese text": ("扫描文件".encode() * 50, "is text"),
    "bytes": (bytes(range(256)) * 4, "unknown format"),
    "zip": (b"PK\x03\x04" + bytes(90), "ZIP or NPZ"),
    "cut tiff header": (CANONICAL[:6], "cut"),
    "cut tiff": (CANONICAL[: len(CANONICAL) // 3], "cut"),
    "cut tiff, second page": (CANONICAL[:-100], "cut"),
    "cut plain tiff": (pages(*TWO)[: SIDE * SIDE * 2 + 300], "cut"),
    "three pages": (pages(*TWO, TWO[0]), "has 3 pages"),
    "pages of two sizes": (pages(TWO[0], TWO[1][:-1]), "different"),
    "pages of two depths": (pages(TWO[0], EIGHT), "different"),
    "one page of two told": (pages(TWO[0], text='{"high": "6 MV", "low": "4 MV"}'), "holds one page"),
    "one pixel": (pages(*(t[:1, :1] for t in TWO)), "less than 32 a side"),
    "a strip": (pages(*(t[:31] for t in TWO)), "less than 32 a side"),
    "30,000 pixels a side": (large_tiff(30_000, 30_000), "30000 x 30000 pixels"),
    "huge npy": (npy_header((30_000, 30_000, 2)), "30000 x 30000 pixels"),
    "huge png": (png_header(30_000, 30_000), "30000 x 30000 pixels"),
    "tiff longer than its strips": (large_tiff(480, 480), "damaged"),
    "all zero": (pages(*np.zeros((2, SIDE, SIDE), np.uint16)), "zero everywhere in its high"),
    "low zero": (pages(TWO[0], np.zeros_like(TWO[1])), "zero everywhere in its low"),
    "one energy, zero": (pages(np.zeros((SIDE, SIDE), np.uint16)), "zero everywhere"),
    "8 bits": (pages(EIGHT), "8-bit picture"),
    "8 bits twice": (pages(EIGHT, EIGHT), "8-bit picture"),
    "8-bit colours": (pages(np.dstack([EIGHT] * 3), photometric="rgb"), "8-bit picture"),
    "8-bit png": (imagecodecs.png_encode(EIGHT), "8-bit picture"),
    "jpeg": (imagecodecs.jpeg8_encode(np.dstack([EIGHT] * 3)), "8-bit picture"),
    "8-bit npy": (npy(EIGHT), "8-bit picture"),
    "disguise by 257": (pages(*[EIGHT.astype(np.uint16) * 257] * 2), "multiples of 257"),
    "disguise by 256": (pages(*[EIGHT.astype(np.uint16) * 256] * 2), "multiples of 256"),
    "disguise unscaled": (pages(*[EIGHT.astype(np.uint16)] * 2), "no value above 255"),
    "disguise in png": (imagecodecs.png_encode(EIGHT.astype(np.uint16) * 257), "multiples of 257"),
    "disguise in floats": (npy(np.stack([EIGHT / 255.0] * 2)), "divided by 255"),
    "16-bit colours": (imagecodecs.png_encode(noise((SIDE, SIDE, 3))), "16-bit colours"),
    "16-bit colour tiff": (pages(noise((SIDE, SIDE, 3)), photometric="rgb"), "three channels"),
    "nan": (npy(with_value(np.nan)), "1 values that are NaN"),
    "infinite": (npy(with_value(np.inf)), "NaN or infinite"),
    "nan in tiff": (pages(*with_value(np.nan)), "NaN"),
    "floats of counts": (npy(with_value(40_000.0)), "no transmissions"),
    "negative floats": (npy(with_value(-0.3)), "no transmissions"),
    "float16": (npy(with_value(0.5).astype(np.float16)), "float16"),
    "int32": (npy(noise((2, SIDE, SIDE)).astype(np.int32)), "int32"),
    "int16 tiff": (pages(*(t.astype(np.int16) for t in TWO)), "int16"),
    "uint32 tiff": (pages(*(t.astype(np.uint32) for t in TWO)), "uint32"),
    "pickle": (PICKLED.getvalue(), "Python objects"),
    "structured npy": (npy(np.zeros((SIDE, SIDE), [("high", "u2"), ("low", "u2")])), "Python objects"),
    "cut npy": (npy(np.stack(TWO))[:-1], "cut"),
    "npy header": (npy(np.stack(TWO))[:40], "header"),
    "npy of five channels": (npy(noise((SIDE, SIDE, 5))), "shape (48, 48, 5)"),
    "npy of four axes": (npy(noise((2, SIDE, SIDE, 2))), "array of shape"),
    "cut png": (imagecodecs.png_encode(noise())[:-30], "cut"),
    "damaged png": (imagecodecs.png_encode(noise())[:500] + b"xx" + imagecodecs.png_encode(noise())[502:], "checksum"),
    "cut dicom": (bytes(128) + b"DICM" + bytes(20), ""),
    "kind": (pages(*TWO, text='{"scanner": "mail"}'), 'describes its scanner as "mail"'),
    "negative pixel": (pages(*TWO, text='{"pixel_mm": -1}'), "pixel size of -1"),
    "nan pixel": (pages(*TWO, text='{"pixel_mm": NaN}'), "pixel size of nan"),
    "huge pixel": (pages(*TWO, text='{"pixel_mm": 1e9}'), "pixel size of 1e+09"),
    "endless pixel": (pages(*TWO, text='{"pixel_mm": 1%s}' % ("0" * 400)), "no size in mm"),
    "pixel in words": (pages(*TWO, text='{"pixel_mm": "four"}'), "no size in mm"),
    "pixel true": (pages(*TWO, text='{"pixel_mm": true}'), "no size in mm"),
    "energy as number": (pages(*TWO, text='{"high": 6}'), "high energy as 6"),
    "energies swapped": (pages(*TWO, text='{"high": "4 MV", "low": "6 MV"}'), "high energy first"),
    "parcel at 6 MV": (pages(*TWO, text='{"scanner": "parcel", "high": "6 MV"}'), "parcel scanner that works at 6 MV"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(tmp_path, case):
    data, reason = BAD[case]
    path = tmp_path / "scan.tif"
    path.write_bytes(data)
    with pytest.raises(ScanError) as caught:
        read_scan(path)
    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.reason
    assert len(caught.value.remedy) > 10
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ScanError, match="does not exist"):
        read_scan(tmp_path / "none.tif")


def test_folder(tmp_path):
    with pytest.raises(ScanError, match="is a folder"):
        read_scan(tmp_path)


@pytest.mark.parametrize("name", ["a\0b.tif", "x" * 300 + ".tif"])
def test_impossible_names(tmp_path, name):
    with pytest.raises(ScanError):
        read_scan(tmp_path / name)


def test_not_a_file():
    with pytest.raises(ScanError, match="is not a file"):
        read_scan("/dev/null")


def test_no_permission(tmp_path):
    path, closed = tmp_path / "a.tif", tmp_path / "closed"
    path.write_bytes(CANONICAL)
    path.chmod(0)
    closed.mkdir()
    closed.chmod(0)
    root = os.geteuid() == 0
    if root:  # who is allowed everything tries as nobody, who must be let as far as here
        for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
            folder.chmod(0o755)
        os.seteuid(65534)
    try:
        with pytest.raises(ScanError, match="may not be read by this user"):
            read_scan(path)
        assert find_scans([tmp_path]) == [path, closed]
        with pytest.raises(ScanError, match="may not be read by this user"):
            read_scan(closed)
    finally:
        if root:
            os.seteuid(0)
        closed.chmod(0o755)


def test_a_file_too_large_is_not_loaded(tmp_path):
    with (tmp_path / "a.npy").open("wb") as stream:
        stream.truncate(5_000_000_000)
    with pytest.raises(ScanError, match="5.0 GB"):
        read_scan(tmp_path / "a.npy")


@pytest.mark.parametrize("present", ["high", "low"])
def test_half_a_pair(tmp_path, present):
    other = {"high": "low", "low": "high"}[present]
    path = tmp_path / f"X_{present}.png"
    path.write_bytes(imagecodecs.png_encode(noise()))
    with pytest.raises(ScanError, match=f"other half, X_{other}.png, is missing"):
        read_scan(path)


def test_halves_that_do_not_fit(tmp_path):
    (tmp_path / "X_high.png").write_bytes(imagecodecs.png_encode(noise()))
    (tmp_path / "X_low.png").write_bytes(imagecodecs.png_encode(noise((SIDE, SIDE + 1))))
    with pytest.raises(ScanError, match="48 x 48 pixels, its other half X_low.png 48 x 49"):
        read_scan(tmp_path / "X_low.png")


def test_a_whole_scan_named_like_a_half(tmp_path):
    """Alone it is read; beside its namesake it would be lost, so that is an error."""
    (tmp_path / "X_high.tif").write_bytes(CANONICAL)
    assert read_scan(tmp_path / "X_high.tif").fidelity == "dual"
    (tmp_path / "X_low.tif").write_bytes(CANONICAL)
    with pytest.raises(ScanError, match="holds two energies by itself"):
        read_scan(tmp_path / "X_low.tif")


def test_no_picture_passes_undeclared_by_another_route(tmp_path):
    """Declared pseudo-colour opens 8-bit pictures, not disguised ones."""
    (tmp_path / "a.tif").write_bytes(BAD["disguise by 257"][0])
    with pytest.raises(ScanError, match="multiples of 257"):
        read_scan(tmp_path / "a.tif", pseudocolour=True)
    (tmp_path / "b.jpg").write_bytes(BAD["jpeg"][0][:200])
    with pytest.raises(ScanError):
        read_scan(tmp_path / "b.jpg", pseudocolour=True)


def test_a_damaged_file_leaves_stderr_alone(tmp_path, capfd):
    for i, (data, _) in enumerate(BAD.values()):
        (tmp_path / f"{i}.tif").write_bytes(data)
        with pytest.raises(ScanError):
            read_scan(tmp_path / f"{i}.tif")
    assert capfd.readouterr() == ("", "")


def test_writing_where_it_cannot(tmp_path):
    scan = Scan(np.ones((2, SIDE, SIDE), np.float32))
    with pytest.raises(LeadlineError, match="cannot be written"):
        write_scan(scan, tmp_path / "none" / "a.tif")
    assert list(tmp_path.iterdir()) == []
