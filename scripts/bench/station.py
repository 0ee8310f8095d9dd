#!/usr/bin/env python3
"""How fast is the operator station? From the last byte of a scan to its verdict on the screen, in a real browser.

Starts a station with a watched folder, opens as many pages as there are stations at work, and copies a scan into the
folder every few seconds. The clock runs from the copy's end until the page shows the scan's lamp (a MutationObserver
in the page notes the moment), and is told in parts: until the station took the scan, until it was judged, until it was
shown. Also measured: the first view of a browser that runs but has nothing in its cache (until it is live, until its
first paint, bytes), and frames a second while window and level are dragged over a scan of 1,000 x 3,000 pixels.

    scripts/bench/station.py                      four pages, a scan every 2 s, ten minutes
    scripts/bench/station.py --seconds 60 --pages 1 --every 3

Needs Chromium and Playwright, as the tests do.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from leadline.datasets.formats import write_scan
from leadline.datasets.scan import Scan, Scanner

FLAGS = ["--no-sandbox", "--disable-background-networking", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]

# Notes when each scan's verdict stands on the screen, by file name.
WATCH = """() => {
  window.shown = {};
  const note = () => requestAnimationFrame(() => {
    for (const card of document.querySelectorAll('.card')) {
      const name = card.querySelector('.what')?.textContent;
      if (name && !(name in window.shown) && ['clear', 'inspect', 'rescan'].includes(card.dataset.state)) {
        window.shown[name] = Date.now() / 1000;
      }
    }
  });
  new MutationObserver(note).observe(document.getElementById('queue'), {childList: true, subtree: true});
  document.getElementById('open-only').checked = true;
}"""

# Frames a second while the window changes with every frame; reading a pixel back waits for the GPU.
FRAMES = """async () => {
  const slider = document.getElementById('window'), gl = document.getElementById('picture').getContext('webgl2');
  const frame = () => new Promise((done) => requestAnimationFrame(done)), pixel = new Uint8Array(4);
  const start = performance.now();
  let frames = 0;
  while (performance.now() - start < 4000) {
    slider.value = 2 + 2 * Math.sin(frames / 9);
    slider.dispatchEvent(new Event('input'));
    await frame();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    frames++;
  }
  return 1000 * frames / (performance.now() - start);
}"""


def phantom(rows: int, columns: int, seed: int) -> Scan:
    """A container scan of boxes with noise; every seed gives another one."""
    generator = np.random.default_rng(seed)
    attenuation = np.zeros((rows, columns), np.float32)
    for _ in range(14):
        y, x = generator.integers(0, rows - 60), generator.integers(0, columns - 90)
        high, wide = generator.integers(40, rows // 2), generator.integers(60, columns // 4)
        attenuation[y : y + high, x : x + wide] += generator.uniform(0.1, 0.9)
    t = np.exp(-np.stack([attenuation, 1.09 * attenuation]))
    t += 0.016 * np.sqrt(t) * generator.standard_normal(t.shape, dtype=np.float32)
    return Scan(np.clip(t, 0, 1).astype(np.float32), Scanner("container", "6 MV", "4 MV", 5.0))


def start(data: Path, folder: Path, models: list[str]) -> tuple[subprocess.Popen[str], str]:
    """A station, and its address."""
    program = [sys.executable, "-c", "from leadline.inference.cli import main; main()", "serve", "--port", "0"]
    given = [a for m in models for a in ("--model", m)]
    command = [*program, "--data", str(data), "--watch", str(folder), *given]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None  # noqa: S101
    ready, _, _ = select.select([process.stdout], [], [], 120)
    line = process.stdout.readline() if ready else ""
    if "http" not in line:
        sys.exit(f"the station did not start: {line}")
    return process, next(w for w in line.split() if w.startswith("http")).rstrip("/")


def first_view(browser: Any, url: str) -> dict[str, float]:
    """Three views of a page by a browser that runs but has nothing in its cache; the median of each figure."""
    views = []
    for _ in range(3):
        page = browser.new_context(viewport={"width": 1440, "height": 860}).new_page()
        page.set_default_timeout(120_000)
        begin = time.perf_counter()
        page.goto(url, wait_until="commit")
        page.wait_for_selector("#connection:not(:empty)")
        live = time.perf_counter() - begin
        painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0") / 1000
        sizes = "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
        loaded = page.evaluate(f"{sizes}.reduce((sum, e) => sum + (e.transferSize || 0), 0)") / 1000
        views.append((live, painted, loaded))
        page.context.close()
    live, painted, loaded = (statistics.median(v) for v in zip(*views, strict=True))
    return {
        "first_view_s": round(live, 3),
        "first_paint_s": round(painted, 3),
        "first_view_kB": round(loaded, 1),
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the bench; gives its figures."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        top = Path(temporary)
        folder, spare = top / "in", top / "spare"
        folder.mkdir()
        spare.mkdir()
        count = int(arguments.seconds / arguments.every)
        distinct = min(count, 30)
        for i in range(distinct):
            write_scan(phantom(700, 1400, i), spare / f"{i}.tif")
        process, url = start(top / "data", folder, arguments.model)
        try:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            pages = [browser.new_page(viewport={"width": 1440, "height": 860}) for _ in range(arguments.pages)]
            for page in pages:
                page.set_default_timeout(120_000)
            pages[0].goto(url)  # the browser itself starts slowly; the first view is a page's, not its
            pages[0].wait_for_selector("#connection:not(:empty)")
            time.sleep(10)  # nor the station's, which warms its models up
            view = first_view(browser, url)
            for page in pages[1:]:
                page.goto(url)
                page.wait_for_selector("#connection:not(:empty)")
            for page in pages:
                page.evaluate(WATCH)
            written: dict[str, float] = {}
            begin = time.monotonic()
            for i in range(count):
                time.sleep(max(0.0, begin + i * arguments.every - time.monotonic()))
                name = f"scan{i:05d}.tif"
                data = (spare / f"{i % distinct}.tif").read_bytes()
                # The description makes each copy another scan: the same content is taken only once.
                (folder / name).with_suffix(".json").write_text(json.dumps({"description": f"tiles {i}"}))
                (folder / name).write_bytes(data)
                written[name] = time.time()
            end = time.monotonic() + 120  # a scan that is shown late is late, not lost
            while time.monotonic() < end:
                time.sleep(2)
                if all(page.evaluate("Object.keys(window.shown).length") >= count for page in pages):
                    break
            shown = [page.evaluate("window.shown") for page in pages]
            parts = _parts(httpx.get(f"{url}/api/scans?limit=500", trust_env=False).json()["scans"], written, shown)
            waits = [found[name] - at for found in shown for name, at in written.items() if name in found]
            lost = len(written) * len(pages) - len(waits)
            write_scan(phantom(1000, 3000, 999), folder / "large.tif")
            pages[0].bring_to_front()
            pages[0].click(".card:has-text('large.tif')", timeout=60_000)
            pages[0].wait_for_selector("#verdict .facts:has-text('large')", timeout=60_000)
            time.sleep(2)
            frames = pages[0].evaluate(FRAMES)
            browser.close()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    return {
        "pages": arguments.pages, "scans": count, "every_s": arguments.every, "not_shown": lost,
        "median_s": round(float(np.median(waits)), 3), "p95_s": round(float(np.quantile(waits, 0.95)), 3),
        "worst_s": round(max(waits), 3), **parts, **view,
        "frames_per_second_1000x3000": round(frames, 1),
    }  # fmt: skip


def _parts(scans: list[dict[str, Any]], written: dict[str, float], shown: list[dict[str, float]]) -> dict[str, float]:
    """Medians of what the wait is made of: until the station took the scan, until its verdict, until the screen."""
    taken, judged, drawn = [], [], []
    for scan in scans:
        if scan["name"] in written:
            taken.append(scan["arrived"] - written[scan["name"]])
            judged.append(scan["judged"] - scan["arrived"])
            drawn += [found[scan["name"]] - scan["judged"] for found in shown if scan["name"] in found]
    names = ("of_it_until_taken_s", "of_it_until_judged_s", "of_it_until_shown_s")
    return {n: round(float(np.median(v)), 3) for n, v in zip(names, (taken, judged, drawn), strict=True)}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=4, help="open pages (4)")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between scans (2)")
    parser.add_argument("--seconds", type=float, default=600.0, help="length (600)")
    parser.add_argument("--model", action="append", default=[], help="model file instead of the released one")
    print(json.dumps(measure(parser.parse_args()), indent=2))


if __name__ == "__main__":
    main()
