"""The ledger: what was said and done about each scan, append-only and chained by hashes.

One table of rows in SQLite (one file on a local disk) or PostgreSQL (by URL). Every row holds the hash of
the one before it, so that `verify` finds any row that was altered, removed or inserted. Whoever has
something to record appends an `Event` of a kind of its own:

    from leadline.inference.ledger import Event, Ledger, key_of

    ledger = Ledger.open("cargo.ledger")                     # or "postgresql://user@host/database"
    ledger.append([
        Event("decision", {"choice": "inspect", "reason": "..."}, subject=scan_sha256, who="operator 7"),
        Event("verdict", verdict, subject=scan_sha256, model=model_sha256, key=key_of("verdict", scan_sha256, ...)),
    ])                                                       # -> sequence numbers; None: that key was there already
    for row in ledger.rows(kinds=("decision",), subject=scan_sha256):
        row.seq, row.at, row.who, row.body
    ledger.head()                                            # (number of rows, hash of the last)
    ledger.close()

An event with a `key` is recorded once, however often and by however many processes it is appended; one
without is recorded every time. `append` is one transaction: all of its events or none. Any number of
processes may append at once: each waits for the other's transaction (SQLite's write lock, PostgreSQL's row
lock on the head), so a chain never forks. One `Ledger` may be used by many threads.

Kinds in use: `verdict` (operational), `shadow` (a candidate model's, never operational), `failure` (a file
that could not be screened); the operator station adds its decisions, overrides and inspection results.

The chain proves that the rows belong together; it cannot prove that nobody replaced the whole of it. Keep
the head that `leadline ledger verify` prints somewhere else, and give it back with `--head`.
"""

from leadline.inference.ledger.events import Event, Row, canonical, key_of
from leadline.inference.ledger.location import LedgerDamaged, LedgerError
from leadline.inference.ledger.seen import Seen
from leadline.inference.ledger.store import Ledger
from leadline.inference.ledger.verify import Problem, Verification, verify

__all__ = [
    "Event",
    "Ledger",
    "LedgerDamaged",
    "LedgerError",
    "Problem",
    "Row",
    "Seen",
    "Verification",
    "canonical",
    "key_of",
    "verify",
]
