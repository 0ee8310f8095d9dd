"""Ledgers in SQLite and in a PostgreSQL server that the tests start."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leadline.inference.ledger import Ledger


class PostgreSQL:
    """A real server in a folder of its own, on a port of its own, that can be stopped and started again."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder = binaries, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        folder.mkdir()
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if self.user:
            shutil.chown(folder, "postgres", "postgres")
        self.run("initdb", "-D", folder / "data", "-U", "leadline", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()
        self.count = 0
        self.run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "leadline", "cargo")

    def run(self, program: str, *arguments: object) -> None:
        with (self.folder.parent / "log").open("a") as log:
            subprocess.run(
                [*self.user, self.binaries / program, *map(str, arguments)], check=True, cwd="/", stdout=log, stderr=log
            )

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "server.log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", self.folder / "data", "-m", mode, "stop")

    def signal(self, number: int) -> None:
        """Send a signal to all its processes, such as SIGSTOP: it takes connections and says nothing any more."""
        first = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(first, number)
        for pid in Path(f"/proc/{first}/task/{first}/children").read_text().split():
            os.kill(int(pid), number)

    def place(self) -> str:
        """URL of an empty schema: as good as a database of its own, and quicker made."""
        self.count += 1
        login = ["-h", "127.0.0.1", "-p", self.port, "-U", "leadline", "-q", "-d", "cargo"]
        self.run("psql", *login, "-c", f"CREATE SCHEMA s{self.count}")
        return f"postgresql://leadline@127.0.0.1:{self.port}/cargo?options=-csearch_path%3Ds{self.count}"


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A running server; the test is skipped where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) or list(filter(None, [shutil.which("pg_ctl")]))
    if not found:
        pytest.skip("needs PostgreSQL's initdb and pg_ctl")
    pytest.importorskip("psycopg")
    # The server's user must be able to enter, which pytest's own folders do not let it.
    base = Path(tempfile.mkdtemp(prefix="leadline-pg-"))
    base.chmod(0o755)
    try:
        server = PostgreSQL(Path(found[-1]).parent, base / "server")
        yield server
        server.stop()
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty ledger may be made, on both kinds of database."""
    if request.param == "sqlite":
        return str(tmp_path / "cargo.ledger")
    return request.getfixturevalue("postgresql").place()


@pytest.fixture
def make_ledger(place: str) -> Iterator[Callable[[], Ledger]]:
    """Opens the ledger at `place`; all are closed in the end."""
    opened: list[Ledger] = []

    def make() -> Ledger:
        opened.append(Ledger.open(place))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def leadline() -> Command:
    """Run the real command in a process of its own."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", "from leadline.inference.cli import main; main(prog_name='leadline')"]
        settings: dict = {"capture_output": True, "text": True, "env": os.environ | {"COLUMNS": "100"}} | options
        return subprocess.run([*program, *map(str, arguments)], **settings)

    return run
