"""Worker processes: Ctrl-C is the main process's business, and one that is gone is told."""

import os
import signal
from pathlib import Path

import pytest

from leadline.datasets.materials import use_catalogue
from leadline.datasets.scan import LeadlineError
from leadline.training.looking import look
from leadline.training.processes import pooled
from leadline.training.suspicion import Cells


def test_the_main_process_alone_hears_ctrl_c() -> None:
    with pooled(1, "--processes", use_catalogue, "") as pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


def test_a_process_that_is_killed_while_it_looks_is_told(checkpoint: Path) -> None:
    with pytest.raises(LeadlineError, match="ended from outside.*; give fewer --workers and --threads"):
        look(checkpoint, 2, 5, 2, os._exit, Cells)
