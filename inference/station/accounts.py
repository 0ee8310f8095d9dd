"""Who may come in: users with argon2 passwords, sessions that expire, tokens for machines, lock-out."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from leadline.datasets.scan import LeadlineError
from leadline.inference.station.errors import ApiError
from leadline.inference.station.store import Store

Role = Literal["machine", "operator", "supervisor", "admin"]
ROLES: tuple[Role, ...] = ("machine", "operator", "supervisor", "admin")
"""Each may do what those before it may."""

IDLE_S, LONGEST_S = 30 * 60, 12 * 3600
"""A session ends after so long without use, and after so long in any case."""

MOST_FAILURES, LOCKED_S = 5, 15 * 60
"""So many wrong passwords lock an account for so long."""

LEAST_PASSWORD, LONGEST_PASSWORD = 10, 200
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class Person:
    """Somebody who has come in.

    Attributes:
        name: of the account; `"local"` where no login is needed.
        role: what they may do.
        csrf: what a page must repeat with every change; empty where the request carries no cookie.
    """

    name: str
    role: Role
    csrf: str = ""

    def may(self, role: Role) -> bool:
        """Whether this person has a role or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)


LOCAL = Person("local", "admin")
"""Whoever sits at the machine itself, where no login is needed."""


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()  # argon2id with the second recommended parameters of RFC 9106


class Accounts:
    """The users of a station.

    Args:
        store: the station's database.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, name: str, role: str, password: str | None) -> None:
        """Add a user; machines have no password, they come with a token.

        Raises:
            LeadlineError: the name is taken or none, or the password too short.
        """
        if not NAME.fullmatch(name):
            raise LeadlineError(f"user {name[:50]!r}: is no user name; take up to 40 letters, digits, '.', '_', '-'")
        if role not in ROLES:
            raise LeadlineError(f"role {role!r}: is none; choose one of {', '.join(ROLES)}")
        hashed = None if role == "machine" and not password else self._hashed(password or "")
        with self.store.writing() as db:
            if db.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone():
                raise LeadlineError(f"user {name}: is there already; choose another name, or set a new password")
            db.execute(
                "INSERT INTO users (name, role, password, created) VALUES (?, ?, ?, ?)",
                (name, role, hashed, time.time()),
            )

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password, unlock the account and end its sessions.

        Raises:
            LeadlineError: there is no such user, or the password is too short.
        """
        hashed = self._hashed(password)
        with self.store.writing() as db:
            changed = db.execute(
                "UPDATE users SET password = ?, failures = 0, locked_until = 0 WHERE name = ?", (hashed, name)
            ).rowcount
            db.execute("DELETE FROM sessions WHERE user = ?", (name,))
        if not changed:
            raise LeadlineError(f"user {name[:50]}: is not there; `leadline user list` shows who is")

    def remove(self, name: str) -> None:
        """Remove a user with all sessions and tokens.

        Raises:
            LeadlineError: there is no such user.
        """
        with self.store.writing() as db:
            gone = db.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount
            db.execute("DELETE FROM sessions WHERE user = ?", (name,))
            db.execute("DELETE FROM tokens WHERE user = ?", (name,))
        if not gone:
            raise LeadlineError(f"user {name[:50]}: is not there; `leadline user list` shows who is")

    def all(self) -> list[dict[str, object]]:
        """Name, role, whether locked, of every user."""
        now = time.time()
        rows = self.store.all("SELECT name, role, created, locked_until FROM users ORDER BY name")
        return [{"name": r["name"], "role": r["role"], "locked": r["locked_until"] > now} for r in rows]

    def any(self) -> bool:
        """Whether there is a user at all."""
        return self.store.one("SELECT 1 FROM users LIMIT 1") is not None

    def log_in(self, name: str, password: str) -> tuple[str, Person]:
        """A new session.

        Returns:
            The session's secret, for the cookie, and who it is.

        Raises:
            ApiError: 401 wrong name or password, 429 locked.
        """
        row = self.store.one("SELECT * FROM users WHERE name = ?", (name[:100],))
        now = time.time()
        if row is not None and row["locked_until"] > now:
            minutes = int((row["locked_until"] - now) / 60) + 1
            raise ApiError(
                429, "locked_out", f"too many wrong passwords: the account is locked for {minutes} minutes",
                "wait, or ask an administrator for a new password", {"Retry-After": str(60 * minutes)},
            )  # fmt: skip
        stored = row["password"] if row is not None and row["password"] else _nobody()
        right = _matches(stored, password[: LONGEST_PASSWORD + 1])
        if row is None or not row["password"] or not right:
            if row is not None:
                with self.store.writing() as db:
                    db.execute("UPDATE users SET failures = failures + 1 WHERE name = ?", (name,))
                    db.execute(
                        "UPDATE users SET failures = 0, locked_until = ? WHERE name = ? AND failures >= ?",
                        (now + LOCKED_S, name, MOST_FAILURES),
                    )
            raise ApiError(401, "wrong_password", "the name or the password is wrong", "try again")
        secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        with self.store.writing() as db:
            db.execute("UPDATE users SET failures = 0, locked_until = 0 WHERE name = ?", (name,))
            db.execute("DELETE FROM sessions WHERE used < ? OR created < ?", (now - IDLE_S, now - LONGEST_S))
            db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", (_digest(secret), name, csrf, now, now))
            if _hasher().check_needs_rehash(stored):
                db.execute("UPDATE users SET password = ? WHERE name = ?", (_hasher().hash(password), name))
        return secret, Person(name, row["role"], csrf)

    def log_out(self, secret: str) -> None:
        """End a session."""
        with self.store.writing() as db:
            db.execute("DELETE FROM sessions WHERE token = ?", (_digest(secret),))

    def by_session(self, secret: str, counts: bool = True) -> Person | None:
        """Whose session a cookie names; `None` if it ended. `counts`: whether this is use that keeps it open."""
        now = time.time()
        row = self.store.one(
            "SELECT s.*, u.role FROM sessions s JOIN users u ON u.name = s.user WHERE s.token = ?", (_digest(secret),)
        )
        if row is None or row["used"] < now - IDLE_S or row["created"] < now - LONGEST_S:
            return None
        if counts and row["used"] < now - 30:  # not a write to the disk with every request
            with self.store.writing() as db:
                db.execute("UPDATE sessions SET used = ? WHERE token = ?", (now, row["token"]))
        return Person(row["user"], row["role"], row["csrf"])

    def new_token(self, name: str, label: str = "") -> str:
        """A secret with which a machine comes in; it is shown once and only its hash is kept.

        Raises:
            LeadlineError: there is no such user.
        """
        if self.store.one("SELECT 1 FROM users WHERE name = ?", (name,)) is None:
            raise LeadlineError(f"user {name[:50]}: is not there; add it first, with --role machine for a machine")
        token = "ll_" + secrets.token_urlsafe(32)
        with self.store.writing() as db:
            db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?)", (_digest(token), name, label[:100], time.time()))
        return token

    def by_token(self, token: str) -> Person | None:
        """Whose token it is; `None` if nobody's."""
        row = self.store.one(
            "SELECT u.name, u.role FROM tokens t JOIN users u ON u.name = t.user WHERE t.token = ?", (_digest(token),)
        )
        return None if row is None else Person(row["name"], row["role"])

    def _hashed(self, password: str) -> str:
        if not LEAST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            raise LeadlineError(
                f"password: must have {LEAST_PASSWORD} to {LONGEST_PASSWORD} characters; a few words make a good one"
            )
        return _hasher().hash(password)


_HASHING = threading.BoundedSemaphore(2)  # each hash takes 64 MiB: a flood of logins must not take them all


def _matches(stored: str, password: str) -> bool:
    try:
        with _HASHING:
            return _hasher().verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    """A hash that no password gives: an unknown name takes as long as a known one."""
    return _hasher().hash(secrets.token_urlsafe(32))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
