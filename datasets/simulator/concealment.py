"""Hiding a threat among goods, as a scenario says, beside its honest twin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Kind
from leadline.datasets.simulator import solids
from leadline.datasets.simulator.geometry import Vector
from leadline.datasets.simulator.goods import Scenario, Substance, density, substance
from leadline.datasets.simulator.scene import Canvas, Item, Solid

_LIMIT = 90  # solids that one threat may consist of; more only cost time
_FORMS = ("ingot", "block", "lump", "bag", "drum", "sheet")
_FORM_SIZE: dict[Kind, dict[str, tuple[tuple[float, float], ...]]] = {
    # full size x, y, z in cm
    "container": {
        "ingot": ((35, 75), (6, 12), (9, 18)),
        "block": ((10, 60), (8, 40), (10, 60)),
        "lump": ((8, 60), (8, 50), (8, 60)),
        "bag": ((45, 75), (10, 20), (34, 50)),
        "drum": ((30, 58), (40, 90), (30, 58)),
        "sheet": ((40, 200), (40, 120), (0.5, 6)),
    },
    "parcel": {
        "ingot": ((4, 20), (1, 4), (2, 8)),
        "block": ((1, 8), (0.5, 6), (0.2, 5)),
        "lump": ((0.5, 6), (0.5, 6), (0.5, 6)),
        "bag": ((6, 22), (3, 14), (0.8, 8)),
        "drum": ((1, 11), (2, 14), (1, 11)),
        "sheet": ((4, 25), (4, 20), (0.03, 0.5)),
    },
}


def hide(rng: np.random.Generator, canvas: Canvas, items: Sequence[Item], scenario: Scenario, kind: Kind) -> None:
    """Draw one threat of the scenario into the canvas's threat version.

    `items` are the goods of the cover, already drawn; where none can hold anything, nothing happens.
    """
    hosts = [i for i in items if i.open_to_threat and i.rooms]
    if not hosts:
        return
    low, high = scenario.mass_kg[kind]
    # the greater of two draws: what is hidden has to be worth the freight and the risk
    grams = 1000 * float(np.exp(rng.uniform(np.log(low), np.log(high), 2).max()))
    material = str(rng.choice(scenario.threat or _watched()))
    way = scenario.way
    if way == "any":
        way = str(rng.choice(["replace", "mix", "bury", "lead_box"], p=[0.3, 0.15, 0.4, 0.15]))
    match way:
        case "replace":
            _replace(rng, canvas, hosts, substance(rng, material), grams)
        case "mix":
            _replace(rng, canvas, hosts, (), grams, mix=(material, rng.uniform(*scenario.share), scenario.binder))
        case "bury":
            _bury(rng, canvas, hosts, substance(rng, material), grams, scenario.form, kind, wall=0.0)
        case "lead_box":
            wall = rng.uniform(*scenario.wall[kind])
            _bury(rng, canvas, hosts, substance(rng, material), grams, scenario.form, kind, wall)


def _watched() -> list[str]:
    cat = catalogue()
    return [m.name for m in cat.materials.values() if m.family in cat.watched]


def _replace(
    rng: np.random.Generator,
    canvas: Canvas,
    hosts: Sequence[Item],
    threat: Substance,
    grams: float,
    mix: tuple[str, float, str | None] | None = None,
) -> None:
    """Fill units with the threat, or with a mixture, until its mass is reached."""
    rooms = [(item, room) for item in hosts for room in item.rooms]
    centres = np.array([room.corners.mean(0) for _, room in rooms])
    together = rng.random() < 0.75
    seed = centres[rng.integers(len(rooms))]
    order = np.argsort(np.linalg.norm(centres - seed, axis=1)) if together else rng.permutation(len(rooms))
    # full, or less of it in the beam: a part of the unit, a lining, a double bottom
    level = 1.0 if rng.random() < 0.6 else float(np.exp(rng.uniform(np.log(0.06), 0)))
    for k in order[:_LIMIT]:
        item, room = rooms[k]
        contents = threat if mix is None else blend(rng, item.fill, *mix)
        part = tuple((m, rho * level) for m, rho in contents) + tuple((m, rho * (1 - level)) for m, rho in item.fill)
        canvas.swap(item.fill, part, *room.chord(canvas.rays))
        grams -= room.volume() * sum(r for m, r in part if m in _watched())
        if grams <= 0:
            break


def blend(
    rng: np.random.Generator, honest: Substance, material: str, share: float, binder: str | None = None
) -> Substance:
    """The honest contents (or a binder) with `share` by mass of a material; volumes add up."""
    (_, rho), *_ = substance(rng, material)
    base = substance(rng, binder) if binder else honest
    if not base:
        return ((material, rho),)
    bulk = 1 / (share / rho + (1 - share) / density(base))
    return ((material, bulk * share), *((m, bulk * (1 - share) * r / density(base)) for m, r in base))


def _bury(
    rng: np.random.Generator,
    canvas: Canvas,
    hosts: Sequence[Item],
    threat: Substance,
    grams: float,
    form: str,
    kind: Kind,
    wall: float,
) -> None:
    """Put solids among the goods, stacked or scattered, with or without lead around them."""
    form = str(rng.choice(_FORMS)) if form == "any" else form
    size = np.array([rng.uniform(a, b) for a, b in _FORM_SIZE[kind][form]])
    probe = _form(rng, form, np.zeros(3), size)
    single = probe.volume() * density(threat)
    if single > grams:
        size, single = size * (grams / single) ** (1 / 3), grams
    host = hosts[int(rng.integers(len(hosts)))]
    boxes = np.array([h.corners_box() for h in hosts])
    across, layers, deep = _grid(size, grams / single, host.corners_box(), boxes[:, 1].max(0) - boxes[:, 0].min(0))
    extent = np.array([across, layers, deep]) * size
    middle = host.corners_box().mean(0)
    middle[1] = host.corners_box()[0, 1] + extent[1] / 2
    count = min(max(1, round(grams / single)), across * layers * deep)
    if wall == 0 and rng.random() < 0.4:  # scattered
        chosen = boxes[rng.integers(len(boxes), size=count)]
        centres = [rng.uniform(0.9 * low + 0.1 * high, 0.1 * low + 0.9 * high) for low, high in chosen]
    else:
        cells = [(i, j, k) for j in range(layers) for k in range(deep) for i in range(across)][:count]
        centres = [middle - extent / 2 + (np.array(c) + 0.5) * size for c in cells]
    for centre in centres:
        canvas.swap(host.fill, threat, *_form(rng, form, centre, size).chord(canvas.rays))
    if wall > 0:
        shield = Item(solids.box(middle, extent + 2 * wall + 0.05 * size), (), (substance(rng, "lead"), wall))
        if rng.random() < 0.4:  # a sheet before the goods instead of a box around them
            sheet = solids.box(middle - [0, 0, extent[2] / 2 + wall], np.array([*(1.2 * extent[:2]), wall]))
            shield = Item(sheet, substance(rng, "lead"))
        canvas.draw(shield, rng)


def _grid(size: Vector, count: float, host: Vector, room: Vector) -> tuple[int, int, int]:
    """Columns, layers and depth of a stack of about `count` units that keeps to the room of the goods."""
    most = np.maximum(room // size, 1)
    count = min(count, _LIMIT)
    deep = int(np.clip(round(count ** (1 / 3)), 1, max(1, (host[1, 2] - host[0, 2]) // size[2])))
    across = int(np.clip(np.ceil(np.sqrt(count / deep)), 1, most[0]))
    layers = int(np.clip(np.ceil(count / (deep * across)), 1, most[1]))
    across = int(np.clip(np.ceil(count / (deep * layers)), 1, most[0]))
    return across, layers, deep


def _form(rng: np.random.Generator, form: str, centre: Vector, size: Vector) -> Solid:
    match form:
        case "ingot":
            return solids.ingot(centre, size)
        case "bag":
            return solids.bag(centre, size)
        case "drum":
            return solids.cylinder(centre, size[0] / 2, size[1])
        case "lump":
            return solids.shard(rng, centre, float(size.max()))
    return solids.box(centre, size)
