"""The engine on real model files: contract, providers, broken files, threads, sizes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from leadline.datasets.appearance import appearance
from leadline.datasets.scan import Declaration, LeadlineError, Scan
from leadline.inference import engine as engines
from leadline.inference.engine import Engine, resolve_provider
from leadline.models import contract
from leadline.models.contract import ModelError

Picture = Callable[..., Scan]
Models = dict[str, Path]


@pytest.fixture(scope="module")
def engine(models: Models) -> Engine:
    return Engine(models["parcel"], threads=1)


def test_scores_follow_the_contract(engine: Engine, picture: Picture) -> None:
    scores = engine.score(picture(shape=(96, 130)))
    families, stride = len(scores.model.contract.families), scores.model.contract.stride
    cells = (-(-96 // stride), -(-130 // stride))
    assert 0 <= scores.score <= 1
    assert scores.materials.shape == (families,)
    assert scores.evidence.shape == (families, *cells)
    assert scores.areal_density.shape == (2, *cells)
    assert scores.embedding.ndim == 1
    assert scores.novelty >= 0
    assert scores.stride == stride
    assert scores.model.provider == "CPUExecutionProvider"
    assert scores.model.sha256 == contract.sha256(scores.model.path)


def test_a_batch_is_its_scans_one_by_one(engine: Engine, picture: Picture) -> None:
    """Sizes mixed and out of order, declarations differ."""
    scans = [
        picture(shape=shape, seed=i, declaration=Declaration("2846", "oxide") if i % 2 else None)
        for i, shape in enumerate([(96, 128), (64, 80), (96, 128), (96, 128), (64, 80)])
    ]
    for scan, together in zip(scans, engine.score_batch(scans), strict=True):
        alone = engine.score(scan)
        assert together.score == pytest.approx(alone.score, abs=1e-5)
        np.testing.assert_allclose(together.evidence, alone.evidence, atol=1e-5)
        np.testing.assert_allclose(together.embedding, alone.embedding, atol=1e-5)


def test_the_declaration_reaches_the_network(engine: Engine, picture: Picture) -> None:
    scan = picture(boxes=((30, 20, 90, 60, 3.0),))
    assert engine.score(scan).score > 0.99
    assert engine.score(scan.declared(Declaration("2846", "cerium oxide"))).score == 0


def test_the_beam_reaches_a_network_that_takes_it(
    tmp_path: Path, engine: Engine, picture: Picture, write_model: Callable[..., Path]
) -> None:
    told = Engine(write_model(tmp_path / "told.onnx", takes=("beam",)), threads=1)
    scans = [
        replace(scan, scanner=replace(scan.scanner, high=high))
        for scan, high in zip([picture()] * 3, ("160 kV", "120 kV", None), strict=True)
    ]
    assert [s.novelty for s in told.score_batch(scans)] == pytest.approx([1.6, 1.2, 0])
    assert not engine.score(scans[0]).model.takes


def test_the_goods_appearance_reaches_a_network_that_takes_it(
    tmp_path: Path, picture: Picture, write_model: Callable[..., Path]
) -> None:
    told = Engine(write_model(tmp_path / "told.onnx", takes=("appearance",)), threads=1)
    goods = [Declaration("2523", "cement"), Declaration("7210"), None]
    found = [s.novelty for s in told.score_batch([picture().declared(d) for d in goods])]
    assert found == pytest.approx([float(appearance(d)[0]) for d in goods])
    assert len(set(found)) == 3


def test_no_scans(engine: Engine) -> None:
    assert engine.score_batch([]) == []


def test_many_threads_share_one_engine(models: Models, picture: Picture) -> None:
    engine = Engine(models["parcel"], threads=1)
    scans = [picture(seed=i) for i in range(12)]
    expected = [engine.score(s).score for s in scans]
    with ThreadPoolExecutor(4) as pool:
        assert [s.score for s in pool.map(engine.score, scans)] == pytest.approx(expected, abs=1e-6)


def test_huge_scans_are_averaged_down(engine: Engine, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = picture(shape=(200, 260))
    monkeypatch.setattr(engines, "MOST_PIXELS", 200 * 260 / 3)
    scores = engine.score(scan)
    assert scores.stride == 2 * scores.model.contract.stride
    halved = scan.transmission.reshape(2, 100, 2, 130, 2).mean(axis=(2, 4))
    monkeypatch.undo()
    assert scores.score == pytest.approx(engine.score(replace(scan, transmission=halved)).score, abs=1e-5)


def test_too_small(engine: Engine, picture: Picture) -> None:
    with pytest.raises(LeadlineError, match=r"scan\.tif: 8 x 40 pixels.*32"):
        engine.score(picture(shape=(8, 40), boxes=()))


class TestWhichModel:
    def test_unknown_kind(self, picture: Picture) -> None:
        with pytest.raises(LeadlineError, match=r"scan\.tif.*--scanner parcel or --scanner container"):
            Engine(threads=1).score(_kindless(picture()))

    def test_a_given_model_takes_scans_of_unknown_kind(self, engine: Engine, picture: Picture) -> None:
        scan = _kindless(picture())
        assert engine.score(scan).model.contract.scanner == "parcel"
        assert engine.identified(scan).scanner.kind == "parcel"
        assert Engine(threads=1).identified(scan) is scan
        assert engine.identified(picture("container")).scanner.kind == "container"

    def test_but_not_of_the_other_kind(self, engine: Engine, picture: Picture) -> None:
        with pytest.raises(LeadlineError, match=r"a container scan, but .*parcel\.onnx is a model for parcel scans"):
            engine.score(picture("container"))

    def test_the_released_one_of_the_kind(
        self, models: Models, picture: Picture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(contract, "released", lambda kind: models[kind])
        engine = Engine(threads=1)
        kinds = ["parcel", "container", "parcel"]
        scores = engine.score_batch([picture(kind) for kind in kinds])
        assert [s.model.contract.scanner for s in scores] == kinds
        assert scores[0].model is scores[2].model

    def test_files_of_the_wrong_kind_in_its_place(
        self, models: Models, picture: Picture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(contract, "released", lambda kind: models["container"])
        with pytest.raises(ModelError, match="a model for container scans"):
            Engine(threads=1).score(picture("parcel"))


def _kindless(scan: Scan) -> Scan:
    return replace(scan, scanner=replace(scan.scanner, kind=None))


class TestBrokenModels:
    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
    def test_cut(self, models: Models, tmp_path: Path, share: float) -> None:
        path = tmp_path / "cut.onnx"
        data = models["parcel"].read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(ModelError, match=r"cut\.onnx: .*; "):
            Engine(path)

    def test_edited(self, models: Models, tmp_path: Path) -> None:
        path = Path(shutil.copy(models["parcel"], tmp_path))
        contract.write_sums(tmp_path)
        Engine(path, threads=1)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(ModelError, match="SHA-256 differs"):
            Engine(path, threads=1)

    def test_foreign(self, models: Models, tmp_path: Path) -> None:
        model = onnx.load(models["parcel"])
        del model.metadata_props[:]
        onnx.save(model, tmp_path / "foreign.onnx")
        with pytest.raises(ModelError, match="without leadline's metadata"):
            Engine(tmp_path / "foreign.onnx")

    def test_not_a_model(self, tmp_path: Path) -> None:
        (tmp_path / "note.onnx").write_text("not a model\n")
        with pytest.raises(ModelError, match=r"note\.onnx"):
            Engine(tmp_path / "note.onnx")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"none\.onnx: No such file"):
            Engine(tmp_path / "none.onnx")
        with pytest.raises(ModelError, match="Is a directory"):
            Engine(tmp_path)

    def test_our_metadata_on_another_graph(self, models: Models, tmp_path: Path) -> None:
        node = onnx.helper.make_node("Identity", ["transmission"], ["score"])
        shape = [None, 2, None, None]
        values = [
            onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in ("transmission", "score")
        ]
        graph = onnx.helper.make_graph([node], "other", values[:1], values[1:])
        path = tmp_path / "other.onnx"
        opset = onnx.helper.make_opsetid("", 20)
        onnx.save(onnx.helper.make_model(graph, ir_version=10, opset_imports=[opset]), path)
        contract.write(path, contract.read(models["parcel"]))
        with pytest.raises(ModelError, match="lacks .*declared"):
            Engine(path)

    def test_another_list_of_families(self, models: Models, tmp_path: Path) -> None:
        path = Path(shutil.copy(models["parcel"], tmp_path))
        told = contract.read(path)
        contract.write(path, replace(told, families=told.families[::-1]))
        with pytest.raises(ModelError, match="another list of families"):
            Engine(path)

    def test_weights_that_make_no_graph(self, models: Models, tmp_path: Path) -> None:
        """Whole as a file, ours by its metadata, and yet nothing that ONNX Runtime can load."""
        model = onnx.load(models["parcel"])
        model.graph.node[0].op_type = "NoSuchOperator"
        path = tmp_path / "nonsense.onnx"
        onnx.save(model, path)
        with pytest.raises(ModelError, match=r"nonsense\.onnx: ONNX Runtime cannot load it"):
            Engine(path)


class TestProvider:
    @pytest.mark.parametrize("name", [None, "cpu", "CPU", "CPUExecutionProvider"])
    def test_cpu(self, name: str | None) -> None:
        assert resolve_provider(name) == "CPUExecutionProvider"

    @pytest.mark.parametrize("name", ["tpu", "NoSuchExecutionProvider", ""])
    def test_one_that_is_not_there(self, name: str) -> None:
        with pytest.raises(LeadlineError, match=r"--provider .*offers .*cpu"):
            Engine(provider=name)

    def test_cuda_is_never_a_silent_cpu(self) -> None:
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("this installation has CUDA")
        with pytest.raises(LeadlineError, match=r"leadline\[gpu\]"):
            Engine(provider="cuda")


PROGRAM = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "lightning", "onnx", "scipy", "sklearn", "matplotlib"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
import os
from leadline.inference.engine import Engine
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
import numpy as np
from leadline.datasets.scan import Scan, Scanner
scan = Scan(np.full((2, 64, 64), 0.5, np.float32), Scanner("parcel"))
print(Engine(sys.argv[1]).score(scan).score)
"""


def test_needs_no_torch(models: Models) -> None:
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, models["parcel"]], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert 0 <= float(done.stdout) <= 1


@pytest.mark.slow
def test_a_network_as_it_is_exported(tmp_path: Path, picture: Picture) -> None:
    """Not only the model of these tests: the architecture that is fitted, through the same door."""
    from leadline.models.export import export_untrained

    small = {"widths": (16, 16, 16, 16), "blocks": (0, 0, 0, 0), "decoder": 16, "embedding": 8}
    path = export_untrained("container", tmp_path / "model.onnx", **small)
    scans = [picture("container", shape=shape) for shape in ((96, 130), (61, 77), (96, 130))]
    engine = Engine(path, threads=1)
    for scan, scores in zip(scans, engine.score_batch(scans), strict=True):
        assert scores.evidence.shape[1:] == tuple(-(-n // 8) for n in scan.shape)
        assert scores.score == pytest.approx(engine.score(scan).score, abs=1e-4)
