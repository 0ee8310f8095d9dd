"""Refit suspicion and scan-level heads of a fitted network: many scans, each under many declarations.

What a declaration means for a scan (lead under "lead", a black tub under "protein powder") is learned from pairs of
scan and declaration. The image costs nearly all of the computation and does not depend on the declaration, so the
rest of the network looks at fresh scans once, and the two small heads are fitted on what it saw, over and over.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from leadline.models import contract as contracts
from leadline.models.network import Network
from leadline.models.outputs import Summary
from leadline.training.checkpoints import load_checkpoint, member_from
from leadline.training.looking import HEADS_SEED, SUSPICION_SEED, Seen, cells_in, look, seen_in
from leadline.training.losses import pair_shortfall
from leadline.training.model_files import work_folder
from leadline.training.progress import Progress
from leadline.training.provenance import commit, data_hashes
from leadline.training.suspicion import Cells, fit_suspicion

_HELD_BACK = 0.15  # share of the scenes that choose the epoch


def refit(
    checkpoint: Path, target: Path, *, scenes: int, processes: int = 1, epochs: int = 60, progress: bool = False
) -> Path:
    """Let the suspicion of a checkpoint's network learn on, fit new heads for it, and write it with them.

    The same call goes on where an interrupted one was; of a target that is done it does nothing.

    Args:
        checkpoint: of `leadline train`.
        target: checkpoint to write.
        scenes: fresh scenes to fit heads on; half as many others serve the suspicion.
        processes: that simulate.
        epochs: at most; the best on scenes held back is kept.
        progress: show how many scenes have been looked at.

    Returns:
        `target`.
    """
    made = load_checkpoint(checkpoint)
    of = {"head_scenes": scenes, "heads_of": contracts.sha256(checkpoint)}
    if target.is_file() and of.items() <= load_checkpoint(target)["leadline"].items():
        return target
    made["leadline"] |= of
    scenes = max(2, scenes)  # one to fit on, one to hold back
    others = scenes // 2
    interim = target.with_name("suspicion.ckpt")  # `target` appears only with its heads
    with (
        work_folder(target, of | {"commit": commit(), "data": data_hashes()}) as kept,
        Progress("looking at scenes for suspicion and heads") as shown,
    ):

        def tick(done: int) -> None:
            if progress:
                shown.told(shown.done + done, others + scenes)

        cells = look(checkpoint, others, SUSPICION_SEED, processes, cells_in, Cells, kept, tick)
        network = fit_suspicion(member_from(made), cells)
        _write(made, network, interim)
        seen = look(interim, scenes, HEADS_SEED, processes, seen_in, Seen, kept, tick)
        _write(made, fit_heads(network, seen, epochs), target)
    interim.unlink()
    return target


def _write(made: dict[str, Any], network: Network, target: Path) -> None:
    """The checkpoint `made` with the network's weights; whole or not at all."""
    kept = {key: made[key] for key in ("leadline", "global_step") if key in made}
    part = target.with_name(target.name + ".part")
    torch.save(kept | {"state_dict": {f"network.{k}": v for k, v in network.state_dict().items()}}, part)
    part.replace(target)


def fit_heads(network: Network, seen: list[Seen], epochs: int, *, seed: int = 0) -> Network:
    """A copy of a network with heads fitted on what it has seen."""
    torch.manual_seed(seed)
    network = copy.deepcopy(network)
    heads = torch.nn.ModuleList([network.score_head, network.family_head])
    for module in heads.modules():
        if isinstance(module, torch.nn.Linear):
            module.reset_parameters()
    rows = Seen(*(torch.stack(part) for part in zip(*seen, strict=True)))
    scenes = torch.unique(rows.scene)
    held = torch.isin(rows.scene, scenes[-max(1, int(_HELD_BACK * len(scenes))) :])
    batches = DataLoader(TensorDataset(*(part[~held] for part in rows)), batch_size=256, shuffle=True)
    optimizer = torch.optim.AdamW(heads.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max(epochs * len(batches), 2))
    best, kept = float("inf"), copy.deepcopy(heads.state_dict())
    for _ in range(epochs):
        heads.train()
        for batch in batches:
            optimizer.zero_grad()
            loss = _loss(network, Seen(*batch))
            loss.backward()
            optimizer.step()
            schedule.step()
        heads.eval()
        with torch.inference_mode():
            now = float(_loss(network, Seen(*(part[held] for part in rows))))
        if now < best:
            best, kept = now, copy.deepcopy(heads.state_dict())
    heads.load_state_dict(kept)
    return network.eval()


def _loss(network: Network, rows: Seen) -> Tensor:
    """As declared counts most; withheld and confessed declarations a little; twins should come apart."""
    summary = Summary(rows.pooled, rows.amounts, rows.embedding)
    total = torch.zeros(())
    for version, weight in enumerate((0.8, 0.1, 0.1)):
        score, materials = network.judge(summary, rows.said[:, version], rows.suspected[:, version])
        total = total + weight * functional.binary_cross_entropy_with_logits(score, rows.label[:, version])
        if version == 0:
            total = total + 0.2 * functional.binary_cross_entropy_with_logits(materials, rows.present)
            same = rows.scene[:, None] == rows.scene[None, :]
            ranked = same & (rows.label[:, 0][:, None] > rows.label[:, 0][None, :])
            threat, honest = torch.nonzero(ranked, as_tuple=True)
            total = total + 0.1 * pair_shortfall(score[threat] - score[honest], margin=2.0)
    return total
