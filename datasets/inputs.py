"""What a model file is told of a scan beside its pixels."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from leadline.datasets.appearance import appearance
from leadline.datasets.beam import beam
from leadline.datasets.declarations import expected_families
from leadline.datasets.materials import Catalogue
from leadline.datasets.scan import Scan


def vectors(scan: Scan, cat: Catalogue, takes: Collection[str]) -> dict[str, npt.NDArray[np.float32]]:
    """Inputs by name, each a vector without the axis of scans.

    Args:
        scan: with its scanner and declaration.
        cat: families that the model knows.
        takes: inputs of the model; not all models take the beam, or the goods' appearance.

    Returns:
        `declared` (families + 1,), and `beam` (BEAM,) and `appearance` (APPEARANCE,) where they are taken.

    Raises:
        LeadlineError: the declared HS code is none.
    """
    found = {"declared": expected_families(scan.declaration, cat)}
    if "beam" in takes:
        found["beam"] = beam(scan.scanner)
    if "appearance" in takes:
        found["appearance"] = appearance(scan.declaration, cat)
    return found
