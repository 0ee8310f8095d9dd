"""Which files of a folder are scans."""

from __future__ import annotations

import os

import imagecodecs
import numpy as np
import pytest

from leadline.datasets.formats import find_scans, read_scan, write_scan
from leadline.datasets.scan import Scan

VALUES = np.random.default_rng(0).uniform(0, 1, (2, 40, 40)).astype(np.float32)
SIXTEEN = imagecodecs.png_encode((VALUES[0] * 65535).astype(np.uint16))
EIGHT = imagecodecs.png_encode((VALUES[0] * 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path):
    for name in ("b.tif", "sub/c.tiff", "sub/deep/no-suffix", ".hidden/x.tif", ".y.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_scan(Scan(VALUES), tmp_path / name)
    for name in ("X_high.png", "X_low.png", "a.png"):
        (tmp_path / name).write_bytes(SIXTEEN)
    (tmp_path / "overlay.png").write_bytes(EIGHT)
    (tmp_path / "photo.jpg").write_bytes(imagecodecs.jpeg8_encode((VALUES[0] * 255).astype(np.uint8)))
    (tmp_path / "README.md").write_text("scans of lane 2")
    (tmp_path / "manifest.csv").write_text("path,hs_code,description\n")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "note.tif").write_text("no scan, but named like one")
    os.mkfifo(tmp_path / "pipe.tif")
    return tmp_path


def names(paths, folder):
    return [str(path.relative_to(folder)) for path in paths]


SCANS = ["X_high.png", "a.png", "b.tif", "empty.tif", "note.tif", "sub/c.tiff", "sub/deep/no-suffix"]


def test_a_folder(folder):
    assert names(find_scans([folder]), folder) == SCANS


def test_pictures_only_when_declared(folder):
    found = names(find_scans([folder], pseudocolour=True), folder)
    assert found == sorted([*SCANS, "overlay.png", "photo.jpg"], key=lambda n: ("/" in n, n.count("/"), n))


def test_named_files_are_always_taken(folder):
    given = [folder / "README.md", folder / "none.tif", folder / "photo.jpg"]
    assert find_scans(given) == given


def test_nothing_twice(folder):
    given = [folder / "X_low.png", folder / "X_high.png", folder, str(folder / "sub" / ".." / "b.tif")]
    assert names(find_scans(given), folder) == SCANS


def test_order_follows_the_arguments(folder):
    assert names(find_scans([folder / "b.tif", folder]), folder)[:3] == ["b.tif", "X_high.png", "a.png"]


def test_what_is_found_can_be_read(folder):
    for path in find_scans([folder]):
        if path.name not in ("empty.tif", "note.tif"):
            assert read_scan(path).shape == (40, 40)


def test_an_empty_folder(tmp_path):
    assert find_scans([tmp_path]) == []
    assert find_scans([]) == []
