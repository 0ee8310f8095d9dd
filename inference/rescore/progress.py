"""How far a run is: a bar on a terminal, plain lines elsewhere, nothing if quiet; a summary at the end."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import click

from leadline.inference.ledger.events import plain
from leadline.inference.rescore.pipeline import Tally

PLAIN_EVERY_S = 10.0
"""Where there is no terminal, progress is one line in so many seconds."""

RATE_OVER_S = 60.0
"""The rate is that of the last so many seconds: an archive is not even."""


class Progress:
    """Shows a tally on stderr.

    Args:
        tally: is watched.
        estimate: gives the number of scans, or `None`; asked once, in a thread of its own, for it may take long.
        quiet: show nothing.
    """

    def __init__(self, tally: Tally, estimate: Callable[[], int | None], quiet: bool) -> None:
        self.tally, self.quiet = tally, quiet
        self.total: int | None = None
        self._started = self._told = time.monotonic()
        self._past: deque[tuple[float, int]] = deque([(self._started, 0)])
        self._bar: Any = None
        if not quiet:
            threading.Thread(target=self._count, args=(estimate,), daemon=True, name="leadline-count").start()

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def step(self) -> None:
        """The tally has changed."""
        now = time.monotonic()
        if now - self._past[-1][0] > 1:
            self._past.append((now, self._worked()))
            while now - self._past[0][0] > RATE_OVER_S and len(self._past) > 2:
                self._past.popleft()
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0],
                completed=self.tally.done,
                total=self.total and max(self.total, self.tally.done),
                rate=f"{self.rate():.1f}/s",
                failed=self.tally.failed,
                left=_clock(self.left()),
                shown=str(self.total or "?"),
            )
        elif not self.quiet and now - self._told > PLAIN_EVERY_S:
            self._told = now
            click.echo(self.line(), err=True)

    def line(self) -> str:
        """The state in one line."""
        tally = self.tally
        of = f" of about {self.total}" if self.total else ""
        left = f", {_clock(self.left())} left" if self.left() is not None else ""
        return f"{tally.done}{of} scans, {self.rate():.1f}/s{left}, {tally.failed} failed"

    def say(self, text: str) -> None:
        """A line for the user, above the bar."""
        if self.quiet:
            return
        shown = plain(text.replace("\n", " "), 2000)
        if self._bar is not None:
            self._bar.console.print(shown, markup=False, highlight=False)
        else:
            click.echo(shown, err=True)

    def rate(self) -> float:
        """Scans a second of late."""
        seconds = time.monotonic() - self._past[0][0]
        return (self._worked() - self._past[0][1]) / seconds if seconds > 0 else 0.0

    def left(self) -> float | None:
        """Seconds that remain, `None` where that cannot be told yet."""
        rate = self.rate()
        if not self.total or rate <= 0 or self._worked() < 8:
            return None
        return max(self.total - self.tally.done, 0) / rate

    def summary(self) -> str:
        """The run in a few words."""
        tally = self.tally
        seconds = time.monotonic() - self._started
        said = [f"{tally.words[word]} {word}" for word in ("clear", "inspect", "rescan") if tally.words[word]]
        if tally.failed:
            said.append(f"{tally.failed} could not be screened")
        text = f"{self._worked()} scans in {seconds:.1f} s: {', '.join(said) or 'none new'}"
        if tally.repeated:
            text += f"; {tally.repeated} the ledger held already (the same scan under another name)"
        if tally.known:
            failed = f", {tally.known_failed} of them failed then" if tally.known_failed else ""
            text += f"; {tally.known} done in an earlier run{failed}"
        if lost := self._worked() - tally.written:
            text += f"; {lost} of these scans not recorded, so the same command screens them again"
        return text

    def _worked(self) -> int:
        return self.tally.screened + self.tally.failed

    def _count(self, estimate: Callable[[], int | None]) -> None:
        with contextlib.suppress(Exception):  # what is wrong with a source is told by whoever reads it
            self.total = estimate()


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "--:--"
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("rescoring"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.fields[shown]}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]} left"),
        TextColumn("{task.fields[failed]} failed"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("rescoring", total=None, rate="", failed=0, left="--:--", shown="?")
    return bar
