"""A scene: what lies in the beam, as areal density per material, with and without the threat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np

from leadline.datasets.scan import Declaration, Kind
from leadline.datasets.simulator.geometry import Array, Rays, Vector, Window
from leadline.datasets.simulator.goods import Substance


class Solid(Protocol):
    """Anything with a path length: see geometry.py and meshes.py."""

    @property
    def corners(self) -> Vector:
        """Points (n, 3) of its bounding box, cm."""

    def shrunk(self, wall: float) -> Solid | None:
        """Its cavity behind a wall of this thickness (cm)."""

    def chord(self, rays: Rays) -> tuple[Window, Array]:
        """Path lengths, cm."""

    def volume(self) -> float:
        """Volume, cm3."""


@dataclass(frozen=True)
class Item:
    """A unit of goods.

    Attributes:
        solid: its outer form.
        fill: what the room inside holds.
        shell: wall as (substance, thickness in cm), or `None`.
        texture: relative standard deviation of the fill's path length, from its grain.
        grain_cm: size of that grain.
        open_to_threat: whether something may be hidden in it.
        units: rooms of the single units where one item stands for a row of them along the beam.
    """

    solid: Solid
    fill: Substance
    shell: tuple[Substance, float] | None = None
    texture: float = 0.0
    grain_cm: float = 2.0
    open_to_threat: bool = True
    units: tuple[Solid, ...] = ()

    @property
    def rooms(self) -> tuple[Solid, ...]:
        """The rooms that can be filled one by one."""
        if self.units:
            return self.units
        cavity = self.cavity
        return (cavity,) if cavity is not None else ()

    def corners_box(self) -> Vector:
        """Least and greatest corner of its bounding box, (2, 3) cm."""
        corners = self.solid.corners
        return np.array([corners.min(0), corners.max(0)])

    @property
    def cavity(self) -> Solid | None:
        """The room inside the shell."""
        return self.solid.shrunk(self.shell[1]) if self.shell else self.solid


@dataclass(frozen=True)
class Scene:
    """Areal densities, g/cm2, of everything in the beam.

    Attributes:
        kind: scanner kind that it is made for.
        pixel_mm: side of a pixel, mm.
        materials: names in the catalogue, M of them.
        areal: float32 (M, rows, columns), the honest twin.
        window: where the threat changes it, as (y0, y1, x0, x1); empty for a benign scene.
        change: float32 (M, y1 - y0, x1 - x0), to be added for the threat; negative where goods gave way.
        scenario: row of the evaluation; `"goods/NAME"` for a benign scene.
        declaration: what was declared, the same for both versions.
    """

    kind: Kind
    pixel_mm: float
    materials: tuple[str, ...]
    areal: Array
    window: Window
    change: Array
    scenario: str
    declaration: Declaration | None

    @property
    def has_threat(self) -> bool:
        """Whether there is a threat version at all."""
        return self.change.size > 0

    def with_threat(self) -> Array:
        """Areal densities of the threat version, (M, rows, columns)."""
        y0, y1, x0, x1 = self.window
        out = self.areal.copy()
        out[:, y0:y1, x0:x1] += self.change
        return np.maximum(out, 0, out=out)


@dataclass
class Canvas:
    """Collects areal densities while a scene is built."""

    rays: Rays
    honest: dict[str, Array] = field(default_factory=dict)
    changes: dict[str, Array] = field(default_factory=dict)

    def add(self, contents: Substance, window: Window, chord: Array, sign: float = 1.0) -> None:
        """Lay a substance into both versions."""
        self._lay(self.honest, contents, window, chord, sign)

    def swap(self, honest: Substance, threat: Substance, window: Window, chord: Array) -> None:
        """Put a threat where the honest twin has something else."""
        self._lay(self.changes, honest, window, chord, -1.0)
        self._lay(self.changes, threat, window, chord, 1.0)

    def draw(self, item: Item, rng: np.random.Generator) -> None:
        """Lay a unit of goods, shell and fill."""
        window, outer = item.solid.chord(self.rays)
        if outer.size == 0:
            return
        cavity = item.cavity
        if item.shell is not None:
            inner = np.zeros_like(outer)
            if cavity is not None:
                at, chord = cavity.chord(self.rays)
                y, x = at[0] - window[0], at[2] - window[2]
                inner[y : y + chord.shape[0], x : x + chord.shape[1]] = chord
            self.add(item.shell[0], window, np.maximum(outer - inner, 0))
            outer = inner
        if item.fill and cavity is not None:
            if item.texture:
                outer = outer * grain(rng, outer.shape, item.grain_cm / self.rays.pixel_cm, item.texture)
            self.add(item.fill, window, outer)

    def _lay(self, layers: dict[str, Array], contents: Substance, window: Window, chord: Array, sign: float) -> None:
        y0, y1, x0, x1 = window
        for material, rho in contents:
            layer = layers.get(material)
            if layer is None:
                layer = layers[material] = np.zeros((self.rays.rows, self.rays.columns), np.float32)
            layer[y0:y1, x0:x1] += np.float32(sign * rho) * chord

    def scene(self, kind: Kind, scenario: str, declaration: Declaration | None) -> Scene:
        """What was collected, the threat cut to the window that it changes."""
        names = tuple(sorted(set(self.honest) | set(self.changes)))
        shape = (self.rays.rows, self.rays.columns)
        areal = np.zeros((len(names), *shape), np.float32)
        for k, name in enumerate(names):
            if name in self.honest:
                np.maximum(self.honest[name], 0, out=areal[k])
        window: Window = (0, 0, 0, 0)
        touched = sum((np.abs(c) for c in self.changes.values()), np.zeros(shape, np.float32)) > 1e-6
        if touched.any():
            rows, columns = np.flatnonzero(touched.any(1)), np.flatnonzero(touched.any(0))
            window = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
        y0, y1, x0, x1 = window
        change = np.zeros((len(names), y1 - y0, x1 - x0), np.float32)
        for k, name in enumerate(names):
            if name in self.changes:
                change[k] = self.changes[name][y0:y1, x0:x1]
        np.maximum(change, -areal[:, y0:y1, x0:x1], out=change)  # no more can give way than lies there
        return Scene(kind, self.rays.pixel_cm * 10, names, areal, window, change, scenario, declaration)


def grain(rng: np.random.Generator, shape: tuple[int, ...], size: float, amount: float) -> Array:
    """A random factor around 1 with structure from `size` pixels up, relative standard deviation `amount`."""
    out = np.zeros(shape, np.float32)
    for octave, weight in ((1.0, 0.6), (3.0, 0.6), (9.0, 0.53)):
        step = max(size * octave, 1.0)
        coarse = rng.standard_normal((int(shape[0] / step) + 2, int(shape[1] / step) + 2)).astype(np.float32)
        out += weight * cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.clip(1 + 1.3 * amount * out, 0.05, 3.0)
