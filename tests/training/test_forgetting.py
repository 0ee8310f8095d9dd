import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from leadline.datasets.formats.write import write_scan
from leadline.datasets.simulator.simulate import simulate_pair
from leadline.inference.cli import main
from leadline.models.config import config_for
from leadline.models.network import Network
from leadline.training.checkpoints import load_checkpoint, network_from
from leadline.training.forgetting import Pair, figures
from leadline.training.forgetting_report import PICTURED, as_page, as_table, pictures


def pairs() -> list[Pair]:
    """Twenty honest scans and four threats: one found by both, one forgotten, one learned, one missed."""
    honest = [Pair("simulated", f"{k} honest", "a", False, 0.05 * k, 0.05 * k) for k in range(20)]
    said = {"kept": (3, 3), "forgotten": (2, 0), "learned": (0, 4), "missed": (0, 0)}
    return honest + [Pair("simulated", name, "b<i>", True, float(o), float(n)) for name, (o, n) in said.items()]


def test_what_was_forgotten_and_what_was_learned() -> None:
    found = figures(pairs(), 0.05)["sets"]["simulated"]
    assert {k: found[k] for k in ("kept", "forgotten", "learned", "missed")} == dict.fromkeys(
        found["groups"]["b<i>"], 1
    )
    assert [s["name"] for s in found["scans"]["forgotten"]] == ["forgotten"]
    assert [s["name"] for s in found["scans"]["learned"]] == ["learned"]
    assert found["p"] == 1 and found["false_alarms"]["old"] == found["false_alarms"]["new"]
    assert found["found"]["new"][0] == 0.5


def test_models_are_compared_at_equal_false_alarms() -> None:
    shifted = [Pair(p.source, p.name, p.group, p.threat, p.old, p.old + 100) for p in pairs()]
    found = figures(shifted, 0.05)["sets"]["simulated"]
    assert (found["forgotten"], found["learned"], found["kept"]) == (0, 0, 2)
    assert found["auc"]["old"] == found["auc"]["new"]


def test_the_page_needs_nothing_beside_it_and_escapes() -> None:
    found = figures(pairs(), 0.05) | {"old": "a.onnx", "new": "b.ckpt", "fitted_on": "2", "command": "leadline <b>"}
    page = as_page(found)
    assert "b&lt;i&gt;" in page and "leadline &lt;b&gt;" in page and "<i>" not in page
    addresses = {a for a in re.findall(r"[a-z]+://[^\s\"'<>]+", page) if not a.startswith("http://www.w3.org/")}
    assert not addresses and "<script" not in page
    assert all(source.startswith("data:") for source in re.findall(r"(?:src|href)=\"([^#\"][^\"]*)", page))
    assert "| b<i> | 1 | 1 | 1 | 1 |" in as_table(found)
    assert page.count("<svg") == 2 and "only the old one alarms" in page


def test_scans_that_changed_are_drawn_with_what_both_models_look_at() -> None:
    network = Network(config_for("parcel"))
    drawn = pictures(figures(pairs(), 0.05), network, network, (), 0.0)["simulated"]
    assert [len(drawn[sort]) for sort in ("forgotten", "learned")] == [1, 1]
    for views in drawn["forgotten"]:
        assert len(views) == 3 and views[1].url.startswith("data:image/jpeg")
        assert views[1].url == views[2].url != views[0].url  # one network twice, and every cell marked


def test_a_set_of_one_class_is_told() -> None:
    found = figures([p for p in pairs() if p.threat], 0.05) | {"old": "", "new": "", "fitted_on": "", "command": ""}
    assert found["sets"]["simulated"]["auc"] == {"old": None, "new": None}
    assert "One class is missing" in as_page(found)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labelled scans."""
    folder = tmp_path_factory.mktemp("own")
    rows = ["path,label,family,hs_code,description"]
    for index in range(4):
        for s in simulate_pair("parcel", 91, index):
            path = folder / f"{index}-{s.truth.is_threat}.tif"
            write_scan(s.scan, path)
            code = (s.scan.declaration.hs_code or "") if s.scan.declaration else ""
            family = s.truth.boxes[0][0] if s.truth.boxes and s.truth.undeclared else ""
            rows.append(f"{path.name},{int(s.truth.undeclared)},{family},{code},")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_fitting_on(checkpoint: Path, own: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(
        f'preset = "finetune"\nout = "run"\n[fit]\nminutes = 0.0\nsteps = 2\nbatch = 4\ncanvas = [128, 160]\n'
        f"bf16 = false\n[scans]\nworkers = 0\n[machine]\nthreads = 1\n"
        f'[finetune]\nmodel = "{checkpoint}"\ndata = "{own}"\nscenes = 20\n'
    )
    done = CliRunner().invoke(main, ["train", str(config)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    run = tmp_path / "run"
    told = json.loads((run / "forgetting.json").read_text())
    assert set(told["sets"]) == {"simulated", "own"} and told["old"] == str(checkpoint)
    assert told["sets"]["own"]["threats"] >= 1 and told["sets"]["own"]["honest"] >= 1
    assert "own scans that were held back" in done.output
    page = (run / "forgetting.html").read_text()
    assert page.startswith("<!doctype html>")
    changed = [min(len(s["scans"][k]), n) for s in told["sets"].values() for k, n in PICTURED.items()]
    assert page.count("data:image/jpeg") == 3 * sum(changed)  # the scan, and where either model looks
    old, new = (network_from(load_checkpoint(p)).state_dict() for p in (checkpoint, run / "final.ckpt"))
    statistics = [k for k in old if "running" in k]
    # normalisations stay as they were, to the rounding of the running mean of the weights
    assert statistics and all(torch.allclose(old[k], new[k], rtol=1e-5, atol=1e-7) for k in statistics)
    assert any((old[k] != new[k]).any() for k in old if k.endswith("weight"))


@pytest.mark.slow
def test_a_killed_fit_goes_on_with_the_same_scans_and_labels_alone(checkpoint: Path, own: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(own, mine)
    base = shutil.copy(checkpoint, tmp_path / "base.ckpt")
    config = tmp_path / "mine.toml"
    config.write_text(
        f'preset = "finetune"\nout = "run"\n[fit]\nminutes = 0.0\nsteps = 100000\nbatch = 4\ncanvas = [128, 160]\n'
        f"save_minutes = 0.0\nbf16 = false\n[scans]\nworkers = 0\n[machine]\nthreads = 1\n"
        f'[finetune]\nmodel = "{base}"\ndata = "{mine}"\nscenes = 20\n'
    )
    last = tmp_path / "run" / "last.ckpt"
    program = [sys.executable, "-c", "from leadline.inference.cli import main; main(prog_name='leadline')"]
    with subprocess.Popen([*program, "train", str(config)], env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        while process.poll() is None and not last.is_file():
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    before = load_checkpoint(last)["global_step"]
    command = ["train", str(config), "--steps", str(before + 1)]

    labels = mine / "labels.csv"
    text = labels.read_text()
    row = next(line for line in text.splitlines() if ",1," in line)
    labels.write_text(text.replace(row, row.replace(",1,", ",0,").replace("antimony", "")))
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2 and f"{tmp_path / 'run'}: holds a fit on other scans or labels" in done.stderr
    assert row.split(",")[0] in done.stderr and "give another --out, or --restart" in done.stderr

    labels.write_text(text)
    Path(base).write_bytes(checkpoint.with_name("last.ckpt").read_bytes())
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2 and "holds a fit from another model" in done.stderr

    shutil.copy(checkpoint, base)
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert load_checkpoint(tmp_path / "run" / "final.ckpt")["global_step"] == before + 1
    scans = json.loads((tmp_path / "run" / "inputs.json").read_text())["scans"]
    assert len(scans) == len(text.splitlines()) - 1
    assert {s["side"] for s in scans.values()} == {"fitted on", "held back"}


def test_a_model_of_the_other_scanner_is_refused(checkpoint: Path, own: Path, tmp_path: Path) -> None:
    options = ["--kind", "container", "--model", checkpoint, "--data", own, "--out", tmp_path / "run"]
    done = CliRunner().invoke(main, ["train", "finetune", *map(str, options)])
    assert done.exit_code == 2 and "is a model for parcel scans, and kind is container" in done.stderr
