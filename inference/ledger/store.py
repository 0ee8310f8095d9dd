"""The ledger itself: opening, appending, reading."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from leadline.inference.ledger import schema
from leadline.inference.ledger.database import connect, explained
from leadline.inference.ledger.events import LONGEST_WHO, Event, Row, canonical, chain, plain
from leadline.inference.ledger.location import LedgerDamaged, LedgerError, shown
from leadline.inference.ledger.seen import CHUNK, Seen, recall, remember


class Ledger:
    """An open ledger; made by `Ledger.open`."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.engine, self.name = engine, name

    @classmethod
    def open(cls, place: str | Path, *, create: bool = True) -> Ledger:
        """Open a ledger.

        Args:
            place: a file on a local disk, or a URL `postgresql://user@host/database`.
            create: make it if it is not there; without, it must be there, and a file is only read.

        Raises:
            LedgerError: it is not there, lies on a network file system, is none, or is of another version; or the
                database does not answer (`transient`).
            LedgerDamaged: it is not as leadline left it.
        """
        ledger = cls(connect(place, create), shown(place))
        try:
            ledger._prepare(create)
        except BaseException:
            ledger.close()
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
            seq, last = self._head(connection, lock=True)
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
            remember(connection, seen)
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
            LedgerDamaged: a row is none.
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
                yield self._row(raw)
            if len(found) < CHUNK:
                return
            left = None if left is None else left - len(found)
            if newest_first:
                high = found[-1].seq
            else:
                low = found[-1].seq

    def raw_rows(self) -> Iterator[sa.Row[Any]]:
        """All rows as they are stored, `body` and `context` as text, in order; for checks and exports.

        All means also those with numbers that no row can have: somebody else has put them in.
        """
        query = page = sa.select(schema.rows).order_by(schema.rows.c.seq).limit(CHUNK)
        while True:
            with self._transaction() as connection:
                found = connection.execute(page).all()
            yield from found
            if len(found) < CHUNK:
                return
            page = query.where(schema.rows.c.seq > found[-1].seq)

    def has(self, keys: Sequence[str]) -> set[str]:
        """Which of some keys are recorded."""
        with self._transaction() as connection:
            return self._known(connection, keys)

    def seen(self, job: str, places: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Stamp and outcome of the places that a job has dealt with, as far as the rows bear witness to it."""
        with self._transaction() as connection:
            return recall(connection, job, places)

    def head(self) -> tuple[int, str]:
        """Number of rows, and the hash of the last.

        Raises:
            LedgerDamaged: it is not there, or there are several.
        """
        with self._transaction() as connection:
            return self._head(connection)

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
            inspected = sa.inspect(connection)
            there = {table.name: inspected.has_table(table.name) for table in (schema.head, schema.rows)}
            if not any(there.values()):
                if not create:
                    raise LedgerError(self.name, "is no ledger", "check the spelling; `leadline rescore` makes ledgers")
                schema.make(connection)
            for name, found in there.items():
                if not found and any(there.values()):
                    raise LedgerDamaged(self.name, f"its table {name} was removed", "restore a copy")
            self._head(connection)
            if create:
                schema.bring_up_to_date(connection)

    def _head(self, connection: sa.Connection, lock: bool = False) -> tuple[int, str]:
        """Where the chain ends by what was recorded last; locked, other writers wait."""
        query = sa.select(schema.head)
        found = connection.execute(query.with_for_update() if lock else query).all()
        if len(found) != 1:
            raise LedgerDamaged(
                self.name, f"its table {schema.head.name} holds {len(found)} rows instead of one", "restore a copy"
            )
        form, seq, digest = found[0].format, found[0].seq, found[0].hash
        if form != schema.FORMAT:
            raise LedgerError(
                self.name, f"has tables of form {form}, not {schema.FORMAT}", "use the leadline that wrote it"
            )
        if not isinstance(seq, int) or not isinstance(digest, str):
            raise LedgerDamaged(self.name, f"its table {schema.head.name} was altered", "restore a copy")
        return seq, digest

    def _row(self, raw: sa.Row[Any]) -> Row:
        """A row as it was recorded."""
        values = dict(raw._mapping)
        try:
            bytes.fromhex(raw.subject)
            texts = {name: json.loads(values[name]) for name in ("body", "context")}
            if not all(isinstance(text, dict) for text in texts.values()):
                raise TypeError
        except (TypeError, ValueError) as error:
            raise LedgerDamaged(
                self.name, f"row {raw.seq} was altered: it cannot be read", "see `leadline ledger verify`"
            ) from error
        return Row(**{**values, **texts})

    def _known(self, connection: sa.Connection, keys: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(keys), CHUNK):
            query = sa.select(schema.rows.c.key).where(schema.rows.c.key.in_(keys[start : start + CHUNK]))
            found.update(connection.execute(query).scalars())
        return found

    @contextmanager
    def _transaction(self, writing: bool = False) -> Iterator[sa.Connection]:
        """A transaction; what goes wrong in the database becomes a `LedgerError`."""
        try:
            with self.engine.connect().execution_options(writing=writing) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise explained(self.name, error) from error
        except sqlite3.Error as error:  # raised by the driver outside of SQLAlchemy's calls
            raise LedgerError(self.name, str(error), "check the disk") from error


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
