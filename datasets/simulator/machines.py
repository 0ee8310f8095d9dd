"""Which scanners there are: the ranges from which machines are drawn, for training and held out.

Each main property has bands for training and others for held-out scans that training never draws;
a held-out machine lies in the held-out band of every one of them. The commonest settings (6/4 MV,
9/6 MV, 160 kV with a dual-layer detector) stay with training.

Sources of the ranges: two channels of a Rapiscan Eagle R60 at 6/4 MV (about 6,000 and 3,000
effective quanta per open-beam pixel, stripes of 0.7 %, a pedestal of some 1e-4; `docs/realism.md`),
and, for parcel scanners, published data sheets of dual-energy line arrays (0.4 to 1.6 mm pitch,
100 to 200 kV, thin GOS or CsI in front, thick CsI or CdWO4 behind copper).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Split = Literal["train", "heldout"]
Filters = tuple[tuple[str, float], ...]
"""Beam filters: element and mm."""

SPLITS: tuple[Split, ...] = ("train", "heldout")


@dataclass(frozen=True)
class Bands:
    """Disjoint intervals of one property, by split.

    Attributes:
        train, heldout: (least, greatest) pairs, drawn from in proportion to their width.
        log: whether the property is drawn evenly in its logarithm.
    """

    train: Sequence[tuple[float, float]]
    heldout: Sequence[tuple[float, float]]
    log: bool = False

    def draw(self, rng: np.random.Generator, split: Split) -> float:
        """One value of the split."""
        bands = np.asarray(self.train if split == "train" else self.heldout, dtype=float)
        if self.log:
            bands = np.log(bands)
        widths = np.diff(bands, axis=1)[:, 0]
        band = bands[rng.choice(len(bands), p=widths / widths.sum())]
        value = rng.uniform(band[0], band[1])
        return float(np.exp(value) if self.log else value)


CONTAINER = {
    # end point of the high channel, MV, and of the low one as a share of it
    "high": Bands([(4.5, 5.0), (5.6, 6.5), (8.6, 9.6)], [(5.1, 5.5), (6.6, 8.4)]),
    "low_share": Bands([(0.57, 0.69), (0.73, 0.80)], [(0.695, 0.725), (0.52, 0.56)]),
    # beam filter beyond the table's, mm of steel and of lead, and the CdWO4 crystal, g/cm2
    "steel_mm": Bands([(0, 15)], [(18, 35)]),
    "lead_mm": Bands([(0, 1)], [(2, 8)]),
    "crystal": Bands([(14, 27)], [(8, 13), (28, 34)]),
    # effective quanta per open-beam pixel: high channel, and low as a share of it
    "quanta": Bands([(1500, 2300), (3200, 9000), (14000, 40000)], [(2400, 3100), (9500, 13500)], log=True),
    "quanta_share": Bands([(0.4, 0.62), (0.72, 0.9)], [(0.63, 0.71)]),
    # blur (standard deviation, pixels), scatter from the goods and constant pedestal (share of the open beam)
    "blur": Bands([(0.25, 0.65), (0.95, 1.2)], [(0.68, 0.92)]),
    "scatter": Bands([(1e-4, 1e-3), (4e-3, 1.2e-2)], [(1.1e-3, 3.8e-3)], log=True),
    "pedestal": Bands([(2e-5, 2e-4), (6e-4, 1e-3)], [(2.2e-4, 5.5e-4)], log=True),
    "pixel_mm": Bands([(4.0, 4.9), (5.4, 6.0)], [(4.95, 5.35)]),
}

PARCEL = {
    # tube voltage, kV; low voltage as a share of it where the tube switches
    "high": Bands([(120, 136), (150, 176), (190, 196)], [(138, 148), (178, 188)]),
    "low_share": Bands([(0.5, 0.56), (0.6, 0.66)], [(0.565, 0.595)]),
    # tube filters beyond the inherent 0.8 mm of aluminium, mm
    "aluminium_mm": Bands([(1, 3)], [(3.2, 5)]),
    "copper_mm": Bands([(0, 0.25)], [(0.3, 0.7)]),
    # front layer, copper between the layers (mm), back layer or single crystal; areal densities in g/cm2
    "front": Bands([(0.06, 0.13), (0.19, 0.26)], [(0.135, 0.185), (0.27, 0.34)]),
    "between_mm": Bands([(0.2, 0.85)], [(0.9, 1.4)]),
    "crystal": Bands([(1.2, 2.0)], [(0.8, 1.15), (2.05, 2.8)]),
    "quanta": Bands([(1e4, 2.8e4), (6.2e4, 2.3e5), (4.2e5, 1e6)], [(3e4, 6e4), (2.5e5, 4e5)], log=True),
    "quanta_share": Bands([(0.35, 0.6), (0.8, 1.2)], [(0.62, 0.78)]),
    "blur": Bands([(0.25, 0.6), (0.9, 1.2)], [(0.63, 0.87)]),
    "scatter": Bands([(5e-4, 4e-3), (1.2e-2, 2.5e-2)], [(4.5e-3, 1.1e-2)], log=True),
    "pedestal": Bands([(2e-5, 2e-4), (7e-4, 1.5e-3)], [(2.3e-4, 6.5e-4)], log=True),
    "pixel_mm": Bands([(1.0, 1.35), (1.55, 2.0)], [(1.37, 1.53)]),
}


def draw_container(rng: np.random.Generator, split: Split) -> dict[str, Any]:
    """Properties of a container scanner, as arguments of `scanner.Machine`."""
    value = {name: bands.draw(rng, split) for name, bands in CONTAINER.items()}
    high = value["high"]
    low = high * value["low_share"]
    # real end points sit above their nominal values as often as not: the label of the low one is a share of 2/3
    labels = (_nominal(high, "MV"), _nominal(min(low, 0.72 * high), "MV"))
    filters: Filters = (("Fe", value["steel_mm"]), ("Pb", value["lead_mm"]))
    return dict(
        kind="container",
        detector="crystal",
        energies=(high, max(low, 3.0)),
        labels=labels,
        filters=(filters, filters),
        crystal_g_cm2=value["crystal"],
        quanta=(value["quanta"], value["quanta"] * value["quanta_share"]),
        blur_px=_pair(rng, value["blur"], 0.15),
        shift_px=(float(rng.normal(0, 0.05)), float(rng.uniform(-0.6, 0.6))),
        scatter=_pair(rng, value["scatter"], 0.4),
        pedestal=_pair(rng, value["pedestal"], 0.4),
        electronics=_pair(rng, float(rng.uniform(1e-5, 1.5e-4)), 0.3),
        bits=int(rng.choice([14, 16, 16])),
        blind_rows=(0, int(rng.integers(3, 10))) if rng.random() < 0.25 else (0, 0),
        pixel_mm=value["pixel_mm"],
        **_common_faults(rng),
    )


def draw_parcel(rng: np.random.Generator, split: Split) -> dict[str, Any]:
    """Properties of a parcel scanner, as arguments of `scanner.Machine`."""
    value = {name: bands.draw(rng, split) for name, bands in PARCEL.items()}
    dual = rng.random() < 0.75
    low = max(value["high"] * value["low_share"], 60.0)
    base: Filters = (("Al", value["aluminium_mm"]), ("Cu", value["copper_mm"]))
    harder: Filters = (("Al", value["aluminium_mm"]), ("Cu", value["copper_mm"] + float(rng.uniform(0.1, 0.6))))
    scintillators = (("GOS", "CsI")[int(value["front"] > 0.186)], ("CsI", "CdWO4")[int(rng.random() < 0.3)])
    kilovolts = _nominal(value["high"], "kV")
    return dict(
        kind="parcel",
        detector="dual_layer" if dual else "kv_switching",
        energies=(value["high"], value["high"] if dual else low),
        labels=(kilovolts, kilovolts if dual else _nominal(low, "kV")),
        filters=(base, base) if dual else (harder, base),
        scintillators=scintillators if dual else (scintillators[1], scintillators[1]),
        front_g_cm2=value["front"] if dual else 0.0,
        crystal_g_cm2=value["crystal"],
        between_mm=value["between_mm"] if dual else 0.0,
        quanta=(value["quanta"], value["quanta"] * value["quanta_share"]),
        blur_px=_pair(rng, value["blur"], 0.15),
        shift_px=(float(rng.normal(0, 0.15)), float(rng.normal(0, 0.15))),
        scatter=_pair(rng, value["scatter"], 0.4),
        pedestal=_pair(rng, value["pedestal"], 0.4),
        electronics=_pair(rng, float(rng.uniform(1e-5, 1e-4)), 0.3),
        bits=int(rng.choice([12, 14, 16])),
        pixel_mm=value["pixel_mm"],
        **_common_faults(rng),
    )


def _nominal(value: float, unit: str) -> str:
    """A vendor's round number for an energy."""
    return f"{round(value)} MV" if unit == "MV" else f"{5 * round(value / 5)} kV"


def _pair(rng: np.random.Generator, value: float, spread: float) -> tuple[float, float]:
    """A property of both channels: the low one differs by a factor of up to 1 +- spread."""
    return value, value * float(rng.uniform(1 - spread, 1 + spread))


def _common_faults(rng: np.random.Generator) -> dict[str, Any]:
    """Faults that both kinds of scanner share."""
    stripes = float(np.exp(rng.uniform(np.log(5e-4), np.log(1.2e-2))))
    elements = float(np.exp(rng.uniform(np.log(3e-4), np.log(5e-3))))
    level = float(rng.uniform(0.95, 1.0)) if rng.random() < 0.3 else 1.0
    return {
        "scatter_width": float(rng.uniform(0.03, 0.25)),
        "line_gain": _pair(rng, stripes, 0.4),
        "element_gain": _pair(rng, elements, 0.4),
        "drift": float(rng.uniform(0, 5e-3)),
        "level": (level + float(rng.normal(0, 0.004)), level + float(rng.normal(0, 0.004))),
        "offset": (float(rng.normal(0, 6e-5)), float(rng.normal(0, 6e-5))),
        "dead_pixels": float(np.exp(rng.uniform(np.log(1e-6), np.log(1e-3)))),
        "dead_rows": int(rng.choice([0, 1, 2, 4], p=[0.7, 0.15, 0.1, 0.05])),
        "smoothing_px": float(rng.uniform(0.3, 0.6)) if rng.random() < 0.3 else 0.0,
        "saturation": float(rng.choice([1.0, 1.05, 1.2], p=[0.6, 0.2, 0.2])),
    }
