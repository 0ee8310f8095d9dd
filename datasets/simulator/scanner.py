"""A scanner: everything that stands between the goods and the stored transmission.

The order is the light's: spectrum and detector response (`physics`), blur and channel
misregistration, scatter, detector and line gains, counting noise, electronic noise, dark offset,
dead elements, clipping and quantisation. Rows are detector elements, columns are lines of the
scan. Noise is compound Poisson: a pixel's effective number of quanta is its mean signal squared
over its variance; where quanta are few their number itself is drawn, so that exact zeros occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.physics import detectors
from leadline.datasets.physics.forward import transmission_and_noise
from leadline.datasets.scan import Kind, Scanner
from leadline.datasets.simulator import machines
from leadline.datasets.simulator.machines import Filters, Split

Float32Array = npt.NDArray[np.float32]

SCATTER_NOISE = 0.4
"""Noise variance of scattered light per unit of its signal, relative to the open beam's: its photons are softer."""

_FEW_QUANTA = 10.0  # below this, the number of quanta is drawn from a Poisson distribution
_DEPOSIT_SPREAD = 0.5  # squared relative standard deviation of the energy that a detected quantum deposits


@dataclass(frozen=True)
class Machine:
    """One scanner with all its faults. Pairs are (high channel, low channel).

    Attributes:
        kind: `"parcel"` or `"container"`.
        detector: `"dual_layer"`, `"kv_switching"` (parcels) or `"crystal"` (containers).
        energies: tube voltages in kV, or end points in MV; equal for a dual-layer detector.
        labels: how the vendor names the channels; nominal, as in `"6 MV"`.
        filters: beam filters as (element, mm), one tuple per channel.
        scintillators: front and back (dual layer) or twice the single one.
        front_g_cm2, crystal_g_cm2: areal density of the front layer (dual layer only), and of the
            back layer or single crystal, g/cm2.
        between_mm: copper between the layers, mm (dual layer only).
        quanta: effective quanta per open-beam pixel.
        blur_px: standard deviation of the Gaussian blur, pixels.
        shift_px: (rows, columns) by which the low channel is displaced, pixels.
        scatter: share of the open beam's signal that comes from the surroundings of a pixel.
        scatter_width: standard deviation of the scatter kernel, share of the image's height.
        pedestal: constant share of the open beam that reaches every pixel.
        line_gain, element_gain: standard deviation of the gain left after correction, by column
            (pulse or line) and by row (detector element).
        drift: standard deviation of the slow drift of the output along the scan.
        level: error of the open-beam calibration; 1 is none.
        offset: error of the dark calibration, share of the open beam.
        electronics: standard deviation of the electronic noise, share of the open beam.
        dead_pixels: share of pixels that read 0.
        dead_rows: number of detector elements that read 0.
        blind_rows: elements at the upper and the lower end that the beam does not reach.
        smoothing_px: standard deviation of the vendor's smoothing after detection, pixels.
        bits: bits of the analogue-to-digital conversion.
        saturation: greatest transmission that can be stored.
        pixel_mm: side of a pixel in the plane of the cargo, mm.
    """

    kind: Kind
    detector: Literal["dual_layer", "kv_switching", "crystal"]
    energies: tuple[float, float]
    labels: tuple[str, str]
    filters: tuple[Filters, Filters] = ((), ())
    scintillators: tuple[str, str] = ("CdWO4", "CdWO4")
    front_g_cm2: float = 0.0
    crystal_g_cm2: float = detectors.LINAC_CRYSTAL_G_CM2
    between_mm: float = 0.0
    quanta: tuple[float, float] = (6000.0, 3000.0)
    blur_px: tuple[float, float] = (0.5, 0.5)
    shift_px: tuple[float, float] = (0.0, 0.0)
    scatter: tuple[float, float] = (0.0, 0.0)
    scatter_width: float = 0.08
    pedestal: tuple[float, float] = (0.0, 0.0)
    line_gain: tuple[float, float] = (0.0, 0.0)
    element_gain: tuple[float, float] = (0.0, 0.0)
    drift: float = 0.0
    level: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    electronics: tuple[float, float] = (0.0, 0.0)
    dead_pixels: float = 0.0
    dead_rows: int = 0
    blind_rows: tuple[int, int] = (0, 0)
    smoothing_px: float = 0.0
    bits: int = 16
    saturation: float = 1.0
    pixel_mm: float = 4.2

    @staticmethod
    def draw(kind: Kind, rng: np.random.Generator, split: Split = "train", pixel_mm: float | None = None) -> Machine:
        """Draw a scanner.

        Args:
            kind: `"parcel"` or `"container"`.
            rng: source of all randomness.
            split: `"train"`, or `"heldout"` for bands that training never draws (`machines`).
            pixel_mm: pixel size of the scene, if it is already fixed; otherwise drawn.
        """
        if split not in ("train", "heldout"):
            raise ValueError(f"split must be 'train' or 'heldout', got {split!r}")
        draw = machines.draw_container if kind == "container" else machines.draw_parcel
        properties = draw(rng, split)
        return Machine(**properties if pixel_mm is None else properties | {"pixel_mm": pixel_mm})

    def scanner(self) -> Scanner:
        """What the scanner says of itself in a file."""
        return Scanner(self.kind, self.labels[0], self.labels[1], round(self.pixel_mm, 3))

    @cached_property
    def response(self) -> detectors.Response:
        """Weights of the photon energies in the two channels."""
        high, low = (dict(filters) for filters in self.filters)
        if self.detector == "dual_layer":
            return detectors.dual_layer(
                self.energies[0],
                high,
                front=self.scintillators[0],
                front_g_cm2=self.front_g_cm2,
                copper_mm=self.between_mm,
                back=self.scintillators[1],
                back_g_cm2=self.crystal_g_cm2,
            )
        if self.detector == "kv_switching":
            return detectors.kv_switching(
                *self.energies,
                high,
                low,
                scintillator=self.scintillators[1],
                scintillator_g_cm2=self.crystal_g_cm2,
            )
        return detectors.linac(*self.energies, high, low, crystal_g_cm2=self.crystal_g_cm2)

    def mean(self, areal: npt.NDArray[np.floating], materials: Sequence[str]) -> tuple[Float32Array, Float32Array]:
        """Expected transmission and noise variance, before gains, offsets and dead elements.

        Args:
            areal: areal density per material, g/cm2, shape (M, rows, columns).
            materials: names of the M materials in the catalogue.

        Returns:
            Two float32 arrays (2, rows, columns): mean and variance (counting and electronic noise
            and quantisation) of the transmission.
        """
        ideal, moment = transmission_and_noise(areal, self.response.attenuation(materials), self.response)
        for channel in range(2):
            vertical, horizontal = self._kernels(channel)
            around = self._scattered(ideal[channel], channel)
            for image, added in ((ideal[channel], around), (moment[channel], SCATTER_NOISE * around)):
                cv2.sepFilter2D(image, -1, horizontal, vertical, dst=image, borderType=cv2.BORDER_REPLICATE)
                image *= 1 - self.scatter[channel] - self.pedestal[channel]
                image += added
            moment[channel] *= 1 / self.quanta[channel]
            moment[channel] += self.floor_variance[channel]
        return ideal, moment

    @property
    def floor_variance(self) -> tuple[float, float]:
        """Noise variance without any light: electronics and quantisation, shares of the open beam squared."""
        step = self.saturation / (2**self.bits - 1)
        return self.electronics[0] ** 2 + step**2 / 12, self.electronics[1] ** 2 + step**2 / 12

    def measure(self, mean: Float32Array, variance: Float32Array, rng: np.random.Generator) -> Float32Array:
        """One noisy exposure of an expected transmission.

        Gains, dead elements and noise are drawn in an order that does not depend on the image's
        content: the same generator state gives a scene and its honest twin the same ones.

        Args:
            mean, variance: as from `mean`; left as they are.
            rng: source of all randomness.

        Returns:
            float32 (2, rows, columns), 0 to `saturation`.
        """
        gains, dead, seed = self._faults(mean.shape[1:], rng)
        normal = np.random.Generator(np.random.SFC64(seed))
        counts = np.random.Generator(np.random.SFC64(seed + 1))
        result = np.empty_like(mean)
        levels = np.float32(2**self.bits - 1) / np.float32(self.saturation)
        for channel, (line, element) in enumerate(gains):
            out, expected, spread = result[channel], mean[channel], variance[channel]
            normal.standard_normal(dtype=np.float32, out=out)
            out *= np.sqrt(spread)
            out += expected
            self._draw_few(out, expected, spread, channel, counts)
            if self.smoothing_px:
                smooth = blur_kernel(self.smoothing_px, 0.0)
                cv2.sepFilter2D(out, -1, smooth, smooth, dst=out, borderType=cv2.BORDER_REPLICATE)
            out *= line
            out *= element
            out += np.float32(self.offset[channel])
            # rint and clip in units of the converter's steps
            out *= levels
            np.rint(out, out=out)
            np.clip(out, 0, np.float32(2**self.bits - 1), out=out)
            out *= 1 / levels
            out[dead] = 0
        return result

    def expose(
        self, areal: npt.NDArray[np.floating], materials: Sequence[str], rng: np.random.Generator
    ) -> Float32Array:
        """Scan a scene: `measure(*mean(areal, materials), rng)`; float32 (2, rows, columns)."""
        return self.measure(*self.mean(areal, materials), rng)

    def around(self, light: Float32Array, channel: int) -> Float32Array | np.float32:
        """Scatter and pedestal at every pixel of an image without noise (rows, columns), share of the open beam."""
        return self._scattered(light, channel)

    def _kernels(self, channel: int) -> tuple[Float32Array, Float32Array]:
        """Vertical and horizontal blur kernels; the low channel's are displaced."""
        shift = self.shift_px if channel else (0.0, 0.0)
        return blur_kernel(self.blur_px[channel], shift[0]), blur_kernel(self.blur_px[channel], shift[1])

    def _scattered(self, ideal: Float32Array, channel: int) -> Float32Array | np.float32:
        """What scatter and pedestal add, share of the open beam; smooth, so computed on a coarse grid."""
        if not self.scatter[channel]:
            return np.float32(self.pedestal[channel])
        rows, columns = ideal.shape
        width = max(self.scatter_width * rows, 1.0)
        step = max(int(width / 3), 1)
        coarse = cv2.resize(ideal, (-(-columns // step), -(-rows // step)), interpolation=cv2.INTER_AREA)
        coarse = cv2.GaussianBlur(coarse, (0, 0), width / step, borderType=cv2.BORDER_REPLICATE)
        light = self.scatter[channel] * coarse.astype(np.float32) + self.pedestal[channel]
        return cv2.resize(light, (columns, rows), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)

    def _faults(
        self, shape: tuple[int, int], rng: np.random.Generator
    ) -> tuple[list[tuple[Float32Array, Float32Array]], npt.NDArray[np.bool_], int]:
        """Gains by line and element per channel, the mask of dead pixels, and a seed for the noise."""
        rows, columns = shape
        common_line, common_element = rng.standard_normal(columns), rng.standard_normal(rows)
        knots = rng.standard_normal(max(columns // 150, 2) + 2)
        drift = self.drift * np.interp(np.linspace(0, len(knots) - 1, columns), np.arange(len(knots)), knots)
        gains = []
        for channel in range(2):
            # half of the variance is common to both channels, as in real scans
            line = np.sqrt(0.5) * (common_line + rng.standard_normal(columns)) * self.line_gain[channel]
            element = np.sqrt(0.5) * (common_element + rng.standard_normal(rows)) * self.element_gain[channel]
            gains.append(
                (
                    (self.level[channel] * (1 + line + drift))[None].astype(np.float32),
                    (1 + element)[:, None].astype(np.float32),
                )
            )
        dead = np.zeros(shape, bool)
        count = rng.poisson(self.dead_pixels * rows * columns)
        dead[rng.integers(0, rows, count), rng.integers(0, columns, count)] = True
        dead[rng.integers(0, rows, self.dead_rows)] = True
        dead[: self.blind_rows[0]] = dead[rows - self.blind_rows[1] :] = True
        return gains, dead, int(rng.integers(2**62))

    def _draw_few(
        self,
        out: Float32Array,
        expected: Float32Array,
        spread: Float32Array,
        channel: int,
        rng: np.random.Generator,
    ) -> None:
        """Redraw, in place, the pixels that few quanta reach: a Poisson number of them, their deposits, electronics."""
        dark = np.flatnonzero(expected < 2 * _FEW_QUANTA / self.quanta[channel])
        if not len(dark):
            return
        level = expected.ravel()[dark]
        counting = np.maximum(spread.ravel()[dark] - np.float32(self.floor_variance[channel]), 1e-12)
        quanta = (1 + _DEPOSIT_SPREAD) * level * level / counting
        few = quanta < _FEW_QUANTA
        dark, level, quanta = dark[few], level[few], quanta[few]
        drawn = rng.poisson(quanta).astype(np.float32)
        drawn += np.sqrt(_DEPOSIT_SPREAD * drawn) * rng.standard_normal(len(dark), dtype=np.float32)
        drawn *= level / np.maximum(quanta, 1e-6)
        np.maximum(drawn, 0, out=drawn)
        drawn += np.float32(self.electronics[channel]) * rng.standard_normal(len(dark), dtype=np.float32)
        out.ravel()[dark] = drawn


def blur_kernel(sigma: float, shift: float) -> Float32Array:
    """Gaussian convolved with linear interpolation: identity at sigma = shift = 0, mean exactly `shift`; pixels."""
    radius = int(np.ceil(abs(shift) + 3 * sigma)) if sigma or shift else 0
    offsets = np.arange(-radius, radius + 1)
    points = np.linspace(-3, 3, 61)
    density = np.exp(-(points**2) / 2)
    triangle = np.maximum(0, 1 - np.abs(offsets[:, None] - (shift + sigma * points)))
    kernel = triangle @ (density / density.sum())
    # cv2 correlates: an image displaced by +shift reads from the other side
    return (kernel[::-1] / kernel.sum()).astype(np.float32)
