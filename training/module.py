"""What is fitted: the network with its losses and its learning rate, and the scans it learns from."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics.classification import BinaryAUROC

from leadline.datasets.materials import catalogue
from leadline.models.config import NetworkConfig
from leadline.models.ensemble import build
from leadline.training.data import Batch, StreamConfig, loader
from leadline.training.losses import LossConfig, losses
from leadline.training.targets import typical_curves


@dataclass(frozen=True)
class FitConfig:
    """One fit.

    Attributes:
        network: what is fitted.
        out: folder of checkpoints and logs.
        seed: of weights, scenes and augmentations.
        minutes: wall-clock limit; 0 = none.
        steps: limit of optimiser steps; 0 = none.
        batch: scans a step.
        workers: processes that make scans.
        threads: of torch.
        scenes: different scenes that are kept on disk and reused; 0 = endless.
        cache: folder of those.
        reuse: how often each scan is fed.
        canvas: rows and columns, pixels; (0, 0) = the kind's own.
        learning_rate: peak.
        weight_decay: of AdamW.
        warm_up: share of the fit until the peak.
        average: decay of the running mean of the weights, which is what is kept; 0 = none.
        validation: scans that are watched while fitting.
        validate_every: steps between validations.
        save_minutes: between checkpoints.
        bf16: compute in bfloat16 where that is safe.
        tensorboard: also log for TensorBoard.
        loss: weights of the loss.
        accelerator, devices, nodes, strategy: Lightning's own words; "auto" takes all GPUs of this machine, or else
            its processor.
    """

    network: NetworkConfig
    out: Path
    seed: int = 0
    minutes: float = 0.0
    steps: int = 0
    batch: int = 16
    workers: int = 1
    threads: int = 1
    scenes: int = 0
    cache: Path | None = None
    reuse: float = 1.5
    canvas: tuple[int, int] = (0, 0)
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warm_up: float = 0.04
    average: float = 0.995
    validation: int = 64
    validate_every: int = 250
    save_minutes: float = 2.0
    bf16: bool = True
    tensorboard: bool = False
    loss: LossConfig = field(default_factory=LossConfig)
    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1
    strategy: str = "auto"


class Fit(lightning.LightningModule):
    """The network with its losses. What has been done is kept in its checkpoints."""

    def __init__(self, config: FitConfig) -> None:
        super().__init__()
        self.config = config
        self.network = build(config.network).to(memory_format=torch.channels_last)
        self.network.begin(torch.from_numpy(typical_curves(config.network)))
        self.elapsed = 0.0
        self.scans = 0
        self._clock: float | None = None
        self.auc = BinaryAUROC()

    @property
    def done(self) -> float:
        """Share of the fit that is done, see `share_done`."""
        return share_done(self.config, self.elapsed, self.global_step)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        c = self.config
        plain = [p for p in self.network.parameters() if p.ndim < 2]
        weights = [p for p in self.network.parameters() if p.ndim >= 2]
        groups = [{"params": weights, "weight_decay": c.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=c.learning_rate, betas=(0.9, 0.98))

    def on_train_start(self) -> None:
        self._clock = time.monotonic()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate: linear to the peak, then half a cosine down to a hundredth of it.

        It follows the share of time that has gone where the fit is limited by time, so that a fit
        ends settled on a slow machine as well.
        """
        now = time.monotonic()
        if self._clock is not None:
            self.elapsed += now - self._clock
        self._clock = now
        if self.trainer.world_size > 1:  # one clock: all learn at the same rate and stop at the same step
            self.elapsed = float(self.trainer.strategy.broadcast(self.elapsed))
        rate = self.config.learning_rate * schedule(self.done, self.config.warm_up)
        optimizers = self.optimizers()
        for group in (optimizers[0] if isinstance(optimizers, list) else optimizers).param_groups:
            group["lr"] = rate

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        parts = losses(self._raw(batch), batch, self.network.watched, self.config.loss)
        self.scans += len(batch["twin"]) * self.trainer.world_size
        self.log_dict(parts, prog_bar=False, batch_size=len(batch["twin"]))
        self.log("fit", parts["loss"], prog_bar=True, batch_size=1)
        return parts["loss"]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self.done >= 1.0:
            self.trainer.should_stop = True

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        raw = self._raw(batch)
        parts = losses(raw, batch, self.network.watched, self.config.loss)
        self.auc.update(raw.score, batch["undeclared"].int())
        self.log("val_loss", parts["loss"], prog_bar=True, batch_size=len(batch["twin"]))
        for name, part in parts.items():
            if name != "loss":
                self.log(f"val_{name}", part, batch_size=len(batch["twin"]))

    def on_validation_epoch_end(self) -> None:
        self.log("val_auc", self.auc.compute(), prog_bar=True)
        self.auc.reset()

    def _raw(self, batch: Batch) -> Any:
        t = batch["transmission"].contiguous(memory_format=torch.channels_last)
        return self.network.raw(t, batch["said"], batch["beam"], pooled=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["leadline"] = {
            "network": self.network.config.to_dict(),
            "elapsed": self.elapsed,
            "scans": self.scans,
            "seed": self.config.seed,
            "watch_list": catalogue().text,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.elapsed = float(checkpoint["leadline"]["elapsed"])
        self.scans = int(checkpoint["leadline"]["scans"])


class Scenes(lightning.LightningDataModule):
    """The scans of a fit; each of several processes gets its own scenes to learn from, and all of those to watch.

    Args:
        stream: of the scans.
        workers: processes that make them, for each process that fits.
        watched: batches for validation.
    """

    def __init__(self, stream: StreamConfig, workers: int, watched: list[Batch]) -> None:
        super().__init__()
        self.stream, self.workers, self.watched = stream, workers, watched

    def train_dataloader(self) -> Any:
        assigned = self.trainer
        rank, ranks = (assigned.global_rank, assigned.world_size) if assigned else (0, 1)
        return loader(replace(self.stream, rank=rank, ranks=ranks), self.workers)

    def val_dataloader(self) -> Any:
        return DataLoader(self.watched, batch_size=None)  # type: ignore[arg-type]


def share_done(config: FitConfig, elapsed: float, steps: int) -> float:
    """Share of a fit that is done after so many seconds and steps, 0..1, by whichever limit is nearer."""
    by_time = elapsed / (60 * config.minutes) if config.minutes else 0.0
    by_steps = steps / config.steps if config.steps else 0.0
    return min(max(by_time, by_steps), 1.0)


def schedule(done: float, warm_up: float) -> float:
    """Share of the peak learning rate after a share `done` of the fit."""
    if done < warm_up:
        return 0.02 + 0.98 * done / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))
