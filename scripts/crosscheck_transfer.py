"""Measure a model on scans of a second simulator, which shares no code with the one it was fitted on.

    python scripts/crosscheck_transfer.py --kind parcel --scenes 200

Nothing of `leadline.datasets.simulator` or `leadline.datasets.physics` is used for parcels: attenuation is
xraylib's, the spectra are spekpy's; containers take bremsstrahlung after Kramers (Phil. Mag. 46, 1923)
behind steel and NIST XCOM's attenuation from the project's table, because xraylib ends at 800 keV. Scenes are
drawn quite otherwise: parallel rays, goods as boxes, cylinders, ellipsoids and bags in layers, one carton or one
container, covers and threats of the scenarios, honest twins and hard negatives. Noise is Poisson's with
a little gain drift and blur.

Prints AUC, share found at 1 % and 5 % false alarms, pairs won and the false alarms of the stored
threshold, beside the largest attenuation. It is a check against learning one simulator by heart; no
model is fitted or chosen on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from leadline.datasets.scan import Declaration, Scan, Scanner
from leadline.inference.engine import Engine

Array = npt.NDArray[np.float64]

# material: formula, density range g/cm3
MATERIALS: dict[str, tuple[str, float, float]] = {
    "cardboard": ("C6H10O5", 0.1, 0.25), "plastic": ("C2H4", 0.9, 1.0), "abs": ("C8H8", 1.0, 1.1),
    "protein": ("C4H7NO2", 0.4, 0.6), "cream": ("C10H20O3", 0.8, 1.0), "cloth": ("C6H10O5", 0.2, 0.5),
    "water": ("H2O", 1.0, 1.0), "glass": ("SiO2", 2.2, 2.5), "alumina": ("Al2O3", 3.0, 3.9),
    "clay": ("Al2Si2O7", 1.8, 2.3), "pigment": ("TiO2", 0.7, 1.2), "plaster": ("CaSO4", 1.0, 1.6),
    "fertiliser": ("NH4H2PO4", 0.9, 1.1), "adhesive": ("CaSiO3", 1.3, 1.6), "ore": ("Fe2O3", 2.2, 3.2),
    "iron_sand": ("Fe3O4", 2.4, 3.0), "aluminium": ("Al", 2.7, 2.7), "steel": ("Fe", 7.8, 7.9),
    "scrap": ("Fe", 0.8, 1.8), "copper": ("Cu", 3.0, 6.0), "lead": ("Pb", 11.3, 11.3), "paste": ("PbSO4", 2.5, 4.0),
    "tungsten": ("W", 10.0, 15.0), "barium_plastic": ("C4H8BaSO4", 1.3, 1.8), "ferrite": ("SrFe12O19", 3.5, 4.9),
    "antimony": ("Sb", 6.3, 6.7), "cerium_oxide": ("CeO2", 1.4, 3.0), "neodymium_oxide": ("Nd2O3", 1.3, 2.6),
    "dysprosium_oxide": ("Dy2O3", 1.4, 3.0), "magnet_powder": ("Nd2Fe14B", 2.5, 4.0), "magnet": ("Nd2Fe14B", 3.0, 7.4),
}  # fmt: skip
OXIDES = ("cerium_oxide", "neodymium_oxide", "dysprosium_oxide")

# scenario: honest goods, shape of a unit, threats, share of threat by volume, heading, words, kinds
SCENARIOS: dict[str, tuple[str, str, tuple[str, ...], tuple[float, float], str, str, str]] = {
    "reo_in_plastic_models": ("", "shell", OXIDES, (1, 1), "9503", "plastic models", "pc"),
    "reo_as_cosmetics": ("cream", "tub", OXIDES, (1, 1), "3304", "cosmetic raw material", "pc"),
    "reo_as_protein_powder": ("protein", "tub", OXIDES, (1, 1), "2106", "protein powder", "pc"),
    "epoxy_reo_as_ceramic_parts": ("alumina", "box", OXIDES, (0.4, 0.8), "6909", "ceramic parts", "p"),
    "reo_clay_tiles": ("clay", "plate", OXIDES, (0.15, 0.5), "6907", "ceramic tiles", "pc"),
    "reo_in_paint_additive": ("pigment", "bag", OXIDES, (1, 1), "3206", "paint additive", "pc"),
    "reo_in_art_pieces": ("plaster", "ellipsoid", OXIDES, (1, 1), "9703", "art pieces", "pc"),
    "antimony_under_lead": ("lead", "plate", ("antimony",), (1, 1), "7801", "lead ingots", "pc"),
    "ndfeb_powder_as_tile_adhesive": ("adhesive", "bag", ("magnet_powder",), (1, 1), "3824", "tile adhesive", "c"),
    "ndfeb_waste_in_scrap_metal": ("scrap", "box", ("magnet",), (0.3, 0.7), "7204", "scrap metal", "c"),
    "antimony_ingots_as_iron_ore": ("ore", "box", ("antimony",), (0.6, 1), "2601", "iron ore", "c"),
    "reo_in_iron_sand": ("iron_sand", "bag", OXIDES, (0.2, 0.7), "2601", "iron sand", "c"),
    "reo_as_fertiliser": ("fertiliser", "bag", OXIDES, (1, 1), "3105", "fertiliser", "c"),
}  # fmt: skip
HONEST = {
    "batteries": ("paste", "box", "8507", "lead-acid batteries"), "lead": ("lead", "plate", "7801", "lead sheet"),
    "tungsten": ("tungsten", "tub", "8207", "tungsten carbide tools"), "steel": ("steel", "plate", "7308", "steel"),
    "copper": ("copper", "tub", "7408", "copper coils"), "barium": ("barium_plastic", "box", "3926", "plastic parts"),
    "ferrite": ("ferrite", "box", "8505", "ferrite cores"), "antimony": ("antimony", "box", "8110", "antimony ingots"),
    "clothes": ("cloth", "ellipsoid", "6203", "garments"), "glass": ("glass", "tub", "7013", "glassware"),
}  # fmt: skip


@dataclass(frozen=True)
class Beam:
    """Energies (E,) in keV, detected weights (E, 2) of [high, low], quanta a pixel, nominal energy."""

    energies: Array
    weights: Array
    quanta: tuple[float, float]
    label: str


def beam(kind: str, rng: np.random.Generator) -> Beam:
    """A scanner's spectra, drawn a little differently each time."""
    if kind == "parcel":
        import spekpy

        voltage = float(rng.uniform(150, 170))
        label = f"{voltage:.0f} kV"
        tube = spekpy.Spek(kvp=voltage, th=15).filter("Al", float(rng.uniform(1, 4)))
        energies = np.arange(17.0, 170.0, 3.0)  # the same for all, so that attenuation is looked up once
        bins, flux = tube.get_spectrum()
        fluence = np.interp(energies, bins, flux, right=0.0)
        stop = attenuation("CsI", "parcel", tuple(energies))
        front = 1 - np.exp(-stop * rng.uniform(0.10, 0.16))
        behind = np.exp(-stop * 0.13 - attenuation("Cu", "parcel", tuple(energies)) * rng.uniform(0.5, 0.8))
        weights = np.stack((fluence * energies * behind * (1 - np.exp(-stop * 1.8)), fluence * energies * front), 1)
        quanta = tuple(np.exp(rng.uniform(np.log(1e4), np.log(2e5), 2)))
    else:
        energies = np.linspace(150.0, 9000.0, 60)
        high, low = (6000.0, 4000.0) if rng.random() < 0.7 else (9000.0, 6000.0)
        label = f"{high / 1000:g} MV"
        steel = np.exp(-attenuation("Fe", "container", tuple(energies)) * 7.8)
        shapes = [np.clip(end - energies, 0, None) / end * steel for end in (high, low)]
        weights = np.stack(shapes, 1)
        quanta = tuple(np.exp(rng.uniform(np.log(2e4), np.log(2e5), 2)))
    return Beam(np.asarray(energies, float), weights / weights.sum(0), (quanta[0], quanta[1]), label)


class Row(NamedTuple):
    """A scan that was scored."""

    scenario: str
    threat: bool
    scene: int
    score: float
    attenuation: float


@cache
def attenuation(formula: str, kind: str, energies: tuple[float, ...]) -> Array:
    """Mass attenuation, cm2/g."""
    if kind == "parcel":
        import xraylib

        return np.array([xraylib.CS_Total_CP(formula, float(e)) for e in energies])
    from leadline.datasets.physics.attenuation import mass_attenuation

    return mass_attenuation({formula: 1.0}, np.asarray(energies) / 1000)


class Canvas:
    """Areal densities, g/cm2, by material, on rows x columns pixels of `cm`."""

    def __init__(self, rows: int, columns: int, cm: float) -> None:
        self.y, self.x = np.mgrid[0:rows, 0:columns] * cm
        self.areal: dict[str, Array] = {}

    def add(self, material: str, density: float, depth: Array) -> None:
        self.areal[material] = self.areal.get(material, np.zeros_like(self.x)) + density * depth

    def depth(self, shape: str, at: Array, size: Array, turn: float) -> Array:
        """Length in the beam, cm, of a shape of full size (w, h, d) turned in the picture."""
        dx, dy = self.x - at[0], self.y - at[1]
        u = np.abs(dx * np.cos(turn) + dy * np.sin(turn)) / (size[0] / 2)
        v = np.abs(dy * np.cos(turn) - dx * np.sin(turn)) / (size[1] / 2)
        match shape:
            case "tub":
                return size[2] * np.sqrt(np.clip(1 - u * u, 0, None)) * (v < 1)
            case "ellipsoid" | "shell":
                return size[2] * np.sqrt(np.clip(1 - u * u - v * v, 0, None))
            case "bag":
                return size[2] * np.clip(1 - u**4 - v**4, 0, None) ** 0.4
            case _:
                return size[2] * ((u < 1) & (v < 1)).astype(float)


def density(rng: np.random.Generator, name: str) -> float:
    return float(rng.uniform(*MATERIALS[name][1:]))


def scene(kind: str, rng: np.random.Generator) -> tuple[list[Canvas], str, Declaration]:
    """The honest scene and, for a scenario, the one with the threat."""
    parcel = kind == "parcel"
    field = (400, 500, 0.15) if parcel else (700, 1400, 0.5)
    views = [Canvas(*field), Canvas(*field)]
    wide, high = field[1] * field[2], field[0] * field[2]
    box = np.array([0.1 * wide, 0.2 * high, 0.9 * wide, 0.85 * high])
    names = [n for n, s in SCENARIOS.items() if kind[0] in s[6]]
    threats: tuple[str, ...] = ()
    share = 0.0
    if rng.random() < 0.75:
        name = names[rng.integers(len(names))]
        cover, shape, threats, shares, code, words, _ = SCENARIOS[name]
        share = rng.uniform(*shares)
    else:
        name = sorted(HONEST)[rng.integers(len(HONEST))]
        cover, shape, code, words = HONEST[name]
    _case(views, rng, parcel, box)
    cells = (int(rng.integers(2, 5)), int(rng.integers(2, 4))) if parcel else (int(rng.integers(8, 16)), 4)
    layers = int(rng.integers(1, 3)) if parcel else int(rng.integers(1, 4))
    pitch = np.array([(box[2] - box[0]) / cells[0], (box[3] - box[1]) / cells[1]])
    size = np.array([*(pitch * rng.uniform(0.6, 0.95, 2)), rng.uniform(2, 9) if parcel else rng.uniform(20, 60)])
    if cover in ("lead", "steel", "tungsten", "copper", "antimony", "alumina") or shape == "plate":
        size[2] *= rng.uniform(0.1, 0.4)
    rho = density(rng, cover) if cover else 0.0
    units = [(i, j, k) for i in range(cells[0]) for j in range(cells[1]) for k in range(layers)]
    count = max(1, int(len(units) * rng.uniform(0.1, 0.7)))
    start = int(rng.integers(len(units)))
    hidden = {units[(start + k) % len(units)] for k in range(count)} if threats else set()
    threat = threats[rng.integers(len(threats))] if threats else ""
    rho_threat = density(rng, threat) if threat else 0.0
    part = rng.uniform(0.2, 1.0)  # of a unit's depth
    for unit in units:
        at = box[:2] + (np.array(unit[:2]) + 0.5) * pitch + rng.normal(0, 0.03, 2) * pitch
        depth = views[0].depth(shape, at, size, rng.normal(0, 0.1))
        if shape in ("tub", "shell"):
            wall = depth - views[0].depth(shape, at, size - 0.4, 0.0)
            for view in views:
                view.add("abs", 1.05, np.clip(wall, 0, 1.0))
        for view, dark in zip(views, (False, True), strict=True):
            swap = part * share if dark and unit in hidden and name != "antimony_under_lead" else 0.0
            if cover:
                view.add(cover, rho * (1 - swap), depth)
            if dark and unit in hidden:
                view.add(threat, rho_threat * (swap or 0.5 * part), depth)
    _clutter(views, rng, parcel, box)
    return views[: 2 if threats else 1], name, Declaration(code, words)


def _case(views: list[Canvas], rng: np.random.Generator, parcel: bool, box: Array) -> None:
    middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    for view in views:
        if parcel:
            full = view.depth("box", middle, np.array([*(size + 2), 30.0]), 0.0)
            inner = view.depth("box", middle, np.array([*(size + 1), 29.0]), 0.0)
            view.add("cardboard", 0.15, full - inner)
        else:
            ribs = 0.32 * (1 + 0.4 * (np.sin(view.x * 2 * np.pi / 28) > 0.5))
            inside = view.depth("box", middle, np.array([*(size + 30), 1.0]), 0.0)
            view.add("steel", 7.85, ribs * inside)
            floor = view.depth(
                "box", middle + np.array([0.0, size[1] / 2 + 22]), np.array([size[0] + 60, 12.0, 1.0]), 0.0
            )
            view.add("steel", 7.85, floor * 6.0)
            view.add("cardboard", 0.6, floor * 60.0)


def _clutter(views: list[Canvas], rng: np.random.Generator, parcel: bool, box: Array) -> None:
    choice = ("plastic", "cloth", "water", "glass", "aluminium", "steel", "copper", "cardboard")
    for _ in range(int(rng.integers(2, 9))):
        name = str(rng.choice(choice))
        at = rng.uniform(box[:2], box[2:])
        size = rng.uniform(1, 9, 3) if parcel else rng.uniform(15, 90, 3)
        if name in ("steel", "copper", "aluminium"):
            size[2] = rng.uniform(0.1, 1.0) if parcel else rng.uniform(0.5, 6)
        shape = str(rng.choice(["box", "tub", "ellipsoid"]))
        depth = views[0].depth(shape, at, size, rng.uniform(0, np.pi))
        rho = density(rng, name)
        for view in views:
            view.add(name, rho, depth)


def expose(view: Canvas, light: Beam, kind: str, seed: int) -> npt.NDArray[np.float32]:
    """The scan, (2, rows, columns): the same noise for the same seed."""
    rng = np.random.default_rng(seed)
    mu = np.stack([attenuation(MATERIALS[m][0], kind, tuple(light.energies)) for m in view.areal], 0)
    areal = np.stack(list(view.areal.values()), -1)
    mean = np.exp(-(areal.reshape(-1, len(mu)).astype(np.float32) @ mu.astype(np.float32))) @ light.weights
    channels = []
    for k, quanta in enumerate(light.quanta):
        plane = gaussian_filter(mean[:, k].reshape(view.x.shape), rng.uniform(0.4, 0.9))
        gain = 1 + 0.002 * rng.standard_normal((1, plane.shape[1]))
        channels.append(rng.poisson(plane * quanta) / quanta * gain)
    counts = np.round(np.clip(np.stack(channels), 0, 1) * 65535)
    return (counts / 65535).astype(np.float32)


@click.command()
@click.option("--kind", type=click.Choice(["parcel", "container"]), required=True)
@click.option("--model", type=click.Path(path_type=Path), help="ONNX file; the released one otherwise.")
@click.option("--scenes", type=click.IntRange(20), default=200, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--labels/--no-labels", default=True, help="Whether files say the beam's nominal energy.")
def main(kind: str, model: Path | None, scenes: int, seed: int, labels: bool) -> None:
    """Measure a model on scans of a second simulator."""
    engine = Engine(model)
    rows: list[Row] = []
    for index in track(range(scenes), "scenes"):
        rng = np.random.default_rng([seed, index])
        light = beam(kind, rng)
        views, name, declaration = scene(kind, rng)
        lies = name in SCENARIOS
        for dark, view in enumerate(views):
            t = expose(view, light, kind, seed * 100_003 + index)
            said = light.label if labels else None
            scanner = Scanner(kind, said, None, 1.5 if kind == "parcel" else 5.0)  # type: ignore[arg-type]
            score = engine.score(Scan(t, scanner, declaration, path=f"{name}-{index}")).score
            attenuated = -np.log(np.clip(np.quantile(t[0], 0.01), 1e-4, 1))
            rows.append(Row(name, bool(dark and lies), index, float(score), float(attenuated)))
    contract = engine.model_for(kind).contract  # type: ignore[arg-type]
    report(rows, contract.threshold)


def report(rows: list[Row], threshold: float) -> None:
    """Print the figures."""
    threat = np.array([r.threat for r in rows])
    click.echo(f"{(~threat).sum()} honest scans, {threat.sum()} threats")
    click.echo("| method | AUC | found at 1 % | found at 5 % | pairs won |\n| --- | --- | --- | --- | --- |")
    for label, column in (("this model", "score"), ("largest attenuation", "attenuation")):
        values = np.array([getattr(r, column) for r in rows])
        honest = {r.scene: getattr(r, column) for r in rows if not r.threat}
        pairs = np.mean([getattr(r, column) > honest[r.scene] for r in rows if r.threat])
        found = [np.mean(values[threat] > np.quantile(values[~threat], 1 - rate)) for rate in (0.01, 0.05)]
        auc = roc_auc_score(threat, values)
        click.echo(f"| {label} | {auc:.3f} | {found[0]:.1%} | {found[1]:.1%} | {pairs:.1%} |")
    score = np.array([r.score for r in rows])
    click.echo(f"stored threshold {threshold:.3f}: false alarms {np.mean(score[~threat] > threshold):.1%}")
    click.echo("| scenario | scans | mean score | above the threshold |\n| --- | --- | --- | --- |")
    for name, dark in sorted({(r.scenario, r.threat) for r in rows}, key=lambda r: (not r[1], r[0])):
        chosen = score[[r.scenario == name and r.threat == dark for r in rows]]
        label = f"{name}{'' if dark else ' (honest)'}"
        click.echo(f"| {label} | {len(chosen)} | {chosen.mean():.2f} | {np.mean(chosen > threshold):.0%} |")


if __name__ == "__main__":
    main()
