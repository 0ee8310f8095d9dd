"""The commands `train` and `export` of `leadline`. Heavy imports happen inside them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import click

from leadline.training.folders import make_folder

_CORES = os.cpu_count() or 1


def _processes(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--processes",
        type=click.IntRange(1),
        default=_CORES,
        show_default=True,
        help="Processes that simulate and measure.",
    )(function)


@click.command(epilog="Example: leadline train --kind parcel --preset quick --out runs/parcel")
@click.option("--kind", type=click.Choice(["parcel", "container"]), required=True, help="Kind of scanner.")
@click.option("--preset", type=click.Choice(["quick", "release"]), default="quick", show_default=True, help="Settings.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of checkpoints and logs.")
@click.option("--minutes", type=click.FloatRange(0), help="Time to fit; the preset's own otherwise.")
@click.option("--steps", type=click.IntRange(0), help="Stop after so many steps, whichever comes first.")
@click.option("--batch", type=click.IntRange(1), help="Scans a step.")
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="Processes that make scans.")
@click.option("--threads", type=click.IntRange(1), help="Threads of PyTorch; by default the cores without the workers.")
@click.option(
    "--scenes", type=click.IntRange(0), default=0, show_default=True, help="Scenes kept on disk; 0 = endless."
)
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of those; by default OUT/scenes.")
@click.option("--reuse", type=click.FloatRange(1), help="How often each scan is fed, augmented anew.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of weights, scenes and augmentations.")
@click.option("--learning-rate", type=float, help="Peak.")
@click.option("--heads", type=click.IntRange(0), help="Scenes on which the scan-level heads are refitted at the end.")
@click.option("--fp32", is_flag=True, help="Compute in float32 throughout.")
@click.option("--tensorboard", is_flag=True, help="Also log for TensorBoard.")
@click.option("--restart", is_flag=True, help="Begin anew, though OUT holds a fit to go on with.")
def train(
    kind: str,
    preset: str,
    out: Path,
    workers: int,
    threads: int | None,
    scenes: int,
    cache: Path | None,
    seed: int,
    heads: int | None,
    fp32: bool,
    tensorboard: bool,
    restart: bool,
    **limits: float | int | None,
) -> None:
    """Fit a network on simulated scans.

    Goes on where it was stopped if OUT holds a fit. Ends with OUT/heads.ckpt, which `leadline export` takes.
    """
    from leadline.training.fit import describe, fit
    from leadline.training.heads import refit
    from leadline.training.presets import PRESETS, fit_config
    from leadline.training.release import commit, machine

    config = fit_config(
        kind,  # type: ignore[arg-type]
        preset,
        out,
        workers=workers,
        threads=threads or max(1, _CORES - workers),
        scenes=scenes,
        cache=cache or (out / "scenes" if scenes else None),
        seed=seed,
        bf16=not fp32,
        tensorboard=tensorboard,
        **limits,
    )
    make_folder(out)
    command = shlex.join(["leadline", *sys.argv[1:]])
    record = {"command": command, "commit": commit(), "machine": machine(), "settings": describe(config)}
    (out / "run.json").write_text(json.dumps(record, indent=1, default=str) + "\n", "utf-8")
    final = fit(config, resume=not restart, progress=sys.stderr.isatty())
    head_scenes = PRESETS[preset].heads if heads is None else heads
    if head_scenes:
        final = refit(final, out / "heads.ckpt", scenes=head_scenes, processes=workers + config.threads)
    click.echo(f"{final}: fitted; next: leadline export {final} --out {kind}.onnx")


@click.command(epilog="Example: leadline export runs/parcel/final.ckpt --out parcel.onnx")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The ONNX file to write.")
@click.option(
    "--release", "folder", type=click.Path(path_type=Path), help="Write model, card and checksums here instead."
)
@click.option("--version", default="0.1.0", show_default=True, help="Version of the model.")
@click.option("--calibration", type=click.IntRange(20), default=1500, show_default=True, help="Scenes to calibrate on.")
@click.option(
    "--scenes", type=click.IntRange(20), default=2000, show_default=True, help="Held-out scenes, with --release."
)
@click.option("--seed", type=int, default=1000, show_default=True, help="Of those.")
@_processes
def export(
    checkpoint: Path,
    out: Path | None,
    folder: Path | None,
    version: str,
    calibration: int,
    scenes: int,
    seed: int,
    processes: int,
) -> None:
    """Write a fitted model as one ONNX file.

    Calibrates CHECKPOINT on scans that the fit never saw, exports it, and refuses to leave a file that differs
    from PyTorch by more than 1e-4. With --release it is also measured, and gets its card.
    """
    from leadline.training import release as releases
    from leadline.training.report import table

    if (out is None) == (folder is None):
        raise click.UsageError("give either --out FILE or --release FOLDER")
    make_folder(folder or (out or Path()).parent)
    if out is not None:
        contract = releases.export_checkpoint(checkpoint, out, version=version, scenes=calibration, processes=processes)
        click.echo(f"{out}: {contract.name} {contract.version}; next: leadline evaluate {out}")
        return
    figures = releases.release(
        checkpoint,
        folder or Path(),
        version=version,
        calibration_scenes=calibration,
        scenes=scenes,
        seed=seed,
        processes=processes,
    )
    click.echo(table(figures))
