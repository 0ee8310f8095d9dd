"""The nominal energy of a scanner's beam, as networks are told it: what a vendor's label such as `"160 kV"` says."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import Kind, Scanner

BEAM = 2
"""Length of what a network is told of the beam."""

_LABEL = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:/\s*\d+(?:\.\d+)?\s*)?(k|M)e?Vp?\s*", re.IGNORECASE)
_UNIT: Mapping[Kind, tuple[str, float, tuple[float, float]]] = {
    "parcel": ("k", 100.0, (80.0, 250.0)),
    "container": ("m", 5.0, (2.0, 12.0)),
}
"""Letter of the unit, what is counted as 1, and the least and greatest energy that such a scanner may have."""


def beam(scanner: Scanner) -> npt.NDArray[np.float32]:
    """What a network is told of the beam.

    Returns:
        float32 (2,): the high channel's energy in units of 100 kV (parcels) or 5 MV (containers), and 1; both 0
        where the kind or the energy is unknown, or the energy is not one of such a scanner.
    """
    told = np.zeros(BEAM, np.float32)
    match = _LABEL.fullmatch(scanner.high or "")
    if match and scanner.kind:
        letter, unit, (least, most) = _UNIT[scanner.kind]
        value = float(match[1])
        if match[2].lower() == letter and least <= value <= most:
            told[:] = value / unit, 1
    return told
