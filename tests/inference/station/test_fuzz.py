"""The interface against its own description: whatever is sent, no server error, and answers as described."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def fuzzed(station: Any, tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., Any]) -> Any:
    """A station with a scan, so that identifiers can be right."""
    from leadline.datasets.formats import write_scan

    path: Path = tmp_path_factory.mktemp("fuzz") / "a.tif"
    write_scan(picture("parcel", boxes=((30, 20, 90, 60, 3.0),)), path)
    station.fuzz_scan = station.post(path)
    station.judged(station.fuzz_scan)
    return station


def operations(description: dict[str, Any]) -> list[tuple[str, str]]:
    return [(path, method.upper()) for path, methods in description["paths"].items() for method in methods]


def test_the_description_names_every_operation(station: Any) -> None:
    described = operations(station.client.get("/api/openapi.json").json())
    assert len(described) >= 24
    assert ("/api/scans", "POST") in described


def test_no_request_makes_the_station_fail(fuzzed: Any) -> None:
    schema = schemathesis.openapi.from_url(f"{fuzzed.url}/api/openapi.json")
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path == "/api/events":  # it never ends by itself; test_live_updates reads it
            continue

        @hypothesis.given(case=operation.as_strategy(), right=hypothesis.strategies.booleans())
        @hypothesis.settings(
            max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        def attempt(case: Any, right: bool) -> None:
            nonlocal tried
            if right and "scan" in (case.path_parameters or {}):
                case.path_parameters["scan"] = fuzzed.fuzz_scan
            case.call_and_validate(checks=CHECKS, timeout=60)
            tried += 1

        attempt()
    assert tried > 200
    assert fuzzed.client.get("/healthz").json()["status"] == "ok"
    assert fuzzed.client.get("/api/ledger").json()["intact"]
