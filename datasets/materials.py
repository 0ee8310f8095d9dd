"""The families and materials of `data/materials.toml`: the watch list is data, not code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

from leadline.datasets.scan import LeadlineError


@dataclass(frozen=True)
class Family:
    """A class of the network.

    Attributes:
        name: identifier, such as `"rare_earth_oxide"`.
        title: words for people.
        watch: whether finding it undeclared is an alarm.
        headings: HS headings (4 digits) under which it is honestly declared.
    """

    name: str
    title: str
    watch: bool = False
    headings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Material:
    """A substance in the form in which it is shipped.

    Attributes:
        name: identifier, such as `"neodymium_oxide"`.
        family: name of its family.
        composition: mass fraction of each compound, by chemical formula; sums to 1.
        density: least and greatest bulk density, g/cm3.
    """

    name: str
    family: str
    composition: Mapping[str, float] = field(hash=False)
    density: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Catalogue:
    """All families and materials of one watch-list file."""

    families: tuple[Family, ...]
    materials: Mapping[str, Material]

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
    """Read a catalogue.

    Raises:
        LeadlineError: the file is not TOML of the expected form.
    """
    return _parse(path.read_text("utf-8"), str(path))


@cache
def catalogue() -> Catalogue:
    """The catalogue that ships with leadline."""
    resource = files("leadline.datasets") / "data" / "materials.toml"
    return _parse(resource.read_text("utf-8"), str(resource))


def _parse(text: str, name: str) -> Catalogue:
    try:
        raw = tomllib.loads(text)
        families = tuple(
            Family(key, entry["title"], entry.get("watch", False), tuple(entry.get("headings", ())))
            for key, entry in raw["families"].items()
        )
        materials = {key: _material(key, entry) for key, entry in raw["materials"].items()}
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise LeadlineError(
            f"{name}: not a watch list ({error}); compare it with datasets/data/materials.toml"
        ) from error
    known = {f.name for f in families}
    for m in materials.values():
        if m.family not in known:
            raise LeadlineError(f"{name}: material {m.name} is of family {m.family!r}, which [families] does not list")
        if abs(sum(m.composition.values()) - 1) > 1e-6:
            raise LeadlineError(f"{name}: the mixture of {m.name} must sum to 1")
    return Catalogue(families, materials)


def _material(name: str, entry: dict) -> Material:
    composition = entry["mixture"] if "mixture" in entry else {entry["formula"]: 1.0}
    low, high = entry["density"]
    return Material(name, entry["family"], composition, (float(low), float(high)))
