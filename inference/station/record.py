"""What is done at the station, in the hash-chained ledger, and the station's database brought in line with it.

A decision is written to the ledger first and to the database after: if the process ends in between, the
next start finds it in the ledger and enters it (`catch_up`). So no decision that was acknowledged is lost,
and the ledger never lacks one that the page shows.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from leadline.inference.ledger import Event, Ledger, Row, Verification, key_of, verify
from leadline.inference.station.store import Store

CAUGHT_UP = "ledger_seq"
"""Entry of the database: number of the last ledger row that it knows."""

COLUMNS = {
    "decision": ("decision", "override", "note"),
    "result": ("result", "result_family", "result_note"),
}
"""Ledger kinds that change a scan, and what of their body goes into its columns."""


class Record:
    """The station's side of the ledger.

    Args:
        place: file or URL of the ledger.
        store: the station's database.

    Raises:
        LedgerError: it cannot be opened.
    """

    def __init__(self, place: str | Path, store: Store) -> None:
        self.ledger = Ledger.open(place)
        self.store = store
        self._lock = threading.Lock()
        self.catch_up()

    def verdict(self, scan: str, sha256: str, line: dict[str, Any]) -> None:
        """Record a verdict; the same one (scan, papers, model) only once."""
        model = line["model"]["sha256"]
        key = key_of("station verdict", scan, model, line["threshold"])
        matter = {k: v for k, v in line.items() if k not in ("path", "elapsed_ms", "provider")}
        context = {k: line[k] for k in ("path", "elapsed_ms", "provider")}
        self.ledger.append(
            [Event("verdict", {"scan": scan, **matter}, subject=sha256, model=model, key=key, context=context)]
        )

    def happened(self, kind: str, scan: str, sha256: str, who: str, body: dict[str, Any]) -> int:
        """Record what a person did, and enter it into the database.

        Returns:
            The row's number in the ledger.

        Raises:
            LedgerError: the ledger cannot be written to; nothing was recorded.
        """
        with self._lock:
            (seq,) = self.ledger.append([Event(kind, {"scan": scan, **body}, subject=sha256, who=who)])
            number = seq or 0
            if kind in COLUMNS:
                self._enter(kind, scan, body, who, time.time(), number)
        self.store.on_change()
        return number

    def catch_up(self) -> int:
        """Enter what the ledger holds and the database lacks.

        Returns:
            How many rows were entered.
        """
        entered = 0
        for row in self.ledger.rows(kinds=tuple(COLUMNS), after=int(self.store.meta(CAUGHT_UP, 0))):
            at = datetime.fromisoformat(row.at).timestamp()
            self._enter(row.kind, str(row.body.get("scan", "")), row.body, row.who, at, row.seq)
            entered += 1
        return entered

    def history(self, scan: str, sha256: str) -> list[Row]:
        """All that the ledger says of a scan under its papers, in order."""
        return [row for row in self.ledger.rows(subject=sha256) if row.body.get("scan") in (scan, None)]

    def verify(self) -> Verification:
        """Check the whole chain."""
        return verify(self.ledger)

    def close(self) -> None:
        """Let go of the ledger."""
        self.ledger.close()

    def _enter(self, kind: str, scan: str, body: dict[str, Any], who: str, at: float, seq: int) -> None:
        prefix = "decided" if kind == "decision" else "result"
        values = {column: body.get(column) for column in COLUMNS[kind]} | {f"{prefix}_by": who, f"{prefix}_at": at}
        if kind == "decision":  # what an earlier decision led to no longer holds
            values |= dict.fromkeys(("result", "result_family", "result_note", "result_by", "result_at"))
        self.store.update_and_remember(scan, values, CAUGHT_UP, seq)
