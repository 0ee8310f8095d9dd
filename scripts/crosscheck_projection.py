"""Compare projected threats with fully simulated ones on the same scenes, in units of the scan's noise.

    python scripts/crosscheck_projection.py [--scenes 12] [--figure docs/images/projection.png] [--constants]

Prints the tables of docs/projection.md and draws its figure. Simulated scans only.

A threat is projected into the honest scan of a simulated scene; the same threat is laid into the scene itself, whose
expected transmission, with the same gains, is what the projection should show. Differences from it are told in units of
what full simulations of the same scene with other noise differ from it among the same pixels (so that a vendor's
smoothing, few quanta and rounding count). A perfect projection has mean 0 and spread 1.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from measure_calibration import calibrated

from leadline.datasets.scan import Kind, LeadlineError, Scan
from leadline.datasets.simulator import appearance
from leadline.datasets.simulator.background import Background, measure, measure_with
from leadline.datasets.simulator.goods import scenarios
from leadline.datasets.simulator.projection import Projection, cut, project
from leadline.datasets.simulator.scanner import Machine, blur_kernel
from leadline.datasets.simulator.simulate import build_scene
from leadline.datasets.simulator.threats import draw_threat, find_place, fully_simulated

Image = npt.NDArray[np.float32]
RESPONSES = {
    "known": "The machine is known.",
    "calibrated": "The machine is known from its step wedges, as `leadline calibrate` fits them.",
    "measured": "The machine is not known: everything is measured on the scan.",
}
DRAWS = 3
"""Full simulations of each scene with which the projection's noise is compared."""


@dataclass(frozen=True)
class Comparison:
    """One scene: what was projected, and how far it is from the full simulation."""

    name: str
    machine: Machine
    honest: Scan
    projection: Projection
    full: Image
    means: tuple[float, float]
    spreads: tuple[float, float]
    light: tuple[float, float]
    pixels: int


def clean(machine: Machine, mean: Image, seed: int | list[int]) -> Image:
    """What a scan would read without noise and rounding, with the gains of that seed."""
    exact = replace(machine, bits=24)
    return exact.measure(mean, np.full_like(mean, 1e-20), np.random.default_rng(seed))


def noise(machine: Machine, mean: Image, variance: Image, index: int) -> Image:
    """Noise of full simulations (DRAWS, 2, rows, columns): few quanta, smoothing, rounding and clipping included."""
    draws = ([index, 77, k] for k in range(DRAWS))
    return np.stack(
        [machine.measure(mean, variance, np.random.default_rng(s)) - clean(machine, mean, s) for s in draws]
    )


def spread(z: Image) -> float:
    """Standard deviation of the middle 95 %, as share of a normal distribution's."""
    low, high = np.quantile(z, (0.025, 0.975))
    return float(z[(z >= low) & (z <= high)].std()) / 0.871


def measured_by(response: str, honest: Scan, machine: Machine) -> Background:
    """The scan as a background, with what is known of its scanner (a key of RESPONSES)."""
    if response == "known":
        return measure(honest, machine)
    return measure(honest) if response == "measured" else measure_with(honest, calibrated(machine).machine, "profile")


def compare(kind: Kind, seed: int, index: int, response: str) -> Comparison | None:
    """Project a scenario's threat into scene number `index`; `None` where none finds room."""
    scene = build_scene(kind, seed, index)
    machine = Machine.draw(kind, np.random.default_rng([seed, index, 9]), "train", pixel_mm=scene.pixel_mm)
    honest = Scan(machine.expose(scene.areal, scene.materials, np.random.default_rng(index)), machine.scanner())
    try:
        background = measured_by(response, honest, machine)
    except LeadlineError as error:
        print(f"{kind} {index}: {error}")
        return None
    rng = np.random.default_rng([index, 5])
    rows = [s for s in scenarios().values() if kind in s.mass_kg]
    scenario = rows[index % len(rows)]
    try:
        threat = draw_threat(kind, scenario, rng, scene.pixel_mm)
        at, _ = find_place(background, threat, rng)
    except LeadlineError:
        return None
    part, (y0, y1, x0, x1) = cut(threat, at, honest.shape)
    part = part.within(background.goods[y0:y1, x0:x1])
    projection = project(background, part, (y0, x0), rng)
    names, areal = fully_simulated(scene, part, (y0, x0))
    mean, variance = machine.mean(areal, names)
    expected, own = clean(machine, mean, index), noise(machine, mean, variance, index)
    honest_clean = clean(machine, machine.mean(scene.areal, scene.materials)[0], index)
    shown = np.zeros(honest.shape, bool)
    shown[y0:y1, x0:x1] = part.areal.any(axis=0)
    means, spreads = [], []
    for channel in range(2):
        ok = shown & (honest.transmission[channel] > 0) & (expected[channel] < 0.99)
        sigma = np.sqrt(variance[channel]) * machine.level[channel]
        z = ((projection.scan.transmission - expected)[channel] / sigma)[ok]
        full_z = (own[:, channel] / sigma)[:, ok & (own[:, channel] > -0.5 * expected[channel]).all(axis=0)]
        unit = spread(full_z)
        means.append(float(z.mean() - full_z.mean()) / unit)
        spreads.append(spread(z) / unit)
    light = float(np.median(honest_clean[0][shown])), float(np.median(expected[0][shown]))
    full = machine.measure(mean, variance, np.random.default_rng(index))
    return Comparison(
        scenario.name, machine, honest, projection, full, (means[0], means[1]), (spreads[0], spreads[1]), light,
        int(shown.sum()),
    )  # fmt: skip


def table(kind: Kind, results: list[Comparison]) -> None:
    """One line a scene, then the medians."""
    print(f"\n| {kind} | quanta | T before | T after | mean, high | mean, low | spread, high | spread, low |")
    print("| --- |" + " --- |" * 7)
    for r in results:
        print(
            f"| {r.name} | {r.machine.quanta[0]:.2g} | {r.light[0]:.3f} | {r.light[1]:.4f} | {r.means[0]:+.2f} | "
            f"{r.means[1]:+.2f} | {r.spreads[0]:.2f} | {r.spreads[1]:.2f} |"
        )
    sizes = np.median(np.abs([r.means for r in results]), axis=0)
    spreads = np.median([r.spreads for r in results], axis=0)
    print(
        f"| *median of {len(results)}* | | | | {sizes[0]:.2f} (size) | {sizes[1]:.2f} (size) | "
        f"{spreads[0]:.2f} | {spreads[1]:.2f} |"
    )


def figure(results: list[Comparison], path: Path) -> None:
    """Honest scan, projected, fully simulated, one row a scene; the high energy, logarithmic."""
    rows = []
    for r in results:
        y0, y1, x0, x1 = r.projection.window
        size = max(y1 - y0, x1 - x0) * 0.75 + 20
        cy, cx = (y0 + y1) / 2, (x0 + x1) / 2
        top, left = max(0, int(cy - size / 2)), max(0, int(cx - size * 0.8))
        window = (slice(top, int(cy + size / 2)), slice(left, int(cx + size * 0.8)))
        dark = 1e-3
        tiles = []
        for image in (r.honest.transmission[0], r.projection.scan.transmission[0], r.full[0]):
            grey = 255 * (1 - np.log(np.clip(image[window], dark, 1)) / np.log(dark))
            tiles.append(cv2.copyMakeBorder(cv2.resize(grey.astype(np.uint8), (420, 262)), 4, 4, 4, 4, 0, value=255))
        strip = np.hstack(tiles)
        cv2.putText(strip, r.name, (10, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 0, 1, cv2.LINE_AA)
        rows.append(strip)
    head = np.full((26, rows[0].shape[1]), 255, np.uint8)
    for k, words in enumerate(("honest scan", "threat projected into it", "threat fully simulated")):
        cv2.putText(head, words, (10 + k * 428, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 0, 1, cv2.LINE_AA)
    cv2.imwrite(str(path), np.vstack([head, *rows]), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def constants() -> None:
    """How the noise estimator reads smoothed white noise: the constants of `simulator/appearance.py`."""
    white = np.random.default_rng(0).standard_normal((1200, 1200)).astype(np.float32) * np.float32(0.01)

    def quiet(noise: Image, lag: int) -> float:
        spread, _ = appearance._spread(np.clip(0.5 + noise, 0, 0.999), lag)
        spread = np.sort(spread[spread > 0])
        return float(np.median(spread[: int(0.3 * len(spread))]))

    near, far = quiet(white, 1), quiet(white, 3)
    print(f"quiet patches read {near / 0.01:.3f} (neighbours), {far / 0.01:.3f} (three apart) of the noise")
    print("smoothing, px | near / far | variance left for neighbours")
    for sigma in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7):
        kernel = blur_kernel(sigma, 0.0)
        soft = np.asarray(cv2.sepFilter2D(white, -1, kernel, kernel), np.float32)
        one, three = quiet(soft, 1) / near, quiet(soft, 3) / far
        print(f"{sigma:.2f} | {one / three:.3f} | {one**2:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=12, help="scenes of each kind")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--response", nargs="+", choices=RESPONSES, default=list(RESPONSES))
    parser.add_argument("--kind", nargs="+", choices=("container", "parcel"), help="both by default")
    parser.add_argument("--figure", type=Path, help="PNG to write")
    parser.add_argument("--constants", action="store_true", help="print the constants of the noise estimator instead")
    arguments = parser.parse_args()
    if arguments.constants:
        constants()
        return
    shown: list[Comparison] = []
    kinds: tuple[Kind, ...] = ("container", "parcel")
    for response in arguments.response:
        print(f"\n{RESPONSES[response]}", flush=True)
        for kind in arguments.kind or kinds:
            tried = [compare(kind, arguments.seed, index, response) for index in range(arguments.scenes)]
            results = [r for r in tried if r is not None]
            table(kind, results)
            if response == "known":
                shown += sorted(results, key=lambda r: -min(r.light[1], 0.05) * r.pixels)[:2]
    if arguments.figure:
        figure(shown, arguments.figure)


if __name__ == "__main__":
    main()
