"""How many CPU cores this process may really use: the container's quota counts, not the host's cores."""

from __future__ import annotations

import os
from pathlib import Path


def available_cores(root: Path = Path("/"), affinity: int | None = None) -> int:
    """Cores that this process may use, at least 1.

    The least of the scheduler's affinity and the CPU quotas of its control group and of all groups
    above it (version 2: `cpu.max`; version 1: `cpu.cfs_quota_us` over `cpu.cfs_period_us`; see
    https://docs.kernel.org/admin-guide/cgroup-v2.html). A quota of 1.5 cores counts as 1: a second
    thread would spend half its time throttled, and the first would wait for it.

    Args:
        root: where `/proc` and `/sys` are looked for.
        affinity: cores of the affinity mask, instead of asking the scheduler.
    """
    if affinity is None:
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([float(affinity), *_quotas(root)])))


def _quotas(root: Path) -> list[float]:
    """Every CPU quota that binds this process, in cores."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:  # version 2, the unified hierarchy
            mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif "cpu" in controllers.split(","):
            mounts = [root / "sys/fs/cgroup/cpu", root / "sys/fs/cgroup" / controllers]
        else:
            continue
        for mount in mounts:
            # Inside a container the group's own path is often not visible; its mount then stands at the root.
            parts = [p for p in group.split("/") if p and p != ".."]
            for depth in range(len(parts), -1, -1):
                quota = _quota(mount.joinpath(*parts[:depth]))
                if quota:
                    found.append(quota)
    return found


def _quota(folder: Path) -> float | None:
    """Quota of one control group in cores, `None` where it has none."""
    if words := _text(folder / "cpu.max").split():
        quota, period = words[0], words[1] if len(words) > 1 else "100000"
    else:
        quota, period = _text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return cores if cores > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
