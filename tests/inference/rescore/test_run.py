"""Whole runs of the real command, and the faults that are done to them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadline.inference.ledger import Ledger, Row, verify
from leadline.inference.rescore import sources, tune
from leadline.inference.rescore.item import Job, job_identity
from leadline.inference.rescore.pipeline import Ceiling, Run
from leadline.inference.rescore.pool import Pool
from leadline.inference.rescore.tune import Plan
from leadline.inference.screening import Settings

Rows = Callable[..., list[Row]]
PROGRAM = [sys.executable, "-c", "from leadline.inference.cli import main; main(prog_name='leadline')"]


def bodies(rows: list[Row]) -> list[tuple[str, str | None, str]]:
    """What must not depend on how a run went, as bytes."""
    return [(row.kind, row.key, json.dumps(row.body, sort_keys=True)) for row in rows]


@pytest.fixture(scope="module")
def undisturbed(scans: Path, run_rescore: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger of a run that nothing disturbed."""
    place = tmp_path_factory.mktemp("undisturbed") / "cargo.ledger"
    run = run_rescore(scans, "--ledger", place)
    assert run.returncode == 0, run.stderr
    assert "40 scans in" in run.stderr
    return place


def begin(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start `leadline rescore` and go on."""
    command = [*PROGRAM, "rescore", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


def test_every_scan_has_a_verdict(undisturbed: Path, matters: Rows) -> None:
    rows = matters(undisturbed)
    assert [row.kind for row in rows] == ["verdict"] * 40
    assert [row.body["verdict"] for row in rows] == ["inspect" if n % 4 == 0 else "clear" for n in range(40)]
    assert [Path(row.body["path"]).name for row in rows] == [f"scan{n:03}.tif" for n in range(40)]
    body = rows[0].body
    assert rows[0].subject == body["sha256"]
    assert rows[0].model == body["model"]["sha256"]
    assert body["provider"] == "CPUExecutionProvider"
    assert body["scanner"]["kind"] == "parcel"
    assert body["taken"]
    assert "elapsed_ms" not in body
    assert set(rows[0].context) == {"elapsed_ms", "run", "leadline", "onnxruntime", "host"}


def test_the_verdicts_are_those_of_screen(
    undisturbed: Path, scans: Path, leadline: Any, models: Any, matters: Rows
) -> None:
    run = leadline("screen", scans, "--json", "--model", models["parcel"])
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    for row, line in zip(matters(undisturbed), lines, strict=True):
        del line["elapsed_ms"]
        assert {name: row.body[name] for name in line} == line


@pytest.mark.parametrize(
    "plan",
    [Plan(2), Plan(1, readers=2), Plan(2, readers=1)],
    ids=["two workers", "readers", "both"],
)
def test_no_plan_changes_the_ledger(
    plan: Plan, undisturbed: Path, scans: Path, models: Any, tmp_path: Path, matters: Rows
) -> None:
    """Plans given by hand, for a measurement may choose any."""
    settings, model = Settings(), models["parcel"]
    job = tune.apply(Job(settings, model, None, "verdict", job_identity(settings, model, "verdict"), "run"), plan)
    with Ledger.open(tmp_path / "ledger") as ledger:
        pool = Pool(job, plan.workers)
        try:
            done = list(Run(ledger, job, Ceiling(count=0)).go(sources.items(str(scans)), pool))
            assert len(pool.pids()) == plan.workers
        finally:
            pool.close()
    assert len(done) == 40
    assert bodies(matters(tmp_path / "ledger")) == bodies(matters(undisturbed))


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_the_bar_on_a_terminal(scans: Path, models: Any, tmp_path: Path) -> None:
    here, there = os.openpty()
    arguments = (scans, "--ledger", tmp_path / "ledger", "--model", models["parcel"], "--workers", "1")
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    command = [*PROGRAM, "rescore", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=there, env=environment) as process:
        os.close(there)
        shown = b""
        with contextlib.suppress(OSError):  # how a pseudo-terminal ends on Linux
            while part := os.read(here, 65536):
                shown += part
        assert process.stdout is not None
        assert process.stdout.read() == b""
    os.close(here)
    assert process.returncode == 0
    text = shown.decode()
    assert re.search(r"rescoring .*40 of 40 .*/s .* left .*0 failed", text)
    assert "\x1b[" in text  # it is drawn over and over in its place
    last = text.rstrip().splitlines()[-1]
    assert "40 scans in" in last and "30 clear, 10 inspect" in last


def test_again_screens_nothing(undisturbed: Path, scans: Path, run_rescore: Any) -> None:
    run = run_rescore(scans, "--ledger", undisturbed)
    assert run.returncode == 0
    assert "40 done in an earlier run" in run.stderr
    with Ledger.open(undisturbed) as ledger:
        assert ledger.head()[0] == 40
        assert verify(ledger).intact


def test_killed_and_run_again(
    undisturbed: Path, scans: Path, models: Any, place: str, run_rescore: Any, matters: Rows, wait_for_rows: Any
) -> None:
    """SIGKILL in the middle, twice, then to the end with two workers: as if nothing had happened."""
    for count in (3, 20):
        with begin(scans, "--ledger", place, "--model", models["parcel"], "--workers", "1", "--quiet") as process:
            wait_for_rows(place, count, process)
            process.kill()
    run = run_rescore(scans, "--ledger", place, workers=2)
    assert run.returncode == 0, run.stderr
    assert bodies(matters(place)) == bodies(matters(undisturbed))
    with Ledger.open(place) as ledger:
        assert verify(ledger).intact


def test_two_runs_at_once(undisturbed: Path, scans: Path, models: Any, place: str, matters: Rows) -> None:
    arguments = (scans, "--ledger", place, "--model", models["parcel"], "--workers", "1")
    runs = [begin(*arguments) for _ in range(2)]
    said = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert sorted(bodies(matters(place))) == sorted(bodies(matters(undisturbed)))
    with Ledger.open(place) as ledger:
        assert verify(ledger).intact
