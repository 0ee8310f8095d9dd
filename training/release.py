"""From a checkpoint to a released model: calibrate, export, compare, measure, write the card."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from leadline.datasets.materials import use_catalogue
from leadline.models import contract as contracts
from leadline.models.export import draft_contract, export
from leadline.training import calibrate as calibration
from leadline.training.checkpoints import load_checkpoint, network_from
from leadline.training.evaluate import Wanted
from leadline.training.evaluate import run as measure
from leadline.training.kept_rows import kept_rows
from leadline.training.measure import Task
from leadline.training.model_files import check_target, work_folder, writing
from leadline.training.page import write
from leadline.training.provenance import commit, data_hashes, machine
from leadline.training.record import Told
from leadline.training.report import as_json, card

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
    told: Told = lambda done, total: None,
) -> contracts.ModelContract:
    """Calibrate a checkpoint and write it as one ONNX file that agrees with PyTorch.

    The same call goes on where an interrupted one was.

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

    Raises:
        LeadlineError: the checkpoint cannot be used, or the target may not or cannot be written.
    """
    made = load_checkpoint(checkpoint)
    check_target(checkpoint, target)
    with writing(target), work_folder(target, _about(checkpoint, made, version, scenes)) as work:
        draft = work / target.name
        described = describe(checkpoint, made) if training is None else training
        contract = _settle(checkpoint, made, draft, version, scenes, processes, described, told)
        os.replace(draft, target)
    return contract


def _about(checkpoint: Path, made: dict[str, Any], version: str, scenes: int) -> dict[str, Any]:
    """What an export follows from; the watch list that the checkpoint was fitted on is in use afterwards."""
    use_catalogue(made["leadline"].get("watch_list", ""))  # scenes and contract by what it was fitted on
    digest = contracts.sha256(checkpoint)
    return {"checkpoint": digest, "version": version, "scenes": scenes, "commit": commit(), "data": data_hashes()}


def _settle(
    checkpoint: Path,
    made: dict[str, Any],
    draft: Path,
    version: str,
    scenes: int,
    processes: int,
    training: dict[str, Any],
    told: Told,
) -> contracts.ModelContract:
    """Calibrate on fresh scenes, whose rows are kept beside the draft, and export."""
    network = network_from(made)
    config = network.config
    task = Task(checkpoint, config.kind, "validation", SETTLING_SEED)
    more = max(scenes // 4, 20)
    whole = scenes + more
    rows = kept_rows(
        task, range(scenes), draft.with_name("calibration.jsonl"), processes=processes,
        told=lambda done, _: told(done, whole),
    )  # fmt: skip
    evidence = calibration.evidence_threshold(rows)
    settled = calibration.calibrate(rows)
    calibration.apply(network, settled)
    # Places and masses depend on the evidence threshold: measured once it is known, on other scenes.
    again = kept_rows(
        replace(task, evidence_threshold=evidence), range(scenes, whole), draft.with_name("masses.jsonl"),
        processes=processes, told=lambda done, _: told(scenes + done, whole),
    )  # fmt: skip
    limit = _logit(settled.thresholds["0.01"], settled.score)
    contract = draft_contract(
        config,
        version=version,
        thresholds=settled.thresholds,
        evidence_threshold=evidence,
        mass_factor=calibration.mass_factors([r for r in again if r.threat and r.logit >= limit]),
        training=training,
    )
    export(network, draft, contract)
    return contract


def release(
    checkpoint: Path,
    folder: Path,
    *,
    version: str,
    calibration_scenes: int = 1500,
    scenes: int = 2000,
    seed: int = 1000,
    processes: int = 1,
    told: Told = lambda done, total: None,
) -> dict[str, Any]:
    """Export a checkpoint into a folder of released models, measured and with its card.

    Writes KIND.onnx, KIND.json, KIND.md and SHA256SUMS once all of them are made; until then the folder stays as it
    is. The same call goes on where an interrupted one was.

    Returns:
        The figures.

    Raises:
        LeadlineError: the checkpoint cannot be used, or the folder cannot be written to.
    """
    made = load_checkpoint(checkpoint)
    target = folder / f"{network_from(made).config.kind}.onnx"
    about = _about(checkpoint, made, version, calibration_scenes)
    with writing(target):
        folder.mkdir(parents=True, exist_ok=True)
        with work_folder(target, about) as work:
            draft = work / target.name
            if draft.is_file():  # an earlier call was interrupted while it measured
                contract = contracts.read(draft)
            else:
                described = describe(checkpoint, made)
                contract = _settle(checkpoint, made, draft, version, calibration_scenes, processes, described, told)
            found = measure(draft, Wanted(scenes, seed), folder=work, processes=processes, told=told).figures()
            _publish(draft, replace(contract, metrics=summary(found)), found, folder)
    return found


def _publish(draft: Path, contract: contracts.ModelContract, found: dict[str, Any], folder: Path) -> None:
    """Put the measured model with contract, card and checksums into the folder, all of them whole."""
    ready = draft.parent / "ready"
    ready.mkdir(exist_ok=True)
    model = ready / draft.name
    shutil.copyfile(draft, model)
    contracts.write(model, contract)
    digest = contracts.sha256(model)
    record = json.loads(contract.to_json()) | {"sha256": digest, "figures": found}
    write(model.with_suffix(".json"), as_json(record))
    write(model.with_suffix(".md"), card(contract, found, digest))
    for path in ready.iterdir():
        os.replace(path, folder / path.name)
    contracts.write_sums(folder)


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
    """How a checkpoint was made: its own record, and `run.json` beside it where it is of a run."""
    record, joined = checkpoint.with_name("run.json"), made["leadline"].get("joined_of")
    run = json.loads(record.read_text("utf-8")) if record.is_file() and not joined else {}
    return {
        "seed": made["leadline"]["seed"],
        "scans": made["leadline"]["scans"],
        "steps": int(made.get("global_step", 0)),
        "hours": round(made["leadline"]["elapsed"] / 3600, 3),
        "machine": run.get("machine", machine()),
        "command": run.get("command", made["leadline"].get("command", "")),
        "commit": run.get("commit", ""),
    } | ({"joined_of": "; ".join(joined)} if joined else {})


def _logit(score: float, affine: calibration.Affine) -> float:
    """The uncalibrated logit of a calibrated score."""
    from math import log

    return (log(score / (1 - score)) - affine.bias) / affine.scale
