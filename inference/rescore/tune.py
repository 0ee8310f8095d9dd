"""How many workers, how many threads that read: measured on the archive's own first scans, not guessed.

On the CPU every inference is of one scan on one thread, whatever is measured: another number of either changes the
last bits of a score now and then, and with them a verdict's bytes. What may be chosen changes no bit. An accelerator
takes several scans at a time if that is faster; there the last digit may differ from run to run.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle, takewhile
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from leadline.datasets.scan import LeadlineError
from leadline.inference.cpu import available_cores
from leadline.inference.interruption import held_back
from leadline.inference.rescore.item import Item, Job

if TYPE_CHECKING:
    from leadline.inference.engine import Engine

SAMPLE = 24
"""Items that are looked at; a shorter archive is not worth the measurement."""

GOOD = 8
"""Of them so many that can be screened are measured with."""

BATCHES = (1, 2, 4)
"""Scans at a time that are tried on an accelerator."""

GAIN = 1.05
"""Another plan than the usual one must be faster by this factor: what is measured in a second is not sure."""

SECONDS = 1.0
"""So long each plan is tried."""

START_S = 300.0
"""So long is waited for the process that measures."""

MOST_GPU_WORKERS = 8

READERS = 2
"""Threads of a worker that read ahead, where there is something to compute on beside the cores that decode."""


@dataclass(frozen=True)
class Plan:
    """How the work is shared.

    Attributes:
        workers: processes.
        batch: scans of one inference; always 1 on the CPU.
        readers: threads of each worker that read and decode ahead of the inference, see `Job`.
        rates: what was measured, scans a second by plan; empty where nothing was.
    """

    workers: int
    batch: int = 1
    readers: int = 0
    rates: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        def few(n: int, what: str) -> str:
            return f"{n} {what}" if n == 1 else f"{n} {what}s"

        said = f"{few(self.workers, 'worker')} with {few(self.readers, 'reading thread')}"
        said += f", {self.batch} scans at a time" if self.batch > 1 else ""
        return said + (f" ({'; '.join(f'{n}: {r:.1f}/s' for n, r in self.rates)})" if self.rates else "")


def default(job: Job, workers: int | None) -> Plan:
    """The plan where nothing is measured: a worker a core. The container's CPU quota counts.

    None reads ahead where every core has a worker that decodes and scores in turn.
    """
    cores = available_cores()
    count = workers or (cores if job.provider is None else min(cores, MOST_GPU_WORKERS))
    return Plan(count, readers=0 if job.provider is None and count >= cores else READERS)


def plans(job: Job, usual: Plan, fixed: bool) -> list[Plan]:
    """What may be chosen, the usual plan first.

    Args:
        job: what will be done.
        usual: from `default`.
        fixed: its number of workers must stay.
    """
    if job.provider is not None:
        return [replace(usual, batch=batch) for batch in BATCHES]
    counts = [usual.workers] if fixed else [usual.workers, usual.workers // 2]
    return list(dict.fromkeys([usual, *(Plan(n, readers=r) for n in counts if n for r in (0, READERS))]))


def choose(job: Job, sample: list[Item], workers: int | None) -> Plan:
    """Measure in a process of its own, so that neither a poisoned file nor the memory it takes stays here.

    Args:
        job: what will be done.
        sample: the archive's first items.
        workers: how many were asked for, `None` leaves it to the measurement.
    """
    plan = default(job, workers)
    if len(sample) < SAMPLE:
        return plan
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_measure, args=(there, job, sample, plan, workers is not None), daemon=True)
    with held_back():
        process.start()
    there.close()
    try:
        patience, found = START_S, None
        while found is None:
            if not here.poll(patience):  # a file hangs; the run itself will find out which
                process.kill()
                return plan
            found, patience = here.recv(), job.timeout_s
    except (EOFError, OSError):
        return plan
    finally:
        here.close()
        process.join(2)
        if process.is_alive():
            process.kill()
            process.join()
    if isinstance(found, str):
        raise LeadlineError(found)
    return found if isinstance(found, Plan) else plan


def _measure(pipe: Connection, job: Job, sample: list[Item], plan: Plan, fixed: bool) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pipe.send(measured(job, sample, plan, fixed, lambda: pipe.send(None)))
    except LeadlineError as error:
        pipe.send(str(error))
    except OSError:
        pass


def measured(
    job: Job, sample: list[Item], usual: Plan, fixed: bool, going_on: Callable[[], None] = lambda: None
) -> Plan:
    """Try plans on the scans of a sample that can be screened.

    Args:
        job: what will be done.
        sample: items to try it on.
        usual: taken where nothing can be measured, and where nothing is clearly faster.
        fixed: its number of workers must stay.
        going_on: is called after each step.

    Raises:
        LeadlineError: the model cannot be used.
    """
    from leadline.inference.engine import Engine
    from leadline.inference.rescore.worker import Worker

    engine = Engine(job.model, job.provider, job.threads)
    going_on()
    worker, good = Worker(job, engine), []
    for item in sample:  # one by one: of those that fail the run itself will tell
        good += [item for result in worker.run([item]) if result.outcome == "done"]
        going_on()
        if len(good) == GOOD:
            break
    worker.close()
    if not good:
        return usual
    rates: dict[Plan, float] = {}
    for plan in plans(job, usual, fixed):
        rates[plan] = _rate(apply(job, plan), min(plan.workers, available_cores()), engine, good)
        going_on()
    best = max(rates, key=lambda plan: rates[plan])
    chosen = best if rates[best] > GAIN * rates[usual] else usual
    return replace(chosen, rates=tuple((str(plan), rate) for plan, rate in rates.items()))


def _rate(job: Job, count: int, engine: Engine, items: list[Item]) -> float:
    """Scans a second of so many workers at once, which share an engine."""
    from leadline.inference.rescore.worker import Worker

    workers = [Worker(job, engine) for _ in range(count)]
    started = time.monotonic()

    def work(worker: Worker) -> int:
        endless = takewhile(lambda _: time.monotonic() < started + SECONDS, cycle(items))
        return sum(1 for _ in worker.run(endless))

    with ThreadPoolExecutor(count) as pool:
        done = sum(pool.map(work, workers))
    rate = done / (time.monotonic() - started)
    for worker in workers:
        worker.close()
    return round(rate, 3)


def apply(job: Job, plan: Plan) -> Job:
    """The job under a plan."""
    return replace(job, batch=plan.batch, readers=plan.readers)
