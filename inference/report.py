"""What a run prints: JSON lines for programs, a table for people, plain lines for a pipe; progress beside it."""

from __future__ import annotations

import io
import json
import sys
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from leadline.datasets.declarations import describe
from leadline.inference.lettering import printable
from leadline.inference.screening import Failed, Screened

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_EVERY_S = 10.0
"""Where there is no terminal, progress is one line in so many seconds."""

LOOKS = {"clear": ("●", "green"), "inspect": ("▲", "bold red"), "rescan": ("■", "yellow"), "error": ("✕", "magenta")}
"""Sign and colour of a verdict: shape and word say it too, colour alone never does."""


class Report:
    """Counts results and shows progress on stderr; subclasses print the results on stdout.

    Args:
        total: number of files.
        quiet: no progress, no summary.
    """

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.total, self.quiet = total, quiet
        self.counts: Counter[str] = Counter()
        self._started = self._told = time.monotonic()
        self._bar: Any = None

    @property
    def done(self) -> int:
        """Files so far."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Files that could not be screened."""
        return self.counts["error"]

    def __enter__(self) -> Self:
        if self._shows_bar():
            self._bar = _progress_bar(self.total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is None:
            self.finish()
            if not self.quiet:
                click.echo(self.summary(), err=True)

    def add(self, result: Screened | Failed, picture: Path | None = None) -> None:
        """Take one result.

        Args:
            result: of one file.
            picture: its overlay, if one was drawn.
        """
        self.counts["error" if isinstance(result, Failed) else result.verdict.verdict] += 1
        self.show(result, picture)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=1, failed=self.failed)
        elif not self.quiet and time.monotonic() - self._told > PLAIN_EVERY_S:
            self._told = time.monotonic()
            click.echo(f"{self.done} of {self.total}, {self.failed} failed", err=True)

    def show(self, result: Screened | Failed, picture: Path | None) -> None:
        """Print one result."""

    def finish(self) -> None:
        """Print what is printed at the end."""

    def summary(self) -> str:
        """The run in one sentence."""
        seconds = time.monotonic() - self._started
        said = [f"{self.counts[word]} {word}" for word in ("clear", "inspect", "rescan") if self.counts[word]]
        if self.failed:
            said.append(f"{self.failed} could not be screened")
        scans = "scan" if self.done == 1 else "scans"
        return f"{self.done} {scans} in {seconds:.1f} s: {', '.join(said) or 'none'}"

    def _shows_bar(self) -> bool:
        return not self.quiet and self.total > 1 and sys.stderr.isatty()


class LineReport(Report):
    """One JSON object a line on stdout, and nothing else there."""

    def show(self, result: Screened | Failed, picture: Path | None) -> None:
        record = result.as_dict() if isinstance(result, Failed) else result.verdict.as_dict()
        # ASCII only, so that a name in any encoding survives any locale.
        click.echo(json.dumps(record, allow_nan=False))

    def _shows_bar(self) -> bool:
        return super()._shows_bar() and not sys.stdout.isatty()  # the lines themselves are the progress


class TableReport(Report):
    """A table on a terminal; elsewhere one plain line a scan, ready for grep."""

    def __init__(self, total: int, quiet: bool = False) -> None:
        super().__init__(total, quiet)
        self._rows: list[tuple[Screened | Failed, Path | None]] = []

    def __enter__(self) -> Self:
        # A sign that the terminal's encoding lacks must not end the run.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        return super().__enter__()

    def show(self, result: Screened | Failed, picture: Path | None) -> None:
        if sys.stdout.isatty():
            self._rows.append((result, picture))
        else:
            click.echo(plain_line(result))

    def finish(self) -> None:
        if self._rows:
            from rich.console import Console

            print_table(self._rows, Console(highlight=False))


def plain_line(result: Screened | Failed) -> str:
    """One scan in one line: verdict, score, path, reasons."""
    if isinstance(result, Failed):
        return printable(f"{'error':8} {'':5}  {result.error}")
    v = result.verdict
    return printable(f"{v.verdict:8} {v.score:5.3f}  {v.path}: {' '.join(v.reasons)}")


def print_table(rows: list[tuple[Screened | Failed, Path | None]], console: Console) -> None:
    """The table for people: verdict and score on the left; file, declaration and reasons on the right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True, pad_edge=False, show_header=False)
    table.add_column("verdict", no_wrap=True)
    table.add_column("scan", overflow="fold")
    for result, picture in rows:
        word = "error" if isinstance(result, Failed) else result.verdict.verdict
        sign, style = LOOKS[word]
        lamp, text = Text(f"{sign} {word}", style), Text(printable(str(result.path)), "bold")
        if isinstance(result, Failed):
            error = printable(result.error.removeprefix(str(result.path)).removeprefix(": "))
            table.add_row(lamp, Text.assemble(text, "\n", error))
            continue
        v = result.verdict
        lamp = Text.assemble(lamp, (f"\nscore {v.score:.3f}", "dim"))
        if v.declared is not None:
            text = Text.assemble(text, ("\ndeclared: " + printable(describe(v.declared)), "dim"))
        text = Text.assemble(text, *("\n" + printable(reason) for reason in v.reasons))
        if picture is not None:
            text = Text.assemble(text, ("\n" + printable(str(picture)), "dim"))
        table.add_row(lamp, text)
    console.print(table)


def _progress_bar(total: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("screening"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # results go to stdout untouched
        redirect_stderr=False,
    )
    bar.add_task("screening", total=total, failed=0)
    return bar
