"""The families and materials of `data/materials.toml`, and a user's own: the watch list is data, not code.

One catalogue is in use in a process: the shipped one, unless `use_catalogue` said otherwise. Whatever starts worker
processes hands them the text of its catalogue (`Catalogue.text`), and they call `use_catalogue` first.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from leadline.datasets.scan import LeadlineError


@dataclass(frozen=True)
class Family:
    """A class of the network.

    Attributes:
        name: identifier, such as `"rare_earth_oxide"`.
        title: words for people.
        watch: whether finding it undeclared is an alarm.
        headings: HS headings (4 digits) under which it is honestly declared.
        words: phrases of descriptions that name it, beside those of `data/declared_words.toml`.
    """

    name: str
    title: str
    watch: bool = False
    headings: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Material:
    """A substance in the form in which it is shipped.

    Attributes:
        name: identifier, such as `"neodymium_oxide"`.
        family: name of its family.
        composition: mass fraction of each compound, by chemical formula; sums to 1.
        density: least and greatest bulk density, g/cm3.
        forms: in which it is hidden, see `simulator.goods.FORMS`; none where `scenarios.toml` says it.
        covers: names of the goods among which it is hidden.
        mass_kg: least and greatest mass that is hidden, by scanner kind.
    """

    name: str
    family: str
    composition: Mapping[str, float] = field(hash=False)
    density: tuple[float, float] = (1.0, 1.0)
    forms: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    mass_kg: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, eq=False)  # compared and hashed as an object: what depends on it is cached by it
class Catalogue:
    """All families and materials.

    Attributes:
        families: in the order of the network's channels.
        materials: by name.
        text: the user's watch list in it, TOML; empty for the shipped catalogue alone.
    """

    families: tuple[Family, ...]
    materials: Mapping[str, Material]
    text: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Family names in the order of the network's channels."""
        return tuple(f.name for f in self.families)

    @property
    def watched(self) -> tuple[str, ...]:
        """Names of the families on the watch list, in channel order."""
        return tuple(f.name for f in self.families if f.watch)

    def family_index(self, material: str) -> int:
        """Channel of a material's family."""
        return self.names.index(self.materials[material].family)


def load(path: Path) -> Catalogue:
    """Read a catalogue that stands by itself.

    Raises:
        LeadlineError: the file is not TOML of the expected form.
    """
    return _parse(path.read_text("utf-8"), str(path))


def catalogue() -> Catalogue:
    """The catalogue in use."""
    return _used if _used is not None else shipped()


@cache
def shipped() -> Catalogue:
    """The catalogue that ships with leadline."""
    resource = files("leadline.datasets") / "data" / "materials.toml"
    return _parse(resource.read_text("utf-8"), str(resource))


@lru_cache(maxsize=16)
def extended(text: str, name: str = "watch list") -> Catalogue:
    """The shipped catalogue with a user's entries; the same object for the same text.

    New families come after the shipped ones, and are on the watch list unless they say `watch = false`. A material of
    a name that is known replaces it. `datasets.watch_list.read` checks a user's file thoroughly.

    Args:
        text: TOML in the form of `data/materials.toml`; empty for none.
        name: of the file, for messages.

    Raises:
        LeadlineError: the text is not of that form.
    """
    return _parse(text, name, shipped()) if text.strip() else shipped()


_used: Catalogue | None = None


def use_catalogue(text: str) -> Catalogue:
    """Take the shipped catalogue with a user's entries into use, in this process.

    Called once at the start of a command and of each of its worker processes; scenes, declarations and networks that
    are made later follow it.

    Args:
        text: see `extended`; empty goes back to the shipped catalogue.
    """
    global _used
    _used = extended(text)
    return _used


def _parse(text: str, name: str, base: Catalogue | None = None) -> Catalogue:
    try:
        raw = tomllib.loads(text)
        families = {key: _family(key, entry, base is not None) for key, entry in raw.get("families", {}).items()}
        materials = {key: _material(key, entry) for key, entry in raw.get("materials", {}).items()}
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise LeadlineError(
            f"{name}: not a watch list ({error}); compare it with datasets/data/materials.toml"
        ) from error
    if base is not None:
        families = {f.name: f for f in base.families} | families
        materials = dict(base.materials) | materials
    for m in materials.values():
        if m.family not in families:
            raise LeadlineError(f"{name}: material {m.name} is of family {m.family!r}, which [families] does not list")
        if abs(sum(m.composition.values()) - 1) > 1e-6:
            raise LeadlineError(f"{name}: the mixture of {m.name} must sum to 1")
    return Catalogue(tuple(families.values()), materials, text if base is not None else "")


def _family(name: str, entry: dict[str, Any], watch: bool) -> Family:
    return Family(
        name,
        entry["title"],
        entry.get("watch", watch),
        tuple(entry.get("headings", ())),
        tuple(entry.get("words", ())),
    )


def _material(name: str, entry: dict[str, Any]) -> Material:
    composition = entry["mixture"] if "mixture" in entry else {entry["formula"]: 1.0}
    low, high = entry["density"]
    masses = {kind: (float(a), float(b)) for kind, (a, b) in entry.get("mass_kg", {}).items()}
    return Material(
        name,
        entry["family"],
        composition,
        (float(low), float(high)),
        tuple(entry.get("forms", ())),
        tuple(entry.get("covers", ())),
        masses,
    )
