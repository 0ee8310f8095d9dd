"""What a row says, how it is written as text, and how the rows are chained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GENESIS = "0" * 64
"""What stands for the hash before the first row."""

CHAINED = ("seq", "at", "kind", "subject", "model", "who", "key", "body", "context")
"""Columns that a row's hash covers besides the previous hash; `body` and `context` as the text that is stored."""

LONGEST_WHO, LONGEST_KIND = 200, 40
"""Characters."""


@dataclass(frozen=True)
class Event:
    """Something to record.

    Attributes:
        kind: what it is, such as `"verdict"` or `"decision"`; lower-case letters, digits, `_` and `-`.
        body: the matter itself, of JSON types; equal matters give equal bytes.
        subject: SHA-256 of the scan it is about, empty if it is about none.
        model: SHA-256 of the model it is about, empty if it is about none.
        who: the person or program that did it.
        key: 64 hexadecimal digits from `key_of`: of equal keys only the first is recorded. `None`: always recorded.
        context: how it came about (duration, versions, host), of JSON types; chained, but no part of the matter.
    """

    kind: str
    body: Mapping[str, Any]
    subject: str = ""
    model: str = ""
    who: str = ""
    key: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (0 < len(self.kind) <= LONGEST_KIND) or not self.kind.replace("_", "a").replace("-", "a").isalnum():
            raise ValueError(f"kind {self.kind!r}: 1 to {LONGEST_KIND} letters, digits, _ and - are wanted")
        for name in ("subject", "model"):
            if getattr(self, name) and not _is_hash(getattr(self, name)):
                raise ValueError(f"{name} {getattr(self, name)!r} is no SHA-256 in hexadecimal")
        if self.key is not None and not _is_hash(self.key):
            raise ValueError(f"key {self.key!r} is no SHA-256 in hexadecimal; make it with key_of")


@dataclass(frozen=True)
class Row:
    """One recorded event.

    Attributes:
        seq: its number, from 1, without gaps; it alone gives the order, for clocks jump.
        at: when it was recorded by the writer's clock, UTC, `2026-11-05T09:30:00.123456Z`.
        kind, subject, model, who, key: as in `Event`.
        body, context: as in `Event`.
        previous: hash of the row before, `GENESIS` for the first.
        hash: of `previous` and all of the above.
    """

    seq: int
    at: str
    kind: str
    subject: str
    model: str
    who: str
    key: str | None
    body: dict[str, Any]
    context: dict[str, Any]
    previous: str
    hash: str


def canonical(value: Any) -> str:
    """JSON in one form only: keys sorted, no spaces, ASCII; equal values give equal text.

    ASCII, so that a file name in any encoding (a lone surrogate, in Python) survives any database.

    Raises:
        ValueError: NaN or infinity, which JSON lacks.
        TypeError: not of JSON types.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def key_of(*parts: Any) -> str:
    """The key of what must be recorded once: SHA-256 of its parts (JSON types), 64 hexadecimal digits."""
    return hashlib.sha256(canonical(parts).encode("ascii")).hexdigest()


def chain(previous: str, fields: Mapping[str, Any]) -> str:
    """The hash of a row: SHA-256 of the previous row's and the canonical JSON of all its other columns."""
    return hashlib.sha256(f"{previous}\n{canonical(fields)}".encode("ascii")).hexdigest()


def plain(text: str, longest: int) -> str:
    """Text that every database takes: no lone surrogates, no control characters, not too long."""
    shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else "?" for c in shown)[:longest]


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)
