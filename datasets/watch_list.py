"""A user's own watch list: materials to look for beside the shipped ones, in a TOML file.

The file has the form of `data/materials.toml`. `docs/new-material.md` walks through one. Every mistake is told by
file and key before anything is simulated.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from leadline.datasets.declarations import hs_code
from leadline.datasets.materials import Catalogue, extended, shipped
from leadline.datasets.physics.attenuation import parse_formula
from leadline.datasets.scan import KINDS, LeadlineError
from leadline.datasets.simulator.goods import FORMS, carried_by, goods

_FAMILY = {"title": str, "watch": bool, "headings": list, "words": list}
_MATERIAL = {
    "family": str, "formula": str, "mixture": dict, "density": list, "forms": list, "covers": list, "mass_kg": dict,
}  # fmt: skip
_TYPES = {str: "text in quotes", bool: "true or false", list: "a list in brackets", dict: "a table in braces"}
_DENSEST = 23.0  # g/cm3, osmium


def read(path: str | Path) -> str:
    """The text of a watch list, checked; what `materials.use_catalogue` takes.

    Raises:
        LeadlineError: the file cannot be read or is no watch list; names file and key, and what to write.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise LeadlineError(
            f"{path}: cannot be read ({reason}); give a watch list, see docs/new-material.md"
        ) from error
    check(text, str(path))
    return text


def check(text: str, name: str) -> Catalogue:
    """The catalogue with a watch list's entries, all of them checked.

    Args:
        text: of the watch list.
        name: of its file, for messages.

    Raises:
        LeadlineError: an entry is wrong.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LeadlineError(f"{name}: is not TOML ({error}); see docs/new-material.md for an example") from error
    _keys(name, "", raw, ("families", "materials"))
    for part, form in (("families", _FAMILY), ("materials", _MATERIAL)):
        _typed(name, part, raw.get(part, {}), dict)
        for key, entry in raw.get(part, {}).items():
            _entry(name, f"{part}.{key}", entry, form)
    if not raw.get("families") and not raw.get("materials"):
        raise LeadlineError(f"{name}: names no material; add [materials.NAME], see docs/new-material.md")
    for key, entry in raw.get("families", {}).items():
        _check_family(name, f"families.{key}", entry)
    families = {f.name for f in shipped().families} | set(raw.get("families", {}))
    for key, entry in raw.get("materials", {}).items():
        _check_material(name, f"materials.{key}", entry, families)
    found = extended(text, name)
    for family in raw.get("families", {}):
        if not any(m.family == family for m in found.materials.values()):
            raise _wrong(name, f"families.{family}", "has no material", f'add one with family = "{family}"')
    return found


def _check_family(name: str, key: str, entry: Mapping[str, Any]) -> None:
    _texts(name, key, entry, "words")
    _texts(name, key, entry, "headings")
    if "title" not in entry:
        raise _wrong(name, key, "has no title", "add title = the family's name for people")
    for code in entry.get("headings", ()):
        try:
            hs_code(code)
        except LeadlineError as error:
            raise _wrong(name, f"{key}.headings", str(error), "give HS headings of 4 to 10 digits in quotes") from error


def _check_material(name: str, key: str, entry: Mapping[str, Any], families: set[str]) -> None:
    _known(name, f"{key}.family", [entry.get("family", "")], families, "a family of this file or of leadline")
    if ("formula" in entry) == ("mixture" in entry):
        raise _wrong(
            name, key, "needs a formula or a mixture", 'write formula = "WO3", or mixture = { W = 0.9, Ni = 0.1 }'
        )
    for formula in entry.get("mixture", {entry.get("formula", ""): 1.0}):
        try:
            parse_formula(formula)
        except LeadlineError as error:
            raise _wrong(
                name, f"{key}.{'mixture' if 'mixture' in entry else 'formula'}", str(error), "correct it"
            ) from error
    shares = list(entry.get("mixture", {"": 1.0}).values())
    if not all(_number(s) and s > 0 for s in shares) or abs(sum(shares) - 1) > 1e-6:
        raise _wrong(name, f"{key}.mixture", "is not of shares by mass that sum to 1", "correct them")
    _range(name, f"{key}.density", entry.get("density"), _DENSEST, "g/cm3, such as [17.0, 19.3]")
    _texts(name, key, entry, "forms")
    _texts(name, key, entry, "covers")
    _known(name, f"{key}.forms", entry.get("forms", ()), FORMS, "a form")
    _known(name, f"{key}.covers", entry.get("covers", ()), goods(), "goods of datasets/data/goods.toml")
    if bool(entry.get("covers")) and not entry.get("forms"):
        raise _wrong(name, key, "has covers and no forms", f"add forms, of {', '.join(FORMS)}")
    _known(name, f"{key}.mass_kg", entry.get("mass_kg", {}), KINDS, "a kind of scanner")
    for kind, value in entry.get("mass_kg", {}).items():
        _range(name, f"{key}.mass_kg.{kind}", value, 1e6, "kg, such as [0.1, 8]")
    for kind in entry.get("mass_kg", KINDS):
        carried = {g.name for g in carried_by(kind)}
        lost = [c for c in entry.get("covers", ()) if c not in carried]
        if lost:
            raise _wrong(name, f"{key}.covers", f"{lost[0]} does not travel in a {kind}", "leave it out")


def _entry(name: str, key: str, entry: dict[str, Any], form: Mapping[str, type]) -> None:
    _typed(name, key, entry, dict)
    _keys(name, key, entry, form)
    for part, value in entry.items():
        _typed(name, f"{key}.{part}", value, form[part])


def _typed(name: str, key: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise _wrong(name, key, f"is {value!r}", f"write {_TYPES[kind]}")


def _texts(name: str, key: str, entry: Mapping[str, Any], part: str) -> None:
    for value in entry.get(part, ()):
        _typed(name, f"{key}.{part}", value, str)


def _keys(name: str, key: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    _known(name, key or "the file", table, known, "a key")


def _known(name: str, key: str, given: Iterable[str], known: Iterable[str], what: str) -> None:
    names = list(known)
    for value in given:
        if value not in names:
            near = difflib.get_close_matches(str(value), names, 1)
            remedy = f"did you mean {near[0]}?" if near else f"choose of {', '.join(names)}"
            raise _wrong(name, key, f"{value!r} is not {what}", remedy)


def _range(name: str, key: str, value: object, most: float, example: str) -> None:
    ok = isinstance(value, list) and len(value) == 2 and all(map(_number, value))
    if not ok or not 0 < value[0] <= value[1] <= most:  # type: ignore[index]
        raise _wrong(name, key, f"is {value!r}, not a least and a greatest value", f"write both, {example}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(name: str, key: str, reason: str, remedy: str) -> LeadlineError:
    return LeadlineError(f"{name}: {key}: {reason}; {remedy}")
