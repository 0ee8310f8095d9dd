"""`leadline calibrate`: a profile of a scanner from step wedges or benign scans."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leadline.datasets.options import NumberRange

if TYPE_CHECKING:
    from leadline.inference.calibration.profile import Profile


@click.command(short_help="Fit leadline to a scanner.")
@click.argument("wedges", metavar="[TABLE]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--benign", metavar="PATH", multiple=True, type=click.Path(path_type=Path),
    help="Scans, or folders of scans, that surely hold no undeclared watch-list material; may be given several times.",
)  # fmt: skip
@click.option("--manifest", metavar="FILE", type=click.Path(path_type=Path), help="Declared goods of these (CSV).")
@click.option("--out", metavar="FILE", required=True, type=click.Path(path_type=Path), help="The profile to write.")
@click.option("--name", metavar="TEXT", help="What the scanner is called; by default the name of the profile's file.")
@click.option("--scanner", type=click.Choice(["parcel", "container"]), help="Kind, for files that do not say it.")
@click.option("--model", metavar="FILE", type=click.Path(path_type=Path), help="A model in place of the released one.")
@click.option(
    "--false-alarm-rate", metavar="RATE", type=NumberRange(0.0005, 0.5),
    help="The rate at which `leadline screen` will alarm with this profile; by default the model's.",
)  # fmt: skip
@click.option(
    "--scenes", metavar="N", type=click.IntRange(50, 20000), default=400, show_default=True,
    help="Scenes that are simulated with this scanner, honest and with threats.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress and no report.")
def calibrate(
    wedges: Path | None,
    benign: tuple[Path, ...],
    manifest: Path | None,
    out: Path,
    name: str | None,
    scanner: str | None,
    model: Path | None,
    false_alarm_rate: float | None,
    scenes: int,
    quiet: bool,
) -> None:
    """Fit leadline to a scanner: TABLE names scans of step wedges and the thicknesses of their steps (TOML).

    Fits energy response, noise and pixel size, tells how far the scanner is from those that the model was fitted
    on, derives thresholds from simulated scans of this very scanner (or from --benign scans, if they are many), and
    writes a profile for `leadline screen --profile`.

    \b
    Examples:
      leadline calibrate wedges.toml --out gate4.json
      leadline calibrate wedges.toml --benign last-week/ --manifest goods.csv --out gate4.json
      leadline calibrate --benign last-week/ --out gate4.json

    Exit code: 0 the profile was written, 2 wrong use, or the scans do not allow a fit.
    """
    if wedges is None and not benign:
        raise click.UsageError("give a table of step wedges, or benign scans with --benign")
    if manifest is not None and not benign:
        raise click.UsageError("--manifest: declares the goods of --benign scans; add these, or leave it out")
    from rich.console import Console
    from rich.progress import Progress

    from leadline.datasets.formats import find_scans, read_scan
    from leadline.datasets.manifest import read_manifest
    from leadline.inference.calibration.fit import fit_benign, fit_wedges
    from leadline.inference.calibration.making import make_profile
    from leadline.inference.calibration.profile import ProfileError, write_profile
    from leadline.inference.calibration.table import read_table
    from leadline.inference.engine import Engine

    if not out.parent.is_dir():
        raise ProfileError(out, "its folder does not exist", "make it, or give another place with --out")
    engine = Engine(model)
    files = find_scans(benign) if benign else []
    if benign and not files:
        raise click.UsageError(f"--benign {', '.join(map(str, benign))}: no scans in there")
    ordinary = [read_scan(path, scanner=scanner) for path in files]  # type: ignore[arg-type]
    if manifest is not None:
        declared = read_manifest(manifest)
        ordinary = [s.declared(declared.declaration(p)) for s, p in zip(ordinary, files, strict=True)]
    if wedges is not None:
        table = read_table(wedges)
        fitted = fit_wedges(table, [read_scan(w.scan, scanner=scanner) for w in table], scanner)  # type: ignore[arg-type]
    else:
        fitted = fit_benign(ordinary, scanner)  # type: ignore[arg-type]
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("simulating scans of this scanner", total=scenes)
        profile = make_profile(
            engine,
            fitted,
            ordinary,
            name=name or out.stem,
            rate=false_alarm_rate,
            scenes=scenes,
            told=lambda done: bar.update(task, completed=done),
        )
    written = write_profile(out, profile)
    if not quiet:
        click.echo(report(written))
        click.echo(f"{out}: written; next: leadline screen scans/ --profile {out}")


def report(profile: Profile) -> str:
    """A profile in words."""
    d, lines = profile.details, []
    machine = d["machine"]
    unit = "MV" if profile.scanner == "container" else "kV"
    errors = d["errors"]

    def spread(key: str) -> str:
        return f" ± {errors[key]:.2g}" if key in errors else ""

    high, low = machine["energies"]
    lines.append(f"{profile.name}: {profile.scanner} scanner, {machine['detector'].replace('_', ' ')} detector")
    if d["fit"]["fitted_to"].startswith("step"):
        lines.append(
            f"  energies          {high:.3g}{spread('high')} and {low:.3g} {unit} (effective); the fit leaves "
            f"{d['fit']['misfit']:.2g} standard errors, at most {100 * d['fit']['worst']['relative']:.1f} % "
            f"({d['fit']['worst']['where']})"
        )
    else:
        lines.append(f"  energies          not measured, {high:.3g} and {low:.3g} {unit} by their labels")
    quanta = machine["quanta"]
    lines.append(f"  quanta a pixel    {quanta[0]:.3g} and {quanta[1]:.3g} in the open beam")
    lines.append(f"  blur              {machine['blur_px'][0]:.2f} and {machine['blur_px'][1]:.2f} pixels")
    lines.append(f"  pixel             {'unknown' if profile.pixel_mm is None else f'{profile.pixel_mm:.3g} mm'}")
    shift = d["shift"]
    lines.append(
        f"  distance          {shift['distance']:.1f} from the middle of training's scanners (95 of 100 of these lie "
        f"below {shift['ordinary']:.1f}; {100 * shift['nearer']:.0f} % nearer than this one)"
    )
    for key, place in shift["properties"].items():
        if place["where"] not in ("inside", "not determined"):
            bands = " or ".join(f"{a:g} to {b:g}" for a, b in place["training"])
            lines.append(f"    {key}: {place['value']:.4g} lies {place['where']} what training drew ({bands})")
    lines.append(_correction_line(d))
    lines.append(f"  thresholds        from {_source(d['thresholds_from'])}")
    for rate, value in profile.thresholds.items():
        before, after = d["before"]["at"][rate], d["after"]["at"][rate]
        low_, high_ = d["thresholds_from"]["intervals"][rate]
        mark = " (default)" if rate == profile.default_rate else ""
        lines.append(
            f"    {100 * float(rate):g} %: {value:.3f} ({low_:.3f} to {high_:.3f}){mark}; simulated: false alarms "
            f"{100 * before['false_alarms']:.1f} -> {100 * after['false_alarms']:.1f} %, threats found "
            f"{100 * before['found']:.1f} -> {100 * after['found']:.1f} %"
        )
    if d["benign"]["scans"]:
        alarms = d["benign"]["alarms"]
        lines.append(f"  benign scans      {alarms} of {d['benign']['scans']} reach the default threshold")
    return "\n".join(lines)


def _correction_line(details: Mapping[str, Any]) -> str:
    value, low, high = details["correction_gain"]
    kept = "used" if details["corrected"] else "not used"
    return f"  correction        {kept}: changes the simulated AUC by {value:+.3f} ({low:+.3f} to {high:+.3f})"


def _source(told: Mapping[str, Any]) -> str:
    return f"{told['scans']} {told['used']} scans of this scanner"
