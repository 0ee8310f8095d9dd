"""Several processes that fit together: each makes its own scenes, and one fit comes of it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from leadline.models.config import NetworkConfig
from leadline.training.checkpoints import load_checkpoint
from leadline.training.data import Stream, StreamConfig

CONFIG = """
kind = "parcel"
[fit]
steps = 3
batch = 4
canvas = [64, 80]
validation = 2
validate_every = 2
average = 0.5
bf16 = false
[scans]
workers = 0
scenes = 4
[machine]
threads = 1
accelerator = "cpu"
devices = 2
strategy = "ddp"
[network]
widths = [16, 16, 16, 16]
blocks = [0, 1, 1, 1]
decoder = 16
pixel_width = 8
embedding = 12
"""


def test_each_process_makes_its_own_scenes(tiny: NetworkConfig, tmp_path: Path) -> None:
    made = []
    for rank in range(2):
        folder = tmp_path / str(rank)
        config = StreamConfig(tiny, batch=2, canvas=(64, 80), scenes=100, folder=folder, reuse=1.0)
        list(islice(Stream(replace(config, rank=rank, ranks=2)), 2))
        made.append({int(p.stem) for p in folder.rglob("*.scene")})
    assert made[0] and made[1] and not made[0] & made[1]
    assert {k % 2 for k in made[0]} == {0} and {k % 2 for k in made[1]} == {1}


@pytest.mark.slow
def test_two_processes_fit_one_model(tmp_path: Path) -> None:
    config, out = tmp_path / "two.toml", tmp_path / "run"
    config.write_text(CONFIG)
    command = [str(Path(sys.executable).with_name("leadline")), "train", str(config), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("final.ckpt: fitted") == 1  # the first process alone speaks
    made = load_checkpoint(out / "final.ckpt")
    assert (made["global_step"], made["leadline"]["scans"]) == (3, 2 * 3 * 4)
    assert len(json.loads((out / "run.json").read_text())["starts"]) == 1
