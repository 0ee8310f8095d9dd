"""Checking the chain: every row's hash, every link, no gap, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass

from leadline.inference.ledger.events import CHAINED, GENESIS, chain
from leadline.inference.ledger.store import Ledger

MOST_PROBLEMS = 100
"""So many are told; the chain is read to its end all the same."""


@dataclass(frozen=True)
class Problem:
    """A place where the chain is broken.

    Attributes:
        seq: number of the row.
        what: what is wrong there, in words.
    """

    seq: int
    what: str


@dataclass(frozen=True)
class Verification:
    """What the check found.

    Attributes:
        rows: rows that were read.
        head: hash of the last of them.
        problems: the first `MOST_PROBLEMS`.
        problem_count: how many there are.
    """

    rows: int
    head: str
    problems: tuple[Problem, ...]
    problem_count: int

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem_count


def verify(ledger: Ledger, expected: str | None = None) -> Verification:
    """Check a ledger from its first row to its last, in bounded memory.

    A row that was altered has another hash than it says; one that was removed leaves a gap; one that was
    inserted does not link. Rows cut off at the end are missing against the recorded head, and against
    `expected` if somebody cut the recorded head back too.

    Args:
        ledger: to check; rows that others append meanwhile are checked as far as they have come.
        expected: a head that was noted earlier and must still be among the rows.

    Raises:
        LedgerError: the database does not answer.
        LedgerDamaged: its tables are not those of a ledger.
    """
    end, recorded = ledger.head()
    problems: list[Problem] = []
    count, rows, last_seq, last = 0, 0, 0, GENESIS
    expected_found = expected is None or expected == GENESIS
    recorded_found = end == 0

    def note(seq: int, what: str) -> None:
        nonlocal count
        count += 1
        if len(problems) < MOST_PROBLEMS:
            problems.append(Problem(seq, what))

    for row in ledger.raw_rows():
        rows += 1
        if row.seq != last_seq + 1:
            missing = f"row {last_seq + 1}" if row.seq == last_seq + 2 else f"rows {last_seq + 1} to {row.seq - 1}"
            note(row.seq, f"{missing} removed before it" if row.seq > last_seq else "its number is out of order")
        elif row.previous != last:
            note(row.seq, "does not link to the row before it: one of them was put in or replaced")
        try:
            altered = chain(row.previous, {name: getattr(row, name) for name in CHAINED}) != row.hash
        except (TypeError, ValueError):  # bytes, or letters that no hash has
            note(row.seq, "was altered: it holds what no ledger writes")
        else:
            if altered:
                note(row.seq, "was altered: its content does not give its hash")
        if row.seq == end:
            recorded_found = row.hash == recorded
        expected_found = expected_found or row.hash == expected
        last_seq, last = row.seq, row.hash
    if last_seq < end:
        note(end, f"rows {last_seq + 1} to {end} removed at the end")
    elif not recorded_found:
        note(end, "is not the row that the recorded head names")
    if not expected_found:
        note(last_seq, f"the noted head {expected} is not among the rows: they were removed or written anew")
    return Verification(rows, last, tuple(problems), count)
