"""How goods stand in a space: stacked on pallets, thrown in loosely, or heaped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from leadline.datasets.simulator import solids
from leadline.datasets.simulator.geometry import Array, Convex, Rays, Vector, Window
from leadline.datasets.simulator.goods import Goods, Packing, Substance, density, substance
from leadline.datasets.simulator.meshes import Casting
from leadline.datasets.simulator.scene import Item, Solid

MESHES = {"train": (0, 64), "heldout": (64, 96)}  # library meshes that a split draws from
_MOST_UNITS = 160
_ROWS_MERGE = {"box", "bag", "ingot"}  # units that fill a row along the beam without gaps


@dataclass(frozen=True)
class Space:
    """A room to put goods in: bounds in cm."""

    x0: float
    x1: float
    y0: float
    y1: float
    z0: float
    z1: float

    @property
    def size(self) -> Vector:
        """Extent along x, y, z."""
        return np.array([self.x1 - self.x0, self.y1 - self.y0, self.z1 - self.z0])

    def point(self, rng: np.random.Generator, margin: float = 0.0) -> Vector:
        """A point inside, at least `margin` from the walls where there is room."""
        low, high = np.array([self.x0, self.y0, self.z0]), np.array([self.x1, self.y1, self.z1])
        m = np.minimum(margin, 0.49 * (high - low))
        return rng.uniform(low + m, high - m)


@dataclass(frozen=True)
class Heap:
    """Bulk goods under a rough surface.

    Attributes:
        space: what it lies in.
        profile: surface height above the floor at even steps along x, cm.
        roughness: spread of the surface across the depth, cm.
    """

    space: Space
    profile: tuple[float, ...]
    roughness: float

    @property
    def corners(self) -> Vector:
        """Corners of the room up to the highest point, cm."""
        s, top = self.space, self.space.y0 + max(self.profile) + 2 * self.roughness
        return np.array([(x, y, z) for x in (s.x0, s.x1) for y in (s.y0, top) for z in (s.z0, s.z1)])

    def shrunk(self, wall: float) -> Heap:
        """A heap has no shell."""
        return self

    def chord(self, rays: Rays) -> tuple[Window, Array]:
        """Path lengths, cm; rays are taken as level inside the heap."""
        s = self.space
        window = rays.window(self.corners)
        x, y = rays.x(window), rays.y(window)
        height = s.y0 + np.interp(x, np.linspace(s.x0, s.x1, len(self.profile)), self.profile)
        inside = ((x >= s.x0) & (x <= s.x1))[None, :] * (y >= s.y0)[:, None]
        share = np.clip((height[None, :] - y[:, None]) / (2 * self.roughness) + 0.5, 0, 1) * inside
        return window, (share * (s.z1 - s.z0)).astype(np.float32)

    def volume(self) -> float:
        """Volume, cm3."""
        return float(np.mean(self.profile) * (self.space.x1 - self.space.x0) * (self.space.z1 - self.space.z0))


def unit(rng: np.random.Generator, packing: Packing, size: Vector, centre: Vector, split: str) -> Solid:
    """One unit of a packing, of full size (x, y, z) cm, standing at `centre`."""
    match packing.shape:
        case "box":
            return solids.box(centre, size)
        case "bag":
            return solids.bag(centre, size, bulge=rng.uniform(1.15, 1.5))
        case "ingot":
            return solids.ingot(centre, size, taper=rng.uniform(0.1, 0.4))
        case "cylinder":
            return solids.cylinder(centre, size[0] / 2, size[1])
        case "coil":
            axes = solids.UPRIGHT if rng.random() < 0.5 else solids.STANDING
            return solids.cylinder(centre, min(size[0], size[1]) / 2, size[2], axes)
        case "bar":
            return solids.cylinder(centre, size[0] / 2, size[1], solids.LYING)
        case "shard":
            return solids.shard(rng, centre, float(size.max()))
        case "figurine":
            return solids.figurine(rng, centre, float(size[1]))
        case "casting":
            number = int(rng.integers(*MESHES[split]))
            return Casting(
                number,
                (float(centre[0]), float(centre[1]), float(centre[2])),
                float(size.max()) / 2,
                rng.uniform(0, 2 * np.pi),
            )
        case "mixed":
            return _mixed(rng, centre, size)
    raise ValueError(f"unknown shape {packing.shape!r} in goods.toml")


def _mixed(rng: np.random.Generator, centre: Vector, size: Vector) -> Solid:
    turn = solids.random_rotation(rng) if rng.random() < 0.6 else solids.turn_y(rng.uniform(0, np.pi))
    match int(rng.integers(5)):
        case 0 | 1:
            return solids.box(centre, size * rng.uniform(0.3, 1.0, 3), turn)
        case 2:
            return solids.cylinder(centre, size[0] * rng.uniform(0.1, 0.5), size[1] * rng.uniform(0.4, 1.2), turn)
        case 3:
            return solids.ellipsoid(centre, size / 2 * rng.uniform(0.5, 1.0, 3), turn)
        case _:
            return solids.shard(rng, centre, float(size.max()))


def draw_size(rng: np.random.Generator, packing: Packing) -> Vector:
    """A unit's full size, cm; round shapes are as deep as they are wide."""
    size = np.array([rng.uniform(a, b) for a, b in packing.size])
    if packing.shape in ("cylinder", "coil", "bar", "figurine", "casting"):
        size[2] = size[0]
    return size


def pack(
    rng: np.random.Generator, space: Space, goods: Goods, packing: Packing, payload_kg: float, split: str
) -> list[Item]:
    """Fill a space with goods up to a payload, as their packing stands."""
    contents = goods.contents(rng)
    match packing.stand:
        case "stack":
            return stack(rng, space, packing, contents, payload_kg, split)
        case "loose":
            return loose(rng, space, goods, packing, payload_kg, split)
    return heap(rng, space, packing, contents, payload_kg, split)


def _shell(rng: np.random.Generator, packing: Packing) -> tuple[Substance, float] | None:
    if packing.shell is None:
        return None
    material, low, high = packing.shell
    return substance(rng, material), float(rng.uniform(low, high))


def stack(
    rng: np.random.Generator, space: Space, packing: Packing, contents: Substance, payload_kg: float, split: str
) -> list[Item]:
    """Units side by side in layers; a row along the beam is one item where it has no gaps."""
    size, shell, room = draw_size(rng, packing), _shell(rng, packing), space.size
    pitch = np.array([size[0], size[1], size[2]])
    if packing.shape == "bar":
        pitch = np.array([size[1], size[0], size[0]])
    pitch = pitch + rng.uniform(0.0, 0.03) * pitch
    if np.any(pitch > room):  # one turned or smaller unit still fits
        scale = float(np.min(room / pitch))
        size, pitch = size * scale, pitch * scale
    across, deep = max(1, int(room[0] // pitch[0])), max(1, int(room[2] // pitch[2]))
    if rng.random() < 0.6:
        deep = int(rng.integers(1, deep + 1))
    kilos = max(density(contents) * float(np.prod(size)) / 1000, 0.05) * 0.85
    layers = int(max(1, min(room[1] // pitch[1], payload_kg / (kilos * across * deep))))
    fill_height = int(rng.integers(1, layers + 1)) if rng.random() < 0.4 else layers
    each = 1 if packing.shape in _ROWS_MERGE else deep
    most = _MOST_UNITS // 4 if packing.shape in ("figurine", "casting") else _MOST_UNITS
    while across * fill_height * each > most:  # many small units: a part of the space is enough
        if each > 1:
            deep = each = each // 2
        elif across > 1:
            across //= 2
        else:
            fill_height //= 2
    x_free = room[0] - across * pitch[0]
    left = space.x0 + rng.uniform(0, 1) * x_free
    z_mid = rng.uniform(space.z0 + deep * pitch[2] / 2, space.z1 - deep * pitch[2] / 2 + 1e-6)
    jitter = rng.uniform(0, 0.02) * size
    # loosely filled units (parts, garments, appliances) differ inside and from each other; powders do not
    uneven = (
        rng.uniform(0, 1) * max(0.0, 1 - density(contents) / density(substance(rng, contents[0][0])))
        if contents
        else 0.0
    )
    texture, items = rng.uniform(0, 0.06) + 0.5 * uneven, []
    for column in range(across):
        top = fill_height - (int(rng.integers(0, 2)) if rng.random() < 0.15 and fill_height > 1 else 0)
        for layer in range(top):
            at = np.array([left + (column + 0.5) * pitch[0], space.y0 + (layer + 0.5) * pitch[1], z_mid])
            at[:2] += rng.normal(0, 1, 2) * jitter[:2] * (1, 0.3)
            share = float(np.clip(rng.normal(1, 0.4 * uneven), 0.3, 1.7)) if uneven else 1.0
            held = tuple((m, r * share) for m, r in contents)
            if packing.shape in _ROWS_MERGE:
                row = unit(rng, packing, np.array([size[0], size[1], deep * pitch[2]]), at, split)
                items.append(replace(_item(row, held, shell, texture), units=_cut(row, deep, shell)))
                continue
            for k in range(deep):
                place = at + np.array([0, 0, (k - (deep - 1) / 2) * pitch[2]])
                items.append(_item(unit(rng, packing, size, place, split), held, shell, texture))
    return items


def _item(solid: Solid, contents: Substance, shell: tuple[Substance, float] | None, texture: float) -> Item:
    return Item(solid, contents, shell, texture=texture, grain_cm=max(0.3, 0.06 * float(np.ptp(solid.corners[:, 1]))))


def _cut(row: Solid, count: int, shell: tuple[Substance, float] | None) -> tuple[Solid, ...]:
    """The rooms of `count` units of which a row along the beam consists."""
    room = row.shrunk(shell[1]) if shell else row
    if room is None or not isinstance(room, Convex):
        return ()
    depth = room.half[2] / count
    part = replace(room, half=(room.half[0], room.half[1], depth * 0.98))
    x, y, z = room.centre
    return tuple(part.moved((x, y, z + (2 * k + 1 - count) * depth)) for k in range(count))


def loose(
    rng: np.random.Generator, space: Space, goods: Goods, packing: Packing, payload_kg: float, split: str
) -> list[Item]:
    """Units of many sizes lying anyhow, heavier ones lower."""
    items: list[Item] = []
    mass, count = 0.0, int(rng.integers(6, 40))
    for _ in range(count):
        size = np.minimum(draw_size(rng, packing), 0.8 * space.size)
        centre = space.point(rng, float(size.max()) / 2)
        centre[1] = space.y0 + (centre[1] - space.y0) * rng.uniform(0.4, 1.0)
        contents = goods.contents(rng)
        shell = _shell(rng, packing) if rng.random() < 0.7 else None
        solid = unit(rng, packing, size, centre, split)
        mass += density(contents) * float(np.prod(size)) / 4000
        if mass > payload_kg and items:
            break
        items.append(Item(solid, contents, shell, texture=rng.uniform(0, 0.2), grain_cm=float(size.min()) / 6 + 0.2))
    return items


def heap(
    rng: np.random.Generator,
    space: Space,
    packing: Packing,
    contents: Substance,
    payload_kg: float,
    split: str,
) -> list[Item]:
    """Bulk goods: a rough heap with lumps in and on it."""
    size, scrap = space.size, packing.shape == "mixed"
    rho = max(density(contents), 0.05)
    mean = min(payload_kg * 1000 / (rho * size[0] * size[2]), 0.7 * size[1]) * rng.uniform(0.3, 1.0)
    x = np.linspace(0, 1, 40)
    shape = 1 + sum(rng.normal(0, 0.18) * np.cos(k * np.pi * x + rng.uniform(0, 6)) for k in range(1, 6))
    profile = tuple(np.clip(mean * shape, 3, 0.95 * size[1]))
    body = Heap(space, profile, rng.uniform(0.03, 0.15) * mean + 2)
    base = contents if not scrap else tuple((m, 0.6 * d) for m, d in contents)
    lump = float(np.mean(packing.size[0]))
    items = [Item(body, base, texture=rng.uniform(0.05, 0.3), grain_cm=lump * (0.25 if scrap else 0.5))]
    solid_rho = substance(rng, contents[0][0])
    for _ in range(int(rng.integers(15, 60))):
        extent = draw_size(rng, packing)
        at = space.point(rng, 5)
        surface = float(np.interp(at[0], np.linspace(space.x0, space.x1, 40), profile))
        at[1] = space.y0 + surface * (rng.uniform(0.05, 1.0) if scrap else rng.normal(1.0, 0.04))
        part = unit(rng, packing, extent * (0.5 if scrap else 1.0), at, split)
        hollow = scrap and rng.random() < 0.6
        wall = float(rng.uniform(0.2, 1.2))
        items.append(
            Item(part, () if hollow else solid_rho, (solid_rho, wall) if hollow else None, open_to_threat=False)
        )
    return items
