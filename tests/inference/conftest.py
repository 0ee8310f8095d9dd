"""Scans with known contents, and real model files whose weights are random."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leadline.datasets.formats import write_scan
from leadline.datasets.scan import Declaration, Kind, Scan, Scanner

SCANNERS = {
    "parcel": Scanner("parcel", "160 kV", "80 kV", 1.5),
    "container": Scanner("container", "6 MV", "4 MV", 5.0),
}
RATIO = {"parcel": 1.6, "container": 1.09}
"""-ln T at the low energy over that at the high one, of everyday goods."""


def picture(
    kind: Kind = "parcel",
    shape: tuple[int, int] = (96, 128),
    boxes: tuple[tuple[int, int, int, int, float], ...] = ((30, 20, 90, 60, 1.0),),
    noise: float = 0.005,
    seed: int = 0,
    declaration: Declaration | None = None,
    **scanner: object,
) -> Scan:
    """A scan of boxes (x0, y0, x1, y1, attenuation) in air, with the counting noise of `noise` in open beam."""
    attenuation = np.zeros(shape)
    for x0, y0, x1, y1, a in boxes:
        attenuation[y0:y1, x0:x1] += a
    t = np.exp(-np.stack((attenuation, RATIO[kind] * attenuation)))
    t += noise * np.sqrt(t) * np.random.default_rng(seed).standard_normal(t.shape)
    told = Scanner(**{**vars(SCANNERS[kind]), **scanner})
    return Scan(np.clip(t, 0, 1.2).astype(np.float32), told, declaration, path="scan.tif", sha256="0" * 64)


Picture = Callable[..., Scan]


@pytest.fixture(scope="session", name="picture")
def picture_fixture() -> Picture:
    """`picture`, for test modules: they cannot import a conftest."""
    return picture


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """A small untrained model of each kind, exported as a released one is."""
    from leadline.models.export import export_untrained

    folder = tmp_path_factory.mktemp("models")
    small = {"widths": (16, 16, 16, 16), "blocks": (0, 0, 0, 0), "decoder": 16, "embedding": 8}
    return {kind: export_untrained(kind, folder / f"{kind}.onnx", **small) for kind in ("parcel", "container")}


@pytest.fixture
def parcel_file(tmp_path: Path) -> Path:
    """A canonical TIFF of a parcel."""
    path = tmp_path / "parcel.tif"
    write_scan(picture("parcel"), path)
    return path


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def leadline() -> Command:
    """Run the real command in a process of its own; `OMP_NUM_THREADS` and the environment are as given."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", "from leadline.inference.cli import main; main(prog_name='leadline')"]
        settings: dict = {"capture_output": True, "text": True, "env": os.environ | {"COLUMNS": "100"}} | options
        return subprocess.run([*program, *map(str, arguments)], **settings)

    return run
