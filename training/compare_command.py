"""The command `leadline compare`. Heavy imports happen inside it."""

from __future__ import annotations

from pathlib import Path

import click

from leadline.training.folders import make_folder
from leadline.training.measure_options import (
    Chosen,
    default_name,
    labels_options,
    measured,
    set_options,
    typed,
    wanted_of,
)


@click.command(epilog="Example: leadline compare models/released/parcel.onnx candidate.onnx --scenes 200")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.argument("data", default="simulated")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; by default in evaluations/.")
@set_options
@labels_options
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
    from dataclasses import replace

    from leadline.models import contract as contracts
    from leadline.training import compare_report
    from leadline.training.compare import compare as compared
    from leadline.training.compare import pair
    from leadline.training.page import write
    from leadline.training.report import as_json

    models = [path for path in (first, second) if not path.is_dir()]
    known = [contracts.read(path).watch_list for path in models]
    wanted = wanted_of(data, scenes, seed, split, known[0], chosen) if models else None
    sides = [compare_report.side_of(p, wanted) if wanted and p in models else compare_report.side_from(p)
             for p in (first, second)]  # fmt: skip
    compare_report.check(sides[0], sides[1])  # before hours are spent on what cannot be compared
    out = out or Path("evaluations") / f"{first.stem}-against-{second.stem}"
    make_folder(out)
    for k, side in enumerate(sides):
        if side.model is not None and side.wanted is not None:
            folder = Path("evaluations") / default_name(side.model, side.wanted)
            make_folder(folder)
            sides[k] = replace(side, rows=measured(side.model, side.wanted, folder, processes, 0).rows)
    found = compared(pair(sides[0].rows, sides[1].rows), (sides[0].contract, sides[1].contract))
    names = [{"name": s.name, "sha256": s.sha256} for s in sides]
    write(out / "comparison.json", as_json({"models": names, "set": sides[0].set} | found))
    write(out / "comparison.html", compare_report.page((sides[0], sides[1]), found, typed()))
    click.echo(compare_report.table(sides, found))
    click.echo(f"{out / 'comparison.html'}: the page; comparison.json lies beside it", err=True)
