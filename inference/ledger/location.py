"""Where a ledger lies: a file on a local disk, or a PostgreSQL database by URL."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

import sqlalchemy as sa

from leadline.datasets.scan import LeadlineError

NETWORK_FILE_SYSTEMS = frozenset(
    "9p afs beegfs ceph cifs coda davfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs prl_fs smb3 smbfs "
    "vboxsf vmhgfs".split()
)
"""File systems of /proc/self/mountinfo on which SQLite's write-ahead log corrupts: it needs shared memory."""

NETWORK_FUSE = ("sshfs", "s3fs", "rclone", "glusterfs", "gcsfuse", "blobfuse", "davfs", "smb", "nfs", "ceph", "goofys")
"""The same behind FUSE, whose type reads `fuse.sshfs`."""


POSTGRESQL = "give postgresql://user@host/database, and the password in PGPASSWORD or ~/.pgpass"
"""How such a ledger is named. A password in the URL could be read in the table of processes and the shell's history."""

MISTYPED = re.compile(r"postgres\w*(\+\w+)?(:|//)|postgres.*@", re.IGNORECASE)
"""What was meant as a URL and lacks its `://`. As a path it would make a file whose name holds the password."""


class LedgerError(LeadlineError):
    """A ledger that cannot be opened, read or written: says which, why, and what to do.

    Attributes:
        transient: whether waiting may help (the database is gone, another writer is slow).
    """

    def __init__(self, ledger: str, reason: str, remedy: str, transient: bool = False) -> None:
        self.transient = transient
        super().__init__(f"{ledger}: {reason}; {remedy}")


class LedgerDamaged(LedgerError):
    """A ledger that is there, but not as leadline left it."""


def url_of(place: str | Path) -> tuple[sa.URL | str, Path | None]:
    """SQLAlchemy's URL of a ledger, and its file if it is one.

    Args:
        place: a path, or `postgresql://user@host:port/database`.

    Raises:
        LedgerError: a URL of another kind, or one that is mistyped.
    """
    text = str(place)
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() == "sqlite":
        return url_of(Path(rest.removeprefix("/")))
    if separator and scheme.lower() in ("postgresql", "postgres", "postgresql+psycopg"):
        if rest.partition("?")[0].count("@") > 1:  # part of the password would be taken for the host's name
            raise LedgerError(shown(text), "is no usable URL: @ within a password is written %40", POSTGRESQL)
        return f"postgresql+psycopg://{rest}", None
    if separator and not isinstance(place, Path):
        raise LedgerError(shown(text), f"{scheme} is no kind of ledger", f"give a file, or {POSTGRESQL}")
    if not isinstance(place, Path) and MISTYPED.match(text):
        raise LedgerError(shown(text), "is neither a file nor a URL", POSTGRESQL)
    # Not as text: of that `?`, `%41`, `:memory:` and `file:` would be read as parts of a URL.
    return sa.URL.create("sqlite", database=os.path.abspath(text)), Path(text)


def shown(place: str | Path) -> str:
    """A ledger's name for messages, without a password, even if it is mistyped."""
    text = str(place)
    begin = re.match(r"[\w+]+:/*|postgres\w*/*", text)
    if isinstance(place, Path) or not begin or not ("://" in text or MISTYPED.match(text)):
        return text
    user, at, host = text[begin.end() :].rpartition("@")
    if at and "?" not in user:
        user = user.partition(":")[0]
    base, mark, query = (user + at + host).partition("?")
    told = [
        f"{name}=***" if "pass" in unquote(name).lower() else name + equals + value
        for name, equals, value in (part.partition("=") for part in query.split("&"))
    ]
    return begin[0] + base + mark + "&".join(told)


def private(path: str | os.PathLike[str], flags: int) -> int:
    """For `open(..., opener=private)`: what is made so only its owner may read, for it tells what was declared."""
    return os.open(path, flags, 0o600)


def check_local(path: Path, mounts: str | None = None) -> None:
    """Refuse a place where SQLite cannot keep a ledger safe.

    Args:
        path: the ledger's file, which need not exist.
        mounts: text of `/proc/self/mountinfo`; read where it is left out.

    Raises:
        LedgerError: the folder does not exist, the path is a folder, or it lies on a network file system.
    """
    if path.is_dir():
        raise LedgerError(str(path), "is a folder", "name a file in it, such as cargo.ledger")
    if not path.absolute().parent.is_dir():
        raise LedgerError(str(path), f"there is no folder {path.absolute().parent}", "make it, or choose another")
    kind = file_system(path, mounts)
    if kind in NETWORK_FILE_SYSTEMS or (kind.startswith("fuse.") and any(n in kind for n in NETWORK_FUSE)):
        raise LedgerError(
            str(path),
            f"lies on a network file system ({kind}), where SQLite loses data",
            "choose a folder on a local disk, or a PostgreSQL database by URL",
        )


def file_system(path: Path, mounts: str | None = None) -> str:
    """Type of the file system that holds a path, empty where the system does not tell (only Linux does)."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
        except OSError:
            return ""
    real = Path(os.path.realpath(path))
    best, kind = -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        if len(left.split()) < 5 or not right:
            continue
        point = left.split()[4]
        for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
            point = point.replace(code, character)
        # Of mounts on one point the last hides the others.
        if real.is_relative_to(point) and len(Path(point).parts) >= best:
            best, kind = len(Path(point).parts), right.split()[0]
    return kind
