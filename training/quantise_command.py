"""`leadline quantise`: an INT8 file of a model, left behind only where it costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from leadline.training.quantise_compare import Change, Comparison

REFUSED = 1
"""Exit code where the quantised model finds less."""


@click.command(epilog="Example: leadline quantise models/released/parcel.onnx --out parcel-int8.onnx")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The ONNX file to write.")
@click.option(
    "--calibration", type=click.IntRange(4), default=48, show_default=True, help="Scans that give the ranges."
)
@click.option(
    "--scenes", type=click.IntRange(20), default=400, show_default=True, help="Held-out scenes to compare on."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=8200, show_default=True, help="Of those.")
@click.option("--json", "report", type=click.Path(path_type=Path), help="Also write all figures and flips here.")
@click.pass_context
def quantise(
    ctx: click.Context, model: Path, out: Path, calibration: int, scenes: int, seed: int, report: Path | None
) -> None:
    """Write MODEL with convolutions in INT8, if that costs less than 0.002 of the area under the ROC curve.

    Ranges come from simulated scans; the comparison is on held-out ones, and lists every verdict that flips and every
    score that moves far. Where more is lost, no file is left behind; where the scans are too few to show it, that is
    said.

    Exit code: 0 written, 1 refused, 2 wrong use.
    """
    from dataclasses import asdict

    from leadline.training.folders import make_folder
    from leadline.training.page import write as write_text
    from leadline.training.progress import Progress
    from leadline.training.quantise import quantise as write
    from leadline.training.quantise_compare import MOST_LOST
    from leadline.training.report import as_json

    for path in (out, report):
        if path is not None:
            make_folder(path.parent)
    with Progress(f"quantising {model.name}") as bar:
        found = write(model, out, calibration=calibration, scenes=scenes, seed=seed, told=bar.told)
    if report is not None:
        write_text(report, as_json(asdict(found) | {"accepted": found.accepted, "shown": found.shown}))
    click.echo(table(found))
    if not found.accepted:
        click.echo(f"{out}: not written, the area falls by {found.fall[0]:.4f}; keep the float model", err=True)
        ctx.exit(REFUSED)
    if not found.shown:
        click.echo(
            f"{out}: not shown that it costs less than {MOST_LOST}: on so few scans the area may fall by up to "
            f"{found.fall[2]:.4f}; compare on more with --scenes before you use it",
            err=True,
        )
    click.echo(f"{out}: written; next: leadline screen scans/ --model {out}")


def table(found: Comparison) -> str:
    """The comparison in words, every flip, and every other score that moves far."""
    from leadline.training.quantise_compare import MOVED

    faster = found.milliseconds / found.quantised_milliseconds
    lines = [
        f"{found.convolutions[0]} of {found.convolutions[1]} convolutions in INT8",
        f"{'':24} {'float':>10} {'INT8':>10}",
        f"{'area under the ROC curve':24} {found.auc:10.4f} {found.quantised_auc:10.4f}   falls by {found.fall[0]:.4f} "
        f"({found.fall[1]:.4f} to {found.fall[2]:.4f}), {found.scans} scans, {found.undeclared} of them with threats",
        f"{'ms an inference':24} {found.milliseconds:10.1f} {found.quantised_milliseconds:10.1f}   {faster:.2f} times "
        "as fast, one thread",
        f"{'kB':24} {found.bytes / 1000:10.0f} {found.quantised_bytes / 1000:10.0f}",
        f"greatest difference of a score {found.greatest:.4f}; verdicts that flip: {len(found.flips)}",
        *map(_line, found.flips),
    ]
    if moved := [change for change in found.moved if change not in found.flips]:
        lines += [f"scores that move by more than {MOVED} under the same verdict: {len(moved)}", *map(_line, moved)]
    return "\n".join(lines)


def _line(change: Change) -> str:
    what = "undeclared threat" if change.undeclared else "honest"
    return (
        f"  scene {change.index} ({change.scenario}, {what}): {change.verdict} {change.score:.4f} -> "
        f"{change.quantised_verdict} {change.quantised_score:.4f}"
    )
