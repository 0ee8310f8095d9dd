"""Waking the open pages: threads that changed something tell the event loops that wait."""

from __future__ import annotations

import asyncio
import threading


class Broker:
    """Wakes every waiting page when something changed, from whatever thread."""

    def __init__(self) -> None:
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._lock = threading.Lock()
        self.closing = False

    def notify(self) -> None:
        """Wake all; safe from any thread."""
        with self._lock:
            for loop, event in self._waiting:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """Wake all for the last time: the streams end."""
        self.closing = True
        self.notify()

    def open(self) -> asyncio.Event:
        """An event for one page, set at every change; give it back with `done`."""
        event = asyncio.Event()
        with self._lock:
            self._waiting.add((asyncio.get_running_loop(), event))
        return event

    def done(self, event: asyncio.Event) -> None:
        """The page has gone."""
        with self._lock:
            self._waiting = {(loop, e) for loop, e in self._waiting if e is not event}

    @property
    def pages(self) -> int:
        """How many wait."""
        return len(self._waiting)
