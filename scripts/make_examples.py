"""Make the scans of examples/ and their manifest; the same files on every machine.

    python scripts/make_examples.py

For each row of EXAMPLES: the first held-out scene of its name (`simulate(..., seed=SEED, split="heldout")`), whatever
a model makes of it. Container scans are cut to COLUMNS columns, to keep the repository small.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from leadline.datasets.formats import write_scan
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Kind, Scan
from leadline.datasets.simulator.simulate import build_scene, simulate

SEED = 20261122
COLUMNS = 720
FOLDER = Path(__file__).resolve().parent.parent / "examples"
EXAMPLES: tuple[tuple[Kind, str, bool], ...] = (
    # scanner, scenario or goods, with the threat
    ("parcel", "reo_as_protein_powder", True),
    ("parcel", "reo_as_protein_powder", False),
    ("parcel", "reo_in_plastic_models", True),
    ("parcel", "antimony_under_lead", True),
    ("parcel", "goods/tungsten_tools", False),
    ("container", "ndfeb_powder_as_tile_adhesive", True),
    ("container", "ndfeb_powder_as_tile_adhesive", False),
    ("container", "goods/lead", False),
)


def first_scene(kind: Kind, name: str) -> int:
    """Number of the first held-out scene of a scenario, with a declaration."""
    index = 0
    while True:
        scene = build_scene(kind, SEED, index, "heldout")
        if scene.scenario == name and scene.declaration and scene.declaration.description:
            return index
        index += 1


def cut(scan: Scan, goods: np.ndarray) -> Scan:
    """The `COLUMNS` columns around the middle of the goods; `goods` is areal density, (rows, columns)."""
    middle = int(np.average(np.arange(goods.shape[1]), weights=goods.sum(0)))
    left = int(np.clip(middle - COLUMNS // 2, 0, max(goods.shape[1] - COLUMNS, 0)))
    return replace(scan, transmission=np.ascontiguousarray(scan.transmission[:, :, left : left + COLUMNS]))


def main() -> None:
    rows = []
    for kind, name, threat in EXAMPLES:
        sample = simulate(kind, SEED, first_scene(kind, name), threat=threat, split="heldout")
        # both versions of a scene are cut at the same place: around the threat, or around all goods
        families = simulate(kind, SEED, first_scene(kind, name), threat=True, split="heldout").truth.families
        watched = families[[catalogue().names.index(f) for f in catalogue().watched]].sum(0)
        scan = cut(sample.scan, watched if watched.any() else families.sum(0)) if kind == "container" else sample.scan
        twin = "" if name.startswith("goods/") else "_threat" if threat else "_honest"
        path = FOLDER / f"{kind}_{name.removeprefix('goods/')}{twin}.tif"
        write_scan(scan, path)
        declared = sample.scan.declaration
        rows.append((path.name, declared.hs_code if declared else "", declared.description if declared else ""))
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    with (FOLDER / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "hs_code", "description"))
        writer.writerows((path, code or "", words or "") for path, code, words in rows)


if __name__ == "__main__":
    main()
