"""What is kept of a measured scan, and its form as a line of JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.training.baselines import Clues
from leadline.training.places import Place

EVIDENCE_BINS = 50


@dataclass(frozen=True)
class Row:
    """One scan: its truth and what the network says of it.

    Attributes:
        index: number of the scene in its set; a threat and its honest twin share it.
        scenario, threat, undeclared, d_known, d_material: see `simulate.Truth`.
        mass_kg: watch-list material in the scan.
        clues: what the baselines look at.
        declared: the network's input.
        logit: of the score.
        score, materials, embedding, novelty: outputs of the network.
        material_logits: logits of `materials`.
        present: which families are there.
        place: the most probable place, if any cell reached the threshold.
        place_right: whether its centre lies in a true box.
        family_right: whether its family is the true one there.
        cells: (2, EVIDENCE_BINS) counts of watched cells by evidence, without and with the family.
        areal_error: median of |estimate - truth| / truth of all goods, over penetrated cells.
        cargo_mass: estimated over true mass of all goods in penetrated cells.
        name: file, for scans that were read.
        family: watch-list family with the most mass, empty for none.
        shield_mm: lead in the beam where the watch-list material lies, mm (mean, weighted by its mass).
        cover: all other goods there, g/cm2 (the same mean).
        goods: declared goods, in few words.
        scanner: energies as the vendor names them.
        placed: whether true boxes are known, so that `place_right` means something.
        sha256: of the files, for scans that were read.
    """

    index: int
    scenario: str
    threat: bool
    undeclared: bool
    d_known: float | None
    d_material: float | None
    mass_kg: float
    clues: Clues
    declared: npt.NDArray[np.float32]
    logit: float = 0.0
    score: float = 0.0
    materials: npt.NDArray[np.float32] | None = None
    material_logits: npt.NDArray[np.float32] | None = None
    embedding: npt.NDArray[np.float32] | None = None
    novelty: float = 0.0
    present: npt.NDArray[np.bool_] | None = None
    place: Place | None = None
    place_right: bool = False
    family_right: bool = False
    cells: npt.NDArray[np.int64] | None = None
    areal_error: float = float("nan")
    cargo_mass: float = float("nan")
    name: str = ""
    family: str = ""
    shield_mm: float | None = None
    cover: float | None = None
    goods: str = ""
    scanner: str = ""
    placed: bool = True
    sha256: str = ""

    @property
    def key(self) -> tuple[int, bool, str, str]:
        """What makes two rows of different models rows of the same scan."""
        return self.index, self.threat, self.name, self.sha256


@dataclass(frozen=True)
class Unread:
    """A labelled scan that could not be measured.

    Attributes:
        index: its number in the set.
        name: file.
        reason: why, with the remedy.
    """

    index: int
    name: str
    reason: str


_PLAIN = (
    "index", "scenario", "threat", "undeclared", "d_known", "d_material", "mass_kg", "logit", "score", "novelty",
    "place_right", "family_right", "areal_error", "cargo_mass", "name", "family", "shield_mm", "cover", "goods",
    "scanner", "placed", "sha256",
)  # fmt: skip


def as_record(row: Row | Unread) -> dict[str, Any]:
    """A row ready for JSON. What only calibration needs (embedding, cells, logits of materials) is left out."""
    if isinstance(row, Unread):
        return {"index": row.index, "name": row.name, "unread": row.reason}
    record: dict[str, Any] = {name: _finite(getattr(row, name)) for name in _PLAIN}
    record["declared"] = [int(v) for v in row.declared]
    record["darkest"] = round(row.clues.darkest, 6)
    flat = row.clues.pixels.ravel()
    places = np.flatnonzero(flat)
    record["pixels"] = [list(row.clues.pixels.shape), places.tolist(), flat[places].tolist()]
    if row.materials is not None:
        record["materials"] = [round(float(v), 6) for v in row.materials]
    if row.present is not None:
        record["present"] = [int(v) for v in row.present]
    if row.place is not None:
        record["place"] = [list(row.place.centre), row.place.family, row.place.peak, row.place.mass_kg]
    return record


def from_record(record: dict[str, Any]) -> Row | Unread:
    """The row of a record.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    if "unread" in record:
        return Unread(record["index"], record["name"], record["unread"])
    plain = {name: record[name] for name in _PLAIN}
    for name in ("areal_error", "cargo_mass"):
        plain[name] = float("nan") if plain[name] is None else plain[name]
    shape, places, counts = record["pixels"]
    flat = np.zeros(int(np.prod(shape)), np.int64)
    flat[places] = counts
    place = None
    if "place" in record:
        centre, family, peak, mass = record["place"]
        place = Place((float(centre[0]), float(centre[1])), int(family), float(peak), mass)
    return Row(
        **plain,
        clues=Clues(float(record["darkest"]), flat.reshape(shape)),
        declared=np.asarray(record["declared"], np.float32),
        materials=np.asarray(record["materials"], np.float32) if "materials" in record else None,
        present=np.asarray(record["present"], bool) if "present" in record else None,
        place=place,
    )


def _finite(value: Any) -> Any:
    """JSON knows no NaN; numpy's numbers become plain ones."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
