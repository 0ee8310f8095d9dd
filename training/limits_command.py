"""The command `leadline limits`. Heavy imports happen inside it."""

from __future__ import annotations

from pathlib import Path

import click

from leadline.datasets.options import NumberRange
from leadline.training.folders import make_folder
from leadline.training.measure_options import typed


@click.command(epilog='Example: leadline limits antimony --cover lead --scanner "6/4 MV"')
@click.argument("material")
@click.option("--cover", required=True, help="Material that covers it, such as lead or tile_adhesive.")
@click.option(
    "--scanner",
    default="6/4 MV",
    show_default=True,
    help='Energies ("6/4 MV", "160 kV", "160/80 kV"), or a profile of `leadline calibrate`.',
)
@click.option(
    "--false-alarm-rate",
    "rate",
    type=NumberRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="Share of honest scans that may alarm.",
)
@click.option(
    "--find",
    "share",
    type=NumberRange(0.5, 1, max_open=True),
    default=0.9,
    show_default=True,
    help="Share of threats to be found.",
)
@click.option(
    "--places",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Places where it may lie, which share the false alarms; 1 = the place is known.",
)
@click.option("--mass", type=NumberRange(0, min_open=True), help="Mass whose d' is told, kg.")
@click.option("--depth", type=NumberRange(0, min_open=True), help="Extent along the beam, cm; else a cube.")
@click.option("--thickness", help="Thicknesses of the cover, mm, such as 0,5,10; else to where nothing is left.")
@click.option(
    "--quanta", type=NumberRange(1), nargs=2, help="Effective quanta of an open-beam pixel, high and low channel."
)
@click.option("--pixel", type=NumberRange(0, min_open=True), help="Side of a pixel, mm.")
@click.option("--model", type=click.Path(path_type=Path), help="Also measure a model on the same scenes.")
@click.option("--scans", type=click.IntRange(4), default=24, show_default=True, help="Noise draws, with --model.")
@click.option("--hs-code", help="Declared HS code, with --model; nothing is declared without it.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for limits.html, limits.png and limits.json.")
def limits(
    material: str,
    cover: str,
    scanner: str,
    rate: float,
    share: float,
    places: int,
    mass: float | None,
    depth: float | None,
    thickness: str | None,
    quanta: tuple[float, float] | None,
    pixel: float | None,
    model: Path | None,
    scans: int,
    hs_code: str | None,
    out: Path | None,
) -> None:
    """Tell what physics allows: MATERIAL behind a cover.

    The ideal observer's detectability and the least mass it finds, over the thickness of the cover; the energies at
    which the materials cannot be told apart; and, with --model, how much of that a model uses.
    """
    from dataclasses import replace

    from leadline.datasets.declarations import hs_code as digits
    from leadline.datasets.scan import Declaration
    from leadline.models import contract as contracts
    from leadline.training import limits as physics
    from leadline.training import limits_report
    from leadline.training.charts import picture
    from leadline.training.page import write
    from leadline.training.progress import Progress
    from leadline.training.report import as_json

    question = physics.Question(
        material, cover, scanner, rate, share, places, mass, depth, _numbers(thickness), quanta or None, pixel
    )
    declaration = Declaration(digits(hs_code)) if hs_code else None
    if out is not None:
        make_folder(out)
    found = physics.limits(question)
    if model is not None:
        contract = contracts.read(model)
        with Progress(f"measuring {model.name}") as bar:
            levels = physics.measure_model(found, model, scans=scans, declaration=declaration, told=bar.told)
        found = replace(found, levels=levels, model=f"{contract.name} {contract.version}")
    click.echo(limits_report.table(found))
    if out is not None:
        write(out / "limits.json", as_json(physics.as_record(found)))
        write(out / "limits.html", limits_report.page(found, typed()))
        picture(limits_report.mass_chart(found), "Least mass", out / "limits.png")
        click.echo(f"{out / 'limits.html'}: the page; limits.json and limits.png lie beside it", err=True)


def _numbers(text: str | None) -> tuple[float, ...]:
    """Numbers, 0 or more, parted by commas, ascending."""
    try:
        found = tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        found = (-1.0,)
    if any(not 0 <= v < 1e5 for v in found) or list(found) != sorted(set(found)):
        raise click.BadParameter(
            "give ascending millimetres parted by commas, such as 0,5,10", param_hint="--thickness"
        )
    return found
