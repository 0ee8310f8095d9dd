"""Path lengths against closed forms, volumes and each other."""

import numpy as np
import pytest

from leadline.datasets.simulator import solids
from leadline.datasets.simulator.geometry import Rays, Union
from leadline.datasets.simulator.meshes import GRID, Casting, Mesh, projection, statue, turned

PARALLEL = Rays(240, 240, 0.1)
CENTRE = np.array([12.0, 12.0, 0.0])


def _solids():
    rng = np.random.default_rng(3)
    turn = solids.random_rotation(rng)
    return {
        "box": (solids.box(CENTRE, np.array([3, 4, 5]), turn), 60.0),
        "ellipsoid": (solids.ellipsoid(CENTRE, np.array([3, 4, 5]), turn), 4 / 3 * np.pi * 60),
        "cylinder": (solids.cylinder(CENTRE, 2, 6, turn), np.pi * 4 * 6),
        "ingot": (solids.ingot(CENTRE, np.array([8, 2, 4]), turn, taper=0.25), None),
        "bag": (solids.bag(CENTRE, np.array([8, 4, 5]), turn), None),
        "shard": (solids.shard(rng, CENTRE, 8.0), None),
        "figurine": (solids.figurine(rng, CENTRE, 16.0), None),
        "casting": (Casting(5, (12.0, 12.0, 0.0), 7.0, 0.4), None),
    }


@pytest.mark.parametrize("name", list(_solids()))
def test_path_lengths_add_up_to_the_volume(name):
    solid, volume = _solids()[name]
    _, chord = solid.chord(PARALLEL)
    assert chord.sum() * 0.01 == pytest.approx(volume or solid.volume(), rel=0.012)


def test_ingot_narrows_by_its_taper():
    """A bar 8 x 2 x 4 cm with taper 0.25 is 7 x 3 cm at the top (each side leans in by 0.25 x 2 cm)... by hand."""
    ingot = solids.ingot(CENTRE, np.array([8.0, 2.0, 4.0]), taper=0.25)
    _, chord = ingot.chord(PARALLEL)
    rows = np.flatnonzero(chord.max(1) > 0)
    # depth at height y above the middle: 4 - 2 * 0.25 * (y + 1)
    assert chord[rows[0]].max() == pytest.approx(4 - 0.5 * 1.95, abs=0.01)
    assert chord[rows[-1]].max() == pytest.approx(4 - 0.5 * 0.05, abs=0.01)


def test_fan_beam_magnifies_what_is_near_the_source():
    fan = Rays(400, 200, 0.1, source_distance=50, source_y=20)
    near, far = (solids.box(np.array([10, 20, z]), np.array([2, 4, 0.1])).chord(fan)[0] for z in (-25, 25))
    assert (near[1] - near[0]) / (far[1] - far[0]) == pytest.approx(75 / 25, rel=0.06)


def test_slanted_ray_through_a_slab_is_longer_by_its_cosine():
    fan = Rays(400, 100, 0.1, source_distance=30, source_y=0)
    window, chord = solids.box(np.array([5, 20, 0]), np.array([4, 38, 1.0])).chord(fan)
    row = 200 - window[0]
    y = fan.y(window)[row]
    assert chord[row].max() == pytest.approx(np.hypot(1, y / 30), rel=1e-4)


def test_overlap_in_a_union_counts_once():
    a = solids.ellipsoid(CENTRE, np.array([3, 3, 3]))
    _, once = a.chord(PARALLEL)
    _, twice = Union((a, a)).chord(PARALLEL)
    np.testing.assert_allclose(twice, once, atol=1e-3)


def test_shell_and_cavity_share_the_room():
    outer = solids.box(CENTRE, np.array([6.0, 6.0, 6.0]))
    inner = outer.shrunk(0.5)
    assert inner is not None
    assert inner.chord(PARALLEL)[1].max() == pytest.approx(5.0, rel=1e-5)
    assert outer.shrunk(3.0) is None


@pytest.mark.parametrize("make", [statue, turned])
def test_meshes_are_closed(make):
    """Every edge belongs to two faces, and the shadow's path lengths add up to the volume."""
    mesh = make(np.random.default_rng(1))
    edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    turned_mesh = Mesh(mesh.vertices @ solids.random_rotation(np.random.default_rng(2)).T, mesh.faces)
    thickness = turned_mesh.thickness(GRID)
    assert thickness.sum() * (2 / GRID) ** 2 == pytest.approx(mesh.volume(), rel=2e-3)


def test_mesh_library_is_the_same_every_time():
    first = projection(7)[0].copy()
    projection.cache_clear()
    np.testing.assert_array_equal(projection(7)[0], first)
