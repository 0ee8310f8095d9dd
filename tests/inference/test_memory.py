"""Freed memory stays with a process that asks for it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from leadline.inference.memory import keep_freed

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        np.ones((2, 700, 1400), np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

assert keep_freed()
faults(2)
print(faults(50))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_no_page_of_a_freed_array_comes_anew():
    """50 arrays of 8 MB have 96,000 pages of 4 kB, or 200 of 2 MB."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50
