"""Going through a whole set: what is in it, and what is wrong with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leadline.datasets.public.opening import open_set
from leadline.datasets.public.scans import LabelledScan, SetError
from leadline.datasets.scan import ScanError

MOST_PROBLEMS = 1000
"""So many problems are kept in full; the others are counted."""
NO_SPLIT = ""
"""Stands for the split of scans that have none."""


@dataclass
class Summary:
    """What a set holds.

    Attributes:
        name: of the set.
        folder: where it was found.
        scans: how many could be used.
        labelled, empty: how many of them annotators looked at, and found nothing in.
        boxes: labelled rectangles.
        classes: of each class the number of scans and boxes, and the scans in each split; those that the set lists
            and no scan shows too.
        splits, parts, views, fidelities, bits: number of scans of each; the split `""` means none.
        groups: how many there are.
        torn: groups with scans in several splits; a model that is fitted on one split knows the others' objects.
        rows, columns: least and most.
        problem_count: how many there were.
        problems: the first `MOST_PROBLEMS` of them, each with file, reason and remedy.
    """

    name: str
    folder: str
    scans: int = 0
    labelled: int = 0
    empty: int = 0
    boxes: int = 0
    classes: dict[str, dict[str, Any]] = field(default_factory=dict)
    splits: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    views: Counter[str] = field(default_factory=Counter)
    fidelities: Counter[str] = field(default_factory=Counter)
    bits: Counter[int] = field(default_factory=Counter)
    groups: int = 0
    torn: list[str] = field(default_factory=list)
    rows: tuple[int, int] = (0, 0)
    columns: tuple[int, int] = (0, 0)
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain values under the same names."""
        return {
            key: dict(value) if isinstance(value, Counter) else list(value) if isinstance(value, tuple) else value
            for key, value in vars(self).items()
        }


def check_set(
    name: str, folder: str | Path, *, pixels: bool = False, told: Callable[[Summary], None] | None = None
) -> Summary:
    """Go through a set and count.

    Args:
        name: of the set.
        folder: where the user has it.
        pixels: read the pixels of every scan too, not only its header.
        told: is called after each scan with the counts so far, for a progress bar.

    Raises:
        LeadlineError: no such set, or the folder does not hold one scan of it that can be used.
    """
    summary = Summary(name, str(folder))
    splits: dict[str, set[str]] = defaultdict(set)

    def note(problem: SetError | ScanError) -> None:
        summary.problem_count += 1
        if len(summary.problems) < MOST_PROBLEMS:
            summary.problems.append(str(problem))

    listed: set[str] = set()
    for scan in open_set(name, folder, on_problem=note, classes=listed):
        _count(summary, scan)
        if scan.split is not None:
            splits[scan.group].add(scan.split)
        else:
            splits.setdefault(scan.group, set())
        if pixels:
            try:
                scan.read()
            except ScanError as error:
                note(error)
        if told is not None:
            told(summary)
    summary.groups = len(splits)
    summary.torn = sorted(group for group, inside in splits.items() if len(inside) > 1)
    for label in listed:
        summary.classes.setdefault(label, {"scans": 0, "boxes": 0, "splits": {}})
    summary.classes = dict(sorted(summary.classes.items()))
    return summary


def _count(summary: Summary, scan: LabelledScan) -> None:
    first = summary.scans == 0
    summary.scans += 1
    summary.labelled += scan.labels is not None
    summary.empty += scan.labels == ()
    summary.boxes += len(scan.boxes)
    split = scan.split or NO_SPLIT
    summary.splits[split] += 1
    for counter, key in ((summary.parts, scan.part), (summary.views, scan.view), (summary.fidelities, scan.fidelity)):
        if key:
            counter[key] += 1
    summary.bits[scan.bits] += 1
    for label in scan.labels or ():
        entry = summary.classes.setdefault(label, {"scans": 0, "boxes": 0, "splits": {}})
        entry["scans"] += 1
        entry["splits"][split] = entry["splits"].get(split, 0) + 1
    for box in scan.boxes:
        summary.classes[box.name]["boxes"] += 1
    for side in ("rows", "columns"):
        value = getattr(scan, side)
        least, most = (value, value) if first else getattr(summary, side)
        setattr(summary, side, (min(least, value), max(most, value)))
