"""From stored values to transmission, and the refusal of values that are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from leadline.datasets.formats.decoded import Decoded, Unreadable
from leadline.datasets.formats.palette import Palette
from leadline.datasets.scan import Fidelity, Uncertainty

_RANGE = (-0.05, 1.5)
"""Transmissions that noise and gain errors can give; what lies below 0 is then set to 0."""

_RAW = "export the raw 16-bit scan"
_MOST_CHANCE_LEVELS = 7
_ROWS = 37
"""Of so many rows one is looked at first. Whole rows: they lie together in memory."""


def to_transmission(
    decoded: Decoded, *, palette: Palette | None
) -> tuple[npt.NDArray[np.float32], Fidelity, Uncertainty | None]:
    """Transmission of both channels, what it is worth, and for colours how far it may be off.

    Args:
        decoded: pixels as stored.
        palette: maps the vendor's colours of 8-bit pictures; `None` refuses such pictures.

    Returns:
        float32 of shape (2, rows, columns), 0 = nothing arrives, 1 = open beam; both rows
        are the same where the file holds one energy.

    Raises:
        Unreadable: an 8-bit picture that is not declared, 8 bits in disguise, NaN or infinite
            values, values outside the range of transmissions, or a channel of nothing but zeros.
    """
    planes = decoded.planes
    if planes.dtype == np.uint8:
        if palette is None:
            raise Unreadable(
                "is an 8-bit picture, which has lost the measured values",
                f"{_RAW}, or declare it as pseudo-colour (--pseudocolour) for a reading of low fidelity",
            )
        if len(planes) == 2:
            raise Unreadable("holds two channels of 8 bits", _RAW)
        estimate, uncertainty = palette.estimate(planes)
        return estimate, "pseudocolour", uncertainty
    if decoded.fidelity == "dual" and len(planes) == 1:
        raise Unreadable("describes itself as dual energy but holds one channel", "export both energies")
    if len(planes) == 3:
        raise Unreadable("holds three channels of measured values", "save two: high energy, then low")
    if planes.dtype.kind == "f":
        out = _from_floats(decoded)
    else:
        if decoded.full == 65535:
            _refuse_disguise(planes)
        out = np.empty((2, *planes.shape[1:]), np.float32)
        whole = np.float32(decoded.full)
        for row, plane in zip(out, planes, strict=False):
            row[...] = plane  # first converted, then divided: in one step numpy would go through a small buffer
            if decoded.inverted:
                np.subtract(whole, row, out=row)
            np.divide(row, whole, out=row)
    for name, row in zip(("high", "low"), out[: len(planes)], strict=False):
        if not row[::_ROWS].any() and not row.any():
            raise Unreadable(
                f"is zero everywhere in its {name}-energy channel" if len(planes) == 2 else "is zero everywhere",
                "check the scanner's beam and export, and scan again",
            )
    if len(planes) == 1:
        out[1] = out[0]
    return out, decoded.fidelity or ("dual" if len(planes) == 2 else "single"), None


def _from_floats(decoded: Decoded) -> npt.NDArray[np.float32]:
    planes = decoded.planes
    if decoded.inverted:
        raise Unreadable("holds float values with white as zero", "save transmissions: 0 = dark, 1 = open beam")
    least, most = float(planes.min()), float(planes.max())
    if not np.isfinite([least, most]).all():
        bad = planes.size - int(np.count_nonzero(np.isfinite(planes)))
        raise Unreadable(f"holds {bad} values that are NaN or infinite", "replace dead pixels by 0, and save again")
    if least < _RANGE[0] or most > _RANGE[1]:
        raise Unreadable(
            f"holds float values from {least:g} to {most:g}, which are no transmissions",
            "divide by the open beam, so that 0 = nothing arrives and 1 = open beam",
        )
    out = np.empty((2, *planes.shape[1:]), np.float32)
    np.maximum(planes, 0, out=out[: len(planes)], casting="same_kind")
    if _all_pass(out[: len(planes)], lambda v: np.abs(v * 255 - np.rint(v * 255)) < 1e-3):
        raise Unreadable("holds 8-bit values divided by 255: the measured values are lost", _RAW)
    return out


def _refuse_disguise(planes: npt.NDArray) -> None:
    """Refuse 16-bit values that are 8-bit ones, as they are or scaled up."""
    if planes[:, ::_ROWS].max() <= 255:
        most = int(planes.max())
        if 0 < most <= 255:
            raise Unreadable(f"holds no value above {most} of 65535: 8-bit values in a 16-bit file", _RAW)
    if _all_pass(planes, lambda v: v % 257 == 0):
        raise Unreadable("holds only multiples of 257: 8-bit values in a 16-bit file", _RAW)
    if _all_pass(planes, lambda v: v & 255 == 0):
        raise Unreadable("holds only multiples of 256: 8-bit values in a 16-bit file", _RAW)


def _all_pass(planes: npt.NDArray, test: Callable[[npt.NDArray], npt.NDArray[np.bool_]]) -> bool:
    """All values pass a test, and there are too many levels for that to be chance.

    A few of the rows clear nearly every scan; a clean synthetic one may have few levels.
    """
    if not test(planes[:, ::_ROWS]).all() or not test(planes).all():
        return False
    return len(np.unique(planes)) > _MOST_CHANCE_LEVELS
