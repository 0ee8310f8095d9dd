"""Labelled scans to fit on and to measure with: what every set of `leadline.datasets.public` says is in its scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from leadline.datasets.materials import catalogue
from leadline.datasets.public.form_csv import TABLE, THREAT
from leadline.datasets.public.opening import OWN, open_set, own_group
from leadline.datasets.public.registry import SETS, get
from leadline.datasets.public.scans import Box as Labelled
from leadline.datasets.public.scans import LabelledScan, PictureError, SetError, read_both
from leadline.datasets.scan import Declaration, FileError, Kind, LeadlineError, Scan
from leadline.training.places import Box

HONEST = "honest"
"""Stands in place of a family for a class that is of no concern."""
OTHERS = "*"
"""Stands for all classes that are not named."""
_SHOWN = 3


@dataclass(frozen=True)
class Specimen:
    """A scan on disk and what is known to be in it.

    Attributes:
        path: of the file; of two energies in two files, that of the high energy.
        positive: whether watch-list material is there that the declaration does not explain.
        family: the watch-list family, empty where nobody says or where there are several.
        declaration: the declared goods.
        mass_kg: of the watch-list material; 0 where nobody says.
        boxes: (x0, y0, x1, y1) of it, pixels of the scan as read.
        pseudocolour: whether the file is a picture in a vendor's colours.
        low: file of the low energy, where it is another one.
        palette: of the vendor's colours, if known.
        group: scans of one group show the same object; empty for a scan by itself.
        split: of the set, such as `"test"`, if it has splits.
    """

    path: Path
    positive: bool
    family: str = ""
    declaration: Declaration | None = None
    mass_kg: float = 0.0
    boxes: tuple[Box, ...] = ()
    pseudocolour: bool = False
    low: Path | None = None
    palette: str | None = None
    group: str = ""
    split: str | None = None

    def read(self, kind: Kind) -> Scan:
        """Read the pixels.

        Raises:
            ScanError: the file is missing or damaged, or is of another kind of scanner.
        """
        scan = read_both(self.path, self.low, kind=kind, pseudocolour=self.pseudocolour, palette=self.palette)
        if scan.scanner.kind not in (None, kind):
            raise FileError(
                self.path, f"is a {scan.scanner.kind} scan and the model reads {kind} scans", "take the other model"
            )
        return scan.declared(self.declaration or scan.declaration)


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
    scans = [*open_set(form, data, on_problem=note)]
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
    return specimens, seen, unlabelled


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
    names = sorted(counts)
    more = f" and {len(names) - 30} more" if len(names) > 30 else ""
    return ", ".join(f"{''.join(c for c in name if c.isprintable())} ({counts[name]})" for name in names[:30]) + more
