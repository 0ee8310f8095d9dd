"""The JSON in a canonical file's ImageDescription: what it says of the scanner."""

from __future__ import annotations

import json
import math
import re

from leadline.datasets.formats.decoded import Unreadable
from leadline.datasets.scan import KINDS, Fidelity, Kind, Scan, Scanner

_KEYS = ("scanner", "high", "low", "pixel_mm", "fidelity")
_FIDELITIES: tuple[Fidelity, ...] = ("dual", "single", "pseudocolour")
_ENERGY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(kV|kVp|keV|MV|MVp|MeV)\s*", re.IGNORECASE)
_PIXEL_MM = (0.01, 100.0)
_REMEDY = "correct its ImageDescription, see docs/formats.md"


def energy_kv(name: str | None) -> float | None:
    """End-point energy in kV of a channel's name such as `"160 kV"` or `"6 MV"`; `None` for other names."""
    match = _ENERGY.fullmatch(name or "")
    if match is None:
        return None
    return float(match[1]) * (1000 if match[2].lower().startswith("m") else 1)


def kind_of_energy(name: str | None) -> Kind | None:
    """The kind of scanner that works at an energy: parcel tubes end at 225 kV, cargo linacs begin at 1 MV.

    Between them (pallet scanners at 320 and 450 kV) the energy alone does not tell.
    """
    kv = energy_kv(name)
    if kv is None:
        return None
    if 20 <= kv <= 300:
        return "parcel"
    return "container" if 1000 <= kv <= 20_000 else None


def parse(text: str) -> tuple[Scanner, Fidelity | None]:
    """Read a description.

    Text that is no JSON object, or an object without any of our keys, is some other
    program's and says nothing.

    Raises:
        Unreadable: one of our keys holds nonsense.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return Scanner(), None
    if not isinstance(values, dict) or not any(key in values for key in _KEYS):
        return Scanner(), None
    kind, high, low = values.get("scanner"), _energy(values, "high"), _energy(values, "low")
    if kind is not None and kind not in KINDS:
        raise Unreadable(f"describes its scanner as {_short(kind)}, not as parcel or container", _REMEDY)
    for name in (high, low):
        told = kind_of_energy(name)
        if told is not None and kind is not None and told != kind:
            raise Unreadable(f"describes a {kind} scanner that works at {name}", _REMEDY)
        kind = kind or told
    high_kv, low_kv = energy_kv(high), energy_kv(low)
    if high_kv is not None and low_kv is not None and high_kv < low_kv:
        raise Unreadable(
            f"names {high} as its high and {low} as its low energy",
            "put the high energy first, pixels and description alike",
        )
    return Scanner(kind, high, low, _pixel(values.get("pixel_mm"))), _fidelity(values.get("fidelity"))


def write(scan: Scan) -> str:
    """The description of a scan: JSON in ASCII, with only the keys that are known."""
    s = scan.scanner
    values = {"scanner": s.kind, "high": s.high, "low": s.low, "pixel_mm": s.pixel_mm}
    known = {key: value for key, value in values.items() if value is not None}
    if scan.fidelity != "dual":
        known["fidelity"] = scan.fidelity
    return json.dumps(known)


def pixel_mm(value: float) -> float:
    """A pixel size in mm, if it can be one.

    Raises:
        Unreadable: not finite, or outside 0.01 to 100 mm.
    """
    if not (math.isfinite(value) and _PIXEL_MM[0] <= value <= _PIXEL_MM[1]):
        raise Unreadable(
            f"gives a pixel size of {value:g} mm, outside {_PIXEL_MM[0]:g} to {_PIXEL_MM[1]:g} mm",
            "correct the pixel size (mm in the plane of the cargo), or leave it out",
        )
    return float(value)


def _pixel(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300:
        raise Unreadable(f"gives a pixel_mm of {_short(value)}, which is no size in mm", _REMEDY)
    return pixel_mm(float(value))


def _energy(values: dict, key: str) -> str | None:
    name = values.get(key)
    if name is None:
        return None
    if not isinstance(name, str) or not name.strip() or len(name) > 60:
        raise Unreadable(f'gives its {key} energy as {_short(name)}, not as text such as "6 MV"', _REMEDY)
    return name.strip()


def _fidelity(value: object) -> Fidelity | None:
    for known in _FIDELITIES:
        if value == known:
            return known
    if value is None:
        return None
    raise Unreadable(f"gives its fidelity as {_short(value)}, not as one of {', '.join(_FIDELITIES)}", _REMEDY)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
