"""From a checkpoint to a released model: calibrate, export, compare, measure, write the card."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from leadline.datasets.materials import use_catalogue
from leadline.models import contract as contracts
from leadline.models.export import draft_contract, export
from leadline.training import calibrate as calibration
from leadline.training.checkpoints import load_checkpoint, network_from
from leadline.training.evaluate import evaluate
from leadline.training.measure import Task
from leadline.training.record import Told, measured
from leadline.training.report import as_json, card
from leadline.training.rows import Row

SETTLING_SEED = 7000
"""Set of scenes, in the validation split, on which models are calibrated."""


def export_checkpoint(
    checkpoint: Path,
    target: Path,
    *,
    version: str = "0.1.0",
    scenes: int = 1500,
    processes: int = 1,
    training: dict[str, Any] | None = None,
    told: Told | None = None,
) -> contracts.ModelContract:
    """Calibrate a checkpoint and write it as one ONNX file that agrees with PyTorch.

    Args:
        checkpoint: of `leadline train`.
        target: the ONNX file.
        version: of the model.
        scenes: of the validation split, for the calibration.
        processes: that simulate and measure.
        training: how it was made, for the contract; by default what the checkpoint and its folder say.
        told: is told of the scenes that are measured.

    Returns:
        The contract in the file.
    """
    made = load_checkpoint(checkpoint)
    use_catalogue(made["leadline"].get("watch_list", ""))  # scenes and contract by what it was fitted on
    network = network_from(made)
    config = network.config
    task = Task(checkpoint, config.kind, "validation", SETTLING_SEED)
    more = max(scenes // 4, 20)
    count = None if told is None else lambda done, _: told(done, scenes + more)
    rows = _measured(task, range(scenes), processes, count)
    evidence = calibration.evidence_threshold(rows)
    settled = calibration.calibrate(rows)
    calibration.apply(network, settled)
    # Places and masses depend on the evidence threshold: measured once it is known, on other scenes.
    count = None if told is None else lambda done, _: told(scenes + done, scenes + more)
    again = _measured(replace(task, evidence_threshold=evidence), range(scenes, scenes + more), processes, count)
    limit = _logit(settled.thresholds["0.01"], settled.score)
    masses = calibration.mass_factors([r for r in again if r.threat and r.logit >= limit])
    contract = draft_contract(
        config,
        version=version,
        thresholds=settled.thresholds,
        evidence_threshold=evidence,
        mass_factor=masses,
        training=training if training is not None else describe(checkpoint, made),
    )
    export(network, target, contract)
    return contract


def _measured(task: Task, numbers: range, processes: int, told: Told | None) -> list[Row]:
    """Rows of simulated scenes; nothing is kept on disk."""
    return [row for row in measured(task, numbers, None, {}, processes=processes, told=told) if isinstance(row, Row)]


def release(
    checkpoint: Path,
    folder: Path,
    *,
    version: str = "0.1.0",
    calibration_scenes: int = 1500,
    scenes: int = 2000,
    seed: int = 1000,
    processes: int = 1,
    told: Told | None = None,
) -> dict[str, Any]:
    """Export a checkpoint into a folder of released models, measured and with its card.

    Writes KIND.onnx, KIND.json, KIND.md and SHA256SUMS.

    Returns:
        The figures.
    """
    kind = network_from(load_checkpoint(checkpoint)).config.kind
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{kind}.onnx"
    contract = export_checkpoint(
        checkpoint, target, version=version, scenes=calibration_scenes, processes=processes, told=told
    )
    return finish(target, contract, scenes=scenes, seed=seed, processes=processes, told=told)


def finish(
    target: Path,
    contract: contracts.ModelContract,
    *,
    scenes: int,
    seed: int,
    processes: int,
    told: Told | None = None,
) -> dict[str, Any]:
    """Measure an exported file and write contract, card and checksums. Returns the figures."""
    found = evaluate(target, scenes=scenes, seed=seed, processes=processes, told=told)
    contract = replace(contract, metrics=summary(found))
    contracts.write(target, contract)
    digest = contracts.sha256(target)
    record = json.loads(contract.to_json()) | {"sha256": digest, "figures": found}
    target.with_suffix(".json").write_text(as_json(record), "utf-8")
    target.with_suffix(".md").write_text(card(contract, found, digest), "utf-8")
    contracts.write_sums(target.parent)
    return found


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """The few figures that travel in the model file itself."""
    network = found["methods"]["network"]
    return {
        "set": found["set"],
        "auc": network["all"]["auc"],
        "auc_allowed_by_physics": network["allowed_by_physics"]["auc"],
        "found_allowed_by_physics": network["allowed_by_physics"]["found"],
        "pairs_won": network["pairs_won"],
        "calibration_error": found["calibration_error"],
    }


def describe(checkpoint: Path, made: dict[str, Any]) -> dict[str, Any]:
    """How a checkpoint was made: its own record, and `run.json` beside it where there is one."""
    record = checkpoint.with_name("run.json")
    run = json.loads(record.read_text("utf-8")) if record.is_file() else {}
    return {
        "seed": made["leadline"]["seed"],
        "scans": made["leadline"]["scans"],
        "steps": int(made.get("global_step", 0)),
        "hours": round(made["leadline"]["elapsed"] / 3600, 3),
        "machine": run.get("machine", machine()),
        "command": run.get("command", ""),
        "commit": run.get("commit", ""),
    }


def machine() -> str:
    """The computer in words."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {_processor()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def commit() -> str:
    """The commit of the working tree that this package lies in; empty outside one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).resolve().parent, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _logit(score: float, affine: calibration.Affine) -> float:
    """The uncalibrated logit of a calibrated score."""
    from math import log

    return (log(score / (1 - score)) - affine.bias) / affine.scale
