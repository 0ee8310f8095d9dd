"""The scanner that a profile of `leadline calibrate` holds, for projecting into its scans."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leadline.datasets.scan import KINDS, FileError, LeadlineError, Scan
from leadline.datasets.simulator.background import Background, measure
from leadline.datasets.simulator.scanner import Machine

_REMEDY = "give a profile that `leadline calibrate` has written"


def machine_of(profile: str | Path) -> Machine:
    """The machine that was fitted to a scanner.

    Args:
        profile: file that `leadline calibrate` has written.

    Raises:
        FileError: it cannot be read, is no profile, or holds no machine of this version.
    """
    path = Path(profile)
    try:
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror})", _REMEDY) from error
    except ValueError as error:
        raise FileError(path, f"is not JSON ({error})", _REMEDY) from error
    if not isinstance(raw, dict) or raw.get("leadline") != "scanner profile":
        raise FileError(path, "is not a scanner profile", _REMEDY)
    try:
        return _machine(raw["details"]["machine"])
    except (KeyError, TypeError, ValueError, LeadlineError) as error:
        raise FileError(path, f"holds no machine of this version ({error})", _REMEDY) from error


def measure_with(scan: Scan, machine: Machine, profile: str | Path) -> Background:
    """A scan as a background for projection, by the machine of its scanner's profile.

    Energy response, quanta, blur, displacement and smoothing are the machine's; scatter is told by the scan's own
    darkest places, for behind goods it depends on what lies around.

    Raises:
        LeadlineError: the scan is of the other kind of scanner, or holds no two energies.
    """
    told = scan.scanner
    if told.kind is not None and told.kind != machine.kind:
        raise LeadlineError(
            f"{scan.path or 'scan'}: a {told.kind} scan, but {profile} is the profile of a {machine.kind} scanner; "
            "leave --profile out, or give that of its scanner"
        )
    found = measure(dataclasses.replace(scan, scanner=dataclasses.replace(told, kind=machine.kind)))
    usual = found.machine
    own = dataclasses.replace(
        machine, scatter=usual.scatter, scatter_width=usual.scatter_width, pedestal=usual.pedestal,
        pixel_mm=told.pixel_mm or machine.pixel_mm,
    )  # fmt: skip
    return dataclasses.replace(
        found, machine=own, quanta=own.quanta, blur_px=own.blur_px, shift_px=own.shift_px, smoothing_px=own.smoothing_px
    )


def _machine(raw: Mapping[str, Any]) -> Machine:
    known = {f.name for f in dataclasses.fields(Machine)}
    if set(raw) != known:
        raise ValueError(f"{', '.join(sorted(set(raw) ^ known))} missing or unknown")
    if raw["kind"] not in KINDS:
        raise ValueError(f"kind {raw['kind']!r}")
    values: dict[str, Any] = {name: _tuples(value) for name, value in raw.items()}
    for pair in ("energies", "quanta", "blur_px", "shift_px", "scatter", "pedestal", "electronics", "level"):
        if len(values[pair]) != 2 or not all(math.isfinite(v) for v in values[pair]):
            raise ValueError(f"{pair} {raw[pair]!r}")
    if min(values["quanta"]) <= 0 or min(values["level"]) <= 0 or min(values["blur_px"]) < 0:
        raise ValueError("quanta, level or blur_px out of range")
    machine = Machine(**values)
    if not (machine.response.weights.sum(axis=0) > 0.9).all():
        raise ValueError("no energy response")
    return machine


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
