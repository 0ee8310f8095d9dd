"""How many workers, threads and scans at once: measured on the archive's own first scans, not guessed."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import numpy as np

from leadline.datasets.scan import LeadlineError, Scan
from leadline.inference.cpu import available_cores
from leadline.inference.rescore.item import Item, Job

SAMPLE = 24
"""Items that are looked at; a shorter archive is not worth the measurement."""

BATCHES = (2, 4)
GAIN = 1.05
"""Another plan than one thread, one scan must be faster by this factor: it costs memory, and evenness."""

SECONDS = 1.0
"""So long each plan is tried, at least once over the sample."""

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
        threads: of one inference.
        batch: scans of one inference.
        readers: threads of each worker that read and decode ahead of the inference, see `Job`.
        rates: what was measured, scans a second by plan; empty where nothing was.
    """

    workers: int
    threads: int = 1
    batch: int = 1
    readers: int = 0
    rates: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        def few(n: int, what: str) -> str:
            return f"{n} {what}" if n == 1 else f"{n} {what}s"

        said = f"{few(self.workers, 'worker')}, {few(self.threads, 'thread')} and {few(self.batch, 'scan')} at a time"
        return said + (f" ({', '.join(f'{n}: {r:.1f}/s' for n, r in self.rates)})" if self.rates else "")


def default(job: Job, workers: int | None) -> Plan:
    """The plan where nothing is measured: a worker a core, one thread each. The container's CPU quota counts."""
    cores = available_cores()
    count = workers or (cores if job.provider is None else min(cores, MOST_GPU_WORKERS))
    return Plan(count, readers=readers(job, count, 1))


def readers(job: Job, workers: int, threads: int) -> int:
    """Reading threads of each worker: none where every core has a worker that decodes and scores in turn."""
    every_core_busy = threads == 1 and workers >= available_cores()
    return 0 if job.provider is None and every_core_busy else READERS


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
    job: Job, sample: list[Item], plan: Plan, fixed: bool, going_on: Callable[[], None] = lambda: None
) -> Plan:
    """Try plans on the scans of a sample that can be read.

    A plan counts only if its answers are the very bits of one scan on one thread: then a run that was interrupted
    and went on under another plan ends with the same ledger.

    Args:
        job: what will be done.
        sample: items to try it on.
        plan: where nothing can be measured.
        fixed: its number of workers must stay.
        going_on: is called after each step.

    Raises:
        LeadlineError: the model cannot be used.
    """
    from leadline.inference.engine import Engine
    from leadline.inference.rescore.fetch import load

    scans: list[Scan] = []
    for item in sample:
        going_on()
        try:
            scans.append(load(item, job.settings))
        except Exception:  # the run itself will tell of it
            continue
        if len(scans) == max(BATCHES):
            break
    if not scans:
        return plan
    scans = (scans * max(BATCHES))[: max(BATCHES)]
    going_on()
    single = Engine(job.model, job.provider, 1)
    answers = [s.score for s in single.score_batch(scans[:1])] and [single.score(s).score for s in scans]
    share = 1 if fixed else plan.workers
    rates: dict[tuple[int, int, int], float] = {(plan.workers, 1, 1): _rate(lambda: _each(single, scans), scans, share)}
    best = (plan.workers, 1, 1)
    for batch in BATCHES:
        going_on()
        groups = [scans[i : i + batch] for i in range(0, len(scans), batch)]
        if [s.score for g in groups for s in single.score_batch(g)] != answers:
            continue
        rates[plan.workers, 1, batch] = _rate(lambda g=groups: [single.score_batch(x) for x in g], scans, share)  # type: ignore[misc]
        if rates[plan.workers, 1, batch] > GAIN * rates[best]:
            best = (plan.workers, 1, batch)
    if not fixed and job.provider is None and plan.workers > 1:
        going_on()
        wide = Engine(job.model, job.provider, plan.workers)
        if [wide.score(s).score for s in scans] == answers:
            rates[1, plan.workers, 1] = _rate(lambda: _each(wide, scans), scans, 1)
            if rates[1, plan.workers, 1] > GAIN * rates[best]:
                best = (1, plan.workers, 1)
    told = tuple((f"{w}x{t} threads, {b} at a time", r) for (w, t, b), r in rates.items())
    return Plan(*best, readers(job, best[0], best[1]), told)


def _each(engine: object, scans: list[Scan]) -> object:
    return [engine.score(scan) for scan in scans]  # type: ignore[attr-defined]


def _rate(work: Callable[[], object], scans: list[Scan], together: int) -> float:
    """Scans a second when so many callers do the work at once."""
    work()

    def repeat(_: int) -> int:
        done, end = 0, time.monotonic() + SECONDS
        while not done or time.monotonic() < end:
            work()
            done += 1
        return done

    started = time.monotonic()
    with ThreadPoolExecutor(together) as pool:
        rounds = sum(pool.map(repeat, range(together)))
    return float(np.round(rounds * len(scans) / (time.monotonic() - started), 3))


def apply(job: Job, plan: Plan) -> Job:
    """The job under a plan."""
    return replace(job, threads=plan.threads, batch=plan.batch, readers=plan.readers)
