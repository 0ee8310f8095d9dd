"""INT8 files: what is quantised, what is refused, and what is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from leadline.datasets.scan import LeadlineError
from leadline.datasets.simulator.simulate import simulate_pair
from leadline.inference.cli import main
from leadline.models import contract as contracts
from leadline.models.export import export_untrained
from leadline.training import quantise as module
from leadline.training import quantise_compare
from leadline.training.quantise import convolutions, quantise
from leadline.training.quantise_command import REFUSED, table
from leadline.training.quantise_compare import Change, Comparison, compare
from leadline.training.runners import onnx_runner


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real network, unfitted."""
    path = tmp_path_factory.mktemp("float") / "parcel.onnx"
    return export_untrained("parcel", path, widths=(16, 16, 32, 32), blocks=(0, 1, 1, 1), decoder=16, embedding=16)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def written(model: Path) -> tuple[Path, Comparison]:
    """A quantised file; an unfitted network's area may fall by chance, which is allowed here."""
    target = model.with_name("parcel-int8.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantise_compare, "MOST_LOST", 1.0)
        return target, quantise(model, target, calibration=4, scenes=6)


def test_convolutions_over_neighbours_alone_are_quantised(model: Path, written: tuple[Path, Comparison]) -> None:
    chosen, everything = convolutions(model)
    graph = onnx.load(str(written[0])).graph
    makers = {name: node for node in graph.node for name in node.output}
    weights = {w.name: w.dims for w in onnx.load(str(model)).graph.initializer}
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        from_eight_bits = makers.get(node.input[1], node).op_type == "DequantizeLinear"
        assert from_eight_bits == (node.name in chosen)
        if not from_eight_bits:  # those of single pixels, of few channels (the physics), and the heads
            assert weights[node.input[1]][1] < 16 or max(weights[node.input[1]][2:]) == 1
    assert 0 < len(chosen) < everything
    for operation in ("Log", "Div", "Sin", "Cos", "Sigmoid", "Gemm"):
        for node in graph.node:
            if node.op_type == operation:
                assert all(makers.get(i, node).op_type != "DequantizeLinear" for i in node.input)


def test_the_file_is_smaller_and_gives_nearly_the_same(model: Path, written: tuple[Path, Comparison]) -> None:
    import onnxruntime

    path, found = written
    assert found.bytes == model.stat().st_size
    assert path.stat().st_size < model.stat().st_size
    assert 0 <= path.stat().st_size - found.quantised_bytes < 1000  # what the contract tells of the comparison
    scan = np.random.default_rng(0).random((2, 2, 61, 93), np.float32)
    outputs = [
        onnxruntime.InferenceSession(str(p), providers=["CPUExecutionProvider"]).run(None, {"transmission": scan})
        for p in (model, path)
    ]
    for a, b in zip(*outputs, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() < 0.1 * max(1.0, np.abs(a).max())
    assert any(np.abs(a - b).max() > 0 for a, b in zip(*outputs, strict=True))


def test_screen_takes_the_file_and_the_contract_tells_its_origin(
    model: Path, written: tuple[Path, Comparison], tmp_path: Path
) -> None:
    before, after = contracts.read(model), contracts.read(written[0])
    assert after.version == before.version + "+int8"
    assert after.thresholds == before.thresholds and after.families == before.families
    assert after.training["quantised"]["from_sha256"] == contracts.sha256(model)
    example = Path(__file__).resolve().parents[2] / "examples" / "parcel_tungsten_tools.tif"
    done = run("screen", example, "--model", written[0], "--json", "--quiet")
    line = json.loads(done.stdout)
    assert line["model"]["sha256"] == contracts.sha256(written[0]) and line["model"]["version"].endswith("+int8")


def test_what_loses_too_much_leaves_no_file(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantise_compare, "MOST_LOST", -1.0)  # nothing can rise by so much
    target, report = tmp_path / "parcel-int8.onnx", tmp_path / "int8.json"
    done = run("quantise", model, "--out", target, "--calibration", 4, "--scenes", 20, "--json", report)
    assert done.exit_code == REFUSED, done.output
    assert "not written" in done.output
    assert [p.name for p in tmp_path.iterdir()] == ["int8.json"]
    told = json.loads(report.read_text())
    assert told["accepted"] is False and told["scans"] > 20
    assert told["fall"][1] <= told["fall"][0] <= told["fall"][2]


def test_a_killed_run_leaves_no_file(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "compare", stop)
    with pytest.raises(KeyboardInterrupt):
        quantise(model, tmp_path / "parcel-int8.onnx", calibration=4, scenes=20)
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_told_of_beam_and_goods(model: Path, tmp_path: Path) -> None:
    older = tmp_path / "older.onnx"
    made = onnx.load(str(model))
    kept = [i for i in made.graph.input if i.name not in ("beam", "appearance")]
    del made.graph.input[:]
    made.graph.input.extend(kept)
    onnx.save(made, str(older))
    found = quantise(older, tmp_path / "older-int8.onnx", calibration=4, scenes=4)
    assert found.quantised_bytes < found.bytes


def test_every_flipped_verdict_is_found(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = export_untrained("parcel", tmp_path / "other.onnx", seed=9, widths=(16, 16, 32, 32), decoder=16)
    runs = [onnx_runner(path)[0] for path in (model, other)]
    scores = []
    for index in range(3):
        for sample in simulate_pair("parcel", 77, index, split="heldout"):
            scores.append([float(run(sample.scan)[0].score[0]) for run in runs])
    between = sorted(v for pair in scores for v in pair)[len(scores)]
    contract = replace(contracts.read(model), thresholds={"0.01": between})
    monkeypatch.setattr(quantise_compare, "MOVED", sorted(abs(a - b) for a, b in scores)[-2])
    found = compare(model, other, contract, 3, 77, (1, 1), lambda done, total: None)
    flipped = [[a, b] for a, b in scores if (a >= between) != (b >= between)]
    assert flipped and [[f.score, f.quantised_score] for f in found.flips] == flipped
    assert all((f.verdict == "inspect") == (f.score >= between) for f in found.flips)
    assert all((f.quantised_verdict == "inspect") == (f.quantised_score >= between) for f in found.flips)
    assert [[m.score, m.quantised_score] for m in found.moved] == [max(scores, key=lambda s: abs(s[0] - s[1]))]


FLIPS = (
    Change(3, "goods/cement", False, False, 0.71, 0.69, "inspect", "clear"),
    Change(9, "antimony_under_lead", True, True, 0.59, 0.72, "clear", "inspect"),
)
MOVED = (FLIPS[1], Change(11, "goods/bolts", False, False, 0.10, 0.50, "clear", "clear"))


def compared(fall: tuple[float, float, float]) -> Comparison:
    """A comparison as `compare` makes it."""
    return Comparison(0.9, 0.9 - fall[0], fall, FLIPS, MOVED, 20, 8, 0.4, 20.0, 10.0, 4000, 1000, (5, 9))


def test_flips_and_scores_that_move_far_are_listed_once() -> None:
    text = table(compared((0.0, 0.0, 0.0)))
    assert "verdicts that flip: 2" in text
    assert "scene 3 (goods/cement, honest): inspect 0.7100 -> clear 0.6900" in text
    assert text.count("scene 9 (antimony_under_lead, undeclared threat): clear 0.5900 -> inspect 0.7200") == 1
    assert "scores that move by more than 0.1 under the same verdict: 1" in text
    assert "scene 11 (goods/bolts, honest): clear 0.1000 -> clear 0.5000" in text


@pytest.mark.parametrize(
    ("fall", "accepted", "shown"),
    [
        ((-0.0014, -0.0221, 0.0166), True, False),
        ((-0.0006, -0.0023, 0.0012), True, True),
        ((0.002, 0.001, 0.003), False, False),
    ],
)
def test_what_too_few_scans_do_not_show_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fall: tuple[float, float, float], accepted: bool, shown: bool
) -> None:
    monkeypatch.setattr(module, "quantise", lambda *arguments, **options: compared(fall))
    done = run("quantise", "x.onnx", "--out", tmp_path / "y.onnx", "--json", tmp_path / "y.json")
    assert done.exit_code == (0 if accepted else REFUSED)
    told = f"not shown that it costs less than 0.002: on so few scans the area may fall by up to {fall[2]:.4f}"
    assert (told in done.stderr) == (accepted and not shown)
    report = json.loads((tmp_path / "y.json").read_text())
    assert (report["accepted"], report["shown"]) == (accepted, shown)


Spoil = Callable[[Path, Path], tuple[Path, Path]]


def _listed(model: Path, folder: Path) -> tuple[Path, Path]:
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  parcel.onnx\n")
    return model, folder / "parcel.onnx"


REFUSALS: dict[str, tuple[str, Spoil]] = {
    "itself": ("is the float model itself", lambda model, folder: (model, model)),
    "listed": ("lists a file of this name", _listed),
    "nowhere": ("give the path of an ONNX model file", lambda model, folder: (folder / "x.onnx", folder / "y.onnx")),
    "table": ("is not the name of a model file", lambda model, folder: (model, folder / "labels.csv")),
    "folder": ("its folder does not exist", lambda model, folder: (model, folder / "none" / "y.onnx")),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_wrong_places_are_refused_before_anything_is_computed(model: Path, tmp_path: Path, name: str) -> None:
    message, spoil = REFUSALS[name]
    with pytest.raises(LeadlineError, match=message):
        quantise(*spoil(model, tmp_path))


def test_what_is_quantised_already_is_refused(written: tuple[Path, Comparison], tmp_path: Path) -> None:
    with pytest.raises(LeadlineError, match="quantised already"):
        quantise(written[0], tmp_path / "twice.onnx")
