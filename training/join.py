"""Several fitted models as one, whose logits are averaged; see `models.ensemble`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from leadline.datasets.scan import FileError, LeadlineError
from leadline.models import contract as contracts
from leadline.models.config import NetworkConfig
from leadline.models.contract import ModelContract
from leadline.models.ensemble import Ensemble
from leadline.models.network import Network
from leadline.models.restore import restore
from leadline.training.model_files import writing
from leadline.training.saving import write_whole


def join(models: Sequence[Path], target: Path) -> Ensemble:
    """Write the mean of several models as one checkpoint, to be exported, which calibrates it, or fitted on.

    Args:
        models: two or more ONNX files of one kind of scanner; they bring the calibrations by which their logits are
            made comparable. Their networks differ in the side of their blocks alone.
        target: the checkpoint to write.

    Raises:
        LeadlineError: too few, or models that do not go together; or the target may not or cannot be written.
    """
    if target.suffix != ".ckpt":  # by which a checkpoint is told from a model
        raise LeadlineError(f"--out {target}: is not the name of a checkpoint; give one that ends in .ckpt")
    if len(models) < 2:
        raise LeadlineError("join: wants two models or more; give networks with blocks of different sizes")
    for path in models:
        if path.suffix == ".ckpt":
            raise FileError(path, "is a checkpoint", "give the file that `leadline export` makes of it")
    found = sorted(((path, *restore(path)) for path in models), key=lambda one: one[1].config.pool)
    finest = found[0][1].config
    seen: set[str] = set()
    for path, network, contract in found:
        if not isinstance(network, Network):
            raise FileError(path, "is an ensemble already", "give the models that it was joined from")
        if contract.watch_list != found[0][2].watch_list:
            raise FileError(path, f"has another watch list than {found[0][0]}", "join models of one watch list")
        _goes_with(path, network.config, finest)
        if (digest := contracts.sha256(path)) in seen:
            raise FileError(path, "is given twice", "give each model once")
        seen.add(digest)
    try:
        joined = Ensemble(replace(finest, coarser=tuple(network.config.pool for _, network, _ in found[1:])))
    except ValueError as error:
        raise LeadlineError(f"join: {error}; give networks whose blocks are multiples of the finest one's") from error
    for member, (_, network, _) in zip(joined.members, found, strict=True):
        member.load_state_dict(network.state_dict())
    with writing(target):
        write_whole(target, _checkpoint(joined, [(path, contract) for path, _, contract in found]))
    return joined


def _goes_with(path: Path, config: NetworkConfig, finest: NetworkConfig) -> None:
    ours, theirs = replace(config, pool=finest.pool).to_dict(), finest.to_dict()
    for name, value in ours.items():
        if value != theirs[name]:
            reason = f"has another network ({name} is {value}, and {theirs[name]} is wanted)"
            raise FileError(path, reason, "join networks that differ in the side of their blocks alone")


def _checkpoint(joined: Ensemble, members: Sequence[tuple[Path, ModelContract]]) -> memoryview:
    """As `leadline train` writes them."""
    made = [contract.training for _, contract in members]
    shas = [f"{path.name}, {c.name} {c.version}, SHA-256 {contracts.sha256(path)}" for path, c in members]
    commands = [f"leadline join {' '.join(path.name for path, _ in members)}"]
    commands += [f"{path.name} by: {c.training['command']}" for path, c in members if c.training.get("command")]
    about = {
        "network": joined.config.to_dict(),
        "elapsed": sum(3600 * float(m.get("hours", 0)) for m in made),
        "scans": sum(int(m.get("scans", 0)) for m in made),
        "seed": ", ".join(str(m.get("seed", "")) for m in made),
        "watch_list": members[0][1].watch_list,
        "command": "; ".join(commands),
        "joined_of": shas,
    }
    steps = sum(int(m.get("steps", 0)) for m in made)
    state = {f"network.{name}": value for name, value in joined.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({"leadline": about, "global_step": steps, "state_dict": state}, buffer)
    return buffer.getbuffer()
