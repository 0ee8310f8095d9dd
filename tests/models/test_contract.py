from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from leadline.datasets.scan import LeadlineError
from leadline.models import contract
from leadline.models.contract import ModelContract, ModelError

CONTRACT = ModelContract(
    name="leadline-test",
    version="0.1.0",
    scanner="parcel",
    families=("organic", "lead", "antimony"),
    watched=("antimony",),
    stride=4,
    thresholds={"0.002": 0.91, "0.01": 0.62, "0.05": 0.2},
    evidence_threshold=0.4,
    mass_factor=(0.6, 1.7),
    training={"seed": 3, "scans": 120, "machine": "2 cores – 23 GB"},
    metrics={"auc": [0.9, 0.88, 0.92]},
)


def onnx_file(path: Path) -> Path:
    """A one-node ONNX model with a weight large enough to be cut."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, (4096,), np.arange(4096, dtype=np.float32))
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4096,))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (4096,))],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


def test_every_entry_survives_save_and_load(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx")
    contract.write(path, CONTRACT)
    assert contract.read(path) == CONTRACT
    contract.write(path, replace(CONTRACT, version="0.2.0"))
    assert contract.read(path) == replace(CONTRACT, version="0.2.0")
    onnx.checker.check_model(str(path))


def test_onnxruntime_sees_the_same_contract(tmp_path: Path) -> None:
    import onnxruntime

    path = onnx_file(tmp_path / "m.onnx")
    contract.write(path, CONTRACT)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map[contract.KEY]
    assert ModelContract.from_json(text) == CONTRACT


@pytest.mark.parametrize("keep", [0, 1, 40, 5000, 16000, -1, -200])
def test_a_cut_file_is_told(tmp_path: Path, keep: int) -> None:
    path = onnx_file(tmp_path / "m.onnx")
    contract.write(path, CONTRACT)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"m\.onnx: .*; .*(fetch|export)"):
        contract.read(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello, this is a text file\n" * 9, b"II*\0\x08\0\0\0" + bytes(900), b"\x89PNG\r\n\x1a\n" + bytes(99)],
)
def test_foreign_files_are_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx: not a"):
        contract.read(path)


def test_an_onnx_file_of_others_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="without leadline's metadata"):
        contract.read(onnx_file(tmp_path / "m.onnx"))


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"format": 99}', '{"format": 1, "name": "x"}', CONTRACT.to_json().replace('"parcel"', '"truck"')],
)
def test_unusable_metadata_is_told(tmp_path: Path, text: str) -> None:
    path = onnx_file(tmp_path / "m.onnx")
    model = onnx.load(str(path))
    model.metadata_props.add(key=contract.KEY, value=text)
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match="metadata cannot be used"):
        contract.read(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(LeadlineError, match="give the path of an ONNX model file"):
            contract.read(path)
        with pytest.raises(LeadlineError, match="give the path of an ONNX model file"):
            contract.verify(path)


def test_sums_find_an_edited_model(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx")
    assert contract.verify(path) == contract.sha256(path)  # nothing lists it
    sums = contract.write_sums(tmp_path).read_text()
    assert sums == f"{contract.sha256(path)}  m.onnx\n"
    assert contract.verify(path) == contract.sha256(path)
    data = bytearray(path.read_bytes())
    data[9000] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ModelError, match="cut or edited"):
        contract.verify(path)


def test_thresholds_by_rate() -> None:
    assert CONTRACT.threshold == 0.62
    assert CONTRACT.threshold_for(0.002) == 0.91
    with pytest.raises(LeadlineError, match="no threshold.*0.03; choose one of 0.002, 0.01, 0.05"):
        CONTRACT.threshold_for(0.03)


@pytest.mark.parametrize(
    "change", [{"stride": 0}, {"default_rate": "0.3"}, {"watched": ("gold",)}, {"thresholds": {"0.01": 1.5}}]
)
def test_contracts_that_contradict_themselves_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="."):
        replace(CONTRACT, **change)


def test_a_released_model_must_be_listed(tmp_path: Path) -> None:
    """Without its line in SHA256SUMS a file counts as anybody's, not as one that shipped."""
    model = tmp_path / "parcel.onnx"
    model.write_bytes(b"a model")
    assert contract.verify(model) == contract.sha256(model)
    with pytest.raises(contract.ModelError, match="no SHA256SUMS beside it lists it"):
        contract.verify(model, required=True)
    contract.write_sums(tmp_path)
    assert contract.verify(model, required=True) == contract.sha256(model)
