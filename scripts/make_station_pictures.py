#!/usr/bin/env python3
"""Draws the pictures of docs/station.md: a station with the bundled examples, in a real browser.

    scripts/make_station_pictures.py                       with the released models
    scripts/make_station_pictures.py --model parcel.onnx --model container.onnx

Needs Chromium, fonts-noto-cjk and Playwright, as the tests do. The supervisor's view is given a past: earlier copies
of the same scans over five weeks, with decisions, and an image noise that rises in the last days.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
FLAGS = ["--no-sandbox", "--disable-background-networking", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
NUMBERS = ("MSKU4170386", "TGHU8851207", "CSQU3054383", "HLXU6120944", "TCLU7719035", "BMOU2236618")
DAY = 86_400.0
PASSWORD = "a password of the pictures"
PROGRAM = [sys.executable, "-c", "from leadline.inference.cli import main; main()"]


class Station:
    """A station in a process of its own."""

    def __init__(self, data: Path, models: list[str]) -> None:
        self.data, self.models = data, models
        self.more: list[str] = []
        self.start()

    def start(self) -> None:
        models = [a for m in self.models for a in ("--model", m)]
        command = [*PROGRAM, "serve", "--port", "0", "--data", str(self.data), *self.more, *models]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None  # noqa: S101
        ready, _, _ = select.select([self.process.stdout], [], [], 120)
        line = self.process.stdout.readline() if ready else ""
        if "http" not in line:
            sys.exit(f"the station did not start: {line}")
        self.url = next(w for w in line.split() if w.startswith("http")).rstrip("/")
        self.client = httpx.Client(base_url=self.url, timeout=120, trust_env=False)

    def stop(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def send(self, path: Path, **papers: str) -> dict[str, Any]:
        """Send a scan and wait for its verdict."""
        given = {k: v for k, v in papers.items() if v}
        answer = self.client.post("/api/scans", files={"file": (path.name, path.read_bytes())}, data=given).json()
        while True:
            found: dict[str, Any] = self.client.get(f"/api/scans/{answer['id']}").json()["summary"]
            if found["state"] in ("screened", "failed"):
                return found
            time.sleep(0.2)


def invent_a_past(database: Path) -> None:
    """Five weeks of earlier copies of the station's scans, decided and in part inspected."""
    chance, now = random.Random(4), time.time()
    db = sqlite3.connect(database)
    db.row_factory = sqlite3.Row
    rows = [dict(row) for row in db.execute("SELECT * FROM scans WHERE state = 'screened'")]
    change = max(row["change"] for row in rows)
    for day in range(1, 36):
        for _ in range(chance.randint(5, 11)):
            row, change = dict(chance.choice(rows)), change + 1
            line = json.loads(row["line"])
            noise = line["quality"]["noise"] or 0.02
            line["quality"]["noise"] = noise * chance.uniform(0.9, 1.1) * (3 if day < 8 else 1)
            at, verdict = now - day * DAY + chance.uniform(0, 30_000), row["verdict"]
            decision = verdict if chance.random() < 0.9 else chance.choice(["clear", "inspect", "rescan"])
            reasons = ["known_shipper", "explained_by_documents", "random_check", "looks_suspicious"]
            row |= {
                "id": f"{change:024x}", "arrived": at, "judged": at + 1, "opened": at + 2, "decision": decision,
                "decided_by": chance.choice(["chen", "okafor", "silva"]), "decided_at": at + 2 + chance.uniform(8, 30),
                "override": None if decision == verdict else chance.choice(reasons), "line": json.dumps(line),
                "change": change, "embedding": None,
            }  # fmt: skip
            if decision == "inspect":
                found = chance.random() < 0.6
                row |= {"result": "found" if found else "not_found", "result_by": "chen", "result_at": at + 9000}
            db.execute(f"INSERT INTO scans ({','.join(row)}) VALUES ({','.join('?' * len(row))})", list(row.values()))
    db.commit()
    db.close()


def keep(page: Any, name: str) -> None:
    """A screenshot in 256 colours, which makes it small."""
    target = PICTURES / f"station-{name}.png"
    page.wait_for_timeout(1500)
    page.screenshot(path=target)
    with Image.open(target) as picture:
        small = picture.convert("RGB").resize((1080, 645), Image.Resampling.LANCZOS)
        small.quantize(256, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB", flush=True)


def draw(station: Station, best: dict[str, Any], coloured: dict[str, Any]) -> None:
    """All pictures of a station without a login."""

    def look(scan: dict[str, Any]) -> None:
        page.click(f".card[data-scan='{scan['id']}']")
        page.wait_for_selector(f"#stage[data-scan='{scan['id']}']")

    with opened(station) as page:
        page.wait_for_selector("#stage[data-scan]")
        look(best)
        box = page.locator("#stage").bounding_box()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        keep(page, "scan")
        look(coloured)
        page.keyboard.press("3")
        keep(page, "ratio")
        page.keyboard.press("4")
        keep(page, "areal")
        page.keyboard.press("1")
        page.keyboard.press("?")
        page.wait_for_selector("dialog[open]")
        keep(page, "keys")
        page.keyboard.press("Escape")
        page.click("#language-button")
        look(best)
        page.wait_for_timeout(1500)
        page.keyboard.press("c" if best["verdict"] != "clear" else "i")
        page.wait_for_selector("dialog[open]")
        keep(page, "chinese")
        page.keyboard.press("Escape")
        page.click("#language-button")
        page.click("[data-view=search]")
        page.fill("#search-text", "powder")
        page.click("#search-form button[type=submit]")
        keep(page, "search")
        page.click("[data-view=supervise]")
        page.wait_for_selector(".tile")
        keep(page, "supervisor")
        page.click("[data-view=station]")
        page.click("#theme-button")
        look(best)
        page.keyboard.press("i")
        if best["verdict"] != "inspect":
            page.wait_for_selector("dialog[open]")
            page.keyboard.press("6")
            page.keyboard.press("Enter")
        page.wait_for_selector("#found")
        page.evaluate("document.querySelector('.verdict').scrollTop = 9999")
        keep(page, "light")
        page.goto(f"{station.url}/api/scans/{best['id']}/report.en.html")
        keep(page, "report")


def draw_users(station: Station) -> None:
    """The pictures of a station that demands a login."""
    with opened(station) as page:
        page.wait_for_selector("#login-form")
        page.fill("#login-name", "chen")
        page.fill("#login-password", "not the password")
        page.click("#login-form button[type=submit]")
        page.wait_for_selector("#login-message:not(:empty)")
        keep(page, "login")
        page.fill("#login-name", "silva")
        page.fill("#login-password", PASSWORD)
        page.click("#login-form button[type=submit]")
        page.click("[data-view=users]")
        page.wait_for_selector("#user-table tr:has-text('chen')")
        keep(page, "users")


@contextmanager
def opened(station: Station) -> Iterator[Any]:
    """The station's page in a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or sys.exit("needs Chromium: apt-get install chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 860}, locale="en-GB")
        page.set_default_timeout(120_000)
        page.goto(station.url)
        yield page
        browser.close()


def add_users(data: Path) -> None:
    """Users of every role."""
    for name, role in (("chen", "operator"), ("okafor", "supervisor"), ("silva", "admin"), ("gate4", "machine")):
        password = [] if role == "machine" else ["--password-stdin"]
        command = [*PROGRAM, "user", "add", name, "--role", role, "--data", str(data), *password]
        subprocess.run(command, input=PASSWORD + "\n", text=True, check=True, capture_output=True)


def main() -> None:
    """Parse the command line, run a station, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], help="model file instead of the released one")
    models = parser.parse_args().model
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        station = Station(Path(folder) / "data", models)
        try:
            scans = []
            with (ROOT / "examples" / "manifest.csv").open(encoding="utf-8", newline="") as file:
                for number, row in enumerate(csv.DictReader(file)):
                    papers = {key: row[key] or "" for key in ("hs_code", "description")}
                    if "container" in row["path"]:
                        papers["container"] = NUMBERS[number % len(NUMBERS)]
                    scans.append(station.send(ROOT / "examples" / row["path"], **papers))
            for scan in scans:
                print(scan["name"], scan["verdict"], scan["score"], scan["error"] or "", flush=True)
            station.stop()
            invent_a_past(station.data / "station.db")
            station.start()
            alarms = [s for s in scans if s["verdict"] == "inspect"] or scans
            best = next((s for s in alarms if "powder" in s["name"]), alarms[0])
            coloured = next((s for s in alarms if s["container"]), alarms[-1])
            draw(station, best, coloured)
            station.stop()
            add_users(station.data)
            station.more = ["--login"]
            station.start()
            draw_users(station)
        finally:
            station.stop()


if __name__ == "__main__":
    main()
