"""What changed between two models: verdicts that flipped, counted by goods, scanner and month, the gravest first."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from leadline.datasets.scan import LeadlineError
from leadline.inference.ledger import Ledger, Row, canonical

WORDS = ("clear", "inspect", "rescan")
UNDECLARED = "not declared"


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Attributes:
        ledger: where its rows are.
        kind: `"verdict"` or `"shadow"`.
        model: SHA-256 of the model, or how it begins; `None` takes the verdicts of all models, the newest of each scan.
    """

    ledger: Ledger
    kind: str = "verdict"
    model: str | None = None

    def rows(self) -> Iterator[Row]:
        """Its rows, oldest first."""
        for row in self.ledger.rows(kinds=[self.kind]):
            if self.model is None or row.model.startswith(self.model):
                yield row


@dataclass(frozen=True)
class Flip:
    """A scan on which the two disagree.

    Attributes:
        sha256: of its content.
        path: where it was.
        goods: as declared.
        scanner: kind of scanner.
        month: when it was taken, `2026-11`, or empty.
        old, new: the verdicts.
        old_score, new_score: the scores.
        old_threshold, new_threshold: the thresholds.
        reasons: of the new verdict.
        regions: boxes of the new verdict, or else of the old.
        weight: how much it deserves a second look.
    """

    sha256: str
    path: str
    goods: str
    scanner: str
    month: str
    old: str
    new: str
    old_score: float | None
    new_score: float | None
    old_threshold: float | None
    new_threshold: float | None
    reasons: tuple[str, ...]
    regions: tuple[dict[str, Any], ...]
    weight: float

    def as_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {**vars(self), "reasons": list(self.reasons), "regions": list(self.regions)}


@dataclass
class Comparison:
    """What a comparison found.

    Attributes:
        both: scans that both have judged.
        only_old, only_new: scans that one alone has judged.
        flips: number by (old verdict, new verdict).
        by: for `"goods"`, `"scanner"` and `"month"`: for each value, scans of both and flips.
        first: those that most deserve a second look, the gravest first.
        models: hashes of the models of either side.
    """

    both: int = 0
    only_old: int = 0
    only_new: int = 0
    flips: Counter[tuple[str, str]] = field(default_factory=Counter)
    by: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    first: list[Flip] = field(default_factory=list)
    models: dict[str, list[str]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "both": self.both,
            "only_old": self.only_old,
            "only_new": self.only_new,
            "models": self.models,
            "flips": [{"old": o, "new": n, "count": c} for (o, n), c in self.flips.most_common()],
            "by": {d: {v: dict(c) for v, c in groups.items()} for d, groups in self.by.items()},
            "second_look": [flip.as_dict() for flip in self.first],
        }


def compare(old: Side, new: Side, first: int = 50) -> Comparison:
    """Compare the verdicts of two sides, scan by scan.

    A scan is its content under its declaration. Where a side has judged one more than once, its newest verdict
    counts. Memory: some hundred bytes a scan of the older side, the flips that are shown, and the groups.

    Args:
        old, new: what is compared.
        first: so many flips are kept for a second look.

    Raises:
        LedgerError: a database does not answer.
        LeadlineError: a side has no verdicts at all.
    """
    was: dict[bytes, tuple[int, str]] = {}
    models: dict[str, set[str]] = {"old": set(), "new": set()}
    for row in old.rows():
        was[_scan(row)] = (row.seq, str(row.body.get("verdict")))
        models["old"].add(row.model)
    if not was:
        raise LeadlineError(f"{old.ledger.name}: has no {_named(old)}; run `leadline rescore` with that model first")
    found = Comparison(by={name: defaultdict(Counter) for name in ("goods", "scanner", "month")})
    newest: dict[bytes, int] = {}
    for row in new.rows():
        newest[_scan(row)] = row.seq
        models["new"].add(row.model)
    if not newest:
        raise LeadlineError(f"{new.ledger.name}: has no {_named(new)}; run `leadline rescore` with that model first")
    gravest: list[tuple[float, int, Flip]] = []
    for row in new.rows():
        scan = _scan(row)
        if newest.get(scan) != row.seq:
            continue
        if scan not in was:
            found.only_new += 1
            continue
        found.both += 1
        seq, before = was[scan]
        groups = {"goods": _goods(row), "scanner": _scanner(row), "month": str(row.body.get("taken") or "")[:7] or "?"}
        for name, value in groups.items():
            found.by[name][value]["scans"] += 1
        now = str(row.body.get("verdict"))
        if now == before:
            continue
        found.flips[before, now] += 1
        for name, value in groups.items():
            found.by[name][value][f"{before} to {now}"] += 1
            found.by[name][value]["flips"] += 1
        flip = _flip(next(iter(old.ledger.rows(after=seq - 1, limit=1))), row, groups)
        entry = (flip.weight, row.seq, flip)
        if len(gravest) < first:
            heapq.heappush(gravest, entry)
        elif first:
            heapq.heappushpop(gravest, entry)
    found.only_old = sum(1 for scan in was if scan not in newest)
    found.first = [flip for _, _, flip in sorted(gravest, key=lambda e: (-e[0], e[1]))]
    for name, counts in found.by.items():
        ranked = sorted(counts.items(), key=lambda g: (-g[1]["flips"], -g[1]["scans"], g[0]))
        found.by[name] = dict(ranked)
    found.models = {side: sorted(hashes) for side, hashes in models.items()}
    return found


def weigh(old: Row, new: Row) -> float:
    """How much a flip deserves a second look, about 0 to 3.

    A scan that would now go through unopened comes before one that would now be opened: the first may be a missed
    threat, the second costs an inspection. Within each, the surer the sides were, the more one of them is wrong.
    """

    def margin(row: Row) -> float:
        score, threshold = row.body.get("score"), row.body.get("threshold")
        return abs(score - threshold) if isinstance(score, int | float) and isinstance(threshold, int | float) else 0.0

    words = (old.body.get("verdict"), new.body.get("verdict"))
    base = {("inspect", "clear"): 2.0, ("clear", "inspect"): 1.0, ("inspect", "rescan"): 0.5}.get(words, 0.0)  # type: ignore[arg-type]
    return round(base + (margin(old) + margin(new)) / 2, 6)


def _flip(old: Row, new: Row, groups: dict[str, str]) -> Flip:
    regions = new.body.get("regions") or old.body.get("regions") or []
    return Flip(
        sha256=new.subject,
        path=str(new.body.get("path", "")),
        goods=groups["goods"],
        scanner=groups["scanner"],
        month=groups["month"],
        old=str(old.body.get("verdict")),
        new=str(new.body.get("verdict")),
        old_score=old.body.get("score"),
        new_score=new.body.get("score"),
        old_threshold=old.body.get("threshold"),
        new_threshold=new.body.get("threshold"),
        reasons=tuple(map(str, new.body.get("reasons") or ())),
        regions=tuple(regions),
        weight=weigh(old, new),
    )


def _scan(row: Row) -> bytes:
    """What makes two rows speak of one scan: its content and its declaration."""
    return bytes.fromhex(row.subject) + canonical(row.body.get("declared")).encode("ascii")


def _goods(row: Row) -> str:
    declared = row.body.get("declared") or {}
    return str(declared.get("description") or declared.get("hs_code") or UNDECLARED)


def _scanner(row: Row) -> str:
    return str((row.body.get("scanner") or {}).get("kind") or "?")


def _named(side: Side) -> str:
    return f"rows of kind {side.kind}" + (f" by a model {side.model}..." if side.model else "")
