"""Archives of small scans, and what runs them; the databases are those of the ledger's tests."""

from __future__ import annotations

import importlib.util
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadline.datasets.formats import write_scan
from leadline.inference.ledger import Ledger, Row

_spec = importlib.util.spec_from_file_location(
    "ledger_conftest", Path(__file__).parent.parent / "ledger" / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)
postgresql, place, leadline = _shared.postgresql, _shared.place, _shared.leadline

Verdicts = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory, picture: Any) -> Path:
    """A folder of 40 different scans; every fourth hides what the test model takes for rare-earth oxide."""
    folder = tmp_path_factory.mktemp("scans")
    for n in range(40):
        box = (30, 20, 90, 60, 3.0 if n % 4 == 0 else 1.0)
        sub = folder / f"day{n // 20}"
        sub.mkdir(exist_ok=True)
        write_scan(picture(boxes=(box,), seed=n), sub / f"scan{n:03}.tif")
    return folder


@pytest.fixture(scope="session")
def run_rescore(leadline: Any, models: dict[str, Path]) -> Callable[..., Any]:
    """`leadline rescore` with the parcel model and one worker."""

    def run(*arguments: object, model: Path | None = None, workers: int = 1, **options: object) -> Any:
        return leadline("rescore", *arguments, "--model", model or models["parcel"], "--workers", workers, **options)

    return run


def matters(ledger: str | Path, kinds: tuple[str, ...] = ("verdict", "failure", "shadow")) -> list[Row]:
    """The rows of a ledger."""
    with Ledger.open(ledger, create=False) as opened:
        return list(opened.rows(kinds=kinds))


@pytest.fixture(scope="session", name="matters")
def matters_fixture() -> Callable[..., list[Row]]:
    """`matters`, for test modules."""
    return matters


@pytest.fixture(scope="session")
def wait_for_rows() -> Callable[..., None]:
    """Waits until a run has recorded so many rows, or is over."""

    def wait(place: str | Path, count: int, process: subprocess.Popen[str]) -> None:
        while process.poll() is None:
            if "://" in str(place) or Path(place).exists():
                try:
                    with Ledger.open(place, create=False) as ledger:
                        if ledger.head()[0] >= count:
                            return
                except Exception:
                    pass
            time.sleep(0.05)

    return wait
