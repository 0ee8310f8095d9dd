"""Fit the palettes that ship with leadline, and print how well they map colours back.

    python scripts/fit_palettes.py [--scenes 120] [--pictures FOLDER] [--only NAME] [--check]

Without pictures the palettes `parcel` and `container` are fitted: simulated scans are shown on displays drawn within
what vendors have in common (`simulator/vendor.py`), each on several. With a folder of pictures of benign goods in one
vendor's colours, `sixray` is fitted as well: hues and chroma by brightness come from the pictures (no pixel is kept),
the rest as before. Writes datasets/data/palettes.json; `--check` only prints the figures of docs/pseudocolour.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leadline.datasets.formats import palette as palettes
from leadline.datasets.formats.palette import Palette
from leadline.datasets.formats.palette_cover import fit_covering
from leadline.datasets.formats.palette_fit import colours_of
from leadline.datasets.palette_command import pixels_of
from leadline.datasets.scan import Kind
from leadline.datasets.simulator.simulate import Split, simulate
from leadline.datasets.simulator.vendor import Display

DATA = Path(__file__).resolve().parent.parent / "datasets" / "data" / "palettes.json"
EACH = 4000
"""Pixels of each picture."""
FITTED = {"parcel": (1, 2), "container": (3, 4)}
"""By kind: of how many scenes one is taken, and on how many displays each is shown."""
CHECKED = {"parcel": (40, 3), "container": (24, 5)}
"""By kind: held-out scenes, and displays of each."""

Pairs = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]


def shown(kind: Kind, scenes: int, displays: int, seed: int, split: Split, colours: tuple | None = None) -> Pairs:
    """Colours uint8 (3, N), transmissions float32 (2, N) and scene (N,) of scans, each on several displays."""
    pixels, truths, numbers = [], [], []
    for index in range(scenes):
        sample = simulate(kind, seed, index, split=split)
        scan = sample.scan.transmission
        flat = scan.reshape(2, -1)
        weight = 0.03 + np.clip(-np.log(np.maximum(flat[0], 1e-3)), 0, 3)  # dark ones are preferred
        for display in range(displays):
            rng = np.random.default_rng([seed, index, 77, display] if display else [seed, index, 77])
            picture = Display.draw(rng, colours).render(scan, sample.machine).reshape(3, -1)
            chosen = rng.choice(flat.shape[1], min(EACH, flat.shape[1]), replace=False, p=weight / weight.sum())
            pixels.append(picture[:, chosen])
            truths.append(flat[:, chosen])
            numbers.append(np.full(len(chosen), index))
    return np.concatenate(pixels, axis=1), np.concatenate(truths, axis=1), np.concatenate(numbers)


def check(palette: Palette, pairs: Pairs, about: str) -> None:
    """Print how the truth of held-out scans lies in the palette's intervals."""
    pixels, truth, _ = pairs
    estimate, unsure = palette.estimate(pixels)
    true = -np.log(np.clip(truth, 1e-3, 1.2))
    depth = -np.log(estimate[0])
    print(f"\n{palette.name}: {pixels.shape[1]} pixels of {about}")
    print("| -ln T (high) | pixels | sd | error (rms) | within 1 sd | within 2 sd | ratio: sd, error, 1 sd, 2 sd |")
    print("| --- |" + " --- |" * 6)
    for low, high in ((0.02, 0.2), (0.2, 0.5), (0.5, 1), (1, 2), (2, 3.5), (3.5, 7), (0.02, 7)):
        here = (true[0] > low) & (true[0] <= high)
        off = np.abs(depth - true[0])[here]
        sd = unsure.attenuation[here]
        ratio = np.clip(true[1][here] / true[0][here], 0.9, 4)
        off_ratio = np.abs(np.log(estimate[1][here]) / np.log(estimate[0][here]) - ratio)
        wide = unsure.ratio[here]
        print(
            f"| {low} to {high} | {here.sum()} | {np.median(sd):.2f} | {np.sqrt((off**2).mean()):.2f} | "
            f"{(off < sd).mean():.0%} | {(off < 2 * sd).mean():.0%} | {np.median(wide):.2f}, "
            f"{np.sqrt((off_ratio**2).mean()):.2f}, {(off_ratio < wide).mean():.0%}, "
            f"{(off_ratio < 2 * wide).mean():.0%} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=120)
    parser.add_argument("--pictures", type=Path, help="pictures of benign goods in SIXray's colours")
    parser.add_argument("--only", choices=["parcel", "container", "sixray"], help="this palette alone")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        made = dict(palettes.palettes()) if DATA.exists() else {}
        for name in ("parcel", "container", "sixray"):
            if arguments.only not in (None, name) or (name == "sixray" and not arguments.pictures):
                continue
            kind: Kind = "container" if name == "container" else "parcel"
            title, colours = f"orange, green and blue as common on {kind} scanners; fitted on simulated scans", None
            if name == "sixray":
                title = "the colours of the SIXray pictures; fitted on simulated scans shown in them"
                colours = colours_of(pixels_of(arguments.pictures))
            share, displays = FITTED[kind]
            pairs = shown(kind, arguments.scenes // share, displays, 99, "train", colours)
            made[name] = fit_covering(name, title, *pairs, colours)
        lines = ",\n".join(json.dumps(p.as_dict()) for p in made.values())
        DATA.write_text(f"[\n{lines}\n]\n", "utf-8")
        palettes.palettes.cache_clear()
    for name, palette in palettes.palettes().items():
        if arguments.only in (None, name):
            kind = "container" if name == "container" else "parcel"
            own = (palette.hues, palette.chroma) if name == "sixray" else None
            scenes, displays = CHECKED[kind]
            pairs = shown(kind, scenes, displays, 4242, "heldout", own)
            check(palette, pairs, f"{scenes} held-out scans, each on {displays} displays that no fit drew")


if __name__ == "__main__":
    main()
