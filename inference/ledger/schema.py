"""The tables of a ledger, and the triggers that keep its rows as they are."""

from __future__ import annotations

import sqlalchemy as sa

from leadline.inference.ledger.events import GENESIS

FORMAT = 1
"""Version of the tables; another version's ledger is refused."""

metadata = sa.MetaData()

rows = sa.Table(
    "leadline_ledger",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(27), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("subject", sa.String(64), nullable=False),
    sa.Column("model", sa.String(64), nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("key", sa.String(64), nullable=True, unique=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("context", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.CheckConstraint("seq > 0", name="leadline_ledger_seq"),  # ledgers of 0.6.0 and before lack it
    sa.Index("leadline_ledger_subject", "subject"),
    sa.Index("leadline_ledger_kind", "kind", "model"),
)
"""The chained rows. `body` and `context` are canonical JSON."""

head = sa.Table(
    "leadline_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
"""One row: where the chain ends, and the lock of its writers."""

seen = sa.Table(
    "leadline_seen",
    metadata,
    sa.Column("place", sa.String(64), primary_key=True),
    sa.Column("job", sa.String(64), primary_key=True),
    sa.Column("stamp", sa.String(200), nullable=False),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("key", sa.String(64), nullable=True),
)
"""Which file was dealt with by which job, so that a run that goes on need not read it again. A convenience:
without it a run reads everything anew and records nothing twice. It is not chained, so an entry counts only while
the row with its key is there. Ledgers of 0.6.0 and before lack that column until they are opened for writing;
what they remember is read once more."""

_SQLITE_TRIGGERS = [
    f"CREATE TRIGGER IF NOT EXISTS leadline_no_{verb} BEFORE {verb} ON leadline_ledger "
    f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    for verb in ("update", "delete")
]
_POSTGRESQL_TRIGGERS = [
    "CREATE OR REPLACE FUNCTION leadline_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$",
    "DROP TRIGGER IF EXISTS leadline_append_only ON leadline_ledger",
    "CREATE TRIGGER leadline_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON leadline_ledger "
    "FOR EACH STATEMENT EXECUTE FUNCTION leadline_append_only()",
]
TRIGGERS = {"sqlite": _SQLITE_TRIGGERS, "postgresql": _POSTGRESQL_TRIGGERS}
"""They stop mistakes and careless hands; against the owner of the database there is the chain."""

CREATION_LOCK = 0x1EAD11E
"""PostgreSQL advisory lock that is held while the tables are made."""


def make(connection: sa.Connection) -> None:
    """The tables of an empty ledger, in the transaction of the caller."""
    metadata.create_all(connection)
    for statement in TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)
    connection.execute(head.insert(), [{"id": 1, "format": FORMAT, "seq": 0, "hash": GENESIS}])


def bring_up_to_date(connection: sa.Connection) -> None:
    """Add what an older version's ledger lacks beside the chained rows."""
    inspected = sa.inspect(connection)
    if not inspected.has_table(seen.name):
        seen.create(connection)
    elif seen.c.key.name not in {column["name"] for column in inspected.get_columns(seen.name)}:
        connection.exec_driver_sql(f"ALTER TABLE {seen.name} ADD COLUMN {seen.c.key.name} VARCHAR(64)")
