"""Opening a set: adapters find entries, this checks each against its picture and completes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from leadline.datasets.public.folder import Folder
from leadline.datasets.public.header import Header, read_header
from leadline.datasets.public.registry import PublicSet, get
from leadline.datasets.public.scans import Box, Found, LabelledScan, PictureError, Report, SetError, Unfit, read_both
from leadline.datasets.scan import Fidelity, ScanError

TOLERANCE = 2.0
"""So many pixels a box may leave the picture without a word: some sets count from 1, some round outwards."""

_WORTH: dict[Fidelity, str] = {"dual": "two energies", "single": "one energy", "pseudocolour": "a vendor's colours"}

OWN = "yours"
"""Terms of the generic forms: the scans are the user's."""


def open_set(
    name: str, folder: str | Path, *, on_problem: Report | None = None, classes: set[str] | None = None
) -> Iterator[LabelledScan]:
    """The scans of a set, in a repeatable order.

    Only headers of pictures are read here; `LabelledScan.read` reads the pixels.

    Args:
        name: of the set, see `leadline.datasets.public.SETS`.
        folder: where the user has it; of the form `csv` also the table itself, whose paths may then lead
            out of its folder.
        on_problem: takes problems with single labels or files (a label that points to no file, a
            box outside the picture, a picture of another depth, broken XML) and returns, to go on
            with the rest; without it the first problem is raised.
        classes: takes the names of all classes that a set's own list has (COCO, masks), those without a scan too; it
            is complete when the iterator is exhausted.

    Returns:
        An iterator; the folder as a whole is checked before this returns.

    Raises:
        LeadlineError: no such set.
        SetError: the folder is absent, is empty or does not hold this set; the message tells where
            to get it, under which terms, and what was expected. Without `on_problem` also any
            problem, then or while iterating.
    """
    chosen = get(name)
    root = Path(folder)
    table = root if name == "csv" and root.is_file() else None
    if table is None:
        _check_folder(chosen, root)
    problems: list[SetError] = []

    def report(problem: SetError) -> None:
        if not problems:
            problems.append(problem)
        (on_problem or _raise)(problem)

    place = root if table is None else root.parent
    scans = _complete(chosen, Folder(place, table, classes), report)
    try:
        first = next(scans, None)
    except Unfit as error:
        raise SetError(root, str(error), where_to_get(chosen)) from error
    if first is None:
        why = f" that can be used; the first problem: {problems[0]}" if problems else ""
        raise SetError(root, f"holds no scans of the set {chosen.name}{why}", where_to_get(chosen))
    return chain([first], scans)


def where_to_get(chosen: PublicSet) -> str:
    """Where a set comes from, under which terms, and how its folder must look: the end of an error message."""
    if chosen.terms == OWN:
        return f"the folder must hold {chosen.layout}"
    return f"get {chosen.title} from {chosen.address} (terms: {chosen.terms}); the folder must hold {chosen.layout}"


def _raise(problem: SetError) -> None:
    raise problem


def _check_folder(chosen: PublicSet, root: Path) -> None:
    try:
        if not root.exists():
            raise SetError(root, "does not exist", where_to_get(chosen))
        if not root.is_dir():
            raise SetError(root, "is not a folder", where_to_get(chosen))
        with os.scandir(root) as entries:
            if next(entries, None) is None:
                raise SetError(root, "is empty", where_to_get(chosen))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SetError(root, f"cannot be read ({reason})", "check its path and permissions") from error


def _complete(chosen: PublicSet, folder: Folder, report: Report) -> Iterator[LabelledScan]:
    first: tuple[Found, Header] | None = None
    for found in chosen.reader(folder, report):
        try:
            header = read_header(found.path)
            if found.low is not None:
                read_header(found.low)
                header = header._replace(fidelity="dual")
        except SetError as error:
            report(PictureError(error, found))
            continue
        if first is None or (not chosen.mixed and _is_damaged(*first, header)):
            first = found, header
        if not chosen.mixed and (other := _other_depth(found, header, *first)):
            remedy = "keep scans of different depths in different folders: they are worth different things"
            report(SetError(found.path, other, remedy))
            continue
        yield _labelled(chosen, folder.root, found, header, report)


def _other_depth(found: Found, header: Header, first: Found, wanted: Header) -> str:
    """In what a scan is worth more or less than the first of its set; empty where it is alike, or damaged."""
    if header.bits != wanted.bits:
        return f"stores {header.bits} bits a value, {first.path} stores {wanted.bits}"
    if header.fidelity != wanted.fidelity:
        here, there = _fidelity(found), _fidelity(first)
        if here and there and here != there:
            return f"holds {_WORTH[here]}, {first.path} holds {_WORTH[there]}"
    return ""


def _is_damaged(first: Found, wanted: Header, header: Header) -> bool:
    """Whether the first scan cannot say of what depth its set is: the header of a cut one lacks an energy."""
    return header.bits == wanted.bits and header.fidelity != wanted.fidelity and _fidelity(first) is None


def _fidelity(found: Found) -> Fidelity | None:
    """What a scan's pixels are worth; `None` where they cannot be read."""
    try:
        return read_both(found.path, found.low, kind=None).fidelity
    except ScanError:
        return None


def _labelled(chosen: PublicSet, root: Path, found: Found, header: Header, report: Report) -> LabelledScan:
    boxes = tuple(_checked(found, header, report))
    named = {box.name for box in found.boxes}
    labels = None if found.labels is None and not named else tuple(sorted(named.union(found.labels or ())))
    return LabelledScan(
        path=found.path,
        name=chosen.name,
        rows=header.rows,
        columns=header.columns,
        bits=header.bits,
        fidelity=header.fidelity,
        boxes=boxes,
        labels=labels,
        split=found.split,
        group=found.group or own_group(found.path, root),
        low=found.low,
        part=found.part,
        view=found.view,
        scanner=chosen.scanner,
        declaration=found.declaration,
        mask=found.mask,
        mass_kg=found.mass_kg,
        palette=chosen.palette,
    )


def own_group(path: Path, root: Path) -> str:
    """Group of a scan that has none: its path in the set's folder without the ending, such as `"a/0001"`."""
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    return inside.with_suffix("").as_posix()


def _checked(found: Found, header: Header, report: Report) -> Iterator[Box]:
    """Boxes in pixels, clipped to the picture; those that leave it are reported, and left out where nothing remains."""
    source = found.source or found.path
    if found.size is not None and found.boxes and found.size != (header.rows, header.columns) and all(found.size):
        report(
            SetError(
                source,
                f"states {found.size[0]} x {found.size[1]} pixels, {found.path.name} has "
                f"{header.rows} x {header.columns}",
                "take the picture that was labelled: its boxes do not fit another size",
            )
        )
        return
    across, down = (header.columns, header.rows) if found.relative else (1, 1)
    for box in found.boxes:
        x1, x2, y1, y2 = box.x1 * across, box.x2 * across, box.y1 * down, box.y2 * down
        told = f"has a box of {box.name} from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g})"
        if not (x1 < x2 and y1 < y2):
            report(SetError(source, f"{told}, which has no area", "correct the label"))
            continue
        left, right = max(x1, 0.0), min(x2, float(header.columns))
        top, bottom = max(y1, 0.0), min(y2, float(header.rows))
        outside = max(left - x1, x2 - right, top - y1, y2 - bottom)
        if outside > TOLERANCE:
            size = f"{header.rows} x {header.columns}"
            report(SetError(source, f"{told}, outside {found.path.name} of {size} pixels", "correct the label"))
        if left < right and top < bottom:
            yield Box(box.name, left, top, right, bottom)
