"""Fit a model on to labelled scans of one's own, with simulated scans replayed beside them, and tell what it forgot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from leadline.datasets.materials import catalogue, use_catalogue
from leadline.datasets.scan import Declaration, FileError, LeadlineError
from leadline.models.calibrated import Calibrated
from leadline.models.config import NetworkConfig
from leadline.models.restore import widen
from leadline.training import forgetting, forgetting_report
from leadline.training.base import Base, base_model
from leadline.training.checkpoints import load_checkpoint, network_from
from leadline.training.config import FinetuneTable, TrainConfig
from leadline.training.data import Batch, StreamConfig
from leadline.training.fit import fit
from leadline.training.labelled import Specimen, read_labels
from leadline.training.losses import losses
from leadline.training.module import Fit, FitConfig, Scenes
from leadline.training.own import Checked, Own, OwnBatch, check, counted, part
from leadline.training.page import write
from leadline.training.report import as_json
from leadline.training.run import begin, ended, is_first


class OnwardFit(Fit):
    """A fit that goes on from given weights, with own scans beside simulated ones.

    Normalisations keep their statistics: a few dozen scans of one scanner would replace what they learned from
    thousands.

    Args:
        config: of the fit.
        network: to go on from.
        share: of the loss that comes from own scans, 0..1.
    """

    def __init__(self, config: FitConfig, network: Calibrated, share: float) -> None:
        super().__init__(config)
        self.network.load_state_dict(network.state_dict())
        self.share = share
        self.train()  # Lightning keeps the modes that it finds

    def train(self, mode: bool = True) -> OnwardFit:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
        return self

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        total = torch.zeros((), device=self.device)
        if (own := batch.get("own")) is not None:
            found = own_loss(self._raw(own), own)
            self.log("own", found, prog_bar=True, batch_size=1)
            total = total + self.share * found
        if (replay := batch.get("replay")) is not None:
            parts = losses(self._raw(replay), replay, self.network.watched, self.config.loss)
            self.scans += len(replay["twin"]) * self.trainer.world_size
            self.log("replay", parts["loss"], prog_bar=True, batch_size=1)
            total = total + (1 - self.share) * parts["loss"]
        return total


def own_loss(raw: Any, batch: OwnBatch) -> Tensor:
    """Binary cross-entropy of the score, and half of that of the families whose presence the label tells."""
    score = functional.binary_cross_entropy_with_logits(raw.score, batch["undeclared"])
    told = torch.isfinite(batch["present"])
    target = torch.nan_to_num(batch["present"])
    families = functional.binary_cross_entropy_with_logits(raw.materials, target, reduction="none") * told
    return score + 0.5 * families.sum() / told.sum().clamp(min=1)


class OwnAndReplay(Scenes):
    """Batches of own scans beside simulated ones; `own` and `replay` scans of each."""

    def __init__(
        self, stream: StreamConfig, workers: int, watched: list[Batch], scans: Sequence[Checked], own: int, replay: int
    ) -> None:
        super().__init__(replace(stream, batch=max(replay, 1)), workers, watched)
        self.scans, self.own, self.replay = scans, own, replay

    def train_dataloader(self) -> CombinedLoader:
        rank = self.trainer.global_rank if self.trainer else 0
        c = self.stream
        stream = Own(self.scans, c.network, c.pooled_canvas, self.own, c.seed + 7919 * rank + c.first)
        parts: dict[str, Any] = {"own": DataLoader(stream, batch_size=None)}
        if self.replay:
            parts["replay"] = super().train_dataloader()
        return CombinedLoader(parts, mode="min_size")


def finetune(config: TrainConfig, *, command: str, restart: bool, progress: bool) -> Path:
    """Fit a model on as configured; ends with `OUT/final.ckpt` and the forgetting report beside it.

    Raises:
        LeadlineError: something the user can mend.
    """
    table = config.finetune or FinetuneTable()
    base = base_model(table.model, config.kind)
    if any(value is not None for value in config.network.model_dump().values()):  # type: ignore[attr-defined]
        raise LeadlineError(
            "network: cannot be chosen, the model that is fitted on has its shape; leave the table out, "
            "or begin from the preset finetune"
        )
    if config.fit.begin:
        raise LeadlineError(
            "fit.begin: fine-tuning begins from finetune.model; name the model there, and leave begin out"
        )
    if config.fit.heads:
        raise LeadlineError(
            "fit.heads: heads are refitted on simulated scans alone, not in fine-tuning; write heads = 0"
        )
    if not config.materials:
        use_catalogue(base.watch_list)
    kind = base.network.config.kind
    if config.kind not in (None, kind):
        raise FileError(base.path, f"is a model for {kind} scans, and kind is {config.kind}", f'write kind = "{kind}"')
    cat = catalogue()
    wanted = replace(base.network.config, families=cat.names, watched=cat.watched)
    network = widen(base.network, wanted)
    made = config.fit_config(wanted, os.cpu_count() or 1)
    if not table.data:
        raise LeadlineError("finetune.data: is not said; give the folder of your labelled scans with --data")
    specimens = read_labels(Path(table.data), form=table.set, classes=table.classes, pseudocolour=table.pseudocolour)
    fitted, held = part(check(specimens, kind, progress), table.hold_back)
    inputs = {"begun_from": base.about(), "scans": scans_of(fitted, held)}
    begin(config, made, command=command, restart=restart, inputs=inputs)
    replay = round(config.fit.batch * table.replay)
    own = max(config.fit.batch - replay, 2)
    final = fit(
        made,
        resume=not restart,
        progress=progress,
        module=OnwardFit(made, network, 1 - table.replay),
        scans=lambda stream, watched: OwnAndReplay(stream, made.workers, watched, fitted, own, replay),
    )
    if is_first():
        ended(made.out, final)
        tell(base, final, wanted, [s.specimen for s in held], table, counted(fitted), command)
    return final


def scans_of(fitted: Sequence[Checked], held: Sequence[Checked]) -> dict[str, dict[str, str]]:
    """What a run's folder notes of one's own scans, by path: content, label, declaration, side."""
    return {
        str(one.specimen.path.absolute()): {
            "sha256": one.sha256,
            "label": " ".join(filter(None, ("threat" if one.specimen.positive else "honest", one.specimen.family))),
            "declared": _words(one.specimen.declaration),
            "side": side,
        }
        for side, scans in (("fitted on", fitted), ("held back", held))
        for one in scans
    }


def _words(declared: Declaration | None) -> str:
    return " ".join(filter(None, (declared.hs_code, declared.description))) if declared else ""


def tell(
    base: Base,
    final: Path,
    config: NetworkConfig,
    held: Sequence[Specimen],
    table: FinetuneTable,
    fitted: str,
    command: str,
) -> None:
    """Write the forgetting report beside the final checkpoint, and print its table."""
    import click

    new = network_from(load_checkpoint(final))
    pairs = forgetting.measure(base.network, new, config, table.scenes, held)
    figures = forgetting.figures(pairs, table.false_alarms)
    figures |= {"old": str(base.path), "new": str(final), "fitted_on": fitted, "command": command}
    write(final.with_name("forgetting.json"), as_json(figures))
    threshold = forgetting_report.threshold_of(base.path)
    pictures = forgetting_report.pictures(figures, base.network, new, held, threshold)
    write(final.with_name("forgetting.html"), forgetting_report.as_page(figures, pictures))
    click.echo(forgetting_report.as_table(figures))
    click.echo(f"{final.with_name('forgetting.html')}: what was forgotten and what was learned")
