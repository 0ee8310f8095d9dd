"""Small fakes of data sets: pictures of a few kilobytes in the form that each set has on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

Draw = Callable[..., Path]


@pytest.fixture
def draw() -> Draw:
    """`draw(path, rows=48, columns=64, bits=8, channels=3)` writes a picture of its name's format and returns the path.

    Gradients with noise, so that 16-bit values are no 8-bit ones in disguise.
    """

    def make(path: Path, rows: int = 48, columns: int = 64, bits: int = 8, channels: int = 3) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(len(path.name) + rows)
        full = 2**bits - 1
        values = np.linspace(0.3, 0.9, columns)[None, :, None] * random.uniform(0.9, 1, (rows, columns, channels))
        values = np.rint(values * full).astype(np.uint8 if bits == 8 else np.uint16)
        if path.suffix == ".npy":
            np.save(path, values[..., 0] if channels == 1 else values)
        elif path.suffix in (".tif", ".tiff"):
            tifffile.imwrite(
                path, values[..., 0] if channels == 1 else np.moveaxis(values, -1, 0), photometric="minisblack"
            )
        else:
            assert cv2.imwrite(str(path), values[..., 0] if channels == 1 else values)
        return path

    return make
