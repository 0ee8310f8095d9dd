"""Scans on disk: finding, reading and writing them."""

from leadline.datasets.formats.files import find_scans
from leadline.datasets.formats.read import read_scan
from leadline.datasets.formats.write import write_scan

__all__ = ["find_scans", "read_scan", "write_scan"]
