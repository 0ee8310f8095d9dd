"""Parcels on a belt, in a tube scanner's fan beam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leadline.datasets.simulator import solids
from leadline.datasets.simulator.geometry import Rays
from leadline.datasets.simulator.goods import Goods, carried_by, packings, substance, watched
from leadline.datasets.simulator.machines import PARCEL
from leadline.datasets.simulator.machines import Split as MachineSplit
from leadline.datasets.simulator.packing import Space, pack
from leadline.datasets.simulator.scene import Canvas, Item, grain


def build(rng: np.random.Generator, goods: list[Goods], split: MachineSplit) -> tuple[Canvas, list[Item]]:
    """Draw parcels; returns the canvas and the goods that may hide something.

    The first of `goods` is what was declared and what may hide a threat; others are beside it.
    """
    pixel = PARCEL["pixel_mm"].draw(rng, split) / 10
    rays = Rays(
        int(rng.integers(340, 440)), int(rng.integers(420, 560)), pixel,
        source_distance=rng.uniform(45, 160) if rng.random() < 0.85 else np.inf,
        source_y=rng.uniform(-0.1, 1.0) * 400 * pixel,
    )  # fmt: skip
    canvas = Canvas(rays)
    _belt(rng, canvas)
    items: list[Item] = []
    left, room = rays.width * rng.uniform(0.03, 0.15), rays.width * rng.uniform(0.8, 0.95)
    count = int(rng.choice([1, 2, 3], p=[0.8, 0.16, 0.04]))
    for k in range(count):
        width = min((room - left) / (count - k), 70.0) * rng.uniform(0.6, 0.97)
        height = min(rays.height * rng.uniform(0.3, 0.8), 55.0)
        if width < 8:
            break
        box = Space(left, left + width, 2.0, 2.0 + height, 0, 0)
        contents = _carton(rng, canvas, box, goods if k == 0 else [_other(rng)], split)
        items += contents if k == 0 else []
        for item in contents:
            canvas.draw(item, rng)
        left += width + rng.uniform(0.5, 6)
    return canvas, items


def _other(rng: np.random.Generator) -> Goods:
    """Goods of a parcel that happens to lie in the same scan: hardly ever those that look like a threat."""
    honest = [g for g in carried_by("parcel") if not watched(g)]
    weight = np.array([0.03 if g.hard else 1.0 for g in honest])
    return honest[int(rng.choice(len(honest), p=weight / weight.sum()))]


def _belt(rng: np.random.Generator, canvas: Canvas) -> None:
    rays = canvas.rays
    if rng.random() < 0.6:
        belt = solids.box(np.array([rays.width / 2, 0.8, 0]), np.array([rays.width * 1.2, rng.uniform(0.2, 0.6), 60]))
        canvas.add(substance(rng, "rubber"), *belt.chord(rays))
    if rng.random() < 0.3:  # a tray
        tray = solids.box(
            np.array([rays.width / 2, 7, 0]), np.array([rays.width * rng.uniform(0.6, 0.95), 12, rng.uniform(35, 50)])
        )
        canvas.draw(Item(tray, (), (substance(rng, "abs"), rng.uniform(0.2, 0.4))), rng)


def _carton(rng: np.random.Generator, canvas: Canvas, box: Space, goods: list[Goods], split: str) -> list[Item]:
    """A carton, bag or envelope with its goods, padding and small things beside them."""
    depth = rng.uniform(8, 45)
    z = rng.uniform(-8, 8)
    outer = solids.box(
        np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2, z]), np.array([*box.size[:2], depth]),
        solids.turn_y(rng.normal(0, 0.08)) @ solids.turn_z(rng.normal(0, 0.02)),
    )  # fmt: skip
    wall = rng.uniform(0.2, 0.8)
    material = str(rng.choice(["cardboard", "wood", "abs", "cotton"], p=[0.78, 0.08, 0.07, 0.07]))
    canvas.draw(Item(outer, (), (substance(rng, material), wall)), rng)
    inside = Space(
        box.x0 + wall + 0.3, box.x1 - wall - 0.3, box.y0 + wall + 0.2, box.y1 - wall - 0.5,
        z - depth / 2 + wall + 0.2, z + depth / 2 - wall - 0.2,
    )  # fmt: skip
    if rng.random() < 0.5:
        window, chord = solids.box(inside_centre(inside), inside.size).chord(canvas.rays)
        if chord.size:
            padding = rng.uniform(0.01, 0.06)
            chord = chord * grain(rng, chord.shape, 1.5 / canvas.rays.pixel_cm, 0.4)
            canvas.add((("paper", padding),), window, chord)
    items: list[Item] = []
    payload = float(np.exp(rng.uniform(np.log(0.5), np.log(30))))
    for k, kind in enumerate(goods):
        # the first goods may fill the carton; others lie wherever they fit, before or behind them too
        room = inside if k == 0 and rng.random() < 0.7 else _part(rng, inside)
        if min(room.size) < 2:
            continue
        packing = packings()[str(rng.choice(kind.packing["parcel"]))]
        packed = pack(rng, room, kind, packing, payload / (k + 1), split)
        if k:  # beside the declared goods: they hide nothing
            packed = [replace(item, open_to_threat=False) for item in packed]
        items += packed
    return items + _small_things(rng, inside)


def _part(rng: np.random.Generator, space: Space) -> Space:
    """A random part of a space, at least a third of it each way."""
    share = rng.uniform(0.33, 1.0, 3)
    low = np.array([space.x0, space.y0, space.z0]) + rng.random(3) * (1 - share) * space.size
    high = low + share * space.size
    return Space(low[0], high[0], low[1], high[1], low[2], high[2])


def inside_centre(space: Space) -> np.ndarray:
    """Middle of a space, cm."""
    return np.array([(space.x0 + space.x1) / 2, (space.y0 + space.y1) / 2, (space.z0 + space.z1) / 2])


def _small_things(rng: np.random.Generator, space: Space) -> list[Item]:
    """Cables, chargers, batteries, coins, keys: what lies in parcels anyhow."""
    items = []
    for _ in range(int(rng.integers(0, 7))):
        at = space.point(rng, 2)
        turn = solids.random_rotation(rng)
        match int(rng.integers(5)):
            case 0:  # cable
                solid, fill = solids.cylinder(at, rng.uniform(0.1, 0.4), rng.uniform(5, 25), turn), "copper_coil"
            case 1:  # charger: a coil and board in plastic
                solid, fill = solids.box(at, rng.uniform([2, 2, 1], [6, 5, 4]), turn), "copper_coil"
                items.append(Item(solid, substance(rng, fill, rng.uniform(0.1, 0.4)), open_to_threat=False))
                continue
            case 2:  # battery cell
                solid, fill = solids.cylinder(at, rng.uniform(0.5, 1.7), rng.uniform(4, 9), turn), "iron_scrap"
            case 3:  # coin, key, bracket
                solid, fill = solids.cylinder(at, rng.uniform(0.8, 2), rng.uniform(0.1, 0.4), turn), "brass"
            case _:
                solid, fill = solids.box(at, rng.uniform([1, 0.1, 1], [12, 0.4, 6]), turn), "steel"
        items.append(Item(solid, substance(rng, fill), open_to_threat=False))
    return items
