"""With what a fit is made: the code, the machine, the packages, and the data that scenes come from."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from leadline.datasets.materials import catalogue

MATERIALS = "materials.toml"
"""Name of the user's watch list, in a run's folder and among the hashes."""

_PACKAGES = ("leadline", "torch", "torchvision", "lightning", "numpy", "albumentations", "opencv-python-headless")


def provenance() -> dict[str, Any]:
    """All of it, as a run's record holds it for each of its starts."""
    return {
        "commit": commit(),
        "changed_files": changed_files(),
        "machine": machine(),
        "versions": dict(versions()),
        "data": data_hashes(),
    }


def commit() -> str:
    """The commit of the working tree that this package lies in; empty outside one."""
    return "".join(_git("rev-parse", "--short=12", "HEAD"))


def changed_files() -> list[str]:
    """Files of the working tree that differ from the commit; empty outside a tree, or where none does."""
    return [line[3:] for line in _git("status", "--porcelain", "--untracked-files=no")]


def _git(*arguments: str) -> list[str]:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).resolve().parent, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()


def machine() -> str:
    """The computer in words."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {_processor()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


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
