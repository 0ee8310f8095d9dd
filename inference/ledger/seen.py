"""Which files were dealt with, so that a run that goes on need not read them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from leadline.inference.ledger import schema

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
        key: of the row that says so; where that is not in the ledger, the file counts as never dealt with.
    """

    place: str
    job: str
    stamp: str
    outcome: str
    key: str | None


def recall(connection: sa.Connection, job: str, places: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Stamp and outcome of the places that a job has dealt with, where the row that says so is there."""
    t, found = schema.seen.c, {}
    witnessed = schema.seen.join(schema.rows, schema.rows.c.key == t.key)
    for start in range(0, len(places), CHUNK):
        query = sa.select(t.place, t.stamp, t.outcome).select_from(witnessed)
        query = query.where(t.job == job, t.place.in_(places[start : start + CHUNK]))
        found.update({place: (stamp, outcome) for place, stamp, outcome in connection.execute(query)})
    return found


def remember(connection: sa.Connection, seen: Iterable[Seen]) -> None:
    """Note files as dealt with; of each the newest note counts."""
    latest = {(s.place, s.job): s for s in seen}
    if not latest:
        return
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    statement = insert(schema.seen)
    update = {name: statement.excluded[name] for name in ("stamp", "outcome", "key")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["place", "job"], set_=update),
        [vars(s) for s in latest.values()],
    )
