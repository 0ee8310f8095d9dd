"""Goods, packings and scenarios of `data/goods.toml` and `data/scenarios.toml`: data, not code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import numpy as np

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration, Kind

Substance = tuple[tuple[str, float], ...]
"""What fills a room: materials of the catalogue, each with its share of the bulk density, g/cm3."""


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


@cache
def goods() -> dict[str, Goods]:
    """All goods by name."""
    return {
        k: Goods(
            k, v["hs"], tuple(v["words"]), tuple(v["fill"]), tuple(v["solidity"]),
            {s: tuple(p) for s, p in v["packing"].items()}, v.get("hard", False),
        )
        for k, v in _table("goods.toml")["goods"].items()
    }  # fmt: skip


@cache
def scenarios() -> dict[str, Scenario]:
    """All scenarios by name, in the order of the file."""
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
