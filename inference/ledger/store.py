"""The ledger itself: opening, appending, reading."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from leadline.inference.ledger import schema
from leadline.inference.ledger.events import GENESIS, LONGEST_WHO, Event, Row, canonical, chain, plain
from leadline.inference.ledger.location import LedgerError, check_local, shown, url_of

BUSY_S = 60
"""So long one writer waits for another."""

CHUNK = 500
"""Values of one `IN (...)`; rows that are fetched at once."""


@dataclass(frozen=True)
class Seen:
    """A file that a job has dealt with.

    Attributes:
        place: 64 hexadecimal digits that stand for where the file lies and what was declared of it.
        job: 64 hexadecimal digits that stand for model and settings.
        stamp: size and time, or an object store's tag: another stamp is another file.
        outcome: `"done"` or `"failed"`.
    """

    place: str
    job: str
    stamp: str
    outcome: str


class Ledger:
    """An open ledger; made by `Ledger.open`."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.engine, self.name = engine, name

    @classmethod
    def open(cls, place: str | Path, *, create: bool = True) -> Ledger:
        """Open a ledger.

        Args:
            place: a file on a local disk, or a URL `postgresql://user@host/database`.
            create: make it if it is not there.

        Raises:
            LedgerError: it is not there, lies on a network file system, is none, or is of another version; or the
                database does not answer (`transient`).
        """
        url, path = url_of(place)
        name = shown(place)
        if path is not None:
            check_local(path)
            if not create and not path.exists():
                raise LedgerError(name, "does not exist", "check the spelling; `leadline rescore` makes ledgers")
        try:
            engine = _engine(url)
        except ModuleNotFoundError as error:
            raise LedgerError(name, f"needs {error.name}", "pip install 'leadline[cluster]'") from error
        except (SQLAlchemyError, ValueError) as error:
            raise LedgerError(name, f"is no usable URL ({error})", "give postgresql://user@host/database") from error
        ledger = cls(engine, name)
        try:
            ledger._prepare(create)
        except BaseException:
            engine.dispose()
            raise
        return ledger

    def append(self, events: Sequence[Event], seen: Iterable[Seen] = ()) -> list[int | None]:
        """Record events, all or none, and remember files as dealt with.

        Returns:
            For each event its sequence number, `None` where its key was recorded before.

        Raises:
            LedgerError: the database cannot be written to; nothing was recorded, or (connection lost at the very
                end) all of it was: append again, keys keep it from being recorded twice.
        """
        texts = [(canonical(e.body), canonical(e.context)) for e in events]
        numbers: list[int | None] = []
        with self._transaction(writing=True) as connection:
            query = sa.select(schema.head.c.seq, schema.head.c.hash).where(schema.head.c.id == 1)
            seq, last = connection.execute(query.with_for_update()).one()
            known = self._known(connection, [e.key for e in events if e.key is not None])
            fresh: list[dict[str, Any]] = []
            for happening, (body, context) in zip(events, texts, strict=True):
                if happening.key is not None and happening.key in known:
                    numbers.append(None)
                    continue
                if happening.key is not None:
                    known.add(happening.key)
                seq += 1
                fields = {
                    "seq": seq, "at": _now(), "kind": happening.kind, "subject": happening.subject,
                    "model": happening.model, "who": plain(happening.who, LONGEST_WHO), "key": happening.key,
                    "body": body, "context": context,
                }  # fmt: skip
                digest = chain(last, fields)
                fresh.append({**fields, "previous": last, "hash": digest})
                last = digest
                numbers.append(seq)
            if fresh:
                connection.execute(schema.rows.insert(), fresh)
                connection.execute(schema.head.update().where(schema.head.c.id == 1).values(seq=seq, hash=last))
            self._remember(connection, list(seen))
        return numbers

    def rows(
        self,
        *,
        kinds: Sequence[str] | None = None,
        subject: str | None = None,
        model: str | None = None,
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Read rows, a few hundred at a time: memory stays bounded, and no transaction stays open in between.

        Args:
            kinds: of these kinds only.
            subject: about this scan only.
            model: about this model only.
            after: only rows with a greater sequence number.
            newest_first: backwards.
            limit: at most so many.

        Raises:
            LedgerError: the database does not answer.
        """
        t = schema.rows.c
        query = sa.select(schema.rows)
        if kinds is not None:
            query = query.where(t.kind.in_(kinds))
        if subject is not None:
            query = query.where(t.subject == subject)
        if model is not None:
            query = query.where(t.model == model)
        low, high, left = after, None, limit
        while left is None or left > 0:
            page = query.where(t.seq > low)
            if high is not None:
                page = page.where(t.seq < high)
            page = page.order_by(t.seq.desc() if newest_first else t.seq)
            with self._transaction() as connection:
                found = connection.execute(page.limit(min(CHUNK, left or CHUNK))).all()
            for raw in found:
                yield _row(raw)
            if len(found) < CHUNK:
                return
            left = None if left is None else left - len(found)
            if newest_first:
                high = found[-1].seq
            else:
                low = found[-1].seq

    def raw_rows(self, after: int = 0) -> Iterator[sa.Row[Any]]:
        """All rows as they are stored, `body` and `context` as text, in order; for checks and exports."""
        query = sa.select(schema.rows).order_by(schema.rows.c.seq).limit(CHUNK)
        while True:
            with self._transaction() as connection:
                found = connection.execute(query.where(schema.rows.c.seq > after)).all()
            yield from found
            if len(found) < CHUNK:
                return
            after = found[-1].seq

    def has(self, keys: Sequence[str]) -> set[str]:
        """Which of some keys are recorded."""
        with self._transaction() as connection:
            return self._known(connection, keys)

    def seen(self, job: str, places: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Stamp and outcome of the places that a job has dealt with."""
        t, found = schema.seen.c, {}
        with self._transaction() as connection:
            for start in range(0, len(places), CHUNK):
                part = places[start : start + CHUNK]
                query = sa.select(t.place, t.stamp, t.outcome).where(t.job == job, t.place.in_(part))
                found.update({place: (stamp, outcome) for place, stamp, outcome in connection.execute(query)})
        return found

    def head(self) -> tuple[int, str]:
        """Number of rows, and the hash of the last."""
        with self._transaction() as connection:
            seq, digest = connection.execute(sa.select(schema.head.c.seq, schema.head.c.hash)).one()
        return seq, digest

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, create: bool) -> None:
        """Make the tables, or see that they are there and of this version."""
        with self._transaction(writing=create) as connection:
            if create and connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(schema.CREATION_LOCK)))
            there = sa.inspect(connection).has_table(schema.head.name)
            if there:
                form = connection.execute(sa.select(schema.head.c.format)).scalar_one_or_none()
                if form != schema.FORMAT:
                    raise LedgerError(
                        self.name, f"has tables of form {form}, not {schema.FORMAT}", "use the leadline that wrote it"
                    )
            elif not create:
                raise LedgerError(self.name, "is no ledger", "check the spelling; `leadline rescore` makes ledgers")
            else:
                schema.metadata.create_all(connection)
                for statement in schema.TRIGGERS[connection.dialect.name]:
                    connection.exec_driver_sql(statement)
                first = {"id": 1, "format": schema.FORMAT, "seq": 0, "hash": GENESIS}
                connection.execute(schema.head.insert(), [first])

    def _known(self, connection: sa.Connection, keys: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(keys), CHUNK):
            query = sa.select(schema.rows.c.key).where(schema.rows.c.key.in_(keys[start : start + CHUNK]))
            found.update(connection.execute(query).scalars())
        return found

    def _remember(self, connection: sa.Connection, seen: list[Seen]) -> None:
        if not seen:
            return
        latest = {(s.place, s.job): s for s in seen}
        if connection.dialect.name == "sqlite":
            from sqlalchemy.dialects.sqlite import insert
        else:
            from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
        statement = insert(schema.seen)
        update = {"stamp": statement.excluded.stamp, "outcome": statement.excluded.outcome}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["place", "job"], set_=update),
            [vars(s) for s in latest.values()],
        )

    @contextmanager
    def _transaction(self, writing: bool = False) -> Iterator[sa.Connection]:
        """A transaction; what goes wrong in the database becomes a `LedgerError`."""
        try:
            with self.engine.connect().execution_options(writing=writing) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise _explained(self.name, error) from error
        except sqlite3.Error as error:  # raised by the driver outside of SQLAlchemy's calls
            raise LedgerError(self.name, str(error), "check the disk") from error


def _engine(url: str) -> sa.Engine:
    if url.startswith("sqlite"):
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_S})

        @event.listens_for(engine, "connect")
        def _connected(connection: Any, record: Any) -> None:
            connection.isolation_level = None  # the driver begins no transactions of its own
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={1000 * BUSY_S}")
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")  # a committed row survives a power failure
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            # A reader that turned writer would fail at once where another has written in between.
            immediate = connection.get_execution_options().get("writing")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        return engine
    return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})


def _explained(name: str, error: DBAPIError) -> LedgerError:
    """What a database's error means to whoever runs it."""
    reason = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0][:200]
    low = reason.lower()
    if "disk is full" in low or "no space left" in low or "could not extend" in low:
        return LedgerError(name, f"no room is left on its disk ({reason})", "make room and run again")
    if "append-only" in low:
        return LedgerError(name, reason, "record a new event that corrects the old one")
    if "not a database" in low or "malformed" in low:
        return LedgerError(name, f"is no ledger, or damaged ({reason})", "check the spelling, or restore a copy")
    if "readonly" in low or "permission denied" in low or "unable to open" in low:
        return LedgerError(name, reason, "check its permissions and those of its folder")
    if "locked" in low:
        return LedgerError(name, f"another writer holds it ({reason})", "wait for it to end", transient=True)
    if "disk i/o error" in low:
        return LedgerError(name, f"its disk fails or is full ({reason})", "check the disk and run again")
    if error.connection_invalidated or isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        lasting = ("password", "authentication", "does not exist", "pg_hba", "no such table")
        return LedgerError(
            name,
            f"does not answer ({reason})",
            "see that it runs and may be reached",
            not any(w in low for w in lasting),
        )
    return LedgerError(name, reason, "see the database's own log")


def _row(raw: sa.Row[Any]) -> Row:
    values = dict(raw._mapping)
    return Row(**{**values, "body": json.loads(values["body"]), "context": json.loads(values["context"])})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
