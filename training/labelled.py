"""Labelled scans to fit on and to measure with: what every set of `leadline.datasets.public` says is in its scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from leadline.datasets.materials import catalogue
from leadline.datasets.public.form_csv import ABSENT, TABLE, THREAT
from leadline.datasets.public.form_folders import NOTHING
from leadline.datasets.public.opening import OWN, open_set, own_group
from leadline.datasets.public.registry import SETS, get
from leadline.datasets.public.scans import Box as Labelled
from leadline.datasets.public.scans import LabelledScan, PictureError, SetError
from leadline.datasets.scan import FileError, LeadlineError
from leadline.training.places import Box
from leadline.training.specimen import Specimen

__all__ = ["Specimen", "parse_classes", "read_labels"]

HONEST = "honest"
"""Stands in place of a family for a class that is of no concern."""
OTHERS = "*"
"""Stands for all classes that are not named."""
_SHOWN = 3  # problems that are told
_LISTED = 30  # classes that are


def read_labels(
    data: Path, *, form: str = "", classes: Iterable[str] = (), split: str = "", pseudocolour: bool = False
) -> list[Specimen]:
    """The labelled scans of a set.

    A scan is positive if it shows a class that is a family of the watch list in use, or is mapped to one. Scans that
    nobody labelled are left out. In a set of one's own a label that cannot be used is an error; of a public set,
    which the user cannot mend, such entries are left out and counted on standard error.

    Args:
        data: folder of the set; or a table of labels.
        form: name of the set (`leadline.datasets.public.SETS`); empty for a table of labels, `labels.csv`.
        classes: `NAME=FAMILY` for classes whose names are no families; FAMILY may be `threat` (which, nobody says) or
            `honest`, and NAME may be `*` for all others.
        split: take the scans of this split alone.
        pseudocolour: 8-bit pictures of one's own are in a vendor's colours; those of public sets always are.

    Raises:
        LeadlineError: no such set, file or split, labels that cannot be used or point to no file, classes that are
            no families, or a set in which one of threat and honest has no sample; the message names file and reason.
    """
    if not form and data.is_dir() and not (data / TABLE).is_file():
        remedy = f"write one with the columns path,label, or say which set it is: --set {', '.join(SETS)}"
        raise FileError(data, f"holds no {TABLE}", remedy)
    form = form or "csv"
    own = get(form).terms == OWN
    mapped = parse_classes(classes)
    specimens, seen, unlabelled = _collected(data, form, own, mapped, split, pseudocolour)
    if split and not specimens:
        raise FileError(data, f"has no labelled scan of the split {split}", f"it has {_listed(seen)}")
    if unlabelled and not specimens:
        raise FileError(data, f"has {unlabelled} scans, none of them labelled", "choose a set with labels")
    _check_classes(specimens, data)
    return specimens


def parse_classes(pairs: Iterable[str]) -> dict[str, str]:
    """Family by class from `NAME=FAMILY`.

    Raises:
        LeadlineError: not of that form, no family of the watch list, or a class twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, _, family = (part.strip() for part in pair.rpartition("="))
        allowed = (*catalogue().watched, THREAT, HONEST)
        if not name or family not in allowed:
            raise LeadlineError(f"--class {pair}: give NAME=FAMILY, with FAMILY one of {', '.join(allowed)}")
        if name in found:
            raise LeadlineError(f"--class {pair}: {name} is {found[name]} already; give each class once")
        found[name] = family
    return found


def _collected(
    data: Path, form: str, own: bool, mapped: Mapping[str, str], split: str, pseudocolour: bool
) -> tuple[list[Specimen], Counter[str], int]:
    """Specimens of a split, how many labelled scans each split has, and how many scans nobody labelled."""
    problems: list[SetError] = []
    damaged: list[LabelledScan] = []
    root = data if data.is_dir() else data.parent

    def note(problem: SetError) -> None:
        if own and isinstance(problem, PictureError):  # its label is good: who reads it tells what is wrong with it
            f = problem.found
            group = f.group or own_group(f.path, root)
            named = {*(f.labels or ()), *(box.name for box in f.boxes)}
            labels = None if f.labels is None and not named else tuple(sorted(named))
            damaged.append(
                LabelledScan(f.path, form, 0, 0, 0, "dual", labels=labels, split=f.split, group=group, low=f.low)
            )
        else:
            problems.append(problem)

    specimens, unknown, seen, unlabelled = [], Counter[str](), Counter[str](), 0
    listed: set[str] = set()
    scans = [*open_set(form, data, on_problem=note, classes=listed)]
    named = {name for scan in (*scans, *damaged) for name in scan.labels or ()}
    for scan in sorted([*scans, *damaged], key=lambda s: s.path) if damaged else scans:
        if scan.labels is None:
            unlabelled += 1
            continue
        families = {name: _family(name, mapped) for name in scan.labels}
        unknown.update(name for name, family in families.items() if family is None)
        seen[scan.split or "none"] += 1
        if not split or scan.split == split:
            coloured = pseudocolour or (not own and scan.fidelity == "pseudocolour")
            specimens.append(_specimen(scan, families, coloured))
    if problems and own:
        more = f"\nand {len(problems) - _SHOWN} more problems" if len(problems) > _SHOWN else ""
        raise LeadlineError("\n".join(map(str, problems[:_SHOWN])) + more)
    _check_map(data, mapped, named | listed)
    if unknown:
        raise FileError(
            data,
            f"has classes that are no families of the watch list: {_listed(unknown)}",
            f"say what each is with --class NAME=FAMILY, FAMILY being {', '.join(catalogue().watched)}, {THREAT} or "
            f'{HONEST}; --class "{OTHERS}={HONEST}" is for all others',
        )
    if problems:
        click.echo(f"{data}: {len(problems)} entries are left out, such as {problems[0]}", err=True)
    if unlabelled:
        click.echo(f"{data}: {unlabelled} scans without labels are left out", err=True)
    if listed - named:
        click.echo(f"{data}: classes without a sample: {_names(listed - named)}", err=True)
    return specimens, seen, unlabelled


def _check_map(data: Path, mapped: Mapping[str, str], classes: Collection[str]) -> None:
    """Refuse names that are no class: a slip in one would make its scans whatever `*` says."""
    for name, family in mapped.items():
        no_class = name == OTHERS or (family == HONEST and name.lower() in ABSENT | NOTHING)
        if not no_class and name not in classes:
            close = get_close_matches(name, classes, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"its classes are {_names(classes) or 'none'}"
            raise FileError(data, f"has no class {name}, which --class names", remedy)


def _family(name: str, mapped: Mapping[str, str]) -> str | None:
    """Watch-list family of a class, `threat` for any, `honest` for none; `None` where nobody says."""
    if name in mapped:
        return mapped[name]
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    if plain in catalogue().watched or plain == THREAT:
        return plain
    return HONEST if plain in catalogue().names else mapped.get(OTHERS)


def _specimen(scan: LabelledScan, families: Mapping[str, str | None], pseudocolour: bool) -> Specimen:
    watched = {family for family in families.values() if family not in (None, HONEST)}
    named = sorted(str(family) for family in watched - {THREAT})
    return Specimen(
        scan.path,
        bool(watched),
        named[0] if len(named) == 1 else "",
        scan.declaration,
        scan.mass_kg if watched else 0.0,
        tuple(_box(box) for box in scan.boxes if families.get(box.name) in watched),
        pseudocolour,
        scan.low,
        scan.palette,
        scan.group,
        scan.split,
    )


def _box(box: Labelled) -> Box:
    """Whole pixels, at least one."""
    x0, y0 = int(box.x1), int(box.y1)
    return x0, y0, max(round(box.x2), x0 + 1), max(round(box.y2), y0 + 1)


def _check_classes(specimens: Sequence[Specimen], data: Path) -> None:
    threats = sum(s.positive for s in specimens)
    if not threats or threats == len(specimens):
        what = "an honest scan" if threats else "a scan with undeclared watch-list material"
        remedy = f"scans of both classes are needed; the {len(specimens)} labelled ones are all of the other"
        raise FileError(data, f"has no sample of {what}", remedy)


def _listed(counts: Counter[str]) -> str:
    """Names with how many scans each has."""
    return _names(counts, lambda name: f" ({counts[name]})")


def _names(names: Iterable[str], more_of: Callable[[str], str] = lambda name: "") -> str:
    """The first names in alphabetical order, without what would steer a terminal."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return ", ".join("".join(c for c in n if c.isprintable()) + more_of(n) for n in ordered[:_LISTED]) + more
