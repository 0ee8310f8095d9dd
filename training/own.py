"""Labelled scans of one's own, checked as a whole, parted for fitting and holding back, and fed as batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from leadline.datasets.beam import beam
from leadline.datasets.scan import FileError, Kind, LeadlineError, ScanError
from leadline.models.config import NetworkConfig
from leadline.models.features import pool_pixels
from leadline.training.augment import Augment, augment_config
from leadline.training.labelled import Specimen
from leadline.training.progress import Progress
from leadline.training.targets import said_vector

_KEPT_BYTES = 2 << 30  # of pooled scans that are held in memory; the rest is read again each time
_WORTH = {"dual": "two energies of 16 bits", "single": "one energy", "pseudocolour": "8-bit colours"}


class OwnBatch(TypedDict):
    """Scans with image-level labels; N scans on one canvas, pooled to (h, w).

    Attributes:
        transmission: (N, 2, h, w) float32, pooled.
        said: (N, F + 1 + APPEARANCE) float32, see `said_vector`.
        beam: (N, BEAM) float32, nominal energy of the scanner.
        undeclared: (N,) float32, label of the score.
        present: (N, F) float32, families that are there; NaN where nobody says.
    """

    transmission: Tensor
    said: Tensor
    beam: Tensor
    undeclared: Tensor
    present: Tensor


@dataclass(frozen=True)
class Checked:
    """A scan that can be read.

    Attributes:
        specimen: where it is and what is in it.
        sha256: of its file; copies have the same.
    """

    specimen: Specimen
    sha256: str


def check(specimens: Sequence[Specimen], kind: Kind, progress: bool = False) -> list[Checked]:
    """Read every scan once, so that nothing stops a fit in the middle.

    Raises:
        LeadlineError: a scan cannot be read or is of another scanner, scans of different depth are mixed, or copies
            of one scan have different labels; names the files.
    """
    found: list[Checked] = []
    broken: list[str] = []
    worth: dict[str, list[Specimen]] = {}
    with Progress("reading labelled scans") as shown:
        for specimen in specimens:
            try:
                scan = specimen.read(kind)
            except ScanError as error:
                if "8-bit" in error.reason:  # refused unless declared: counted as what it is
                    worth.setdefault("pseudocolour", []).append(specimen)
                broken.append(str(error))
                continue
            worth.setdefault(scan.fidelity, []).append(specimen)
            found.append(Checked(specimen, scan.sha256))
            if progress:
                shown.told(len(found), len(specimens))
    if len(worth) > 1:
        told = ", ".join(f"{len(v)} of {_WORTH[k]} (such as {v[0].path.name})" for k, v in sorted(worth.items()))
        raise FileError(
            specimens[0].path.parent,
            f"mixes scans of different depth: {told}",
            "fit on one kind at a time, with a label file for each",
        )
    if broken:
        more = f"\nand {len(broken) - 3} more" if len(broken) > 3 else ""
        raise LeadlineError("\n".join(broken[:3]) + more)
    labels: dict[str, Checked] = {}
    for one in found:
        other = labels.setdefault(one.sha256, one)
        if other.specimen.positive != one.specimen.positive:
            raise FileError(
                one.specimen.path, f"is a copy of {other.specimen.path} with the other label", "correct one of them"
            )
    return found


def part(scans: Sequence[Checked], hold_back: float) -> tuple[list[Checked], list[Checked]]:
    """Scans to fit on and scans to hold back; the same whatever their order, copies and groups on one side.

    Where the set itself names scans for validation or test, and both sides then have both classes, those are held
    back; otherwise a share.

    Args:
        scans: of both classes.
        hold_back: share of each class that is held back, at least one scan.

    Raises:
        LeadlineError: a class has too few scans for both.
    """
    units = _units(scans)
    left = {positive: sum(positive in _classes(unit) for unit in units) for positive in (True, False)}
    for positive, count in left.items():
        if count < 2:
            what = "with undeclared watch-list material" if positive else "of honest goods"
            raise LeadlineError(
                f"labels: {count or 'no'} scan {what}; one to fit on and one to hold back are needed, add some"
            )
    by_set = [any(s.specimen.split in ("val", "test") for s in unit) for unit in units]
    if all(_both(unit for unit, back in zip(units, by_set, strict=True) if back == side) for side in (True, False)):
        held = [unit for unit, back in zip(units, by_set, strict=True) if back]
    else:
        held, wanted = [], {p: min(max(1, round(hold_back * n)), n - 1) for p, n in left.items()}
        for unit in units:
            mine = _classes(unit)
            if any(wanted[p] > 0 for p in mine) and all(left[p] > 1 for p in mine):
                held.append(unit)
                for p in mine:
                    wanted[p] -= 1
                    left[p] -= 1
    back = {id(s) for unit in held for s in unit}
    fitted, kept = [s for s in scans if id(s) not in back], [s for s in scans if id(s) in back]
    if not (_both([fitted]) and _both([kept])):
        raise LeadlineError("labels: too few groups of scans to fit on some and hold others back; add some")
    return fitted, kept


def _units(scans: Sequence[Checked]) -> list[list[Checked]]:
    """Scans that belong together, as copies or in a group, in an order that follows from their content."""
    joined: dict[tuple[str, str], tuple[str, str]] = {}

    def root(key: tuple[str, str]) -> tuple[str, str]:
        while joined.setdefault(key, key) != key:
            key = joined[key]
        return key

    for one in scans:
        if one.specimen.group:
            joined[root(("group", one.specimen.group))] = root(("file", one.sha256))
    units: dict[tuple[str, str], list[Checked]] = {}
    for one in scans:
        units.setdefault(root(("file", one.sha256)), []).append(one)
    return sorted(units.values(), key=lambda unit: min(s.sha256 for s in unit))


def _classes(unit: Sequence[Checked]) -> set[bool]:
    return {s.specimen.positive for s in unit}


def _both(units: Iterable[Sequence[Checked]]) -> bool:
    return len({p for unit in units for p in _classes(unit)}) == 2


def targets(specimen: Specimen, config: NetworkConfig) -> tuple[np.ndarray, np.ndarray]:
    """What an image-level label says: `said_vector` and `present` (F,), NaN where it says nothing."""
    said = said_vector(specimen.declaration)
    present = np.full(len(config.families), np.nan, np.float32)
    for k, family in enumerate(config.families):
        if specimen.positive and specimen.family == family:
            present[k] = 1
        elif not specimen.positive and family in config.watched and not said[k]:
            present[k] = 0  # nothing undeclared is there
    return said, present


class Own(IterableDataset[OwnBatch]):
    """Endless batches, half of each class, augmented anew each time.

    Args:
        scans: to draw from.
        config: of the network.
        canvas: rows and columns, pooled pixels.
        batch: scans in a batch.
        seed: of the draws.
    """

    def __init__(
        self, scans: Sequence[Checked], config: NetworkConfig, canvas: tuple[int, int], batch: int, seed: int
    ) -> None:
        self.classes = [[s.specimen for s in scans if s.specimen.positive == p] for p in (True, False)]
        self.config, self.canvas, self.batch, self.seed = config, canvas, batch, seed
        self._pooled: dict[Specimen, tuple[np.ndarray, np.ndarray]] = {}
        self._bytes = 0

    def __iter__(self) -> Iterator[OwnBatch]:
        rng = np.random.default_rng([self.seed, 0x0F17])
        augment = Augment(augment_config(self.config.kind, self.canvas), int(rng.integers(1 << 31)))
        while True:
            rows = []
            start = int(rng.integers(2))
            for k in range(self.batch):
                choice = self.classes[(start + k) % 2]
                specimen = choice[int(rng.integers(len(choice)))]
                t, told = self._scan(specimen)
                image, _ = augment(t, np.zeros((1, *t.shape[1:]), np.float32))
                said, present = targets(specimen, self.config)
                rows.append((image, said, told, np.float32(specimen.positive), present))
            columns = (torch.from_numpy(np.stack(r)) for r in zip(*rows, strict=True))
            names = ("transmission", "said", "beam", "undeclared", "present")
            yield OwnBatch(**dict(zip(names, columns, strict=True)))  # type: ignore[typeddict-item]

    def _scan(self, specimen: Specimen) -> tuple[np.ndarray, np.ndarray]:
        """(2, h, w), pooled, and (BEAM,)."""
        kept = self._pooled.get(specimen)
        if kept is None:
            scan = specimen.read(self.config.kind)
            pooled = pool_pixels(torch.from_numpy(scan.transmission)[None], self.config)[0].numpy()
            kept = pooled, beam(scan.scanner)
            if self._bytes + pooled.nbytes <= _KEPT_BYTES:
                self._pooled[specimen] = kept
                self._bytes += pooled.nbytes
        return kept


def counted(scans: Sequence[Checked]) -> str:
    """How many scans of which label, in words."""
    count = Counter(s.specimen.positive for s in scans)
    return f"{count[True]} with undeclared watch-list material, {count[False]} honest"
