import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result

from leadline.datasets.declarations import expected_families
from leadline.datasets.simulator.simulate import simulate
from leadline.models import contract
from leadline.training.commands import export, train
from leadline.training.measure_commands import evaluate


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)  # type: ignore[arg-type]


@pytest.mark.slow
def test_from_nothing_to_a_measured_model(tmp_path: Path) -> None:
    out, folder = tmp_path / "run", tmp_path / "released"
    options = ["--workers", 0, "--threads", 1, "--minutes", 0, "--steps", 6, "--batch", 4, "--heads", 24]
    done = run(train, "quick", "--kind", "parcel", "--out", out, *options)
    assert done.exit_code == 0 and "heads.ckpt: fitted" in done.output
    assert json.loads((out / "run.json").read_text())["settings"]["seed"] == 0

    options = ["--calibration", 60, "--scenes", 24, "--processes", 1, "--version", "9.9.9"]
    done = run(export, out / "heads.ckpt", "--release", folder, *options)
    assert done.exit_code == 0 and "this model" in done.output
    assert sorted(p.name for p in folder.iterdir()) == ["SHA256SUMS", "parcel.json", "parcel.md", "parcel.onnx"]

    path = folder / "parcel.onnx"
    found = contract.read(path)
    assert contract.verify(path) == json.loads((folder / "parcel.json").read_text())["sha256"]
    assert (found.version, found.stride, found.training["steps"]) == ("9.9.9", 8, 6)
    assert found.metrics["auc"][0] >= 0

    scan = simulate("parcel", 3, 1).scan
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {"transmission": scan.transmission[None], "declared": expected_families(scan.declaration)[None]}
    score, _, evidence, *_ = session.run(None, feed)
    assert 0 <= score[0] <= 1 and np.isfinite(evidence).all()

    done = run(evaluate, path, "--scenes", 20, "--processes", 1, "--out", tmp_path, "--json", tmp_path / "f.json")
    assert done.exit_code == 0 and "best energy-ratio rule" in done.output
    assert json.loads((tmp_path / "f.json").read_text())["set"]["split"] == "heldout"


def test_export_wants_one_target(tmp_path: Path) -> None:
    for options in ([], ["--out", tmp_path / "m.onnx", "--release", tmp_path]):
        done = run(export, tmp_path / "x.ckpt", *options)
        assert done.exit_code == 2 and "either --out FILE or --release FOLDER" in done.output
