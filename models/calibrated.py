"""What every network of a model file is: logits that are fitted, and calibrated outputs made of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from leadline.datasets.appearance import APPEARANCE
from leadline.models.config import NetworkConfig
from leadline.models.outputs import Outputs, Raw


class Calibrated(nn.Module):
    """`forward` gives the calibrated `Outputs`; `raw` the logits that are fitted.

    Calibration and the novelty measure are buffers, set by `leadline.training.calibrate`.

    Args:
        config: of the network.
        described: length of the embedding of `raw`.
    """

    score_scale: Tensor
    score_bias: Tensor
    family_scale: Tensor
    family_bias: Tensor
    typical: Tensor
    whiten: Tensor
    accepted: Tensor

    def __init__(self, config: NetworkConfig, described: int) -> None:
        super().__init__()
        self.config = config
        self.watched = [config.families.index(name) for name in config.watched]
        families = len(config.families)
        self.register_buffer("score_scale", torch.ones(()))
        self.register_buffer("score_bias", torch.zeros(()))
        self.register_buffer("family_scale", torch.ones(families))
        self.register_buffer("family_bias", torch.zeros(families))
        self.register_buffer("typical", torch.zeros(described))
        self.register_buffer("whiten", torch.eye(described))
        self.register_buffer("accepted", torch.tensor(1e3))

    def forward(
        self, transmission: Tensor, declared: Tensor, beam: Tensor | None = None, appearance: Tensor | None = None
    ) -> Outputs:
        """Calibrated outputs.

        Args:
            transmission: (N, 2, rows, columns), [high, low], raw; any size.
            declared: (N or 1, F + 1) expected families, last 1 = a declaration is known.
            beam: (N or 1, BEAM) nominal energy, see `datasets.beam`; `None` = unknown.
            appearance: (N or 1, APPEARANCE) of the declared goods, see `datasets.appearance`; `None` = unknown.
        """
        look = declared.new_zeros(1, APPEARANCE) if appearance is None else appearance
        each = torch.zeros_like(transmission[:, :1, 0, 0])  # either may be one row for all scans
        raw = self.raw(transmission, torch.cat((declared + each, look + each), 1), beam)
        score, materials = self.calibrated(raw)
        away = (raw.embedding - self.typical) @ self.whiten
        novelty = torch.sqrt((away * away).sum(1) + 1e-12) / self.accepted
        return Outputs(
            torch.sigmoid(score),
            torch.sigmoid(materials),
            torch.sigmoid(raw.evidence),
            torch.expm1(raw.log_areal),
            raw.embedding,
            novelty,
        )

    def calibrated(self, raw: Raw) -> tuple[Tensor, Tensor]:
        """Calibrated logits of score (N,) and materials (N, F)."""
        return raw.score * self.score_scale + self.score_bias, raw.materials * self.family_scale + self.family_bias

    def raw(self, transmission: Tensor, said: Tensor, beam: Tensor | None = None, *, pooled: bool = False) -> Raw:
        """Logits.

        Args:
            transmission: as for `forward`.
            said: (N or 1, F + 1 + APPEARANCE), `declared` and `appearance` of `forward`.
            beam: as for `forward`.
            pooled: the transmission has been through `pool_pixels`.
        """
        raise NotImplementedError

    def begin(self, curves: Tensor) -> None:
        """Let a new network expect these contrast curves of a scanner, (R, K), before it has learned anything."""
        raise NotImplementedError
