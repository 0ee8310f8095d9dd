import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from leadline.datasets.scan import LeadlineError
from leadline.training.checkpoints import load_checkpoint, network_from
from leadline.training.fit import fit
from leadline.training.module import FitConfig, schedule

Short = Callable[..., FitConfig]


def test_schedule_rises_then_falls() -> None:
    assert schedule(0.0, 0.1) == pytest.approx(0.02)
    assert schedule(0.1, 0.1) == pytest.approx(1.0)
    assert schedule(0.55, 0.1) == pytest.approx(0.505)
    assert schedule(1.0, 0.1) == pytest.approx(0.01)


def test_a_fit_changes_the_network_and_keeps_its_mean(checkpoint: Path) -> None:
    made = load_checkpoint(checkpoint)
    assert made["global_step"] == 2
    assert made["leadline"]["scans"] == 8
    network = network_from(made)
    assert network.config.widths == (16, 16, 16, 16)
    assert not network.training
    kept = load_checkpoint(checkpoint.with_name("last.ckpt"))
    mean, current = kept["state_dict"], kept["current_model_state"]
    assert any(not torch.equal(mean[k], current[k]) for k in mean if k in current and mean[k].is_floating_point())


def test_a_stopped_fit_goes_on(short: Short, tmp_path: Path) -> None:
    out = tmp_path / "run"
    fit(short(out), progress=False)
    (out / "final.ckpt").unlink()
    first = load_checkpoint(out / "last.ckpt")
    made = load_checkpoint(fit(short(out, steps=4), progress=False))
    assert (first["global_step"], made["global_step"]) == (2, 4)
    assert (first["leadline"]["scans"], made["leadline"]["scans"]) == (8, 16)
    assert made["leadline"]["elapsed"] > first["leadline"]["elapsed"]


@pytest.mark.parametrize("end", [{"steps": 2}, {"steps": 0, "minutes": 0.005}])
def test_a_finished_fit_stays_finished(short: Short, tmp_path: Path, end: dict[str, float]) -> None:
    config = short(tmp_path / "run", save_minutes=2.0, **end)
    first = fit(config, progress=False).read_bytes()
    assert fit(config, progress=False).read_bytes() == first


def test_time_limits_a_fit(short: Short, tmp_path: Path) -> None:
    made = load_checkpoint(fit(short(tmp_path / "run", steps=0, minutes=0.01), progress=False))
    assert made["global_step"] >= 1
    assert made["leadline"]["elapsed"] < 60


def test_validation_is_logged(short: Short, tmp_path: Path) -> None:
    fit(short(tmp_path / "run", validation=4, validate_every=2), progress=False)
    with (tmp_path / "run" / "log" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["step"] for r in rows if r.get("val_auc")] == ["1"]


def test_what_is_logged_is_there_for_tensorboard(short: Short, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(short(tmp_path / "run", steps=10, validation=4, validate_every=10, tensorboard=True), progress=False)
    log = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    log.Reload()
    assert {"fit", "loss", "cells", "val_auc"} <= set(log.Tags()["scalars"])
    assert [event.step for event in log.Scalars("fit")] == [9]


def test_a_fit_without_an_end_is_refused(short: Short, tmp_path: Path) -> None:
    with pytest.raises(LeadlineError, match="give --minutes or --steps"):
        fit(short(tmp_path / "run", steps=0))


def test_a_fit_of_another_network_is_not_gone_on_with(short: Short, checkpoint: Path) -> None:
    config = short(checkpoint.parent, steps=5)
    with pytest.raises(LeadlineError, match="another network"):
        fit(replace(config, network=replace(config.network, decoder=32)), progress=False)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(100)])
def test_broken_checkpoints_are_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.ckpt"
    with pytest.raises(LeadlineError, match="no such checkpoint"):
        load_checkpoint(path)
    path.write_bytes(content)
    with pytest.raises(LeadlineError, match="not a readable checkpoint"):
        load_checkpoint(path)


def test_foreign_checkpoints_are_told(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "x.ckpt")
    with pytest.raises(LeadlineError, match="not a checkpoint of leadline"):
        load_checkpoint(tmp_path / "x.ckpt")


def test_checkpoints_run_no_code(tmp_path: Path) -> None:
    torch.save({"leadline": {}, "state_dict": {}, "bad": Path("x")}, tmp_path / "x.ckpt")
    with pytest.raises(LeadlineError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "x.ckpt")


KILLED = """
import sys
from pathlib import Path
from leadline.models.config import config_for
from leadline.training.fit import fit
from leadline.training.module import FitConfig
widths = dict(widths=(16, 16, 16, 16), blocks=(0, 1, 1, 1), decoder=16, pixel_width=8, embedding=12)
if __name__ == "__main__":
    out = Path(sys.argv[1])
    fit(FitConfig(config_for("parcel", **widths), out, steps=100000, batch=4, workers=0, canvas=(128, 160),
                  validation=0, average=0.5, bf16=False, scenes=3, cache=out / "scenes", reuse=1.0, save_minutes=0.0),
        progress=False)
"""


@pytest.mark.slow
def test_a_killed_fit_goes_on(short: Short, tmp_path: Path) -> None:
    out, script = tmp_path / "run", tmp_path / "killed.py"
    script.write_text(KILLED)
    process = subprocess.Popen([sys.executable, str(script), str(out)])
    deadline = time.monotonic() + 120
    while not (out / "last.ckpt").is_file() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = load_checkpoint(out / "last.ckpt")["global_step"]
    made = load_checkpoint(fit(short(out, steps=before + 2), progress=False))
    assert made["global_step"] == before + 2
    assert made["leadline"]["scans"] == 4 * (before + 2)
