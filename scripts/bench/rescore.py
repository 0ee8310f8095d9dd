"""How near re-scoring an archive comes to its limit, what memory it takes, and what a second worker brings.

    python scripts/bench/rescore.py [--kind container] [--files 400] [--model FILE] [--provider NAME]

An archive of simulated scans is written, its files repeated under many names (hard links). Measured in one
run, one after the other: bare decoding (`read_scan` alone, on all cores), bare ONNX Runtime inference
(`InferenceSession.run` alone, on all cores, pixels in memory), and the whole of `leadline rescore` from file
to ledger. The limit is the slower of the first two; the ratio to it holds between machines, the rates are this
machine's. Rates of re-scoring are counted from the first result to the last: the start of the processes, told
beside it, is paid once. `--files 100000` gives the memory curve of a long run.
"""

from __future__ import annotations

import argparse
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from leadline.datasets.declarations import expected_families
from leadline.datasets.formats import read_scan, write_scan
from leadline.datasets.scan import Kind, LeadlineError
from leadline.inference.cpu import available_cores
from leadline.inference.engine import CPU, OUTPUTS, Engine, resolve_provider
from leadline.inference.ledger import Ledger
from leadline.inference.rescore import sources, tune
from leadline.inference.rescore.item import Job, job_identity
from leadline.inference.rescore.pipeline import Ceiling, Run
from leadline.inference.rescore.pool import Pool
from leadline.inference.screening import Settings
from leadline.models import contract

SIZES: dict[Kind, tuple[int, int]] = {"parcel": (400, 500), "container": (700, 1400)}
DISTINCT = 6
"""Different scans; more would take long to simulate."""


def make_archive(kind: Kind, count: int, folder: Path) -> list[Path]:
    """Write the scans and repeat them; returns the distinct files."""
    from leadline.datasets.simulator.simulate import simulate

    rows, columns = SIZES[kind]
    originals = []
    (folder / "archive").mkdir()
    for n in range(DISTINCT):
        scan = simulate(kind, 1, n).scan
        spare = [(0, 0), (0, max(0, rows - scan.shape[0])), (0, max(0, columns - scan.shape[1]))]
        pixels = np.pad(scan.transmission, spare, mode="wrap")[:, :rows, :columns]
        originals.append(folder / f"original{n}.tif")
        write_scan(replace(scan, transmission=np.ascontiguousarray(pixels)), originals[-1])
    for n in range(count):
        part = folder / "archive" / f"{n // 1000:04}"
        part.mkdir(exist_ok=True)
        os.link(originals[n % DISTINCT], part / f"{n:07}.tif")
    return originals


def decode(paths: list[Path]) -> None:
    """Bare decoding."""
    for path in paths:
        read_scan(path)


def bare_decoding(originals: list[Path], seconds: float, cores: int) -> float:
    """Scans a second that the readers make on all cores, each in a process of its own."""
    with get_context("spawn").Pool(cores) as pool:
        pool.map(decode, [originals] * cores)  # warm
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            pool.map(decode, [originals * 2] * cores, chunksize=1)
            done += 2 * cores * len(originals)
        return done / (time.perf_counter() - start)


def bare_inference(originals: list[Path], job: Job, seconds: float, cores: int) -> float:
    """Scans a second of ONNX Runtime alone: on the CPU one thread a core, on an accelerator one session."""
    scans = [read_scan(path) for path in originals]
    engine = Engine(job.model, job.provider, 1)
    session = engine.model_for(scans[0].scanner.kind).session
    feeds = [
        {"transmission": s.transmission[None], "declared": expected_families(None)[None].astype(np.float32)}
        for s in scans
    ]

    def work(_: int) -> int:
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            for feed in feeds:
                session.run(OUTPUTS, feed)
            done += len(feeds)
        return done

    session.run(OUTPUTS, feeds[0])
    callers = cores if job.provider is None else 2
    start = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        total = sum(pool.map(work, range(callers)))
    return total / (time.perf_counter() - start)


def resident(pids: list[int]) -> float:
    """Memory of processes, MB: proportional set size where the system tells, else resident."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(text.partition("\nPss:")[2].split()[0])
        except (OSError, IndexError, ValueError):
            continue
    return total / 1024


def rescore(folder: Path, job: Job, workers: int | None, name: str) -> tuple[float, float, list[tuple[int, float]]]:
    """Run over the whole archive into a fresh ledger.

    Returns:
        Scans a second from the first result to the last, seconds before the first, and (scans, MB) on the way.
    """
    started = time.perf_counter()
    curve: list[tuple[int, float]] = []
    with Ledger.open(folder / f"{name}.ledger") as ledger:
        run = Run(ledger, job, Ceiling(count=0))
        fresh = run.fresh(sources.items(str(folder / "archive")))
        sample = list(islice(fresh, tune.SAMPLE))
        plan = tune.choose(job, sample, workers)
        print(f"  plan: {plan}")
        run.job = tune.apply(job, plan)
        pool = Pool(run.job, plan.workers)
        try:
            results: Iterator[object] = run.go_on(chain(sample, fresh), pool)
            next(results)
            first, done = time.perf_counter(), 1
            sampled = first
            for done, _ in enumerate(results, 2):
                if time.perf_counter() - sampled > 1 or done == 50:
                    sampled = time.perf_counter()
                    curve.append((done, resident([os.getpid(), *pool.pids()])))
            ended = time.perf_counter()
        finally:
            pool.close()
        rows = ledger.head()[0]
    tally = run.tally
    print(
        f"  {done} scans, {rows} rows; a scan {tally.read_ms / done:.1f} ms reading, {tally.infer_ms / done:.1f} ms "
        f"scoring; {100 * (ended - first) / (ended - started):.0f} % of the time after the first result"
    )
    return (done - 1) / (ended - first), first - started, curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=list(SIZES), default="container")
    parser.add_argument("--files", type=int, default=400, help="scans of the archive")
    parser.add_argument("--seconds", type=float, default=10, help="duration of each bare measurement")
    parser.add_argument("--model", type=Path, help="a model file in place of the released one")
    parser.add_argument("--provider", help="ONNX Runtime provider; without it, the CPU")
    parser.add_argument("--only", type=int, help="with this number of workers alone, not with 1 and all")
    given = parser.parse_args()
    cores = available_cores()
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as name:
        folder = Path(name)
        model = given.model
        if model is None:
            try:
                model = contract.released(given.kind)
            except LeadlineError:
                from leadline.models.export import export_untrained

                print(f"{given.kind}: no released model here, measured with random weights")
                model = export_untrained(given.kind, folder / "model.onnx")
        provider = resolve_provider(given.provider)
        originals = make_archive(given.kind, given.files, folder)
        settings = Settings(scanner=given.kind)
        identity = job_identity(settings, model, "verdict")
        job = Job(settings, model, None if provider == CPU else provider, "verdict", identity, secrets.token_hex(8))
        print(f"{given.files} {given.kind} scans of {SIZES[given.kind]}, {provider}, {cores} cores")
        decoding = bare_decoding(originals, given.seconds, cores)
        inference = bare_inference(originals, job, given.seconds, cores)
        limit = min(decoding, inference)
        print(f"bare decoding {decoding:.2f}/s, bare inference {inference:.2f}/s; the limit is {limit:.2f}/s")
        rates = {}
        for workers in [given.only] if given.only else [1, None]:
            label = f"{workers} worker{'s'[: workers != 1]}" if workers else "as measured"
            print(f"{label}:")
            rates[workers], start, curve = rescore(folder, job, workers, f"w{workers}")
            ratio = rates[workers] / limit
            print(f"  {rates[workers]:.2f} scans/s, ratio to the limit {ratio:.3f}; {start:.1f} s to start")
            steps = curve[:: max(1, len(curve) // 12)]
            print("  memory, MB after scans: " + ", ".join(f"{mb:.0f} after {done}" for done, mb in steps))
        if len(rates) == 2:
            print(f"from 1 worker to all: x{rates[None] / rates[1]:.2f}")


if __name__ == "__main__":
    main()
