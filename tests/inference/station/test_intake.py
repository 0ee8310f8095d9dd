"""Scans come in once and only whole: by folder, by request, over restarts and after SIGKILL."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadline.inference.ledger import Ledger, verify
from leadline.inference.station.intake import Papers
from leadline.inference.station.watch import unwritten

Start = Callable[..., Any]
ScanFile = Callable[..., Path]


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("did not happen in time")


def screened(station: Any, count: int) -> list[dict[str, Any]]:
    return wait_for(lambda: [s for s in [station.scans()] if len(s) >= count and all(x["judged"] for x in s)])[0]


def test_a_watched_folder(start: Start, scan_file: ScanFile, tmp_path: Path) -> None:
    """Complete files are taken, with their papers; unfinished ones wait; a restart repeats none and misses none."""
    folder = tmp_path / "in"
    (folder / "lane 2").mkdir(parents=True)
    first = scan_file("first.tif")
    (folder / "first.json").write_text(json.dumps({"hs_code": "3816.00", "container": "msku 123456-7"}))
    shutil.copy(first, folder / "first.tif")
    station = start("--watch", folder)
    (scan,) = screened(station, 1)
    assert (scan["hs_code"], scan["container"], scan["source"]) == ("381600", "MSKU1234567", "folder")
    assert scan["verdict"] == "inspect"

    data = scan_file("slow.tif", dense=False).read_bytes()
    with (folder / "slow.tif").open("wb") as writing:  # slower than any pause that is waited for
        for part in range(4):
            writing.write(data[part * len(data) // 4 : (part + 1) * len(data) // 4])
            writing.flush()
            time.sleep(0.8)
            assert len(station.scans()) == 1
    shutil.copy(scan_file("other.tif"), folder / "lane 2" / ".other.tif.part")
    (folder / "notes.txt").write_text("no scan")
    scans = screened(station, 2)
    assert sorted(s["name"] for s in scans) == ["first.tif", "slow.tif"]
    assert {s["state"] for s in scans} == {"screened"}

    station.stop()
    shutil.copy(scan_file("meanwhile.tif"), folder / "lane 2" / "ABCU7654321 meanwhile.tif")
    station.start()
    scans = screened(station, 3)
    time.sleep(1)
    assert len(station.scans()) == 3
    assert {s["container"] for s in scans} == {"MSKU1234567", None, "ABCU7654321"}


def test_a_manifest_in_the_folder_and_a_changed_file(start: Start, scan_file: ScanFile, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "manifest.csv").write_text("path,hs_code,description\na.tif,3304,face cream\n")
    shutil.copy(scan_file("a.tif"), folder / "a.tif")
    (folder / "broken.tif").write_bytes(b"II*\0 this is no scan")
    station = start("--watch", folder)
    scans = screened(station, 2)
    by_name = {s["name"]: s for s in scans}
    assert by_name["a.tif"]["description"] == "face cream"
    assert by_name["broken.tif"]["state"] == "failed"
    assert by_name["broken.tif"]["error"].startswith("broken.tif: ")
    shutil.copy(scan_file("again.tif", dense=False), folder / "a.tif")  # the scanner used the name again
    assert len(screened(station, 3)) == 3


def test_whether_a_file_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    if unwritten(str(path)) is None:
        pytest.skip("this file system does not tell")
    assert unwritten(str(path)) is True
    with path.open("ab"):
        assert unwritten(str(path)) is False
    assert unwritten(str(path)) is True


def test_the_same_scan_is_taken_once(station: Any, scan_file: ScanFile) -> None:
    path = scan_file()
    scan = station.post(path, description="tiles")
    again = station.client.post(
        "/api/scans", files={"file": ("other name.tif", path.read_bytes())}, data={"description": "tiles"}
    )
    assert (again.status_code, again.json()) == (200, {"id": scan, "new": False})
    assert station.post(path, description="lead ingots") != scan  # another case: the papers count


def test_a_pair_and_a_file_of_unknown_kind(station: Any, picture: Any, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    pages = np.rint(np.clip(picture("parcel").transmission, 0, 1) * 65535).astype(np.uint16)
    for name, pixels in zip(("high", "low"), pages, strict=True):
        cv2.imwrite(str(tmp_path / f"p_{name}.png"), pixels)
    files = [("file", (f"p_{n}.png", (tmp_path / f"p_{n}.png").read_bytes())) for n in ("high", "low")]
    taken = station.client.post("/api/scans", files=files, data={"scanner": "parcel"}).json()
    assert station.judged(taken["id"])["summary"]["state"] == "screened"
    unknown = station.client.post("/api/scans", files=files).json()
    assert "kind of scanner" in station.judged(unknown["id"])["summary"]["error"]


def test_killed_in_the_middle_of_a_queue(start: Start, scan_file: ScanFile, tmp_path: Path) -> None:
    """SIGKILL with scans waiting, one being judged and a decision just made: after a restart all is there."""
    folder = tmp_path / "in"
    folder.mkdir()
    station = start("--watch", folder)
    first = station.post(scan_file("first.tif"))
    station.judged(first)
    for i in range(12):
        shutil.copy(scan_file(f"{i}.tif", dense=i % 2 == 0, shape=(480, 640)), folder / f"{i:02d}.tif")
    station.client.post(f"/api/scans/{first}/decision", json={"decision": "inspect", "note": "door 3"})
    wait_for(lambda: any(s["state"] in ("queued", "working") for s in station.scans()))
    posted = [station.post(scan_file(f"p{i}.tif", shape=(480, 640))) for i in range(3)]
    station.kill()
    station.start()
    scans = screened(station, 16)
    assert len(scans) == 16
    assert {s["state"] for s in scans} == {"screened"}
    assert set(posted) <= {s["id"] for s in scans}
    kept = station.client.get(f"/api/scans/{first}").json()["summary"]
    assert (kept["decision"], kept["note"], kept["decided_by"]) == ("inspect", "door 3", "local")
    station.stop()
    with Ledger.open(station.data / "station.ledger") as ledger:
        assert verify(ledger).intact
        verdicts = [row.body["scan"] for row in ledger.rows(kinds=("verdict",))]
        assert len(verdicts) == len(set(verdicts)) == 16


def test_a_decision_that_only_the_ledger_knows(start: Start, scan_file: ScanFile) -> None:
    """Killed between ledger and database: the next start enters what the ledger holds."""
    from leadline.inference.ledger import Event

    station = start()
    scan = station.post(scan_file())
    sha256 = station.judged(scan)["summary"]["sha256"]
    station.kill()
    body = {"scan": scan, "decision": "clear", "verdict": "inspect", "override": "known_shipper", "note": ""}
    with Ledger.open(station.data / "station.ledger") as ledger:
        ledger.append([Event("decision", body, subject=sha256, who="li")])
    station.start()
    found = station.client.get(f"/api/scans/{scan}").json()["summary"]
    assert (found["decision"], found["override"], found["decided_by"]) == ("clear", "known_shipper", "li")


def test_a_scan_that_ends_the_process_is_set_aside(start: Start, scan_file: ScanFile) -> None:
    import sqlite3

    station = start()
    scan = station.post(scan_file())
    station.judged(scan)
    station.kill()
    with sqlite3.connect(station.data / "station.db") as db:  # as a crash in a decoder leaves it
        db.execute("UPDATE scans SET state = 'working', attempts = 2, judged = NULL WHERE id = ?", (scan,))
    station.start()
    found = station.client.get(f"/api/scans/{scan}").json()["summary"]
    assert found["state"] == "failed"
    assert "ended the service 2 times" in found["error"]


def test_a_ledger_that_fails_only_delays(models: dict[str, Path], scan_file: ScanFile, tmp_path: Path) -> None:
    """While the ledger cannot be written to, scans wait and the station says so; then the work goes on."""
    import sqlite3

    from leadline.inference.station.service import Options, Station

    station = Station(Options(tmp_path / "data", models=tuple(models.values())))
    path = station.options.data / "station.ledger"
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TRIGGER stop BEFORE INSERT ON leadline_ledger BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    station.start()
    try:
        scan, _ = station.intake.take([("a.tif", scan_file().read_bytes())], Papers(), "test")
        station.worker.wake()
        wait_for(station.problems)
        assert station.store.get(scan)["state"] in ("queued", "working")  # type: ignore[index]
        with sqlite3.connect(path) as db:
            db.execute("DROP TRIGGER stop")
        station.worker._pause.set()
        wait_for(lambda: station.store.get(scan)["state"] == "screened")  # type: ignore[index]
        assert not station.problems()
    finally:
        station.stop()


def test_two_stations_on_one_folder(start: Start) -> None:
    import subprocess
    import sys

    station = start()
    program = [sys.executable, "-c", "from leadline.inference.cli import main; main()", "serve", "--port", "0"]
    second = subprocess.run([*program, "--data", str(station.data)], capture_output=True, text=True)
    assert second.returncode == 2
    assert "another station uses this folder" in second.stderr


@pytest.mark.parametrize(
    "values", [{"hs_code": "x"}, {"scanner": "boat"}, {"description": "x" * 501}, {"container": 7}]
)
def test_wrong_papers_are_refused(values: dict[str, Any]) -> None:
    from leadline.datasets.scan import LeadlineError

    with pytest.raises(LeadlineError, match="declaration|HS code"):
        Papers.checked(values)


def test_papers_are_cleaned() -> None:
    papers = Papers.checked({"description": "  tiles\0\n <b>  ", "hs_code": " 6907.21 ", "container": "TRHU 123456 7"})
    assert papers == Papers("TRHU1234567", "690721", "tiles <b>", None)
