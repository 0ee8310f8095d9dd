"""The page in a real browser: arrival, verdict, viewer, decision, report, search, languages, login, lock-out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]
ScanFile = Callable[..., Path]
SLOW = 60_000

# What the picture shows at a place, read from the canvas that the GPU drew.
PIXEL = """([x, y]) => {
  const gl = document.getElementById('picture').getContext('webgl2'), out = new Uint8Array(4);
  const [wide, high] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
  gl.readPixels(Math.round(x * wide), Math.round((1 - y) * high), 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, out);
  return [...out];
}"""

# Controls that a screen reader could not name.
NAMELESS = """() => [...document.querySelectorAll('button, input, select, a, [role=radio], textarea')]
  .filter((e) => e.offsetParent && !(e.innerText.trim() || e.getAttribute('aria-label') || e.labels?.length))
  .map((e) => e.outerHTML)"""

# Text below the contrast of 4.5 to 1 (WCAG 2.2, 1.4.3), with that contrast.
FAINT = """() => {
  const part = (v) => (v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4);
  const luminance = (c) => {
    const [r, g, b] = c.match(/[\\d.]+/g).map(Number);
    return .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$|transparent/.test(c)) return c;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('main:not([hidden]) *, header *')]
    .filter((e) => e.offsetParent && !e.closest('.legend, svg, .stage'))
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((e) => {
      const [a, b] = [luminance(getComputedStyle(e).color), luminance(ground(e))];
      return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.className + ' ' + e.innerText.slice(0, 30)];
    })
    .filter(([ratio]) => ratio < 4.5);
}"""


def colour(page: Any, x: float = 0.5, y: float = 0.5) -> list[int]:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found: list[int] = page.evaluate(PIXEL, [x, y])
    return found


def opened(page: Any, scan: str) -> None:
    """Wait until a scan is on the screen."""
    page.wait_for_selector(f"#stage[data-scan='{scan}']", timeout=SLOW)


@pytest.fixture(scope="module")
def busy(start: Start, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A station that watches a folder."""
    folder = tmp_path_factory.mktemp("lane")
    return start("--watch", folder), folder


def test_from_arrival_to_the_record(busy: tuple[Any, Path], page: Any, scan_file: ScanFile) -> None:
    """The operator's way: a scan comes up, is looked at, decided by keys, inspected, reported, found again."""
    station, folder = busy
    page.goto(station.url, timeout=SLOW)
    page.wait_for_selector("#connection:has-text('live')", timeout=SLOW)
    assert page.locator("#queue .card").count() == 0

    # Arrival by folder: no reload, lamp with word and shape, declared goods.
    path = scan_file("ABCU1234567.tif", declaration=None)
    papers = {"hs_code": "690721", "description": "<img src=x onerror=alert(1)> tiles"}
    (folder / "ABCU1234567.json").write_text(json.dumps(papers))
    shutil.copy(path, folder / "ABCU1234567.tif")
    page.wait_for_selector(".card[data-state=inspect]", timeout=SLOW)
    (scan,) = station.scans()
    opened(page, scan["id"])
    card = page.locator(".card[data-state=inspect]")
    assert "ABCU1234567" in card.inner_text()
    assert "<img src=x onerror=alert(1)> tiles" in card.inner_text()  # what a declarant wrote is text, never markup
    assert page.locator("main img[src='x']").count() == 0
    assert page.locator("#verdict .banner").inner_text().lower().startswith("inspect")
    assert page.locator("#verdict svg.lamp").count() == 1
    assert "rare-earth oxide" in page.locator("#reasons").inner_text()

    # The picture: dense goods dark, air bright; window by dragging; inverse; zoom; views; read-out; ruler.
    page.keyboard.press("h")
    page.keyboard.press("b")
    box = page.locator("#stage").bounding_box()
    dense, air = colour(page), colour(page, 0.1, 0.5)
    assert dense[0] < 90 < 200 < air[0]
    before = float(page.input_value("#window"))
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 350, box["y"] + 230, steps=3)
    page.mouse.up()
    assert float(page.input_value("#window")) > 1.2 * before
    assert colour(page)[0] > dense[0]  # a wider window makes the goods less dark
    page.keyboard.press("0")
    page.keyboard.press("v")
    assert colour(page)[0] > 200
    page.keyboard.press("v")
    shown = int(page.inner_text("#zoom-one").split()[0])
    page.keyboard.press("+")
    assert colour(page) is not None
    assert int(page.inner_text("#zoom-one").split()[0]) > shown
    page.keyboard.press("3")
    red, green, blue, _ = colour(page)
    assert max(red, green, blue) - min(red, green, blue) > 30  # the ratio is told in colour
    page.keyboard.press("4")
    red, green, blue, _ = colour(page)
    assert max(red, green, blue) - min(red, green, blue) > 30
    assert "g/cm²" in page.inner_text("#legend")
    page.keyboard.press("1")
    page.keyboard.press("h")
    hot = colour(page)
    assert hot[0] > hot[2] + 20  # the heat map lies over the goods
    page.keyboard.press("0")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    said = page.inner_text("#readout")
    assert re.search(r"x \d+, y \d+ · High 0\.0\d+ · Low .* g/cm² .* rare-earth oxide", said), said
    page.keyboard.press("m")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 100, box["y"] + box["height"] / 2, steps=2)
    page.mouse.up()
    assert re.search(r"Ruler \d+ mm", page.inner_text("#readout"))

    # The decision: an override asks why; then inspect with one key, and the result.
    page.keyboard.press("c")
    page.wait_for_selector("dialog[open] input")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")
    assert station.scans()[0]["decision"] is None
    page.keyboard.press("c")
    page.wait_for_selector("dialog[open] input")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.wait_for_selector("#decided:has-text('known shipper')")
    page.keyboard.press("i")
    page.wait_for_selector("#found")
    page.keyboard.press("f")
    page.wait_for_selector("dialog[open] input")
    page.keyboard.press("9")
    page.keyboard.press("Enter")
    page.wait_for_selector("#result:has-text('rare-earth oxide')")
    kept = station.scans()[0]
    assert (kept["decision"], kept["result"], kept["result_family"]) == ("inspect", "found", "rare_earth_oxide")
    kinds = [r["kind"] for r in station.client.get(f"/api/scans/{scan['id']}/history").json()]
    assert kinds == ["verdict", "decision", "decision", "result"]
    page.wait_for_selector("#history li:nth-child(4)")

    # The record: a self-contained report in a page of its own.
    with page.context.expect_page() as waiting:
        page.keyboard.press("p")
    report = waiting.value
    report.wait_for_load_state("load", timeout=SLOW)
    text = report.inner_text("body")
    assert kept["sha256"] in text
    assert "known shipper" in text
    assert report.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 300)")
    report.close()

    # Search.
    page.click("[data-view=search]")
    page.fill("#search-text", "abcu123")
    page.select_option("#search-decision", "inspect")
    page.click("#search-form button[type=submit]")
    page.wait_for_selector("#search-count:has-text('1 scans')")
    page.click(f"[data-open='{scan['id']}']")
    opened(page, scan["id"])

    # The supervisor's view.
    page.click("[data-view=supervise]")
    page.wait_for_selector(".tile")
    assert "[object" not in page.inner_text("#supervise")
    page.click("#check-ledger")
    page.wait_for_selector("#ledger-state:has-text('4 rows holds')")


def test_both_languages_themes_and_names(station: Any, page: Any, scan_file: ScanFile) -> None:
    """Chinese everywhere and kept over a reload; every control has a name; contrast holds in both themes."""
    scan = station.post(scan_file(), description="tile adhesive")
    station.judged(scan)
    page.goto(station.url, timeout=SLOW)
    page.click(f".card[data-scan='{scan}']", timeout=SLOW)
    opened(page, scan)
    assert page.evaluate(NAMELESS) == []
    english = page.inner_text("body")
    assert "[object" not in english
    assert page.locator("#more meter").count() >= 1
    page.click("#language-button")
    page.wait_for_selector("#verdict strong:has-text('查验')")
    assert page.get_attribute("html", "lang") == "zh-CN"
    assert "很可能含有未申报的监控物质" in page.inner_text("#reasons")
    for word in ("Queue", "Search", "Inverse", "Heat map", "Regions", "Window", "Declared", "live"):
        assert word in english
        assert word not in page.inner_text("body")
    page.reload(timeout=SLOW)
    page.wait_for_selector("#tabs button:has-text('检索')", timeout=SLOW)
    opened(page, page.evaluate("document.querySelector('.card[aria-current=true]')?.dataset.scan") or scan)
    assert page.evaluate(FAINT) == []
    page.click("#theme-button")
    assert page.get_attribute("html", "data-theme") == "light"
    assert page.evaluate(FAINT) == []


def test_the_keyboard_reaches_everything(station: Any, page: Any, scan_file: ScanFile) -> None:
    scans = [station.post(scan_file(f"{i}.tif", dense=i > 0)) for i in range(3)]
    for scan in scans:
        station.judged(scan)
    page.goto(station.url, timeout=SLOW)
    page.wait_for_selector("#stage[data-scan]", timeout=SLOW)
    first = page.get_attribute("#stage", "data-scan")
    page.keyboard.press("j")
    page.wait_for_selector(f"#stage:not([data-scan='{first}'])")
    page.keyboard.press("k")
    opened(page, first)
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open] dl")
    assert page.locator("dialog[open] dd").count() >= 8
    page.keyboard.press("Escape")
    seen: set[str] = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.decide || ''"))
    controls = "stage inverse edge heat boxes ruler window level clear inspect rescan report file open-only".split()
    assert {*controls, "theme-button", "language-button"} <= seen


def test_a_restart_under_an_open_page(busy: tuple[Any, Path], page: Any, scan_file: ScanFile) -> None:
    """The page finds the station again by itself, and shows what happened meanwhile."""
    station, folder = busy
    page.goto(station.url, timeout=SLOW)
    page.wait_for_selector("#connection:has-text('live')", timeout=SLOW)
    port = station.url.rsplit(":", 1)[1]
    station.kill()
    page.wait_for_selector("#connection.lost", timeout=SLOW)
    shutil.copy(scan_file("night.tif"), folder / "HLXU7654321.tif")
    station.arguments += ["--port", port]
    station.start()
    page.wait_for_selector(".card:has-text('HLXU7654321')[data-state=inspect]", timeout=SLOW)


def test_uploading_by_choosing_a_file(station: Any, page: Any, scan_file: ScanFile) -> None:
    page.goto(station.url, timeout=SLOW)
    page.wait_for_selector("#connection:has-text('live')", timeout=SLOW)
    page.set_input_files("#file", scan_file("TGHU1112223.tif", dense=False))
    page.fill("dialog [name=description]", "ceramic tiles")
    page.keyboard.press("Enter")
    page.wait_for_selector(".card:has-text('TGHU1112223')[data-state=clear]:has-text('ceramic tiles')", timeout=SLOW)


def test_the_interface_page_needs_nothing_from_outside(station: Any, page: Any) -> None:
    page.goto(f"{station.url}/api/docs", timeout=SLOW)
    page.wait_for_selector("h3:has-text('POST /api/scans')", timeout=SLOW)
    assert page.locator("section.panel").count() >= 20


def test_login_and_lock_out(start: Start, page: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    program = [sys.executable, "-c", "from leadline.inference.cli import main; main()", "user", "add"]
    for name, role in (("wei", "operator"), ("ana", "admin")):
        subprocess.run(
            [*program, name, "--role", role, "--password-stdin", "--data", str(data)],
            input="a long password\n", text=True, check=True, capture_output=True,
        )  # fmt: skip
    station = start("--login", data=data)
    page.goto(station.url, timeout=SLOW)
    page.wait_for_selector("#login-form", timeout=SLOW)
    assert not page.is_visible("#queue")

    def try_login(name: str, password: str) -> None:
        page.fill("#login-name", name)
        page.fill("#login-password", password)
        with page.expect_response("**/api/session"):
            page.click("#login-form button[type=submit]")

    try_login("ana", "a long password")
    page.wait_for_selector("#connection:has-text('live')", timeout=SLOW)
    page.click("[data-view=users]")
    page.wait_for_selector("#user-table tr:has-text('wei')")
    page.click("#logout-button")
    page.wait_for_selector("#login-form", timeout=SLOW)
    for _ in range(5):
        try_login("wei", "not the password")
        page.wait_for_selector("#login-message:has-text('wrong')")
    try_login("wei", "a long password")
    page.wait_for_selector("#login-message:has-text('locked')")
