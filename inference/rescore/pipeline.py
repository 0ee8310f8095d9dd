"""The run: what is new in the archive goes to the workers, what they find goes into the ledger, in order."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from leadline.datasets.scan import LeadlineError
from leadline.inference.ledger import Event, Ledger, LedgerError, Seen
from leadline.inference.rescore.item import Item, Job, Result
from leadline.inference.rescore.recorder import Recorder

LOOKED_UP = 256
"""Items that are compared with the ledger at once."""

BULK = 64_000_000
"""Fewer, if members of a compressed archive that come with their bytes have more than this together."""

PATIENCE_S = 600.0
"""A database that does not answer is asked again for so long before the run gives up."""

RETRY_S = (0.5, 15.0)
"""First and longest pause between two tries."""

T = TypeVar("T")

JUDGED_FROM = 50
"""A share of failures means something after so many items."""


def _portion(items: Iterator[Item]) -> list[Item]:
    """The next items, as many as are looked up at once."""
    portion: list[Item] = []
    held = 0
    for item in items:
        portion.append(item)
        held += item.held
        if len(portion) >= LOOKED_UP or held >= BULK:
            break
    return portion


class Engine(Protocol):
    """What screens items: `Pool`, or a cluster."""

    def run(self, items: Iterator[Item]) -> Iterator[tuple[Item, Result]]:
        """Every item with its result."""


@dataclass(frozen=True)
class Ceiling:
    """Above how many failures a run stops: a number of them, or a share of all.

    Attributes:
        count: greatest number, `None` for no limit of this kind.
        share: greatest share, 0..1.
    """

    count: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Ceiling:
        """From `"100"` or `"5%"`.

        Raises:
            ValueError: neither.
        """
        if text.endswith("%"):
            share = float(text[:-1]) / 100
            if not 0 <= share <= 1:
                raise ValueError("0% to 100% are wanted")
            return cls(share=share)
        count = int(text)
        if count < 0:
            raise ValueError("a negative number")
        return cls(count=count)

    def reached(self, tally: Tally, over: bool = False) -> bool:
        """Whether a run must stop, or now that it is over: whether the archive is above the ceiling."""
        if self.count is not None and tally.failed > self.count:
            return True
        failed, worked = tally.failures(over)
        return self.share is not None and (over or worked >= JUDGED_FROM) and failed > self.share * worked


@dataclass
class Tally:
    """What a run has done so far.

    Attributes:
        words: verdicts by word.
        failed: items that could not be screened.
        known: items that an earlier run has dealt with, not looked at again.
        known_failed: those of them that failed then.
        written: verdicts and failures that the ledger has taken.
        recorded: verdicts that are new in the ledger.
        repeated: verdicts that it held already: the same scan under another name.
        skipped: ordinary pictures.
        last_errors: the most recent failures.
        read_ms, infer_ms: time that workers spent on reading, and on scoring and judging.
    """

    words: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    known: int = 0
    known_failed: int = 0
    written: int = 0
    recorded: int = 0
    repeated: int = 0
    skipped: int = 0
    last_errors: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    read_ms: float = 0.0
    infer_ms: float = 0.0

    @property
    def screened(self) -> int:
        """Items with a verdict of this run."""
        return sum(self.words.values())

    def failures(self, over: bool) -> tuple[int, int]:
        """Failures, and what they are a share of: of this run, or once it is over of the archive, with earlier runs."""
        failed, worked = self.failed, self.screened + self.failed
        return (failed + self.known_failed, worked + self.known) if over else (failed, worked)

    @property
    def done(self) -> int:
        """Items dealt with, now or earlier."""
        return self.screened + self.failed + self.known + self.skipped


class TooManyFailures(LeadlineError):
    """The run has stopped at its ceiling."""


class Run:
    """One run over one archive.

    Args:
        ledger: where verdicts go.
        job: what is done.
        ceiling: when to stop.
        retry_failed: try again what failed in an earlier run.
        tell: is told in words what the user should know while it happens.
        stopping: true once the run should end.
    """

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        ceiling: Ceiling,
        retry_failed: bool = False,
        tell: Callable[[str], None] = lambda _: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.ledger, self.job, self.ceiling, self.retry_failed = ledger, job, ceiling, retry_failed
        self.tell, self.stopping = tell, stopping
        self.tally = Tally()

    def go(self, items: Iterable[Item], engine: Engine) -> Iterator[tuple[Item, Result]]:
        """Screen what is new; each result is recorded soon after (`recorder`), all of them when this ends.

        Yields:
            Every item that was screened now, with its result.

        Raises:
            TooManyFailures: above the ceiling.
            LeadlineError: the ledger cannot be written to, or nothing can be screened.
        """
        yield from self.go_on(self.fresh(items), engine)

    def go_on(self, fresh: Iterator[Item], engine: Engine) -> Iterator[tuple[Item, Result]]:
        """The same with items that `fresh` gave."""
        recorder = Recorder(self.record)
        try:
            for item, result in engine.run(fresh):
                self._count(result)
                recorder.add(result)
                yield item, result
                if result.outcome == "failed" and self.ceiling.reached(self.tally):
                    raise TooManyFailures(self._ceiling_said())
        finally:
            recorder.close()
        if not self.stopping() and self.ceiling.reached(self.tally, over=True):
            raise TooManyFailures(self._ceiling_said(over=True))

    def fresh(self, items: Iterable[Item]) -> Iterator[Item]:
        """Items that no earlier run of the same job has dealt with."""
        rest = iter(items)
        while portion := _portion(rest):
            places = {item.identity(): item for item in portion if item.stamp}
            known = self._patient(lambda places=places: self.ledger.seen(self.job.identity, list(places)))  # type: ignore[misc]
            for item in portion:
                if self.stopping():
                    return
                stamp, outcome = known.get(item.identity(), ("", "")) if item.stamp else ("", "")
                if stamp != item.stamp or not stamp or (outcome == "failed" and self.retry_failed):
                    yield item
                    continue
                self.tally.known += 1
                self.tally.known_failed += outcome == "failed"

    def record(self, results: list[Result]) -> None:
        """Write results into the ledger.

        Raises:
            LedgerError: the database refuses, or was not there for too long.
        """
        events: list[Event] = [r.event for r in results if r.event is not None]
        seen: list[Seen] = [r.seen for r in results if r.seen is not None]
        if not events and not seen:
            return
        numbers = self._patient(lambda: self.ledger.append(events, seen))
        self.tally.written += len(events)
        verdicts = [n for n, e in zip(numbers, events, strict=True) if e.kind == self.job.kind]
        self.tally.recorded += sum(n is not None for n in verdicts)
        self.tally.repeated += sum(n is None for n in verdicts)

    def _patient(self, work: Callable[[], T]) -> T:
        """Do something with the database; if it is gone, wait for it to come back."""
        started, pause, told = time.monotonic(), RETRY_S[0], False
        while True:
            try:
                done = work()
            except LedgerError as error:
                waited = time.monotonic() - started
                if not error.transient or waited > PATIENCE_S or self.stopping():
                    raise
                if not told:
                    self.tell(f"{error}; trying again for {PATIENCE_S / 60:.0f} minutes")
                    told = True
                wake = time.monotonic() + pause
                while time.monotonic() < wake and not self.stopping():
                    time.sleep(0.2)
                pause = min(2 * pause, RETRY_S[1])
            else:
                if told:
                    self.tell(f"{self.ledger.name}: answers again, going on")
                return done

    def _count(self, result: Result) -> None:
        tally = self.tally
        tally.read_ms += result.read_ms
        tally.infer_ms += result.infer_ms
        if result.outcome == "failed":
            tally.failed += 1
            tally.last_errors.append(result.error or "")
        elif result.outcome == "skipped":
            tally.skipped += 1
        else:
            tally.words[result.word] += 1

    def _ceiling_said(self, over: bool = False) -> str:
        tally, limit = self.tally, self.ceiling
        failed, worked = tally.failures(over)
        allowed = f"{limit.count}" if limit.count is not None else f"{100 * (limit.share or 0):g} %"
        last = "\n".join(f"  {error}" for error in tally.last_errors)
        said = f"--limit-failures {allowed}: {failed} of {worked} scans failed"
        if not last:
            return (
                f"{said}, all of them in earlier runs: the ledger's rows of kind failure say why\n"
                "see what is wrong with them, then run the same command again with --retry-failed"
            )
        return (
            f"{said}; the last:\n{last}\n"
            "see what is wrong with them, then run the same command again, which goes on from here"
        )
