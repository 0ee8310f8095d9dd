"""The real command on two nodes of a Ray cluster on this machine; one of them dies while it works."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # stay on the loopback address
os.environ["RAY_raylet_start_wait_time_s"] = "60"  # noqa: SIM112 - its own spelling; 30 s are short on a busy machine
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own is 15: beside busy processes nothing would move
pytest.importorskip("ray")

from leadline.inference.ledger import Ledger, Row, verify

PROGRAM = [sys.executable, "-c", "from leadline.inference.cli import main; main(prog_name='leadline')"]

PATIENCE_S = 180
"""So long the run may take to begin, and to end once the node is dead."""

SLOW = """
import time
import leadline.inference.rescore.fetch as fetch
real = fetch.read_scan
def read_scan(path, **values):
    time.sleep(0.05)
    return real(path, **values)
fetch.read_scan = read_scan
"""
"""Makes decoding take its time on all nodes, so that the node dies in the middle."""


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of a head and another node, one core each, on the loopback address.

    On a machine so busy that a node of Ray does not start in a minute the test is skipped; LEADLINE_TEST_RAY=1 makes
    it fail instead.
    """
    from ray.cluster_utils import Cluster

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    values = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 100 * 2**20}
    values |= {"include_log_monitor": False, "no_monitor": True}  # fewer processes to start
    cluster = Cluster()
    try:
        try:
            cluster.add_node(**values, include_dashboard=False)
            cluster.add_node(**values)
        except Exception as error:
            if "timed out" not in str(error):
                raise
            too_busy(" ".join(str(error).split())[:80])
        yield cluster
    finally:
        cluster.shutdown()


def too_busy(said: str) -> NoReturn:
    """Ray starts a dozen processes; where they do not come up in time nothing was tested."""
    if os.environ.get("LEADLINE_TEST_RAY"):
        pytest.fail(f"ray: {said}")
    pytest.skip(f"this machine is too busy for Ray ({said})")


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    found = []
    with contextlib.suppress(OSError):  # it has just ended
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


def screening(pids: list[int]) -> list[int]:
    """Those processes that screen: a pool's workers."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_a_node_that_dies_loses_nothing(
    nodes: Any,
    scans: Path,
    models: Any,
    tmp_path: Path,
    run_rescore: Any,
    matters: Callable[..., list[Row]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (other,) = nodes.worker_nodes
    raylet = other.all_processes["raylet"][0].process.pid
    place = tmp_path / "ledger"
    source = tmp_path / "archive.csv"  # every scan under eight declarations: ten batches
    lines = [f"{path},,consignment {n}" for n in range(8) for path in sorted(scans.rglob("*.tif"))]
    source.write_text("\n".join(["path,hs_code,description", *lines]))
    command = [*PROGRAM, "rescore", source, "--ledger", place, "--model", models["parcel"]]
    command += ["--engine", "ray", "--address", nodes.address, "--workers", "2"]
    with subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True) as process:
        begun = time.monotonic()
        while process.poll() is None and (not screening(descendants(raylet)) or rows_of(place) < 1):
            time.sleep(0.1)
            if time.monotonic() - begun > PATIENCE_S:
                process.kill()
                too_busy("does not begin to screen")
        doomed = screening(descendants(raylet))
        before = rows_of(place)
        nodes.remove_node(other, allow_graceful=False)
        try:
            said = process.communicate(timeout=PATIENCE_S)[1]
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert doomed, "the other node had nothing to do"
    assert 0 < before < len(lines)
    monkeypatch.delenv("PYTHONPATH")
    assert run_rescore(source, "--ledger", tmp_path / "undisturbed", workers=2).returncode == 0
    assert bodies(matters(place)) == bodies(matters(tmp_path / "undisturbed"))
    with Ledger.open(place) as ledger:
        assert verify(ledger).intact
    deadline = time.monotonic() + 60
    while (left := [pid for pid in doomed if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, "processes of the dead node live on"


def rows_of(place: Path) -> int:
    """Rows of a ledger that may not be there yet."""
    if not place.exists():
        return 0
    try:
        with Ledger.open(place, create=False) as ledger:
            return ledger.head()[0]
    except Exception:  # it is being made
        return 0


def bodies(rows: list[Row]) -> list[tuple[str, str | None, str]]:
    """What must not depend on how a run went, as bytes."""
    return [(row.kind, row.key, json.dumps(row.body, sort_keys=True)) for row in rows]
