"""How near re-scoring an archive comes to its limit, what memory it takes, and what a second worker brings.

    python scripts/bench/rescore.py [--kind container] [--scans 2000] [--rounds 6] [--model FILE] [--provider NAME]
    python scripts/bench/rescore.py --memory 100000

Measured in turns, so that a machine that is busy with other things troubles all alike: bare decoding (`read_scan`
alone, a process a core), bare ONNX Runtime inference (`InferenceSession.run` alone, a thread a core, pixels in
memory), and what `leadline rescore` does from file to ledger, with one worker and with as many as its own measurement
at the start chooses. The limit is the slower of the first two. Where decoding and inference share the same cores, no
program can reach it: the rate at which both together would keep all cores busy is printed beside it. Ratios hold
between machines, rates are this machine's.

The archive is a manifest that names six simulated scans again and again, each time with another description of the
goods: every line is decoded, scored and recorded as a row of its own, and the files come from the page cache.
Rates are those between the first result and the last line; the start of the processes is told beside them.

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
from dataclasses import replace
from itertools import islice, product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from leadline.datasets.declarations import expected_families
from leadline.datasets.formats import read_scan, write_scan
from leadline.datasets.scan import Kind, LeadlineError, Scan
from leadline.inference.cpu import available_cores
from leadline.inference.engine import CPU, OUTPUTS, Engine, resolve_provider
from leadline.inference.ledger import Ledger
from leadline.inference.rescore import sources, tune
from leadline.inference.rescore.item import Item, Job, job_identity
from leadline.inference.rescore.pipeline import Ceiling, Run
from leadline.inference.rescore.pool import Pool
from leadline.inference.screening import Settings
from leadline.models import contract

SIZES: dict[Kind, tuple[int, int]] = {"parcel": (400, 500), "container": (700, 1400)}
SMALL = (64, 64)
DISTINCT = 6
"""Different scans; more would take long to simulate."""


def specimens(kind: Kind, size: tuple[int, int]) -> Iterator[Scan]:
    """Simulated scans, repeated or cut to a size; of those that are cut, the part with most goods stays."""
    from leadline.datasets.simulator.simulate import simulate

    rows, columns = size
    for n in range(DISTINCT):
        scan = simulate(kind, 1, n).scan
        spare = [(0, 0), (0, max(0, rows - scan.shape[0])), (0, max(0, columns - scan.shape[1]))]
        pixels = np.pad(scan.transmission, spare, mode="wrap")
        downs, rights = range(0, pixels.shape[1] - rows + 1, 16), range(0, pixels.shape[2] - columns + 1, 16)
        y, x = min(product(downs, rights), key=lambda p: pixels[0, p[0] : p[0] + rows, p[1] : p[1] + columns].mean())
        yield replace(scan, transmission=np.ascontiguousarray(pixels[:, y : y + rows, x : x + columns]))


def make_archive(kind: Kind, count: int, folder: Path) -> list[Path]:
    """Write the scans, and a manifest that names each many times; returns the files."""
    paths = []
    for n, scan in enumerate(specimens(kind, SIZES[kind])):
        paths.append(folder / f"scan{n}.tif")
        write_scan(scan, paths[-1])
    lines = [f"{paths[n % DISTINCT].name},,consignment {n}" for n in range(count)]
    (folder / "archive.csv").write_text("\n".join(["path,hs_code,description", *lines]) + "\n")
    return paths


def make_small_files(kind: Kind, count: int, folder: Path) -> Path:
    """A tree of small files; eight bytes of its own behind the picture make each another scan."""
    contents = []
    for scan in specimens(kind, SMALL):
        write_scan(scan, folder / "small.tif")
        contents.append((folder / "small.tif").read_bytes())
    for n in range(count):
        part = folder / "small" / f"{n // 1000:04}"
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{n:07}.tif").write_bytes(contents[n % DISTINCT] + n.to_bytes(8, "big"))
    return folder / "small"


def decode(paths: list[Path]) -> float:
    """Bare decoding; the processor time it took, seconds."""
    started = time.process_time()
    for path in paths:
        read_scan(path)
    return time.process_time() - started


class BareDecoding:
    """The readers on all cores, each in a process of its own."""

    def __init__(self, paths: list[Path], cores: int) -> None:
        self.paths, self.cores = paths, cores
        self.pool = get_context("spawn").Pool(cores)
        self.pool.map(decode, [paths] * cores)  # warm

    def __call__(self, seconds: float) -> tuple[float, float]:
        """Scans a second, and seconds of processor time a scan."""
        done, spent, start = 0, 0.0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            spent += sum(self.pool.map(decode, [self.paths * 4] * self.cores, chunksize=1))
            done += 4 * self.cores * len(self.paths)
        return done / (time.perf_counter() - start), spent / done


class BareInference:
    """ONNX Runtime alone: on the CPU one thread a core, on an accelerator one session and two callers."""

    def __init__(self, paths: list[Path], job: Job, cores: int) -> None:
        scans = [read_scan(path) for path in paths]
        self.session = Engine(job.model, job.provider, 1).model_for(scans[0].scanner.kind).session
        none = expected_families(None)[None].astype(np.float32)
        self.feeds = [{"transmission": scan.transmission[None], "declared": none} for scan in scans]
        self.callers = cores if job.provider is None else 2
        self.session.run(OUTPUTS, self.feeds[0])

    def __call__(self, seconds: float) -> tuple[float, float]:
        """Scans a second, and seconds of processor time a scan."""

        def work(_: int) -> int:
            done = 0
            while time.perf_counter() - start < seconds:
                for feed in self.feeds:
                    self.session.run(OUTPUTS, feed)
                done += len(self.feeds)
            return done

        start, before = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(self.callers) as pool:
            done = sum(pool.map(work, range(self.callers)))
        return done / (time.perf_counter() - start), (time.process_time() - before) / done


class Rescoring:
    """A run that is stopped and goes on: worker processes, ledger and all, as `leadline rescore` has them."""

    def __init__(self, source: Path, folder: Path, job: Job, plan: tune.Plan | None) -> None:
        started = time.perf_counter()
        self.ledger = Ledger.open(folder / f"{secrets.token_hex(4)}.ledger")
        self.run = Run(self.ledger, job, Ceiling(count=0))
        self.fresh = self.run.fresh(sources.items(str(source)))
        sample = list(islice(self.fresh, tune.SAMPLE))
        self.plan = plan or tune.choose(job, sample, None)
        self.run.job = tune.apply(job, self.plan)
        self.pool = Pool(self.run.job, self.plan.workers)
        for _ in self.run.go_on(iter(sample), self.pool):
            pass
        self.start_s = time.perf_counter() - started

    def __call__(self, count: int, each: Callable[[int], None] = lambda done: None) -> tuple[float, float, float]:
        """Scans a second over so many scans; seconds of processor time a scan in the workers, and in this process."""
        told: list[tuple[int, float]] = []
        done, workers, here = 0, processor_s(self.pool.pids()), time.process_time()

        def portion() -> Iterator[Item]:
            yield from islice(self.fresh, count)
            told.append((done, time.perf_counter()))

        for done, _ in enumerate(self.run.go_on(portion(), self.pool), 1):
            if done == 1:
                told.insert(0, (1, time.perf_counter()))
            each(done)
        (first, start), (last, end) = told
        rate = (last - first) / (end - start)
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


def in_turns(given: argparse.Namespace, folder: Path, job: Job, cores: int) -> None:
    """Print rates, ratios and the scaling."""
    paths = make_archive(given.kind, 50 + 2 * given.scans, folder)
    decoding, inference = BareDecoding(paths, cores), BareInference(paths, job, cores)
    one, all_ = (Rescoring(folder / "archive.csv", folder, job, plan) for plan in (tune.Plan(1), None))
    print(f"plan: {all_.plan}; {all_.start_s:.1f} s to start and measure")
    ratios: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        d, d_cpu = decoding(given.seconds)
        i, i_cpu = inference(given.seconds)
        each = given.scans // given.rounds
        r1, _, _ = one(each // 2)
        r, r_cpu, main_cpu = all_(each)
        limit, both = min(d, i), 1 / (1 / d + 1 / i)
        print(f"decoding {d:.1f}/s, inference {i:.1f}/s, both on the same cores {both:.1f}/s; "
              f"rescoring {r:.1f}/s, with one worker {r1:.1f}/s")  # fmt: skip
        for name, value in {"limit": r / limit, "both": r / both, "scaling": r / r1}.items():
            ratios.setdefault(name, []).append(value)
        for name, value in {"decoding": d_cpu, "inference": i_cpu, "workers": r_cpu, "main": main_cpu}.items():
            spent.setdefault(name, []).append(1000 * value)
    said = {name: f"{statistics.median(v):.2f} ({min(v):.2f} to {max(v):.2f})" for name, v in ratios.items()}
    ms = {name: statistics.median(v) for name, v in spent.items()}
    print(f"ratio to the limit: {said['limit']}; to decoding and inference on the same cores: {said['both']}")
    print(f"from 1 worker to {all_.plan.workers}: x{said['scaling']}")
    print(f"processor time a scan: decoding {ms['decoding']:.1f} ms, inference {ms['inference']:.1f} ms; rescoring "
          f"{ms['workers']:.1f} ms in the workers and {ms['main']:.1f} ms in the main process")  # fmt: skip
    print(f"{all_.ledger.head()[0]} rows in the ledger, load of the machine {os.getloadavg()[0]:.1f}")
    for rescoring in (one, all_):
        rescoring.close()


def memory_curve(given: argparse.Namespace, folder: Path, job: Job) -> None:
    """Print memory over a long run."""
    source = make_small_files(given.kind, given.memory, folder)
    rescoring = Rescoring(source, folder, job, None)
    print(f"plan: {rescoring.plan}", flush=True)
    step = max(1, given.memory // 20)

    def look(done: int) -> None:
        if done % step == 0 or done == 100:
            main, *workers = (memory_mb(pid) for pid in [os.getpid(), *rescoring.pool.pids()])
            each = ", ".join(f"{mb:.1f}" for mb in workers)
            print(f"{done + tune.SAMPLE:8} scans: main process {main:.1f} MB, workers {each} MB", flush=True)

    rate, _, _ = rescoring(given.memory, look)
    print(f"{rate:.0f} scans/s; {rescoring.ledger.head()[0]} rows, {rescoring.run.tally.failed} failures")
    rescoring.close()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kind", choices=list(SIZES), default="container")
    parser.add_argument("--scans", type=int, default=2000, help="scans to re-score with all workers")
    parser.add_argument("--rounds", type=int, default=6, help="turns")
    parser.add_argument("--seconds", type=float, default=5, help="duration of each bare measurement of each turn")
    parser.add_argument("--memory", type=int, metavar="N", help="memory over N small scans, and no rates")
    parser.add_argument("--model", type=Path, help="a model file in place of the released one")
    parser.add_argument("--provider", help="ONNX Runtime provider; without it, the CPU")
    given: Any = parser.parse_args()
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
        settings = Settings(scanner=given.kind)
        identity = job_identity(settings, model, "verdict")
        job = Job(settings, model, None if provider == CPU else provider, "verdict", identity, secrets.token_hex(8))
        size = SMALL if given.memory else SIZES[given.kind]
        print(f"{given.memory or given.scans} {given.kind} scans of {size[0]} x {size[1]}, {provider}, {cores} cores")
        memory_curve(given, folder, job) if given.memory else in_turns(given, folder, job, cores)


if __name__ == "__main__":
    main()
