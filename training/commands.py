"""The commands `train` and `export` of `leadline`. Heavy imports happen inside them."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from leadline.datasets.options import NumberRange
from leadline.training.folders import make_folder

_CORES = os.cpu_count() or 1

SEED = click.IntRange(0, 2**32 - 1)
"""What all sources of random numbers take."""


def _processes(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--processes",
        type=click.IntRange(1),
        default=_CORES,
        show_default=True,
        help="Processes that simulate and measure.",
    )(function)


@click.command(epilog="Example: leadline train quick --kind parcel --out runs/parcel")
@click.argument("config")
@click.option("--kind", type=click.Choice(["parcel", "container"]), help="Kind of scanner.")
@click.option("--out", type=click.Path(), help="Folder of the run.  [default: runs/CONFIG-KIND]")
@click.option("--materials", type=click.Path(), help="Watch list with materials of your own.")
@click.option("--model", type=click.Path(), help="Fit this model on: an ONNX file, a checkpoint, or `released`.")
@click.option("--data", type=click.Path(), help="Labelled scans of your own to fit a model on to.")
@click.option("--set", "form", help="Which set DATA is, as `leadline datasets` names it; without it a labels.csv.")
@click.option("--class", "classes", multiple=True, help="NAME=FAMILY: what a class of the set is; can be repeated.")
@click.option("--pseudocolour", is_flag=True, help="Read 8-bit pictures of your own as a vendor's pseudo-colour.")
@click.option("--replay", type=NumberRange(0, 1, max_open=True), help="Share of simulated scans beside your own.")
@click.option("--minutes", type=NumberRange(0), help="Time to fit; 0 = no limit.")
@click.option("--steps", type=click.IntRange(0), help="Stop after so many steps, whichever comes first.")
@click.option("--batch", type=click.IntRange(1), help="Scans a step.")
@click.option("--workers", type=click.IntRange(0), help="Processes that make scans.")
@click.option("--threads", type=click.IntRange(1), help="Threads of PyTorch; by default the cores without the workers.")
@click.option("--devices", help="GPUs or processes to fit on: a number, or a list such as 0,1.")
@click.option("--nodes", type=click.IntRange(1), help="Machines to fit on.")
@click.option("--scenes", type=click.IntRange(0), help="Scenes kept on disk; 0 = endless.")
@click.option("--cache", type=click.Path(), help="Folder of those; by default OUT/scenes.")
@click.option("--reuse", type=NumberRange(1), help="How often each scan is fed, augmented anew.")
@click.option("--seed", type=SEED, help="Of weights, scenes and augmentations.")
@click.option("--learning-rate", type=NumberRange(0, min_open=True), help="Peak.")
@click.option("--heads", type=click.IntRange(0), help="Scenes on which the scan-level heads are refitted at the end.")
@click.option("--fp32", is_flag=True, help="Compute in float32 throughout.")
@click.option("--tensorboard", is_flag=True, help="Also log for TensorBoard.")
@click.option("--restart", is_flag=True, help="Begin anew, though OUT holds a fit to go on with.")
def train(config: str, fp32: bool, tensorboard: bool, restart: bool, pseudocolour: bool, **options: Any) -> None:
    """Fit a model on simulated scans, or a given model on to scans of your own.

    CONFIG is a TOML file, or one of the presets quick (minutes on a laptop), release and finetune. Options replace
    what it says. Goes on where it was stopped if OUT holds a fit.
    """
    from leadline.training.config import load
    from leadline.training.run import is_first
    from leadline.training.run import train as run

    changes = {_KEYS[name]: value for name, value in options.items()}
    changes |= {"fit.bf16": False if fp32 else None, "fit.tensorboard": tensorboard or None}
    changes |= {"finetune.classes": options["classes"] or None, "finetune.pseudocolour": pseudocolour or None}
    if (devices := options["devices"]) is not None and devices.isdigit():
        changes["machine.devices"] = int(devices)
    # its notes on accelerators and cloud services are not for standard error
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="Found .* in eval mode")  # fine-tuning keeps its normalisations so
    chosen = load(config, {key: value for key, value in changes.items() if value is not None})
    command = shlex.join(["leadline", *sys.argv[1:]])
    final = run(chosen, command=command, restart=restart)
    if is_first():
        click.echo(f"{final}: fitted; next: leadline export {final} --out {final.parent / 'model.onnx'}")


_KEYS = {
    "kind": "kind", "out": "out", "materials": "materials", "seed": "seed",
    "model": "finetune.model", "data": "finetune.data", "form": "finetune.set",
    "classes": "finetune.classes", "replay": "finetune.replay",
    "minutes": "fit.minutes", "steps": "fit.steps", "batch": "fit.batch", "learning_rate": "fit.learning_rate",
    "heads": "fit.heads", "workers": "scans.workers", "scenes": "scans.scenes", "cache": "scans.cache",
    "reuse": "scans.reuse", "threads": "machine.threads", "devices": "machine.devices", "nodes": "machine.nodes",
}  # fmt: skip
"""Option to key of the configuration."""


@click.command(epilog="Example: leadline export runs/parcel/final.ckpt --out parcel.onnx")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The ONNX file to write.")
@click.option(
    "--release", "folder", type=click.Path(path_type=Path), help="Write model, card and checksums here instead."
)
@click.option("--version", help="Version of the model; wanted with --release.  [default: 0.1.0]")
@click.option("--calibration", type=click.IntRange(20), default=1500, show_default=True, help="Scenes to calibrate on.")
@click.option(
    "--scenes", type=click.IntRange(20), default=2000, show_default=True, help="Held-out scenes, with --release."
)
@click.option("--seed", type=SEED, default=1000, show_default=True, help="Of those.")
@_processes
def export(
    checkpoint: Path,
    out: Path | None,
    folder: Path | None,
    version: str | None,
    calibration: int,
    scenes: int,
    seed: int,
    processes: int,
) -> None:
    """Write a fitted model as one ONNX file.

    Calibrates CHECKPOINT on scans that the fit never saw, exports it, and refuses to leave a file that differs
    from PyTorch by more than 1e-4. With --release it is also measured, and gets its card. After a kill the same
    command goes on where it was.
    """
    from leadline.training import release as releases
    from leadline.training.progress import Progress
    from leadline.training.report import table

    if (out is None) == (folder is None):
        raise click.UsageError("give either --out FILE or --release FOLDER")
    if folder is not None and version is None:
        raise click.UsageError("--release FOLDER: say which version it is with --version, such as --version 0.7.0")
    make_folder(folder or (out or Path()).parent)
    if out is not None:
        with Progress("calibrating") as bar:
            contract = releases.export_checkpoint(
                checkpoint, out, version=version or "0.1.0", scenes=calibration, processes=processes, told=bar.told
            )
        click.echo(f"{out}: {contract.name} {contract.version}; next: leadline evaluate {out}")
        return
    with Progress("calibrating and measuring") as bar:
        figures = releases.release(
            checkpoint,
            folder or Path(),
            version=version or "0.1.0",
            calibration_scenes=calibration,
            scenes=scenes,
            seed=seed,
            processes=processes,
            told=bar.told,
        )
    click.echo(table(figures))


@click.command(
    epilog="Example: leadline join fine.onnx coarse.onnx --out both.ckpt && leadline export both.ckpt --out both.onnx"
)
@click.argument("models", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The checkpoint to write.")
def join(models: tuple[Path, ...], out: Path) -> None:
    """Make one checkpoint of several MODELS, whose logits it averages.

    Their networks are of one kind of scanner and one shape, and differ in how many pixels they average first
    (`pool`). `leadline export` calibrates the checkpoint and makes a model file of it.
    """
    from leadline.training.join import join as joined

    made = joined(models, out)
    click.echo(
        f"{out}: {len(made.members)} networks joined; next: leadline export {out} --out {out.with_suffix('.onnx')}"
    )
