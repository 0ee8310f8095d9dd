"""The engine for several machines: the local pool, inside the actors of a Ray cluster.

Ray Data gives each actor batches of items and takes results back; when a machine dies, it does its batches
again on another. That is at least once; the ledger's keys make it once.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before ray is imported: it reports to the outside otherwise

from leadline.datasets.scan import LeadlineError
from leadline.inference.rescore.item import Item, Job, Result
from leadline.inference.rescore.pool import Pool

ROUND = 20_000
"""Items that are given to Ray at once: its memory, and that of the list of items, stays bounded."""

BATCH = 32
"""Items of one task; as many are done again when a machine dies."""


LOOPBACK = ("127.0.0.1", "localhost")


class Actor:
    """Screens batches on one core of one machine, in a process of its own that a poisoned file may take with it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._pool: Pool | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Results of a batch: columns `number` and `result`, or `fatal` where nothing can be screened."""
        numbers = [int(n) for n in batch["number"]]
        items = [pickle.loads(data) for data in batch["item"]]
        try:
            if self._pool is None:
                self._pool = Pool(self.job, 1)
            results = [result for _, result in self._pool.run(iter(items))]
        except LeadlineError as error:
            if self._pool is not None:
                self._pool.close()
                self._pool = None
            return {"number": numbers[:1], "result": [pickle.dumps(str(error))]}
        return {"number": numbers, "result": [pickle.dumps(result) for result in results]}


class Cluster:
    """Runs a job over items on a Ray cluster.

    Args:
        job: what to do. Its model must lie under the same path on every machine, and so must local sources.
        address: of the cluster, such as `10.0.0.1:6379` or `auto`; `None` starts one on this machine.
        workers: actors; `None` takes as many as the cluster has cores.
        stopping: once true, nothing further is waited for.
        round_size, batch_size: items given to Ray at once, items of one task.

    Raises:
        LeadlineError: the cluster does not answer.
    """

    def __init__(
        self,
        job: Job,
        address: str | None,
        workers: int | None,
        stopping: Callable[[], bool] = lambda: False,
        round_size: int = ROUND,
        batch_size: int = BATCH,
    ) -> None:
        self.job, self.stopping = job, stopping
        self.round_size, self.batch_size = round_size, batch_size
        if address is None or address.rpartition(":")[0] in LOOPBACK:
            # Read when ray is imported. Without it Ray listens on, and looks for, this machine's outer address.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        import ray
        import ray.data

        self._mine = not ray.is_initialized()
        if self._mine:
            try:
                ray.init(address, include_dashboard=False if address is None else None, log_to_driver=False,
                         logging_level=logging.ERROR, configure_logging=False)  # fmt: skip
            except Exception as error:  # a connection that fails is of many types
                raise LeadlineError(
                    f"--address {address}: the Ray cluster does not answer ({' '.join(str(error).split())[:160]}); "
                    "start it with `ray start --head`, or leave the option out"
                ) from error
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        settings = ray.data.DataContext.get_current()
        settings.enable_progress_bars = False
        settings.execution_options.preserve_order = True

    def run(self, items: Iterator[Item]) -> Iterator[tuple[Item, Result]]:
        """Screen items.

        Yields:
            Every item with its result, in the order of the items.

        Raises:
            LeadlineError: the job cannot be done at all.
        """
        while not self.stopping() and (portion := list(islice(items, self.round_size))):
            yield from self._round(portion)

    def close(self) -> None:
        """Leave the cluster, if it was joined here."""
        import ray

        if self._mine and ray.is_initialized():
            ray.shutdown()

    def _round(self, portion: list[Item]) -> Iterator[tuple[Item, Result]]:
        import ray.data

        rows = [{"number": n, "item": pickle.dumps(item)} for n, item in enumerate(portion)]
        tasks = -(-len(rows) // self.batch_size)
        results = ray.data.from_items(rows, override_num_blocks=tasks).map_batches(
            Actor,
            fn_constructor_args=(self.job,),
            batch_size=self.batch_size,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=min(self.workers, tasks)),
            num_cpus=1,  # a machine that dies takes its actors along; Ray Data starts them again elsewhere
        )
        done: set[int] = set()
        for row in results.iter_rows():
            result = pickle.loads(row["result"])
            if isinstance(result, str):
                raise LeadlineError(result)
            number = int(row["number"])
            if number not in done:
                done.add(number)
                yield portion[number], result
            if self.stopping():  # what Ray has begun is done again by the next run
                return
        if len(done) < len(portion):
            raise LeadlineError(
                f"ray: {len(portion) - len(done)} results are missing; run the same command again, which goes on"
            )
