"""Labelled scans of one's own, checked as a whole, parted for fitting and holding back, and fed as batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from leadline.datasets.declarations import expected_families
from leadline.datasets.scan import FileError, Kind, LeadlineError, ScanError
from leadline.models.network import NetworkConfig, pool_pixels
from leadline.training.augment import Augment, augment_config
from leadline.training.labelled import Specimen
from leadline.training.progress import Progress

_KEPT_BYTES = 2 << 30  # of pooled scans that are held in memory; the rest is read again each time
_WORTH = {"dual": "two energies of 16 bits", "single": "one energy", "pseudocolour": "8-bit colours"}


class OwnBatch(TypedDict):
    """Scans with image-level labels; N scans on one canvas, pooled to (h, w).

    Attributes:
        transmission: (N, 2, h, w) float32, pooled.
        declared: (N, F + 1) float32.
        undeclared: (N,) float32, label of the score.
        present: (N, F) float32, families that are there; NaN where nobody says.
    """

    transmission: Tensor
    declared: Tensor
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
    """Scans to fit on and scans to hold back; the same whatever their order, copies on one side.

    Args:
        scans: of both classes.
        hold_back: share of each class that is held back, at least one scan.

    Raises:
        LeadlineError: a class has too few scans for both.
    """
    fitted: list[Checked] = []
    held: list[Checked] = []
    for positive in (True, False):
        hashes = sorted({s.sha256 for s in scans if s.specimen.positive == positive})
        what = "with undeclared watch-list material" if positive else "of honest goods"
        if len(hashes) < 2:
            raise LeadlineError(
                f"labels: {len(hashes) or 'no'} scan {what}; one to fit on and one to hold back are needed, add some"
            )
        back = set(hashes[: min(max(1, round(hold_back * len(hashes))), len(hashes) - 1)])
        for one in scans:
            if one.specimen.positive == positive:
                (held if one.sha256 in back else fitted).append(one)
    return fitted, held


def targets(specimen: Specimen, config: NetworkConfig) -> tuple[np.ndarray, np.ndarray]:
    """What an image-level label says: `declared` (F + 1,) and `present` (F,), NaN where it says nothing."""
    declared = expected_families(specimen.declaration)
    present = np.full(len(config.families), np.nan, np.float32)
    for k, family in enumerate(config.families):
        if specimen.positive and specimen.family == family:
            present[k] = 1
        elif not specimen.positive and family in config.watched and not declared[k]:
            present[k] = 0  # nothing undeclared is there
    return declared, present


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
        self._pooled: dict[Specimen, np.ndarray] = {}
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
                t = self._scan(specimen)
                image, _ = augment(t, np.zeros((1, *t.shape[1:]), np.float32))
                declared, present = targets(specimen, self.config)
                rows.append((image, declared, np.float32(specimen.positive), present))
            images, declared_rows, labels, presents = (torch.from_numpy(np.stack(r)) for r in zip(*rows, strict=True))
            yield OwnBatch(transmission=images, declared=declared_rows, undeclared=labels, present=presents)

    def _scan(self, specimen: Specimen) -> np.ndarray:
        """(2, h, w), pooled."""
        kept = self._pooled.get(specimen)
        if kept is None:
            scan = torch.from_numpy(specimen.read(self.config.kind).transmission)[None]
            kept = pool_pixels(scan, self.config)[0].numpy()
            if self._bytes + kept.nbytes <= _KEPT_BYTES:
                self._pooled[specimen] = kept
                self._bytes += kept.nbytes
        return kept


def counted(scans: Sequence[Checked]) -> str:
    """How many scans of which label, in words."""
    count = Counter(s.specimen.positive for s in scans)
    return f"{count[True]} with undeclared watch-list material, {count[False]} honest"
