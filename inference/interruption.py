"""Ctrl-C during long work: the first ends it after what is under way, the second at once."""

from __future__ import annotations

import os
import signal
from typing import Any

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended (128 + SIGINT)."""


class Interruption:
    """Notes Ctrl-C (and SIGTERM) instead of raising, so that no result is half counted or half printed.

    As a context manager it takes over the signals; `asked` says whether the work should end. The second
    signal raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def asked(self) -> bool:
        """Whether the user wants the work to end."""
        return self._asked

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        # Not through sys.stderr: its buffer may be in the middle of a write.
        os.write(2, b"ending after the scans under way; press Ctrl-C again to end at once\n")
