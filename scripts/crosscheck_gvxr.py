"""Check path lengths and polychromatic images against gVirtualXray.

Run from the repository root (needs gvxr, scipy, trimesh and a headless OpenGL: Debian's libegl1
libgl1-mesa-dri libgl1 libopengl0 libglu1-mesa libglfw3 and the libxcb packages that gvxr asks for):

    python scripts/crosscheck_gvxr.py

Every scene is built twice: from the simulator's closed-form solids, and from triangle meshes of the
same shapes for gVirtualXray, which computes path lengths by rasterising and attenuation from its own
tables. Prints a Markdown table: path lengths, and -ln T in both channels of a 160 kV dual-layer
scanner, as percentages of -ln T (of 0.1 at least). Within a pixel of a body's outline a ray a
hundredth of a pixel aside meets something else: such errors count in the mean of -ln T, and the
largest of them stands apart.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import trimesh
from scipy.spatial import ConvexHull, HalfspaceIntersection

from leadline.datasets.materials import catalogue
from leadline.datasets.physics import detectors
from leadline.datasets.physics.attenuation import mass_fractions
from leadline.datasets.physics.forward import transmission
from leadline.datasets.simulator import solids
from leadline.datasets.simulator.geometry import Convex, Rays
from leadline.datasets.simulator.meshes import Mesh, statue

ROWS, COLUMNS, PIXEL_CM = 240, 300, 0.1
KVP, FILTERS = 160.0, {"Al": 1.0}
SIDES = 1440  # of the prism that stands for a cylinder


@dataclass(frozen=True)
class Part:
    """One body: its shape, an optional cavity, the material and its density, g/cm3."""

    solid: Convex | Mesh
    material: str
    density: float
    cavity: Convex | None = None


def scenes() -> dict[str, list[Part]]:
    """Named scenes, in a field of 30 x 24 cm."""
    centre = np.array([15.0, 12.0, 0.0])
    tilted = solids.turn_z(0.4) @ solids.turn_y(0.7)
    sphere = solids.ellipsoid(centre, np.array([6.0, 6.0, 6.0]))
    shell = solids.ellipsoid(centre, np.array([7.0, 7.0, 7.0]))
    drum = solids.cylinder(np.array([19.0, 12.0, 0.0]), 5.0, 16.0)
    case = solids.box(centre, np.array([26.0, 18.0, 12.0]))
    ingots = [
        Part(solids.ingot(np.array([5.0 + 5.0 * k, 5.6 + 3.02 * row, 0.0]), np.array([4.6, 3.0, 8.0])), "antimony", 6.6)
        for row in range(2)
        for k in range(5)
    ]
    lead_sheet = solids.box(np.array([20.0, 12.0, 8.0]), np.array([12.0, 18.0, 0.1]))
    rng = np.random.default_rng(4)
    return {
        "sphere of aluminium": [Part(sphere, "aluminium", 2.7)],
        "turned box of alumina": [Part(solids.box(centre, np.array([12.0, 8.0, 3.0]), tilted), "alumina_ceramic", 3.6)],
        "cylinders of copper and glass": [
            Part(solids.cylinder(np.array([8.0, 12.0, 0.0]), 0.4, 15.0), "copper", 8.9),
            Part(solids.cylinder(np.array([19.0, 12.0, 2.0]), 3.0, 14.0, solids.LYING), "glass", 2.5),
        ],
        "plastic ball filled with neodymium oxide": [
            Part(shell, "polyethylene", 0.95, shell.shrunk(0.3)),
            Part(solids.ellipsoid(centre, np.array([2.0, 2.0, 2.0])), "neodymium_oxide", 1.8),
        ],
        "antimony ingots in a wooden case": [Part(case, "wood", 0.6, case.shrunk(1.2)), *ingots],
        "drum of protein powder behind a lead sheet": [
            Part(drum, "polyethylene", 0.95, drum.shrunk(0.4)),
            Part(drum.shrunk(0.4) or drum, "protein_powder", 0.5),
            Part(lead_sheet, "lead", 11.3),
        ],
        "shards of steel and magnet": [
            Part(solids.shard(rng, np.array([9.0, 12.0, 0.0]), 6.0), "steel", 7.85),
            Part(solids.shard(rng, np.array([20.0, 12.0, 0.0]), 5.0), "ndfeb", 7.5),
        ],
        "statue of clay (mesh)": [Part(_placed(statue(np.random.default_rng(2)), 18.0, centre), "clay", 1.6)],
    }


def _placed(mesh: Mesh, size: float, centre: npt.NDArray[np.float64]) -> Mesh:
    """The mesh scaled to a largest extent and moved to a centre, cm."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    return Mesh((mesh.vertices - (low + high) / 2) * size / (high - low).max() + centre, mesh.faces)


def path_length(solid: Convex | Mesh) -> npt.NDArray[np.float32]:
    """Path length of the simulator, cm, (ROWS, COLUMNS)."""
    rays = Rays(ROWS, COLUMNS, PIXEL_CM)
    result = np.zeros((ROWS, COLUMNS), np.float32)
    if isinstance(solid, Mesh):
        # the simulator projects meshes on a square; here one as high as the image
        side = ROWS * PIXEL_CM
        left = (COLUMNS - ROWS) // 2
        moved = solid.vertices - [left * PIXEL_CM + side / 2, side / 2, 0]
        result[:, left : left + ROWS] = Mesh(moved, solid.faces).thickness(ROWS, side / 2)
        return result
    (y0, y1, x0, x1), chord = solid.chord(rays)
    result[y0:y1, x0:x1] = chord
    return result


def triangles(solid: Convex | Mesh) -> trimesh.Trimesh:
    """A mesh of the same shape: exact for polyhedra, inscribed to 1e-4 for round ones."""
    if isinstance(solid, Mesh):
        return trimesh.Trimesh(solid.vertices, solid.faces, process=False)
    round_scales = solid.quadrics[0] if solid.quadrics else None
    if round_scales and all(round_scales):
        mesh = trimesh.creation.icosphere(subdivisions=6)
        local = mesh.vertices / np.asarray(round_scales)
        return trimesh.Trimesh(np.asarray(solid.centre) + local @ solid.rotation, mesh.faces, process=False)
    planes = [(*(sign * np.eye(3)[axis]), -solid.half[axis]) for axis in range(3) for sign in (1, -1)]
    planes += [(a, b, c, -d) for a, b, c, d in solid.faces]
    if round_scales:  # a cylinder along its local z axis
        angle = np.arange(SIDES) * 2 * np.pi / SIDES
        planes += [(np.cos(t), np.sin(t), 0.0, -1 / round_scales[0]) for t in angle]
    local = HalfspaceIntersection(np.array(planes), np.zeros(3)).intersections
    hull = ConvexHull(local)
    mesh = trimesh.Trimesh(np.asarray(solid.centre) + local @ solid.rotation, hull.simplices, process=True)
    trimesh.repair.fix_normals(mesh)
    return mesh


class Peer:
    """gVirtualXray, set up once: a parallel beam along z on a detector of our field."""

    def __init__(self) -> None:
        from gvxrPython3 import gvxr

        self.gvxr, self.loaded = gvxr, False
        gvxr.createWindow(-1, 0, "EGL")
        width, height = COLUMNS * PIXEL_CM, ROWS * PIXEL_CM
        gvxr.setSourcePosition(width / 2, height / 2, -100.0, "cm")
        gvxr.useParallelBeam()
        gvxr.setDetectorPosition(width / 2, height / 2, 100.0, "cm")
        gvxr.setDetectorUpVector(0, 1, 0)
        gvxr.setDetectorNumberOfPixels(COLUMNS, ROWS)
        gvxr.setDetectorPixelSize(PIXEL_CM, PIXEL_CM, "cm")
        gvxr.setMonoChromaticPerPixelAtSDD(100.0, "keV", 1000)  # without a spectrum there are no path lengths either

    def load(self, parts: Sequence[Part]) -> list[npt.NDArray[np.float32]]:
        """Put parts into the beam; their path lengths, cm."""
        gvxr = self.gvxr
        if self.loaded:
            gvxr.removePolygonMeshesFromXRayRenderer()
            gvxr.removePolygonMeshesFromSceneGraph()
        self.loaded, lengths = True, []
        for k, part in enumerate(parts):
            label, mesh = f"part{k}", triangles(part.solid)
            if part.cavity is not None:
                hollow = triangles(part.cavity)
                hollow.invert()
                mesh = trimesh.util.concatenate([mesh, hollow])
            gvxr.makeTriangularMesh(label, mesh.vertices.ravel().tolist(), mesh.faces.ravel().tolist(), "cm")
            fractions = mass_fractions(catalogue().materials[part.material].composition)
            gvxr.setMixture(label, list(fractions), list(fractions.values()))
            gvxr.setDensity(label, part.density, "g/cm3")
            gvxr.addPolygonMeshAsInnerSurface(label)
            lengths.append(self._upright(np.array(gvxr.computeLBuffer(label), np.float32)))
        return lengths

    def image(self, response: detectors.Response, channel: int) -> npt.NDArray[np.float32]:
        """Transmission for the weights of one channel of a response."""
        gvxr = self.gvxr
        gvxr.resetBeamSpectrum()
        total = 0.0
        for energy, weight in zip(response.energies, response.weights[:, channel].astype(float), strict=True):
            if weight > 0:  # gVirtualXray's image is energy times photons
                gvxr.addEnergyBinToSpectrumPerPixelAtSDD(float(energy), "MeV", weight / energy)
                total += weight
        bright = np.array(gvxr.computeXRayImage(), np.float64)
        return self._upright((bright / gvxr.getTotalEnergyWithDetectorResponse()).astype(np.float32))

    @staticmethod
    def _upright(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Rows downwards and columns along x, as the simulator has them."""
        return np.ascontiguousarray(image[::-1, ::-1])


def silhouettes(lengths: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.bool_]:
    """Pixels within one pixel of the outline of a part."""
    mask = np.zeros((ROWS, COLUMNS), bool)
    for length in lengths:
        inside, square = (length > 0).astype(np.uint8), np.ones((3, 3), np.uint8)
        mask |= cv2.dilate(inside, square) != cv2.erode(inside, square)
    return mask


def main() -> int:
    peer = Peer()
    few, fine = detectors.dual_layer(KVP, FILTERS), detectors.dual_layer(KVP, FILTERS, fine=True)
    print("| scene | path length: mean, largest (inside) | -ln T: mean | largest (inside) | largest (silhouette) |")
    print("| --- | --- | --- | --- | --- |")
    worst = 0.0
    for name, parts in scenes().items():
        ours = []
        for part in parts:
            length = path_length(part.solid)
            ours.append(length if part.cavity is None else length - path_length(part.cavity))
        theirs = peer.load(parts)
        inside = ~silhouettes(ours)
        length_error = [np.abs(a - b)[(a > 0) & inside] / a.max() for a, b in zip(ours, theirs, strict=True)]
        areal = np.stack([length * part.density for length, part in zip(ours, parts, strict=True)])
        found = transmission(areal, few.attenuation([part.material for part in parts]), few)
        mean, largest, silhouette = [], [], []
        for channel in range(2):
            expected = peer.image(fine, channel)
            goods = (found[channel] < 0.99) & (found[channel] > 1e-4)
            a, b = -np.log(np.maximum(found[channel], 1e-7)), -np.log(np.maximum(expected, 1e-7))
            error = np.abs(a - b)
            mean.append(error[goods].mean() / b[goods].mean())
            largest.append((error / np.maximum(b, 0.1))[goods & inside].max())
            silhouette.append(error[goods & ~inside].max() if (goods & ~inside).any() else 0.0)
        worst = max(worst, *mean)
        print(
            f"| {name} | {100 * np.mean(np.concatenate(length_error)):.3f} %, "
            f"{100 * max(e.max() for e in length_error):.2f} % | {100 * mean[0]:.2f} / {100 * mean[1]:.2f} % "
            f"| {100 * largest[0]:.2f} / {100 * largest[1]:.2f} % | {silhouette[0]:.2f} / {silhouette[1]:.2f} |"
        )
    print(f"\nLargest mean error of -ln T: {100 * worst:.2f} % (aim: 1 %)")
    return 0 if worst < 0.01 else 1


if __name__ == "__main__":
    sys.exit(main())
