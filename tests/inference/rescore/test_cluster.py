"""Two nodes of a Ray cluster on this machine; one of them dies in the middle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_raylet_start_wait_time_s"] = "180"  # noqa: SIM112 - its own spelling; a busy machine is not a defect
pytest.importorskip("ray")
if not os.environ.get("LEADLINE_TEST_RAY"):
    pytest.skip("starts a cluster, which takes minutes: set LEADLINE_TEST_RAY=1", allow_module_level=True)

from leadline.inference.ledger import Ledger, verify
from leadline.inference.rescore import sources
from leadline.inference.rescore.item import Job, job_identity
from leadline.inference.rescore.pipeline import Ceiling, Run
from leadline.inference.screening import Settings


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A cluster of a head and another node, one core each."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
def test_a_node_that_dies_loses_nothing(nodes: Any, scans: Path, models: Any, tmp_path: Path) -> None:
    from leadline.inference.rescore.cluster import Cluster

    settings = Settings(scanner="parcel")
    model = models["parcel"]
    job = Job(settings, model, None, "verdict", job_identity(settings, model, "verdict"), "run")
    found = list(sources.items(str(scans)))
    with Ledger.open(tmp_path / "ledger") as ledger:
        run = Run(ledger, job, Ceiling(count=0))
        engine = Cluster(job, None, 2, batch_size=2)
        done = 0
        for _ in run.go(iter(found), engine):
            done += 1
            if done == 6:
                (other,) = nodes.worker_nodes
                nodes.remove_node(other, allow_graceful=False)
        engine.close()
        assert done == len(found)
        rows = list(ledger.rows())
        assert [row.body["path"] for row in rows] == [item.place for item in found]
        assert verify(ledger).intact
