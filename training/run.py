"""One run of `leadline train`: its folder, which holds everything needed to repeat it, and its steps."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from lightning.pytorch.utilities import rank_zero_only

from leadline.datasets import watch_list
from leadline.datasets.materials import catalogue, use_catalogue
from leadline.datasets.scan import FileError, LeadlineError
from leadline.training.base import base_model, weights_for
from leadline.training.checkpoints import load_checkpoint
from leadline.training.config import TrainConfig, as_toml, from_text, placed
from leadline.training.fit import describe, fit
from leadline.training.folders import make_folder
from leadline.training.heads import refit
from leadline.training.module import Fit, FitConfig
from leadline.training.provenance import MATERIALS, provenance
from leadline.training.saving import explained, write_whole

CONFIG, RECORD, INPUTS = "config.toml", "run.json", "inputs.json"
"""Files of a run's folder: the whole configuration, how and with what it ran, the model and scans that were given."""

_MAY_CHANGE = {
    "out", "fit.minutes", "fit.steps", "fit.save_minutes", "fit.validate_every", "fit.tensorboard", "fit.heads",
    "scans.workers", "scans.cache", "finetune.scenes", "finetune.false_alarms",
}  # fmt: skip
"""Settings that a fit may go on with changed; so may all of `[machine]`."""


def train(config: TrainConfig, *, command: str, restart: bool = False, progress: bool = True) -> Path:
    """Fit a model as configured, or go on with the fit in its folder.

    Args:
        config: what to fit.
        command: as typed, for the record.
        restart: begin anew though the folder holds a fit.
        progress: show a progress bar.

    Returns:
        The checkpoint to export.

    Raises:
        LeadlineError: something the user can mend; what was saved stays.
    """
    if config.materials:
        use_catalogue(watch_list.read(config.materials))
    if config.finetune is not None:
        from leadline.training.finetune import finetune

        return finetune(config, command=command, restart=restart, progress=progress)
    if config.kind is None:
        raise LeadlineError('kind: is not said; write kind = "parcel" or "container", or give --kind')
    made = config.fit_config(config.shape(config.kind), os.cpu_count() or 1)
    if config.fit.heads and made.network.coarser:
        raise LeadlineError(
            "fit.heads: heads are refitted of one network at a time; write heads = 0, "
            "or fit the networks by themselves and join them with `leadline join`"
        )
    module, inputs = None, {}
    if config.fit.begin:
        base = base_model(config.fit.begin, config.kind)
        module, inputs = Fit(made), {"begun_from": base.about()}
        module.network.load_state_dict(weights_for(base, made.network).state_dict())
    begin(config, made, command=command, restart=restart, inputs=inputs)
    final = fit(made, resume=not restart, progress=progress, module=module)
    if is_first():
        ended(made.out, final)
        if config.fit.heads:
            target = made.out / "heads.ckpt"
            with explained(made.out):
                final = refit(
                    final, target, scenes=config.fit.heads, processes=made.workers + made.threads, progress=progress
                )
    return final


def is_first() -> bool:
    """Whether this is the only process of the fit, or the first of several."""
    rank: int = rank_zero_only.rank  # type: ignore[attr-defined]
    return rank == 0


def begin(
    config: TrainConfig, made: FitConfig, *, command: str, restart: bool, inputs: Mapping[str, Any] | None = None
) -> None:
    """Make the folder of a run and write down all that is needed to repeat it.

    Args:
        config, made: of the run.
        command: as typed.
        restart: what an earlier run has fitted there goes.
        inputs: the model that it goes on from (`begun_from`) and one's own scans (`scans`, by path), if any.

    Raises:
        LeadlineError: the folder cannot be written to, or holds a fit with other settings, from another model or
            on other scans.
    """
    if not is_first():
        return
    make_folder(made.out)
    inputs = inputs or {}
    earlier: dict[str, Any] = {}
    if restart:
        for name in ("last.ckpt", "final.ckpt", "suspicion.ckpt", "heads.ckpt"):
            (made.out / name).unlink(missing_ok=True)
    elif any((made.out / name).is_file() for name in ("last.ckpt", "final.ckpt")):
        _same(config, made.out)
        _same_inputs(inputs, made.out)
        earlier = _read(made.out / RECORD)
    now = provenance()
    start = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "command": command} | now
    record = {"command": command} | now | {"settings": describe(made), "starts": [*_starts(earlier, now), start]}
    with explained(made.out):
        _keep(made.out / MATERIALS, catalogue().text.encode())
        write_whole(made.out / CONFIG, as_toml(config).encode())
        _keep(made.out / INPUTS, _json(inputs) if inputs else b"")
        write_whole(made.out / RECORD, _json(record))
    if (before := earlier.get("data", now["data"])) != now["data"]:
        changed = [n for n in sorted(before.keys() | now["data"].keys()) if before.get(n) != now["data"].get(n)]
        click.echo(
            f"{made.out}: goes on with other data than before ({', '.join(changed[:3])}); run.json tells both", err=True
        )


def _keep(path: Path, data: bytes) -> None:
    """Write a file of a run that not every run has; without data none stays of a run that began there before."""
    if data:
        write_whole(path, data)
    else:
        path.unlink(missing_ok=True)


def ended(out: Path, final: Path) -> None:
    """Note in a run's record how far its fit went, for a fit that time has ended to be repeated by its steps."""
    made = load_checkpoint(final)
    told = {"steps": int(made["global_step"]), "scans": made["leadline"]["scans"]}
    record = _read(out / RECORD) | {"fitted": told | {"minutes": round(made["leadline"]["elapsed"] / 60, 2)}}
    with explained(out):
        write_whole(out / RECORD, _json(record))


def _starts(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The starts of a record; the last one of an earlier version's record gets what stood above it."""
    starts = list(earlier.get("starts", []))
    if starts:
        starts[-1] = {key: earlier[key] for key in now if key in earlier} | starts[-1]
    return starts


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, default=str, ensure_ascii=False) + "\n").encode()


def _same_inputs(inputs: Mapping[str, Any], out: Path) -> None:
    """Refuse to go on from another model, or on other scans, labels or parts; none are noted in older folders."""
    before = _read(out / INPUTS)
    if not before:
        return
    remedy = "give another --out, or --restart"
    old, new = (i.get("begun_from", {}) for i in (before, inputs))
    if old.get("sha256") != new.get("sha256"):
        raise FileError(out, f"holds a fit from another model ({old.get('file')}, as it was then)", remedy)
    was, now = before.get("scans", {}), inputs.get("scans", {})
    changed = [path for path in sorted(was.keys() | now.keys()) if was.get(path) != now.get(path)]
    if changed:
        told = "; ".join(f"{path} was {_said(was.get(path))} and is {_said(now.get(path))}" for path in changed[:3])
        more = f"; {len(changed) - 3} more" if len(changed) > 3 else ""
        raise FileError(out, f"holds a fit on other scans or labels ({told}{more})", remedy)


def _said(scan: Mapping[str, str] | None) -> str:
    if scan is None:
        return "not there"
    return ", ".join(filter(None, (scan["label"], scan["declared"], scan["side"], f"SHA-256 {scan['sha256'][:8]}")))


def _same(config: TrainConfig, out: Path) -> None:
    """Refuse to go on with a fit of other settings."""
    path = out / CONFIG
    if not path.is_file():
        return
    before, now = (_flat(placed(c)) for c in (from_text(path), config))
    changed = [
        key
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in _MAY_CHANGE and not key.startswith("machine.")
    ]
    text = (out / MATERIALS).read_text("utf-8") if (out / MATERIALS).is_file() else ""
    if "materials" in changed and text == catalogue().text:
        changed.remove("materials")
    elif text != catalogue().text and "materials" not in changed:
        changed.append("materials")
    if changed:
        told = "; ".join(f"{k} was {before.get(k)!r} and is {now.get(k)!r}" for k in changed[:3])
        raise FileError(out, f"holds a fit with other settings ({told})", "give another --out, or --restart")


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
