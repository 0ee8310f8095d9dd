"""What the picture itself is worth: noise, opaque places, dead lines, clipping, mixed-up channels.

Everything is measured on averages over small cells and on a subsample, in about 2 ms for a megapixel.
The thresholds were set on the real container scans of the reference data and on simulated ones; each
stands beside its meaning. How the verdict uses them is told in `docs/verdicts.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import Fidelity, Kind, Scan
from leadline.inference.order import median, quantile

CELL = 4
"""Side of an averaging cell, pixels."""

OPAQUE_BELOW: dict[Kind | None, float] = {"parcel": 5e-4, "container": 2e-4, None: 5e-4}
"""Transmission that no scanner of the kind tells from nothing, however quiet its dark reading."""

SCATTER: dict[Kind | None, tuple[float, float]] = {
    "parcel": (0.02, 0.6),
    "container": (0.012, 0.83),
    None: (0.012, 0.83),
}
"""A reading is taken for mere scatter if the high energy's lies below the first figure and the low energy's is at
least the second's share of it. What comes through goods never is so even: at these depths the forward model
gives shares of at most 0.53 in parcels and 0.80 in containers, but for lead, tungsten and antimony, which at some
end points reach 0.6 to 0.95 and then cannot be told from scatter either."""

EMPTY_ABOVE = 0.97
"""Where no cell lies below this transmission, there is nothing in the beam."""

OPEN_ABOVE = 0.9
"""Share of the open-beam level above which a pixel counts as air rather than goods."""


@dataclass(frozen=True)
class Quality:
    """What can be said of a scan's pixels without knowing the goods.

    Attributes:
        unpenetrated_fraction: share of all pixels whose high-energy reading cannot be told from nothing.
        unpenetrated_goods: the same as a share of the pixels that goods cover.
        one_energy_fraction: share of the goods that only the high energy gets through: materials
            cannot be told there.
        noise: relative noise sigma(T)/T of one pixel in the brightest fifth of the image, high energy.
        goods_noise: the same over goods of transmission 0.02 to 0.5; NaN where there are none.
        clipped_fraction: share of pixels that stand at one greatest value below the open beam; 0 for pseudo-colour.
        air_fraction: share of pixels in open beam.
        open_beam: level of the open beam, 1 for a well-normalised scan; NaN where no air is seen.
        dead_lines: rows and columns that read nothing from end to end.
        channels_swapped: whether the low energy comes through the goods better than the high.
        dual: whether two energies were measured (colours are an estimate, not a measurement).
        fidelity: what the transmissions are worth, as the scan says.
        attenuation_sd: of -ln T (high) that was estimated from colours, as a share of it, median over the goods; NaN
            where it was measured.
        ratio_sd: the same of the energy ratio, as such.
        empty: whether the whole picture is open beam.
        opaque: bool (rows / CELL, columns / CELL), cells that nothing penetrates, dead lines left out.
    """

    unpenetrated_fraction: float
    unpenetrated_goods: float
    one_energy_fraction: float
    noise: float
    goods_noise: float
    clipped_fraction: float
    air_fraction: float
    open_beam: float
    dead_lines: int
    channels_swapped: bool
    dual: bool
    empty: bool
    opaque: npt.NDArray[np.bool_]
    fidelity: Fidelity = "dual"
    attenuation_sd: float = float("nan")
    ratio_sd: float = float("nan")

    def figures(self) -> dict[str, float | int | bool | str | None]:
        """The figures by name, rounded, `None` where there is none; fit for JSON."""
        names = [
            "unpenetrated_fraction", "unpenetrated_goods", "one_energy_fraction", "noise", "goods_noise",
            "clipped_fraction", "air_fraction", "open_beam", "attenuation_sd", "ratio_sd",
        ]  # fmt: skip
        rounded: dict[str, float | int | bool | str | None] = {}
        for name in names:
            value = float(getattr(self, name))
            rounded[name] = round(value, 5) if np.isfinite(value) else None
        return rounded | {
            "dead_lines": self.dead_lines, "channels_swapped": self.channels_swapped, "fidelity": self.fidelity,
        }  # fmt: skip


def assess(scan: Scan) -> Quality:
    """Measure the quality of a scan.

    A cell is opaque if its high-energy reading, averaged over 3 x 3 cells, lies below the scanner's
    least readable transmission, or below three times the scatter of the dark reading from cell to cell
    (uneven offsets of detector modules do not average away), or if it is dark and the low-energy
    reading is not below the high-energy one: goods always weaken the low energy more, so what is
    read there is scatter, not what came through.
    """
    high, low = scan.transmission
    dual = scan.fidelity == "dual" and not _same(high, low)
    dead_rows, dead_columns = _dead(high)
    cell = max(1, min(CELL, min(scan.shape) // 8))
    h, l_ = _cells(high, cell), _cells(low, cell) if dual else None
    alive = np.ones(h.shape, bool)
    if dead_rows.any():
        alive[np.unique(np.flatnonzero(dead_rows) // cell).clip(max=h.shape[0] - 1)] = False
    if dead_columns.any():
        alive[:, np.unique(np.flatnonzero(dead_columns) // cell).clip(max=h.shape[1] - 1)] = False

    level = _open_level(h)
    goods = alive & (h < OPEN_ABOVE * (level if np.isfinite(level) else 1.0))
    smooth = cv2.blur(h, (3, 3))
    opaque = smooth < max(OPAQUE_BELOW[scan.scanner.kind], 3 * _dark_spread(h, alive))
    one_energy = np.zeros_like(opaque)
    dark, even = SCATTER[scan.scanner.kind]
    swapped = False
    if l_ is not None:
        smooth_low = cv2.blur(l_, (3, 3))
        for wide, wide_low in ((smooth, smooth_low), (cv2.blur(h, (9, 9)), cv2.blur(l_, (9, 9)))):
            opaque |= (smooth < dark) & (wide < dark) & (wide_low > even * wide)
        floor = max(OPAQUE_BELOW[scan.scanner.kind], 3 * _dark_spread(l_, alive))
        one_energy = (smooth_low < floor) & ~opaque
        told = goods & (h > 0.02) & (h < 0.8)
        count = np.count_nonzero(told)
        swapped = bool(count > 50 and np.count_nonzero(told & (l_ > h)) > 0.8 * count)
    # The average over 3 x 3 cells takes one cell off every edge; what is dark beside an opaque cell belongs to it.
    opaque = (cv2.dilate(opaque.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & (h < dark) & alive
    covered = max(int(np.count_nonzero(goods)), 1)
    noise, goods_noise = _noise(high)
    attenuation_sd, ratio_sd = _unsure(scan)
    return Quality(
        unpenetrated_fraction=int(np.count_nonzero(opaque)) / opaque.size,
        unpenetrated_goods=int(np.count_nonzero(opaque & goods)) / covered,
        one_energy_fraction=int(np.count_nonzero(one_energy & goods)) / covered,
        noise=noise,
        goods_noise=goods_noise,
        # Every display has a brightest colour, whatever the detector did.
        clipped_fraction=0.0 if scan.fidelity == "pseudocolour" else _clipped(high),
        air_fraction=int(np.count_nonzero(alive & ~goods)) / goods.size,
        open_beam=level,
        dead_lines=int(np.count_nonzero(dead_rows) + np.count_nonzero(dead_columns)),
        channels_swapped=swapped,
        dual=dual,
        empty=float(h.min()) > EMPTY_ABOVE,
        opaque=opaque,
        fidelity=scan.fidelity,
        attenuation_sd=attenuation_sd,
        ratio_sd=ratio_sd,
    )


def _unsure(scan: Scan) -> tuple[float, float]:
    """How far colours leave the goods open: relative deviation of the attenuation, deviation of the energy ratio."""
    if scan.uncertainty is None:
        return float("nan"), float("nan")
    depth = -np.log(np.maximum(scan.transmission[0][::3, ::3], 1e-4))
    goods = depth > 0.1
    if not goods.any():
        return float("nan"), float("nan")
    spread, ratio = scan.uncertainty.attenuation[::3, ::3], scan.uncertainty.ratio[::3, ::3]
    return float(np.median(spread[goods] / depth[goods])), float(np.median(ratio[goods]))


def _same(high: npt.NDArray[np.float32], low: npt.NDArray[np.float32]) -> bool:
    """Whether both channels hold one measurement (judged on every 7th pixel; a few lines mostly tell)."""
    return np.array_equal(high[::140, ::7], low[::140, ::7]) and np.array_equal(high[::7, ::7], low[::7, ::7])


def _cells(channel: npt.NDArray[np.float32], cell: int) -> npt.NDArray[np.float32]:
    """Averages over cells. Halving twice is thrice as fast as quartering: there is a kernel for 2 x 2."""
    rows, columns = channel.shape[0] // cell, channel.shape[1] // cell
    averaged: npt.NDArray = channel[: rows * cell, : columns * cell]
    for side in (2, 1) if cell == 4 else (1,):
        averaged = cv2.resize(averaged, (side * columns, side * rows), interpolation=cv2.INTER_AREA)
    return averaged.astype(np.float32, copy=False)


def _dead(channel: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Rows and columns where nearly nothing is read in 98 of 100 pixels."""
    across, down = channel[:, ::3], channel[::3]
    places, width = [across.shape[1] * part // 6 for part in (1, 3, 5)], across.shape[1] // 60 + 6
    few_rows = _nothing(across, np.concatenate([across[:, x : x + width] for x in places], axis=1), 1)
    few_columns = _nothing(down, down[:: max(1, len(down) // (len(down) // 20 + 16))], 0)
    if few_rows.all() or few_columns.all():  # nothing comes through at all: that is no matter of lines
        few_rows[:], few_columns[:] = False, False
    return few_rows, few_columns


def _nothing(pixels: npt.NDArray[np.float32], some: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.bool_]:
    """Lines along an axis where nearly nothing is read; those of which `some` pixels show enough are not looked at."""
    count = pixels.shape[axis]
    allowed = 0.98 * count
    doubtful = np.flatnonzero(count - _sums(some >= 1e-3, axis) > allowed)
    few = np.zeros(pixels.shape[1 - axis], np.bool_)
    if len(doubtful):
        few[doubtful] = _sums(np.take(pixels, doubtful, 1 - axis) < 1e-3, axis) > allowed
    return few


def _sums(flags: npt.NDArray[np.bool_], axis: int) -> npt.NDArray:
    sums = cv2.reduce(np.ascontiguousarray(flags).view(np.uint8), axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return sums.ravel()


def _open_level(h: npt.NDArray[np.float32]) -> float:
    """Level of the open beam: the 99.5th percentile of cell averages, NaN if that lies below 0.5."""
    level = float(quantile(h[::2, ::2].ravel(), 0.995))
    return level if level > 0.5 else float("nan")


def _dark_spread(cells: npt.NDArray[np.float32], alive: npt.NDArray[np.bool_]) -> float:
    """Robust standard deviation of the dark reading between cells two apart, 0 where nothing is dark."""
    a, b = cells[:, 2:], cells[:, :-2]
    dark = (a + b < 2e-3) & alive[:, 2:]
    if np.count_nonzero(dark) < 50:
        return 0.0
    return float(1.4826 * median(np.abs(a[dark] - b[dark])) / np.sqrt(2))


def _noise(channel: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Relative noise of a pixel among the bright and over the goods, from second differences.

    The variance of `a - 2 b + c` is six times that of a pixel, and smooth goods cancel in it; the
    median keeps edges out (Immerkaer, "Fast noise variance estimation", 1996, in one dimension).
    """
    part = channel[:: max(1, channel.shape[0] // 48)]
    left, mid, right = part[:, :-2], part[:, 1:-1], part[:, 2:]
    second = 2 * mid
    np.abs(np.add(np.subtract(left, second, out=second), right, out=second), out=second)
    second *= np.float32(1.4826 / np.sqrt(6))
    mean = left + mid
    mean += right
    mean /= 3
    bright = np.flatnonzero(mean >= quantile(mean[:, ::4].ravel(), 0.8))
    goods = np.flatnonzero((mean > 0.02) & (mean < 0.5))
    mean, second = mean.ravel(), second.ravel()
    level = float(median(mean[bright]))
    noise = float(median(second[bright])) / level if level > 0 else float("nan")
    if len(goods) < 200:
        return noise, float("nan")
    return noise, float(median(second[goods] / mean[goods]))


def _clipped(channel: npt.NDArray[np.float32]) -> float:
    """Share of pixels that stand at one greatest value below the open beam.

    Many scanners cut the noise of the open beam off at 1, which loses nothing. A greatest value below
    that, shared by many pixels, means that amplifier or file cut the signal itself.
    """
    part = channel[::3, ::3]
    if part[::16].max() >= 0.97:  # a few lines tell of most scans that nothing is clipped
        return 0.0
    top = float(part.max())
    return float(np.mean(part >= top)) if 0 < top < 0.97 else 0.0
