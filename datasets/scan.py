"""The one type that flows through leadline: a scan of cargo in transmission."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["parcel", "container"]
KINDS: tuple[Kind, ...] = ("parcel", "container")

Fidelity = Literal["dual", "single", "pseudocolour"]
"""What the two transmissions are worth: measured at two energies, measured at one
(both rows are the same), or estimated from a vendor's 8-bit colours."""


class LeadlineError(Exception):
    """A failure that the user can mend: says what, why, and what to do next.

    Every message names the file or option first, then the reason, then the remedy.
    Commands print it without a traceback.
    """


class FileError(LeadlineError):
    """A file or folder that cannot be used.

    Args:
        path: the file.
        reason: what is wrong with it.
        remedy: what the user can do about it.
    """

    def __init__(self, path: str | Path, reason: str, remedy: str) -> None:
        self.path, self.reason, self.remedy = str(path), reason, remedy
        super().__init__(f"{path}: {reason}; {remedy}")


class ScanError(FileError):
    """A file that cannot be read as a scan."""


@dataclass(frozen=True)
class Scanner:
    """What is known of the scanner; `None` where the file does not say.

    Attributes:
        kind: `"parcel"` (tube, 80 to 225 kV) or `"container"` (linac, 3 to 10 MV).
        high: high-energy channel as the vendor names it, such as `"160 kV"` or `"6 MV"`.
        low: low-energy channel, such as `"80 kV"` or `"4 MV"`.
        pixel_mm: side of a pixel in the plane of the cargo, mm.
    """

    kind: Kind | None = None
    high: str | None = None
    low: str | None = None
    pixel_mm: float | None = None


@dataclass(frozen=True)
class Declaration:
    """The goods as declared to customs.

    Attributes:
        hs_code: Harmonized System code, 4 to 10 digits without dots, such as `"381600"`.
        description: free text, such as `"tile adhesive"`.
    """

    hs_code: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Uncertainty:
    """How far the estimated transmissions of a picture may be off, as standard deviations.

    Attributes:
        attenuation: float32 (rows, columns), of -ln T (high).
        ratio: float32 (rows, columns), of the energy ratio ln T (low) / ln T (high).
        palette: name of the palette by which they were estimated.
    """

    attenuation: npt.NDArray[np.float32]
    ratio: npt.NDArray[np.float32]
    palette: str


@dataclass(frozen=True)
class Scan:
    """A scan in transmission, with what is known of the scanner and the goods.

    Attributes:
        transmission: float32, shape (2, rows, columns); row 0 is the high-energy channel,
            row 1 the low. 0 = nothing arrives, 1 = open beam; slightly above 1 is possible
            (noise). Average and resample in transmission, never in its logarithm: at low
            counts the mean of logs is biased, and zeros are real.
        scanner: what the file or the user says of the scanner.
        declaration: the declared goods, or `None` when nobody declared anything.
        fidelity: what the transmissions are worth.
        path: the file that it was read from, or a name for a simulated scan.
        sha256: hash of the file's bytes; empty for scans that never were files.
        uncertainty: of transmissions estimated from colours; `None` where they were measured.
    """

    transmission: npt.NDArray[np.float32]
    scanner: Scanner = field(default_factory=Scanner)
    declaration: Declaration | None = None
    fidelity: Fidelity = "dual"
    path: str = ""
    sha256: str = ""
    uncertainty: Uncertainty | None = None

    def __post_init__(self) -> None:
        t = self.transmission
        if t.ndim != 3 or t.shape[0] != 2 or t.dtype != np.float32:
            raise ValueError(f"transmission must be float32 of shape (2, rows, columns), got {t.dtype} {t.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.transmission.shape[1], self.transmission.shape[2]

    def declared(self, declaration: Declaration | None) -> Scan:
        """The same scan under another declaration."""
        return replace(self, declaration=declaration)
