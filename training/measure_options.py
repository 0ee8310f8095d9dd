"""What the commands that measure models share: options, the set of scans that they name, progress."""

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

if TYPE_CHECKING:
    from leadline.training.evaluate import Evaluation, Wanted

_CORES = os.cpu_count() or 1

SEED = click.IntRange(0, 2**32 - 1)
"""Seeds that every generator of random numbers takes."""

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""


@dataclass(frozen=True)
class Chosen:
    """Options that say how a labelled set is read; see `training.labelled.read_labels`."""

    form: str
    classes: tuple[str, ...]
    part: str
    pseudocolour: bool


def labels_options(function: Callable[..., None]) -> Callable[..., None]:
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


def set_options(function: click.decorators.FC) -> click.decorators.FC:
    """Options that choose the scans; each is declared once."""
    for option in reversed(
        (
            click.option(
                "--scenes", type=click.IntRange(20), default=2000, show_default=True,
                help="Simulated scenes, each honest and with its threat.",
            ),
            click.option("--seed", type=SEED, default=1000, show_default=True, help="Of the scenes."),
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


def wanted_of(data: str, scenes: int, seed: int, split: str, watch_list: str, chosen: Chosen) -> Wanted:
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
    chosen = about.get("labels") or f"{about['split']}-{about['seed']}-{about['simulator'][:8]}"
    return f"{model.stem}-{sha256(model)[:8]}-{chosen}"


def measured(model: Path, wanted: Wanted, out: Path, processes: int, baseline_scenes: int) -> Evaluation:
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


def typed() -> str:
    """The command as it was typed, which measures the same again."""
    return shlex.join(["leadline", *sys.argv[1:]])
