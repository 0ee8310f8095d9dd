"""Draw simulated scans with the true place of the threat, for looking at the simulator.

    python scripts/show_scans.py container --first 0 --count 6 --out docs/images/simulated-container.png

Grey is -ln T of the high energy (white: open beam); red boxes are the truth, not the model.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from leadline.datasets.scan import KINDS
from leadline.datasets.simulator.simulate import Sample, simulate

WIDTH = {"parcel": 330, "container": 460}


def tile(sample: Sample) -> np.ndarray:
    """One scan as a picture of a fixed width with its caption."""
    depth = -np.log(np.maximum(sample.scan.transmission[0], 1e-4))
    grey = (255 * (1 - np.clip(depth / 7, 0, 1))).astype(np.uint8)
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    for _, (x0, y0, x1, y1), _ in sample.truth.boxes:
        cv2.rectangle(picture, (x0, y0), (x1, y1), (40, 40, 220), 2)
    width = WIDTH[sample.machine.kind]
    picture = cv2.resize(picture, (width, round(0.62 * width)), interpolation=cv2.INTER_AREA)
    caption = np.full((22, width, 3), 255, np.uint8)
    text = sample.truth.scenario + (f" {sum(kg for *_, kg in sample.truth.boxes):.3g} kg" if sample.truth.boxes else "")
    cv2.putText(caption, text, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([caption, picture, np.full((6, width, 3), 255, np.uint8)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--out", required=True)
    a = parser.parse_args()
    tiles = [tile(simulate(a.kind, a.seed, a.first + k, threat=True)) for k in range(a.count)]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % a.columns)
    rows = [np.hstack(tiles[k : k + a.columns]) for k in range(0, len(tiles), a.columns)]
    cv2.imwrite(a.out, np.vstack(rows), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
