"""How many simulated scans a core makes a second, and what bounds it.

    python scripts/bench/simulator.py [--scenes 40]

Times building a scene (areal densities), taking a scan of it (forward model, noise, truth), and the
bare limit beside it in the same run: the exponentials of the polychromatic sum alone, on arrays that
are already there. Ratios hold between machines; the rates are this machine's.
"""

# ruff: noqa: E402 - the number of threads is fixed before numpy loads
from __future__ import annotations

import argparse
import os
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # a rate per core

import cv2
import numpy as np

from leadline.datasets.scan import KINDS, Kind
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.simulate import build_scene, expose


def bench(kind: Kind, scenes: int) -> None:
    """Print the rates of one scanner kind."""
    spent = dict.fromkeys(("build", "expose", "exponentials"), 0.0)
    for index in range(scenes + 1):
        start = time.perf_counter()
        scene = build_scene(kind, 1, index)
        built = time.perf_counter()
        rng = np.random.default_rng(index)
        machine = Machine.draw(kind, rng, pixel_mm=scene.pixel_mm)
        expose(scene, machine, rng, threat=True, declaration=scene.declaration)
        exposed = time.perf_counter()
        depth = np.zeros((len(machine.response.energies), scene.areal[0].size), np.float32)
        before = time.perf_counter()
        np.exp(depth, out=depth)
        after = time.perf_counter()
        if index:  # the first fills the caches of tables and meshes
            for name, seconds in zip(spent, (built - start, exposed - built, after - before), strict=True):
                spent[name] += seconds / scenes
    fresh, cached = 1 / (spent["build"] + spent["expose"]), 1 / spent["expose"]
    print(
        f"{kind:10} {fresh:5.1f} scans/s from nothing, {cached:5.1f} scans/s of scenes already built; "
        f"build {1e3 * spent['build']:.0f} ms, scan {1e3 * spent['expose']:.0f} ms, "
        f"of which the bare exponentials would take {1e3 * spent['exponentials']:.0f} ms "
        f"(ratio {spent['expose'] / spent['exponentials']:.2f})"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=40, help="scenes of each kind")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    for scanner in KINDS:
        bench(scanner, arguments.scenes)
