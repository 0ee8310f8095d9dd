"""Progress of long work on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

import click

PLAIN_EVERY_S = 20.0
"""Where there is no terminal, progress is one line in so many seconds."""


class Progress:
    """Shows how far some work is; as a context manager it takes the bar away at the end.

    Args:
        words: what is done, such as `"measuring parcel.onnx"`.
    """

    def __init__(self, words: str) -> None:
        self.words, self.done, self.total = words, 0, 0
        self._told = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def told(self, done: int, total: int) -> None:
        """Show that `done` of `total` is done."""
        first = not self.total
        self.done, self.total = done, total
        if not sys.stderr.isatty():
            if not first and (time.monotonic() - self._told > PLAIN_EVERY_S):
                self._told = time.monotonic()
                click.echo(f"{self.words}: {done} of {total}", err=True)
            return
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task(self.words, total=total, completed=done)
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)


def _bar() -> Any:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
