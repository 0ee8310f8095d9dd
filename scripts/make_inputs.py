"""Make what the commands for researchers take, simulated, to try them on.

    python scripts/make_inputs.py try

writes into the folder `try`:

    scans/       parcels of a scanner that training never drew, with labels.csv
    wedges.toml  three step wedges of that scanner, with their scans in wedges/
    pairs.csv    pictures in one vendor's 8-bit colours, with their 16-bit scans, in pictures/
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import cv2
import numpy as np
from rich.progress import track

from leadline.datasets.formats import write_scan
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.simulate import Sample, build_scene, expose
from leadline.datasets.simulator.vendor import Display
from leadline.datasets.simulator.wedges import USUAL, density_of, wedge_scan

SEED = 20261122
COLUMNS = ("path", "label", "family", "hs_code", "description", "boxes")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--scenes", default=12, show_default=True, type=click.IntRange(6), help="Parcels, half of them threats.")
@click.option("--pictures", default=6, show_default=True, type=click.IntRange(2), help="Pictures in colours.")
def main(folder: Path, scenes: int, pictures: int) -> None:
    """Make labelled scans, step wedges and coloured pictures in FOLDER, which must be new.

    \b
    Example:
      python scripts/make_inputs.py try
    """
    if folder.exists():
        raise click.UsageError(f"{folder}: is there already; name a new folder")
    if pictures > scenes:
        raise click.UsageError(f"--pictures {pictures}: are made of the parcels; give as many --scenes or more")
    rng = np.random.default_rng(SEED)
    machine = Machine.draw("parcel", rng, "heldout")
    for name in ("scans", "wedges", "pictures"):
        (folder / name).mkdir(parents=True)
    samples = list(track(_samples(machine, scenes, rng), "simulating", scenes))
    _labelled(folder / "scans", samples)
    _wedges(folder, machine, rng)
    _coloured(folder, samples[:pictures], rng)
    click.echo(f"{folder}: scans/labels.csv, wedges.toml, pairs.csv")


def _samples(machine: Machine, scenes: int, rng: np.random.Generator) -> Iterable[Sample]:
    """Scenes that can hide a threat, with and without it in turn."""
    number = made = 0
    while made < scenes:
        scene = build_scene("parcel", SEED, number, "heldout")
        number += 1
        if scene.has_threat and scene.declaration:
            yield expose(scene, machine, rng, threat=made % 2 == 0, declaration=scene.declaration)
            made += 1


def _labelled(folder: Path, samples: Sequence[Sample]) -> None:
    rows = []
    for number, sample in enumerate(samples):
        name, declared, truth = f"{number:03}.tif", sample.scan.declaration, sample.truth
        write_scan(sample.scan, folder / name)
        hidden = truth.boxes if truth.undeclared else ()
        boxes = ";".join(" ".join(str(v) for v in box) for _, box, _ in hidden)
        family = hidden[0][0] if hidden else ""
        code, words = (declared.hs_code, declared.description) if declared else ("", "")
        rows.append((name, "threat" if truth.undeclared else "honest", family, code or "", words or "", boxes))
    _table(folder / "labels.csv", COLUMNS, rows)


def _wedges(folder: Path, machine: Machine, rng: np.random.Generator) -> None:
    entries = []
    for material, thickness in USUAL["parcel"].items():
        made = wedge_scan(machine, material, thickness, rng)
        write_scan(made.scan, folder / "wedges" / f"{material}.tif")
        entries.append(
            f'[[wedge]]\nscan = "wedges/{material}.tif"\nmaterial = "{material}"\ndensity = {density_of(material)}\n'
            f"box = {list(made.box)}\nthickness_mm = {list(thickness)}\nstep_mm = {made.step_mm:.2f}\n"
        )
    (folder / "wedges.toml").write_text("\n".join(entries), "utf-8")


def _coloured(folder: Path, samples: Sequence[Sample], rng: np.random.Generator) -> None:
    display = Display.draw(rng)  # one vendor
    rows = []
    for number, sample in enumerate(samples):
        picture = display.render(sample.scan.transmission, sample.machine)
        name = f"pictures/{number:03}.png"
        cv2.imwrite(str(folder / name), picture[::-1].transpose(1, 2, 0))
        rows.append((name, f"scans/{number:03}.tif"))
    _table(folder / "pairs.csv", ("picture", "scan"), rows)


def _table(path: Path, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
