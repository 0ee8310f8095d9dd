"""The simulator's machine for a real scanner, out of the profile that `leadline calibrate` has written.

A profile belongs to screening (`leadline.inference.calibration`); its `details` hold the machine that explains the
measured wedges: energy response, scatter, noise, blur and pixel size. What simulates or computes for that scanner
needs only this part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from leadline.datasets.scan import KINDS, FileError
from leadline.datasets.simulator.scanner import Machine

_REMEDY = "write it anew with `leadline calibrate`"
_DESIGNS = ("dual_layer", "kv_switching", "crystal")


@dataclass(frozen=True)
class FittedScanner:
    """A scanner that was measured.

    Attributes:
        name: what its user calls it.
        machine: that simulates it.
        pixel_known: whether the size of a pixel was measured; otherwise the machine's is a usual one.
    """

    name: str
    machine: Machine
    pixel_known: bool


def fitted_scanner(path: Path) -> FittedScanner:
    """The scanner of a profile.

    Raises:
        FileError: it cannot be read, is no profile, or holds no machine that can be simulated.
    """
    try:
        raw = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise FileError(path, error.strerror or str(error), "give the path of a scanner profile") from error
    except ValueError as error:
        raise FileError(path, f"not JSON ({error})", _REMEDY) from error
    if not isinstance(raw, dict) or raw.get("leadline") != "scanner profile":
        raise FileError(path, "not a scanner profile", "give a file that `leadline calibrate` has written")
    try:
        details = raw["details"]
        machine = machine_from(details["machine"])
        _ = machine.response  # its spectra and detector exist
        pixel_known = bool(details["pixel_known"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise FileError(path, f"holds no scanner that can be simulated ({what})", _REMEDY) from error
    return FittedScanner(str(raw.get("name") or path.stem), machine, pixel_known)


def machine_from(raw: Mapping[str, Any]) -> Machine:
    """A machine from JSON types, as `dataclasses.asdict` and JSON leave it.

    Raises:
        ValueError, TypeError, KeyError: an entry is missing, of another form or out of range.
    """
    names = {f.name for f in fields(Machine)}
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in raw.items() if key in names}
    values["filters"] = tuple(tuple((str(e), float(mm)) for e, mm in channel) for channel in raw["filters"])
    machine = Machine(**values)
    if machine.kind not in KINDS or machine.detector not in _DESIGNS:
        raise ValueError(f"{machine.kind} scanner with a detector {machine.detector!r}")
    least = dict.fromkeys(("energies", "quanta", "level"), 0.0) | {"shift_px": -1e12}
    for name in (*least, "blur_px", "scatter", "pedestal", "electronics"):
        pair = getattr(machine, name)
        if len(pair) != 2 or not all(least.get(name, -1e-12) < float(v) < 1e12 for v in pair):
            raise ValueError(f"{name} {pair!r}")
    if not 0.01 < machine.pixel_mm < 100:
        raise ValueError(f"pixel_mm {machine.pixel_mm!r}")
    return machine
