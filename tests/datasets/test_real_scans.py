"""Real files, read where they lie beside the source tree; the tests are skipped where they do not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from leadline.datasets.formats import find_scans, read_scan, write_scan
from leadline.datasets.scan import ScanError


@pytest.mark.parametrize(("name", "shape"), [("6.npy", (671, 1360)), ("8.npy", (682, 1390)), ("10.npy", (675, 1220))])
def test_cargo_at_two_energies(real_scans: Path, name: str, shape: tuple[int, int]) -> None:
    path = real_scans / "cargo_dual_6_4MeV" / name
    scan = read_scan(path, scanner="container")
    assert (scan.shape, scan.fidelity, scan.scanner.kind) == (shape, "dual", "container")
    assert scan.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    stored = np.load(path)
    np.testing.assert_array_equal(scan.transmission, np.moveaxis(stored / 65535, -1, 0).astype(np.float32))
    zero = (scan.transmission[0] == 0).mean()
    assert 0.01 < zero < 0.2  # the folder's page: 2 to 13 % of the pixels read 0
    goods = (scan.transmission > 0.05).all(axis=0) & (scan.transmission < 0.7).all(axis=0)
    high, low = -np.log(scan.transmission[:, goods])
    assert 1.06 < np.median(low / high) < 1.12  # the same page: 1.08 to 1.10, so channel 0 is the high energy


def test_cargo_written_canonically_is_the_same(real_scans: Path, tmp_path: Path) -> None:
    scan = read_scan(real_scans / "cargo_dual_6_4MeV" / "6.npy", scanner="container")
    write_scan(scan, tmp_path / "6.tif")
    again = read_scan(tmp_path / "6.tif")
    np.testing.assert_array_equal(again.transmission, scan.transmission)
    assert again.scanner == scan.scanner


def test_food_at_one_energy(real_scans: Path) -> None:
    paths = find_scans([real_scans / "food_16bit"])
    assert len(paths) == 4
    for path in paths:  # their names are not ASCII
        scan = read_scan(path)
        assert (scan.fidelity, scan.scanner.kind) == ("single", None)
        stored = tifffile.imread(path)
        np.testing.assert_array_equal(scan.transmission[0], (stored / 65535).astype(np.float32))
        np.testing.assert_array_equal(scan.transmission[0], scan.transmission[1])


def test_big_endian_at_one_energy(real_scans: Path) -> None:
    path = real_scans / "nist_n4255" / "N4255_1.tif"
    assert path.read_bytes()[:2] == b"MM"
    scan = read_scan(path)
    assert (scan.shape, scan.fidelity) == ((1754, 1042), "single")
    assert scan.transmission.min() == np.float32(17564 / 65535)
    assert scan.transmission.max() == np.float32(27841 / 65535)


@pytest.mark.parametrize("folder", ["sixray/benign", "sixray/positive", "sixray/voc", "voc_foreign_body/images"])
def test_pictures(real_scans: Path, folder: str) -> None:
    assert find_scans([real_scans / folder]) == []
    paths = find_scans([real_scans / folder], pseudocolour=True)[:3]
    assert paths
    for path in paths:
        with pytest.raises(ScanError, match="8-bit picture"):
            read_scan(path)
        scan = read_scan(path, pseudocolour=True)
        assert scan.fidelity == "pseudocolour"
        assert scan.scanner.kind is None
        assert scan.transmission.max() > 0.95  # white background is open beam
