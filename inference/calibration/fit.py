"""From wedges, or from benign scans, to a machine of the simulator that stands for the scanner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from leadline.datasets.scan import Kind, LeadlineError, Scan, Scanner
from leadline.datasets.simulator.scanner import Machine
from leadline.inference.calibration.noise import Noise, Patch, fit_noise, measure_patch, uncut
from leadline.inference.calibration.response import Parameter, fit_response, parameters_of, usual_machine
from leadline.inference.calibration.table import Wedge
from leadline.inference.calibration.wedge import AIR_ABOVE, Measured, WedgeError, measure_wedge

FITS = 3.0
"""Root mean square of the residuals, in their standard errors, above which no machine explains the wedges."""

_MOST = 0.06  # scatter, share of the open beam
_DARK = 0.1  # least light around a wedge that is believed

TYPICAL_ELECTRONICS = 5e-5
"""Electronic noise where the scans are too noisy to show it, share of the open beam."""

_BLOCK = 32  # side of the patches of open beam in benign scans, pixels
_MOST_BLOCKS = 60
_LEAST_BLOCKS = 4


@dataclass(frozen=True)
class Fitted:
    """A scanner.

    Attributes:
        machine: the machine.
        errors: standard errors of what the wedges told, by name; empty without wedges.
        priors: how loosely the same were known before, by name.
        pixel_known: whether the pixel size is that of the scanner, and not a stand-in.
        details: how well it fits, for the profile.
    """

    machine: Machine
    errors: dict[str, float]
    priors: dict[str, float]
    pixel_known: bool
    details: dict[str, Any] = field(default_factory=dict)


def fit_wedges(wedges: Sequence[Wedge], scans: Sequence[Scan], kind: Kind | None = None) -> Fitted:
    """Fit a machine to wedge scans.

    Args:
        wedges: what the table says.
        scans: the scan of each of them.
        kind: of the scanner, where the scans do not say it.

    Raises:
        LeadlineError: the scans are of two scanners, a wedge is not as the table says, or no machine explains them.
    """
    scanner = common_scanner(scans, kind)
    measured = [measure_wedge(w, s) for w, s in zip(wedges, scans, strict=True)]
    readings = [r for m in measured for r in m.readings]
    found = fit_response(_kind(scanner), readings, (scanner.high, scanner.low))
    if found.misfit > FITS:
        raise WedgeError(
            f"{', '.join(str(w.scan) for w in wedges)}: no scanner explains the steps (they differ from the best fit "
            f"by {found.misfit:.1f} standard errors; most, {100 * found.worst[0]:.0f} %, at {found.worst[1]}); "
            "check material, density, thickness_mm and that high and low energy are not exchanged"
        )
    pixel, told = _pixel(wedges, measured, scanner)
    shift = float(np.median([m.shift for m in measured]))
    along_x = [m for m, w in zip(measured, wedges, strict=True) if w.along == "x"]
    noise = fit_noise([p for m in measured for p in m.patches], found.machine)
    levels = np.mean([m.level for m in measured], axis=0)
    machine = noise.onto(found.machine)
    lit = np.mean([_lit(w, s, m.level, machine) for w, s, m in zip(wedges, scans, measured, strict=True)], axis=0)
    machine = replace(
        machine,
        scatter=(min(float(machine.scatter[0] / lit[0]), _MOST), min(float(machine.scatter[1] / lit[1]), _MOST)),
        electronics=_electronics(noise),
        blur_px=(
            _unsmoothed([m.blur[0] for m in measured], noise.smoothing_px),
            _unsmoothed([m.blur[1] for m in measured], noise.smoothing_px),
        ),
        shift_px=(0.0, shift) if along_x else (shift, 0.0),
        level=(float(levels[0] * found.values["level_high"]), float(levels[1] * found.values["level_low"])),
        pixel_mm=pixel or usual_machine(_kind(scanner)).pixel_mm,
        saturation=_saturation(scans),
        bits=_bits(scans),
    )
    details = {
        "fitted_to": "step wedges",
        "steps": len(readings),
        "steps_not_penetrated": sum(m.dark_steps for m in measured),
        "misfit": round(found.misfit, 3),
        "worst": {"relative": round(found.worst[0], 4), "where": found.worst[1]},
        "quanta_error": [round(e, 4) for e in noise.errors],
        "pixel_from": told,
    }
    return Fitted(machine, found.errors, _spreads(machine, scanner), pixel is not None, details)


def fit_benign(scans: Sequence[Scan], kind: Kind | None = None) -> Fitted:
    """A machine from ordinary scans: noise, faults and pixel size are theirs, the energy response the usual one.

    Args:
        scans: with some open beam.
        kind: of the scanner, where the scans do not say it.

    Raises:
        LeadlineError: the scans are of two scanners, or show no open beam.
    """
    scanner = common_scanner(scans, kind)
    patches = [p for s in scans for p in _open_beam(s)]
    if len(patches) < _LEAST_BLOCKS:
        raise LeadlineError(
            f"{scans[0].path}: {len(patches)} patches of open beam in {len(scans)} scans, at least {_LEAST_BLOCKS} of "
            f"{_BLOCK} x {_BLOCK} pixels are needed; add scans with more air, or use step wedges"
        )
    base = usual_machine(_kind(scanner), (scanner.high, scanner.low))
    noise = fit_noise(patches, base)
    machine = replace(
        noise.onto(base),
        electronics=_electronics(noise),
        pixel_mm=scanner.pixel_mm or base.pixel_mm,
        saturation=_saturation(scans),
        bits=_bits(scans),
    )
    details = {
        "fitted_to": "benign scans: noise alone, the energy response is the usual one of its labels",
        "patches": len(patches),
        "quanta_error": [round(e, 4) for e in noise.errors],
        "pixel_from": "scans" if scanner.pixel_mm else "unknown",
    }
    return Fitted(machine, {}, {}, scanner.pixel_mm is not None, details)


def common_scanner(scans: Sequence[Scan], kind: Kind | None) -> Scanner:
    """The scanner that all scans name.

    Raises:
        LeadlineError: they name two, one is not measured at two energies, or no kind is known.
    """
    first = scans[0]
    for scan in scans:
        if scan.fidelity != "dual":
            raise LeadlineError(
                f"{scan.path}: not measured at two energies ({scan.fidelity}); calibrate with the scanner's own "
                "16-bit scans"
            )
        for name in ("kind", "high", "low", "pixel_mm"):
            one, other = getattr(first.scanner, name), getattr(scan.scanner, name)
            if one is not None and other is not None and one != other:
                raise LeadlineError(
                    f"{scan.path}: from another scanner than {first.path} ({name}: {other} and {one}); "
                    "calibrate one scanner at a time"
                )
    told = [s.scanner for s in scans]

    def first_of(name: str) -> Any:
        return next((getattr(t, name) for t in told if getattr(t, name) is not None), None)

    stated = first_of("kind")
    if stated is not None and kind is not None and stated != kind:
        raise LeadlineError(f"{first.path}: a {stated} scan, but --scanner {kind} was given; leave that out")
    if stated is None and kind is None:
        raise LeadlineError(
            f"{first.path}: the file does not say what kind of scanner made it; "
            "say so with --scanner parcel or --scanner container"
        )
    return Scanner(stated or kind, first_of("high"), first_of("low"), first_of("pixel_mm"))


def _kind(scanner: Scanner) -> Kind:
    if scanner.kind is None:
        raise ValueError("the scanner has no kind")
    return scanner.kind


def _pixel(wedges: Sequence[Wedge], measured: Sequence[Measured], scanner: Scanner) -> tuple[float | None, str]:
    """Pixel size, mm, and what told it: the wedges' steps along x before those along y, else the files."""
    sizes = [(w.along, w.step_mm / m.step_pixels) for w, m in zip(wedges, measured, strict=True) if w.step_mm]
    if not sizes:
        return scanner.pixel_mm, "scans" if scanner.pixel_mm else "unknown"
    values = [size for _, size in sizes]
    if max(values) > 1.05 * min(values):
        raise WedgeError(
            f"{wedges[0].scan}: the wedges give pixel sizes from {min(values):.3g} to {max(values):.3g} mm; "
            "check step_mm, and that all wedges stood at the same distance"
        )
    return float(np.median(values)), "wedges"


def _electronics(noise: Noise) -> tuple[float, float]:
    high, low = noise.electronics
    return high or TYPICAL_ELECTRONICS, low or TYPICAL_ELECTRONICS


def _unsmoothed(blurs: Sequence[float], smoothing: float) -> float:
    """Blur before a vendor's smoothing, which widens edges as well."""
    added = smoothing**2 + 1 / 6 if smoothing else 0.0
    return float(np.sqrt(max(float(np.median(blurs)) ** 2 - added, 0.0)))


def _saturation(scans: Sequence[Scan]) -> float:
    """Greatest transmission that can be stored: 1 where the noise of the open beam is cut off there."""
    top = max(float(s.transmission.max()) for s in scans)
    return max(top, 1.0)


def _bits(scans: Sequence[Scan]) -> int:
    """Bits of the conversion: from the smallest difference between values that occur."""
    values = np.unique(scans[0].transmission[0, ::2, ::2])
    steps = np.diff(values[values < 0.9])
    if not len(steps):
        return 16
    return int(np.clip(round(np.log2(1 / max(float(np.quantile(steps, 0.05)), 1e-9))), 8, 16))


def _lit(wedge: Wedge, scan: Scan, level: tuple[float, float], machine: Machine) -> tuple[float, float]:
    """How light it is around a wedge, as scatter sees it, share of the open beam; dark steps tell it and count most.

    Scatter was fitted as if all around were open beam; there it would be as much more as this is less than 1.
    """
    x0, y0, x1, y1 = wedge.box
    plain = replace(machine, scatter=(1.0, 1.0), pedestal=(0.0, 0.0))
    found = []
    for channel in range(2):
        light = scan.transmission[channel] / np.float32(level[channel])
        around = np.broadcast_to(plain.around(light, channel), light.shape)[y0:y1, x0:x1]
        weight = 1 / np.maximum(light[y0:y1, x0:x1], np.float32(1e-3))
        found.append(max(float((around * weight).sum() / weight.sum()), _DARK))
    return found[0], found[1]


def _spreads(machine: Machine, scanner: Scanner) -> dict[str, float]:
    """How loosely each parameter was known before the fit."""

    def spread(p: Parameter) -> float:
        return p.spread * p.mean if p.log else p.spread

    return {p.name: spread(p) for p in parameters_of(machine, (scanner.high or "", scanner.low or ""))}


def _open_beam(scan: Scan) -> list[Patch]:
    """Patches of open beam: blocks that are bright in both channels and as even as the brightest of the scan."""
    image = scan.transmission.astype(float)
    top = (float(image[0].max()), float(image[1].max()))
    rows, columns = scan.shape
    found = []
    for y in range(0, rows - _BLOCK + 1, _BLOCK):
        for x in range(0, columns - _BLOCK + 1, _BLOCK):
            block = image[:, y : y + _BLOCK, x : x + _BLOCK]
            level = np.array([uncut(c[c > 0], t)[0] if (c > 0).any() else 0.0 for c, t in zip(block, top, strict=True)])
            if level.min() < AIR_ABOVE:
                continue
            share = (top[0] / level[0], top[1] / level[1])
            found.append((float(level.min()), measure_patch(block / level[:, None, None], share)))
    if not found:
        return []
    brightest = max(level for level, _ in found)
    # goods at the rim of a block raise its variance
    bright = [p for level, p in found if level > 0.97 * brightest]
    even = 1.5 * float(np.quantile([sum(p.variance) for p in bright], 0.3))
    return [p for p in bright if sum(p.variance) <= even][:_MOST_BLOCKS]
