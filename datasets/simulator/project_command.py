"""`leadline project`: put a simulated threat into a scan, for training people and models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leadline.datasets.options import NumberRange

if TYPE_CHECKING:
    from leadline.datasets.scan import Scan
    from leadline.datasets.simulator.background import Background
    from leadline.datasets.simulator.projection import Projection


@click.command(short_help="Project a simulated threat into a scan.")
@click.argument("scan", type=click.Path(path_type=Path))
@click.option(
    "--scenario", metavar="NAME", help="Way of hiding, such as reo_as_cosmetics; see datasets/data/scenarios.toml."
)
@click.option(
    "--material", metavar="NAME", help="Material in place of the scenario's; alone it is buried among the goods."
)
@click.option("--mass", "mass_kg", metavar="KG", type=NumberRange(1e-4, 30000), help="Mass of the threat.")
@click.option("--out", metavar="FILE", required=True, type=click.Path(path_type=Path), help="TIFF to write.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Draws threat, place and noise."
)
@click.option("--box", nargs=4, type=int, metavar="X0 Y0 X1 Y1", help="Confine the place to this box, pixels.")
@click.option(
    "--scanner", type=click.Choice(["parcel", "container"]), help="Kind of scanner, if the file does not say it."
)
@click.option(
    "--profile", metavar="FILE", type=click.Path(path_type=Path), help="The scanner's profile, of leadline calibrate."
)
def project(
    scan: Path,
    scenario: str | None,
    material: str | None,
    mass_kg: float | None,
    out: Path,
    seed: int,
    box: tuple[int, int, int, int] | None,
    scanner: str | None,
    profile: Path | None,
) -> None:
    """Project a simulated threat into SCAN, among its goods.

    Writes the scan with the threat as TIFF, and beside it a JSON file with what is in it: boxes, masses, families.
    Noise, blur and pixel size are those of SCAN; the same seed gives the same file. With --profile the scanner's energy
    response is known, and needs not be guessed from the names of its energies.

    \b
    Examples:
      leadline project scan.tif --scenario reo_as_cosmetics --out trained.tif --seed 7
      leadline project parcel.tif --material neodymium_oxide --mass 0.8 --out parcel_threat.tif
      leadline project scan.tif --profile gate4.json --scenario reo_as_cosmetics --out trained.tif
    """
    if scenario is None and material is None:
        raise click.UsageError("give --scenario NAME, --material NAME or both")
    # Only now, so that --help and mistakes in the options answer at once.
    import numpy as np

    from leadline.datasets.fitted import fitted_scanner
    from leadline.datasets.formats import read_scan
    from leadline.datasets.scan import LeadlineError
    from leadline.datasets.simulator.background import measure, measure_with
    from leadline.datasets.simulator.threats import hide_in, scenario_for

    _check_target(out, scan)
    honest = read_scan(scan, scanner=scanner)  # type: ignore[arg-type]
    machine = None if profile is None else fitted_scanner(profile).machine
    if box is not None and not (0 <= box[0] < box[2] <= honest.shape[1] and 0 <= box[1] < box[3] <= honest.shape[0]):
        raise LeadlineError(
            f"--box {' '.join(map(str, box))}: is no box in the scan of {honest.shape[1]} x {honest.shape[0]} pixels; "
            "give x0 y0 x1 y1 with x0 < x1 and y0 < y1"
        )
    background = measure(honest) if machine is None else measure_with(honest, machine, profile or "")
    honest = background.scan
    chosen = scenario_for(background.machine.kind, scenario, material, mass_kg)
    projection, share = hide_in(background, chosen, np.random.default_rng(seed), box=box)
    response = "common" if profile is None else str(profile)
    _write(out, projection, truth_of(honest, background, projection, share, seed, response))
    mass = sum(kg for _, _, kg in projection.truth.boxes)
    click.echo(
        f"{out}: {mass:.3g} kg of watch-list material, {share:.0%} of the threat found room; truth in {_sidecar(out)}"
    )


def truth_of(
    honest: Scan, background: Background, projection: Projection, share: float, seed: int, response: str
) -> dict[str, Any]:
    """The JSON beside a projected scan: what is in it, where, and how it was made; `response`: whence the scanner's."""
    truth = projection.truth
    x0, y0, x1, y1 = projection.window[2], projection.window[0], projection.window[3], projection.window[1]
    return {
        "scan": honest.path,
        "sha256": honest.sha256,
        "seed": seed,
        "scenario": truth.scenario,
        "undeclared": truth.undeclared,
        "regions": [
            {"family": family, "box": list(box), "mass_kg": float(f"{kg:.4g}")} for family, box, kg in truth.boxes
        ],
        "mass_kg": {name: float(f"{kg:.4g}") for name, kg in projection.mass_kg.items()},
        "pixel_mm_known": honest.scanner.pixel_mm is not None,
        "changed": [x0, y0, x1, y1],
        "found_room": round(share, 3),
        "d_known": float(f"{truth.d_known or 0:.3g}"),
        "background": {
            "response": response,
            "energies": list(background.machine.labels),
            "quanta": [float(f"{q:.3g}") for q in background.quanta],
            "blur_px": [round(b, 2) for b in background.blur_px],
            "shift_px": [round(s, 2) for s in background.shift_px],
            "smoothing_px": round(background.smoothing_px, 2),
        },
    }


def _sidecar(out: Path) -> Path:
    return out.with_suffix(".json")


def _check_target(out: Path, scan: Path) -> None:
    from leadline.datasets.scan import FileError

    if out.suffix.lower() not in (".tif", ".tiff"):
        raise FileError(out, "is no name of a TIFF file", "let --out end in .tif")
    if out.exists() and scan.exists() and out.samefile(scan):
        raise FileError(out, "is the scan itself", "give --out another name")
    if not out.parent.is_dir():
        raise FileError(out.parent, "is no folder", "make it, or choose another --out")
    if not os.access(out.parent, os.W_OK):
        raise FileError(out.parent, "may not be written to", "choose another --out")


def _write(out: Path, projection: Projection, truth: dict[str, Any]) -> None:
    """Truth first, then the scan, each whole or not at all."""
    from leadline.datasets.formats import write_scan
    from leadline.datasets.scan import FileError

    target = _sidecar(out)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        partial.write_text(json.dumps(truth, indent=2) + "\n", "utf-8")
        write_scan(projection.scan, out)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileError(out, f"cannot be written ({error.strerror})", "choose another --out") from error
