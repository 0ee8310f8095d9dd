"""Fit a network on simulated scans, within a time or a number of steps; resumes where it was stopped."""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import lightning
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from leadline.datasets.scan import LeadlineError
from leadline.models.config import NetworkConfig
from leadline.training import progress as lines
from leadline.training.checkpoints import load_checkpoint
from leadline.training.data import Batch, StreamConfig, fixed_batches
from leadline.training.module import Fit, FitConfig, Scenes, share_done
from leadline.training.saving import WholeFiles, explained

_EXPECTED = ("Checkpoint directory .* exists", "Experiment logs directory .* exists", ".*LeafSpec", ".*sync_dist=True")
"""Warnings that say what is meant: a folder is gone on with, and every process validates on the same scans."""


class LastState(Callback):
    """Saves the state at the end of the fit as well, from which a later start goes on, or sees that it is finished.

    Stands before the averaging, which at the end replaces the weights by their mean.
    """

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / "last.ckpt", weights_only=False)


class PlainLines(Callback):
    """Progress where there is no terminal: a line now and then on standard error, as of every other command."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if not trainer.is_global_zero or time.monotonic() - self._told < lines.PLAIN_EVERY_S:
            return
        self._told = time.monotonic()
        loss = float(trainer.callback_metrics.get("fit", float("nan")))
        shown = "" if math.isnan(loss) else f", loss {loss:.3f}"
        click.echo(f"fitting: step {trainer.global_step}, {100 * module.done:.0f} % done{shown}", err=True)


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
        progress: show a progress bar, or plain lines where there is no terminal.
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
    last, final = config.out / "last.ckpt", config.out / "final.ckpt"
    broken = "give --restart to begin anew, or another --out"
    start = load_checkpoint(last, broken) if resume and last.is_file() else None
    if start is not None:
        _same_network(start, config, last)
        if _finished(start, config, final):
            return final
    module = module or Fit(config)
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
        trainer.save_checkpoint(final, weights_only=True)
    return final


def _finished(start: Mapping[str, Any], config: FitConfig, final: Path) -> bool:
    """Whether the fit of a `last.ckpt` has reached its end, and its final checkpoint is there."""
    done = share_done(config, float(start["leadline"]["elapsed"]), int(start["global_step"]))
    return done >= 1 and final.is_file() and load_checkpoint(final)["global_step"] == start["global_step"]


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
            enable_progress_bar=progress and sys.stderr.isatty(),
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=config.out,
        )
    except (MisconfigurationException, ImportError, RuntimeError, TypeError, ValueError) as error:
        raise LeadlineError(
            f"train: accelerator, devices, nodes or strategy cannot be had here ({error}); "
            "change them in the configuration, or leave them out"
        ) from error


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
    found: list[Callback] = [saved, LastState()]
    if config.average:
        # what is kept is the mean: a fit of few steps must begin it early, or it would keep the weights it began with
        start = min(50, config.steps // 4) if config.steps else 50
        found.append(EMAWeightAveraging(decay=config.average, use_buffers=True, update_starting_at_step=start))
    if progress:
        found.append(TQDMProgressBar(refresh_rate=10) if sys.stderr.isatty() else PlainLines())
    return found


def describe(config: FitConfig) -> dict[str, Any]:
    """The configuration as plain values, for the run's record."""
    values = asdict(config)
    values["cores"] = os.cpu_count()
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
