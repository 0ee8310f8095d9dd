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
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from leadline.datasets.inputs import vectors
from leadline.datasets.simulator.simulate import simulate
from leadline.models import contract as contracts
from leadline.models.contract import ModelContract, ModelError
from leadline.models.export import forget_sources
from leadline.training.model_files import check_target, writing
from leadline.training.quantise_compare import Comparison, compare
from leadline.training.record import Told

CALIBRATION_SEED, HELDOUT_SEED = 8100, 8200
"""Sets of scenes whose activations are ranged (split `validation`) and on which both are compared (`heldout`)."""


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
    check_target(model, target)
    chosen, everything = convolutions(model)
    with writing(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=".quantise-") as folder:
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


def _told(contract: ModelContract, found: Comparison, model: Path, scenes: int, seed: int) -> ModelContract:
    """The contract of the quantised file: its own version, and how it compares with the float one."""
    record = {
        "from_sha256": contracts.sha256(model),
        "scenes": scenes,
        "seed": seed,
        "auc": round(found.quantised_auc, 5),
        "auc_of_float": round(found.auc, 5),
        "fall": [round(value, 5) for value in found.fall],
        "shown": found.shown,
        "flipped": len(found.flips),
        "moved": len(found.moved),
    }
    version = f"{contract.version}+int8"
    return replace(contract, version=version, training={**contract.training, "quantised": record})
