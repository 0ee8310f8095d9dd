"""What a scan tells of its own scanner and where its goods lie: enough to project a threat into it.

Nothing here needs to know how the scan came about: noise, blur, channel misregistration and pedestal
are measured on the picture. Only the energy response is taken from the names of the energies, unless
the caller knows the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.formats.description import energy_kv
from leadline.datasets.scan import Kind, LeadlineError, Scan
from leadline.datasets.simulator.appearance import blur_of, noise_of, repaired, shift_of
from leadline.datasets.simulator.scanner import Machine

Float32Array = npt.NDArray[np.float32]

DEEPEST = 9.0
"""Greatest -ln T (high) that goods are told by; what is deeper counts as this."""

_NOISE = 0.03
_PIXEL_MM: dict[Kind, float] = {"parcel": 1.4, "container": 4.5}
_DARK: dict[Kind, float] = {"parcel": 3e-3, "container": 2e-3}
_THINNEST_MM: dict[Kind, list[tuple[float, float]]] = {
    "parcel": [(8.0, 8.0)],
    "container": [(450.0, 250.0), (250.0, 250.0)],
}


def nominal_machine(scan: Scan) -> Machine:
    """A common machine of the scan's kind at the energies that its file names.

    Raises:
        LeadlineError: the kind of scanner is unknown.
    """
    kind = scan.scanner.kind
    if kind is None:
        raise LeadlineError(f"{scan.path or 'scan'}: does not say its kind of scanner; name it with --scanner")
    high, low = energy_kv(scan.scanner.high), energy_kv(scan.scanner.low)
    pixel = scan.scanner.pixel_mm or _PIXEL_MM[kind]
    if kind == "container":
        high = np.clip((high or 6000) / 1000, 3.5, 10)
        low = np.clip((low or 1000 * high * 2 / 3) / 1000, 3.0, high - 0.3)
        names = (scan.scanner.high or "6 MV", scan.scanner.low or "4 MV")
        return Machine(
            "container", "crystal", (float(high), float(low)), names, pixel_mm=pixel,
            scatter=(1e-3, 1e-3), pedestal=(2e-4, 2e-4),
        )  # fmt: skip
    high = float(np.clip(high or 160, 80, 220))
    low = float(np.clip(low or high, 60, high))
    names = (scan.scanner.high or "160 kV", scan.scanner.low or "160 kV")
    base = (("Al", 2.0), ("Cu", 0.1))
    common: dict[str, Any] = {
        "labels": names,
        "pixel_mm": pixel,
        "quanta": (1e5, 8e4),
        "scatter": (4e-3, 4e-3),
        "pedestal": (2e-4, 2e-4),
    }
    if low > high - 10:
        return Machine(
            "parcel", "dual_layer", (high, high), filters=(base, base), scintillators=("GOS", "CsI"),
            front_g_cm2=0.1, crystal_g_cm2=1.6, between_mm=0.6, **common,
        )  # fmt: skip
    harder = (("Al", 2.0), ("Cu", 0.45))
    return Machine(
        "parcel", "kv_switching", (high, low), filters=(harder, base), scintillators=("CsI", "CsI"),
        crystal_g_cm2=1.6, **common,
    )  # fmt: skip


@dataclass(frozen=True)
class Background:
    """A scan with what was measured of it. Pairs are (high channel, low channel).

    Attributes:
        scan: the scan.
        machine: its energy response; blur, quanta and pedestal of the machine are not used.
        level: open-beam level.
        around: float32 (2, rows, columns), what reads without any light through the goods: scatter and pedestal.
        quanta: effective quanta per open-beam pixel.
        blur_px: standard deviation of the Gaussian blur before detection, pixels.
        shift_px: (rows, columns) by which the low channel is displaced.
        smoothing_px: standard deviation of the vendor's smoothing after detection, pixels; 0 for none.
        scattering: factor on the machine's scatter and pedestal that fits the darkest places of the scan.
    """

    scan: Scan
    machine: Machine
    level: tuple[float, float]
    around: Float32Array
    quanta: tuple[float, float]
    blur_px: tuple[float, float]
    shift_px: tuple[float, float]
    smoothing_px: float
    scattering: float = 1.0

    @cached_property
    def goods(self) -> npt.NDArray[np.bool_]:
        """Where goods lie (rows, columns): no air, and nothing as thin as walls, rails, posts and floors."""
        return goods_mask(self.scan)

    def floor_variance(self, channel: int) -> float:
        """Noise variance without any light, where the machine is known; its quantisation alone else."""
        return self.machine.floor_variance[channel]

    def darker_around(
        self, channel: int, window: tuple[int, int, int, int], factor: Float32Array
    ) -> Float32Array | None:
        """How scatter changes over the whole scan when the light of a window is multiplied; `None` without scatter."""
        if not self.machine.scatter[channel]:
            return None
        light = repaired(self.scan.transmission[channel]) / np.float32(self.level[channel]) - self.around[channel]
        behind = light.copy()
        behind[window[0] : window[1], window[2] : window[3]] *= factor
        before, after = self.machine.around(light, channel), self.machine.around(behind, channel)
        return np.asarray(self.scattering * (after - before), np.float32)

    def light(self, channel: int, window: tuple[int, int, int, int]) -> Float32Array:
        """What comes through the goods of a window, 1 without any; (rows, columns).

        Averaged over 1 to 13 pixels a side, as few as bring the noise below 0.03.
        """
        y0, y1, x0, x1 = window
        margin = 8
        rows, columns = self.scan.shape
        top, left = max(0, y0 - margin), max(0, x0 - margin)
        part = self.scan.transmission[channel, top : min(rows, y1 + margin), left : min(columns, x1 + margin)]
        around = self.around[channel, top : top + part.shape[0], left : left + part.shape[1]]
        part = repaired(part) / np.float32(self.level[channel]) - around
        part = np.ascontiguousarray(part / (1 - around), np.float32)
        inner = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        chosen = cv2.blur(part, (13, 13), borderType=cv2.BORDER_REPLICATE)[inner].copy()
        for size in (9, 5, 3, 1):
            mean = cv2.blur(part, (size, size), borderType=cv2.BORDER_REPLICATE)[inner]
            enough = mean * (self.quanta[channel] * size**2 * _NOISE**2) > 1
            chosen[enough] = mean[enough]
        return np.maximum(chosen, np.float32(np.exp(-DEEPEST)))


def measure(scan: Scan, machine: Machine | None = None) -> Background:
    """Measure a scan as a background for projection.

    Args:
        scan: two measured energies, at least 32 pixels a side.
        machine: the scanner, where it is known; its response, blur, misregistration and quanta are then used.

    Raises:
        LeadlineError: the kind of scanner is unknown, or only one energy (or a colour picture) was read.
    """
    if scan.fidelity != "dual":
        raise LeadlineError(
            f"{scan.path or 'scan'}: holds no two measured energies, so nothing can be projected into it; "
            "use the scanner's 16-bit dual-energy file"
        )
    known = machine is not None
    machine = machine or nominal_machine(scan)
    t = scan.transmission
    level = (_level(t[0]), _level(t[1]))
    around = np.stack([np.broadcast_to(machine.around(repaired(t[c]) / level[c], c), scan.shape) for c in range(2)])
    if known:
        around = (
            around + np.asarray([o / v for o, v in zip(machine.offset, level, strict=True)], np.float32)[:, None, None]
        )
        return Background(
            scan, machine, level, around, machine.quanta, machine.blur_px, machine.shift_px, machine.smoothing_px
        )
    scattering = _scattering(t, around, machine.kind)
    noise = [noise_of(channel, machine, c) for c, channel in enumerate(t)]
    quanta, smoothing = (noise[0][0], noise[1][0]), min(noise[0][1], noise[1][1])
    total = (blur_of(t[0]), blur_of(t[1]))
    blur = (_without(total[0], smoothing), _without(total[1], smoothing))
    return Background(scan, machine, level, scattering * around, quanta, blur, shift_of(t), smoothing, scattering)


def measure_with(scan: Scan, machine: Machine, profile: str | Path) -> Background:
    """Measure a scan as a background, by the machine of its scanner's profile (`datasets.fitted`).

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
    found = measure(replace(scan, scanner=replace(told, kind=machine.kind)))
    usual = found.machine
    own = replace(
        machine, scatter=usual.scatter, scatter_width=usual.scatter_width, pedestal=usual.pedestal,
        pixel_mm=told.pixel_mm or machine.pixel_mm,
    )  # fmt: skip
    return replace(
        found, machine=own, quanta=own.quanta, blur_px=own.blur_px, shift_px=own.shift_px, smoothing_px=own.smoothing_px
    )


def goods_mask(scan: Scan) -> npt.NDArray[np.bool_]:
    """Where goods lie: below 0.7 of the open beam, and too wide for walls, rails, posts and floor.

    Opened with a square of 8 mm (parcels), or a rectangle 25 cm wide and 45 cm high (containers, whose floor and
    cross-members are lower than that; 25 cm where nothing is so high). What hangs only in the lowest sixth of a
    container scan is chassis.
    """
    kind: Kind = scan.scanner.kind or "parcel"
    pixel = scan.scanner.pixel_mm or _PIXEL_MM[kind]
    high = np.asarray(cv2.medianBlur(np.ascontiguousarray(scan.transmission[0]), 3), np.float32)
    dark = (high < 0.7 * _level(high)).astype(np.uint8)
    dead = (scan.transmission[0] <= 0).mean(axis=1) > 0.98
    dark[dead] = 0
    mask = np.zeros_like(dark)
    for high_mm, wide_mm in _THINNEST_MM[kind]:
        if not mask.any():
            room = np.ones((max(3, round(high_mm / pixel)), max(3, round(wide_mm / pixel))), np.uint8)
            mask = np.asarray(cv2.morphologyEx(dark, cv2.MORPH_OPEN, room, borderValue=0), np.uint8)
    if kind == "container":
        top, bottom = _inside(high)
        mask[:top] = mask[bottom:] = 0
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for label in range(1, count):
            y, tall = int(stats[label, cv2.CC_STAT_TOP]), int(stats[label, cv2.CC_STAT_HEIGHT])
            if y > 0.84 * len(mask) or y + tall < 0.25 * len(mask):  # chassis; corner castings
                mask[labels == label] = 0
    return mask.astype(bool)


def _inside(high: Float32Array) -> tuple[int, int]:
    """Rows between a container's roof and its floor, told by the clearest columns; else all but the lowest eighth."""
    rows = len(high)
    seen = cv2.blur(np.quantile(high[:, ::3], 0.93, axis=1).astype(np.float32)[:, None], (1, 5)).ravel()
    dark = np.flatnonzero(seen < 0.8 * float(seen.max()))
    above, below = dark[dark < 0.2 * rows], dark[dark > 0.5 * rows]
    bottom = int(below.min()) if len(below) else rows
    return (int(above.max()) + 1 if len(above) else 0), (bottom if bottom > 0.7 * rows else int(0.875 * rows))


def _without(total: float, smoothing: float) -> float:
    """What is left of a blur when the vendor's smoothing is taken off, in quadrature."""
    return float(np.sqrt(max(total**2 - smoothing**2, 0.15**2)))


def _level(channel: Float32Array) -> float:
    """Open-beam level: the 99th percentile of averages over 4 x 4 pixels, between 0.5 and 1.3."""
    rows, columns = channel.shape
    cells = cv2.resize(channel, (max(1, columns // 4), max(1, rows // 4)), interpolation=cv2.INTER_AREA)
    level = float(np.quantile(cells, 0.99))
    return level if 0.5 < level < 1.3 else 1.0


def _scattering(t: Float32Array, around: Float32Array, kind: Kind) -> float:
    """Factor on the expected scatter that fits what reads where nothing penetrates; 1 where there is no such place.

    Behind goods the low channel is far darker than the high one; where both read nearly the same, and
    little, it is scatter. Nowhere may there be more scatter than signal.
    """
    mean = [cv2.blur(np.ascontiguousarray(c), (9, 9))[8:-8:3, 8:-8:3] for c in t]
    whole = cv2.blur((t[0] > 0).astype(np.float32), (9, 9))[8:-8:3, 8:-8:3] > 0.8
    expected = around[0, 8:-8:3, 8:-8:3]
    ratio = mean[0] / np.maximum(expected, 1e-6)
    even = whole & (mean[0] < _DARK[kind]) & (mean[1] > 0.7 * mean[0])
    if even.sum() >= 20:
        return float(np.clip(np.quantile(ratio[even], 0.1), 0.02, 10))
    return float(min(1.0, np.quantile(ratio[whole], 0.002))) if whole.any() else 1.0
