"""Closed triangle meshes and the thickness that a beam meets in them.

A mesh is projected once, from a side drawn with it, on a unit grid; the simulator then turns and
scales that picture. Path lengths through a closed mesh are the sum over its faces of the depth of
the face, counted negative where the ray enters and positive where it leaves; that holds for any
number of crossings, so hollow and folded shapes need no special case (the idea behind
gVirtualXray's L-buffer: Freud et al., Comput. Methods Programs Biomed. 81, 2006).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.simulator.geometry import Array, Rays, Vector, Window
from leadline.datasets.simulator.solids import random_rotation

GRID = 112  # pixels across a unit projection
_JITTER = (0.5 + 1e-4 * np.sqrt(2), 0.5 + 1e-4 * np.sqrt(3))  # keeps sample points off vertices and edges


@dataclass(frozen=True)
class Mesh:
    """A closed surface.

    Attributes:
        vertices: (n, 3).
        faces: (m, 3) indices, counter-clockwise seen from outside.
    """

    vertices: Vector
    faces: npt.NDArray[np.int64]

    def volume(self) -> float:
        """Enclosed volume by the divergence theorem, in the cube of the vertices' unit."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)

    def thickness(self, grid: int, extent: float = 1.0) -> Array:
        """Path lengths of a parallel beam along z over [-extent, extent]^2, shape (grid, grid), rows downwards."""
        pixel = 2 * extent / grid
        v = self.vertices.copy()
        v[:, 0] = (v[:, 0] + extent) / pixel - _JITTER[0]
        v[:, 1] = (extent - v[:, 1]) / pixel - _JITTER[1]
        a, b, c = (v[self.faces[:, k]] for k in range(3))
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        low = np.floor(np.minimum(np.minimum(a, b), c)[:, :2])
        span = np.ceil(np.maximum(np.maximum(a, b), c)[:, :2]) - low + 1
        out = np.zeros(grid * grid)
        size = 2 ** np.ceil(np.log2(np.maximum(span.max(1), 1))).astype(int)
        for k in np.unique(size):
            chosen = np.flatnonzero((size == k) & (np.abs(area) > 1e-12))
            for part in np.array_split(chosen, max(1, len(chosen) * k * k // 200_000)):
                _add_depths(out, grid, a[part], b[part], c[part], area[part], low[part], int(k))
        return np.maximum(out.reshape(grid, grid), 0).astype(np.float32)


def _add_depths(
    out: Vector, grid: int, a: Vector, b: Vector, c: Vector, area: Vector, low: npt.NDArray, k: int
) -> None:
    """Add the signed depths of faces whose projections fit k x k pixels."""
    step = np.arange(k)
    x = (low[:, 0, None] + step)[:, None, :]
    y = (low[:, 1, None] + step)[:, :, None]
    column = lambda p, i: p[:, i, None, None]  # noqa: E731
    w_b = (x - column(a, 0)) * (column(c, 1) - column(a, 1)) - (y - column(a, 1)) * (column(c, 0) - column(a, 0))
    w_c = (column(b, 0) - column(a, 0)) * (y - column(a, 1)) - (column(b, 1) - column(a, 1)) * (x - column(a, 0))
    w_b, w_c = w_b / area[:, None, None], w_c / area[:, None, None]
    inside = (w_b >= 0) & (w_c >= 0) & (w_b + w_c <= 1) & (x >= 0) & (x < grid) & (y >= 0) & (y < grid)
    depth = column(a, 2) + w_b * (column(b, 2) - column(a, 2)) + w_c * (column(c, 2) - column(a, 2))
    # rows count downwards, so a face that looks along the beam (the ray leaves) has negative area here
    signed = depth * -np.sign(area)[:, None, None]
    f, r, s = np.nonzero(inside)
    np.add.at(out, (y[f, r, 0] * grid + x[f, 0, s]).astype(int), signed[f, r, s])


def _grid_faces(rings: int, sectors: int) -> npt.NDArray[np.int64]:
    """Faces of a surface given as rings of vertices between two pole vertices (first and last)."""
    faces = []
    for s in range(sectors):
        t = (s + 1) % sectors
        faces.append((0, 1 + s, 1 + t))
        for r in range(rings - 1):
            p, q = 1 + r * sectors, 1 + (r + 1) * sectors
            faces += [(p + s, q + s, q + t), (p + s, q + t, p + t)]
        last = 1 + (rings - 1) * sectors
        faces.append((1 + rings * sectors, last + t, last + s))
    return np.array(faces)


def statue(rng: np.random.Generator, rings: int = 28, sectors: int = 40) -> Mesh:
    """A sculpted lump: a sphere whose radius is modulated by smooth random waves."""
    theta = np.linspace(0, np.pi, rings + 2)[1:-1]
    phi = np.arange(sectors) * 2 * np.pi / sectors
    directions = np.concatenate(
        [
            [[0, 0, 1]],
            np.stack(
                [
                    np.outer(np.sin(theta), np.cos(phi)).ravel(),
                    np.outer(np.sin(theta), np.sin(phi)).ravel(),
                    np.repeat(np.cos(theta), sectors),
                ],
                axis=1,
            ),
            [[0, 0, -1]],
        ]
    )
    radius = np.ones(len(directions))
    for order in range(1, 7):
        waves = rng.standard_normal((4, 3)) * order * 1.3
        radius += 0.3 / order * np.sin(directions @ waves.T + rng.uniform(0, 6.3, 4)).mean(1)
    stretch = rng.uniform(0.4, 1.0, 3)
    return _unit(Mesh(directions * np.maximum(radius, 0.25)[:, None] * stretch, _grid_faces(rings, sectors)))


def turned(rng: np.random.Generator, rings: int = 32, sectors: int = 36) -> Mesh:
    """A turned piece: vase, statuette, chess piece, insulator; a smooth profile about an axis."""
    z = np.linspace(1, -1, rings)
    profile = 0.25 + 0.5 * rng.random()
    radius = np.full(rings, profile)
    for order in range(1, 6):
        radius += rng.normal(0, 0.22 / order) * np.sin(order * np.pi * z / 2 + rng.uniform(0, 6.3))
    radius = np.clip(radius, 0.12, 1.0)
    phi = np.arange(sectors) * 2 * np.pi / sectors
    ring = np.stack(
        [np.outer(radius, np.cos(phi)).ravel(), np.outer(radius, np.sin(phi)).ravel(), np.repeat(z, sectors)], axis=1
    )
    return _unit(Mesh(np.concatenate([[[0, 0, 1]], ring, [[0, 0, -1]]]), _grid_faces(rings, sectors)))


def _unit(mesh: Mesh) -> Mesh:
    """The mesh centred and scaled to reach 0.98 from the origin at most."""
    v = mesh.vertices - (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    return Mesh(v * (0.98 / np.linalg.norm(v, axis=1).max()), mesh.faces)


@lru_cache(maxsize=256)
def projection(number: int) -> tuple[Array, float]:
    """Thickness of library mesh `number` on the unit grid, and its volume; the same on every machine."""
    rng = np.random.default_rng([number, 0x4D455348])
    mesh = statue(rng) if rng.random() < 0.5 else turned(rng)
    mesh = Mesh(mesh.vertices @ random_rotation(rng).T, mesh.faces)
    return mesh.thickness(GRID), mesh.volume()


@dataclass(frozen=True)
class Casting:
    """A library mesh as a solid: its projection, turned in the image and scaled.

    Attributes:
        number: which mesh.
        centre: (3,) cm.
        radius: of the sphere that holds it, cm.
        angle: turn about the beam, radians.
    """

    number: int
    centre: tuple[float, float, float]
    radius: float
    angle: float

    @property
    def corners(self) -> Vector:
        """(2, 3) corners of its bounding square, cm."""
        return np.asarray(self.centre) + self.radius * np.array([[-1.0, -1, 0], [1, 1, 0]])

    def shrunk(self, wall: float) -> Casting | None:
        """Its cavity: the same shape, smaller by the wall."""
        radius = self.radius - 1.6 * wall  # the library's shapes are thinner than their bounding spheres
        return Casting(self.number, self.centre, radius, self.angle) if radius > 0.3 * self.radius else None

    def chord(self, rays: Rays) -> tuple[Window, Array]:
        """Path length (cm) over the window that holds it."""
        window = rays.window(self.corners)
        rows, columns = window[1] - window[0], window[3] - window[2]
        if rows <= 0 or columns <= 0:
            return window, np.zeros((max(0, rows), max(0, columns)), np.float32)
        picture, _ = projection(self.number)
        middle = rays.project(np.array([self.centre]))[0]
        magnification = float(np.ptp(rays.project(self.corners)[:, 1])) / (2 * self.radius)
        scale = GRID / (2 * self.radius * magnification) * rays.pixel_cm  # picture pixels per image pixel
        c, s = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        dx = (window[2] + 0.5) - middle[0] / rays.pixel_cm
        dy = (window[0] + 0.5) - (rays.height - middle[1]) / rays.pixel_cm
        centre = GRID / 2 - 0.5
        back = np.array([[c, -s, c * dx - s * dy + centre], [s, c, s * dx + c * dy + centre]])
        flags = (cv2.INTER_AREA if scale > 2 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
        return window, cv2.warpAffine(picture, back, (columns, rows), flags=flags) * np.float32(self.radius)

    def volume(self) -> float:
        """Volume, cm3."""
        return projection(self.number)[1] * self.radius**3
