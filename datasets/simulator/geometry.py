"""Path lengths of rays through solids, in closed form.

Coordinates, in cm: x runs with the belt (image columns), y points up (rows count downwards),
z points from the source to the detector; z = 0 is the plane in which a pixel has its nominal
size. A line scanner's fan opens in y and z, so every ray of an image row has one direction and
the ray through row r and column c is `(x_c, y_r, 0) + t d_r`. That makes every intersection a sum
of a row vector and a column vector, which is what keeps the simulator fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]
Window = tuple[int, int, int, int]
"""Rows y0:y1 and columns x0:x1 of an image, as (y0, y1, x0, x1)."""

_PARALLEL = 1e-9  # cosine below which a ray runs along a face


@dataclass(frozen=True)
class Rays:
    """The rays of one image.

    Attributes:
        rows, columns: size of the image.
        pixel_cm: side of a pixel in the plane z = 0.
        source_distance: from the source to that plane, cm; infinite for a parallel beam.
        source_y: height of the source, cm; y = 0 is the lower edge of the image.
    """

    rows: int
    columns: int
    pixel_cm: float
    source_distance: float = np.inf
    source_y: float = 0.0

    @property
    def width(self) -> float:
        """Extent in x, cm; x runs from 0 to this."""
        return self.columns * self.pixel_cm

    @property
    def height(self) -> float:
        """Extent in y, cm; y runs from 0 to this."""
        return self.rows * self.pixel_cm

    def x(self, window: Window) -> Vector:
        """x of the pixel centres of a window, cm."""
        return (np.arange(window[2], window[3], dtype=float) + 0.5) * self.pixel_cm

    def y(self, window: Window) -> Vector:
        """y of the pixel centres of a window, cm."""
        return self.height - (np.arange(window[0], window[1], dtype=float) + 0.5) * self.pixel_cm

    def direction(self, y: Vector) -> Vector:
        """Unit vectors of the rays through heights `y`, shape (rows, 3)."""
        slope = (y - self.source_y) / self.source_distance
        d = np.stack([np.zeros_like(y), slope, np.ones_like(y)], axis=1)
        return d / np.sqrt(1 + slope * slope)[:, None]

    def project(self, points: Vector) -> Vector:
        """Where points (n, 3) appear in the plane z = 0: (n, 2) of x and y, cm."""
        y = points[:, 1]
        if np.isfinite(self.source_distance):
            y = self.source_y + (y - self.source_y) * self.source_distance / (self.source_distance + points[:, 2])
        return np.stack([points[:, 0], y], axis=1)

    def window(self, points: Vector) -> Window:
        """Smallest window that holds the projections of `points` (n, 3), cut at the image."""
        p = self.project(points)
        x0, x1 = p[:, 0].min() / self.pixel_cm, p[:, 0].max() / self.pixel_cm
        y0, y1 = (self.height - p[:, 1].max()) / self.pixel_cm, (self.height - p[:, 1].min()) / self.pixel_cm
        return (
            int(np.clip(np.floor(y0), 0, self.rows)),
            int(np.clip(np.ceil(y1), 0, self.rows)),
            int(np.clip(np.floor(x0), 0, self.columns)),
            int(np.clip(np.ceil(x1), 0, self.columns)),
        )


@dataclass(frozen=True)
class Convex:
    """A convex solid: where slabs and quadrics overlap, in local axes about a centre.

    Attributes:
        centre: (3,) cm.
        rotation: (3, 3), rows are the local axes in world coordinates.
        half: (3,) half extents of the local bounding box, cm; also the slabs |x_i| <= half_i.
        faces: further half-spaces `n . x <= offset` as (n_x, n_y, n_z, offset), local, cm.
        quadrics: scales (s_x, s_y, s_z) of `|s * x| <= 1`; a zero scale makes a cylinder.
    """

    centre: tuple[float, float, float]
    rotation: Vector
    half: tuple[float, float, float]
    faces: tuple[tuple[float, float, float, float], ...] = ()
    quadrics: tuple[tuple[float, float, float], ...] = ()

    def shrunk(self, wall: float) -> Convex | None:
        """The cavity that a wall of this thickness (cm) leaves, or `None` if it leaves none."""
        half = tuple(h - wall for h in self.half)
        if min(half) <= 0:
            return None
        quadrics = tuple(
            tuple(1 / (1 / s - wall) if s and 1 / s > wall else s for s in scales) for scales in self.quadrics
        )
        faces = tuple((a, b, c, d - wall) for a, b, c, d in self.faces)
        return replace(self, half=half, faces=faces, quadrics=quadrics)  # type: ignore[arg-type]

    def moved(self, centre: Sequence[float] | Vector, rotation: Vector | None = None) -> Convex:
        """The same solid elsewhere, turned by `rotation` in world axes."""
        turn = self.rotation if rotation is None else self.rotation @ rotation.T
        return replace(self, centre=(float(centre[0]), float(centre[1]), float(centre[2])), rotation=turn)

    @property
    def corners(self) -> Vector:
        """(8, 3) corners of the local bounding box, world, cm."""
        signs = np.array([(a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], float)
        return np.asarray(self.centre) + (signs * self.half) @ self.rotation

    def interval(self, rays: Rays, window: Window) -> tuple[Array, Array]:
        """Where each ray enters and leaves, as t in cm; a miss has exit <= entry."""
        x, y = rays.x(window) - self.centre[0], rays.y(window) - self.centre[1]
        d = rays.direction(rays.y(window)) @ self.rotation.T  # (rows, 3), local
        # local position of (x, y, 0): a column part and a row part that add up
        across = np.outer(x, self.rotation[:, 0])
        along = np.outer(y, self.rotation[:, 1]) - self.centre[2] * self.rotation[:, 2]
        entry = np.full((len(y), len(x)), -1e6, np.float32)
        leave = np.full((len(y), len(x)), 1e6, np.float32)
        for axis in range(3):
            h = self.half[axis]
            _clip(entry, leave, d[:, axis], along[:, axis], across[:, axis], -h, h)
        for *normal, offset in self.faces:
            n = np.asarray(normal)
            _clip(entry, leave, d @ n, along @ n, across @ n, -np.inf, offset)
        for scales in self.quadrics:
            s = np.asarray(scales)
            _clip_quadric(entry, leave, d * s, along * s, across * s)
        return entry, leave

    def chord(self, rays: Rays) -> tuple[Window, Array]:
        """Path length (cm) of each ray inside the solid, over the window that holds it."""
        window = rays.window(self.corners)
        if window[0] >= window[1] or window[2] >= window[3]:
            return window, np.zeros((max(0, window[1] - window[0]), max(0, window[3] - window[2])), np.float32)
        entry, leave = self.interval(rays, window)
        leave -= entry
        return window, np.maximum(leave, 0, out=leave)

    def volume(self, samples: int = 4096) -> float:
        """Volume, cm3; exact for a plain box, else from a fixed set of sample points."""
        box = float(8 * np.prod(self.half))
        if not self.faces and not self.quadrics:
            return box
        # Additive recurrence on the roots of x^4 = x + 1 fills the box evenly (Roberts 2018).
        steps = np.array([0.8191725, 0.6710436, 0.5497005])
        points = (np.outer(np.arange(1, samples + 1), steps) % 1 * 2 - 1) * self.half
        inside = np.ones(samples, bool)
        for *normal, offset in self.faces:
            inside &= points @ np.asarray(normal) <= offset
        for scales in self.quadrics:
            inside &= ((points * scales) ** 2).sum(1) <= 1
        return box * float(inside.mean())


def _clip(entry: Array, leave: Array, d: Vector, along: Vector, across: Vector, low: float, high: float) -> None:
    """Cut the intervals at the slab low <= u <= high, where u = along + across + t d."""
    safe = np.where(np.abs(d) < _PARALLEL, _PARALLEL, d)
    inverse = (1 / safe).astype(np.float32)[:, None]
    u = along.astype(np.float32)[:, None] + across.astype(np.float32)[None, :]
    upper = (np.float32(high) - u) * inverse
    if np.isinf(low):
        towards = inverse > 0
        np.minimum(leave, np.where(towards, upper, np.float32(np.inf)), out=leave)
        np.maximum(entry, np.where(towards, np.float32(-np.inf), upper), out=entry)
        return
    u -= np.float32(low)
    u *= -inverse
    np.maximum(entry, np.minimum(u, upper), out=entry)
    np.minimum(leave, np.maximum(u, upper), out=leave)


def _clip_quadric(entry: Array, leave: Array, d: Vector, along: Vector, across: Vector) -> None:
    """Cut the intervals at |along + across + t d| <= 1, all scaled to the unit sphere."""
    a = np.maximum((d * d).sum(1), _PARALLEL)
    # b = d . p and c = p . p - 1, with p = along + across
    b = ((d * along).sum(1)[:, None] + d @ across.T).astype(np.float32)
    c = (along * along).sum(1)[:, None] + 2 * (along @ across.T) + (across * across).sum(1)[None, :] - 1
    inverse = (1 / a).astype(np.float32)[:, None]
    root = b * b
    root -= (a[:, None] * c).astype(np.float32)
    miss = root <= 0
    np.sqrt(np.maximum(root, 0, out=root), out=root)
    np.maximum(entry, (-b - root) * inverse, out=entry)
    np.minimum(leave, (root - b) * inverse, out=leave)
    leave[miss] = entry[miss]


@dataclass(frozen=True)
class Union:
    """Overlapping convex parts as one solid; its path length counts overlaps once."""

    parts: tuple[Convex, ...]

    @property
    def corners(self) -> Vector:
        """Corners of the parts' bounding boxes, world, cm."""
        return np.concatenate([p.corners for p in self.parts])

    def shrunk(self, wall: float) -> Union | None:
        """The cavity: every part shrunk by the wall; parts that vanish are left out."""
        parts = tuple(q for p in self.parts if (q := p.shrunk(wall)) is not None)
        return Union(parts) if parts else None

    def moved(self, centre: Sequence[float] | Vector, rotation: Vector | None = None) -> Union:
        """The same solid with the mean of its parts' centres at `centre`, turned about it."""
        origin = np.mean([p.centre for p in self.parts], axis=0)
        turn = np.eye(3) if rotation is None else rotation
        return Union(tuple(p.moved(np.asarray(centre) + turn @ (p.centre - origin), turn) for p in self.parts))

    def chord(self, rays: Rays) -> tuple[Window, Array]:
        """Path length (cm) inside any of the parts, over the window that holds them all."""
        window = rays.window(self.corners)
        shape = (max(0, window[1] - window[0]), max(0, window[3] - window[2]))
        if 0 in shape:
            return window, np.zeros(shape, np.float32)
        bounds = [p.interval(rays, window) for p in self.parts]
        entry, leave = np.stack([b[0] for b in bounds]), np.stack([b[1] for b in bounds])
        leave = np.maximum(leave, entry)  # a miss becomes an empty interval
        order = np.argsort(entry, axis=0)
        entry, leave = np.take_along_axis(entry, order, 0), np.take_along_axis(leave, order, 0)
        reached = np.maximum.accumulate(leave, axis=0)
        length = leave[0] - entry[0]
        for k in range(1, len(bounds)):
            length += np.maximum(leave[k] - np.maximum(entry[k], reached[k - 1]), 0)
        return window, length

    def volume(self) -> float:
        """Volume, cm3, from its shadow: the sum of path lengths of a parallel beam."""
        low, high = self.corners.min(0), self.corners.max(0)
        pixel = float(max(high - low)) / 64
        shifted = Union(tuple(p.moved(np.asarray(p.centre) - low) for p in self.parts))
        size = np.ceil((high - low) / pixel).astype(int)
        return float(shifted.chord(Rays(size[1] + 1, size[0] + 1, pixel))[1].sum() * pixel**2)
