"""Fit the palettes that ship with leadline, and print how well they map colours back.

    python scripts/fit_palettes.py [--scenes 120] [--pictures FOLDER] [--check]

Without pictures the palettes `parcel` and `container` are fitted: simulated scans are shown on displays drawn within
what vendors have in common (`simulator/vendor.py`). With a folder of pictures of benign goods in one vendor's colours,
`sixray` is fitted as well: hues and chroma by brightness come from the pictures (no pixel is kept), the rest as before.
Writes datasets/data/palettes.json; `--check` only prints the figures of docs/pseudocolour.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from leadline.datasets.formats import palette as palettes
from leadline.datasets.formats.palette import Palette
from leadline.datasets.formats.palette_fit import colours_of, fit_pairs
from leadline.datasets.palette_command import pixels_of
from leadline.datasets.scan import Kind
from leadline.datasets.simulator.vendor import simulated_pairs

DATA = Path(__file__).resolve().parent.parent / "datasets" / "data" / "palettes.json"


def check(palette: Palette, kind: Kind, colours: tuple | None, scenes: int) -> None:
    """Print how the truth of held-out scans lies in the palette's intervals."""
    pixels, truth = simulated_pairs(kind, scenes, 4242, colours, "heldout")
    estimate, unsure = palette.estimate(pixels)
    true = -np.log(np.clip(truth, 1e-3, 1.2))
    depth = -np.log(estimate[0])
    print(f"\n{palette.name}: {pixels.shape[1]} pixels of {scenes} held-out scans, each on another display")
    print("| -ln T (high) | pixels | sd stated | error (rms) | within 1 sd | within 2 sd | ratio: sd, error, 2 sd |")
    print("| --- |" + " --- |" * 6)
    for low, high in ((0.02, 0.2), (0.2, 0.5), (0.5, 1), (1, 2), (2, 3.5), (3.5, 7)):
        here = (true[0] > low) & (true[0] <= high)
        off = np.abs(depth - true[0])[here]
        sd = unsure.attenuation[here]
        ratio = np.clip(true[1][here] / true[0][here], 0.9, 4)
        off_ratio = np.abs(np.log(estimate[1][here]) / np.log(estimate[0][here]) - ratio)
        print(
            f"| {low} to {high} | {here.sum()} | {np.median(sd):.2f} | {np.sqrt((off**2).mean()):.2f} | "
            f"{(off < sd).mean():.0%} | {(off < 2 * sd).mean():.0%} | {np.median(unsure.ratio[here]):.2f}, "
            f"{np.sqrt((off_ratio**2).mean()):.2f}, {(off_ratio < 2 * unsure.ratio[here]).mean():.0%} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=120)
    parser.add_argument("--pictures", type=Path, help="pictures of benign goods in SIXray's colours")
    parser.add_argument("--check-scenes", type=int, default=60)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        made = dict(palettes.palettes()) if DATA.exists() else {}
        kinds: tuple[Kind, ...] = ("parcel", "container")
        for kind in kinds:
            pixels, truth = simulated_pairs(kind, arguments.scenes // (1 if kind == "parcel" else 3), 99)
            title = f"orange, green and blue as common on {kind} scanners; fitted on simulated scans"
            made[kind] = fit_pairs(kind, title, pixels, truth)
        if arguments.pictures:
            colours = colours_of(pixels_of(arguments.pictures))
            pixels, truth = simulated_pairs("parcel", arguments.scenes, 99, colours)
            title = "the colours of the SIXray pictures; fitted on simulated scans shown in them"
            made["sixray"] = fit_pairs("sixray", title, pixels, truth, colours)
        lines = ",\n".join(json.dumps(p.as_dict()) for p in made.values())
        DATA.write_text(f"[\n{lines}\n]\n", "utf-8")
        palettes.palettes.cache_clear()
    for name, palette in palettes.palettes().items():
        shown: Kind = "container" if name == "container" else "parcel"
        own = (palette.hues, palette.chroma) if name == "sixray" else None
        check(palette, shown, own, arguments.check_scenes // (3 if shown == "container" else 1))


if __name__ == "__main__":
    main()
