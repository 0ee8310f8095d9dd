"""Ctrl-C during long work: the first ends it after what is under way, the second at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended (128 + SIGINT)."""

AT_ONCE_S = 5.0
"""So long may a command take to end after the second Ctrl-C; then it is ended whatever it waits for."""

SHOW_CURSOR = "\x1b[?25h"
"""A progress bar hides it."""


class Interruption:
    """Notes Ctrl-C (and SIGTERM) instead of raising, so that no result is half counted or half printed.

    As a context manager it takes over the signals; `asked` says whether the work should end. The second
    signal raises KeyboardInterrupt. What does not end then, because it waits for a database or a disk that hangs,
    ends a few seconds later together with the process.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}
        self._end: threading.Timer | None = None

    def asked(self) -> bool:
        """Whether the user wants the work to end."""
        return self._asked

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._end is not None:
            self._end.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self._asked:
            if self._end is None:
                self._end = threading.Timer(AT_ONCE_S, _end)
                self._end.daemon = True
                self._end.start()
            raise KeyboardInterrupt
        self._asked = True
        # Not through sys.stderr: its buffer may be in the middle of a write.
        os.write(2, b"ending after the scans under way; press Ctrl-C again to end at once\n")


def _end() -> None:
    shown = SHOW_CURSOR if sys.stderr.isatty() else ""
    os.write(2, f"{shown}interrupted in the middle of something that hangs\n".encode())
    os._exit(INTERRUPTED)


@contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C reaches this process only afterwards, and processes that are started meanwhile never.

    Else they would show tracebacks of their own when it comes before they have had time to look away.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # started with the first process, it would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
