"""Compute the table of tube spectra with spekpy and pack it into the package data.

Run from the repository root (needs spekpy, about a minute):

    python scripts/make_tube_spectra.py

Writes `datasets/data/tube_spectra.npz`: tungsten anode, 20 degree target, inherent filtration
of 0.8 mm aluminium, relative photons per mA s and keV in 1 keV bins. Tube voltages 50 to 225 kV
in steps of 5 kV.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import spekpy

TARGET_DEGREES = 20
INHERENT_AL_MM = 0.8
KVP = np.arange(50, 230, 5)


def spectrum(kvp: int) -> np.ndarray:
    """Photons per keV in 1 keV bins [0, 1), [1, 2) ... up to the largest tube voltage."""
    tube = spekpy.Spek(kvp=float(kvp), th=TARGET_DEGREES, dk=0.5)
    tube.filter("Al", INHERENT_AL_MM)
    energy, fluence = tube.get_spectrum(edges=False)
    bins = np.zeros(int(KVP[-1]))
    np.add.at(bins, energy.astype(int), 0.5 * fluence)
    return bins


def main() -> int:
    rows = np.stack([spectrum(int(kvp)) for kvp in KVP])
    target = Path(__file__).parents[1] / "datasets" / "data" / "tube_spectra.npz"
    np.savez_compressed(target, kvp=KVP.astype(np.float32), photons=(rows / rows.max()).astype(np.float32))
    print(f"{target}: {target.stat().st_size} bytes, spekpy {spekpy.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
