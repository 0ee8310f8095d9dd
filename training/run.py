"""One run of `leadline train`: its folder, which holds everything needed to repeat it, and its steps."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from leadline.datasets import watch_list
from leadline.datasets.materials import catalogue, use_catalogue
from leadline.datasets.scan import FileError, LeadlineError
from leadline.training.config import TrainConfig, as_toml, from_text
from leadline.training.fit import describe, fit
from leadline.training.folders import make_folder
from leadline.training.heads import refit
from leadline.training.module import FitConfig
from leadline.training.release import commit, machine
from leadline.training.saving import explained, write_whole

CONFIG, RECORD, MATERIALS = "config.toml", "run.json", "materials.toml"
"""Files of a run's folder: the whole configuration, how and with what it ran, the user's watch list."""

_PACKAGES = ("leadline", "torch", "torchvision", "lightning", "numpy", "albumentations", "opencv-python-headless")
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
    begin(config, made, command=command, restart=restart)
    final = fit(made, resume=not restart, progress=progress)
    if config.fit.heads and is_first():
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


def begin(config: TrainConfig, made: FitConfig, *, command: str, restart: bool) -> None:
    """Make the folder of a run and write down all that is needed to repeat it.

    Raises:
        LeadlineError: the folder cannot be written to, or holds a fit with other settings.
    """
    if not is_first():
        return
    make_folder(made.out)
    earlier: dict[str, Any] = {}
    if (made.out / "last.ckpt").is_file() and not restart:
        _same(config, made.out)
        earlier = _read(made.out / RECORD)
    record = {
        "command": command,
        "commit": commit(),
        "changed_files": changed_files(),
        "machine": machine(),
        "versions": dict(versions()),
        "data": data_hashes(),
        "settings": describe(made),
        "starts": [
            *earlier.get("starts", []),
            {"at": datetime.now(UTC).isoformat(timespec="seconds"), "command": command},
        ],
    }
    with explained(made.out):
        if catalogue().text:
            write_whole(made.out / MATERIALS, catalogue().text.encode())
        write_whole(made.out / CONFIG, as_toml(config).encode())
        write_whole(made.out / RECORD, (json.dumps(record, indent=1, default=str) + "\n").encode())


def _same(config: TrainConfig, out: Path) -> None:
    """Refuse to go on with a fit of other settings."""
    path = out / CONFIG
    if not path.is_file():
        return
    before, now = (_flat(c.model_dump()) for c in (from_text(path), config))
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


def versions() -> Iterator[tuple[str, str]]:
    """Versions of Python and of the packages that a fit depends on."""
    yield "python", sys.version.split()[0]
    for name in _PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def data_hashes() -> dict[str, str]:
    """SHA-256 of every file that scenes and physics are made of; of the user's watch list too."""
    folder = files("leadline.datasets") / "data"
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.is_file()}
    if catalogue().text:
        found[MATERIALS] = hashlib.sha256(catalogue().text.encode()).hexdigest()
    return dict(sorted(found.items()))


def changed_files() -> list[str]:
    """Files of the working tree that differ from the commit; empty outside a tree, or where none does."""
    try:
        done = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=Path(__file__).resolve().parent, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return [line[3:] for line in done.stdout.splitlines()]
