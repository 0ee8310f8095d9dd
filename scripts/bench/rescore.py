"""How near re-scoring an archive comes to its limit, by the form in which its scans are stored, and what it takes.

    python scripts/bench/rescore.py [--kind KIND] [--rounds 3] [--seconds 1.5] [--model FILE] [--provider NAME]
    python scripts/bench/rescore.py --processor [--rounds 10]
    python scripts/bench/rescore.py --memory 100000

Without `--kind` both are measured, in about three minutes on an idle machine. In turns, so that a machine that is busy
with other things troubles all alike: bare ONNX Runtime inference (`InferenceSession.run` alone, pixels in memory; a
thread a core on one scan each, and all cores on one scan: the faster one counts), bare decoding (`read_scan` alone, a
process a core), and what `leadline rescore` does from file to ledger, with one worker and with as many as its own
measurement at the start chooses.

The limit is the slower of bare decoding and bare inference. Its share is told twice: by rates, which hold only on an
idle machine, and by processor time, which bears some company. Where decoding and inference share the same cores, no
program can reach the limit, for it must do both: the share of the rate at which both together would keep all cores busy
is printed beside it. Shares hold between machines, times are this machine's.

Each archive is a manifest that names six simulated scans again and again, each time with another description of the
goods: every line is decoded, scored and recorded as a row of its own, and the files come from the page cache.

`--processor` instead does decoding, inference and a worker's whole work in turns in this one process and on one thread,
without the ledger, and prints the least processor time that a scan took: for machines that are busy with other things.

`--memory N` instead runs once over N small scans of 64 x 64 pixels, each a file with a content of its own, and prints
the memory of all processes on the way.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from archives import DISTINCT, SIZES, SMALL, make_archives, make_small_files

from leadline.datasets.declarations import expected_families
from leadline.datasets.formats import read_scan
from leadline.datasets.scan import KINDS, Kind, LeadlineError
from leadline.inference.cpu import available_cores
from leadline.inference.engine import CPU, OUTPUTS, Engine, resolve_provider
from leadline.inference.ledger import Ledger
from leadline.inference.memory import keep_freed
from leadline.inference.rescore import sources, tune
from leadline.inference.rescore.item import Item, Job, job_identity
from leadline.inference.rescore.pipeline import Ceiling, Run
from leadline.inference.rescore.pool import Pool
from leadline.inference.rescore.worker import Worker
from leadline.inference.screening import Settings
from leadline.models import contract


def decode(paths: list[Path]) -> float:
    """Bare decoding; the processor time it took, seconds."""
    started = time.process_time()
    for path in paths:
        read_scan(path)
    return time.process_time() - started


class BareDecoding:
    """The readers on all cores, each in a process of its own."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.pool = get_context("spawn").Pool(cores, keep_freed)

    def __call__(self, paths: list[Path], seconds: float) -> tuple[float, float]:
        """Scans a second, and seconds of processor time a scan."""
        done, spent, start = 0, 0.0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            spent += sum(self.pool.map(decode, [paths * 2] * self.cores, chunksize=1))
            done += 2 * self.cores * len(paths)
        return done / (time.perf_counter() - start), spent / done

    def close(self) -> None:
        self.pool.terminate()
        self.pool.join()


class BareInference:
    """ONNX Runtime alone.

    Args:
        paths: scans, which are kept decoded.
        job: says which model and provider.
        threads: of one inference.
        callers: inferences at once.
    """

    def __init__(self, paths: list[Path], job: Job, threads: int, callers: int) -> None:
        scans = [read_scan(path, scanner=job.settings.scanner) for path in paths]
        self.session = Engine(job.model, job.provider, threads).model_for(job.settings.scanner).session
        none = expected_families(None)[None].astype(np.float32)
        self.feeds = [{"transmission": scan.transmission[None], "declared": none} for scan in scans]
        self.callers = callers
        self.session.run(OUTPUTS, self.feeds[0])

    def __call__(self, seconds: float) -> tuple[float, float]:
        """Scans a second, and seconds of processor time a scan."""

        def work(_: int) -> int:
            done = 0
            while time.perf_counter() - start < seconds:
                self.session.run(OUTPUTS, self.feeds[done % len(self.feeds)])
                done += 1
            return done

        start, before = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(self.callers) as pool:
            done = sum(pool.map(work, range(self.callers)))
        return done / (time.perf_counter() - start), (time.process_time() - before) / done


class Rescoring:
    """Runs that are stopped and go on: worker processes, ledger and all, as `leadline rescore` has them.

    Args:
        archives: by form, what `leadline rescore` would be given.
        folder: for the ledger.
        job: what is done.
        plan: how the work is shared; `None` measures it on the first archive.
    """

    def __init__(self, archives: dict[str, Path], folder: Path, job: Job, plan: tune.Plan | None) -> None:
        started = time.perf_counter()
        self.ledger = Ledger.open(folder / f"{secrets.token_hex(4)}.ledger")
        self.run = Run(self.ledger, job, Ceiling(count=0))
        self.fresh = {form: self.run.fresh(sources.items(str(source))) for form, source in archives.items()}
        samples = {form: list(islice(fresh, tune.SAMPLE)) for form, fresh in self.fresh.items()}
        self.plan = plan or tune.choose(job, next(iter(samples.values())), None)
        self.run.job = tune.apply(job, self.plan)
        self.pool = Pool(self.run.job, self.plan.workers)
        for sample in samples.values():
            for _ in self.run.go_on(iter(sample), self.pool):
                pass
        self.start_s = time.perf_counter() - started

    def __call__(
        self, form: str, seconds: float, count: int | None = None, each: Callable[[int], None] = lambda done: None
    ) -> tuple[float, float, float]:
        """Scans a second over some time or so many scans; seconds of processor time a scan in the workers, and here."""
        told: list[tuple[int, float]] = []
        done, workers, here = 0, processor_s(self.pool.pids()), time.process_time()
        end = time.perf_counter() + seconds

        def portion() -> Iterator[Item]:
            for item in islice(self.fresh[form], count):
                if count is None and time.perf_counter() > end:
                    break
                yield item
            told.append((done, time.perf_counter()))

        for done, _ in enumerate(self.run.go_on(portion(), self.pool), 1):
            if done == 1:
                told.insert(0, (1, time.perf_counter()))
            each(done)
        (first, begun), (last, ended) = told
        rate = (last - first) / (ended - begun) if ended > begun else float("nan")
        return rate, (processor_s(self.pool.pids()) - workers) / done, (time.process_time() - here) / done

    def close(self) -> None:
        self.pool.close()
        self.ledger.close()


def processor_s(pids: list[int]) -> float:
    """Processor time of processes, seconds; NaN where the system does not tell."""
    try:
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in pids]
        return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return float("nan")


def memory_mb(pid: int) -> float:
    """Memory of a process, its share of what several use (PSS), MB; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/smaps_rollup").read_text().partition("\nPss:")[2].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        return 0.0


def in_turns(kind: Kind, given: argparse.Namespace, folder: Path, job: Job, cores: int) -> None:
    """Print times and shares of all forms of storage, and the scaling."""
    made = make_archives(kind, int(given.rounds * given.seconds * 1000) + 100, folder)
    manifests = {form: manifest for form, (manifest, _) in made.items()}
    first = next(iter(made))
    decoding = BareDecoding(cores)
    ways = {(1, cores), (cores, 1)} if job.provider is None else {(1, 2)}
    inferences = {way: BareInference(made[first][1], job, *way) for way in sorted(ways)}
    all_ = Rescoring(manifests, folder, job, None)
    one = Rescoring({first: manifests[first]}, folder, job, tune.Plan(1))
    print(f"plan: {all_.plan}; {all_.start_s:.1f} s to start and measure", flush=True)
    told: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        told.setdefault(name, []).append(value)

    def median(name: str) -> float:
        return statistics.median(told[name])

    for turn in range(given.rounds + 1):
        rates = {way: inference(given.seconds) for way, inference in inferences.items()}
        if turn == 0:  # warms all up
            for _, paths in made.values():
                decoding(paths, 0.1)
            continue
        for (threads, callers), (rate, cpu) in rates.items():
            note(f"bare {callers} x {threads} threads", rate)
            note(f"bare {callers} x {threads} threads, processor", cpu)
        i, i_cpu = max(r for r, _ in rates.values()), min(c for _, c in rates.values())
        note("inference", i_cpu)
        for form, (_, paths) in made.items():
            d, d_cpu = decoding(paths, given.seconds / 2)
            r, r_cpu, main_cpu = all_(form, given.seconds)
            spent = r_cpu + main_cpu
            for name, value in {
                "decoding": d_cpu, "workers": r_cpu, "main": main_cpu,
                "rest": r_cpu - d_cpu - i_cpu,
                "by rate": r / min(d, i), "by processor": max(d_cpu, i_cpu) / spent,
                "both": (d_cpu + i_cpu) / spent, "both, rate": r * (1 / d + 1 / i), "rate": r,
            }.items():  # fmt: skip
                note(f"{form} {name}", value)
        r1, _, _ = one(first, given.seconds)
        note("scaling", told[f"{first} rate"][-1] / r1)
    best = ", ".join(f"{name[5:]} {median(name):.1f}/s" for name in told if name.startswith("bare") and name[-1] == "s")
    print(f"bare inference: {best}; {1000 * median('inference'):.1f} ms of a processor")
    print(f"{'milliseconds of a processor':28}{'MB':>6}{'decode':>8}{'workers':>9}{'rest':>6}{'main':>6}  "
          "share of the limit by processor time (by rate); of decoding and inference together")  # fmt: skip
    for form, (_, paths) in made.items():
        size = sum(f.stat().st_size for path in paths for f in _files(path)) / len(paths) / 1e6
        ms = [1000 * median(f"{form} {name}") for name in ("decoding", "workers", "rest", "main")]
        shares = [median(f"{form} {name}") for name in ("by processor", "by rate", "both", "both, rate")]
        print(f"{form:28}{size:6.2f}{ms[0]:8.1f}{ms[1]:9.1f}{ms[2]:6.1f}{ms[3]:6.1f}  "
              f"{shares[0]:.2f} ({shares[1]:.2f}); {shares[2]:.2f} ({shares[3]:.2f})")  # fmt: skip
    rows, load = all_.ledger.head()[0], os.getloadavg()[0]
    print(f"from 1 worker to {all_.plan.workers}: x{median('scaling'):.2f}; {rows} rows in the ledger, load {load:.1f}")
    for part in (one, all_, decoding):
        part.close()


def by_processor(kind: Kind, given: argparse.Namespace, folder: Path, job: Job) -> None:
    """Print the least processor time of each part, of one scan on one thread."""
    keep_freed()
    worker = Worker(job)
    print(
        "milliseconds of a processor: decode, bare inference, all that a worker does, what is left; share of the limit"
    )
    for form, (manifest, paths) in make_archives(kind, (given.rounds + 1) * DISTINCT, folder).items():
        items = list(sources.items(str(manifest)))
        bare = BareInference(paths, job, 1, 1)
        least: dict[tuple[str, int], float] = {}

        def spent(name: str, work: Callable[[int], object], least: dict[tuple[str, int], float] = least) -> None:
            for n in range(DISTINCT):
                before = time.process_time()
                work(n)
                took = 1000 * (time.process_time() - before)
                least[name, n] = min(took, least.get((name, n), took))

        for turn in range(given.rounds + 1):
            portion = items[turn * DISTINCT : (turn + 1) * DISTINCT]
            spent("decode", lambda n, paths=paths: read_scan(paths[n]))  # type: ignore[misc]
            spent("bare", lambda n, bare=bare: bare.session.run(OUTPUTS, bare.feeds[n]))  # type: ignore[misc]
            spent("whole", lambda n, portion=portion: list(worker.run([portion[n]])))  # type: ignore[misc]
        decoding, inference, whole = (
            statistics.mean(least[name, n] for n in range(DISTINCT)) for name in ("decode", "bare", "whole")
        )
        print(f"{form:28}{decoding:6.1f}{inference:6.1f}{whole:6.1f}{whole - decoding - inference:6.1f}  "
              f"{max(decoding, inference) / whole:.2f}", flush=True)  # fmt: skip
    worker.close()
    print(f"load {os.getloadavg()[0]:.1f}")


def _files(path: Path) -> list[Path]:
    """The file, or both of a pair."""
    return [path, path.with_name(path.name.replace("_high", "_low"))] if "_high" in path.name else [path]


def memory_curve(kind: Kind, given: argparse.Namespace, folder: Path, job: Job) -> None:
    """Print memory over a long run."""
    source = make_small_files(kind, given.memory, folder)
    rescoring = Rescoring({"small": source}, folder, job, None)
    print(f"plan: {rescoring.plan}", flush=True)
    step = max(1, given.memory // 20)

    def look(done: int) -> None:
        if done % step == 0 or done == 100:
            main, *workers = (memory_mb(pid) for pid in [os.getpid(), *rescoring.pool.pids()])
            each = ", ".join(f"{mb:.1f}" for mb in workers)
            print(f"{done + tune.SAMPLE:8} scans: main process {main:.1f} MB, workers {each} MB", flush=True)

    rate, _, _ = rescoring("small", 0, given.memory, look)
    print(f"{rate:.0f} scans/s; {rescoring.ledger.head()[0]} rows, {rescoring.run.tally.failed} failures")
    rescoring.close()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kind", choices=list(SIZES), help="only these; with --memory parcels are the default")
    parser.add_argument("--rounds", type=int, default=3, help="turns")
    parser.add_argument("--seconds", type=float, default=1.5, help="duration of each measurement of each turn")
    parser.add_argument("--processor", action="store_true", help="processor time in one process, and no rates")
    parser.add_argument("--memory", type=int, metavar="N", help="memory over N small scans, and no rates")
    parser.add_argument("--model", type=Path, help="a model file in place of the released one")
    parser.add_argument("--provider", help="ONNX Runtime provider; without it, the CPU")
    given: Any = parser.parse_args()
    cores = available_cores()
    kinds: list[Kind] = [given.kind] if given.kind else ["parcel"] if given.memory else list(KINDS)
    if given.model:
        kinds = [contract.read(given.model).scanner]
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="leadline-bench-") as name:
            folder = Path(name)
            job = job_of(kind, given, folder)
            size = SMALL if given.memory else SIZES[kind]
            print(f"{kind} scans of {size[0]} x {size[1]}, {job.provider or CPU}, {cores} cores", flush=True)
            if given.memory:
                memory_curve(kind, given, folder, job)
            elif given.processor:
                by_processor(kind, given, folder, job)
            else:
                in_turns(kind, given, folder, job, cores)


def job_of(kind: Kind, given: argparse.Namespace, folder: Path) -> Job:
    """What `leadline rescore` would do, with the given model, the released one, or one of random weights."""
    model = given.model
    if model is None:
        try:
            model = contract.released(kind)
        except LeadlineError:
            from leadline.models.export import export_untrained

            print(f"{kind}: no released model here, measured with random weights")
            model = export_untrained(kind, folder / "model.onnx")
    provider = resolve_provider(given.provider)
    settings = Settings(scanner=kind)
    identity = job_identity(settings, model, "verdict")
    return Job(settings, model, None if provider == CPU else provider, "verdict", identity, secrets.token_hex(8))


if __name__ == "__main__":
    main()
