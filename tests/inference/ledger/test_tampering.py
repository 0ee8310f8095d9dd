"""Ledgers that others have laid hands on, old ones, ones that may only be read, and names that look like URLs."""

from __future__ import annotations

import csv
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from leadline.inference.cli import main
from leadline.inference.ledger import Event, Ledger, LedgerDamaged, LedgerError, Seen, key_of, verify
from leadline.inference.ledger.export import export
from leadline.inference.ledger.location import shown, url_of

SCAN, JOB = "a" * 64, "b" * 64

OLD = """
CREATE TABLE leadline_head (id INTEGER NOT NULL, format INTEGER NOT NULL, seq BIGINT NOT NULL,
    hash VARCHAR(64) NOT NULL, PRIMARY KEY (id));
INSERT INTO leadline_head VALUES(1,1,2,'f74d7d9a016426f48e6c632cfba0ea0facf929af2293c9419f0f731556d96a46');
CREATE TABLE leadline_ledger (seq INTEGER NOT NULL, at VARCHAR(27) NOT NULL, kind VARCHAR(40) NOT NULL,
    subject VARCHAR(64) NOT NULL, model VARCHAR(64) NOT NULL, who VARCHAR(200) NOT NULL, "key" VARCHAR(64),
    body TEXT NOT NULL, context TEXT NOT NULL, previous VARCHAR(64) NOT NULL, hash VARCHAR(64) NOT NULL,
    PRIMARY KEY (seq), UNIQUE ("key"));
INSERT INTO leadline_ledger VALUES(1,'2026-11-22T22:01:20.011562Z','verdict',
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','','',
    '080a9ed428559ef602668b4c00f114f1a11c3f6b02a435f0bdc154578e4d7f22','{"n":1}','{}',
    '0000000000000000000000000000000000000000000000000000000000000000',
    'bd91eadf1554138980f6b0127319ca09c16d3a1cba07b44ceb1dec09f0c71cc3');
INSERT INTO leadline_ledger VALUES(2,'2026-11-22T22:01:20.011635Z','verdict',
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','','',
    '038966de9f6b9a901b20b4c6ca8b2a46009feebe031babc842d43690c0bc222b','{"n":2}','{}',
    'bd91eadf1554138980f6b0127319ca09c16d3a1cba07b44ceb1dec09f0c71cc3',
    'f74d7d9a016426f48e6c632cfba0ea0facf929af2293c9419f0f731556d96a46');
CREATE TABLE leadline_seen (place VARCHAR(64) NOT NULL, job VARCHAR(64) NOT NULL, stamp VARCHAR(200) NOT NULL,
    outcome VARCHAR(20) NOT NULL, PRIMARY KEY (place, job));
INSERT INTO leadline_seen VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','10','done');
CREATE INDEX leadline_ledger_kind ON leadline_ledger (kind, model);
CREATE INDEX leadline_ledger_subject ON leadline_ledger (subject);
CREATE TRIGGER leadline_no_update BEFORE update ON leadline_ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER leadline_no_delete BEFORE delete ON leadline_ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
"""What leadline 0.6.0 wrote: two rows, and one file that it had dealt with."""


def event(number: int) -> Event:
    return Event("verdict", {"n": number}, subject=SCAN, key=key_of(number))


def execute(place: Path, *statements: str) -> None:
    """Behind the ledger's back."""
    connection = sqlite3.connect(place)
    for statement in statements:
        connection.executescript(statement)
    connection.close()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    place = tmp_path / "old.ledger"
    execute(place, OLD)
    return place


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of six rows, whose triggers somebody has removed."""
    place = tmp_path / "cargo.ledger"
    with Ledger.open(place) as opened:
        opened.append([event(n) for n in range(6)])
    execute(place, *(f"DROP TRIGGER leadline_no_{verb}" for verb in ("update", "delete")))
    return place


class TestOldLedgers:
    def test_they_are_read_verified_and_written_to(self, old: Path) -> None:
        with Ledger.open(old, create=False) as opened:
            assert verify(opened).intact
            assert [row.body["n"] for row in opened.rows()] == [1, 2]
        with Ledger.open(old) as opened:
            assert opened.seen(JOB, [SCAN]) == {}  # no row bears witness: it is read once more
            assert opened.append([event(2), event(3)], [Seen(SCAN, JOB, "10", "done", key_of(2))]) == [None, 3]
            assert opened.seen(JOB, [SCAN]) == {SCAN: ("10", "done")}
            assert verify(opened, "f74d7d9a016426f48e6c632cfba0ea0facf929af2293c9419f0f731556d96a46").intact
        with Ledger.open(old) as opened:
            assert opened.head()[0] == 3

    def test_the_same_in_postgresql(self, postgresql: Any) -> None:
        place = postgresql.place()
        with Ledger.open(place) as opened, opened.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE leadline_seen DROP COLUMN key")
            connection.exec_driver_sql("ALTER TABLE leadline_ledger DROP CONSTRAINT leadline_ledger_seq")
        with Ledger.open(place, create=False) as opened:
            assert verify(opened).intact
        with Ledger.open(place) as opened:
            opened.append([event(2)], [Seen(SCAN, JOB, "10", "done", key_of(2))])
            assert opened.seen(JOB, [SCAN]) == {SCAN: ("10", "done")}

    @pytest.mark.parametrize("number", [0, -5, -(1 << 62), -(1 << 63)])
    def test_a_row_with_a_number_that_no_row_can_have(self, old: Path, leadline: Any, number: int) -> None:
        """With the key of a verdict it would keep that from ever being recorded."""
        values = f"{number},'x','verdict','{SCAN}','','x','{key_of(9)}','{{}}','{{}}','{64 * '0'}','{64 * '0'}'"
        execute(old, f"INSERT INTO leadline_ledger VALUES({values})")
        run = leadline("ledger", "verify", old)
        assert run.returncode == 1, run.stderr
        assert f"row {number}: its number is out of order" in run.stdout


def test_such_a_number_is_refused(place: str) -> None:
    columns = "at, kind, subject, model, who, body, context, previous, hash"
    with Ledger.open(place) as opened:
        opened.append([event(1)])
        with pytest.raises(sa.exc.IntegrityError), opened.engine.begin() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO leadline_ledger (seq, {columns}) SELECT 0, {columns} FROM leadline_ledger"
            )


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE leadline_ledger SET body = x'7b7d' WHERE seq = 2", "row 2: was altered"),
        ("UPDATE leadline_ledger SET body = CAST(body AS BLOB) WHERE seq = 2", "row 2: was altered"),
        ("UPDATE leadline_ledger SET who = CAST(x'ff41' AS TEXT) WHERE seq = 2", "row 2: was altered"),
        ("UPDATE leadline_ledger SET previous = 'é' WHERE seq = 2", "row 2: was altered"),
        ("UPDATE leadline_ledger SET hash = x'00' WHERE seq = 2", "row 2: was altered"),
        ("UPDATE leadline_head SET seq = 'abc'", "leadline_head was altered"),
        ("UPDATE leadline_head SET hash = x'00'", "leadline_head was altered"),
        ("INSERT INTO leadline_head SELECT 2, format, seq, hash FROM leadline_head", "leadline_head holds 2 rows"),
        ("DELETE FROM leadline_head", "leadline_head holds 0 rows"),
        ("DROP TABLE leadline_ledger", "leadline_ledger was removed"),
        ("DROP TABLE leadline_head", "leadline_head was removed"),
    ],
)
def test_what_verify_says(ledger: Path, leadline: Any, statement: str, said: str) -> None:
    execute(ledger, statement)
    run = leadline("ledger", "verify", ledger)
    assert run.returncode == 1, run.stderr
    assert said in run.stdout + run.stderr
    assert "Traceback" not in run.stderr


def test_other_ways_to_read_what_was_altered(ledger: Path, leadline: Any, tmp_path: Path) -> None:
    """An export holds what is there; who works with the rows is told which is none."""
    for number, body in enumerate(("'no json'", "'[1]'", "x'ff'", "CAST(x'ff' AS TEXT)"), 2):
        execute(ledger, f"UPDATE leadline_ledger SET body = {body} WHERE seq = {number}")
    execute(ledger, "UPDATE leadline_ledger SET subject = 'x' WHERE seq = 1")
    with Ledger.open(ledger, create=False) as opened:
        assert export(opened, tmp_path / "out.csv") == 6
        pytest.importorskip("pyarrow")
        assert export(opened, tmp_path / "out.parquet") == 6
        for number in range(1, 6):
            with pytest.raises(LedgerDamaged, match=f"row {number} was altered"):
                next(iter(opened.rows(after=number - 1)))
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        bodies = [row["body"] for row in csv.DictReader(stream)]
    assert bodies == ['{"n":0}', "no json", "[1]", "b'\\xff'", "\\udcff", '{"n":5}']
    run = leadline("compare-ledgers", ledger, ledger)
    assert run.returncode == 2
    assert "row 1 was altered" in run.stderr


def test_files_that_another_ledger_has_dealt_with(ledger: Path, tmp_path: Path) -> None:
    """What is remembered is no part of the chain: brought into an empty ledger it says nothing."""
    with Ledger.open(ledger) as opened:
        opened.append([], [Seen(SCAN, JOB, "10", "done", key_of(1)), Seen(JOB, JOB, "10", "skipped", None)])
        assert opened.seen(JOB, [SCAN, JOB]) == {SCAN: ("10", "done")}
    empty = tmp_path / "empty.ledger"
    Ledger.open(empty).close()
    execute(empty, f"ATTACH '{ledger}' AS other; INSERT INTO leadline_seen SELECT * FROM other.leadline_seen")
    with Ledger.open(empty) as opened:
        assert opened.seen(JOB, [SCAN, JOB]) == {}
    execute(empty, "DROP TABLE leadline_seen")
    with Ledger.open(empty) as opened:
        assert opened.seen(JOB, [SCAN]) == {}


class TestWhereNobodyMayWrite:
    @pytest.fixture
    def mounted(self, tmp_path: Path) -> Iterator[Callable[[], Path]]:
        """A folder; called, it can only be read from then on."""
        folder = tmp_path / "disk"
        folder.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True)
        if made.returncode:
            pytest.skip("needs the right to mount")

        def fixed() -> Path:
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
            return folder

        fixed.folder = folder  # type: ignore[attr-defined]
        yield fixed
        subprocess.run(["umount", "-l", folder], check=True)

    def test_a_ledger_is_verified_exported_and_compared(
        self, mounted: Any, ledger: Path, leadline: Any, tmp_path: Path
    ) -> None:
        shutil.copy(ledger, mounted.folder / "a ?%41.ledger")
        place = mounted() / "a ?%41.ledger"
        run = leadline("ledger", "verify", place)
        assert (run.returncode, run.stderr) == (0, "")
        assert "intact, 6 rows" in run.stdout
        assert leadline("ledger", "export", place, tmp_path / "out.csv").returncode == 0
        assert leadline("compare-ledgers", place, place, "--json").returncode == 0

    def test_rows_that_are_still_in_the_log_are_not_left_out(self, mounted: Any, ledger: Path, leadline: Any) -> None:
        """Better no answer than one that lacks what was recorded last."""
        with Ledger.open(ledger) as opened:
            opened.append([event(10)])
            for name in (ledger.name, f"{ledger.name}-wal"):
                shutil.copy(ledger.with_name(name), mounted.folder)
        run = leadline("ledger", "verify", mounted() / ledger.name)
        assert "intact, 6 rows" not in run.stdout
        assert run.returncode == 0 or "-wal file beside it" in run.stderr


def test_reading_changes_nothing(ledger: Path) -> None:
    before = ledger.read_bytes()
    with Ledger.open(ledger, create=False) as opened:
        assert verify(opened).intact
        with pytest.raises(LedgerError, match="readonly"):
            opened.append([event(100)])
    assert ledger.read_bytes() == before


def test_reading_beside_a_writer(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l") as writer, Ledger.open(tmp_path / "l", create=False) as reader:
        for number in range(3):
            writer.append([event(number)])
            assert reader.head()[0] == number + 1


def test_only_its_owner_reads_it(tmp_path: Path, leadline: Any) -> None:
    """Ledgers and what is drawn from them tell what was declared."""
    pytest.importorskip("pyarrow")
    with Ledger.open(tmp_path / "cargo.ledger") as opened:
        opened.append([event(1)])
        (tmp_path / "out.csv").touch(0o644)
        for name in ("out.csv", "out.parquet"):
            export(opened, tmp_path / name)
        run = leadline("compare-ledgers", tmp_path / "cargo.ledger", tmp_path / "cargo.ledger", "--html",
                       tmp_path / "page.html")  # fmt: skip
        assert run.returncode == 0, run.stderr
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes) >= {"cargo.ledger", "cargo.ledger-wal", "cargo.ledger-shm", "out.csv", "out.parquet", "page.html"}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize(
    "name", ["q?x.ledger", "p%41.ledger", ":memory:", "file:z?mode=memory", "a#b;c", os.fsdecode(b"\xff.ledger")]
)
def test_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with Ledger.open(name) as opened:
        opened.append([event(1)])
    with Ledger.open(name, create=False) as opened:
        assert opened.head()[0] == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "place",
    [
        "postgresql://u:X9y@h/d",
        "postgresql://u:X@9y@h/d",
        "postgresql://h/d?user=u&password=X9y",
        "postgresql://h/d?user=u&p%61ssword=X9y&sslpassword=X9y",
        "postgresql://h/d?password=X9y&user=u@realm",
        "postgresql://u:X9y@h/d?password=X9y",
        "postgresql://u:pw/X9y@h/d",
        "postgresql//u:X9y@h",
        "postgresql:/u:X9y@h",
        "postgresql:u:X9y@h",
        "postgres:u:X9y@h",
        "Postgresql+psycopg:u:X9y@h",
        "postgressql://u:X9y@h/d",
        "postgresql/u:X9y@h/d",
        "mysql://u:X9y@h/d",
    ],
)
def test_a_password_is_never_shown(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown(place)
    assert "9y" not in said
    assert re.match(r"\w+", said)
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(main, ["ledger", "verify", place])
    assert run.exit_code in (2, 4), run.exception
    assert "9y" not in run.output
    if not re.match("postgres(ql)?://", place):
        assert run.exit_code == 2
        assert "PGPASSWORD" in run.output
        with pytest.raises(LedgerError):
            url_of(place)
    assert not list(tmp_path.iterdir())


def test_ordinary_names_are_shown_as_they_are() -> None:
    for place in ("cargo.ledger", "/a/b@c/cargo.ledger", "postgres/cargo.ledger", "a:b"):
        assert shown(place) == place
        assert url_of(place)[1] == Path(place)
    whole = "postgresql://u@h:5432/d?options=-csearch_path%3Ds1"
    assert shown(whole) == whole


def test_a_server_that_vanishes_is_noticed(postgresql: Any) -> None:
    """Its machine loses power: no packet says so. Hours pass until the system's own settings tell."""
    with Ledger.open(postgresql.place()) as opened, opened.engine.connect() as connection:
        descriptor = connection.connection.driver_connection.fileno()  # type: ignore[union-attr]
        with socket.socket(fileno=os.dup(descriptor)) as line:
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
