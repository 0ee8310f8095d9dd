"""INT8 for a released model: convolutions in eight bits, all else in float, accepted only if it costs nothing.

Static quantisation by ONNX Runtime: weights per channel, activations by the range that they take on simulated
scans, in the form of Q/DQ pairs. The logarithms, ratios and periodic features of the input, the 1 x 1 functions of
single pixels, the heads and the calibration stay in float: eight bits of attenuation would be coarser than the
contrasts that are looked for. Weights use seven bits (`reduce_range`), since processors without VNNI saturate on
eight, and a file must score the same everywhere.
"""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from sklearn.metrics import roc_auc_score

from leadline.datasets.inputs import vectors
from leadline.datasets.scan import FileError, Kind, LeadlineError, Scan
from leadline.datasets.simulator.simulate import Sample, simulate, simulate_pair
from leadline.models import contract as contracts
from leadline.models.contract import ModelContract, ModelError
from leadline.models.export import forget_sources
from leadline.training.record import Told
from leadline.training.runners import onnx_runner

MOST_LOST = 0.002
"""Fall of the area under the ROC curve from which a quantised model is refused."""

CALIBRATION_SEED, HELDOUT_SEED = 8100, 8200
"""Sets of scenes whose activations are ranged (split `validation`) and on which both are compared (`heldout`)."""

TIMED: dict[Kind, tuple[int, int]] = {"parcel": (400, 500), "container": (700, 1400)}
"""Rows and columns of the scan on which the two are timed."""

_Said = tuple[float, float, float]  # score, novelty, logit

_DRAWS = 500  # bootstrap


@dataclass(frozen=True)
class Flip:
    """A held-out scan on which the two models disagree."""

    index: int
    scenario: str
    threat: bool
    undeclared: bool
    score: float
    quantised_score: float
    verdict: str
    quantised_verdict: str


@dataclass(frozen=True)
class Comparison:
    """A quantised model beside the float one.

    Attributes:
        auc, quantised_auc: on the same held-out scans.
        fall: of the area, with its 95 % interval (paired bootstrap).
        flips: scans whose verdict differs at the default threshold.
        scans, undeclared: how many, and how many of them hold undeclared watch-list material.
        greatest: greatest difference of a score.
        milliseconds, quantised_milliseconds: medians of one inference, one thread.
        bytes, quantised_bytes: sizes of the files.
        convolutions: (quantised, all).
    """

    auc: float
    quantised_auc: float
    fall: tuple[float, float, float]
    flips: tuple[Flip, ...]
    scans: int
    undeclared: int
    greatest: float
    milliseconds: float
    quantised_milliseconds: float
    bytes: int
    quantised_bytes: int
    convolutions: tuple[int, int]

    @property
    def accepted(self) -> bool:
        """Whether the area falls by less than `MOST_LOST`."""
        return self.fall[0] < MOST_LOST


def quantise(
    model: Path,
    target: Path,
    *,
    calibration: int = 48,
    scenes: int = 400,
    seed: int = HELDOUT_SEED,
    told: Told = lambda done, total: None,
) -> Comparison:
    """Quantise a model, compare it, and write it if it is accepted.

    Args:
        model: float model file.
        target: the file to write; it appears only if the comparison accepts it.
        calibration: simulated scans from which the ranges are taken.
        scenes: held-out scenes of the comparison, each honest and with its threat.
        seed: of these.
        told: is told of the progress over both.

    Raises:
        ModelError: the model cannot be used, is quantised already, or has no convolution to quantise.
        LeadlineError: the target may not or cannot be written.
    """
    contract = contracts.read(model)
    contracts.verify(model)
    _check_target(model, target)
    chosen, everything = convolutions(model)
    with _writing(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=".quantise-") as folder:
        draft = Path(folder) / "draft.onnx"
        whole = calibration + scenes
        _write(model, draft, contract, chosen, calibration, lambda done, _: told(done, whole))
        contracts.write(draft, contract)
        counted = (len(chosen), everything)
        found = compare(model, draft, contract, scenes, seed, counted, lambda done, _: told(calibration + done, whole))
        if found.accepted:
            contracts.write(draft, _told(contract, found, model, scenes, seed))
            contracts.read(draft)
            os.replace(draft, target)
    return found


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Tell a full disk as an error of the target, of which nothing is left."""
    try:
        yield
    except OSError as error:
        reason = f"cannot be written ({error.strerror or error})"
        raise FileError(target, reason, "free some space, or choose another --out") from error


def convolutions(model: Path) -> tuple[list[str], int]:
    """Names of the convolutions that are quantised, and how many there are: those that look at neighbours.

    Raises:
        ModelError: there is none, or the model is quantised already.
    """
    graph = onnx.load(str(model)).graph
    if any(node.op_type in ("QuantizeLinear", "QLinearConv") for node in graph.node):
        raise ModelError(model, "quantised already", "give the float model")
    weights = {w.name: w.dims for w in graph.initializer}
    every = [node for node in graph.node if node.op_type == "Conv"]
    chosen = [
        node.name
        for node in every
        if (dims := weights.get(node.input[1])) is not None and dims[1] >= 16 and max(dims[2:]) > 1
    ]
    if not chosen:
        raise ModelError(
            model, "has no convolution to quantise (none over neighbours of 16 or more channels)", "keep the float file"
        )
    return chosen, len(every)


def compare(
    model: Path, quantised: Path, contract: ModelContract, scenes: int, seed: int, counted: tuple[int, int], told: Told
) -> Comparison:
    """Score held-out simulated scans with both files, and time both."""
    runners = [onnx_runner(path)[0] for path in (model, quantised)]
    rows: list[tuple[Sample, int, _Said, _Said]] = []
    for index in range(scenes):
        told(index, scenes)
        for sample in simulate_pair(contract.scanner, seed, index, split="heldout"):
            outputs = [run(sample.scan)[:2] for run in runners]
            kept = replace(sample, scan=replace(sample.scan, transmission=np.zeros((2, 1, 1), np.float32)))
            first, second = ((float(o.score[0]), float(o.novelty[0]), logit) for o, logit in outputs)
            rows.append((kept, index, first, second))
    labels = np.array([s.truth.undeclared for s, *_ in rows])
    if labels.all() or not labels.any():
        raise LeadlineError(f"--scenes {scenes}: scans with and without threats are needed; give more")
    logits = np.array([[a[2], b[2]] for _, _, a, b in rows], float)
    scores = np.array([[a[0], b[0]] for _, _, a, b in rows], float)
    flips = tuple(
        Flip(
            index, s.truth.scenario, s.truth.is_threat, bool(s.truth.undeclared), a[0], b[0],
            _verdict(a, contract), _verdict(b, contract),
        )
        for s, index, a, b in rows
        if _verdict(a, contract) != _verdict(b, contract)
    )  # fmt: skip
    areas = [float(roc_auc_score(labels, logits[:, k])) for k in range(2)]
    times = _times(runners, contract)
    return Comparison(
        areas[0], areas[1], _fall(labels, logits), flips, len(rows), int(labels.sum()),
        float(np.abs(scores[:, 0] - scores[:, 1]).max()), times[0], times[1],
        model.stat().st_size, quantised.stat().st_size, counted,
    )  # fmt: skip


def _check_target(model: Path, target: Path) -> None:
    """Refuse what would spoil another file, before anything is computed."""
    if not target.parent.is_dir():
        raise LeadlineError(f"--out {target}: its folder does not exist; make it, or give another place")
    if target.exists() and target.samefile(model):
        raise LeadlineError(f"--out {target}: is the float model itself; give another name")
    sums = target.with_name("SHA256SUMS")
    if sums.is_file() and any(line.split()[-1:] == [target.name] for line in sums.read_text("utf-8").splitlines()):
        raise LeadlineError(f"--out {target}: {sums} lists a file of this name; give another name")


def _write(model: Path, draft: Path, contract: ModelContract, chosen: list[str], calibration: int, told: Told) -> None:
    """The quantised graph, still without its own contract."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    graph = onnx.load(str(model))
    takes = {i.name for i in graph.graph.input}

    class Scans(CalibrationDataReader):
        """Simulated scans of training's scanners, one after the other."""

        def __init__(self) -> None:
            self.feeds = enumerate(_feeds(contract, calibration, takes))

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            done, feed = next(self.feeds, (calibration, None))
            told(done, calibration)
            return feed

    with _quiet():
        quantize_static(
            graph,  # of a path it would write beside the file, which may not be the user's to change
            str(draft),
            Scans(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_quantize=chosen,
            op_types_to_quantize=["Conv"],
        )
    written = onnx.load(str(draft))
    forget_sources(written.graph)
    onnx.checker.check_model(written)
    onnx.save(written, str(draft))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without ONNX Runtime's advice on graphs that were not preprocessed and on the default of `declared`."""
    import onnxruntime

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(3)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)
        logging.disable(before)


def _feeds(contract: ModelContract, count: int, takes: Collection[str]) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    for index in range(count):
        scan = simulate(contract.scanner, CALIBRATION_SEED, index, split="validation").scan
        feed = {"transmission": scan.transmission} | vectors(scan, contract.catalogue, takes)
        yield {name: array[None] for name, array in feed.items()}


def _verdict(outputs: _Said, contract: ModelContract) -> str:
    """What score and novelty alone would say."""
    score, novelty, _ = outputs
    return "inspect" if score >= contract.threshold else "rescan" if novelty > 1 else "clear"


def _fall(labels: npt.NDArray[np.bool_], logits: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Fall of the area under the curve, with a 95 % interval over drawn scans, the same for both models."""

    def fall(chosen: npt.NDArray[np.int64]) -> float:
        return float(
            roc_auc_score(labels[chosen], logits[chosen, 0]) - roc_auc_score(labels[chosen], logits[chosen, 1])
        )

    rng = np.random.default_rng(0)
    honest, threats = np.flatnonzero(~labels), np.flatnonzero(labels)
    drawn = [fall(np.r_[rng.choice(honest, len(honest)), rng.choice(threats, len(threats))]) for _ in range(_DRAWS)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return fall(np.arange(len(labels))), float(low), float(high)


def _times(runners: list[Any], contract: ModelContract, rounds: int = 15) -> list[float]:
    """Median milliseconds of one inference of each, in turns, so that both meet the same load."""
    scan = Scan(np.random.default_rng(0).random((2, *TIMED[contract.scanner]), np.float32))
    taken: list[list[float]] = [[] for _ in runners]
    for _ in range(rounds):
        for k, run in enumerate(runners):
            started = time.perf_counter()
            run(scan)
            taken[k].append(1000 * (time.perf_counter() - started))
    return [statistics.median(t[1:]) for t in taken]


def _told(contract: ModelContract, found: Comparison, model: Path, scenes: int, seed: int) -> ModelContract:
    """The contract of the quantised file: its own version, and how it compares with the float one."""
    record = {
        "from_sha256": contracts.sha256(model),
        "scenes": scenes,
        "seed": seed,
        "auc": round(found.quantised_auc, 5),
        "auc_of_float": round(found.auc, 5),
        "flipped": len(found.flips),
    }
    version = f"{contract.version}+int8"
    return replace(contract, version=version, training={**contract.training, "quantised": record})
