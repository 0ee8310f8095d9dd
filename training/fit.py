"""Fit a network on simulated scans, within a time or a number of steps; resumes where it was stopped."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics.classification import BinaryAUROC

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import LeadlineError
from leadline.models.config import NetworkConfig
from leadline.models.network import Network
from leadline.training.data import Batch, StreamConfig, fixed_batches, loader
from leadline.training.losses import LossConfig, losses
from leadline.training.saving import WholeFiles, explained
from leadline.training.targets import typical_curves

_EXPECTED = ("Checkpoint directory .* exists", "Experiment logs directory .* exists", ".*LeafSpec", ".*sync_dist=True")
"""Warnings that say what is meant: a folder is gone on with, and every process validates on the same scans."""


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
        self.network = Network(config.network).to(memory_format=torch.channels_last)
        self.network.scanner.begin(torch.from_numpy(typical_curves(config.network)))
        self.elapsed = 0.0
        self.scans = 0
        self._clock: float | None = None
        self.auc = BinaryAUROC()

    @property
    def done(self) -> float:
        """Share of the fit that is done, 0..1, by whichever limit is nearer."""
        c = self.config
        by_time = self.elapsed / (60 * c.minutes) if c.minutes else 0.0
        by_steps = self.global_step / c.steps if c.steps else 0.0
        return min(max(by_time, by_steps), 1.0)

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


def schedule(done: float, warm_up: float) -> float:
    """Share of the peak learning rate after a share `done` of the fit."""
    if done < warm_up:
        return 0.02 + 0.98 * done / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


def fit(
    config: FitConfig,
    *,
    resume: bool = True,
    progress: bool = True,
    module: Fit | None = None,
    scans: Callable[[StreamConfig, list[Batch]], lightning.LightningDataModule] | None = None,
) -> Path:
    """Fit a network, or go on with the fit in `config.out`.

    Args:
        config: the fit.
        resume: go on from `last.ckpt` where there is one; otherwise begin anew.
        progress: show a progress bar.
        module: what is fitted; by default a new network.
        scans: makes what it learns from, out of the stream of simulated scans and the batches to watch.

    Returns:
        The final checkpoint, `config.out / "final.ckpt"`.

    Raises:
        LeadlineError: neither time nor steps are limited, the folder holds a fit of another network, or nothing more
            can be written there. What was saved stays, and the same call goes on from it.
    """
    if not config.minutes and not config.steps:
        raise LeadlineError("train: no end; give --minutes or --steps")
    torch.set_num_threads(config.threads)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    config.out.mkdir(parents=True, exist_ok=True)
    last = config.out / "last.ckpt"
    start = load_checkpoint(last) if resume and last.is_file() else None
    module = module or Fit(config)
    if start is not None:
        _same_network(start, config, last)
    stream = StreamConfig(
        config.network,
        seed=config.seed,
        scenes=config.scenes,
        folder=config.cache,
        first=2 * int(start["leadline"]["scans"]) if start is not None else 0,
        batch=config.batch,
        reuse=config.reuse,
        canvas=config.canvas,
    )
    with explained(config.out), warnings.catch_warnings():
        for expected in _EXPECTED:
            warnings.filterwarnings("ignore", expected)
        trainer = _trainer(config, progress)
        watched = fixed_batches(replace(stream, split="validation", scenes=0, first=0), config.validation)
        trainer.fit(
            module,
            datamodule=scans(stream, watched) if scans else Scenes(stream, config.workers, watched),
            ckpt_path=str(last) if start is not None else None,
            weights_only=True,
        )
        final = config.out / "final.ckpt"
        trainer.save_checkpoint(final, weights_only=True)
    return final


def _trainer(config: FitConfig, progress: bool) -> lightning.Trainer:
    cuda = torch.cuda.is_available()
    try:
        return lightning.Trainer(
            accelerator="cpu" if config.accelerator == "auto" and not cuda else config.accelerator,
            devices=1 if config.devices == "auto" and not cuda else config.devices,
            num_nodes=config.nodes,
            strategy=config.strategy,
            precision="bf16-mixed" if config.bf16 else "32-true",
            max_steps=config.steps or -1,
            max_epochs=-1,
            val_check_interval=config.validate_every if config.validation else None,
            check_val_every_n_epoch=None,
            limit_val_batches=1.0 if config.validation else 0,
            num_sanity_val_steps=0,
            gradient_clip_val=2.0,
            log_every_n_steps=10,
            logger=_loggers(config),
            callbacks=_callbacks(config, progress),
            plugins=[WholeFiles()],
            enable_progress_bar=progress,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=config.out,
        )
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise LeadlineError(
            f"train: accelerator, devices, nodes or strategy cannot be had here ({error}); "
            "change them in the configuration, or leave them out"
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's contents; tensors and plain values only, no code is run.

    Raises:
        LeadlineError: not a checkpoint of leadline.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise LeadlineError(f"{path}: no such checkpoint; `leadline train` writes them") from error
    except Exception as error:  # torch raises many types for a broken file
        raise LeadlineError(f"{path}: not a readable checkpoint ({error}); take another one") from error
    if not isinstance(checkpoint, dict) or "leadline" not in checkpoint or "state_dict" not in checkpoint:
        raise LeadlineError(f"{path}: not a checkpoint of leadline; give one that `leadline train` has written")
    return checkpoint


def network_from(checkpoint: Mapping[str, Any]) -> Network:
    """The network of a checkpoint, with averaged weights where the fit averaged them."""
    network = Network(NetworkConfig.from_dict(checkpoint["leadline"]["network"]))
    prefix = "network."
    network.load_state_dict(
        {key.removeprefix(prefix): value for key, value in checkpoint["state_dict"].items() if key.startswith(prefix)}
    )
    return network.eval()


def _same_network(start: Mapping[str, Any], config: FitConfig, path: Path) -> None:
    if NetworkConfig.from_dict(start["leadline"]["network"]) != config.network:
        raise LeadlineError(f"{path}: a fit of another network; give another --out or --restart")


def _loggers(config: FitConfig) -> list:
    """Lightning's loggers; the log of an earlier start is kept under a number."""
    log = config.out / "log" / "metrics.csv"
    if log.is_file() and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        log.rename(log.with_name(f"metrics-{len(list(log.parent.glob('metrics*.csv')))}.csv"))
    csv = CSVLogger(config.out, name="log", version="")
    return [csv, TensorBoardLogger(config.out, name="tensorboard", version="")] if config.tensorboard else [csv]


def _callbacks(config: FitConfig, progress: bool) -> list[Callback]:
    saved = ModelCheckpoint(
        config.out,
        filename="last",
        save_top_k=1,
        enable_version_counter=False,
        train_time_interval=timedelta(minutes=config.save_minutes),
    )
    found: list[Callback] = [saved]
    if config.average:
        # what is kept is the mean: a fit of few steps must begin it early, or it would keep the weights it began with
        start = min(50, config.steps // 4) if config.steps else 50
        found.append(EMAWeightAveraging(decay=config.average, use_buffers=True, update_starting_at_step=start))
    if progress:
        found.append(TQDMProgressBar(refresh_rate=10))
    return found


def describe(config: FitConfig) -> dict[str, Any]:
    """The configuration as plain values, for the run's record."""
    values = asdict(config)
    values["cores"] = os.cpu_count()
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
