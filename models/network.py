"""The network: raw dual-energy transmission in, evidence, areal densities and calibrated probabilities out.

Noise averages out in transmission, not in its logarithm (at low counts the mean of logs is biased), so
the pyramid of images is made of transmissions and each of its levels is turned into attenuation by
itself. A level's features enter the encoder at the stage of the same resolution: coarse stages see
energy ratios averaged over many pixels, where contrasts of a hundredth are above the noise.

All resolutions come from halving with the last, incomplete cell kept, so any height and width works.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock
from torchvision.ops import Conv2dNormActivation

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Kind

BRIGHTEST = 1.15
"""Transmissions above are cut: noise and gain drift reach there, cargo never does."""

LEVELS = 5
FEATURES = 8
ABSENT = 10.0
"""Evidence logits of whole scans are cut at this size: below, nothing is there."""


class Outputs(NamedTuple):
    """What the released graph gives, in the order of the ONNX outputs.

    Attributes:
        score: (N,) calibrated probability that undeclared watch-list material is present.
        materials: (N, F) probability that each family is present anywhere.
        evidence: (N, F, h, w) probability per cell that the family is there.
        areal_density: (N, 2, h, w) g/cm2 per cell: all goods; watch-list material alone.
        embedding: (N, D) description of the scan, for finding similar ones.
        novelty: (N,) distance from the training scans; above 1 = unlike anything fitted.
    """

    score: Tensor
    materials: Tensor
    evidence: Tensor
    areal_density: Tensor
    embedding: Tensor
    novelty: Tensor


class Raw(NamedTuple):
    """What the losses need: logits, before calibration.

    Attributes:
        score: (N,) logit.
        materials: (N, F) logits.
        evidence: (N, F, h, w) logits.
        log_areal: (N, 2, h, w) ln(1 + g/cm2).
        embedding: (N, D).
    """

    score: Tensor
    materials: Tensor
    evidence: Tensor
    log_areal: Tensor
    embedding: Tensor


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a network, and what it assumes of the scanner.

    Attributes:
        kind: kind of scanner.
        families: names in channel order.
        watched: those on the watch list.
        pool: side of the pixel blocks whose transmissions are averaged first.
        floor: least transmission that is told from none.
        ratio_period: change of (a_low - a_high) / a_high over which the periodic features turn once;
            a few times the contrast between neighbouring families.
        thin: attenuation that is added below the ratio, so that air has none.
        widths: channels of the four encoder stages.
        blocks: residual blocks of each stage.
        pixel_width: channels of each level's pixel features.
        decoder: channels of the decoder.
        embedding: length of the embedding.
    """

    kind: Kind = "parcel"
    families: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    pool: int = 2
    floor: float = 3e-4
    ratio_period: float = 0.8
    thin: float = 0.02
    widths: tuple[int, int, int, int] = (24, 48, 96, 128)
    blocks: tuple[int, int, int, int] = (1, 2, 2, 1)
    pixel_width: int = 16
    decoder: int = 48
    embedding: int = 64

    @property
    def stride(self) -> int:
        """Side of an output cell, pixels."""
        return 2 * self.pool

    def to_dict(self) -> dict:
        """Plain values, as a checkpoint keeps them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> NetworkConfig:
        """The reverse of `to_dict`; lists become tuples."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def config_for(kind: Kind, **changes: object) -> NetworkConfig:
    """The configuration of the released network of a scanner kind, over the families of the catalogue."""
    base: dict = {"kind": kind, "families": catalogue().names, "watched": catalogue().watched}
    if kind == "container":
        base |= {"pool": 4, "floor": 1e-4, "ratio_period": 0.2, "thin": 0.05}
    return NetworkConfig(**(base | changes))


def halve(x: Tensor, size: int = 2) -> Tensor:
    """Average over `size` x `size` blocks; those at the lower and right edge average what they have."""
    return functional.avg_pool2d(x, size, size, ceil_mode=True, count_include_pad=False)


class Network(nn.Module):
    """Encoder with a pyramid of attenuation features, top-down decoder, one head per cell, one per scan.

    `forward` gives the calibrated `Outputs`; `raw` the logits that are fitted. Calibration and the
    novelty measure are buffers, set by `leadline.training.calibrate`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        families, p, d = len(config.families), config.pixel_width, config.decoder
        self.watched = [config.families.index(name) for name in config.watched]
        self.pixels = nn.ModuleList(_PixelFeatures(p) for _ in range(LEVELS))
        self.context = nn.Sequential(nn.Linear(2 * p, 32), nn.ReLU(), nn.Linear(32, LEVELS * p))
        nn.init.zeros_(self.context[-1].weight)
        nn.init.zeros_(self.context[-1].bias)
        self.stem = Conv2dNormActivation(p, config.widths[0], 3, stride=2)
        inner = config.widths[0]
        self.stages = nn.ModuleList()
        for level, (width, count) in enumerate(zip(config.widths, config.blocks, strict=True)):
            self.stages.append(_Stage(inner, p, width, count, stride=2 if level else 1))
            inner = width
        self.far = Conv2dNormActivation(inner, inner, 3, dilation=2)
        self.lateral = nn.ModuleList(Conv2dNormActivation(w, d, 1, activation_layer=None) for w in config.widths)
        self.smooth = nn.ModuleList(Conv2dNormActivation(d, d, 3) for _ in config.widths[:-1])
        self.cell = Conv2dNormActivation(d + p, d, 3)
        self.evidence_head = nn.Conv2d(d, families, 1)
        self.density_head = nn.Conv2d(d, 2, 1)
        nn.init.constant_(self.evidence_head.bias, -3.0)
        self.attention = nn.Conv2d(inner, 1, 1)
        self.describe = nn.Sequential(nn.Linear(2 * inner + d, config.embedding), nn.Tanh())
        basis = 4 * families + 2 + config.embedding
        self.family_head = _perceptron(basis, 64, families)
        self.score_head = _perceptron(basis + 4 * len(self.watched) + families + 1, 64, 1)
        self.register_buffer("score_scale", torch.ones(()))
        self.register_buffer("score_bias", torch.zeros(()))
        self.register_buffer("family_scale", torch.ones(families))
        self.register_buffer("family_bias", torch.zeros(families))
        self.register_buffer("typical", torch.zeros(config.embedding))
        self.register_buffer("whiten", torch.eye(config.embedding))
        self.register_buffer("accepted", torch.tensor(1e3))

    def forward(self, transmission: Tensor, declared: Tensor) -> Outputs:
        """Calibrated outputs.

        Args:
            transmission: (N, 2, rows, columns), [high, low], raw; any size.
            declared: (N or 1, F + 1) expected families, last 1 = a declaration is known.
        """
        raw = self.raw(transmission, declared)
        score = torch.sigmoid(raw.score * self.score_scale + self.score_bias)
        materials = torch.sigmoid(raw.materials * self.family_scale + self.family_bias)
        away = (raw.embedding - self.typical) @ self.whiten
        novelty = torch.sqrt((away * away).sum(1) + 1e-12) / self.accepted
        return Outputs(
            score, materials, torch.sigmoid(raw.evidence), torch.expm1(raw.log_areal), raw.embedding, novelty
        )

    def raw(self, transmission: Tensor, declared: Tensor) -> Raw:
        """Logits; arguments as `forward`."""
        levels = self._levels(transmission)
        x = self.stem(levels[0])
        maps = []
        for stage, level in zip(self.stages, levels[1:], strict=True):
            x = stage(x, level)
            maps.append(x)
        maps[-1] = x = x + self.far(x)
        y = self.lateral[-1](x)
        for lateral, smooth, skip in zip(self.lateral[-2::-1], self.smooth, maps[-2::-1], strict=True):
            # To the size of the skip, which is 2n or 2n - 1: both give every cell its four children.
            up = functional.interpolate(y, size=skip.shape[2:], mode="nearest")
            y = smooth(functional.relu(lateral(skip) + up))
        cells = self.cell(torch.cat((y, levels[1]), 1))
        evidence = self.evidence_head(cells).float()
        log_areal = functional.softplus(self.density_head(cells).float())
        with torch.autocast(x.device.type, enabled=False):
            embedding = self._embedding(x.float(), cells.float())
            return self._scan(evidence, log_areal, embedding, declared)

    def _levels(self, transmission: Tensor) -> list[Tensor]:
        """Pixel features of every level, (N, P, h, w), finest first, modulated by the scan's context."""
        t = halve(transmission.clamp(0.0, BRIGHTEST), self.config.pool)
        raw = []
        for level, pixels in enumerate(self.pixels):
            t = halve(t) if level else t
            raw.append(pixels(attenuation_features(t, self.config)))
        seen = raw[-2]
        context = torch.cat((seen.mean((2, 3)), (seen * seen).mean((2, 3))), 1)
        gain = self.context(context).unflatten(1, (len(raw), 1, -1))
        return [f * (1 + gain[:, i].transpose(1, 2).unsqueeze(3)) for i, f in enumerate(raw)]

    def _embedding(self, deep: Tensor, cells: Tensor) -> Tensor:
        """(N, D): deep features averaged plainly and by attention, and the mean of the cells'."""
        weight = self.attention(deep).flatten(2).softmax(2)
        attended = (deep.flatten(2) * weight).sum(2)
        return self.describe(torch.cat((deep.mean((2, 3)), attended, cells.mean((2, 3))), 1))

    def _scan(self, evidence: Tensor, log_areal: Tensor, embedding: Tensor, declared: Tensor) -> Raw:
        """Scan-level logits: what is there, and what of it nobody declared."""
        pooled = pool_evidence(evidence)
        basis = torch.cat((pooled.flatten(1), log_areal.mean((2, 3)), embedding), 1)
        materials = pooled[:, -1] + self.family_head(basis)
        expected = declared.to(basis.dtype) + torch.zeros_like(basis[:, :1])
        unexpected = 1 - expected[:, : evidence.shape[1]].unsqueeze(1)
        hidden = ((pooled + ABSENT) * unexpected)[:, :, self.watched]
        score = self.score_head(torch.cat((basis, hidden.flatten(1), expected), 1))[:, 0]
        return Raw(score, materials, evidence, log_areal, embedding)


def attenuation_features(t: Tensor, config: NetworkConfig) -> Tensor:
    """Attenuation and energy contrast of averaged transmissions.

    Args:
        t: (N, 2, h, w), [high, low].
        config: floor and scales.

    Returns:
        (N, FEATURES, h, w): both attenuations a = -ln T, their difference, the contrast
        (a_low - a_high) / (a_high + thin), its sine and cosine over `ratio_period`, the logarithm
        of a_high, and how near the transmission is to the floor.
    """
    a = -torch.log(t.clamp(min=config.floor))
    high, low = a[:, :1], a[:, 1:]
    difference = low - high
    ratio = (difference / (high.clamp(min=0.0) + config.thin)).clamp(-1.0, 4.0)
    angle = ratio * (2 * math.pi / config.ratio_period)
    shade = torch.log(high.clamp(min=0.0) + config.thin)
    dark = config.floor / t[:, 1:].clamp(min=config.floor)
    return torch.cat((high, low, difference, ratio, torch.sin(angle), torch.cos(angle), shade, dark), 1)


def pool_evidence(evidence: Tensor) -> Tensor:
    """Evidence of a whole scan, (N, 4, F), from the logits of its cells, (N, F, h, w).

    The rows: log-mean-exp at sharpness 0.5, 1 and 2 (wide and thin, ordinary, small and certain),
    and the greatest mean over 3 x 3 cells.
    """
    z = evidence.clamp(-ABSENT, ABSENT)
    flat, area = z.flatten(2), z.shape[2] * z.shape[3]
    wide = [(torch.logsumexp(flat * k, 2) - _log(area, z)) / k for k in (0.5, 1.0, 2.0)]
    peak = functional.avg_pool2d(z, 3, 1, 1, count_include_pad=False).amax((2, 3))
    return torch.stack((*wide, peak), 1)


def _log(area: int | torch.SymInt, like: Tensor) -> Tensor:
    """Logarithm of a number of cells that may be symbolic while the graph is exported."""
    return torch.log(torch.ones_like(like[:1, :1, :1, :1]) * area).reshape(())


class _PixelFeatures(nn.Sequential):
    """Learned functions of a pixel's two transmissions alone."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.BatchNorm2d(FEATURES, affine=False),
            Conv2dNormActivation(FEATURES, 2 * width, 1),
            Conv2dNormActivation(2 * width, width, 1),
        )


class _Stage(nn.Module):
    """Encoder stage: features of its own resolution join, then residual blocks."""

    def __init__(self, inner: int, pixel: int, width: int, blocks: int, stride: int) -> None:
        super().__init__()
        self.down = Conv2dNormActivation(inner, width, 3, stride=2) if stride == 2 else nn.Identity()
        entry = (width if stride == 2 else inner) + pixel
        join = Conv2dNormActivation(entry, width, 1, activation_layer=None)
        self.blocks = nn.Sequential(
            BasicBlock(entry, width, downsample=join), *(BasicBlock(width, width) for _ in range(blocks - 1))
        )

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.blocks(torch.cat((self.down(x), level), 1))


def _perceptron(inner: int, hidden: int, outer: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inner, hidden), nn.ReLU(), nn.Linear(hidden, outer))
