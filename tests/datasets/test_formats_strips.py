"""Strips of TIFF pages decoded in place: the same pixels as the library gives, and no more files than it takes."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
import tifffile

from leadline.datasets.formats import read, read_scan, strips, tiff
from leadline.datasets.scan import ScanError

PAGES = np.random.default_rng(3).integers(300, 65536, (2, 75, 61), dtype=np.uint16)

FORMS = {
    "deflate": {"compression": "zlib"},
    "deflate, difference": {"compression": "zlib", "predictor": True},
    "LZW": {"compression": "lzw"},
    "LZW, difference": {"compression": "lzw", "predictor": True},
    "PackBits": {"compression": "packbits"},
    "zstd": {"compression": "zstd"},
    "zstd, difference": {"compression": "zstd", "predictor": True},
}


def written(pages: np.ndarray, order: str = "<", **options) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, byteorder=order) as writer:
        for page in pages:
            writer.write(page, photometric="minisblack", metadata=None, **options)
    return stream.getvalue()


def opened(data: bytes) -> list[tifffile.TiffPage]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return [file.pages[i].aspage() for i in range(len(file.pages))]


@pytest.mark.parametrize("rows", [1, 16, 75, 200])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", FORMS)
def test_compressed_strips(form, order, rows):
    data = written(PAGES, order, rowsperstrip=rows, **FORMS[form])
    out = np.zeros_like(PAGES)
    assert strips.decode(opened(data), data, out)
    np.testing.assert_array_equal(out, PAGES)


def test_strips_by_several_threads(monkeypatch):
    monkeypatch.setattr(strips, "LEAST_SHARED", 1)
    data = written(PAGES, ">", rowsperstrip=4, compression="zlib", predictor=True)
    decoded = tiff.decode(data, threads=3)
    np.testing.assert_array_equal(decoded.planes, PAGES)


@pytest.mark.parametrize("rows", [16, 75])
@pytest.mark.parametrize("order", ["<", ">"])
def test_plain_pages_are_not_copied(order, rows):
    data = written(PAGES, order, rowsperstrip=rows)
    view = strips.in_place(opened(data), data)
    np.testing.assert_array_equal(view, PAGES)
    assert np.shares_memory(view, np.frombuffer(data, np.uint8))


def test_a_plain_single_page():
    data = written(PAGES[:1])
    np.testing.assert_array_equal(tiff.decode(data).planes, PAGES[:1])


def test_plain_pages_whose_strips_lie_apart():
    """The second strip is moved to the end of the file: no view can have it, the library reads it."""
    data = bytearray(written(PAGES, rowsperstrip=40))
    pages = opened(bytes(data))
    start, count = pages[0].dataoffsets[1], pages[0].databytecounts[1]
    tag = pages[0].tags["StripOffsets"]
    data[tag.valueoffset + 4 : tag.valueoffset + 8] = len(data).to_bytes(4, "little")
    data += data[start : start + count]
    data[start : start + count] = bytes(count)
    moved = bytes(data)
    assert strips.in_place(opened(moved), moved) is None
    np.testing.assert_array_equal(tiff.decode(moved).planes, PAGES)


def test_plain_pages_the_second_before_the_first():
    data = bytearray(written(PAGES))
    first, second = (page.tags["StripOffsets"].valueoffset for page in opened(bytes(data)))
    data[first : first + 4], data[second : second + 4] = data[second : second + 4], data[first : first + 4]
    np.testing.assert_array_equal(tiff.decode(bytes(data)).planes, PAGES[::-1])


@pytest.mark.parametrize("options", [{"tile": (16, 32), "compression": "zlib"}, {"compression": "lzma"}])
def test_what_is_left_to_the_library(options):
    data = written(PAGES, **options)
    assert not strips.decode(opened(data), data, np.zeros_like(PAGES))


@pytest.mark.parametrize("form", ["deflate", "zstd", "PackBits"])
def test_a_strip_that_ends_early_is_refused(tmp_path, form):
    """Half the rows are there, and the header promises all: nothing may be made up for the others."""
    data = bytearray(written(PAGES, rowsperstrip=200, **FORMS[form]))
    half = written(PAGES[:, :37], rowsperstrip=200, **FORMS[form])
    page, other = opened(bytes(data))[0], opened(half)[0]
    strip = half[other.dataoffsets[0] : other.dataoffsets[0] + other.databytecounts[0]]
    for name, value in (("StripOffsets", len(data)), ("StripByteCounts", len(strip))):
        tag = page.tags[name]
        data[tag.offset + 2 : tag.offset + 4] = (4).to_bytes(2, "little")
        data[tag.offset + 8 : tag.offset + 12] = value.to_bytes(4, "little")
    short = bytes(data + strip)
    assert not strips.decode(opened(short), short, np.zeros_like(PAGES))
    (tmp_path / "a.tif").write_bytes(short)
    with pytest.raises(ScanError, match="damaged"):
        read_scan(tmp_path / "a.tif")


def test_a_file_read_by_several_threads(tmp_path):
    """Large enough that hash and strips go to threads of their own: the scan is the same to the bit."""
    pages = np.random.default_rng(5).integers(300, 65536, (2, 500, 520), dtype=np.uint16)
    path = tmp_path / "a.tif"
    path.write_bytes(written(pages, rowsperstrip=64, compression="zlib"))
    assert path.stat().st_size > read.LEAST_SHARED
    assert pages.size >= strips.LEAST_SHARED
    one, many = read_scan(path), read_scan(path, threads=4)
    assert one.sha256 == many.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_array_equal(one.transmission, many.transmission)
    np.testing.assert_array_equal(many.transmission, (pages / 65535).astype(np.float32))


def test_a_damaged_file_read_by_several_threads(tmp_path):
    pages = np.random.default_rng(5).integers(300, 65536, (2, 500, 520), dtype=np.uint16)
    data = bytearray(written(pages, rowsperstrip=64, compression="zlib"))
    middle = opened(bytes(data))[0].dataoffsets[3] + 50
    data[middle : middle + 40] = bytes(40)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ScanError, match="damaged"):
        read_scan(tmp_path / "a.tif", threads=2)
