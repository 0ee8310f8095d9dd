"""`leadline screen`: verdicts for people or for programs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadline.datasets.options import NumberRange
from leadline.inference.interruption import INTERRUPTED, Interruption

if TYPE_CHECKING:
    from leadline.datasets.manifest import Manifest

MOST_LOST = 20
"""So many wrong paths of a manifest are told one by one."""


@click.command(short_help="Screen scans.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, and nothing else, on stdout.")
@click.option(
    "--overlays",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a picture of each scan with heat map, boxes and verdict into this folder.",
)
@click.option(
    "--manifest",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV with the declared goods: columns path, hs_code, description.",
)
@click.option(
    "--threshold", metavar="SCORE", type=NumberRange(0, 1), help="Least score that alarms, instead of the model's."
)
@click.option(
    "--false-alarm-rate",
    metavar="RATE",
    type=NumberRange(0, 1),
    help="Take the model's threshold for this share of false alarms, such as 0.004.",
)
@click.option("--provider", metavar="NAME", help="Run on this ONNX Runtime provider, such as cuda; without it: cpu.")
@click.option(
    "--scanner", type=click.Choice(["parcel", "container"]), help="Kind of scanner, for files that do not say it."
)
@click.option(
    "--model", metavar="FILE", type=click.Path(path_type=Path), help="A model file instead of the released ones."
)
@click.option(
    "--profile",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Profile of the scanner, from leadline calibrate: its thresholds, kind and pixel size.",
)
@click.option("--pseudocolour", is_flag=True, help="Read 8-bit pictures as a vendor's pseudo-colour (low fidelity).")
@click.option(
    "--palette", metavar="NAME|FILE", help="Palette for --pseudocolour: parcel, container, sixray, or one's own file."
)
@click.option("--quiet", is_flag=True, help="No progress bar and no summary.")
@click.pass_context
def screen(
    ctx: click.Context,
    paths: tuple[Path, ...],
    as_json: bool,
    overlays: Path | None,
    manifest: Path | None,
    threshold: float | None,
    false_alarm_rate: float | None,
    provider: str | None,
    scanner: str | None,
    model: Path | None,
    profile: Path | None,
    pseudocolour: bool,
    palette: str | None,
    quiet: bool,
) -> None:
    """Screen scans, files or whole folders: a verdict, its place and its reasons for each.

    clear = nothing found; inspect = open it; rescan = the scan does not allow a verdict.

    \b
    Examples:
      leadline screen scan.tif
      leadline screen scans/ --manifest declarations.csv --overlays out
      leadline screen scans/ --json > verdicts.jsonl

    Exit code: 0 all were screened, 1 some could not be, 2 wrong use.
    """
    if threshold is not None and false_alarm_rate is not None:
        raise click.UsageError("--threshold and --false-alarm-rate exclude each other; give one of them")
    if palette is not None and not pseudocolour:
        raise click.UsageError("--palette maps the colours of 8-bit pictures; give --pseudocolour with it")
    # Only now, so that --help and mistakes in the options answer at once.
    from leadline.datasets.formats import find_scans
    from leadline.datasets.formats.palette import palette as palette_of
    from leadline.datasets.manifest import read_manifest
    from leadline.inference.calibration.profile import read_profile
    from leadline.inference.engine import Engine
    from leadline.inference.overlay import Album
    from leadline.inference.report import LineReport, TableReport
    from leadline.inference.screening import Screened, Settings, screen_files, threads_for

    known = None if profile is None else read_profile(profile)
    colours = None if palette is None else palette_of(palette)  # a wrong name or file shows before anything else
    files = find_scans(paths, pseudocolour=pseudocolour)
    engine = Engine(model, provider, threads_for(len(files), provider))
    if not files:
        raise click.UsageError(
            f"{', '.join(map(str, paths))}: no scans in there; name files, or folders that hold some"
        )
    declared = None if manifest is None else read_manifest(manifest)
    album = None if overlays is None else Album(overlays)
    settings = Settings(threshold, false_alarm_rate, scanner, pseudocolour, known, colours)  # type: ignore[arg-type]
    if known is not None:
        settings.threshold_of(engine.model_for(known.scanner))  # another model's profile shows before anything else
    report = (LineReport if as_json else TableReport)(len(files), quiet)
    interruption = Interruption()
    with report, interruption, suppress(KeyboardInterrupt):
        for result in screen_files(engine, files, settings, declared.declaration if declared else None):
            picture = None
            if album is not None and isinstance(result, Screened):
                picture = album.add(result.scan, result.scores, result.quality, result.verdict)
            report.add(result, picture)
            if interruption.asked():
                break
    if interruption.asked():
        click.echo(f"interrupted: {report.done} of {len(files)} files were screened", err=True)
        ctx.exit(INTERRUPTED)
    lost = [] if declared is None else _lost(declared, files, quiet)
    ctx.exit(1 if report.failed or lost else 0)


def _lost(manifest: Manifest, files: list[Path], quiet: bool) -> list[str]:
    """Tell of the manifest's lines that speak of no screened file; return those whose file is nowhere."""
    lost, left_out = [], 0
    for row in manifest.unused(files):
        if Path(row.path).exists() or (manifest.path.parent / row.path).exists():
            left_out += 1
        else:
            lost.append(f"{manifest.path} line {row.line}: {row.path} does not exist; correct the path")
    for message in lost[:MOST_LOST]:
        click.echo(message, err=True)
    if len(lost) > MOST_LOST:
        click.echo(f"{manifest.path}: {len(lost) - MOST_LOST} more of its paths do not exist", err=True)
    if left_out and not quiet:
        click.echo(f"{manifest.path}: {left_out} of its scans were not among those named, and not screened", err=True)
    return lost
