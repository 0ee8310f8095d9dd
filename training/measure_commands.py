"""The commands `evaluate`, `compare` and `limits` of `leadline`. Heavy imports happen inside them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leadline.training.folders import make_folder

if TYPE_CHECKING:
    from leadline.training.evaluate import Evaluation, Wanted

_CORES = os.cpu_count() or 1

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""


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
) -> None:
    """Measure MODEL (an ONNX file) and write a report.

    DATA is `simulated` (scanner settings that training never drew), a folder of scans with a labels.csv, or such
    a CSV. OUT receives report.html, figures.json and rows.jsonl, a line a scan; the same command goes on where it
    was interrupted.
    """
    from leadline.models import contract as contracts
    from leadline.training.breakdown import details
    from leadline.training.page import evaluation_page, write
    from leadline.training.report import as_json, table

    contracts.read(model)
    wanted = _wanted(data, scenes, seed, split)
    out = out or Path("evaluations") / default_name(model, wanted)
    for folder in (out, *([target.parent] if target is not None else ())):
        make_folder(folder)
    found = _measured(model, wanted, out, processes, 200 if baselines else 0)
    figures, more = found.figures(), details(found.rows, found.contract)
    record = {"model": f"{found.contract.name} {found.contract.version}", "sha256": found.sha256} | figures | more
    write(out / "figures.json", as_json(record))
    write(out / "report.html", evaluation_page(found, figures, more, _again(model, data, wanted)))
    if target is not None:
        write(target, as_json(figures))
    click.echo(table(figures))
    for unread in found.unread:
        click.echo(f"not measured: {unread.reason}", err=True)
    click.echo(f"{out / 'report.html'}: the report; figures.json and rows.jsonl lie beside it", err=True)


def _wanted(data: str, scenes: int, seed: int, split: str) -> Wanted:
    """The set of scans that DATA and the options name."""
    from leadline.training.evaluate import Wanted
    from leadline.training.labelled import read_labels

    if data == "simulated":
        return Wanted(scenes, seed, split)  # type: ignore[arg-type]
    return Wanted(specimens=tuple(read_labels(Path(data))), data=data)


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


def _again(model: Path, data: str, wanted: Wanted) -> str:
    """The command that measures the same again."""
    if wanted.specimens:
        return f"leadline evaluate {model.name} {data}"
    split = "" if wanted.split == "heldout" else f" --split {wanted.split}"
    return f"leadline evaluate {model.name} --scenes {wanted.scenes} --seed {wanted.seed}{split}"


def _load_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found
