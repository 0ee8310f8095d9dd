"""The supervisor's view: people against the model, false alarms, time per scan, and drift."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from leadline.datasets.scan import LeadlineError
from leadline.inference.station.files import Files
from leadline.inference.station.shapes import Drift, Overview, Week
from leadline.inference.station.store import Store

DAY_S = 86_400.0
MOST_PERIODS = 60
FIRST_WEEKS_S = 14 * DAY_S
"""What later figures are compared with; of a young station, the first third of its time."""

LEAST_SCANS = 20
"""Fewer scans on either side say nothing about drift."""

WARN_DEVIATIONS = 4.0
"""Difference of means, in standard errors, that is a warning."""

FIGURES = {
    "score": ("score",),
    "noise": ("quality", "noise"),
    "unpenetrated": ("quality", "unpenetrated_goods"),
    "open_beam": ("quality", "open_beam"),
    "novelty": ("quality", "novelty"),
}
"""Figures whose drift is watched, and where the verdict line holds them."""


def overview(store: Store, now: float | None = None) -> Overview:
    """Figures by day or week, drift, and why people decided otherwise.

    Args:
        store: the station's database.
        now: end of the view, seconds since 1970; the clock's time by default.
    """
    now = time.time() if now is None else now
    rows = [
        dict(row) | {"line": json.loads(row["line"])}
        for row in store.all(
            "SELECT arrived, judged, opened, verdict, decision, decided_at, override, result, line FROM scans "
            "WHERE state = 'screened' AND line IS NOT NULL ORDER BY arrived"
        )
    ]
    if not rows:
        return Overview(periods=[], drift=[], period_s=DAY_S, overrides={})
    start = rows[0]["arrived"]
    period = DAY_S if (now - start) / DAY_S <= MOST_PERIODS else 7 * DAY_S
    first = int(start // period)
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(int(row["arrived"] // period) - first, []).append(row)
    periods = [_week((first + i) * period, groups[i]) for i in sorted(groups)][-MOST_PERIODS:]
    overrides = Counter(row["override"] for row in rows if row["override"])
    return Overview(periods=periods, drift=_drift(rows, start, now), period_s=period, overrides=dict(overrides))


def labels(store: Store, files: Files) -> Iterable[dict[str, str]]:
    """Results of inspections, one row a scan, in the form that `leadline train` and `leadline evaluate` read.

    Args:
        store: the station's database.
        files: its copies; `path` names the file (of a pair the high half) from the station's data folder.
    """
    for row in store.all(
        "SELECT id, sha256, name, hs_code, description, result, result_family FROM scans "
        "WHERE result IS NOT NULL ORDER BY result_at"
    ):
        try:
            path = files.original(row["id"])
        except LeadlineError:
            continue  # what was found cannot be shown any more: no label
        yield {
            "path": path.relative_to(files.folder.parent).as_posix(),
            "label": row["result"],
            "family": row["result_family"] or "",
            "hs_code": row["hs_code"] or "",
            "description": row["description"] or "",
            "sha256": row["sha256"],
        }


def _week(start: float, rows: Sequence[dict[str, Any]]) -> Week:
    decided = [r for r in rows if r["decision"]]
    inspected = [r for r in rows if r["result"]]
    times = [r["decided_at"] - r["opened"] for r in decided if r["opened"] and r["decided_at"] >= r["opened"]]
    return Week(
        start=start,
        scans=len(rows),
        alarms=sum(r["verdict"] == "inspect" for r in rows),
        decided=len(decided),
        agreed=sum(r["decision"] == r["verdict"] for r in decided),
        inspected=len(inspected),
        found=sum(r["result"] == "found" for r in inspected),
        false_alarms=sum(r["result"] == "not_found" and r["verdict"] == "inspect" for r in inspected),
        seconds=round(float(np.median(times)), 1) if times else None,
        mean_score=_mean(rows, "score"),
        noise=_mean(rows, "noise"),
        unpenetrated=_mean(rows, "unpenetrated"),
        novelty=_mean(rows, "novelty"),
    )


def _values(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    found = []
    for row in rows:
        value: Any = row["line"]
        for key in FIGURES[name]:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int | float):
            found.append(float(value))
    return found


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    values = _values(rows, name)
    return round(float(np.mean(values)), 5) if values else None


def _drift(rows: Sequence[dict[str, Any]], start: float, now: float) -> list[Drift]:
    """Each figure in the newest part against the first: Welch's statistic of the two means."""
    length = min(FIRST_WEEKS_S, (now - start) / 3)
    early = [r for r in rows if r["arrived"] < start + length]
    late = [r for r in rows if r["arrived"] >= max(now - FIRST_WEEKS_S / 2, start + length)]
    found = []
    for name in FIGURES:
        a, b = np.array(_values(early, name)), np.array(_values(late, name))
        if min(len(a), len(b)) < LEAST_SCANS:
            continue
        error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
        deviations = float((b.mean() - a.mean()) / max(error, 1e-9))
        found.append(
            Drift(
                name=name,
                first=round(float(a.mean()), 5),
                now=round(float(b.mean()), 5),
                deviations=round(deviations, 2),
                warning=abs(deviations) > WARN_DEVIATIONS,
            )
        )
    return found
