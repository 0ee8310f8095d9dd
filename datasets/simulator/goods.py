"""Goods, packings and scenarios of `data/goods.toml` and `data/scenarios.toml`: data, not code.

A material that a user adds to the watch list brings its own: one scenario for each of its `forms`, among the goods
that it names as `covers`, and honest goods made of it, declared under its family's first heading and words.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np

from leadline.datasets.materials import Catalogue, catalogue
from leadline.datasets.scan import KINDS, Declaration, Kind

Substance = tuple[tuple[str, float], ...]
"""What fills a room: materials of the catalogue, each with its share of the bulk density, g/cm3."""

FORMS: Mapping[str, tuple[str, str, Mapping[str, tuple[str, ...]]]] = {
    # form: what `scenarios.toml` calls its way and form, and the packings of honest goods by scanner
    "powder": ("replace", "bag", {"container": ("bags", "big_bags", "drums"), "parcel": ("pouches", "tubs", "jars")}),
    "mixture": ("mix", "bag", {"container": ("bags", "big_bags"), "parcel": ("pouches", "tubs")}),
    "ingot": ("bury", "ingot", {"container": ("ingots",), "parcel": ("small_ingots",)}),
    "block": ("bury", "block", {"container": ("cartons",), "parcel": ("parts", "small_boxes")}),
    "lump": ("bury", "lump", {"container": ("cartons", "crates"), "parcel": ("parts",)}),
    "bag": ("bury", "bag", {"container": ("bags",), "parcel": ("pouches",)}),
    "drum": ("bury", "drum", {"container": ("drums",), "parcel": ("tubs",)}),
    "sheet": ("bury", "sheet", {"container": ("slabs",), "parcel": ("plates",)}),
}
"""Forms in which a material of the user's own is hidden and traded: `powder` takes the place of a unit's contents,
`mixture` is stirred into them, the others lie among the goods as solids."""

_HIDDEN_KG = {"container": (30.0, 6000.0), "parcel": (0.02, 8.0)}  # where the entry does not say
_SHARE = (0.3, 0.9)  # by mass, of mixtures


@dataclass(frozen=True)
class Packing:
    """The unit in which goods come.

    Attributes:
        shape: name of a solid.
        size: least and greatest extent along x, y and z, cm; shape (3, 2).
        stand: `"stack"`, `"loose"` or `"heap"`.
        shell: wall material with least and greatest thickness in cm, or `None`.
    """

    shape: str
    size: tuple[tuple[float, float], ...]
    stand: str
    shell: tuple[str, float, float] | None = None


@dataclass(frozen=True)
class Goods:
    """A kind of goods, honestly declared.

    Attributes:
        name: identifier.
        hs: HS code of the declaration.
        words: descriptions that traders write.
        fill: materials, one of which fills the units; `"air"` for hollow goods.
        solidity: least and greatest share of a unit's room that is material.
        packing: names of packings by scanner kind.
        hard: easily mistaken for a threat.
    """

    name: str
    hs: str
    words: tuple[str, ...]
    fill: tuple[str, ...]
    solidity: tuple[float, float]
    packing: Mapping[str, tuple[str, ...]] = field(hash=False)
    hard: bool = False

    def declaration(self, rng: np.random.Generator) -> Declaration:
        """An honest declaration of these goods."""
        return Declaration(self.hs, str(rng.choice(self.words)))

    def contents(self, rng: np.random.Generator) -> Substance:
        """What a unit holds; empty for hollow goods."""
        material = str(rng.choice(self.fill))
        if material == "air":
            return ()
        solidity = rng.uniform(*self.solidity)
        if not self.powder and rng.random() < 0.5:  # thin-walled or wound goods: the same outside, less in the beam
            solidity *= np.exp(rng.uniform(np.log(0.06), 0))
        return substance(rng, material, solidity)

    @property
    def powder(self) -> bool:
        """Whether the goods fill their unit without gaps: powders, liquids, blocks."""
        return self.solidity[0] >= 0.8


@dataclass(frozen=True)
class Scenario:
    """A way of hiding strategic material; see `data/scenarios.toml` for the fields."""

    name: str
    goods: tuple[str, ...]
    threat: tuple[str, ...]
    way: str
    mass_kg: Mapping[str, tuple[float, float]] = field(hash=False)
    form: str = "lump"
    share: tuple[float, float] = (1.0, 1.0)
    wall: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)
    binder: str | None = None


def substance(rng: np.random.Generator, material: str, solidity: float = 1.0) -> Substance:
    """A material at a density drawn from its range, g/cm3, filling a share of the room."""
    return ((material, float(rng.uniform(*catalogue().materials[material].density)) * solidity),)


def density(contents: Substance) -> float:
    """Bulk density, g/cm3."""
    return sum(rho for _, rho in contents)


def _table(name: str) -> dict:
    return tomllib.loads((files("leadline.datasets") / "data" / name).read_text("utf-8"))


@cache
def packings() -> dict[str, Packing]:
    """All packings by name."""
    return {
        k: Packing(v["shape"], tuple(map(tuple, v["size"])), v["stand"], tuple(v["shell"]) if "shell" in v else None)
        for k, v in _table("goods.toml")["packings"].items()
    }


def goods() -> dict[str, Goods]:
    """All goods by name; those made of materials of the user's own come last."""
    return _goods(catalogue())


@lru_cache(maxsize=16)
def _goods(cat: Catalogue) -> dict[str, Goods]:
    return _shipped_goods() | _honest(cat)


def _honest(cat: Catalogue) -> dict[str, Goods]:
    """Goods of the user's own materials, declared as what they are."""
    families = {f.name: f for f in cat.families if f.watch and f.headings and f.words}
    found = {}
    for m in cat.materials.values():
        if m.forms and m.family in families:
            family, name = families[m.family], f"honest_{m.name}"
            packing: dict[str, tuple[str, ...]] = {}
            for kind in KINDS:
                packing[kind] = tuple(dict.fromkeys(p for form in m.forms for p in FORMS[form][2][kind]))
            solidity = (0.9, 1.0) if m.forms[0] in ("powder", "mixture") else (0.3, 1.0)
            found[name] = Goods(name, family.headings[0], family.words, (m.name,), solidity, packing, hard=True)
    return found


@cache
def _shipped_goods() -> dict[str, Goods]:
    return {
        k: Goods(
            k, v["hs"], tuple(v["words"]), tuple(v["fill"]), tuple(v["solidity"]),
            {s: tuple(p) for s, p in v["packing"].items()}, v.get("hard", False),
        )
        for k, v in _table("goods.toml")["goods"].items()
    }  # fmt: skip


def scenarios() -> dict[str, Scenario]:
    """All scenarios by name, in the order of the file; those of the user's own materials come last."""
    return _scenarios(catalogue())


@lru_cache(maxsize=16)
def _scenarios(cat: Catalogue) -> dict[str, Scenario]:
    found = dict(_shipped_scenarios())
    for m in cat.materials.values():
        if m.covers and m.family in cat.watched:
            for name in m.forms:
                way, form, _ = FORMS[name]
                row = f"{m.name}_as_{name}"
                found[row] = Scenario(row, m.covers, (m.name,), way, m.mass_kg or _HIDDEN_KG, form, _SHARE)
    return found


@cache
def _shipped_scenarios() -> dict[str, Scenario]:
    pairs = lambda table: {k: tuple(v) for k, v in table.items()}  # noqa: E731
    return {
        k: Scenario(
            k, tuple(v["goods"]), tuple(v["threat"]), v["way"], pairs(v["mass_kg"]), v.get("form", "lump"),
            tuple(v.get("share", (1.0, 1.0))), pairs(v.get("wall", {})), v.get("binder"),
        )
        for k, v in _table("scenarios.toml")["scenarios"].items()
    }  # fmt: skip


def carried_by(kind: Kind) -> list[Goods]:
    """Goods that this kind of scanner sees."""
    return [g for g in goods().values() if g.packing.get(kind)]


def watched(goods: Goods) -> bool:
    """Whether goods are made of watch-list material."""
    cat = catalogue()
    return any(name != "air" and cat.materials[name].family in cat.watched for name in goods.fill)
