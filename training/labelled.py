"""Scans of one's own with labels: a folder and a CSV that says what is in each scan."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leadline.datasets.declarations import hs_code
from leadline.datasets.formats import read_scan
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration, FileError, Kind, LeadlineError, Scan
from leadline.training.places import Box

LABELS = "labels.csv"
"""Name of the label file in a folder of scans."""

POSITIVE = frozenset({"1", "threat", "yes", "true", "found"})
NEGATIVE = frozenset({"0", "honest", "clear", "no", "false", "not_found"})
COLUMNS = ("path", "label", "family", "hs_code", "description", "mass_kg", "boxes")


@dataclass(frozen=True)
class Specimen:
    """A scan on disk and what is known to be in it.

    Attributes:
        path: of the file.
        positive: whether watch-list material is there that the declaration does not explain.
        family: the watch-list family, empty where nobody says.
        declaration: the declared goods.
        mass_kg: of the watch-list material; 0 where nobody says.
        boxes: (x0, y0, x1, y1) of it, pixels of the scan as read.
        pseudocolour: whether the file is a picture in a vendor's colours.
    """

    path: Path
    positive: bool
    family: str = ""
    declaration: Declaration | None = None
    mass_kg: float = 0.0
    boxes: tuple[Box, ...] = ()
    pseudocolour: bool = False

    def read(self, kind: Kind) -> Scan:
        """Read the pixels.

        Raises:
            ScanError: the file is missing or damaged, or is of another kind of scanner.
        """
        scan = read_scan(self.path, scanner=kind, pseudocolour=self.pseudocolour)
        if scan.scanner.kind not in (None, kind):
            raise FileError(
                self.path, f"is a {scan.scanner.kind} scan and the model reads {kind} scans", "take the other model"
            )
        return scan.declared(self.declaration or scan.declaration)


def read_labels(data: Path) -> list[Specimen]:
    """The labelled scans of a folder.

    Args:
        data: a CSV in UTF-8 with the columns `path` and `label` and perhaps `family`, `hs_code`,
            `description`, `mass_kg` and `boxes` (`x0 y0 x1 y1`, several parted by semicolons), or a folder
            that holds it as `labels.csv`. Paths are meant from the CSV's folder. A label is `1` or `threat`
            where undeclared watch-list material is there, `0` or `honest` where not. The station's `labels.csv` is
            of this form too (`found`, `not_found`), put into the station's data folder; its paths name folders.

    Raises:
        LeadlineError: no such file, a column or value that cannot be read, a label that points to no file, a
            scan labelled twice, or a class without any scan; the message names the line.
    """
    table = data / LABELS if data.is_dir() else data
    try:
        text = table.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        reason = f"holds no {LABELS}" if data.is_dir() else "does not exist"
        raise FileError(data, reason, "write a CSV with the columns path,label (docs/evaluation.md)") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(table, f"cannot be read ({error})", "save it as CSV in UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    given = reader.fieldnames or []
    for column in ("path", "label"):
        if column not in given:
            raise FileError(table, f"has no column {column}", f"its columns may be {', '.join(COLUMNS)}")
    found: dict[Path, Specimen] = {}
    missing: list[str] = []
    for line in reader:
        if not any(value for value in line.values()):
            continue
        specimen = _specimen(line, table, reader.line_num)
        if specimen.path in found:
            raise FileError(table, f"line {reader.line_num} labels {specimen.path.name} again", "keep one line a scan")
        found[specimen.path] = specimen
        if not specimen.path.is_file():
            missing.append(f"line {reader.line_num}: {line['path']}")
    if missing:
        shown = "; ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise FileError(table, f"{len(missing)} labels point to no file ({shown})", "mend the paths or drop the lines")
    specimens = list(found.values())
    _check_classes(specimens, table)
    return specimens


def _check_classes(specimens: Sequence[Specimen], table: Path) -> None:
    threats = sum(s.positive for s in specimens)
    if not specimens:
        raise FileError(table, "labels no scan", "write a line for each scan")
    if not threats or threats == len(specimens):
        what = "an honest scan" if threats else "a scan with undeclared watch-list material"
        raise FileError(table, f"has no sample of {what}", "an evaluation needs scans of both classes")


def _specimen(line: dict[str, str], table: Path, number: int) -> Specimen:
    def wrong(column: str, remedy: str) -> FileError:
        return FileError(table, f"line {number}: {column} {line.get(column)!r} cannot be used", remedy)

    word = (line["label"] or "").strip().lower()
    if word not in POSITIVE | NEGATIVE:
        raise wrong("label", "write 1 or threat, 0 or honest")
    if not (line["path"] or "").strip():
        raise wrong("path", "name the scan's file")
    family = (line.get("family") or "").strip()
    if family and family not in catalogue().names:
        raise wrong("family", f"it is one of {', '.join(catalogue().names)}, or empty")
    code, words = (line.get("hs_code") or "").strip(), (line.get("description") or "").strip()
    try:
        declaration = Declaration(hs_code(code) if code else None, words or None) if code or words else None
    except LeadlineError as error:
        raise FileError(table, f"line {number}: {error}", "mend the line") from error
    try:
        mass = float(line.get("mass_kg") or 0)
        boxes = tuple(_box(part) for part in (line.get("boxes") or "").split(";") if part.strip())
    except ValueError as error:
        raise FileError(
            table, f"line {number}: {error}", "mass_kg is a number, boxes are x0 y0 x1 y1; x0 y0 ..."
        ) from error
    if not 0 <= mass < float("inf"):
        raise wrong("mass_kg", "give kilograms, 0 or more")
    return Specimen(_file(table.parent / line["path"].strip()), word in POSITIVE, family, declaration, mass, boxes)


def _file(path: Path) -> Path:
    """A scan's file; of a folder in which the station keeps one, the file as it arrived."""
    kept = sorted(p for p in path.glob("scan*") if p.is_file()) if path.is_dir() else []
    return kept[0] if kept else path


def _box(text: str) -> Box:
    x0, y0, x1, y1 = (round(float(v)) for v in text.replace(",", " ").split())
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"box {text.strip()!r} is empty")
    return x0, y0, x1, y1
