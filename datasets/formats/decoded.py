"""What every decoder returns, and how it refuses: shared by the readers of one format each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import Fidelity, Scanner

SMALLEST_SIDE = 32
"""Fewer pixels a side than this hold no cargo; a patch of the network would not fit either."""

LARGEST_AREA = 64_000_000
"""Most pixels of one channel. The longest container scans have about 10 million."""

LARGEST_FILE = 2 * 8 * LARGEST_AREA + 1_000_000
"""Most bytes of a file: two channels of float64 at the largest area, and a header."""


class Unreadable(Exception):
    """A decoder's refusal; `read_scan` adds the path and makes it a `ScanError`.

    Args:
        reason: what is wrong with the file.
        remedy: what the user can do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason, self.remedy = reason, remedy
        super().__init__(f"{reason}; {remedy}")


@dataclass(frozen=True)
class Decoded:
    """Pixels as stored, with what is needed to turn them into transmission.

    Attributes:
        planes: shape (1, rows, columns) for one energy, (2, rows, columns) for high and low
            energy, or (3, rows, columns) for the red, green and blue of a picture. dtype
            uint8, uint16, float32 or float64, of any byte order.
        full: stored value of the open beam (65535 for 16 bits, 1 for floats).
        inverted: stored values grow with attenuation (0 = open beam).
        scanner: what the file says of the scanner.
        fidelity: set where the file itself says what its transmissions are worth.
    """

    planes: npt.NDArray
    full: float
    inverted: bool = False
    scanner: Scanner = field(default_factory=Scanner)
    fidelity: Fidelity | None = None


def check_size(rows: int, columns: int) -> None:
    """Refuse a declared size before anything of it is decoded.

    Raises:
        Unreadable: less than `SMALLEST_SIDE` pixels a side, or more than `LARGEST_AREA` in all.
    """
    if rows * columns > LARGEST_AREA:
        raise Unreadable(
            f"declares {rows} x {columns} pixels, more than the {LARGEST_AREA / 1e6:.0f} megapixels that are read",
            "export the scan in parts, or at the scanner's own resolution",
        )
    if min(rows, columns) < SMALLEST_SIDE:
        raise Unreadable(
            f"has {rows} x {columns} pixels, less than {SMALLEST_SIDE} a side",
            "export the whole scan instead of a thumbnail or a crop",
        )


def split_channels(values: npt.NDArray) -> npt.NDArray:
    """An array of (rows, columns), (rows, columns, n) or (n, rows, columns) as (n, rows, columns), n = 1 to 3.

    No scan has a side of less than `SMALLEST_SIDE`, so the short axis is the one of the channels.

    Raises:
        Unreadable: any other shape.
    """
    if values.ndim == 2:
        return values[np.newaxis]
    if values.ndim == 3 and values.shape[-1] in (1, 2, 3):
        return np.moveaxis(values, -1, 0)
    if values.ndim == 3 and values.shape[0] in (1, 2, 3):
        return values
    raise Unreadable(
        f"holds an array of shape {values.shape}",
        "save (rows, columns, 2) or (2, rows, columns): high energy first, then low",
    )


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuse a declared array shape before it is decoded: `check_size` for any layout of `split_channels`."""
    side = split_channels(np.broadcast_to(np.uint8(0), shape)).shape
    check_size(side[1], side[2])
