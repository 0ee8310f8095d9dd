"""Compare simulated container scans with real ones: noise, zeros, energy ratio, stripes.

Run from the repository root, with the folder of real scans (arrays `*.npy`, uint16, rows x columns
x 2, channel 0 the high energy, 65535 = open beam):

    python scripts/crosscheck_realism.py FOLDER [--scans 12] [--figure docs/images/realism.png]

Prints the table of docs/realism.md and draws its figure. Every figure is measured by the same code
on both sides. Without the folder there is nothing to compare with, and the script says so and ends
with 0. It stores curves and numbers only, never an image of a real scan.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.simulate import build_scene

LEVELS = np.array([2e-4, 5e-4, 1e-3, 4e-3, 0.01, 0.03, 0.1, 0.3, 0.6, 0.75, 0.95])
"""Borders of the bins of local mean transmission."""
DEPTHS = np.array([0.1, 0.3, 0.7, 1.2, 2.0, 3.0, 4.0, 5.0, 6.0])
"""Borders of the bins of -ln T at the high energy."""

# The machine that these real scans are compared with; its numbers are read off them.
EAGLE = Machine(
    kind="container",
    detector="crystal",
    energies=(6.0, 4.65),
    labels=("6 MV", "4 MV"),
    quanta=(7000.0, 3600.0),
    blur_px=(0.5, 0.5),
    shift_px=(0.0, 0.3),
    scatter=(3e-4, 3e-4),
    pedestal=(2e-4, 2e-4),
    line_gain=(0.0070, 0.0070),
    element_gain=(0.001, 0.001),
    offset=(-8e-5, -1e-4),
    electronics=(2e-5, 2e-5),
    dead_pixels=4e-4,
    blind_rows=(0, 7),
)


def curves(scan: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float64]]:
    """Statistics of one scan (2, rows, columns); NaN where too few pixels speak.

    `noise`: (2, levels) robust standard deviation over mean, from second differences along the
    quieter direction; `zeros`: (2, levels) share of pixels that read 0; `ratio`: (depths,) median of
    ln T(low) / ln T(high) in smooth places; `stripes`: (1,), see `_stripes`.
    """
    means = [cv2.blur(channel, (7, 7)) for channel in scan]
    noise, zeros = np.full((2, len(LEVELS) - 1), np.nan), np.full((2, len(LEVELS) - 1), np.nan)
    for c, (channel, mean) in enumerate(zip(scan, means, strict=True)):
        along = [np.abs(np.diff(channel, n=2, axis=axis))[: len(mean) - 2, : mean.shape[1] - 2] for axis in (0, 1)]
        inner = mean[1:-1, 1:-1]
        for k, (low, high) in enumerate(pairwise(LEVELS)):
            here, around = (inner > low) & (inner < high), (mean > low) & (mean < high)
            if here.sum() < 2000:
                continue
            spread = min(1.4826 * float(np.median(difference[here])) for difference in along) / np.sqrt(6)
            noise[c, k] = spread / np.median(inner[here])
            zeros[c, k] = (channel[around] == 0).mean()
    wide = [cv2.blur(channel, (9, 9)) for channel in scan]
    rough = np.sqrt(np.maximum(cv2.blur(scan[0] ** 2, (9, 9)) - wide[0] ** 2, 0)) / np.maximum(wide[0], 1e-6)
    depth, low_depth = (-np.log(np.maximum(mean, 1e-6)) for mean in wide)
    ratio = np.full(len(DEPTHS) - 1, np.nan)
    for k, (low, high) in enumerate(pairwise(DEPTHS)):
        here = (depth > low) & (depth < high) & ((rough < 0.08) | (wide[0] < 0.05))
        if here.sum() > 2000:
            ratio[k] = np.median(low_depth[here] / depth[here])
    return {"noise": noise, "zeros": zeros, "ratio": ratio, "stripes": _stripes(scan)}


def _stripes(scan: npt.NDArray[np.float32], height: int = 60, width: int = 60) -> npt.NDArray[np.float64]:
    """Standard deviation of the columns' mean ratio of the channels over what white noise leaves there, shape (1,).

    The ratio hides what both channels see, such as corrugated walls; the 20th percentile of the bright
    places leaves out those where an edge and misregistration make columns of their own.
    """
    found = []
    for y in range(0, scan.shape[1] - height, height):
        for x in range(0, scan.shape[2] - width, width):
            part = scan[:, y : y + height, x : x + width].astype(float)
            if not 0.6 < part[0].mean() < 0.93 or part.min() < 0.4:  # open air is clipped at 1
                continue
            ratio = part[1] / part[0]
            ratio /= ratio.mean()
            rows, columns = ratio.mean(axis=1, keepdims=True), ratio.mean(axis=0, keepdims=True)
            white = (ratio - rows - columns + 1).var() / height
            fast = columns - cv2.GaussianBlur(columns, (0, 0), 6)
            found.append(np.sqrt(max(fast.var() - white, 0)))
    return np.array([np.percentile(found, 20) if found else np.nan])


def simulated(machines: Sequence[Machine], scans: int) -> list[dict[str, npt.NDArray[np.float64]]]:
    """Curves of simulated containers, scene k seen by machine k modulo their number."""
    result = []
    for k in range(scans):
        scene = build_scene("container", seed=77, index=k)
        machine = replace(machines[k % len(machines)], pixel_mm=scene.pixel_mm)
        areal = scene.with_threat() if scene.has_threat and k % 2 else scene.areal
        result.append(curves(machine.expose(areal, scene.materials, np.random.default_rng(k))))
    return result


def pooled(many: Sequence[dict[str, npt.NDArray[np.float64]]], name: str) -> npt.NDArray[np.float64]:
    """Median over the scans that have a value; shape of one scan's statistic."""
    stack = np.stack([one[name] for one in many])
    value = np.full(stack.shape[1:], np.nan)
    some = np.isfinite(stack).any(axis=0)
    value[some] = np.nanmedian(stack[:, some], axis=0)
    return value


def table(sets: dict[str, list[dict[str, npt.NDArray[np.float64]]]]) -> str:
    """Markdown of all statistics, one column per set."""

    def cells(values: Sequence[float], form: str) -> str:
        return " | ".join("" if np.isnan(v) else format(v, form) for v in values)

    names = list(sets)
    lines = ["| figure | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for name, title, form in (("noise", "sigma(T) / T", ".3f"), ("zeros", "share of zeros", ".3f")):
        values = [pooled(many, name) for many in sets.values()]
        for c, channel in enumerate(("high", "low")):
            for k in range(len(LEVELS) - 1):
                row = cells([v[c, k] for v in values], form)
                lines.append(f"| {title}, {channel}, T {LEVELS[k]:g} to {LEVELS[k + 1]:g} | {row} |")
    values = [pooled(many, "ratio") for many in sets.values()]
    for k in range(len(DEPTHS) - 1):
        row = cells([v[k] for v in values], ".3f")
        lines.append(f"| ln T(low) / ln T(high), -ln T(high) {DEPTHS[k]:g} to {DEPTHS[k + 1]:g} | {row} |")
    row = cells([pooled(many, "stripes")[0] for many in sets.values()], ".4f")
    lines.append(f"| stripes in the channels' ratio | {row} |")
    return "\n".join(lines)


def draw(sets: dict[str, list[dict[str, npt.NDArray[np.float64]]]], target: Path) -> None:
    """The same as curves: real scans one by one, simulated ones as lines and a band."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    level, depth = np.sqrt(LEVELS[:-1] * LEVELS[1:]), (DEPTHS[:-1] + DEPTHS[1:]) / 2
    figure, axes = plt.subplots(1, 4, figsize=(17, 4.2), layout="constrained")
    panels = (("noise", 0, level, "σ(T) / T, high energy"), ("noise", 1, level, "σ(T) / T, low energy"))
    panels += (("zeros", 0, level, "share of zeros, high energy"), ("ratio", None, depth, "ln T(low) / ln T(high)"))
    styles = {"real": ("black", "-"), "fitted": ("tab:red", "-"), "training": ("tab:blue", "--")}
    for axis, (name, channel, x, title) in zip(axes, panels, strict=True):
        for label, many in sets.items():
            colour, line = styles[label]
            rows = np.stack([one[name] if channel is None else one[name][channel] for one in many])
            if label == "training":
                some = np.isfinite(rows).sum(axis=0) > 2
                axis.fill_between(
                    x[some],
                    *np.nanpercentile(rows[:, some], [5, 95], axis=0),
                    color=colour,
                    alpha=0.15,
                    label="drawn for training, 5 to 95 %",
                )
            elif label == "real":
                for k, row in enumerate(rows):
                    axis.plot(x, row, color=colour, lw=1, marker="o", ms=3, label="" if k else "real scans")
            else:
                axis.plot(
                    x,
                    pooled(many, name) if channel is None else pooled(many, name)[channel],
                    color=colour,
                    ls=line,
                    lw=2,
                    label="simulated, fitted machine",
                )
        axis.set_title(title)
        axis.set_xlabel("-ln T(high)" if name == "ratio" else "local mean T")
        if name != "ratio":
            axis.set_xscale("log")
        if name == "noise":
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
    axes[0].legend()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=90)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scans", type=int, default=12, help="simulated scans of each set")
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("*.npy")) if arguments.folder.is_dir() else []
    if not paths:
        print(f"{arguments.folder}: no real scans (*.npy) here; nothing to compare with", file=sys.stderr)
        return 0
    real = []
    for path in paths:
        raw = np.load(path, allow_pickle=False)
        real.append(curves(np.ascontiguousarray(raw.transpose(2, 0, 1).astype(np.float32) / 65535)))
    drawn = [Machine.draw("container", np.random.default_rng(seed)) for seed in range(arguments.scans)]
    sets = {
        "real": real,
        "fitted": simulated([EAGLE], arguments.scans),
        "training": simulated(drawn, arguments.scans),
    }
    print(table(sets))
    if arguments.figure:
        draw(sets, arguments.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
