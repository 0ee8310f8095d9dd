import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from leadline.models.config import NetworkConfig, config_for
from leadline.training.fit import fit
from leadline.training.module import FitConfig

TINY = {"widths": (16, 16, 16, 16), "blocks": (0, 1, 1, 1), "decoder": 16, "pixel_width": 8, "embedding": 12}
SHORT = {
    "steps": 2, "batch": 4, "workers": 0, "canvas": (128, 160), "validation": 0, "average": 0.5, "bf16": False,
    "scenes": 3, "reuse": 1.0, "save_minutes": 0.0,
}  # fmt: skip
RUN = """
seed = 4
out = "run"
[fit]
minutes = 0.0
steps = 2
batch = 4
canvas = [128, 160]
validation = 0
save_minutes = 0.0
average = 0.5
bf16 = false
heads = {heads}
[scans]
workers = 0
[machine]
threads = 1
[network]
widths = [16, 16, 16, 16]
blocks = [0, 1, 1, 1]
decoder = 16
pixel_width = 8
embedding = 12
"""


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    """Writes the configuration of a run of two steps into a folder, as `small.toml`."""

    def write(folder: Path, first: str = 'kind = "parcel"', heads: int = 0) -> Path:
        path = folder / "small.toml"
        path.write_text(f"{first}{RUN.format(heads=heads)}", "utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def tiny() -> NetworkConfig:
    """A network small enough for tests."""
    return config_for("parcel", **TINY)


@pytest.fixture(scope="session")
def short(tiny: NetworkConfig, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., FitConfig]:
    """Makes fits of two steps on a small canvas, in this process, on scenes that are kept on disk."""
    scenes = tmp_path_factory.mktemp("scenes")
    return lambda out, **changes: FitConfig(tiny, out, **(SHORT | {"cache": scenes} | changes))


@pytest.fixture(scope="session")
def checkpoint(short: Callable[..., FitConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The final checkpoint of a fit of two steps."""
    return fit(short(tmp_path_factory.mktemp("fit") / "run"), progress=False)


@pytest.fixture(scope="session")
def full_after() -> Callable[[int], AbstractContextManager[None]]:
    """`with full_after(size)`: files cannot grow beyond so many bytes, as on a disk that fills up."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
