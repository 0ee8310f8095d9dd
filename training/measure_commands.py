"""The commands `evaluate`, `compare` and `limits` of `leadline`. Heavy imports happen inside them."""

from __future__ import annotations

from pathlib import Path

import click

from leadline.training.compare_command import compare
from leadline.training.folders import make_folder
from leadline.training.limits_command import limits
from leadline.training.measure_options import (
    Chosen,
    default_name,
    labels_options,
    measured,
    set_options,
    typed,
    wanted_of,
)

__all__ = ["compare", "evaluate", "limits"]


@click.command(epilog="Example: leadline evaluate models/released/parcel.onnx --scenes 200")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", default="simulated")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; by default in evaluations/.")
@set_options
@labels_options
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

    wanted = wanted_of(data, scenes, seed, split, contracts.read(model).watch_list, chosen)
    out = out or Path("evaluations") / default_name(model, wanted)
    for folder in (out, *([target.parent] if target is not None else ())):
        make_folder(folder)
    found = measured(model, wanted, out, processes, 200 if baselines else 0)
    figures, more = found.figures(), details(found.rows, found.contract)
    record = {"model": f"{found.contract.name} {found.contract.version}", "sha256": found.sha256} | figures | more
    record["places"] = figures["places"] | more["places"]
    write(out / "figures.json", as_json(record))
    write(out / "report.html", evaluation_page(found, figures, more, typed()))
    if target is not None:
        write(target, as_json(figures))
    click.echo(table(figures))
    for unread in found.unread:
        click.echo(f"not measured: {unread.reason}", err=True)
    click.echo(f"{out / 'report.html'}: the report; figures.json and rows.jsonl lie beside it", err=True)
