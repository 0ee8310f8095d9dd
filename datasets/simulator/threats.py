"""Threats by themselves, taken out of simulated scenes, and places for them among the goods of a scan."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Kind, LeadlineError
from leadline.datasets.simulator import container, parcel
from leadline.datasets.simulator.background import Background
from leadline.datasets.simulator.concealment import hide
from leadline.datasets.simulator.geometry import Array
from leadline.datasets.simulator.goods import Scenario, carried_by, goods, scenarios
from leadline.datasets.simulator.machines import Split
from leadline.datasets.simulator.projection import Projection, Threat, project
from leadline.datasets.simulator.scene import Scene

_TRIES = 25
_DRAWS = 4
_FITS = 0.97
_LEAST_FIT = 0.4
_GRID = 220  # places are searched on pictures of at most so many pixels a side
_SEEN_THROUGH = 1e-3


def scenario_for(kind: Kind, name: str | None, material: str | None, mass_kg: float | None) -> Scenario:
    """The scenario of a name, or one that buries a material, with its mass if that is given.

    Args:
        kind: scanner kind.
        name: of a scenario; `None` buries `material` among the goods.
        material: of the catalogue, in place of the scenario's own; needed where `name` is `None`.
        mass_kg: the threat's mass; `None` draws it from the scenario's range.

    Raises:
        LeadlineError: an unknown scenario or material, or a scenario that this kind of scanner does not see.
    """
    known = scenarios()
    if name is not None and name not in known:
        raise LeadlineError(f"scenario {name!r}: not known; take one of {', '.join(known)}")
    if material is not None and material not in catalogue().materials:
        raise LeadlineError(f"material {material!r}: not in the catalogue; see datasets/data/materials.toml")
    if name is None and material is None:
        raise LeadlineError("a threat: nothing says what it is; name a scenario or a material")
    scenario = known[name or "anything_anywhere"]
    if kind not in scenario.mass_kg:
        fitting = [n for n, s in known.items() if kind in s.mass_kg]
        raise LeadlineError(f"scenario {name}: not one of a {kind} scanner; take one of {', '.join(fitting)}")
    if name is None:
        scenario = replace(scenario, way="bury")
    if material is not None:
        scenario = replace(scenario, threat=(material,))
    if mass_kg is not None:
        scenario = replace(scenario, mass_kg={kind: (mass_kg, mass_kg)})
    return scenario


def hide_in(
    background: Background,
    scenario: Scenario,
    rng: np.random.Generator,
    *,
    box: tuple[int, int, int, int] | None = None,
    split: Split = "train",
) -> tuple[Projection, float]:
    """Draw a threat of a scenario, find a place for it among a scan's goods, and project it there.

    Args:
        background: the measured scan (`background.measure`); it may serve any number of threats.
        scenario: see `scenario_for`.
        rng: source of threat, place and noise: the same state gives the same scan.
        box: (x0, y0, x1, y1), pixels, to which the place is confined.
        split: which shapes of goods are drawn.

    Returns:
        The projection, and the share of the threat's footprint that found room; the rest is left out.

    Raises:
        LeadlineError: no threat of the scenario finds room in the scan.
    """
    kind = background.machine.kind
    pixel = background.scan.scanner.pixel_mm or background.machine.pixel_mm
    failure: LeadlineError | None = None
    for _ in range(_DRAWS):
        threat = draw_threat(kind, scenario, rng, pixel, split)
        try:
            at, share = find_place(background, threat, rng, box)
            return project(background, threat, at, rng, clip=True), share
        except LeadlineError as error:
            failure = error
    raise failure or LeadlineError("no threat was drawn")


def fully_simulated(scene: Scene, threat: Threat, at: tuple[int, int]) -> tuple[tuple[str, ...], Array]:
    """Areal densities of a scene with a threat in it: what a projection into its honest scan should look like.

    Args:
        scene: its honest version counts.
        threat: at the scene's pixel size, wholly inside the picture at `at` (row, column).

    Returns:
        Names of the materials, and float32 (M, rows, columns), g/cm2, 0 or more.
    """
    names = tuple(sorted({*scene.materials, *threat.materials}))
    areal = np.zeros((len(names), *scene.areal.shape[1:]), np.float32)
    for k, name in enumerate(scene.materials):
        areal[names.index(name)] = scene.areal[k]
    window = (slice(at[0], at[0] + threat.shape[0]), slice(at[1], at[1] + threat.shape[1]))
    areal[:, *window] *= 1 - threat.displaced
    for k, name in enumerate(threat.materials):
        areal[names.index(name), *window] += threat.areal[k]
    return names, np.maximum(areal, 0, out=areal)


def draw_threat(
    kind: Kind, scenario: Scenario, rng: np.random.Generator, pixel_mm: float, split: Split = "train"
) -> Threat:
    """A threat as the scenario hides it, cut out of a simulated scene.

    A scene with the scenario's goods is built, and what the threat changes is kept: its own areal densities (with
    the lead around it, where it has any), and the share of the goods on each ray that gives way.

    Args:
        kind: scanner kind.
        scenario: see `scenario_for`.
        rng: source of all randomness.
        pixel_mm: pixel size of the scan that it is for.
        split: which shapes of goods are drawn.

    Raises:
        LeadlineError: no scene could hold it.
    """
    names = scenario.goods or tuple(g.name for g in carried_by(kind) if not g.name.startswith("honest_"))
    builder = container if kind == "container" else parcel
    for _ in range(_TRIES):
        canvas, items = builder.build(rng, [goods()[str(rng.choice(names))]], split)
        before = {name: layer.copy() for name, layer in canvas.honest.items()}
        hide(rng, canvas, items, scenario, kind)
        scene = canvas.scene(kind, scenario.name, None)
        if scene.has_threat:
            break
    else:
        raise LeadlineError(f"scenario {scenario.name}: no simulated goods could hold it; try another seed")
    y0, y1, x0, x1 = scene.window
    honest = scene.areal[:, y0:y1, x0:x1]
    added, gone = np.maximum(scene.change, 0), np.maximum(-scene.change, 0)
    for k, name in enumerate(scene.materials):  # the shield stands in both versions of the scene
        if name in canvas.honest:
            shield = canvas.honest[name] - before.get(name, np.float32(0))
            added[k] += np.maximum(shield, 0)[y0:y1, x0:x1]
    share = gone.sum(axis=0) / np.maximum(honest.sum(axis=0), 1e-6)
    kept = [k for k in range(len(added)) if added[k].any()]
    threat = Threat(
        tuple(scene.materials[k] for k in kept), added[kept], np.clip(share, 0, 1).astype(np.float32), scenario.name
    )
    low, high = scenario.mass_kg[kind]
    wanted = low if low == high else None
    return _resized(_of_mass(threat, scenario, scene.pixel_mm, wanted), scene.pixel_mm / pixel_mm)


def find_place(
    background: Background, threat: Threat, rng: np.random.Generator, box: tuple[int, int, int, int] | None = None
) -> tuple[tuple[int, int], float]:
    """A place for a threat inside the goods of a scan, at random.

    Places that are seen through come first; where it fits nowhere whole, the best places count.

    Args:
        background: the measured scan.
        threat: at its pixel size.
        rng: source of the choice.
        box: (x0, y0, x1, y1), pixels, to which the place is confined.

    Returns:
        Row and column of its upper left corner, and the share of its footprint that lies among the goods.

    Raises:
        LeadlineError: there are no goods, or none that hold 40 % of it.
    """
    mask = background.goods
    if box is not None:
        inside = np.zeros_like(mask)
        inside[box[1] : box[3], box[0] : box[2]] = True
        mask = mask & inside
    where = f"{background.scan.path or 'scan'}{'' if box is None else f', box {box}'}"
    if not mask.any():
        raise LeadlineError(f"{where}: shows no goods that could hide anything; take another scan or box")
    high = cv2.blur(np.ascontiguousarray(background.scan.transmission[0]), (5, 5))
    best = 0.0
    for candidates in (mask & (high > _SEEN_THROUGH), mask):
        place, share = _search(candidates, threat.footprint, rng)
        best = max(best, share)
        if share >= _FITS:
            return place, share
    if best < _LEAST_FIT:
        raise LeadlineError(
            f"{where}: at most {best:.0%} of the threat of {threat.shape[0]} x {threat.shape[1]} pixels finds room "
            "among the goods; take a smaller mass, another seed or another scan"
        )
    return _search(mask, threat.footprint, rng)


def _search(
    mask: npt.NDArray[np.bool_], footprint: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[tuple[int, int], float]:
    """A place drawn among the best, and the share of the footprint that the mask holds there."""
    step = max(1, -(-max(mask.shape) // _GRID))
    coarse = _shrunk(mask, step)
    foot = _shrunk(footprint, step)
    foot = foot if foot.any() else np.ones_like(foot)
    rows, columns = foot.shape
    padded = np.pad(coarse, ((rows - 1, rows - 1), (columns - 1, columns - 1)))
    held = cv2.matchTemplate(padded, foot, cv2.TM_CCORR) / foot.sum()
    best = float(held.max())
    choice = np.argwhere(held >= (_FITS if best >= _FITS else best - 0.01))
    y, x = choice[rng.integers(len(choice))]
    return ((int(y) - rows + 1) * step, (int(x) - columns + 1) * step), float(held[y, x])


def _shrunk(mask: npt.NDArray[np.bool_], step: int) -> npt.NDArray[np.float32]:
    rows, columns = -(-mask.shape[0] // step), -(-mask.shape[1] // step)
    whole = np.pad(mask, ((0, rows * step - mask.shape[0]), (0, columns * step - mask.shape[1])))
    return whole.reshape(rows, step, columns, step).mean(axis=(1, 3)).astype(np.float32)


def _of_mass(threat: Threat, scenario: Scenario, pixel_mm: float, wanted: float | None) -> Threat:
    """The same form, larger or smaller in all three directions, so that its material has the wanted mass, kg."""
    if wanted is None:
        return threat
    cat = catalogue()
    meant = [
        k
        for k, name in enumerate(threat.materials)
        if name in scenario.threat or (not scenario.threat and cat.materials[name].family in cat.watched)
    ]
    kilograms = float(threat.areal[meant].sum()) * (pixel_mm / 10) ** 2 / 1000
    if kilograms <= 0:
        return threat
    scale = (wanted / kilograms) ** (1 / 3)
    larger = _resized(threat, scale)
    return replace(larger, areal=larger.areal * np.float32(scale))


def _resized(threat: Threat, scale: float) -> Threat:
    """The same at another pixel size; areal density stays, the mass too."""
    if abs(scale - 1) < 1e-3:
        return threat
    rows, columns = (max(1, round(n * scale)) for n in threat.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    exact = threat.shape[0] * scale * threat.shape[1] * scale / (rows * columns)
    sized = [cv2.resize(layer, (columns, rows), interpolation=method) * np.float32(exact) for layer in threat.areal]
    share = cv2.resize(threat.displaced, (columns, rows), interpolation=method)
    return replace(threat, areal=np.stack(sized).astype(np.float32), displaced=share.astype(np.float32))
