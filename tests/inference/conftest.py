"""Scans with known contents, and real model files with known answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from leadline.datasets.appearance import APPEARANCE
from leadline.datasets.beam import BEAM
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import KINDS, Declaration, Kind, Scan, Scanner
from leadline.inference.engine import Model, Scores
from leadline.models import contract
from leadline.models.contract import ModelContract

SCANNERS = {
    "parcel": Scanner("parcel", "160 kV", "80 kV", 1.5),
    "container": Scanner("container", "6 MV", "4 MV", 5.0),
}
RATIO = {"parcel": 1.6, "container": 1.09}
"""-ln T at the low energy over that at the high one, of everyday goods."""


def picture(
    kind: Kind = "parcel",
    shape: tuple[int, int] = (96, 128),
    boxes: tuple[tuple[int, int, int, int, float], ...] = ((30, 20, 90, 60, 1.0),),
    noise: float = 0.005,
    seed: int = 0,
    declaration: Declaration | None = None,
    **scanner: object,
) -> Scan:
    """A scan of boxes (x0, y0, x1, y1, attenuation) in air, with the counting noise of `noise` in open beam."""
    attenuation = np.zeros(shape)
    for x0, y0, x1, y1, a in boxes:
        attenuation[y0:y1, x0:x1] += a
    t = np.exp(-np.stack((attenuation, RATIO[kind] * attenuation)))
    t += noise * np.sqrt(t) * np.random.default_rng(seed).standard_normal(t.shape)
    told = Scanner(**{**vars(SCANNERS[kind]), **scanner})
    return Scan(np.clip(t, 0, 1.2).astype(np.float32), told, declaration, path="scan.tif", sha256="0" * 64)


Picture = Callable[..., Scan]


@pytest.fixture(scope="session", name="picture")
def picture_fixture() -> Picture:
    """`picture`, for test modules: they cannot import a conftest."""
    return picture


def write_model(
    path: Path, kind: Kind = "parcel", novelty: float = 0.1, takes: tuple[str, ...] = (), **values: object
) -> Path:
    """A model file in the released form whose answers are known by heart.

    What weakens the high energy by exp(-2) to exp(-6) is rare-earth oxide (evidence sigmoid(8 (2 - |-ln T - 4|))),
    what lets more through is organic; the score is the greatest evidence, or 0 if the declaration explains it;
    goods weigh 5 g/cm2 for each unit of -ln T. A model that takes the beam or the
    goods' appearance gives the first number of it as novelty. `values`
    replace entries of the contract.
    """
    families, watched = catalogue().names, catalogue().watched
    stride, n, oxide = {"parcel": 4, "container": 8}[kind], len(families), families.index("rare_earth_oxide")
    slope, offset = np.zeros((n, 2, 1, 1), np.float32), np.full(n, -8.0, np.float32)
    slope[oxide, 1], offset[oxide] = -8.0, 16.0
    slope[0, 0], offset[0] = -8.0, 16.0
    numbers = {
        "declared": np.zeros((1, n + 1), np.float32),
        "slope": slope,
        "offset": offset,
        "least": np.float32(1e-4),
        "most": np.float32(1),
        "oxide": np.array([oxide]),
        "zeroth": np.array([0]),
        "four": np.float32(4),
        "five": np.float32(5),
        "one": np.float32(1),
        "nothing": np.float32(0),
        "novel": np.float32(novelty),
        "line": np.array([-1]),
    }
    node = onnx.helper.make_node
    nodes = [
        node("AveragePool", ["transmission"], ["pooled"], kernel_shape=[stride] * 2, strides=[stride] * 2, ceil_mode=1),
        node("Clip", ["pooled", "least", "most"], ["bounded"]),
        node("Log", ["bounded"], ["log"]),
        node("Neg", ["log"], ["attenuation"]),
        node("Gather", ["attenuation", "zeroth"], ["high"], axis=1),
        node("Sub", ["high", "four"], ["shifted"]),
        node("Abs", ["shifted"], ["away"]),
        node("Concat", ["high", "away"], ["features"], axis=1),
        node("Conv", ["features", "slope", "offset"], ["logits"]),
        node("Sigmoid", ["logits"], ["evidence"]),
        node("GlobalMaxPool", ["evidence"], ["greatest"]),
        node("Flatten", ["greatest"], ["materials"]),
        node("Gather", ["materials", "oxide"], ["found"], axis=1),
        node("Gather", ["declared", "oxide"], ["explained"], axis=1),
        node("Sub", ["one", "explained"], ["open"]),
        node("Mul", ["found", "open"], ["scores"]),
        node("Reshape", ["scores", "line"], ["score"]),
        node("Mul", ["high", "five"], ["goods"]),
        node("Gather", ["evidence", "oxide"], ["here"], axis=1),
        node("Mul", ["goods", "here"], ["threat"]),
        node("Concat", ["goods", "threat"], ["areal_density"], axis=1),
        node("GlobalAveragePool", ["attenuation"], ["average"]),
        node("Flatten", ["average"], ["embedding"]),
        node("Mul", ["score", "nothing"], ["null"]),
        node("Add", ["null", "novel"], ["novelty"]),
    ]
    lengths = {"beam": BEAM, "appearance": APPEARANCE}
    for name in takes:
        numbers[name] = np.zeros((1, lengths[name]), np.float32)
        nodes[-1] = node("Gather", [name, "nowhere"], ["first"], axis=1)
        nodes.append(node("Reshape", ["first", "line"], ["novelty"]))
        numbers["nowhere"] = np.array([0])
    shapes = {
        "score": ["b"],
        "materials": ["b", n],
        "evidence": ["b", n, "h", "w"],
        "areal_density": ["b", 2, "h", "w"],
    }
    shapes |= {"embedding": ["b", 2], "novelty": ["b"]}
    inputs = {"transmission": ["b", 2, "rows", "columns"], "declared": ["b", n + 1]}
    inputs |= {name: ["b", lengths[name]] for name in takes}
    info = [
        [onnx.helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v) for k, v in d.items()]
        for d in (inputs, shapes)
    ]
    constants = [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in numbers.items()]
    graph = onnx.helper.make_graph(nodes, "dense", info[0], info[1], constants)
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    thresholds = {"0.002": 0.9, "0.004": 0.8, "0.01": 0.7, "0.05": 0.5}
    told = {"name": f"dense-{kind}", "version": "1.2.3", "scanner": kind, "families": families, "watched": watched}
    contract.write(path, ModelContract(**(told | {"stride": stride, "thresholds": thresholds} | values)))
    return path


@pytest.fixture(scope="session", name="write_model")
def write_model_fixture() -> Callable[..., Path]:
    """`write_model`, for test modules."""
    return write_model


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """A model file of each kind."""
    folder = tmp_path_factory.mktemp("models")
    made = {kind: write_model(folder / f"{kind}.onnx", kind) for kind in KINDS}
    contract.write_sums(folder)
    return made


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def leadline_python() -> Command:
    """Run a piece of Python in a process of its own."""

    def run(code: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    return run


def answers(
    kind: Kind = "parcel",
    shape: tuple[int, int] = (96, 128),
    score: float = 0.1,
    novelty: float = 0.2,
    places: tuple[tuple[str, tuple[int, int, int, int], float], ...] = (),
    materials: dict[str, float] | None = None,
    areal: float = 0.0,
    **values: object,
) -> Scores:
    """Scores made by hand: `places` are (family, (x0, y0, x1, y1) in cells, evidence); elsewhere it is 0.01.

    `areal` is the areal density of watch-list material everywhere, g/cm2. `values` replace entries of the contract.
    """
    families, stride = catalogue().names, {"parcel": 4, "container": 8}[kind]
    cells = tuple(-(-n // stride) for n in shape)
    evidence = np.full((len(families), *cells), 0.01, np.float32)
    for family, (x0, y0, x1, y1), value in places:
        evidence[families.index(family), y0:y1, x0:x1] = value
    present = evidence.max(axis=(1, 2))
    for family, probability in (materials or {}).items():
        present[families.index(family)] = probability
    told = {"name": "by hand", "version": "0", "scanner": kind, "families": families, "stride": stride}
    told |= {"watched": catalogue().watched, "thresholds": {"0.01": 0.5}, "mass_factor": (0.5, 2.0)}
    model = Model(ModelContract(**(told | values)), Path("by hand.onnx"), "f" * 64, "CPUExecutionProvider", None)
    density = np.stack((np.full(cells, 10.0), np.full(cells, areal))).astype(np.float32)
    return Scores(score, present, evidence, density, np.zeros(4, np.float32), novelty, float(stride), model)


@pytest.fixture(scope="session", name="answers")
def answers_fixture() -> Callable[..., Scores]:
    """`answers`, for test modules."""
    return answers
