"""Solids by the names that people use: boxes, bags, ingots, drums, figurines."""

from __future__ import annotations

import numpy as np

from leadline.datasets.simulator.geometry import Convex, Union, Vector

UPRIGHT = np.eye(3)
LYING = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # local axis z along world x
STANDING = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # local axis z along world y


def turn_y(angle: float) -> Vector:
    """Rotation about the vertical, radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def turn_z(angle: float) -> Vector:
    """Rotation about the beam, radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def random_rotation(rng: np.random.Generator) -> Vector:
    """A rotation drawn evenly from all (Shoemake 1992, from a random unit quaternion)."""
    w, x, y, z = (q := rng.standard_normal(4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def box(centre: Vector, size: Vector, rotation: Vector = UPRIGHT) -> Convex:
    """A box of full size (x, y, z), cm."""
    return Convex(_point(centre), rotation, _point(np.asarray(size) / 2))


def bag(centre: Vector, size: Vector, rotation: Vector = UPRIGHT, bulge: float = 1.35) -> Convex:
    """A filled bag: a box with its edges rounded off by an ellipsoid `bulge` times as large."""
    half = np.asarray(size) / 2
    return Convex(_point(centre), rotation, _point(half), quadrics=(_point(1 / (bulge * half)),))


def ellipsoid(centre: Vector, radii: Vector, rotation: Vector = UPRIGHT) -> Convex:
    """An ellipsoid with these half axes, cm."""
    return Convex(_point(centre), rotation, _point(radii), quadrics=(_point(1 / np.asarray(radii)),))


def cylinder(centre: Vector, radius: float, length: float, axes: Vector = STANDING) -> Convex:
    """A cylinder along its local z axis: drums, jars, bottles, coils, bars."""
    return Convex(_point(centre), axes, (radius, radius, length / 2), quadrics=((1 / radius, 1 / radius, 0.0),))


def ingot(centre: Vector, size: Vector, rotation: Vector = UPRIGHT, taper: float = 0.25) -> Convex:
    """A cast ingot: a bar whose sides lean inwards by `taper` of its height towards the top."""
    hx, hy, hz = np.asarray(size) / 2
    n = np.hypot(1.0, taper)
    sides = tuple(
        (sx / n, taper / n, sz / n, ((hx if sx else hz) - taper * hy) / n)
        for sx, sz in ((1, 0), (-1, 0), (0, 1), (0, -1))
    )
    return Convex(_point(centre), rotation, (hx, hy, hz), faces=sides)


def shard(rng: np.random.Generator, centre: Vector, size: float) -> Convex:
    """A broken lump or a piece of scrap: a turned box cut by random faces."""
    half = size / 2 * rng.uniform(0.35, 1.0, 3)
    normals = rng.standard_normal((3, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    faces = tuple((*n, float(np.abs(n) @ half * rng.uniform(0.45, 0.8))) for n in normals)
    return Convex(_point(centre), random_rotation(rng), _point(half), faces=faces)


def figurine(rng: np.random.Generator, centre: Vector, height: float) -> Union:
    """A toy figure or animal: body, head and limbs as overlapping rounded parts."""
    h = height
    body = rng.uniform([0.13, 0.2, 0.1], [0.24, 0.32, 0.2]) * h
    parts = [ellipsoid(np.zeros(3), body)]
    head = rng.uniform(0.1, 0.19) * h
    parts.append(
        ellipsoid(np.array([rng.normal(0, 0.03) * h, body[1] + 0.7 * head, 0]), head * rng.uniform(0.85, 1.2, 3))
    )
    for side in (-1, 1):
        for y, spread in ((0.5 * body[1], 0.9), (-0.8 * body[1], 0.55)):
            axes = random_rotation(rng) if rng.random() < 0.4 else STANDING @ turn_z(side * rng.uniform(0.1, 0.9))
            at = np.array([side * spread * body[0], y, rng.normal(0, 0.03) * h])
            parts.append(cylinder(at, rng.uniform(0.035, 0.075) * h, rng.uniform(0.22, 0.42) * h, axes))
    if rng.random() < 0.5:
        parts.append(cylinder(np.array([0, -1.15 * body[1] - 0.05 * h, 0]), rng.uniform(0.2, 0.32) * h, 0.06 * h))
    return Union(tuple(parts)).moved(centre, turn_y(rng.uniform(0, 2 * np.pi)))


def _point(v: Vector) -> tuple[float, float, float]:
    a, b, c = (float(x) for x in v)
    return a, b, c
