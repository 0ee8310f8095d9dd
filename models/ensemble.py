"""Several networks in one: of one shape, each on blocks of its own size, and their logits averaged.

A network on small blocks sees thin things and edges; one on large blocks averages more pixels, and sees contrasts that
are lost in the noise of the small ones. They err on different scans.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from leadline.models.calibrated import Calibrated
from leadline.models.config import NetworkConfig
from leadline.models.features import halve, pool_pixels
from leadline.models.network import Network
from leadline.models.outputs import Raw


class Ensemble(Calibrated):
    """The mean of a network with blocks of `config.pool` pixels and of those with `config.coarser`.

    Scores and materials are averaged as the members' own calibrations have them, so that none counts for more because
    its logits spread more. Cells are those of the finest member; the embedding is all members' side by side.
    """

    def __init__(self, config: NetworkConfig) -> None:
        pools = (config.pool, *config.coarser)
        super().__init__(config, len(pools) * config.embedding)
        self.members = nn.ModuleList(Network(replace(config, pool=pool, coarser=())) for pool in pools)

    def raw(self, transmission: Tensor, said: Tensor, beam: Tensor | None = None, *, pooled: bool = False) -> Raw:
        """Averaged logits; arguments as for `Calibrated.raw`."""
        fine = transmission if pooled else pool_pixels(transmission, self.config)
        found = []
        for member in self._networks():
            times = member.config.pool // self.config.pool
            raw = member.raw(halve(fine, times) if times > 1 else fine, said, beam, pooled=True)
            score, materials = member.calibrated(raw)
            found.append((raw._replace(score=score, materials=materials), times))
        rows, columns = found[0][0].evidence.shape[2:]

        def mean(name: str) -> Tensor:
            return torch.stack([getattr(raw, name) for raw, _ in found]).mean(0)

        def on_cells(name: str) -> Tensor:
            maps = [(getattr(raw, name), times) for raw, times in found]
            spread = [functional.interpolate(m, scale_factor=float(times), mode="nearest") for m, times in maps[1:]]
            return torch.stack([maps[0][0], *(m[:, :, :rows, :columns] for m in spread)]).mean(0)

        return Raw(
            mean("score"),
            mean("materials"),
            on_cells("evidence"),
            on_cells("log_areal"),
            torch.cat([raw.embedding for raw, _ in found], 1),
            on_cells("suspicion"),
            mean("curves"),
        )

    def _networks(self) -> list[Network]:
        return list(self.members)  # type: ignore[arg-type]

    def begin(self, curves: Tensor) -> None:
        for member in self._networks():
            member.begin(curves)


def build(config: NetworkConfig) -> Calibrated:
    """A new network of the given shape."""
    return Ensemble(config) if config.coarser else Network(config)
