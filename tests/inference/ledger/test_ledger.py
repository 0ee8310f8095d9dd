"""The ledger on real databases: recording once, the chain, tampering, writers at once, faults."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from leadline.datasets.scan import LeadlineError
from leadline.inference.ledger import Event, Ledger, LedgerError, Seen, canonical, key_of, verify
from leadline.inference.ledger.events import GENESIS
from leadline.inference.ledger.export import export
from leadline.inference.ledger.location import check_local, file_system, shown

Make = Callable[[], Ledger]
SCAN, OTHER = "a" * 64, "b" * 64


def event(number: int, **values: Any) -> Event:
    return Event(**{"kind": "verdict", "body": {"n": number}, "subject": SCAN, "key": key_of(number), **values})


class TestRecording:
    def test_what_goes_in_comes_out(self, make_ledger: Make) -> None:
        ledger = make_ledger()
        body = {"path": "货物\udcff.tif", "score": 0.25, "list": [1, None, "\0"]}
        given = Event("decision", body, SCAN, OTHER, "操作员 7", None, {"ms": 1.5})
        assert ledger.append([given]) == [1]
        (row,) = ledger.rows()
        assert (row.seq, row.kind, row.subject, row.model, row.who, row.key) == (
            1,
            "decision",
            SCAN,
            OTHER,
            "操作员 7",
            None,
        )
        assert row.body == body
        assert row.context == {"ms": 1.5}
        assert row.previous == GENESIS
        assert ledger.head() == (1, row.hash)

    def test_the_hash_is_that_of_the_documentation(self, make_ledger: Make) -> None:
        ledger = make_ledger()
        ledger.append([event(0), event(1)])
        first, second = ledger.rows()
        fields = {"seq": 2, "at": second.at, "kind": "verdict", "subject": SCAN, "model": "", "who": ""}
        fields |= {"key": key_of(1), "body": '{"n":1}', "context": "{}"}
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        assert second.hash == hashlib.sha256(f"{first.hash}\n{text}".encode()).hexdigest()

    def test_a_key_is_recorded_once(self, make_ledger: Make) -> None:
        ledger = make_ledger()
        assert ledger.append([event(1), event(2), event(1)]) == [1, 2, None]
        assert ledger.append([event(2), event(3), event(4, key=None), event(4, key=None)]) == [None, 3, 4, 5]
        assert ledger.has([key_of(1), key_of(9)]) == {key_of(1)}

    def test_rows_are_chosen_and_paged(self, make_ledger: Make) -> None:
        ledger = make_ledger()
        ledger.append([event(n, subject=OTHER if n % 3 else SCAN, kind="x" if n % 2 else "y") for n in range(1300)])
        assert [r.seq for r in ledger.rows()] == list(range(1, 1301))
        assert [r.body["n"] for r in ledger.rows(newest_first=True)] == list(range(1299, -1, -1))
        assert [r.body["n"] for r in ledger.rows(subject=SCAN, kinds=["x"])] == list(range(3, 1300, 6))
        assert [r.seq for r in ledger.rows(after=1290, limit=3)] == [1291, 1292, 1293]
        assert len(list(ledger.rows(limit=501))) == 501

    def test_all_or_nothing(self, make_ledger: Make) -> None:
        ledger = make_ledger()
        with pytest.raises(ValueError):
            ledger.append([event(1), event(2, body={"x": float("nan")})])
        assert ledger.head() == (0, GENESIS)

    def test_seen_files(self, make_ledger: Make) -> None:
        ledger = make_ledger()
        seen = [Seen(SCAN, OTHER, "10 bytes", "done", key_of(1)), Seen(OTHER, OTHER, "1", "failed", key_of(2))]
        ledger.append([event(1), event(2)], seen)
        ledger.append([event(3)], [Seen(SCAN, OTHER, "11 bytes", "failed", key_of(3))])
        assert ledger.seen(OTHER, [SCAN, OTHER, "c" * 64]) == {SCAN: ("11 bytes", "failed"), OTHER: ("1", "failed")}
        assert ledger.seen(SCAN, [SCAN]) == {}

    @pytest.mark.parametrize("wrong", [{"kind": ""}, {"kind": "a b"}, {"subject": "xyz"}, {"key": "k"}])
    def test_wrong_events(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            event(1, **wrong)

    def test_a_clock_that_jumps(self, make_ledger: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        from leadline.inference.ledger import store

        ledger = make_ledger()
        for number, now in enumerate(
            ["2026-11-05T10:00:00.000000Z", "1970-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"]
        ):
            monkeypatch.setattr(store, "_now", lambda now=now: now)
            ledger.append([event(number)])
        assert [r.body["n"] for r in ledger.rows()] == [0, 1, 2]
        assert verify(ledger).intact


class TestTampering:
    """Each way to forge, done to the database behind the ledger's back."""

    @pytest.fixture
    def ledger(self, make_ledger: Make) -> Ledger:
        ledger = make_ledger()
        ledger.append([event(n) for n in range(10)])
        assert verify(ledger).intact
        return ledger

    @staticmethod
    def forge(ledger: Ledger, *statements: str) -> None:
        if ledger.engine.dialect.name == "sqlite":
            off = [f"DROP TRIGGER leadline_no_{verb}" for verb in ("update", "delete")]
        else:
            off = ["ALTER TABLE leadline_ledger DISABLE TRIGGER ALL"]
        with ledger.engine.connect() as connection, connection.begin():
            for statement in (*off, *statements):
                connection.exec_driver_sql(statement)

    @pytest.mark.parametrize(
        ("statement", "said"),
        [
            ("UPDATE leadline_ledger SET body = '{\"n\":77}' WHERE seq = 4", "4: was altered"),
            ("UPDATE leadline_ledger SET at = '1999-01-01T00:00:00.000000Z' WHERE seq = 10", "10: was altered"),
            ("UPDATE leadline_ledger SET who = 'someone' WHERE seq = 1", "1: was altered"),
            ("UPDATE leadline_ledger SET context = '{\"a\":1}' WHERE seq = 5", "5: was altered"),
            ("DELETE FROM leadline_ledger WHERE seq = 1", "2: row 1 removed"),
            ("DELETE FROM leadline_ledger WHERE seq IN (5, 6)", "7: rows 5 to 6 removed"),
            ("DELETE FROM leadline_ledger WHERE seq > 8", "10: rows 9 to 10 removed at the end"),
            ("DELETE FROM leadline_ledger", "10: rows 1 to 10 removed at the end"),
            ("UPDATE leadline_head SET seq = 9", "9: is not the row"),
        ],
    )
    def test_is_found(self, ledger: Ledger, statement: str, said: str) -> None:
        self.forge(ledger, statement)
        found = verify(ledger)
        assert not found.intact
        assert f"{found.problems[0].seq}: {found.problems[0].what}".startswith(said)

    def test_a_row_put_in_is_found(self, ledger: Ledger) -> None:
        columns = "at, kind, subject, model, who, key, body, context, previous, hash"
        copied = columns.replace("key,", "NULL,")
        with ledger.engine.connect() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO leadline_ledger (seq, {columns}) SELECT 11, {copied} FROM leadline_ledger WHERE seq = 3"
            )
            connection.commit()
        assert 11 in {p.seq for p in verify(ledger).problems}

    def test_rows_that_changed_places_are_found(self, ledger: Ledger) -> None:
        self.forge(
            ledger, *(f"UPDATE leadline_ledger SET seq = {b} WHERE seq = {a}" for a, b in [(3, 99), (4, 3), (99, 4)])
        )
        assert {p.seq for p in verify(ledger).problems} >= {3, 4}

    def test_a_chain_written_anew_does_not_hold_the_noted_head(self, ledger: Ledger, tmp_path: Path) -> None:
        noted = ledger.head()[1]
        ledger.append([event(20)])
        assert verify(ledger, noted).intact
        with Ledger.open(tmp_path / "forged") as forged:
            forged.append([event(n, body={"n": -n}) for n in range(10)])
            assert verify(forged).intact
            assert "noted head" in verify(forged, noted).problems[0].what

    def test_the_database_itself_refuses(self, ledger: Ledger) -> None:
        for statement in ("UPDATE leadline_ledger SET who = 'x'", "DELETE FROM leadline_ledger"):
            with pytest.raises(sa.exc.DBAPIError, match="append-only"), ledger.engine.connect() as connection:
                connection.exec_driver_sql(statement)


APPENDER = """
import sys; from leadline.inference.ledger import *
ledger, start = Ledger.open(sys.argv[1]), int(sys.argv[2])
for n in range(start, start + 40):
    ledger.append([
        Event("x", {"n": n}, key=key_of(n)), Event("x", {"n": n + 1}, key=key_of(n + 1)), Event("x", {"from": start})
    ])
"""


class TestWritersAtOnce:
    def test_processes(self, place: str) -> None:
        """They also race to make the ledger."""
        writers = [subprocess.Popen([sys.executable, "-c", APPENDER, place, start]) for start in ("0", "20", "20")]
        assert [writer.wait() for writer in writers] == [0, 0, 0]
        with Ledger.open(place, create=False) as ledger:
            assert verify(ledger).intact
            rows = list(ledger.rows())
        assert sorted(r.body["n"] for r in rows if r.key) == list(range(61))
        assert sum(r.key is None for r in rows) == 120

    def test_threads_share_one_ledger(self, make_ledger: Make) -> None:
        ledger = make_ledger()
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda n: ledger.append([event(n // 2)]), range(80)))
        assert verify(ledger).intact
        assert ledger.head()[0] == 40

    def test_killed_while_writing(self, place: str) -> None:
        """SIGKILL at arbitrary moments leaves whole batches only."""
        code = (
            "import sys; from leadline.inference.ledger import *\n"
            "ledger = Ledger.open(sys.argv[1]); print('up', flush=True)\n"
            "for n in range(10**6): ledger.append([Event('x', {'n': n, 'half': h}) for h in (0, 1)])"
        )
        for delay in (0.05, 0.11, 0.23):
            with subprocess.Popen([sys.executable, "-c", code, place], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(delay)
                os.kill(process.pid, signal.SIGKILL)
            with Ledger.open(place, create=False) as ledger:
                found = verify(ledger)
                assert found.intact, found.problems
                assert found.rows % 2 == 0
        assert found.rows > 0


class TestFaults:
    def test_postgresql_gone_and_back(self, postgresql: Any) -> None:
        with Ledger.open(postgresql.place()) as ledger:
            ledger.append([event(1)])
            postgresql.stop()
            try:
                with pytest.raises(LedgerError, match="does not answer") as caught:
                    ledger.append([event(2)])
                assert caught.value.transient
            finally:
                postgresql.start()
            assert ledger.append([event(1), event(2)]) == [None, 2]
            assert verify(ledger).intact

    def test_disk_full(self, tmp_path: Path) -> None:
        """SQLite's own limit of pages gives the very error of a full disk; a real one is among the re-scoring tests."""
        with Ledger.open(tmp_path / "cargo.ledger") as ledger:
            ledger.append([event(1)])

            @sa.event.listens_for(ledger.engine, "begin")
            def _limit(connection: sa.Connection) -> None:
                connection.exec_driver_sql("PRAGMA max_page_count=30")

            with pytest.raises(LedgerError, match="no room is left") as caught:
                ledger.append([event(n, body={"n": n, "long": "x" * 5000}) for n in range(2, 1000)])
            assert not caught.value.transient
            assert verify(ledger).intact

    def test_a_network_file_system_is_refused(self, tmp_path: Path) -> None:
        line = "36 25 0:31 / {} rw,relatime shared:1 - {} server:/export rw"
        for kind in ("nfs4", "cifs", "fuse.sshfs", "9p"):
            mounts = "\n".join(["22 1 8:1 / / rw - ext4 /dev/sda1 rw", line.format(tmp_path, kind)])
            with pytest.raises(LedgerError, match=f"network file system \\({kind}\\)"):
                check_local(tmp_path / "cargo.ledger", mounts)
        check_local(tmp_path / "cargo.ledger", line.format(f"{tmp_path}/deeper", "nfs4"))
        check_local(tmp_path / "cargo.ledger")  # the real table of mounts
        assert file_system(Path("/proc/self")) == "proc"
        assert file_system(Path("/a b/c"), line.format("/a\\040b", "nfs")) == "nfs"

    def test_what_is_no_ledger(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("no database " * 100)
        sqlite3.connect(tmp_path / "other").execute("CREATE TABLE t (x)").connection.close()
        for name, said in [("text", "no ledger"), ("other", "no ledger"), ("absent", "does not exist"), ("", "folder")]:
            with pytest.raises(LedgerError, match=said):
                Ledger.open(tmp_path / name, create=False)
        with pytest.raises(LedgerError, match="no folder"):
            Ledger.open(tmp_path / "no" / "ledger")
        with pytest.raises(LedgerError, match="mysql"):
            Ledger.open("mysql://host/db")
        with pytest.raises(LedgerError, match="does not answer"):
            Ledger.open("postgresql://nobody:secret@127.0.0.1:9/none")
        assert shown("postgresql://nobody:se@cret@host/none") == "postgresql://nobody@host/none"

    def test_a_ledger_of_another_version(self, make_ledger: Make, place: str) -> None:
        with make_ledger().engine.connect() as connection:
            connection.exec_driver_sql("UPDATE leadline_head SET format = 99")
            connection.commit()
        with pytest.raises(LedgerError, match="form 99"):
            Ledger.open(place)


class TestExport:
    def fill(self, ledger: Ledger) -> None:
        verdict = {
            "path": "货\udcff.tif",
            "verdict": "inspect",
            "score": 0.5,
            "threshold": 0.4,
            "reasons": ["a.", "b."],
        }
        verdict |= {"declared": {"hs_code": "3816", "description": "=cmd()"}, "scanner": {"kind": "parcel"}}
        ledger.append(
            [event(1, body=verdict, context={"elapsed_ms": 3}), event(2, body={"verdict": {"odd": 1}, "score": "x"})]
        )

    def test_csv(self, make_ledger: Make, tmp_path: Path) -> None:
        ledger = make_ledger()
        self.fill(ledger)
        assert export(ledger, tmp_path / "out.csv") == 2
        with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
            first, second = csv.DictReader(stream)
        assert first["path"] == "货\\udcff.tif"
        assert first["description"] == "'=cmd()"
        assert (first["score"], first["reasons"], first["elapsed_ms"]) == ("0.5", "a. b.", "3")
        assert second["score"] == ""
        assert first["hash"] == second["previous"]

    def test_parquet(self, make_ledger: Make, tmp_path: Path) -> None:
        pq = pytest.importorskip("pyarrow.parquet")
        ledger = make_ledger()
        self.fill(ledger)
        assert export(ledger, tmp_path / "out.parquet") == 2
        first, second = pq.read_table(tmp_path / "out.parquet").to_pylist()
        assert (first["seq"], first["score"], first["hs_code"]) == (1, 0.5, "3816")
        assert second["verdict"] == "{'odd': 1}"
        assert json.loads(first["body"])["path"] == "货\udcff.tif"

    @pytest.mark.parametrize(
        ("number", "told"), [(3, 3), ((1 << 60) + 1, 2.0**60), (10**400, None)], ids=["small", "large", "huge"]
    )
    def test_figures_of_any_size(self, number: int, told: float | None, make_ledger: Make, tmp_path: Path) -> None:
        """Whoever adds events may name something else a score."""
        pq = pytest.importorskip("pyarrow.parquet")
        ledger = make_ledger()
        ledger.append([event(1, body={"score": number})])
        for name in ("out.csv", "out.parquet"):
            assert export(ledger, tmp_path / name) == 1
        assert pq.read_table(tmp_path / "out.parquet").to_pylist()[0]["score"] == told

    def test_wrong_targets(self, make_ledger: Make, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for name, said in [
            ("out.xls", "neither"), ("no/out.csv", "cannot be written"), ("file/out.csv", "cannot be written"),
            (f"{250 * 'x'}.csv", "cannot be written"),
        ]:  # fmt: skip
            with pytest.raises(LeadlineError, match=said):
                export(make_ledger(), tmp_path / name)
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


class TestCommand:
    def test_verify_and_export(self, leadline: Any, tmp_path: Path) -> None:
        place = tmp_path / "cargo.ledger"
        with Ledger.open(place) as ledger:
            ledger.append([event(n) for n in range(3)])
            head = ledger.head()[1]
        run = leadline("ledger", "verify", place, "--head", head)
        assert (run.returncode, run.stdout) == (0, f"{place}: intact, 3 rows, head {head}\n")
        assert leadline("ledger", "export", place, tmp_path / "o.csv").returncode == 0
        with sqlite3.connect(place) as connection:
            connection.execute("DROP TRIGGER leadline_no_delete")
            connection.execute("DELETE FROM leadline_ledger WHERE seq = 2")
        run = leadline("ledger", "verify", place)
        assert run.returncode == 1
        assert "row 3: row 2 removed" in run.stdout
        run = leadline("ledger", "verify", tmp_path / "absent")
        assert run.returncode == 2
        assert "does not exist" in run.stderr
        assert "Traceback" not in run.stderr


INTERRUPTED = """
import os, signal, sys
import leadline.inference.ledger
module = sys.modules["leadline.inference.ledger.verify"]
real = module.chain
def chain(*values):
    os.kill(os.getpid(), signal.SIGINT)
    return real(*values)
module.chain = chain
"""


def test_ctrl_c_does_not_say_that_a_ledger_is_broken(leadline: Any, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED)
    with Ledger.open(tmp_path / "cargo.ledger") as ledger:
        ledger.append([event(1)])
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    run = leadline("ledger", "verify", tmp_path / "cargo.ledger", env=environment)
    assert (run.returncode, run.stdout) == (130, "")
    assert run.stderr.strip() == "leadline ledger: interrupted; run the same command again"


def test_canonical_form() -> None:
    assert canonical({"b": [1.0, "é"], "a": None}) == '{"a":null,"b":[1.0,"\\u00e9"]}'
    with pytest.raises(ValueError):
        canonical(float("inf"))
