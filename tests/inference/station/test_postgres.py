"""A PostgreSQL server as the station's ledger: decisions, an outage, and SIGKILL."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leadline.inference.ledger import Ledger, verify

_spec = importlib.util.spec_from_file_location(
    "ledger_conftest", Path(__file__).parent.parent / "ledger" / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)
postgresql = _shared.postgresql


def test_a_station_with_its_ledger_in_postgresql(start: Any, scan_file: Callable[..., Path], postgresql: Any) -> None:
    place = postgresql.place()
    station = start("--ledger", place)
    first = station.post(scan_file("first.tif"))
    station.judged(first)
    decision = {"decision": "inspect", "note": "door 3"}
    assert station.client.post(f"/api/scans/{first}/decision", json=decision).status_code == 200
    assert station.client.get("/api/ledger").json()["intact"]
    assert not (station.data / "station.ledger").exists()

    # The server goes away: nothing is decided without a record, scans wait, the page still lists them.
    postgresql.stop()
    try:
        second = station.post(scan_file("second.tif"))
        refused = station.client.post(f"/api/scans/{first}/decision", json=decision)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        end = time.monotonic() + 60
        while station.client.get("/healthz").json()["status"] == "ok":
            assert time.monotonic() < end
            time.sleep(0.1)
        assert {s["id"]: s["state"] for s in station.scans()}[second] in ("queued", "working")
        assert station.scans()[-1]["decision"] == "inspect"
    finally:
        postgresql.start()

    # It comes back: the work goes on by itself; and a killed station finds all that was decided.
    assert station.judged(second)["summary"]["state"] == "screened"
    result = {"found": True, "family": "antimony"}
    assert station.client.post(f"/api/scans/{first}/result", json=result).status_code == 200
    station.kill()
    station.start()
    kept = station.client.get(f"/api/scans/{first}").json()["summary"]
    assert (kept["decision"], kept["note"], kept["result_family"]) == ("inspect", "door 3", "antimony")
    station.stop()
    with Ledger.open(place) as ledger:
        assert verify(ledger).intact
        assert [row.kind for row in ledger.rows()] == ["verdict", "decision", "verdict", "result"]
