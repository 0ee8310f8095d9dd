"""A real station in a process of its own, and a real browser before it."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadline.datasets.formats import write_scan
from leadline.datasets.scan import Scan

FLAGS = ["--no-sandbox", "--disable-background-networking", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PROGRAM = "from leadline.inference.cli import main; main(prog_name='leadline')"


class Running:
    """A station that was started.

    Attributes:
        url: where it listens.
        data: its data folder.
        client: asks it.
    """

    def __init__(self, arguments: list[str], data: Path, verify: ssl.SSLContext | bool = True) -> None:
        self.arguments, self.data, self.verify = arguments, data, verify
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", PROGRAM, "serve", "--port", "0", "--data", str(self.data), *self.arguments]
        log = (self.data.parent / f"{self.data.name}.log").open("ab")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        log.close()
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        self.banner = self.process.stdout.readline() if ready else ""
        found = re.search(r"https?://\S+", self.banner)
        assert found, self.log()
        self.url = found.group().rstrip("/")
        self.client = httpx.Client(base_url=self.url, verify=self.verify, timeout=60, trust_env=False)

    def log(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text()

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        self.client.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """What Ctrl-C does; gives the exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def post(self, path: Path, name: str | None = None, **form: str) -> str:
        """Send a scan; gives its identifier."""
        answer = self.client.post("/api/scans", files={"file": (name or path.name, path.read_bytes())}, data=form)
        assert answer.status_code in (200, 201), answer.text
        identifier: str = answer.json()["id"]
        return identifier

    def scans(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get("/api/scans?limit=500").json()["scans"]
        return found

    def judged(self, scan: str, seconds: float = 60) -> dict[str, Any]:
        """A scan with all that is known of it, once it was judged."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found: dict[str, Any] = self.client.get(f"/api/scans/{scan}").json()
            if found["summary"]["state"] in ("screened", "failed"):
                return found
            time.sleep(0.05)
        raise AssertionError(f"{scan} was not judged: {self.log()}")


Start = Callable[..., Running]


@pytest.fixture(scope="module")
def start(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start stations; all are stopped at the end, and none may have failed on a request."""
    running: list[Running] = []

    def begin(*arguments: object, data: Path | None = None, verify: ssl.SSLContext | bool = True) -> Running:
        given = [str(a) for a in arguments]
        for path in models.values():
            given += ["--model", str(path)]
        folder = data or tmp_path_factory.mktemp("station") / "data"
        running.append(Running(given, folder, verify))
        return running[-1]

    yield begin
    for station in running:
        station.stop()
        assert "Traceback" not in station.log(), station.log()


@pytest.fixture(scope="module")
def station(start: Start) -> Running:
    """One station for a module's tests, on loopback, without a login."""
    return start()


@pytest.fixture
def scan_file(picture: Callable[..., Scan], tmp_path: Path) -> Callable[..., Path]:
    """Write a scan: `dense` ones alarm, others are clear; every call gives other pixels."""
    count = iter(range(10_000))

    def write(name: str = "scan.tif", dense: bool = True, kind: str = "parcel", **values: Any) -> Path:
        number = next(count)
        seed = values.pop("seed", 1000 * (sum(map(ord, name + str(tmp_path))) % 100_000) + number)
        attenuation = 3.0 if dense else 0.6
        path = tmp_path / name
        write_scan(picture(kind, boxes=((30, 20, 90, 60, attenuation),), seed=seed, **values), path)
        return path

    return write


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright. Never skipped where CI installs it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("LEADLINE_BROWSER") == "required":
            pytest.fail("chromium is not installed: apt-get install chromium")
        pytest.skip("needs Chromium (Debian: apt-get install chromium fonts-noto-cjk)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh page; a script error, a foreign request or a refused resource fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 860}, locale="en-GB", ignore_https_errors=True)
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    # An answer of 4xx is told by the tests; a station that is down, by the one that restarts it.
    expected = re.compile(r"status of 4|net::ERR_(CONNECTION|INCOMPLETE|EMPTY)")
    opened.on("console", lambda m: errors.append(m.text) if m.type == "error" and not expected.search(m.text) else None)
    foreign: list[str] = []
    opened.on(
        "request",
        lambda r: (
            None if re.match(r"(https?://(127\.0\.0\.1|localhost)|data:|blob:)", r.url) else foreign.append(r.url)
        ),
    )
    yield opened
    context.close()
    assert not errors
    assert not foreign
