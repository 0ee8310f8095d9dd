"""Pack the reference tables of attenuation and linac spectra into the package data.

Run from the repository root, with the folder that holds `nist_xcom_mass_attenuation.csv`
(Z, energy_MeV and the six processes, cm2/g) and `linac_spectra.csv` (energy_MeV, photons at
6 MV and 9 MV, absorbed energy per photon in MeV):

    python scripts/make_reference_tables.py FOLDER

Writes `datasets/data/attenuation.npz` and `datasets/data/linac_spectra.npz`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[1] / "datasets" / "data"


def pack_attenuation(source: Path) -> None:
    """Keep coherent, photoelectric and (incoherent + pair), as the interpolation needs them."""
    table = np.genfromtxt(source, delimiter=",", names=True)
    scatter = table["incoherent"] + table["pair_nuclear"] + table["pair_electron"]
    np.savez_compressed(
        DATA / "attenuation.npz",
        element=table["Z"].astype(np.uint8),
        energy_mev=table["energy_MeV"],
        coherent=table["coherent"].astype(np.float32),
        photoelectric=table["photoelectric"].astype(np.float32),
        incoherent_and_pair=scatter.astype(np.float32),
    )


def pack_linac(source: Path) -> None:
    """Keep the two spectra and the detector's mean absorbed energy, on their 10 keV bins."""
    table = np.genfromtxt(source, delimiter=",", names=True)
    np.savez_compressed(
        DATA / "linac_spectra.npz",
        energy_mev=table["energy_MeV"],
        photons_6mv=table["photons_6MV"].astype(np.float32),
        photons_9mv=table["photons_9MV"].astype(np.float32),
        absorbed_mev=table["detector_response_MeV"].astype(np.float32),
    )


def main() -> int:
    if len(sys.argv) != 2 or not (folder := Path(sys.argv[1])).is_dir():
        print(__doc__, file=sys.stderr)
        return 2
    pack_attenuation(folder / "nist_xcom_mass_attenuation.csv")
    pack_linac(folder / "linac_spectra.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
