"""The wedge table: a TOML file that says which scan shows which wedge, and how thick its steps are."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import FileError
from leadline.datasets.simulator.wedges import density_of

LEAST_STEPS = 3
"""Fewer steps of a material show no curve."""

_KEYS = {"scan", "material", "density", "box", "along", "thickness_mm", "step_mm"}
_REMEDY = "see docs/calibration.md for the form of the table"


class TableError(FileError):
    """A wedge table that cannot be used."""


@dataclass(frozen=True)
class Wedge:
    """One wedge in one scan.

    Attributes:
        scan: the file.
        material: of the catalogue.
        density: g/cm3.
        box: (x0, y0, x1, y1), pixels: the wedge's outline in the scan, to about a third of a step.
        along: `"x"` if the steps follow one another from left to right, `"y"` from top to bottom.
        thickness_mm: of each step, in the order in which they lie.
        step_mm: width of one step in the plane of the cargo, which gives the pixel size; `None` if unknown.
    """

    scan: Path
    material: str
    density: float
    box: tuple[int, int, int, int]
    along: str
    thickness_mm: tuple[float, ...]
    step_mm: float | None = None


def read_table(path: Path) -> tuple[Wedge, ...]:
    """Read a wedge table; names of scans are relative to it.

    Raises:
        TableError: it cannot be read, or an entry is missing, unknown or out of range.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise TableError(path, error.strerror or str(error), "give the path of a wedge table") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TableError(path, f"not TOML ({error})", _REMEDY) from error
    entries = raw.get("wedge")
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise TableError(path, "holds no [[wedge]]", _REMEDY)
    if unknown := set(raw) - {"wedge"}:
        raise TableError(path, f"unknown entry {sorted(unknown)[0]!r}", _REMEDY)
    wedges = tuple(_wedge(path, number, entry) for number, entry in enumerate(entries, start=1))
    if len({w.material for w in wedges}) < 2:
        raise TableError(
            path, f"only wedges of {wedges[0].material}", "add one of another material; three tell most, light to heavy"
        )
    return wedges


def _wedge(path: Path, number: int, entry: dict[str, Any]) -> Wedge:
    def fail(reason: str, remedy: str = _REMEDY) -> TableError:
        return TableError(path, f"wedge {number}: {reason}", remedy)

    if unknown := set(entry) - _KEYS:
        raise fail(f"unknown entry {sorted(unknown)[0]!r}")
    for key in ("scan", "material", "box", "thickness_mm"):
        if key not in entry:
            raise fail(f"{key} is missing")
    material, known = entry["material"], catalogue().materials
    if material not in known:
        raise fail(f"material {material!r} is not in the catalogue", "name one of datasets/data/materials.toml")
    box, thickness, along = entry["box"], entry["thickness_mm"], entry.get("along", "x")
    if not _numbers(box, int) or len(box) != 4 or not (0 <= box[0] < box[2] and 0 <= box[1] < box[3]):
        raise fail(f"box {box!r} is not [x0, y0, x1, y1] in pixels, with x0 < x1 and y0 < y1")
    if along not in ("x", "y"):
        raise fail(f'along {along!r} is neither "x" nor "y"')
    if not _numbers(thickness, int, float) or not thickness or min(thickness) <= 0:
        raise fail("thickness_mm is not a list of thicknesses above 0 in mm")
    if len(thickness) < LEAST_STEPS:
        raise fail(f"{len(thickness)} steps", f"use a wedge of at least {LEAST_STEPS}; six or more tell most")
    if sorted(set(thickness)) not in (list(thickness), list(thickness)[::-1]):
        raise fail("thickness_mm neither rises nor falls throughout", "list the steps in the order in which they lie")
    for key in ("density", "step_mm"):
        if key in entry and not (_numbers([entry[key]], int, float) and entry[key] > 0):
            raise fail(f"{key} {entry[key]!r} is not a number above 0")
    return Wedge(
        path.parent / str(entry["scan"]),
        material,
        float(entry.get("density", density_of(material))),
        (box[0], box[1], box[2], box[3]),
        along,
        tuple(float(t) for t in thickness),
        float(entry["step_mm"]) if "step_mm" in entry else None,
    )


def _numbers(values: Any, *types: type) -> bool:
    return isinstance(values, list) and all(isinstance(v, types) and not isinstance(v, bool) for v in values)
