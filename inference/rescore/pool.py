"""The local engine: worker processes fed over pipes. One that dies or hangs takes no more than the file at fault."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection, wait
from queue import Empty, SimpleQueue
from typing import Any

from leadline.datasets.scan import LeadlineError
from leadline.inference.interruption import held_back
from leadline.inference.rescore.fetch import content_hash
from leadline.inference.rescore.item import Item, Job, Result

CHUNK = 4
"""Items that are sent to a worker at once."""

QUEUED = 2
"""Chunks that a worker has at most: one to work on, one to go on with."""

WINDOW = 64
"""Results of so many items a worker may wait for an earlier one: memory stays bounded, the order stays."""

START_S = 300.0
"""A worker that is not ready by then is taken for hung."""

GONE_S = 10.0
"""So long is waited for a process that was killed: one that hangs in a disk's or a network's driver cannot end."""

CHANCES = 2
"""A file that has ended so many processes by itself is at fault; the first time, memory may have been short."""

DEATHS = 3
"""So many workers that die before their first result mean that none can work here."""


@dataclass
class _Process:
    process: Any
    pipe: Connection
    sent: deque[tuple[int, Item]] = field(default_factory=deque)
    alone: bool = False
    ready: bool = False
    useful: bool = False
    since: float = 0.0


class Pool:
    """Runs a job over items in processes of its own.

    Args:
        job: what to do.
        workers: processes.
        stopping: asked again and again; once true, nothing new is begun, what is under way is finished.
    """

    def __init__(self, job: Job, workers: int, stopping: Callable[[], bool] = lambda: False) -> None:
        self.job, self.stopping = job, stopping
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[_Process] = []
        self._deaths = 0
        self._fatal: Counter[int] = Counter()
        self.restarts = 0
        try:
            for _ in range(workers):
                self._processes.append(self._start())
        except BaseException:
            self.close()
            raise

    def pids(self) -> list[int]:
        """Process numbers of the workers."""
        return [p.process.pid for p in self._processes]

    def run(self, items: Iterator[Item]) -> Iterator[tuple[Item, Result]]:
        """Screen items.

        Yields:
            Every item with its result, in the order of the items.

        Raises:
            LeadlineError: the job cannot be done here at all.
        """
        waiting: dict[int, tuple[Item, Result]] = {}
        suspects: deque[tuple[int, Item]] = deque()
        given = taken = 0
        more = True
        while True:
            more = more and not self.stopping()
            # Whatever killed a worker is among the suspects: each is tried with nothing else beside it.
            for one in self._processes:
                if suspects and not one.sent:
                    one.alone = True
                    self._send(one, [suspects.popleft()])
            for depth in range(0 if suspects else QUEUED):  # in turn: no worker gets two chunks before each has one
                for one in self._processes:
                    if one.alone or len(one.sent) > depth * CHUNK or given - taken >= WINDOW * len(self._processes):
                        continue
                    chunk = list(enumerate(islice(items, CHUNK if more else 0), given))
                    given += len(chunk)
                    more = more and bool(chunk)
                    if chunk:
                        self._send(one, chunk)
            if not any(one.sent for one in self._processes) and not suspects:
                return
            for one in self._talking():
                self._receive(one, waiting, suspects)
            for one in self._hanging():
                one.process.kill()
                self._bury(one, waiting, suspects, hung=True)
            while taken in waiting:
                yield waiting.pop(taken)
                taken += 1

    def close(self) -> None:
        """End all workers."""
        for one in self._processes:
            one.pipe.close()
        for one in self._processes:
            one.process.join(2)
            if one.process.is_alive():
                one.process.kill()
                one.process.join()
            one.process.close()
        self._processes.clear()

    def _start(self) -> _Process:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there, self.job), daemon=True, name="leadline-worker")
        with held_back():
            process.start()
        there.close()
        return _Process(process, here, since=time.monotonic())

    def _send(self, one: _Process, chunk: list[tuple[int, Item]]) -> None:
        if not one.sent:
            one.since = time.monotonic()
        one.sent.extend(chunk)
        with contextlib.suppress(OSError):  # it has died: its pipe is at its end, which `_receive` sees
            one.pipe.send([item for _, item in chunk])

    def _talking(self) -> list[_Process]:
        """Workers that have said something, or died."""
        pipes = {one.pipe: one for one in self._processes}
        return [pipes[p] for p in wait(list(pipes), timeout=0.5) if isinstance(p, Connection)]

    def _hanging(self) -> list[_Process]:
        """Workers that have had something to do for too long without a word."""
        now = time.monotonic()
        return [
            one
            for one in self._processes
            if one.sent and now - one.since > (self.job.timeout_s if one.ready else START_S) and not one.pipe.poll()
        ]

    def _receive(
        self, one: _Process, waiting: dict[int, tuple[Item, Result]], suspects: deque[tuple[int, Item]]
    ) -> None:
        try:
            message = one.pipe.recv()
        except (EOFError, OSError):
            self._bury(one, waiting, suspects)
            return
        if isinstance(message, str):
            raise LeadlineError(message)
        if message is None:
            one.ready, one.since = True, time.monotonic()
            return
        number, item = one.sent.popleft()
        waiting[number] = (item, message)
        one.since, one.useful, self._deaths = time.monotonic(), True, 0
        if not one.sent:
            one.alone = False

    def _bury(
        self,
        one: _Process,
        waiting: dict[int, tuple[Item, Result]],
        suspects: deque[tuple[int, Item]],
        hung: bool = False,
    ) -> None:
        """Put a new worker in the place of one that died, and find out what killed it."""
        one.pipe.close()
        one.process.join(GONE_S)
        how = one.process.exitcode
        if how is not None:
            one.process.close()
        if one.alone and one.sent:
            number, item = one.sent.popleft()
            self._fatal[number] += 1
            if self._fatal[number] < CHANCES and not hung:
                suspects.appendleft((number, item))
            else:
                del self._fatal[number]
                waiting[number] = (item, self._given_up(item, how, hung))
        elif one.sent:
            suspects.extend(one.sent)
        if not one.useful:
            self._deaths += 1
            if self._deaths > DEATHS + len(self._processes):
                raise LeadlineError(
                    f"rescore: workers end before they give a result ({'hung' if hung else _said(how)}); "
                    "see whether memory is short, and whether `leadline screen` works"
                )
        self.restarts += 1
        self._processes[self._processes.index(one)] = self._start()

    def _given_up(self, item: Item, how: int | None, hung: bool) -> Result:
        """The result of an item that has no other. Its bytes are asked for, but not waited for: they may hang too."""
        from leadline.inference.rescore.worker import failed

        if hung:
            limit = f"{self.job.timeout_s:g}"
            error = f"gives no result within {limit} s; keep it apart and report it, or give more with --timeout"
        else:
            error = f"ends the process that reads it ({_said(how)}); keep it apart and report it"
        found: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=lambda: found.put(content_hash(item)), daemon=True, name="leadline-hash").start()
        try:
            subject = found.get(timeout=GONE_S)
        except Empty:
            subject = ""
        return failed(self.job, item, f"{item.place}: {error}", {}, subject)


def _said(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def _serve(pipe: Connection, job: Job) -> None:
    """A worker process: ends when its pipe does, that is with the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    from leadline.inference.memory import keep_freed
    from leadline.inference.rescore.worker import Worker

    keep_freed()
    inbox: SimpleQueue[list[Item]] = SimpleQueue()

    def listen() -> None:
        try:
            while True:
                inbox.put(pipe.recv())
        except (EOFError, OSError):
            os._exit(0)  # whatever is under way: nobody waits for it any more

    threading.Thread(target=listen, daemon=True).start()

    try:
        worker = Worker(job)
        pipe.send(None)
        while True:
            # Chunk by chunk: `run` reads ahead within what it is given and never waits for what is not there.
            for result in worker.run(_at_hand(inbox)):
                pipe.send(result)
    except LeadlineError as error:
        pipe.send(str(error))
    except OSError:
        os._exit(0)


def _at_hand(inbox: SimpleQueue[list[Item]]) -> Iterator[Item]:
    """The next chunk, and every one after it that is there by then."""
    yield from inbox.get()
    while not inbox.empty():
        yield from inbox.get()
