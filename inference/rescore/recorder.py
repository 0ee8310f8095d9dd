"""Writing results down beside the screening: in their order, many in one transaction, by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from leadline.inference.rescore.item import Result

ROWS, SECONDS = 64, 1.0
"""Results are written when there are so many, or when the oldest has waited so long."""

MOST_ROWS = 512
"""While a disk is slow more come together; beyond this the screening waits for it."""


class Recorder:
    """Collects results and writes them.

    Args:
        write: writes some results, all or none. It is never called twice at once, and not again once it has failed.
    """

    def __init__(self, write: Callable[[list[Result]], None]) -> None:
        self._write = write
        self._results: list[Result] = []
        self._oldest = 0.0
        self._under_way: Future[None] | None = None

    def add(self, result: Result) -> None:
        """Take a result.

        Raises:
            Exception: what an earlier `write` raised.
        """
        if not self._results:
            self._oldest = time.monotonic()
        self._results.append(result)
        if len(self._results) >= ROWS or time.monotonic() - self._oldest > SECONDS:
            idle = self._under_way is None or self._under_way.done()
            if idle or len(self._results) >= MOST_ROWS:
                self._hand_over()

    def close(self) -> None:
        """Write what is left, and wait until all is written.

        Raises:
            Exception: what `write` raised and nobody has been told yet.
        """
        self._settle()
        if self._results:
            self._hand_over()
        self._settle()

    def _hand_over(self) -> None:
        self._settle()
        results, self._results = self._results, []
        written: Future[None] = Future()
        self._under_way = written
        # A daemon: one that waits for a database that hangs must not keep the process from ending.
        threading.Thread(target=_do, args=(written, self._write, results), daemon=True, name="leadline-record").start()

    def _settle(self) -> None:
        """Wait for what is being written. If that fails, what came after it is forgotten: the order must stay."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            try:
                under_way.result()
            except BaseException:
                self._results = []
                raise


def _do(done: Future[None], write: Callable[[list[Result]], None], results: list[Result]) -> None:
    try:
        write(results)
    except BaseException as error:
        done.set_exception(error)
    else:
        done.set_result(None)
