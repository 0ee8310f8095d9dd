"""The scanner's own contrast curves, estimated from the scan itself.

The same steel has another energy contrast on every scanner, and another at every thickness; at 6/4 MV scanners
differ by as much as materials do. A scan shows its scanner: walls, frames and everyday goods trace their curves in
the joint histogram of attenuation and contrast. A perceptron reads from it what contrast the reference materials
(`config.REFERENCES`) have at each knot of attenuation; the beam's nominal energy helps, where it is told. A pixel's
distances from these curves no longer depend on the scanner. Simulated scans know the true curves, so the estimate is
fitted to them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from leadline.datasets.beam import BEAM
from leadline.models.config import REFERENCES, NetworkConfig

SHADES, CONTRASTS = 12, 32
"""Bins of the histogram, of ln(attenuation) and of contrast."""
HIDDEN = 64
_DARKEST = 9.0
_FURTHEST = 3.0
_CELLS = 2000.0  # counts are of a scan of so many cells, whatever its size


class ScannerCurves(nn.Module):
    """From a scan to the contrast curves of its scanner."""

    shades: Tensor
    contrasts: Tensor
    knots: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        shades = torch.linspace(math.log(config.thin), math.log(_DARKEST), SHADES)
        self.register_buffer("shades", shades, persistent=False)
        self.register_buffer("contrasts", torch.linspace(*config.contrasts, CONTRASTS), persistent=False)
        self.register_buffer("knots", torch.tensor(config.knots), persistent=False)
        self.read = nn.Sequential(nn.Linear(SHADES * CONTRASTS + BEAM, HIDDEN), nn.ReLU())
        self.tell = nn.Linear(HIDDEN, len(REFERENCES) * len(config.knots))

    def begin(self, typical: Tensor) -> None:
        """Start from the curves of a typical scanner, (R, K), rather than from none."""
        with torch.no_grad():
            self.tell.bias.copy_(typical.flatten() / self.config.ratio_period)

    def forward(self, attenuation: Tensor, beam: Tensor) -> tuple[Tensor, Tensor]:
        """The curves, and what they were read from.

        Args:
            attenuation: (N, 4, h, w), `features.attenuation_features` of the finest cells.
            beam: (N, BEAM), see `datasets.beam`.

        Returns:
            (N, R, K) contrast of each reference material at each knot; (N, HIDDEN).
        """
        hidden = self.read(torch.cat((self.histogram(attenuation).flatten(1), beam), 1))
        curves = self.tell(hidden).unflatten(1, (len(REFERENCES), -1))
        return curves * self.config.ratio_period, hidden

    def histogram(self, attenuation: Tensor) -> Tensor:
        """(N, SHADES, CONTRASTS): ln(1 + count) of the cells; each is shared among the four bins around it.

        Every second row and column will do: the curves are those of thousands of cells.
        """
        high, contrast = attenuation[:, 0, ::2, ::2].flatten(1), attenuation[:, 3, ::2, ::2].flatten(1)
        shade = torch.log(high.clamp(min=0.0) + self.config.thin)
        counts = _tents(shade, self.shades) @ _tents(contrast, self.contrasts).transpose(1, 2)
        return torch.log1p(counts / counts.sum((1, 2), keepdim=True) * _CELLS)

    def distances(self, attenuation: Tensor, curves: Tensor) -> Tensor:
        """How far each cell's contrast is from every curve at its own attenuation, in units of `ratio_period`.

        Args:
            attenuation: (N, 4, h, w) of any level.
            curves: (N, R, K), from `forward`.

        Returns:
            (N, R, h, w), at most 3 either way.
        """
        rise = (curves[:, :, 1:] - curves[:, :, :-1]) / (self.knots[1:] - self.knots[:-1])
        turns = torch.cat((rise[:, :, :1], rise[:, :, 1:] - rise[:, :, :-1]), 2)
        beyond = functional.relu(attenuation[:, :1].clamp(max=self.config.knots[-1]) - self.knots[:-1, None, None])
        # Straight between the knots: the first value, and a turn of the slope at each knot that was passed.
        along = (turns @ beyond.flatten(2)).unflatten(2, beyond.shape[2:]) + curves[:, :, :1, None]
        return ((attenuation[:, 3:4] - along) / self.config.ratio_period).clamp(-_FURTHEST, _FURTHEST)


def _tents(x: Tensor, centres: Tensor) -> Tensor:
    """(N, B, P): share of each value in each of B evenly spaced bins; the outer bins take all beyond them."""
    place = (x - centres[0]) / (centres[1] - centres[0])
    place = place.clamp(0.0, len(centres) - 1.0).unsqueeze(1)
    bins = torch.arange(len(centres), dtype=x.dtype, device=x.device).unsqueeze(1)
    return functional.relu(1 - (place - bins).abs())
