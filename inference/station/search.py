"""Finding scans again: by words, verdict, date, and by what the network sees in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.inference.station.store import SUMMARY, Store


@dataclass(frozen=True)
class Query:
    """What is searched for; what is empty does not count.

    Attributes:
        text: part of a container number, file name, HS code or declared goods.
        verdict: of the system.
        decision: of a person.
        open_only: only scans that nobody has decided.
        since, until: arrival, seconds since 1970.
        offset, limit: which part of the answer.
    """

    text: str = ""
    verdict: str | None = None
    decision: str | None = None
    open_only: bool = False
    since: float | None = None
    until: float | None = None
    offset: int = 0
    limit: int = 100


def search(store: Store, query: Query) -> tuple[list[dict[str, Any]], int]:
    """Summaries of the scans, newest first, and how many there are in all."""
    wheres, values = ["1"], []
    for word in query.text.encode("utf-8", "replace").decode("utf-8").split():
        pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        columns = ("container", "name", "hs_code", "description", "id", "sha256")
        wheres.append("(" + " OR ".join(f"{c} LIKE ? ESCAPE '\\'" for c in columns) + ")")
        values += [pattern] * len(columns)
    for column, value in (("verdict", query.verdict), ("decision", query.decision)):
        if value is not None:
            wheres.append(f"{column} = ?")
            values.append(value)
    if query.open_only:
        wheres.append("decision IS NULL")
    if query.since is not None:
        wheres.append("arrived >= ?")
        values.append(query.since)  # type: ignore[arg-type]
    if query.until is not None:
        wheres.append("arrived <= ?")
        values.append(query.until)  # type: ignore[arg-type]
    where = " AND ".join(wheres)
    total = store.one(f"SELECT count(*) n FROM scans WHERE {where}", values)
    rows = store.all(
        f"SELECT {SUMMARY} FROM scans WHERE {where} ORDER BY arrived DESC, id LIMIT ? OFFSET ?",
        [*values, query.limit, query.offset],
    )
    return [dict(row) for row in rows], int(total["n"]) if total else 0


MOST_COMPARED = 200_000
"""Newest scans that are compared; 200,000 embeddings of 128 numbers are 100 MB and take 0.1 s."""


def similar(
    store: Store, scan: str, embedding: npt.NDArray[np.float32], model: str, limit: int
) -> list[tuple[str, float]]:
    """Scans of the same model whose embeddings lie nearest (cosine distance, 0..2), nearest first."""
    rows = store.all(
        "SELECT id, embedding FROM scans WHERE model = ? AND id <> ? AND embedding IS NOT NULL "
        "ORDER BY arrived DESC LIMIT ?",
        (model, scan, MOST_COMPARED),
    )
    rows = [row for row in rows if len(row["embedding"]) == embedding.nbytes]
    if not rows:
        return []
    others = np.frombuffer(b"".join(row["embedding"] for row in rows), "<f4").reshape(len(rows), -1)
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(embedding)
    distance = 1 - others @ embedding / np.maximum(lengths, 1e-12)
    nearest = np.argsort(distance, kind="stable")[:limit]
    return [(rows[i]["id"], max(0.0, float(distance[i]))) for i in nearest]
