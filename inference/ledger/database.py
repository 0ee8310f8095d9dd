"""The connection to a ledger's database, and what its errors mean to whoever runs it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from leadline.inference.ledger.location import (
    POSTGRESQL,
    LedgerDamaged,
    LedgerError,
    check_local,
    private,
    shown,
    url_of,
)

BUSY_S = 60
"""So long one writer waits for another."""

PATIENCE = {
    "connect_timeout": 10,  # s
    "keepalives": 1,
    "keepalives_idle": 30,  # s
    "keepalives_interval": 10,  # s
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # ms
}
"""Of libpq: a server whose machine has vanished without a word is noticed within a minute, not in hours."""


def connect(place: str | Path, create: bool) -> sa.Engine:
    """SQLAlchemy's engine of a ledger.

    Args:
        place: a file, or a URL.
        create: make the file if it is not there; without, it must be there, and is only read.

    Raises:
        LedgerError: it is not there, lies on a network file system, or the URL is none.
    """
    url, path = url_of(place)
    if path is not None:
        check_local(path)
        if not create and not path.exists():
            raise LedgerError(shown(place), "does not exist", "check the spelling; `leadline rescore` makes ledgers")
        return _sqlite(url, path) if create else _reading(path)
    try:
        given = sa.make_url(url)
        patience = {name: value for name, value in PATIENCE.items() if name not in given.query}
        return sa.create_engine(given, pool_pre_ping=True, connect_args=patience)
    except ModuleNotFoundError as error:
        raise LedgerError(shown(place), f"needs {error.name}", "pip install 'leadline[cluster]'") from error
    except (SQLAlchemyError, ValueError):  # whose message may hold the password
        raise LedgerError(shown(place), "is no usable URL, perhaps for a port that is no number", POSTGRESQL) from None


def _sqlite(url: sa.URL | str, path: Path) -> sa.Engine:
    with suppress(FileExistsError):
        try:  # SQLite itself would make it as the umask says
            os.close(private(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except OSError as error:
            if path.exists():
                raise FileExistsError from error
            raise LedgerError(
                str(path), f"cannot be made ({error.strerror})", "check the permissions of its folder"
            ) from error
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        cursor = _begun(connection)
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a committed row survives a power failure
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A reader that turned writer would fail at once where another has written in between.
        immediate = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _reading(path: Path) -> sa.Engine:
    """A ledger that is only read, also where nobody may write: on a disk that is mounted so, in another's folder."""
    mode = {"uri": "true", "mode": "rw"}  # not "ro": that would leave the files of the log behind
    if not os.access(path.absolute().parent, os.W_OK):
        log = path.with_name(f"{path.name}-wal")
        # What is immutable is read without the log's shared memory, which could not be made there. With rows in the
        # log it must not be: they would be missing.
        mode = {"uri": "true", "mode": "ro", "immutable": str(int(not (log.exists() and log.stat().st_size)))}
    url = sa.URL.create("sqlite", database=f"file:{quote(os.fsencode(path.absolute()))}", query=mode)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        cursor = _begun(connection)
        cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _begun(connection: Any) -> sqlite3.Cursor:
    connection.isolation_level = None  # the driver begins no transactions of its own
    connection.text_factory = _text
    cursor: sqlite3.Cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={1000 * BUSY_S}")
    return cursor


def _text(data: bytes) -> str:
    """Text that somebody may have put in: what is no UTF-8 shall be found by its hash, not end the reading."""
    return data.decode("utf-8", "surrogateescape")


def explained(name: str, error: DBAPIError) -> LedgerError:
    """What a database's error means."""
    reason = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0][:200]
    low = reason.lower()
    if "disk is full" in low or "no space left" in low or "could not extend" in low:
        return LedgerError(name, f"no room is left on its disk ({reason})", "make room and run again")
    if "append-only" in low:
        return LedgerError(name, reason, "record a new event that corrects the old one")
    if "not a database" in low:
        return LedgerError(name, f"is no ledger, or damaged ({reason})", "check the spelling, or restore a copy")
    if "malformed" in low or "no such table" in low or "no such column" in low:
        return LedgerDamaged(name, f"is damaged ({reason})", "restore a copy")
    if "password" in low or "authentication" in low:
        return LedgerError(name, f"does not let you in ({reason})", POSTGRESQL)
    if "readonly" in low or "permission denied" in low or "unable to open" in low:
        remedy = "check its permissions and those of its folder, or copy it with the -wal file beside it elsewhere"
        return LedgerError(name, reason, remedy)
    if "locked" in low:
        return LedgerError(name, f"another writer holds it ({reason})", "wait for it to end", transient=True)
    if "disk i/o error" in low:
        return LedgerError(name, f"its disk fails or is full ({reason})", "check the disk and run again")
    if error.connection_invalidated or isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        lasting = ("does not exist", "pg_hba")
        return LedgerError(
            name,
            f"does not answer ({reason})",
            "see that it runs and may be reached",
            not any(w in low for w in lasting),
        )
    return LedgerError(name, reason, "see the database's own log")
