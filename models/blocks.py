"""Parts that the network is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock
from torchvision.ops import Conv2dNormActivation

from leadline.models.config import REFERENCES
from leadline.models.features import FEATURES


class PixelFeatures(nn.Sequential):
    """Learned functions of a cell's own attenuation, contrast, and distances from the scanner's curves."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__(
            nn.BatchNorm2d(FEATURES + len(REFERENCES), affine=False),
            Conv2dNormActivation(FEATURES + len(REFERENCES), hidden, 1),
            Conv2dNormActivation(hidden, width, 1),
        )


class Suspicion(nn.Module):
    """A perceptron over each cell, of which the declaration and the whole scan shift the first layer."""

    def __init__(self, inner: int, told: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        self.cells = nn.Conv2d(inner, hidden[0], 1)
        self.told = nn.Linear(told, hidden[0])
        self.then = nn.Conv2d(*hidden, 1)
        self.head = nn.Conv2d(hidden[1], 1, 1)

    def forward(self, cells: Tensor, told: Tensor) -> Tensor:
        """(N, 1, h, w) logits from (N, C, h, w) and (N, T)."""
        hidden = functional.relu(self.cells(cells) + self.told(told)[:, :, None, None])
        return self.head(functional.relu(self.then(hidden)))


class Stage(nn.Module):
    """Encoder stage: features of its own resolution join, then residual blocks."""

    def __init__(self, inner: int, pixel: int, width: int, blocks: int, stride: int) -> None:
        super().__init__()
        self.down = Conv2dNormActivation(inner, width, 3, stride=2) if stride == 2 else nn.Identity()
        entry = (width if stride == 2 else inner) + pixel
        first = (
            BasicBlock(entry, width, downsample=plain(entry, width)) if blocks else Conv2dNormActivation(entry, width)
        )
        self.blocks = nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.blocks(torch.cat((self.down(x), level), 1))


def plain(inner: int, outer: int) -> Conv2dNormActivation:
    return Conv2dNormActivation(inner, outer, 1, activation_layer=None)


def scan_head(inner: int, outer: int) -> nn.Sequential:
    """A perceptron whose inputs are brought to one scale."""
    return nn.Sequential(nn.BatchNorm1d(inner, affine=False), *perceptron(inner, 64, outer))


def perceptron(inner: int, hidden: int, outer: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inner, hidden), nn.ReLU(), nn.Linear(hidden, outer))
