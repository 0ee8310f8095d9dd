"""Watching a folder: every complete scan file is taken once, across restarts; one still being written waits.

The folder is looked at twenty times a second, which works on every file system, network drives included: it is
listed when a folder's time has changed, while a file waits to be complete, and once a second in any case. A
file is complete when its size and time have not changed for `SETTLE_S` and nobody has it open for writing;
the kernel tells that by refusing a lease (fcntl(2), F_SETLEASE). Where it cannot tell (network drives,
files of another user, other systems), the file must rest for `SETTLE_UNSURE_S`. A file that changes after
it was taken is another scan and is taken again; names that begin with a dot or end in .part or .tmp wait
until they are renamed. The folder itself is never written to.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from leadline.datasets.formats.decoded import LARGEST_FILE
from leadline.datasets.formats.files import pair_of
from leadline.datasets.manifest import Manifest, read_manifest
from leadline.datasets.scan import LeadlineError
from leadline.inference.station.intake import Intake, Papers, sidecar
from leadline.inference.station.store import Store

log = logging.getLogger("leadline.station")

EVERY_S, SETTLE_S, SETTLE_UNSURE_S = 0.05, 0.1, 2.0
LIST_S, FRESH_S = 1.0, 0.5
SUFFIXES = frozenset((".tif", ".tiff", ".npy", ".png", ".dcm", ".dcs", ".dicos"))
UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
DEEPEST = 6
"""Folders below the watched one that are looked into."""


@dataclass
class _Waiting:
    """A file that is not yet known to be complete."""

    mark: str
    since: float


class Watcher(threading.Thread):
    """Takes in the scans of one folder.

    Args:
        folder: the watched folder.
        intake: where scans go.
        store: remembers what was taken.
        taken: called after a scan was taken.
    """

    def __init__(self, folder: Path, intake: Intake, store: Store, taken: Callable[[], None]) -> None:
        super().__init__(name="leadline-watch", daemon=True)
        self.folder, self.intake, self.store, self.taken = folder.resolve(), intake, store, taken
        self._end = threading.Event()
        self._waiting: dict[str, _Waiting] = {}
        self._seen = {row["path"]: row["mark"] for row in store.all("SELECT path, mark FROM seen")}
        self._manifest: tuple[str, Manifest | None] = ("", None)
        self._folders: dict[str, int] = {}
        self._listed = -LIST_S
        self.problem = ""

    def stop(self) -> None:
        """End soon."""
        self._end.set()

    def run(self) -> None:
        """Watch until stopped."""
        while not self._end.wait(EVERY_S):
            try:
                if self._waiting or self._changed():
                    self.look()
                self.problem = ""
            except (OSError, LeadlineError) as error:
                if str(error) != self.problem:
                    self.problem = str(error)
                    log.error("watched folder %s: %s", self.folder, error)
                self._end.wait(2)
            except Exception:
                log.exception("watched folder %s", self.folder)
                self._end.wait(2)

    def look(self) -> int:
        """Look once.

        Returns:
            How many scans were taken.
        """
        found: dict[str, str] = {}
        self._folders, self._listed = {}, time.monotonic()
        self._list(self.folder, 0, found)
        self._waiting = {path: w for path, w in self._waiting.items() if path in found}
        now, taken = time.monotonic(), 0
        for path, mark in found.items():
            if self._seen.get(path) == mark:
                continue
            waiting = self._waiting.get(path)
            if waiting is None or waiting.mark != mark:
                self._waiting[path] = _Waiting(mark, now)
                continue
            rested = now - waiting.since
            if rested < SETTLE_S:
                continue
            sure = unwritten(path)
            if sure is False or (sure is None and rested < SETTLE_UNSURE_S):
                continue
            taken += self._take(Path(path), mark, found)
        return taken

    def _changed(self) -> bool:
        """Whether it is time to list again; asks for the folders' times only."""
        if time.monotonic() - self._listed >= LIST_S:
            return True
        for folder, at in self._folders.items():
            now = os.stat(folder).st_mtime_ns
            # A time as young as this may hide a second change in the clock's same tick.
            if now != at or 0 <= time.time_ns() - now < FRESH_S * 1e9:
                return True
        return False

    def _list(self, folder: Path, depth: int, found: dict[str, str]) -> None:
        self._folders[str(folder)] = os.stat(folder).st_mtime_ns
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth < DEEPEST:
                        self._list(Path(entry.path), depth + 1, found)
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                    try:
                        status = entry.stat()
                    except OSError:
                        continue  # gone, or a link that leads nowhere
                    if stat.S_ISREG(status.st_mode) and 0 < status.st_size <= LARGEST_FILE:
                        found[entry.path] = f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"

    def _take(self, path: Path, mark: str, found: dict[str, str]) -> int:
        high, low = pair_of(path)
        if (high or low) and high != low and not (high and low) and self._rested(path) < 10:
            return 0  # the other half may be on its way
        if high and low:
            if path == low:
                self._remember(path, mark, None)  # it goes with the high half
                return 0
            other = str(low)
            waiting = self._waiting.get(other)
            mark_low = found.get(other)
            low_ready = mark_low is not None and (
                self._seen.get(other) == mark_low
                or (waiting is not None and waiting.mark == mark_low and time.monotonic() - waiting.since >= SETTLE_S)
            )
            if not low_ready or unwritten(other) is False:
                return 0
        parts = [(p.name, p.read_bytes()) for p in ((high, low) if high and low else (path,)) if p is not None]
        if self._mark_of(path) != mark:  # it changed while it was read
            return 0
        try:
            papers = self._papers(path)
        except LeadlineError as error:
            log.warning("%s; the scan is taken without a declaration", error)
            papers = Papers()
        self.intake.take(parts, papers, "folder", (str(path), mark))
        self._seen[str(path)] = mark
        self._waiting.pop(str(path), None)
        self.taken()
        return 1

    def _rested(self, path: Path) -> float:
        waiting = self._waiting.get(str(path))
        return time.monotonic() - waiting.since if waiting else 0.0

    def _remember(self, path: Path, mark: str, scan: str | None) -> None:
        with self.store.writing() as db:
            db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (str(path), mark, scan))
        self._seen[str(path)] = mark
        self._waiting.pop(str(path), None)

    def _mark_of(self, path: Path) -> str:
        status = path.stat()
        return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"

    def _papers(self, path: Path) -> Papers:
        """What `NAME.json` beside the scan declares, or else the folder's `manifest.csv`."""
        papers = sidecar(path)
        if papers != Papers():
            return papers
        listed = self.folder / "manifest.csv"
        if not listed.is_file():
            return papers
        mark = self._mark_of(listed)
        if self._manifest[0] != mark:
            self._manifest = (mark, read_manifest(listed))
        declared = self._manifest[1].declaration(path) if self._manifest[1] else None
        return papers if declared is None else Papers(hs_code=declared.hs_code, description=declared.description)


def unwritten(path: str) -> bool | None:
    """Whether nobody has a file open for writing; `None` where the system does not tell."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None
    finally:
        os.close(handle)
