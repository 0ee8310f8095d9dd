"""How long a scan takes from file to verdict, beside a bare ONNX Runtime run of the same model.

    python scripts/bench/screen.py [--rounds 40] [--model FILE ...]

For a parcel of 400 x 500 pixels and a container of 700 x 1400, both simulated and written as canonical
TIFF: median times, warm, of decoding alone, of a bare `InferenceSession.run` on the same pixels with the
same threads, and of everything from file to verdict, in turns so that a busy machine troubles all of
them alike. Then many files through `screen_files`, which reads ahead. Ratios hold between machines; the
times are this machine's. Last, `leadline --help` and the peak memory of a `leadline screen` process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from leadline.datasets.formats import read_scan, write_scan
from leadline.datasets.scan import KINDS, Kind, LeadlineError, Scan
from leadline.inference.engine import OUTPUTS, Engine
from leadline.inference.screening import Settings, judge, screen_files, threads_for
from leadline.models import contract

SIZES: dict[Kind, tuple[int, int]] = {"parcel": (400, 500), "container": (700, 1400)}
LIMITS_MS: dict[Kind, int] = {"parcel": 25, "container": 100}
COMMAND = [sys.executable, "-c", "from leadline.inference.cli import main; main(prog_name='leadline')"]


def specimen(kind: Kind) -> Scan:
    """A simulated scan of the kind, repeated and cut to the size of the target; noise stays as it is."""
    from leadline.datasets.simulator.simulate import simulate

    scan = simulate(kind, 1, 3, threat=True).scan
    rows, columns = SIZES[kind]
    spare = [(0, 0), (0, max(0, rows - scan.shape[0])), (0, max(0, columns - scan.shape[1]))]
    large = np.pad(scan.transmission, spare, mode="wrap")
    return replace(scan, transmission=np.ascontiguousarray(large[:, :rows, :columns]))


def model_of(kind: Kind, given: list[Path], folder: Path) -> Path:
    """The given model of the kind, else the released one, else one of random weights (it is as fast)."""
    for path in given:
        if contract.read(path).scanner == kind:
            return path
    try:
        return contract.released(kind)
    except LeadlineError:
        from leadline.models.export import export_untrained

        print(f"{kind}: no released model here, measured with random weights")
        return export_untrained(kind, folder / f"{kind}.onnx")


def in_turns(rounds: int, tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each task, the tasks taking turns."""
    spent: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 3):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if turn >= 3:  # the first ones warm up
                spent[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in spent.items()}


def bench(kind: Kind, model: Path, folder: Path, rounds: int) -> None:
    """Print the figures of one scanner kind."""
    path = folder / f"{kind}.tif"
    write_scan(specimen(kind), path)
    engine, settings = Engine(model), Settings()
    scan = read_scan(path)
    session = engine.model_for(kind).session
    feed = {
        "transmission": scan.transmission[None],
        "declared": np.zeros((1, len(engine.model_for(kind).contract.families) + 1), np.float32),
    }
    tasks: dict[str, Callable[[], object]] = {
        "decode": lambda: read_scan(path, threads=engine.threads),
        "bare": lambda: session.run(OUTPUTS, feed),
        "whole": lambda: judge(engine, read_scan(path, threads=engine.threads), settings),
    }
    took = in_turns(rounds, tasks)
    files = [path] * max(10, rounds)
    several = Engine(model, threads=threads_for(len(files)))
    list(screen_files(several, files[:4], settings))
    rates: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in screen_files(several, files, settings):
            pass
        many = 1000 * (time.perf_counter() - start) / len(files)
        start = time.perf_counter()
        for _ in files:
            session.run(OUTPUTS, feed)
        rates.append(1000 * (time.perf_counter() - start) / len(files) / many)
    rows, columns = scan.shape
    print(
        f"{kind:10}{rows} x {columns}, {engine.threads} threads: file to verdict {took['whole']:.1f} ms "
        f"(limit {LIMITS_MS[kind]}), decoding {took['decode']:.1f} ms, bare ONNX Runtime {took['bare']:.1f} ms\n"
        f"{'':10}{took['bare'] / took['whole']:.2f} of the bare run's speed for one file, "
        f"{(took['bare'] + took['decode']) / took['whole']:.2f} of bare run and decoding, "
        f"{statistics.median(rates):.2f} of the bare run's speed for many files"
    )


def memory_mb(arguments: list[str]) -> float:
    """Peak resident memory of a `leadline` process, MB."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMAND, *arguments], capture_output=True, text=True, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return int(done.stdout.split()[-1]) * unit / 1e6


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, help="measurements of each time")
    parser.add_argument("--model", type=Path, nargs="*", default=[], help="model files instead of the released ones")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in KINDS:
            model = model_of(kind, arguments.model, folder)
            bench(kind, model, folder, arguments.rounds)
            memory = memory_mb(["screen", str(folder / f"{kind}.tif"), "--model", str(model), "--quiet"])
            print(f"{'':10}peak memory of leadline screen {memory:.0f} MB (limit 500)")
    helped = in_turns(7, {"help": lambda: subprocess.run([*COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)})
    print(f"leadline --help {helped['help']:.0f} ms (limit 300); load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
