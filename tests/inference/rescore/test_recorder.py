"""Writing beside the screening: order, patience with a slow disk, and nothing after a failure."""

from __future__ import annotations

import threading

import pytest

from leadline.inference.rescore.item import Result
from leadline.inference.rescore.recorder import MOST_ROWS, ROWS, Recorder


def result(number: int) -> Result:
    return Result("done", str(number))


def test_all_is_written_in_order() -> None:
    written: list[str] = []
    recorder = Recorder(lambda results: written.extend(r.word for r in results))
    for n in range(3 * ROWS + 5):
        recorder.add(result(n))
    recorder.close()
    assert written == [str(n) for n in range(3 * ROWS + 5)]


def test_a_slow_disk_holds_up_nothing_until_too_much_waits_for_it() -> None:
    """While one write takes its time results come together; one write takes them all. Beyond that `add` waits."""
    goes_on = threading.Event()
    sizes: list[int] = []

    def write(results: list[Result]) -> None:
        assert goes_on.wait(60)
        sizes.append(len(results))

    recorder = Recorder(write)
    for n in range(ROWS + MOST_ROWS - 1):
        recorder.add(result(n))  # would never return if it waited for the write
    late = threading.Thread(target=recorder.add, args=(result(0),))
    late.start()
    late.join(0.2)
    assert late.is_alive()
    goes_on.set()
    late.join()
    recorder.close()
    assert sizes == [ROWS, MOST_ROWS]


def test_after_a_failure_nothing_is_written() -> None:
    """Else what comes later would stand before what failed."""
    calls: list[int] = []

    def write(results: list[Result]) -> None:
        calls.append(len(results))
        raise OSError("disk full")

    recorder = Recorder(write)

    def fill() -> None:
        for n in range(10 * MOST_ROWS):
            recorder.add(result(n))

    with pytest.raises(OSError, match="disk full"):
        fill()
    recorder.close()
    assert calls == [ROWS]
