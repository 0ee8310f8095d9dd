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

# Scan coordinates at a place of the stage (CSS pixels), told by the line below the picture.
UNDER = """([x, y]) => {
  const stage = document.getElementById('stage'), box = stage.getBoundingClientRect();
  stage.dispatchEvent(new PointerEvent('pointermove', {pointerId: 77, clientX: box.left + x, clientY: box.top + y}));
  const [, column, row] = document.getElementById('readout').textContent.match(/x (\\d+), y (\\d+)/);
  return `${column},${row}`;
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
    order = page.evaluate("[...document.querySelectorAll('#queue .card')].map((card) => card.dataset.scan)")
    assert order.index(scans[2]) < order.index(scans[1]) < order.index(scans[0])  # the newest alarm first, then clear
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


def test_two_fingers_zoom_and_pan(station: Any, browser: Any, scan_file: ScanFile) -> None:
    """On a touch screen: one finger sets window and level, two pan and zoom about the point between them."""
    scan = station.post(scan_file("touch.tif"))
    station.judged(scan)
    context = browser.new_context(viewport={"width": 1440, "height": 860}, has_touch=True)
    page = context.new_page()
    page.goto(station.url, timeout=SLOW)
    page.click(f".card[data-scan='{scan}']", timeout=SLOW)
    opened(page, scan)
    fingers = context.new_cdp_session(page)
    box = page.locator("#stage").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, *points: tuple[float, float]) -> None:
        told = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

    def settled() -> tuple[float, int, str]:
        colour(page)  # waits for a frame
        return float(page.input_value("#window")), int(page.inner_text("#zoom-one").split()[0]), scale_of(page)

    def scale_of(page: Any) -> str:
        return str(page.evaluate(UNDER, [x - box["x"], y - box["y"]]))

    window, zoom, _ = settled()
    touch("touchStart", (x, y))
    touch("touchMove", (x + 90, y))
    touch("touchEnd")
    wider, same, _ = settled()
    assert wider > 1.2 * window
    assert same == zoom
    page.keyboard.press("0")
    before = settled()
    touch("touchStart", (x - 40, y))
    touch("touchStart", (x - 40, y), (x + 40, y))
    for step in (60, 90, 120):
        touch("touchMove", (x - step, y), (x + step, y))
    touch("touchEnd")
    pinched = settled()
    assert pinched[0] == before[0]  # the first finger's touch was no drag
    assert 2.5 * before[1] < pinched[1] < 3.5 * before[1]
    near = [abs(float(a) - float(b)) for a, b in zip(before[2].split(","), pinched[2].split(","), strict=True)]
    assert max(near) < 2  # the place between the fingers stays where it is
    touch("touchStart", (x - 40, y), (x + 40, y))
    for step in (30, 60):
        touch("touchMove", (x - 40 + step, y), (x + 40 + step, y))
    touch("touchEnd")
    panned = settled()
    assert panned[1] == pinched[1]
    assert float(panned[2].split(",")[0]) < float(pinched[2].split(",")[0]) - 2
    context.close()


def test_zoom_to_the_pixel_pan_edges_and_marks(station: Any, page: Any, scan_file: ScanFile) -> None:
    scan = station.post(scan_file("tools.tif"))
    station.judged(scan)
    page.goto(station.url, timeout=SLOW)
    page.click(f".card[data-scan='{scan}']", timeout=SLOW)
    opened(page, scan)
    box = page.locator("#stage").bounding_box()
    middle = [box["width"] / 2, box["height"] / 2]
    page.click("#zoom-one")
    colour(page)
    assert page.inner_text("#zoom-one") == "100 %"
    page.mouse.move(box["x"] + middle[0], box["y"] + middle[1])
    for _ in range(3):
        page.mouse.wheel(0, -400)
    colour(page)
    assert int(page.inner_text("#zoom-one").split()[0]) > 800  # single pixels are seen
    before = page.evaluate(UNDER, middle)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + middle[0] + 120, box["y"] + middle[1], steps=2)
    page.mouse.up(button="right")
    colour(page)
    after = page.evaluate(UNDER, middle)
    assert float(after.split(",")[0]) < float(before.split(",")[0]) - 5
    page.keyboard.press("0")
    page.keyboard.press("h")
    flat = [colour(page, 0.5 + i / 200) for i in range(-4, 5)]
    page.keyboard.press("e")
    sharp = [colour(page, 0.5 + i / 200) for i in range(-4, 5)]
    assert page.get_attribute("#edge", "aria-pressed") == "true"
    assert sharp != flat  # noise is sharpened with the rest
    marks = "[...document.getElementById('marks').getContext('2d').getImageData(0, 0, 2000, 600).data].some((v) => v)"
    assert page.evaluate(marks)
    page.keyboard.press("b")
    colour(page)
    assert not page.evaluate(marks)  # only the scale bar at the bottom is left


@pytest.mark.parametrize("again", ["click", "change"])
def test_a_scan_asked_for_again_while_its_picture_is_on_its_way(
    station: Any, page: Any, scan_file: ScanFile, again: str
) -> None:
    """The scan that comes up by itself is clicked, or decided elsewhere, before its pixels are there."""
    scan = station.post(scan_file("again.tif"))
    station.judged(scan)
    held: list[Any] = []
    page.route(f"**/{scan}/pixels", lambda route: held.append(route))
    with page.expect_request(f"**/{scan}/pixels", timeout=SLOW):
        page.goto(station.url, timeout=SLOW)
    page.wait_for_selector("#connection:has-text('live')", timeout=SLOW)
    with page.expect_response(f"**/api/scans/{scan}"):
        if again == "click":
            page.click(f".card[data-scan='{scan}']", timeout=SLOW)
        else:
            station.client.post(f"/api/scans/{scan}/decision", json={"decision": "inspect"})
    page.wait_for_selector("#verdict .banner[data-verdict=inspect]")
    for route in held:
        route.continue_()
    opened(page, scan)


@pytest.mark.parametrize("part", ["", "/pixels", "/maps"])
def test_a_scan_that_cannot_be_fetched_is_told_and_tried_again(
    station: Any, page: Any, scan_file: ScanFile, part: str
) -> None:
    """Nothing of the scan before stays beside it, and no key decides that one."""
    scans = [station.post(scan_file(f"{name}.tif")) for name in ("wanted", "before")]
    for scan in scans:
        station.judged(scan)
    page.goto(station.url, timeout=SLOW)
    opened(page, scans[1])
    way = f"**/api/scans/{scans[0]}{part}"
    page.route(way, lambda route: route.abort("connectionrefused"))
    page.click(f".card[data-scan='{scans[0]}']", timeout=SLOW)
    told = "wanted.tif cannot be shown: the station cannot be reached · trying again"
    page.wait_for_selector(f"#empty:has-text('{told}')", timeout=SLOW)
    assert page.get_attribute("#stage", "data-scan") is None
    assert "before.tif" not in page.inner_text("#verdict")
    assert colour(page) == [0, 0, 0, 0]
    if not part:
        page.keyboard.press("i")
        assert page.inner_text("#verdict") == ""
    page.unroute(way)
    opened(page, scans[0])
    assert "wanted.tif" in page.inner_text("#verdict")
    assert not page.is_visible("#empty")
    assert all(s["decision"] is None for s in station.scans() if s["id"] in scans)


def test_a_refusal_is_told_and_a_click_asks_again(station: Any, page: Any, scan_file: ScanFile) -> None:
    scan = station.post(scan_file("refused.tif"))
    station.judged(scan)
    refusal = {"error": {"code": "bad_request", "message": "the copy is missing", "remedy": "restore it"}}
    page.route("**/pixels", lambda route: route.fulfill(status=400, json=refusal))
    page.goto(station.url, timeout=SLOW)
    page.wait_for_selector("#empty:has-text('refused.tif cannot be shown: the copy is missing; restore it')")
    page.unroute("**/pixels")
    page.click(f".card[data-scan='{scan}']", timeout=SLOW)
    opened(page, scan)


@pytest.mark.parametrize("by", ["mouse", "key"])
def test_a_card_stands_still_while_it_is_pressed(station: Any, page: Any, scan_file: ScanFile, by: str) -> None:
    """A scan that arrives between press and release neither swallows the click nor moves another card under it."""
    scans = [station.post(scan_file(f"press{i}.tif")) for i in range(2)]
    for scan in scans:
        station.judged(scan)
    page.goto(station.url, timeout=SLOW)
    opened(page, scans[1])
    card = page.locator(f".card[data-scan='{scans[0]}']")
    if by == "mouse":
        card.hover()
        page.mouse.down()
    else:
        card.focus()
        page.keyboard.down("Space")
    later = station.post(scan_file("later.tif"))
    station.judged(later)
    page.dispatch_event("#open-only", "change")  # draws the queue anew, as the arrival does
    if by == "mouse":
        page.mouse.up()
    else:
        page.keyboard.up("Space")
    opened(page, scans[0])
    page.wait_for_selector(f".card[data-scan='{later}']", timeout=SLOW)


def test_a_page_that_came_before_the_station_begins_by_itself(station: Any, page: Any, scan_file: ScanFile) -> None:
    scan = station.post(scan_file("early.tif"))
    station.judged(scan)
    page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    page.goto(station.url, timeout=SLOW)
    page.wait_for_selector("#connection.lost", timeout=SLOW)
    page.unroute("**/api/**")
    page.wait_for_selector("#connection:has-text('live')", timeout=SLOW)
    opened(page, scan)


def test_dropping_a_file_on_the_page(station: Any, page: Any, scan_file: ScanFile) -> None:
    """Drag and drop, with what is declared asked for; Escape sends nothing."""
    page.goto(station.url, timeout=SLOW)
    page.wait_for_selector("#connection:has-text('live')", timeout=SLOW)
    content = list(scan_file("dropped.tif").read_bytes())
    drop = """(bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], 'dropped.tif'));
      for (const kind of ['dragover', 'drop']) {
        document.getElementById('queue').dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true}));
      }
    }"""
    known = len(station.scans())
    page.evaluate(drop, content)
    page.wait_for_selector("dialog[open] [name=container]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")
    page.evaluate(drop, content)
    page.fill("dialog[open] [name=container]", "TCNU 765432-1")
    page.fill("dialog[open] [name=hs_code]", "690721")
    page.keyboard.press("Enter")
    page.wait_for_selector(".card:has-text('TCNU7654321')[data-state=inspect]", timeout=SLOW)
    assert len(station.scans()) == known + 1


def test_after_a_decision_the_next_scan_is_a_key_away(station: Any, page: Any, scan_file: ScanFile) -> None:
    scans = [station.post(scan_file(f"next{i}.tif")) for i in range(2)]
    for scan in scans:
        station.judged(scan)
    page.goto(station.url, timeout=SLOW)
    page.click(f".card[data-scan='{scans[0]}']", timeout=SLOW)
    opened(page, scans[0])
    page.keyboard.press("i")
    page.wait_for_selector("#next")
    page.keyboard.press("j")
    page.wait_for_selector(f"#stage[data-scan]:not([data-scan='{scans[0]}'])")
    shown = page.get_attribute("#stage", "data-scan")
    assert {s["id"]: s["decision"] for s in station.scans()}[shown] is None


def test_an_old_alarm_stays_in_the_queue(start: Start, page: Any, scan_file: ScanFile) -> None:
    """However many scans came after it."""
    import sqlite3

    station = start()
    alarm = station.post(scan_file("alarm.tif"))
    station.judged(alarm)
    station.stop()
    with sqlite3.connect(station.data / "station.db") as db:
        db.row_factory = sqlite3.Row
        row = dict(db.execute("SELECT * FROM scans").fetchone())
        for i in range(700):
            later = {"id": f"{i:024x}", "arrived": row["arrived"] + i + 1, "change": row["change"] + i + 1}
            later |= {"verdict": "clear", "score": 0.01}
            columns = row | later
            marks = ",".join("?" * len(columns))
            db.execute(f"INSERT INTO scans ({','.join(columns)}) VALUES ({marks})", list(columns.values()))
    station.start()
    page.goto(station.url, timeout=SLOW)
    page.wait_for_selector(f".card[data-scan='{alarm}']", timeout=SLOW)
    assert page.get_attribute("#queue li:first-child .card", "data-scan") == alarm


def test_the_first_view_is_below_500_kb(station: Any, page: Any, scan_file: ScanFile) -> None:
    """All that is sent until queue and scan are seen, the scan's own pixels apart; the bench tells the time."""
    station.judged(station.post(scan_file("view.tif")))
    page.goto(station.url, timeout=SLOW)
    page.wait_for_selector("#stage[data-scan]", timeout=SLOW)
    sizes = page.evaluate("""() => performance.getEntriesByType('resource')
      .concat(performance.getEntriesByType('navigation')).map((e) => [e.name, e.transferSize])""")
    assert len(sizes) > 10
    assert 10_000 < sum(size for name, size in sizes if not name.endswith(("/pixels", "/maps"))) < 500_000


def test_rules_of_accessibility(start: Start, page: Any, scan_file: ScanFile) -> None:
    """axe-core finds nothing against WCAG 2.2 A and AA, in no view, in both themes."""
    from axe_playwright_python.sync_playwright import Axe

    station = start()
    scan = station.post(scan_file("axe.tif"), description="tile adhesive")
    station.judged(scan)
    page.goto(station.url, timeout=SLOW)
    opened(page, scan)
    page.wait_for_selector("#history li")
    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
    found: dict[str, list[str]] = {}

    def look(where: str) -> None:
        answer = Axe().run(page, options=rules).response
        assert len(answer["passes"]) > 10
        found[where] = [f"{v['id']}: {n['html'][:120]}" for v in answer["violations"] for n in v["nodes"]]

    look("scan, dark")
    page.click("#theme-button")
    look("scan, light")
    page.keyboard.press("i")
    page.wait_for_selector("#next")
    page.keyboard.press("c")
    page.wait_for_selector("dialog[open] input")
    look("override, light")
    page.keyboard.press("Escape")
    page.click("[data-view=search]")
    page.wait_for_selector("[data-alike]")
    look("search, light")
    page.click("#theme-button")
    look("search, dark")
    page.click("[data-view=supervise]")
    page.wait_for_selector(".tile")
    look("supervisor, dark")
    assert {where: problems for where, problems in found.items() if problems} == {}
