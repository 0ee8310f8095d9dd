"""The network: raw dual-energy transmission in, evidence, areal densities and calibrated probabilities out.

The pyramid of images is made of transmissions, and each of its levels is turned into attenuation by itself
(`models.features`). A level's features enter the encoder at the stage of the same resolution: coarse stages
see energy ratios averaged over many pixels, where contrasts of a hundredth are above the noise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import Conv2dNormActivation

from leadline.datasets.appearance import APPEARANCE
from leadline.datasets.beam import BEAM
from leadline.models.blocks import PixelFeatures, Stage, Suspicion, perceptron, plain, scan_head
from leadline.models.calibrated import Calibrated
from leadline.models.config import REFERENCES, NetworkConfig
from leadline.models.curves import HIDDEN, ScannerCurves
from leadline.models.features import (
    attenuation_features,
    excess_features,
    halve,
    periodic_features,
    pool_pixels,
)
from leadline.models.outputs import ABSENT, POOLED, Raw, Summary, View, pool_evidence

STAGES = 4
OWN = 6 + len(REFERENCES)
"""What was measured in a cell: attenuation and excess features, distances from the scanner's curves."""


class Network(Calibrated):
    """Encoder with a pyramid of attenuation features, top-down decoder, one head per cell, one per scan."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config, config.embedding)
        families, p, d = len(config.families), config.pixel_width, config.decoder
        said = families + 1 + APPEARANCE
        self.pixels = nn.ModuleList(PixelFeatures(config.pixel_hidden, p) for _ in range(STAGES))
        self.scanner = ScannerCurves(config)
        self.context = perceptron(2 * p + HIDDEN, 32, (STAGES - 1) * p)
        for parameter in self.context[-1].parameters():
            nn.init.zeros_(parameter)
        self.stem = nn.Sequential(nn.BatchNorm2d(4, affine=False), Conv2dNormActivation(4, 16, 3, stride=2))
        inner = 16
        self.stages = nn.ModuleList()
        for level, (width, count) in enumerate(zip(config.widths, config.blocks, strict=True)):
            self.stages.append(Stage(inner, p, width, count, stride=2 if level else 1))
            inner = width
        self.far = Conv2dNormActivation(inner, inner, 3, dilation=2)
        fine = config.widths[0]
        narrow = (fine, d, d)
        self.lateral = nn.ModuleList(plain(w, n) for w, n in zip(config.widths, narrow, strict=False))
        self.rise = nn.ModuleList(plain(w, n) for w, n in zip((d, d, inner), narrow, strict=True))
        self.smooth = nn.ModuleList(Conv2dNormActivation(n, n, 3) for n in narrow)
        self.evidence_head = nn.Conv2d(fine, families, 1)
        self.density_head = nn.Conv2d(fine, 2, 1)
        self.suspicion = Suspicion(fine + families + 2 + OWN, said + BEAM + config.embedding, config.suspicion)
        with torch.no_grad():  # nothing is there until it is seen
            for head in (self.evidence_head, self.suspicion.head):
                head.get_parameter("bias").fill_(-3.0)
        self.attention = nn.Conv2d(inner, 1, 1)
        # Without the normalisation the sums are large, and the hyperbolic tangent is 1 or -1 whatever the scan shows.
        self.describe = nn.Sequential(
            nn.BatchNorm1d(2 * inner + fine, affine=False), nn.Linear(2 * inner + fine, config.embedding), nn.Tanh()
        )
        basis = POOLED * families + 2 + config.embedding
        self.family_head = scan_head(basis, families)
        self.score_head = scan_head(basis + POOLED * families + said + POOLED, 1)

    def raw(self, transmission: Tensor, said: Tensor, beam: Tensor | None = None, *, pooled: bool = False) -> Raw:
        """Logits; arguments as for `Calibrated.raw`."""
        view = self.look(transmission, beam, pooled=pooled)
        suspicion = self.suspect(view, said)
        score, materials = self.judge(view.summary, said, pool_evidence(suspicion).flatten(1))
        return Raw(score, materials, view.evidence, view.log_areal, view.summary.embedding, suspicion, view.curves)

    def begin(self, curves: Tensor) -> None:
        self.scanner.begin(curves)

    def look(self, transmission: Tensor, beam: Tensor | None = None, *, pooled: bool = False) -> View:
        """What does not depend on the declaration; arguments as for `raw`."""
        t = transmission if pooled else pool_pixels(transmission, self.config)
        told = t.new_zeros(1, BEAM) if beam is None else beam
        told = told + torch.zeros_like(t[:, :1, 0, 0])
        fine, own, levels, curves = self._levels(t, told)
        x = self.stem(fine)
        maps = []
        for stage, level in zip(self.stages, levels, strict=True):
            x = stage(x, level)
            maps.append(x)
        x = x + self.far(x)
        cells = x
        for at in (2, 1, 0):
            # To the size of the skip, which is 2n or 2n - 1: both give every cell its four children.
            up = functional.interpolate(self.rise[at](cells), size=maps[at].shape[2:], mode="nearest")
            cells = self.smooth[at](functional.relu(self.lateral[at](maps[at]) + up))
        evidence = self.evidence_head(cells).float()
        log_areal = functional.softplus(self.density_head(cells).float())
        with torch.autocast(x.device.type, enabled=False):
            embedding = self._embedding(x.float(), cells.float())
            summary = Summary(pool_evidence(evidence), log_areal.mean((2, 3)), embedding)
            return View(evidence, log_areal, cells, own, summary, curves, told)

    def suspect(self, view: View, said: Tensor) -> Tensor:
        """(N, 1, h, w): logits per cell that watch-list material is there which the declaration does not explain.

        The declaration and the whole scan shift the thresholds at which a cell's features count: the same black
        cell is steel among tools and a threat among tubs of protein.
        """
        return self.suspicion(self.in_cells(view), self.told(view, said)).float()

    def in_cells(self, view: View) -> Tensor:
        """(N, C, h, w): all that suspicion sees of each cell. What the maps say of it is taken as it is: they answer
        for themselves."""
        return torch.cat((view.cells, view.evidence.detach(), view.log_areal.detach(), view.own), 1)

    def told(self, view: View, said: Tensor) -> Tensor:
        """(N, T): all that suspicion sees of the scan as a whole."""
        embedding = view.summary.embedding
        return torch.cat((said.to(embedding.dtype) + torch.zeros_like(embedding[:, :1]), view.beam, embedding), 1)

    def _levels(self, t: Tensor, beam: Tensor) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
        """Attenuations of the pooled pixels, what was measured in the finest cells, learned features of every
        stage's resolution, curves of the scanner.

        All but the finest features are modulated by what the whole scan shows.
        """
        fine = attenuation_features(t, self.config)
        seen = []
        for _ in range(STAGES):
            t = halve(t)
            seen.append(attenuation_features(t, self.config))
        with torch.autocast(t.device.type, enabled=False):
            curves, scanner = self.scanner(seen[0].float(), beam.float())
        levels, measured = [], []
        for pixels, attenuation in zip(self.pixels, seen, strict=True):
            own = torch.cat((attenuation, excess_features(attenuation[:, :2], self.config)), 1)
            away = self.scanner.distances(attenuation, curves)
            measured.append(torch.cat((own, away), 1))
            levels.append(pixels(torch.cat((periodic_features(own, self.config), away), 1)))
        shown = levels[2]
        context = self.context(torch.cat((shown.mean((2, 3)), (shown * shown).mean((2, 3)), scanner), 1))
        gains = (1 + context).unflatten(1, (STAGES - 1, -1)).unsqueeze(3).unsqueeze(4).unbind(1)
        modulated = levels[:1] + [level * gain for level, gain in zip(levels[1:], gains, strict=True)]
        return fine, measured[0], modulated, curves

    def _embedding(self, deep: Tensor, cells: Tensor) -> Tensor:
        """(N, D): deep features averaged plainly and by attention, and the mean of the cells'."""
        weight = self.attention(deep).flatten(2).softmax(2)
        attended = (deep.flatten(2) * weight).sum(2)
        return self.describe(torch.cat((deep.mean((2, 3)), attended, cells.mean((2, 3))), 1))

    def judge(self, summary: Summary, said: Tensor, suspected: Tensor) -> tuple[Tensor, Tensor]:
        """Scan-level logits, score (N,) and materials (N, F): what is there, and what of it nobody declared.

        `suspected` is the suspicion of the cells, pooled, (N, POOLED).
        The score sees all evidence once as it is and once without what the declaration leads one to expect:
        a black tub is ordinary in a box of steel tools and odd in one of protein powder.
        """
        with torch.autocast(said.device.type, enabled=False):
            basis = torch.cat((summary.pooled.flatten(1), summary.amounts, summary.embedding), 1)
            materials = summary.pooled[:, 3] + self.family_head(basis)
            known = said.to(basis.dtype) + torch.zeros_like(basis[:, :1])
            unexpected = 1 - known[:, : summary.pooled.shape[2]].unsqueeze(1)
            hidden = (summary.pooled + ABSENT) * unexpected
            score = self.score_head(torch.cat((basis, hidden.flatten(1), known, suspected), 1))[:, 0]
            return score, materials
