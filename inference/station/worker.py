"""The thread that judges: one scan after the other, oldest first, never in the way of the page."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from leadline.datasets.formats import read_scan
from leadline.datasets.scan import KINDS, Declaration, Kind, LeadlineError, Scan
from leadline.inference.engine import Engine, Model
from leadline.inference.ledger import LedgerError
from leadline.inference.screening import Screened, Settings, judge
from leadline.inference.station.files import Files, pixel_bytes
from leadline.inference.station.metrics import Metrics
from leadline.inference.station.record import Record
from leadline.inference.station.store import Store

log = logging.getLogger("leadline.station")

RETRY_S = 5.0
"""Pause before a scan is judged again after the disk or the ledger failed."""

KEPT_PIXELS = 6
"""Scans whose pixels stay in memory: the one on the screen and the next ones, 4 MB each."""


class Judges:
    """The engines of a station: given model files, or the released models.

    Args:
        models: model files, at most one a kind of scanner; none takes the released models.
        provider: ONNX Runtime provider.

    Raises:
        LeadlineError: a model cannot be used, or two are for the same kind.
    """

    def __init__(self, models: Sequence[Path] = (), provider: str | None = None) -> None:
        self._given: dict[Kind, Engine] = {}
        for path in models:
            engine = Engine(path, provider)
            kind = engine.model_for(None).contract.scanner
            if kind in self._given:
                raise LeadlineError(f"--model {path}: a second model for {kind} scans; give one a kind")
            self._given[kind] = engine
        self._released = None if models else Engine(None, provider)

    def engine(self, scan: Scan) -> Engine:
        """The engine for a scan.

        Raises:
            LeadlineError: there is none for its kind of scanner, or the kind is unknown.
        """
        if self._released is not None:
            return self._released
        kind = scan.scanner.kind
        if kind is None and len(self._given) == 1:
            return next(iter(self._given.values()))
        if kind is None:
            raise LeadlineError(
                f"{scan.path}: the file does not say what kind of scanner made it; start with --scanner, or send it"
            )
        if kind not in self._given:
            raise LeadlineError(f"{scan.path}: a {kind} scan, and no model for these was given; add one with --model")
        return self._given[kind]

    def warm(self) -> dict[str, str]:
        """Load all models now, rather than at the first scan.

        Returns:
            Why the model of a kind cannot be used, for the kinds where it cannot.
        """
        problems: dict[str, str] = {}
        if self._released is not None:
            for kind in KINDS:
                try:
                    self._released.model_for(kind)
                except LeadlineError as error:
                    problems[kind] = str(error)
        return problems

    def models(self) -> list[Model]:
        """The loaded models."""
        if self._released is not None:
            return list(self._released._models.values())
        return [e.model_for(None) for e in self._given.values()]


class Pixels:
    """Pixels of the scans that are looked at: from memory, or from the file again.

    Args:
        files: the station's copies.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, scan: str, seen: Scan) -> tuple[bytes, float]:
        """Put a scan's pixels into memory."""
        made = pixel_bytes(seen)
        with self._lock:
            self._kept[scan] = made
            self._kept.move_to_end(scan)
            while len(self._kept) > KEPT_PIXELS:
                self._kept.popitem(last=False)
        return made

    def get(self, scan: str, kind: Kind | None) -> tuple[bytes, float]:
        """`files.pixel_bytes` of a scan.

        Raises:
            LeadlineError: the station's copy cannot be read.
        """
        with self._lock:
            if scan in self._kept:
                self._kept.move_to_end(scan)
                return self._kept[scan]
        return self.keep(scan, read_scan(self.files.original(scan), scanner=kind))


class Worker(threading.Thread):
    """Takes the oldest waiting scan, judges it, records the verdict; until it is stopped.

    Args:
        store: the queue.
        files: the scans.
        judges: the models.
        settings: threshold and false-alarm rate.
        record: the ledger.
        pixels: where the pixels go for the page.
        metrics: counters.
    """

    def __init__(
        self, store: Store, files: Files, judges: Judges, settings: Settings, record: Record, pixels: Pixels,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        super().__init__(name="leadline-judge", daemon=True)
        self.store, self.files, self.judges, self.settings = store, files, judges, settings
        self.record, self.pixels, self.metrics = record, pixels, metrics
        self._work, self._pause, self._ending = threading.Event(), threading.Event(), False
        self.problem = ""
        self.beat = time.monotonic()

    def wake(self) -> None:
        """There may be something to do."""
        self._work.set()

    def stop(self) -> None:
        """End after the scan that is being judged."""
        self._ending = True
        self._work.set()
        self._pause.set()

    def run(self) -> None:
        """Judge until stopped."""
        while not self._ending:
            self.beat = time.monotonic()
            self._work.clear()
            try:
                row = self.store.take()
            except Exception:
                log.exception("the queue cannot be read")
                time.sleep(1)
                continue
            if row is None:
                self._work.wait(5)
                continue
            self._one(row)

    def _one(self, row: object) -> None:
        values = dict(row)  # type: ignore[call-overload]
        scan, started = values["id"], time.perf_counter()
        try:
            kind = values["kind_given"]
            seen = read_scan(self.files.original(scan), scanner=kind)
            declaration = None
            if values["hs_code"] or values["description"]:
                declaration = Declaration(values["hs_code"], values["description"])
            seen = seen.declared(declaration)
            result = judge(self.judges.engine(seen), seen, self.settings, 1000 * (time.perf_counter() - started))
            self._finish(values, result)
            self.problem = ""
        except (LedgerError, OSError, sqlite3.OperationalError) as error:
            # Not the scan's fault but the disk's or the database's: it waits until that is mended.
            self.problem = str(error)
            log.error("scan %s waits: %s", scan, error)
            with suppress(sqlite3.Error):
                self.store.update(scan, state="queued", attempts=values["attempts"])
            self._pause.wait(RETRY_S)
        except LeadlineError as error:
            self._fail(scan, _without_place(str(error), values["name"]))
        except Exception as error:  # one scan must never end the station
            log.exception("scan %s cannot be judged", scan)
            self._fail(scan, f"{values['name']}: cannot be judged ({type(error).__name__}); report it with the file")

    def _finish(self, values: dict, result: Screened) -> None:
        scan, scores = values["id"], result.scores
        line = result.verdict.as_dict()
        line["path"], line["sha256"] = values["name"], values["sha256"]
        line["area_cm2"] = [r.area_cm2 and round(r.area_cm2, 1) for r in result.verdict.regions]
        self.files.keep_results(scan, result.scan, scores)
        self.pixels.keep(scan, result.scan)
        self.record.verdict(scan, values["sha256"], line)
        rows, columns = result.scan.shape
        shown = {
            "rows": scores.evidence.shape[1], "columns": scores.evidence.shape[2], "stride": scores.stride,
            "families": list(scores.model.contract.families), "watched": list(scores.model.contract.watched),
            "high": result.scan.scanner.high, "low": result.scan.scanner.low,
            "pixel_mm": result.scan.scanner.pixel_mm, "fidelity": result.scan.fidelity,
        }  # fmt: skip
        verdict = result.verdict
        self.store.update(
            scan, state="screened", error=None, judged=time.time(), scanner=scores.model.contract.scanner,
            rows=rows, columns=columns, verdict=verdict.verdict, score=verdict.score, threshold=verdict.threshold,
            line=json.dumps(line), maps=json.dumps(shown), embedding=scores.embedding.astype("<f4").tobytes(),
            model=scores.model.sha256,
        )  # fmt: skip
        self.metrics.judged(verdict.verdict, verdict.elapsed_ms / 1000, time.time() - values["arrived"])

    def _fail(self, scan: str, error: str) -> None:
        try:
            self.store.update(scan, state="failed", error=error, judged=time.time())
        except Exception:
            log.exception("scan %s: the failure cannot be noted", scan)
        self.metrics.failed()


def _without_place(message: str, name: str) -> str:
    """An error's message with the scan's own name in place of the path of the station's copy."""
    head, separator, rest = message.partition(": ")
    return f"{name}: {rest}" if separator and "/" in head else message
