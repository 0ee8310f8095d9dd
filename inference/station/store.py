"""The station's working state in SQLite: scans and where each stands, files already seen.

What must never be doubted (verdicts, decisions, results) is in the ledger as well, see `record`; this
database is what the page is drawn from. One connection behind one lock: one writer, and every change is on
disk (`synchronous=FULL`) before it is told to anyone.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leadline.datasets.scan import LeadlineError
from leadline.inference.ledger.location import check_local

SCHEMA = """
CREATE TABLE IF NOT EXISTS scans (
    id TEXT PRIMARY KEY, sha256 TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL,
    container TEXT, hs_code TEXT, description TEXT, kind_given TEXT,
    arrived REAL NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, error TEXT,
    judged REAL, scanner TEXT, rows INTEGER, columns INTEGER,
    verdict TEXT, score REAL, threshold REAL, line TEXT, maps TEXT, embedding BLOB, model TEXT, ledger TEXT,
    opened REAL, decision TEXT, decided_by TEXT, decided_at REAL, override TEXT, note TEXT,
    result TEXT, result_family TEXT, result_note TEXT, result_by TEXT, result_at REAL,
    change INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS scans_change ON scans (change);
CREATE INDEX IF NOT EXISTS scans_state ON scans (state, arrived);
CREATE INDEX IF NOT EXISTS scans_arrived ON scans (arrived);
CREATE TABLE IF NOT EXISTS seen (path TEXT PRIMARY KEY, mark TEXT NOT NULL, scan TEXT);
CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT, created REAL NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0, locked_until REAL NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS sessions (
    token TEXT PRIMARY KEY, user TEXT NOT NULL, csrf TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS tokens (
    token TEXT PRIMARY KEY, user TEXT NOT NULL, label TEXT NOT NULL, created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

STATES = ("queued", "working", "screened", "failed")

SUMMARY = (
    "id, sha256, name, source, container, hs_code, description, arrived, state, error, judged, scanner, rows, columns, "
    "verdict, score, threshold, decision, decided_by, decided_at, override, note, result, result_family, result_note, "
    "result_by, result_at, change"
)

MOST_ATTEMPTS = 2
"""A scan that ended the whole process this often is set aside: the next one would end it again."""


class Store:
    """The station's database.

    Args:
        path: of the SQLite file; made if it is not there.

    Raises:
        LeadlineError: the file lies on a network file system, on which SQLite's WAL mode corrupts, or it
            cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        check_local(path)
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=20)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise LeadlineError(
                f"--data {path.parent}: {path.name} cannot be opened ({error}); choose another folder"
            ) from error
        self._lock = threading.RLock()
        self.on_change: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is on disk afterwards, or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def all(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def one(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or `None`."""
        with self._lock:
            row: sqlite3.Row | None = self._db.execute(query, values).fetchone()
            return row

    def recover(self) -> int:
        """After a start: whatever was being judged when the process ended waits again.

        Returns:
            How many scans wait now.
        """
        with self.writing() as db:
            for row in db.execute("SELECT id, attempts FROM scans WHERE state = 'working'").fetchall():
                if row["attempts"] >= MOST_ATTEMPTS:
                    error = f"reading or judging it ended the service {row['attempts']} times; report it with the file"
                    _update(db, row["id"], {"state": "failed", "error": error})
                else:
                    _update(db, row["id"], {"state": "queued"})
        row = self.one("SELECT count(*) n FROM scans WHERE state = 'queued'")
        return int(row["n"]) if row else 0

    def add(self, values: dict[str, Any], seen: tuple[str, str] | None = None) -> bool:
        """Enter a scan into the queue, unless it is there.

        Args:
            values: columns of `scans`; `id`, `sha256`, `name`, `source` at least.
            seen: path and mark of the watched file that it came from, entered in the same transaction.

        Returns:
            Whether it is new.
        """
        with self.writing() as db:
            known = db.execute("SELECT 1 FROM scans WHERE id = ?", (values["id"],)).fetchone()
            if not known:
                row = {"arrived": time.time(), "state": "queued"} | values | {"change": _next(db)}
                columns, marks = ", ".join(row), ", ".join("?" * len(row))
                db.execute(f"INSERT INTO scans ({columns}) VALUES ({marks})", list(row.values()))
            if seen:
                db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (*seen, values["id"]))
        if not known:
            self.on_change()
        return not known

    def take(self) -> sqlite3.Row | None:
        """The scan that waits longest, now marked as being judged; `None` if none waits."""
        with self._lock:
            row = self.one("SELECT * FROM scans WHERE state = 'queued' ORDER BY arrived, id LIMIT 1")
            if row is not None:
                with self.writing() as db:
                    _update(db, row["id"], {"state": "working", "attempts": row["attempts"] + 1})
        if row is not None:
            self.on_change()
        return row

    def update(self, scan: str, **values: Any) -> None:
        """Change columns of a scan, and tell the pages."""
        with self.writing() as db:
            _update(db, scan, values)
        self.on_change()

    def update_and_remember(self, scan: str, values: dict[str, Any], key: str, value: Any) -> None:
        """Change columns of a scan and remember a value, both or neither."""
        with self.writing() as db:
            _update(db, scan, values)
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def get(self, scan: str) -> sqlite3.Row | None:
        """All columns of a scan."""
        return self.one("SELECT * FROM scans WHERE id = ?", (scan,))

    def changed(self, after: int, most: int = 200) -> list[dict[str, Any]]:
        """Summaries of the scans that changed after a change number, oldest change first."""
        rows = self.all(f"SELECT {SUMMARY} FROM scans WHERE change > ? ORDER BY change LIMIT ?", (after, most))
        return [dict(row) for row in rows]

    def latest_change(self) -> int:
        """The number of the last change."""
        row = self.one("SELECT coalesce(max(change), 0) n FROM scans")
        return int(row["n"]) if row else 0

    def meta(self, key: str, default: Any = None) -> Any:
        """A remembered value."""
        row = self.one("SELECT value FROM meta WHERE key = ?", (key,))
        return default if row is None else json.loads(row["value"])

    def remember(self, key: str, value: Any) -> None:
        """Remember a value (JSON) across restarts."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))


def _next(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(change), 0) + 1 FROM scans").fetchone()[0])


def _update(db: sqlite3.Connection, scan: str, values: dict[str, Any]) -> None:
    row = values | {"change": _next(db)}
    db.execute(f"UPDATE scans SET {', '.join(f'{c} = ?' for c in row)} WHERE id = ?", [*row.values(), scan])
