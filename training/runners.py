"""A model as a function of one scan: a released file on ONNX Runtime, or a checkpoint in PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from leadline.datasets.beam import beam
from leadline.datasets.inputs import vectors
from leadline.datasets.scan import Scan
from leadline.models import contract as contracts
from leadline.models.config import NetworkConfig, config_for
from leadline.models.outputs import Outputs
from leadline.training.checkpoints import load_checkpoint, network_from
from leadline.training.targets import said_vector

Runner = Callable[[Scan], tuple[Any, float, npt.NDArray[np.float32]]]
"""From a scan and its declaration to outputs, the score's logit, the families' logits."""


def onnx_runner(path: Path) -> tuple[Runner, NetworkConfig]:
    """A released file on ONNX Runtime, one thread."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    found = contracts.read(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    takes = {i.name for i in session.get_overridable_initializers()}

    def run(scan: Scan) -> tuple[Any, float, npt.NDArray]:
        feed = {"transmission": scan.transmission} | vectors(scan, found.catalogue, takes)
        outputs: Any = Outputs(*session.run(list(Outputs._fields), {k: v[None] for k, v in feed.items()}))
        return outputs, float(_logit(outputs.score)[0]), _logit(outputs.materials)[0]

    return run, config_for(found.scanner, families=found.families, watched=found.watched, pool=found.stride // 2)


def torch_runner(path: Path) -> tuple[Runner, NetworkConfig]:
    """A checkpoint in PyTorch, with logits that are not yet calibrated."""
    network = network_from(load_checkpoint(path)).eval()

    def run(scan: Scan) -> tuple[Any, float, npt.NDArray]:
        inputs = (scan.transmission, said_vector(scan.declaration), beam(scan.scanner))
        t, *known = (torch.from_numpy(v)[None] for v in inputs)
        with torch.no_grad():
            raw = network.raw(t, *known)
            novelty = torch.zeros(1)
            outputs = Outputs(
                torch.sigmoid(raw.score), torch.sigmoid(raw.materials), torch.sigmoid(raw.evidence),
                torch.expm1(raw.log_areal), raw.embedding, novelty,
            )  # fmt: skip
            return Outputs._make(o.numpy() for o in outputs), float(raw.score[0]), raw.materials[0].numpy()

    return run, network.config


def _logit(p: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    p = np.clip(p, 1e-7, 1 - 1e-7).astype(np.float64)
    return np.log(p / (1 - p)).astype(np.float32)
