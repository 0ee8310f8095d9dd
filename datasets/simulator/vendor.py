"""How a vendor's display shows a dual-energy scan in 8-bit colours: what palettes are fitted on where no pairs exist.

Drawn anew for each display, within what is common: the channel or mean of channels that is shown, the curve
from transmission to brightness (a power, as a gamma gives, or linear in the logarithm), where orange turns to
green and green to blue on the scale of materials (polyethylene, aluminium, steel, each as thick as the picture
says), how softly, how strongly the material is smoothed, and JPEG.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.formats.palette import BRIGHTNESS
from leadline.datasets.formats.palette_fit import CONVENTION
from leadline.datasets.physics.forward import transmission
from leadline.datasets.scan import Kind
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.simulate import Split, simulate

Float32Array = npt.NDArray[np.float32]

_SCALE = ("polyethylene", "aluminium", "steel")


@dataclass(frozen=True)
class Display:
    """One vendor's display.

    Attributes:
        hues, chroma: the pure colours, as in `Palette`.
        shown: share of the high channel in the logarithm of what is shown.
        power: brightness = transmission^(1 / power); 0 for the logarithmic display.
        deepest: -ln T that a logarithmic display shows black.
        borders: where orange turns to green and green to blue, on 0 = polyethylene, 1 = aluminium, 2 = steel.
        softness: width of those turns, on the same scale.
        smoothing_px: standard deviation of the material's smoothing, pixels.
        jpeg: quality of the file, 0 for a lossless one.
    """

    hues: Float32Array
    chroma: Float32Array
    shown: float = 0.5
    power: float = 2.0
    deepest: float = 5.0
    borders: tuple[float, float] = (0.5, 1.45)
    softness: float = 0.25
    smoothing_px: float = 1.5
    jpeg: int = 0

    @staticmethod
    def draw(rng: np.random.Generator, colours: tuple[Float32Array, Float32Array] | None = None) -> Display:
        """A display at random, with the given colours or common ones."""
        if colours is None:
            turn = rng.normal(0, 6, 3)[:, None]
            hues = np.repeat(np.array(CONVENTION)[:, None], len(BRIGHTNESS), axis=1) + turn
            chroma = rng.uniform(0.6, 1.0) * np.minimum(1.6 * np.minimum(BRIGHTNESS, 1.02 - BRIGHTNESS), 0.7)
            colours = hues.astype(np.float32), np.maximum(chroma, 0.01).astype(np.float32)
        return Display(
            *colours,
            shown=rng.uniform(0, 1),
            power=float(np.exp(rng.uniform(np.log(1.3), np.log(3.0)))) if rng.random() < 0.6 else 0.0,
            deepest=rng.uniform(3.5, 7.0),
            borders=(rng.uniform(0.35, 0.7), rng.uniform(1.25, 1.65)),
            softness=rng.uniform(0.1, 0.3),
            smoothing_px=rng.uniform(0.7, 2.0),
            jpeg=int(rng.integers(80, 96)) if rng.random() < 0.6 else 0,
        )

    def render(self, scan: Float32Array, machine: Machine) -> npt.NDArray[np.uint8]:
        """Show a scan.

        Args:
            scan: float32 (2, rows, columns), transmission at high and low energy.
            machine: the scanner that took it; its vendor knows where common materials lie.

        Returns:
            uint8 (3, rows, columns), red, green, blue.
        """
        depth = -np.log(np.clip(scan, 2e-4, 1.0))
        level = self.shown * depth[0] + (1 - self.shown) * depth[1]
        brightness = np.exp(-level / self.power) if self.power else 1 - level / self.deepest
        brightness = np.clip(brightness, 0.02, 1).astype(np.float32)
        position, sure = self._material(scan, machine)
        row = brightness * (len(BRIGHTNESS) - 1)
        hues = np.stack([np.interp(row, np.arange(len(BRIGHTNESS)), knots) for knots in self.hues])
        below = np.clip(position, 0, 1)
        above = np.clip(position - 1, 0, 1)
        hue = hues[0] * (1 - below) + hues[1] * (below - above) + hues[2] * above
        chroma = np.interp(row, np.arange(len(BRIGHTNESS)), self.chroma) * sure
        picture = coloured(brightness, hue.astype(np.float32), chroma.astype(np.float32))
        if self.jpeg:
            interleaved = np.ascontiguousarray(picture[::-1].transpose(1, 2, 0))
            _, data = cv2.imencode(".jpg", interleaved, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])
            decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
            picture = np.ascontiguousarray(np.asarray(decoded, np.uint8).transpose(2, 0, 1)[::-1])
        return picture

    def _material(self, scan: Float32Array, machine: Machine) -> tuple[Float32Array, Float32Array]:
        """Position 0 (orange) to 2 (blue), and how sure the vendor is of it, 0 to 1."""
        size = (0, 0)
        soft = [np.asarray(cv2.GaussianBlur(c, size, self.smoothing_px), np.float32) for c in scan]
        high, low = (-np.log(np.clip(c, 2e-4, 1.0)) for c in soft)
        grid = np.concatenate([[0.0], np.geomspace(1e-3, 400, 300)]).astype(np.float32)
        expected = []
        for one in machine.response.attenuation(_SCALE):
            at = -np.log(np.maximum(transmission(grid[None], one[None], machine.response), 1e-12))
            expected.append(np.interp(high, at[0], at[1]))
        organic, middle, metal = expected
        first = (low - organic) / np.maximum(middle - organic, 1e-3)
        second = 1 + (low - middle) / np.maximum(metal - middle, 1e-3)
        scale = np.clip(np.where(low < middle, first, second), -1, 3)
        turns = [1 / (1 + np.exp(-(scale - border) / (self.softness / 2))) for border in self.borders]
        sure = np.clip((metal - organic) / 0.03, 0, 1) * np.clip((7.0 - high) / 1.5, 0, 1)
        return (turns[0] + turns[1]).astype(np.float32), sure.astype(np.float32)


def coloured(brightness: Float32Array, hue: Float32Array, chroma: Float32Array) -> npt.NDArray[np.uint8]:
    """Colours of a Rec. 601 luma (0 to 1), hue (degrees) and chroma (0 to 1), as far as 8 bits can show them.

    Returns:
        uint8 (3, ...), red, green, blue.
    """
    sixth = (hue / 60) % 6
    ramps = [np.clip(np.abs((sixth + shift) % 6 - 3) - 1, 0, 1) for shift in (0.0, 4.0, 2.0)]  # red, green, blue
    luma = 0.299 * ramps[0] + 0.587 * ramps[1] + 0.114 * ramps[2]
    # full chroma must keep every channel within 0 and 1
    most = np.minimum(brightness / np.maximum(luma, 1e-6), (1 - brightness) / np.maximum(1 - luma, 1e-6))
    strength = np.minimum(chroma, most)
    rgb = np.stack([brightness + strength * (ramp - luma) for ramp in ramps])
    return np.clip(np.rint(255 * rgb), 0, 255).astype(np.uint8)


def simulated_pairs(
    kind: Kind, scenes: int, seed: int, colours: tuple[Float32Array, Float32Array] | None = None, split: Split = "train"
) -> tuple[npt.NDArray[np.uint8], Float32Array]:
    """Pixels of simulated scans with the colours in which some vendor shows them, another vendor for each scan.

    Args:
        kind: scanner kind.
        scenes: how many scans.
        seed: of scenes and displays.
        colours: a vendor's hues and chroma; common ones without it.
        split: of scanners and scenes.

    Returns:
        uint8 (3, N) and float32 (2, N): colours and transmissions, up to 4,000 of each scan, dark ones preferred.
    """
    pixels, truths = [], []
    for index in range(scenes):
        sample = simulate(kind, seed, index, split=split)
        rng = np.random.default_rng([seed, index, 77])
        scan = sample.scan.transmission
        picture = Display.draw(rng, colours).render(scan, sample.machine).reshape(3, -1)
        flat = scan.reshape(2, -1)
        weight = 0.03 + np.clip(-np.log(np.maximum(flat[0], 1e-3)), 0, 3)
        chosen = rng.choice(flat.shape[1], min(4000, flat.shape[1]), replace=False, p=weight / weight.sum())
        pixels.append(picture[:, chosen])
        truths.append(flat[:, chosen])
    return np.concatenate(pixels, axis=1), np.concatenate(truths, axis=1)
