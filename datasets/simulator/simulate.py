"""Simulated scans with their truth: a pure function of (kind, seed, index, split)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from leadline.datasets.declarations import explains
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration, Kind, Scan
from leadline.datasets.simulator import container, parcel
from leadline.datasets.simulator import goods as trade
from leadline.datasets.simulator.concealment import hide
from leadline.datasets.simulator.geometry import Array
from leadline.datasets.simulator.goods import Goods, Scenario, carried_by, goods, scenarios
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.scene import Scene
from leadline.datasets.simulator.truth import detectability, family_maps

Split = Literal["train", "validation", "heldout"]
"""`train` and `validation` differ in scenes alone; `heldout` draws scanner settings, meshes and
scenes that training never draws."""

Box = tuple[int, int, int, int]

_SHARES = {"scenario": 0.6, "anything_anywhere": 0.15, "benign": 0.25}
_STREAM = {"train": 11, "validation": 12, "heldout": 13}
_STREAM_KIND = {"parcel": 1, "container": 2}


@dataclass(frozen=True)
class Truth:
    """What is in a simulated scan.

    Attributes:
        families: float32 (F, rows, columns), areal density per family, g/cm2.
        undeclared: whether watch-list material is there that the declaration does not explain.
        scenario: row of the evaluation; `"goods/NAME"` for benign scenes.
        is_threat: whether this is the threat version of its scene.
        boxes: watch-list material as (family, (x0, y0, x1, y1), kg), the heaviest first.
        d_known, d_material: detectabilities of the threat (see truth.py); `None` if not asked for or no threat.
    """

    families: Array
    undeclared: bool
    scenario: str
    is_threat: bool
    boxes: tuple[tuple[str, Box, float], ...]
    d_known: float | None = None
    d_material: float | None = None


@dataclass(frozen=True)
class Sample:
    """A simulated scan, its truth, and the scanner that took it."""

    scan: Scan
    truth: Truth
    machine: Machine


def _scenario_rows(kind: Kind) -> tuple[Scenario, ...]:
    return tuple(s for s in scenarios().values() if kind in s.mass_kg and s.way != "any")


def build_scene(kind: Kind, seed: int, index: int, split: Split = "train") -> Scene:
    """The scene of this number: honest areal densities and what the threat changes.

    Six in ten scenes are the scenarios in turn, three in twenty hide anything anywhere, a quarter
    are benign goods, those easily mistaken for a threat twice as often as others.
    """
    rng = np.random.default_rng([seed, index, _STREAM_KIND[kind], _STREAM[split], 0])
    rows, share = _scenario_rows(kind), rng.random()
    scenario: Scenario | None = None
    if share < _SHARES["scenario"]:
        scenario = rows[index % len(rows)]
        cover = [goods()[str(rng.choice(scenario.goods))]]
        cover += _company(rng, kind)
    else:
        if share < _SHARES["scenario"] + _SHARES["anything_anywhere"]:
            scenario = scenarios()["anything_anywhere"]
        cover = [_draw_goods(rng, kind, watched=scenario is None)]
        cover += _company(rng, kind)
    builder = container if kind == "container" else parcel
    canvas, items = builder.build(rng, cover, machine_split(split))
    if scenario is not None:
        hide(rng, canvas, items, scenario, kind)
    name = scenario.name if scenario is not None else f"goods/{cover[0].name}"
    return canvas.scene(kind, name, _declaration(rng, cover, kind))


def machine_split(split: Split) -> Literal["train", "heldout"]:
    """Which scanners and meshes a split draws from."""
    return "heldout" if split == "heldout" else "train"


def _draw_goods(rng: np.random.Generator, kind: Kind, watched: bool, hard: float = 2.0) -> Goods:
    """Goods at random; those easily mistaken for a threat come `hard` times as often as others."""
    choice = [g for g in carried_by(kind) if watched or not trade.watched(g)]
    weight = np.array([hard if g.hard else 1.0 for g in choice])
    return choice[int(rng.choice(len(choice), p=weight / weight.sum()))]


def _company(rng: np.random.Generator, kind: Kind) -> list[Goods]:
    """Other goods that travel along: mostly none, hardly ever those that look like a threat.

    Barite or bismuth that nobody declared is an alarm which a person accepts; were it common, no finding could be sure.
    """
    return [_draw_goods(rng, kind, watched=False, hard=0.03) for _ in range(int(rng.choice(3, p=[0.78, 0.16, 0.06])))]


def _declaration(rng: np.random.Generator, cover: list[Goods], kind: Kind) -> Declaration | None:
    """Mostly all goods by their own papers; sometimes somebody else's, only a code, only words, or none.

    A declaration has one code, that of the main goods; what travels along is named in the words, three times in four.
    """
    share = rng.random()
    if share < 0.06:
        return None
    if share < 0.07:  # wrong papers are a nuisance of honest trade too
        cover = [_draw_goods(rng, kind, watched=False)]
    declaration = cover[0].declaration(rng)
    named = [str(rng.choice(goods.words)) for goods in cover[1:] if rng.random() < 0.75]
    if share > 0.9:
        return replace(declaration, description=None)
    declaration = replace(declaration, description=", ".join([declaration.description or "", *named]))
    return replace(declaration, hs_code=None) if share > 0.8 else declaration


def expose(
    scene: Scene,
    machine: Machine,
    rng: np.random.Generator,
    *,
    threat: bool,
    declaration: Declaration | None,
    measure: bool = False,
) -> Sample:
    """Take a scan of a scene, with or without its threat.

    Args:
        scene: what lies in the beam.
        machine: the scanner; its pixel size should be the scene's.
        rng: source of the scan's noise.
        threat: whether the threat is there; ignored for benign scenes.
        declaration: what is declared.
        measure: also compute the detectabilities of a threat, which costs more than the scan.
    """
    threat = threat and scene.has_threat
    areal = scene.with_threat() if threat else scene.areal
    transmission = machine.expose(areal, scene.materials, rng)
    families = family_maps(scene.materials, areal)
    boxes = find_boxes(families, scene.pixel_mm)
    undeclared = any(not explains(declaration, family) for family, _, _ in boxes)
    known = material = None
    if measure and threat:
        known, material = detectability(scene.areal, scene.window, scene.change, scene.materials, machine)
    scan = Scan(transmission, machine.scanner(), declaration, path=scene.scenario)
    truth = Truth(families, undeclared, scene.scenario, threat, boxes, known, material)
    return Sample(scan, truth, machine)


def simulate(
    kind: Kind, seed: int, index: int, *, threat: bool | None = None, split: Split = "train", measure: bool = False
) -> Sample:
    """Scan number `index` of the endless set `seed`; the same on every machine and in any order.

    Args:
        kind: scanner kind.
        seed: names the set.
        index: scan within the set.
        threat: force the threat version or its honest twin (same scene, same scanner); `None` draws it.
        split: see `Split`.
        measure: also compute detectabilities.
    """
    return _scan(build_scene(kind, seed, index, split), seed, index, threat, split, measure)


def simulate_pair(
    kind: Kind, seed: int, index: int, *, split: Split = "train", measure: bool = False
) -> tuple[Sample, ...]:
    """`simulate` with and without the threat, built once; one scan for a benign scene."""
    scene = build_scene(kind, seed, index, split)
    versions = (True, False) if scene.has_threat else (False,)
    return tuple(_scan(scene, seed, index, threat, split, measure) for threat in versions)


def _scan(scene: Scene, seed: int, index: int, threat: bool | None, split: Split, measure: bool) -> Sample:
    rng = np.random.default_rng([seed, index, _STREAM_KIND[scene.kind], _STREAM[split], 1])
    machine = Machine.draw(scene.kind, rng, machine_split(split), pixel_mm=scene.pixel_mm)
    drawn = bool(rng.random() < 0.5)
    return expose(
        scene, machine, rng, threat=drawn if threat is None else threat, declaration=scene.declaration, measure=measure
    )


def find_boxes(families: Array, pixel_mm: float) -> tuple[tuple[str, Box, float], ...]:
    """Connected patches of each watched family: (family, (x0, y0, x1, y1), kg), the heaviest first.

    Patches closer than about three pixels are one; those below 2 % of the family's mass are left out.
    """
    cat = catalogue()
    found: list[tuple[str, Box, float]] = []
    cell = (pixel_mm / 10) ** 2 / 1000  # kg per g/cm2 of one pixel
    for k, name in enumerate(cat.names):
        total = float(families[k].sum()) * cell if name in cat.watched else 0.0
        if total <= 0:
            continue
        mask = cv2.dilate((families[k] > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        masses = np.bincount(labels.ravel(), families[k].ravel(), minlength=len(stats)) * cell
        for label in np.argsort(masses)[::-1]:
            if label and masses[label] >= 0.02 * total:
                x, y, w, h = (int(v) for v in stats[label, :4])
                own = (labels[y : y + h, x : x + w] == label) & (families[k, y : y + h, x : x + w] > 0)
                rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
                box = (x + int(columns[0]), y + int(rows[0]), x + int(columns[-1]) + 1, y + int(rows[-1]) + 1)
                found.append((name, box, float(masses[label])))
    return tuple(sorted(found, key=lambda b: -b[2]))
