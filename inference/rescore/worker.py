"""The worker: items in, results out. The same one runs in the local pool's processes and in a Ray cluster's actors."""

from __future__ import annotations

import platform
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Any

import cv2

from leadline.datasets.scan import LeadlineError, Scan
from leadline.inference.engine import Engine, Scores
from leadline.inference.ledger import Event, Seen
from leadline.inference.quality import Quality
from leadline.inference.rescore.fetch import NoScan, Unfit, announce, content_hash, load
from leadline.inference.rescore.item import Item, Job, Result, failure_event, verdict_event
from leadline.inference.screening import measure
from leadline.inference.verdict import verdict_of
from leadline.models.contract import ModelError

AHEAD = 4
"""Scans beyond the batch that are read ahead, or of which the system is told that they will be read."""

READERS_REMOTE = 6
"""Threads that fetch from an object store, whose answers take longer than decoding."""

Loaded = tuple[Scan, Quality, float]
Pending = tuple[Item, Callable[[], Loaded]]
"""An item, and what waits for its scan or reads it now."""


class Worker:
    """Screens items one after the other.

    Where each worker has one core (`job.readers` is 0), it decodes and scores in turn: while one worker decodes another
    scores, and a thread beside it would only take turns with it, at the price of caches and of memory that goes
    back to the system after each scan. What lies in an object store is always fetched ahead.

    Args:
        job: what to do.
        engine: to share with other workers of this process; a new one where it is left out.

    Raises:
        LeadlineError: the model or provider cannot be used.
    """

    def __init__(self, job: Job, engine: Engine | None = None) -> None:
        cv2.setNumThreads(1)  # one worker a core: more threads would only take turns
        self.job = job
        self.engine = engine or Engine(job.model, job.provider, job.threads)
        self.context = {"leadline": version("leadline"), "onnxruntime": version("onnxruntime"), "host": platform.node()}
        self._pool = ThreadPoolExecutor(max(READERS_REMOTE, job.readers), thread_name_prefix="leadline-read")

    def run(self, items: Iterable[Item]) -> Iterator[Result]:
        """Screen items.

        Yields:
            One result an item, in order. A bad item is a result.

        Raises:
            LeadlineError: nothing can be screened: the model is unusable, or no room is left to unpack.
        """
        rest = iter(items)
        waiting: deque[Pending] = deque()
        while True:
            while len(waiting) < self._ahead(waiting) and (item := next(rest, None)) is not None:
                waiting.append((item, self._begun(item)))
            if not waiting:
                return
            yield from self._screen([waiting.popleft() for _ in range(min(self.job.batch, len(waiting)))])

    def close(self) -> None:
        """End the reading threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _ahead(self, waiting: deque[Pending]) -> int:
        remote = bool(waiting) and _remote(waiting[0][0])
        return self.job.batch + (READERS_REMOTE if remote else AHEAD)

    def _begun(self, item: Item) -> Callable[[], Loaded]:
        if self.job.readers or _remote(item):
            return self._pool.submit(self._load, item).result
        announce(item)
        return partial(self._load, item)

    def _load(self, item: Item) -> Loaded:
        started = time.perf_counter()
        scan = self.job.settings.known(load(item, self.job.settings))
        return scan, measure(scan), 1000 * (time.perf_counter() - started)

    def _screen(self, batch: list[Pending]) -> Iterator[Result]:
        results: list[Result | None] = []
        loaded: list[tuple[int, Item, Loaded, float]] = []
        for item, loaded_of in batch:
            try:
                found = loaded_of()
                model = self.engine.model_for(found[0].scanner.kind, item.place)
                loaded.append((len(results), item, found, self.job.settings.threshold_of(model)))
                results.append(None)
            except (ModelError, Unfit):
                raise
            except NoScan:
                results.append(Result("skipped"))  # not remembered: no row would bear witness to it
            except Exception as error:  # one file must never end the run, whatever is wrong with it
                results.append(self._failed(item, error))
        started = time.perf_counter()
        scores = self._scores([found[0] for _, _, found, _ in loaded])
        shared_ms = 1000 * (time.perf_counter() - started) / max(len(loaded), 1)
        for (index, item, (scan, quality, read_ms), threshold), scored in zip(loaded, scores, strict=True):
            started = time.perf_counter()
            try:
                if isinstance(scored, Exception):
                    raise scored
                verdict = verdict_of(scan, scored, quality, threshold)
                infer_ms = shared_ms + 1000 * (time.perf_counter() - started)
                body = verdict.after(read_ms + infer_ms).as_dict()
                scanner = {**vars(scan.scanner), "fidelity": scan.fidelity}
                event = verdict_event(self.job, item, body, scanner, self.context)
                seen = _seen(self.job, item, "done", event)
                results[index] = Result("done", verdict.verdict, event, seen, None, read_ms, infer_ms)
            except ModelError:
                raise
            except Exception as error:
                results[index] = self._failed(item, error)
        for result in results:
            if result is not None:
                yield result

    def _scores(self, scans: list[Scan]) -> list[Scores | Exception]:
        """Scores of a batch; if it fails as a whole, of each scan by itself."""
        try:
            return list(self.engine.score_batch([self.job.settings.for_model(scan) for scan in scans]))
        except ModelError:
            raise
        except Exception as error:
            if len(scans) == 1:
                return [error]
        return [one for scan in scans for one in self._scores([scan])]

    def _failed(self, item: Item, error: Exception) -> Result:
        if isinstance(error, LeadlineError):
            said = str(error)
        else:
            said = f"{item.place}: cannot be screened ({type(error).__name__}: {error}); report it with the file"
        return failed(self.job, item, said, self.context)


def _remote(item: Item) -> bool:
    return any(part.how == "object" or "://" in part.container for part in item.parts)


def failed(job: Job, item: Item, error: str, context: dict[str, Any], subject: str | None = None) -> Result:
    """The result of an item that could not be screened. Only one whose bytes can be read is remembered.

    Args:
        subject: hash of its bytes if that is known, empty if they cannot be had.
    """
    subject = content_hash(item) if subject is None else subject
    event = failure_event(job, item, error, subject, context)
    return Result("failed", "error", event, _seen(job, item, "failed", event) if subject else None, error)


def _seen(job: Job, item: Item, outcome: str, event: Event) -> Seen | None:
    """What to remember of an item, so that a later run need not read it again."""
    return Seen(item.identity(), job.identity, item.stamp, outcome, event.key) if item.stamp else None
