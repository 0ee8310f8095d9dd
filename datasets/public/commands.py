"""`leadline datasets`: which public sets are read, and what a folder of one holds."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from leadline.datasets.public.check import Summary

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
SHOWN = 20
"""So many problems, and groups in several splits, are told one by one."""
EVERY_S = 10.0
"""Where there is no terminal, progress is one line in so many seconds."""


@click.group(invoke_without_command=True, short_help="Public data sets that are read.")
@click.option("--json", "as_json", is_flag=True, help="Print all that is known of every set as one JSON object.")
@click.pass_context
def datasets(ctx: click.Context, as_json: bool) -> None:
    """Public data sets of X-ray scans: which are read, where to get them, what a folder of one holds.

    Without a subcommand it lists them. Nothing is downloaded.

    \b
    Examples:
      leadline datasets
      leadline datasets show sixray
      leadline datasets check sixray /data/SIXray
    """
    if ctx.invoked_subcommand is not None:
        return
    from leadline.datasets.public import SETS

    if as_json:
        click.echo(json.dumps({name: _facts(name) for name in SETS}, indent=1))
        return
    width = max(map(len, SETS))
    for name, one in SETS.items():
        click.echo(f"{name:<{width}}  {one.title}: {one.labels}; {one.depth}")
    click.echo("\n`leadline datasets show NAME` tells where to get one, under which terms, and how its folder looks.")


@datasets.command()
@click.argument("name", metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def show(name: str, as_json: bool) -> None:
    """Tell all that is known of the set NAME: address, terms, layout of its folder, what it is good for.

    \b
    Example:
      leadline datasets show compass-xp
    """
    facts = _facts(name)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for key, value in facts.items():
        if value is not False:
            click.echo(f"{key.replace('_', ' ') + ':':<10} {'yes' if value is True else value}")


@datasets.command()
@click.argument("name", metavar="NAME")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the counts and problems as one JSON object.")
@click.option("--pixels", is_flag=True, help="Read the pixels of every scan too, not only its header.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.pass_context
def check(ctx: click.Context, name: str, folder: Path, as_json: bool, pixels: bool, quiet: bool) -> None:
    """Go through FOLDER, a copy of the set NAME: scans, labels, classes, splits, depth, and what is wrong.

    \b
    Examples:
      leadline datasets check sixray /data/SIXray
      leadline datasets check csv scans/ --pixels --json

    Exit code: 0 all is well, 1 there are problems, 2 wrong use or not this set, 130 interrupted.
    """
    progress = _Progress(quiet)
    try:
        from leadline.datasets.public.check import check_set

        with progress:
            summary = check_set(name, folder, pixels=pixels, told=progress)
    except KeyboardInterrupt:
        click.echo(f"interrupted: {progress.scans} scans were checked", err=True)
        ctx.exit(INTERRUPTED)
    if as_json:
        click.echo(json.dumps(summary.as_dict()))
    else:
        _print(summary)
    ctx.exit(1 if summary.problem_count else 0)


def _facts(name: str) -> dict[str, Any]:
    from leadline.datasets.public.registry import get

    facts = asdict(get(name))
    del facts["reader"]
    return {key: value for key, value in facts.items() if value is not None}


def _print(summary: Summary) -> None:
    out = click.echo
    out(f"{summary.name}  {summary.folder}")
    unlabelled = summary.scans - summary.labelled
    with_class = summary.labelled - summary.empty
    out(f"scans      {summary.scans}: {with_class} with a class, {summary.empty} with none, {unlabelled} not labelled")
    out(f"groups     {summary.groups}")
    out(f"boxes      {summary.boxes}")
    depths = ", ".join(f"{bits} bits: {count}" for bits, count in sorted(summary.bits.items()))
    out(f"depth      {depths} ({_counts(summary.fidelities)})")
    out("pixels     " + " x ".join(_range(values) for values in (summary.rows, summary.columns)))
    for word in ("splits", "parts", "views"):
        counter = getattr(summary, word)
        if set(counter) - {""}:
            out(f"{word:<10} {_counts(counter)}")
    if summary.classes:
        out("classes")
        width = max(len(_plain(name)) for name in summary.classes)
        for name, entry in summary.classes.items():
            inside = f" ({_counts(entry['splits'])})" if set(entry["splits"]) - {""} else ""
            out(f"  {_plain(name):<{width}}  {entry['scans']} scans, {entry['boxes']} boxes{inside}")
    _list("groups have scans in several splits: keep each on one side", len(summary.torn), summary.torn)
    _list("problems", summary.problem_count, summary.problems)


def _list(what: str, count: int, lines: list[str]) -> None:
    if count:
        click.echo(f"{count} {what}")
        for line in lines[:SHOWN]:
            click.echo(f"  {_plain(line)}")
        if count > SHOWN:
            click.echo(f"  and {count - SHOWN} more")


def _counts(counter: dict[str, int]) -> str:
    return ", ".join(f"{_plain(key) or 'no split'}: {count}" for key, count in sorted(counter.items()))


def _range(values: tuple[int, int]) -> str:
    return str(values[0]) if values[0] == values[1] else f"{values[0]}-{values[1]}"


def _plain(text: str) -> str:
    """Names out of labels, without what would steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


class _Progress:
    """Counts on stderr while a set is gone through: a moving bar on a terminal, else a line now and then."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.scans, self._told = quiet, 0, time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> None:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            told = TextColumn("{task.completed} scans, {task.fields[problems]} problems")
            self._bar = Progress(BarColumn(), told, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
            self._bar.add_task("check", total=None, problems=0)
            self._bar.start()

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, summary: Summary) -> None:
        self.scans = summary.scans
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=summary.scans, problems=summary.problem_count)
        elif not self.quiet and time.monotonic() - self._told > EVERY_S:
            self._told = time.monotonic()
            click.echo(f"{summary.scans} scans, {summary.problem_count} problems", err=True)
