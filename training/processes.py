"""Processes of their own that simulate scans and look at them."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from leadline.datasets.scan import LeadlineError


@contextmanager
def pooled(
    processes: int, options: str, prepare: Callable[..., None], *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, each of them prepared once. Ctrl-C ends the main process, which then sees to them.

    Args:
        processes: how many.
        options: of the command that give fewer of them.
        prepare: is called in each of them first, with the arguments.

    Raises:
        LeadlineError: one of them was ended from outside.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _begin, (prepare, arguments))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise LeadlineError(
            "one of the processes that simulate was ended from outside, for want of memory most likely; "
            f"give fewer {options}"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare(*arguments)
