"""The commands `evaluate`, `compare` and `limits` of `leadline`. Heavy imports happen inside them."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadline.training.folders import make_folder

if TYPE_CHECKING:
    from leadline.training.evaluate import Evaluation, Wanted

_CORES = os.cpu_count() or 1

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""


@dataclass(frozen=True)
class Chosen:
    """Options that say how a labelled set is read; see `training.labelled.read_labels`."""

    form: str
    classes: tuple[str, ...]
    part: str
    pseudocolour: bool


def _labels_options(function: Callable[..., None]) -> Callable[..., None]:
    """Options that say how DATA is read, handed on as `chosen`; each is declared once."""

    @functools.wraps(function)
    def gathered(form: str, classes: tuple[str, ...], part: str, pseudocolour: bool, **options: object) -> None:
        function(chosen=Chosen(form, classes, part, pseudocolour), **options)

    found: Callable[..., None] = gathered
    for option in reversed(
        (
            click.option(
                "--set", "form", default="", help="Which set DATA is, as `leadline datasets` names it; else labels.csv."
            ),
            click.option("--class", "classes", multiple=True, help="NAME=FAMILY: what a class is; can be repeated."),
            click.option("--set-split", "part", default="", help="Split of the set to take, such as test; else all."),
            click.option("--pseudocolour", is_flag=True, help="Read own 8-bit pictures as a vendor's pseudo-colour."),
        )
    ):
        found = option(found)
    return found


def _set_options(function: click.decorators.FC) -> click.decorators.FC:
    """Options that choose the scans; each is declared once."""
    for option in reversed(
        (
            click.option(
                "--scenes", type=click.IntRange(20), default=2000, show_default=True,
                help="Simulated scenes, each honest and with its threat.",
            ),
            click.option("--seed", type=int, default=1000, show_default=True, help="Of the scenes."),
            click.option(
                "--split", type=click.Choice(["heldout", "validation"]), default="heldout", show_default=True,
                help="heldout: scanner settings, meshes and scenes that training never drew.",
            ),
            click.option(
                "--processes", type=click.IntRange(1), default=_CORES, show_default=True,
                help="Processes that simulate and measure.",
            ),
        )
    ):  # fmt: skip
        function = option(function)
    return function


@click.command(epilog="Example: leadline evaluate models/released/parcel.onnx --scenes 200")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", default="simulated")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; by default in evaluations/.")
@_set_options
@_labels_options
@click.option("--baselines/--no-baselines", default=True, help="Also fit and measure two simple rules. On by default.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Also write the figures here.")
def evaluate(
    model: Path,
    data: str,
    out: Path | None,
    scenes: int,
    seed: int,
    split: str,
    processes: int,
    baselines: bool,
    target: Path | None,
    chosen: Chosen,
) -> None:
    """Measure MODEL (an ONNX file) and write a report.

    DATA is `simulated` (scanner settings that training never drew), a folder of scans with a labels.csv, such a
    CSV, or with --set a folder of any set that `leadline datasets` lists. OUT receives report.html, figures.json and
    rows.jsonl, a line a scan; the same command goes on where it was interrupted.
    """
    from leadline.models import contract as contracts
    from leadline.training.breakdown import details
    from leadline.training.page import evaluation_page, write
    from leadline.training.report import as_json, table

    wanted = _wanted(data, scenes, seed, split, contracts.read(model).watch_list, chosen)
    out = out or Path("evaluations") / default_name(model, wanted)
    for folder in (out, *([target.parent] if target is not None else ())):
        make_folder(folder)
    found = _measured(model, wanted, out, processes, 200 if baselines else 0)
    figures, more = found.figures(), details(found.rows, found.contract)
    record = {"model": f"{found.contract.name} {found.contract.version}", "sha256": found.sha256} | figures | more
    record["places"] = figures["places"] | more["places"]
    write(out / "figures.json", as_json(record))
    write(out / "report.html", evaluation_page(found, figures, more, _typed()))
    if target is not None:
        write(target, as_json(figures))
    click.echo(table(figures))
    for unread in found.unread:
        click.echo(f"not measured: {unread.reason}", err=True)
    click.echo(f"{out / 'report.html'}: the report; figures.json and rows.jsonl lie beside it", err=True)


def _wanted(data: str, scenes: int, seed: int, split: str, watch_list: str, chosen: Chosen) -> Wanted:
    """The set of scans that DATA and the options name, labelled by what is on a model's watch list."""
    from leadline.datasets.materials import use_catalogue
    from leadline.training.evaluate import Wanted
    from leadline.training.labelled import read_labels

    if data == "simulated":
        if chosen != Chosen("", (), "", False):
            raise click.UsageError("--set, --class, --set-split and --pseudocolour are for labelled scans; name DATA")
        return Wanted(scenes, seed, split)  # type: ignore[arg-type]
    use_catalogue(watch_list)
    specimens = read_labels(
        Path(data),
        form=chosen.form,
        classes=chosen.classes,
        split=chosen.part,
        pseudocolour=chosen.pseudocolour,
    )
    return Wanted(specimens=tuple(specimens), data=data)


def default_name(model: Path, wanted: Wanted) -> str:
    """Name of the folder of results: model, the start of its SHA-256, and the set."""
    from leadline.models.contract import sha256

    about = wanted.about()
    chosen = about.get("labels") or f"{about['split']}-{about['seed']}"
    return f"{model.stem}-{sha256(model)[:8]}-{chosen}"


def _measured(model: Path, wanted: Wanted, out: Path, processes: int, baseline_scenes: int) -> Evaluation:
    """Measure with progress; Ctrl-C keeps what was measured and says how to go on."""
    from leadline.training.evaluate import run
    from leadline.training.progress import Progress

    with Progress(f"measuring {model.name}") as bar:
        try:
            return run(model, wanted, folder=out, processes=processes, baseline_scenes=baseline_scenes, told=bar.told)
        except KeyboardInterrupt:
            bar.stop()
            click.echo(f"interrupted: {bar.done} of {bar.total} scenes are kept; the same command goes on", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


def _typed() -> str:
    """The command as it was typed, which measures the same again."""
    return shlex.join(["leadline", *sys.argv[1:]])


@click.command(epilog="Example: leadline compare models/released/parcel.onnx candidate.onnx --scenes 200")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.argument("data", default="simulated")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; by default in evaluations/.")
@_set_options
@_labels_options
def compare(
    first: Path,
    second: Path,
    data: str,
    out: Path | None,
    scenes: int,
    seed: int,
    split: str,
    processes: int,
    chosen: Chosen,
) -> None:
    """Put two models side by side on the same scans, with paired tests.

    FIRST and SECOND are ONNX files, which are measured now (what `leadline evaluate` has measured is used), or
    folders that `leadline evaluate` has written. DATA as there. OUT receives comparison.html and comparison.json.
    """
    from leadline.models import contract as contracts
    from leadline.training import compare_report
    from leadline.training.compare import compare as compared
    from leadline.training.compare import pair
    from leadline.training.page import write
    from leadline.training.report import as_json

    models = [compare_report.is_model(path) for path in (first, second)]
    measured = [path for path, is_one in zip((first, second), models, strict=True) if is_one]
    known = contracts.read(measured[0]).watch_list if measured else ""
    wanted = _wanted(data, scenes, seed, split, known, chosen) if measured else None
    out = out or Path("evaluations") / f"{first.stem}-against-{second.stem}"
    make_folder(out)
    sides = []
    for path, model in zip((first, second), models, strict=True):
        if model and wanted is not None:
            folder = Path("evaluations") / default_name(path, wanted)
            make_folder(folder)
            sides.append(compare_report.side_of(_measured(path, wanted, folder, processes, 0)))
        else:
            sides.append(compare_report.side_from(path))
    compare_report.check(sides[0], sides[1])
    found = compared(pair(sides[0].rows, sides[1].rows), (sides[0].contract, sides[1].contract))
    names = [{"name": s.name, "sha256": s.sha256} for s in sides]
    write(out / "comparison.json", as_json({"models": names, "set": sides[0].set} | found))
    write(out / "comparison.html", compare_report.page((sides[0], sides[1]), found, _typed()))
    click.echo(compare_report.table(sides, found))
    click.echo(f"{out / 'comparison.html'}: the page; comparison.json lies beside it", err=True)


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
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="Share of honest scans that may alarm.",
)
@click.option(
    "--find",
    "share",
    type=click.FloatRange(0.5, 1, max_open=True),
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
@click.option("--mass", type=click.FloatRange(0, min_open=True), help="Mass whose d' is told, kg.")
@click.option("--depth", type=click.FloatRange(0, min_open=True), help="Extent along the beam, cm; else a cube.")
@click.option("--thickness", help="Thicknesses of the cover, mm, such as 0,5,10; else to where nothing is left.")
@click.option(
    "--quanta", type=click.FloatRange(1), nargs=2, help="Effective quanta of an open-beam pixel, high and low channel."
)
@click.option("--pixel", type=click.FloatRange(0, min_open=True), help="Side of a pixel, mm.")
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
        write(out / "limits.html", limits_report.page(found, _typed()))
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
