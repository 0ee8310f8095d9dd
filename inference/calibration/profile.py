"""The scanner profile: the file that `leadline calibrate` writes and `leadline screen --profile` takes."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadline.datasets.scan import KINDS, FileError, Kind, LeadlineError, Scan
from leadline.inference.calibration.correction import Correction

if TYPE_CHECKING:
    from leadline.inference.engine import Model

FORMAT = 1
"""Version of the file's form; a reader refuses what it does not know."""

_REMEDY = "write it anew with `leadline calibrate`"


class ProfileError(FileError):
    """A profile that cannot be used."""


@dataclass(frozen=True)
class Profile:
    """What is known of one scanner.

    Attributes:
        name: what the user calls the scanner.
        scanner: its kind.
        pixel_mm: side of a pixel in the plane of the cargo, mm; `None` if unknown.
        model: name, version and sha256 of the model that the thresholds belong to.
        thresholds: false-alarm rate, as text, to the least score that alarms.
        default_rate: the key of `thresholds` that is used unless the user says otherwise.
        correction: carries the scanner's energy response over to a common one before the model sees a scan; `None`
            where that was not found to help.
        details: all else in the file: the fitted machine, its errors, the shift, where the thresholds come from.
        path: the file.
        sha256: hash of the file's bytes; empty before it was written.
    """

    name: str
    scanner: Kind
    pixel_mm: float | None
    model: Mapping[str, str]
    thresholds: Mapping[str, float]
    default_rate: str = "0.01"
    correction: Correction | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    sha256: str = ""

    def threshold_for(self, rate: float | None) -> float:
        """The least score that alarms at a false-alarm rate, or at the default one.

        Raises:
            LeadlineError: the profile has no threshold for this rate.
        """
        wanted = float(self.default_rate) if rate is None else rate
        for key, value in self.thresholds.items():
            if abs(float(key) - wanted) < 1e-9:
                return value
        known = ", ".join(self.thresholds)
        raise LeadlineError(f"{self.path}: no threshold for a false-alarm rate of {rate}; choose one of {known}")

    def check(self, model: Model) -> None:
        """Refuse a model that the thresholds do not belong to.

        Raises:
            ProfileError: it is another one.
        """
        if model.sha256 != self.model["sha256"]:
            raise ProfileError(
                self.path,
                f"made for the model {self.model['name']} {self.model['version']} ({self.model['sha256'][:12]}), "
                f"not for {model.path} ({model.sha256[:12]})",
                "calibrate anew with this model, or give the other one with --model",
            )

    def onto(self, scan: Scan) -> Scan:
        """The scan with the scanner's kind and pixel size, where the file does not say them.

        Raises:
            LeadlineError: the scan is of the other kind.
        """
        told = scan.scanner
        if told.kind is not None and told.kind != self.scanner:
            raise LeadlineError(
                f"{scan.path or 'scan'}: a {told.kind} scan, but {self.path} is the profile of a {self.scanner} "
                "scanner; screen it without the profile"
            )
        pixel = self.pixel_mm if told.pixel_mm is None else told.pixel_mm
        return replace(scan, scanner=replace(told, kind=self.scanner, pixel_mm=pixel))

    def for_model(self, scan: Scan) -> Scan:
        """The scan as the model should see it; quality, regions and overlay are of the scan as it is."""
        return scan if self.correction is None or scan.fidelity != "dual" else self.correction.onto(scan)


def read_profile(path: str | Path) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: it cannot be read, is no profile, or an entry is missing or out of range.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProfileError(path, error.strerror or str(error), "give the path of a scanner profile") from error
    try:
        raw = json.loads(data)
    except ValueError as error:
        raise ProfileError(path, f"not JSON ({error})", _REMEDY) from error
    if not isinstance(raw, dict) or raw.get("leadline") != "scanner profile":
        raise ProfileError(path, "not a scanner profile", "give a file that `leadline calibrate` has written")
    if raw.get("format") != FORMAT:
        raise ProfileError(path, f"form {raw.get('format')!r}, this version reads {FORMAT}", _REMEDY)
    try:
        _check(raw)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise ProfileError(path, f"cannot be used ({what})", _REMEDY) from error
    return Profile(
        raw["name"],
        raw["scanner"],
        None if raw["pixel_mm"] is None else float(raw["pixel_mm"]),
        raw["model"],
        {rate: float(value) for rate, value in raw["thresholds"].items()},
        raw["default_rate"],
        None if raw["correction"] is None else Correction.from_dict(raw["correction"]),
        raw["details"],
        str(path),
        hashlib.sha256(data).hexdigest(),
    )


def write_profile(path: str | Path, profile: Profile) -> Profile:
    """Write a profile, whole or not at all; returns it with its path and hash.

    Raises:
        ProfileError: it cannot be written.
    """
    path = Path(path)
    raw = {
        "leadline": "scanner profile",
        "format": FORMAT,
        "name": profile.name,
        "scanner": profile.scanner,
        "pixel_mm": profile.pixel_mm,
        "model": dict(profile.model),
        "thresholds": dict(profile.thresholds),
        "default_rate": profile.default_rate,
        "correction": profile.correction and profile.correction.as_dict(),
        "details": dict(profile.details),
    }
    _check(raw)
    data = (json.dumps(raw, indent=1, ensure_ascii=False) + "\n").encode()
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ProfileError(path, error.strerror or str(error), "give another place with --out") from error
    return replace(profile, path=str(path), sha256=hashlib.sha256(data).hexdigest())


def _check(raw: Mapping[str, Any]) -> None:
    """Check the entries of a profile.

    Raises:
        KeyError, TypeError, ValueError: one is missing, or is not what it should be.
    """
    if not isinstance(raw["name"], str):
        raise ValueError("name is not a text")
    if raw["scanner"] not in KINDS:
        raise ValueError(f"scanner {raw['scanner']!r} is none of {', '.join(KINDS)}")
    if raw["pixel_mm"] is not None and not (_number(raw["pixel_mm"]) and 0.01 < raw["pixel_mm"] < 100):
        raise ValueError(f"pixel_mm {raw['pixel_mm']!r} is not a size in mm")
    if not isinstance(raw["model"], dict) or not all(isinstance(raw["model"][k], str) for k in ("name", "version")):
        raise ValueError("model does not hold name, version and sha256")
    digest = raw["model"]["sha256"]
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError("the model's sha256 is not one")
    thresholds = raw["thresholds"]
    if not isinstance(thresholds, dict) or not thresholds:
        raise ValueError("thresholds hold no false-alarm rate")
    for rate, value in thresholds.items():
        if not 0 < float(rate) < 1 or not _number(value) or not 0 <= value <= 1:
            raise ValueError(f"threshold {value!r} for the false-alarm rate {rate!r} does not lie in 0..1")
    ordered = [thresholds[rate] for rate in sorted(thresholds, key=float)]
    if ordered != sorted(ordered, reverse=True):
        raise ValueError("a rarer false alarm has the lower threshold")
    if raw["default_rate"] not in thresholds:
        raise ValueError(f"no threshold for the default rate {raw['default_rate']!r}")
    if raw["correction"] is not None:
        Correction.from_dict(raw["correction"])
    if not isinstance(raw["details"], dict):
        raise ValueError("details are not an object")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
