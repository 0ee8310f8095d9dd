"""A shipping container on its chassis, loaded with goods, in a linac's fan beam."""

from __future__ import annotations

import numpy as np

from leadline.datasets.simulator import solids
from leadline.datasets.simulator.geometry import Rays
from leadline.datasets.simulator.goods import Goods, packings, substance
from leadline.datasets.simulator.machines import CONTAINER
from leadline.datasets.simulator.machines import Split as MachineSplit
from leadline.datasets.simulator.packing import Space, pack
from leadline.datasets.simulator.scene import Canvas, Item

# ISO 668 inside and outside dimensions, cm, rounded
INSIDE_WIDTH, INSIDE_HEIGHT = 235.0, 239.0
_PALLET_GOODS = {"bags", "ingots", "tile_boxes", "battery_boxes", "pails", "plastic_drums", "drums", "cartons"}


def build(rng: np.random.Generator, goods: list[Goods], split: MachineSplit) -> tuple[Canvas, list[Item]]:
    """Draw a loaded container; returns the canvas and the goods that may hide something."""
    rays, inside = frame(rng, split)
    canvas = Canvas(rays)
    if rng.random() < 0.92:  # else an open platform
        structure(rng, canvas, inside)
    items: list[Item] = []
    edges = np.linspace(inside.x0, inside.x1, len(goods) + 1)
    payload = float(np.exp(rng.uniform(np.log(2500), np.log(26000))))
    for k, kind in enumerate(goods):
        room = Space(edges[k], edges[k + 1], inside.y0, inside.y1, inside.z0, inside.z1)
        items += _load(rng, canvas, room, kind, payload / len(goods), split)
    if rng.random() < 0.3:
        _dunnage(rng, canvas, inside)
    for item in items:
        canvas.draw(item, rng)
    return canvas, items


def frame(rng: np.random.Generator, split: MachineSplit) -> tuple[Rays, Space]:
    """The image and the container's inside in it."""
    pixel = CONTAINER["pixel_mm"].draw(rng, split) / 10
    rays = Rays(
        int(rng.integers(600, 730)), int(rng.integers(1100, 1430)), pixel,
        source_distance=rng.uniform(400, 900) if rng.random() < 0.85 else np.inf, source_y=rng.uniform(60, 180),
    )  # fmt: skip
    floor = rng.uniform(28, 70)
    left = rng.uniform(8, 60) if rng.random() < 0.6 else -50.0
    right = rays.width - rng.uniform(8, 60) if rng.random() < 0.6 else rays.width + 50.0
    if rng.random() < 0.08:  # a short container
        right = min(right, left + 300 + 200 * rng.random())
    half = INSIDE_WIDTH / 2
    top = min(floor + INSIDE_HEIGHT + (30 if rng.random() < 0.2 else 0), rays.height + 40)
    return rays, Space(left, right, floor, top, -half, half)


def structure(rng: np.random.Generator, canvas: Canvas, s: Space) -> None:
    """Walls with their corrugation, roof, floor with cross-members, rails, posts, door and chassis."""
    rays, steel = canvas.rays, substance(rng, "steel")
    middle_x, length, width = (s.x0 + s.x1) / 2, s.x1 - s.x0, s.z1 - s.z0

    def bar(x: float, y: float, z: float, w: float, h: float, d: float, share: float = 1.0) -> None:
        part = tuple((m, r * share) for m, r in steel)
        canvas.add(part, *solids.box(np.array([x, y, z]), np.array([w, h, d])).chord(rays))

    # side walls: trapezoid corrugation seen along its depth; slopes are longer in the beam
    sheet, pitch = rng.uniform(0.16, 0.22), rng.uniform(24, 30)
    window = rays.window(np.array([(x, y, z) for x in (s.x0, s.x1) for y in (s.y0, s.y1) for z in (s.z0, s.z1)]))
    x = rays.x(window)
    for z in (s.z0, s.z1):
        phase = ((x - s.x0) / pitch + rng.random()) % 1
        slope = (np.abs(phase - 0.3) < 0.11) | (np.abs(phase - 0.8) < 0.11)
        wall = np.where(slope, sheet * rng.uniform(1.2, 1.8), sheet) * ((x >= s.x0) & (x <= s.x1))
        face = rays.window(np.array([(s.x0, s.y0, z), (s.x1, s.y1, z)]))
        rows = face[1] - face[0]
        columns = slice(face[2] - window[2], face[3] - window[2])
        chord = np.broadcast_to(wall[columns].astype(np.float32), (rows, face[3] - face[2]))
        canvas.add(steel, face, chord)
    bar(middle_x, s.y1 + 1.5, 0, length, 3.0, width, share=0.2 / 3.0 * rng.uniform(0.8, 1.3))
    for z in (s.z0, s.z1):
        bar(middle_x, s.y1 + 2, z, length, 6, 6, share=0.25)
        bar(middle_x, s.y0 - 8, z, length, 16, 5, share=0.2)
    board = substance(rng, "wood")
    canvas.add(board, *solids.box(np.array([middle_x, s.y0 - 1.4, 0]), np.array([length, 2.8, width])).chord(rays))
    step = rng.uniform(26, 34)
    for at in np.arange(max(s.x0, 0) + step / 2, min(s.x1, rays.width), step):
        bar(at, s.y0 - 9, 0, 0.5, 12, width)
        bar(at + 2, s.y0 - 14.5, 0, 4.5, 0.5, width)
    for end in (s.x0, s.x1):
        if 0 < end < rays.width:
            for z in (s.z0, s.z1):
                bar(end, (s.y0 + s.y1) / 2, z, 12, s.y1 - s.y0 + 12, 10, share=rng.uniform(0.1, 0.25))
            bar(end, (s.y0 + s.y1) / 2, 0, 0.5, s.y1 - s.y0, width * 0.9)
    if 0 < s.x1 < rays.width and rng.random() < 0.5:  # door bars
        for z in rng.uniform(-90, 90, 4):
            pipe = solids.cylinder(np.array([s.x1 + 3, (s.y0 + s.y1) / 2, z]), 1.7, s.y1 - s.y0)
            canvas.add(tuple((m, r * 0.5) for m, r in steel), *pipe.chord(rays))
    _chassis(rng, canvas, s)


def _chassis(rng: np.random.Generator, canvas: Canvas, s: Space) -> None:
    rays, steel, rubber = canvas.rays, substance(rng, "steel"), substance(rng, "rubber")
    below = s.y0 - 17
    for z in (-45, 45):
        beam = solids.box(np.array([rays.width / 2, below - 8, z]), np.array([rays.width * 1.1, 14, 1.0]))
        canvas.add(steel, *beam.chord(rays))
    for _ in range(int(rng.integers(0, 5))):  # axles, brackets, landing legs
        at = np.array([rng.uniform(0, rays.width), below - rng.uniform(5, 25), rng.uniform(-80, 80)])
        canvas.add(steel, *solids.box(at, rng.uniform([10, 5, 3], [60, 20, 40])).chord(rays))
    if rng.random() < 0.4:
        for x in rng.uniform(0, rays.width, int(rng.integers(1, 4))):
            wheel = solids.cylinder(np.array([x, below - 40, rng.choice([-95.0, 95.0])]), 48, 30, solids.UPRIGHT)
            canvas.add(tuple((m, r * 0.6) for m, r in rubber), *wheel.chord(rays))
    if rng.random() < 0.3:  # a rail with ties along the scanner's tunnel
        spacing = rng.uniform(9, 16)
        for x in np.arange(0, rays.width, spacing):
            tie = solids.box(np.array([x, below - 12, 0]), np.array([spacing / 2, 5, 40]))
            canvas.add(steel, *tie.chord(rays))


def _load(
    rng: np.random.Generator, canvas: Canvas, room: Space, goods: Goods, payload: float, split: str
) -> list[Item]:
    """Goods in one section: on pallets where they come so, else on the floor."""
    name = str(rng.choice(goods.packing["container"]))
    packing = packings()[name]
    if packing.stand != "stack" or name not in _PALLET_GOODS or rng.random() < 0.25:
        return pack(rng, _inset(rng, room), goods, packing, payload, split)
    length, gap = rng.uniform(100, 122), rng.uniform(2, 18)
    count = max(1, int((room.size[0] - 5) // (length + gap)))
    count = int(rng.integers(max(1, count // 2), count + 1))
    start = room.x0 + rng.uniform(2, max(3.0, room.size[0] - count * (length + gap)))
    items: list[Item] = []
    uniform = int(rng.integers(1 << 31))  # pallets of one load look alike
    for k in range(count):
        x0 = start + k * (length + gap)
        base = room.y0 + _pallet(rng, canvas, x0, length, room)
        top = base + (room.y1 - base) * rng.uniform(0.85, 0.95)
        space = Space(x0, x0 + length, base, max(top, base + 30), room.z0 + 5, room.z1 - 5)
        own = np.random.default_rng(uniform if rng.random() < 0.8 else uniform + k)
        items += pack(own, space, goods, packing, payload / count, split)
    return items


def _pallet(rng: np.random.Generator, canvas: Canvas, x0: float, length: float, room: Space) -> float:
    """Draw a wooden pallet (EN 13698: 14.4 cm high); returns its height, cm."""
    wood, x, depth = substance(rng, "wood"), x0 + length / 2, room.z1 - room.z0 - 10
    for y, high, share in ((1.1, 2.2, 0.5), (7.0, 9.5, 0.12), (13.2, 2.4, 0.8)):
        slab = solids.box(np.array([x, room.y0 + y, 0]), np.array([length, high, depth]))
        canvas.add(tuple((m, r * share) for m, r in wood), *slab.chord(canvas.rays))
    return 14.4


def _inset(rng: np.random.Generator, room: Space) -> Space:
    side = rng.uniform(0, 20, 2)
    return Space(room.x0 + side[0], room.x1 - side[1], room.y0, room.y0 + 0.93 * room.size[1], room.z0 + 3, room.z1 - 3)


def _dunnage(rng: np.random.Generator, canvas: Canvas, room: Space) -> None:
    """Planks and braces among the load."""
    wood = substance(rng, "wood")
    for _ in range(int(rng.integers(1, 6))):
        size, at = rng.uniform([4, 4, 8], [12, 160, 120]), room.point(rng, 20)
        at[1] = room.y0 + size[1] / 2  # standing on the floor, leaning
        canvas.add(wood, *solids.box(at, size, solids.turn_z(rng.normal(0, 0.15))).chord(canvas.rays))
