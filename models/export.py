"""From a fitted network to one ONNX file that agrees with it.

The file holds everything: averaging, logarithm, network, calibration, novelty, contract. `export`
compares it with PyTorch on all outputs at several batch and image sizes, and refuses to leave a file
that differs by more than `TOLERANCE`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from leadline.datasets.appearance import APPEARANCE
from leadline.datasets.beam import BEAM
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import FileError, Kind, LeadlineError
from leadline.models import contract as contracts
from leadline.models.calibrated import Calibrated
from leadline.models.config import NetworkConfig, config_for
from leadline.models.contract import ModelContract
from leadline.models.ensemble import build
from leadline.models.outputs import Outputs

TOLERANCE = 1e-4
"""Greatest difference between PyTorch and ONNX Runtime, absolute or relative to the value."""

SHAPES = ((1, 96, 128), (2, 61, 93), (3, 130, 77), (1, 1, 1), (1, 7, 40), (1, 400, 500))
"""Batch, rows and columns at which the two are compared."""

OPSET = 20

REST = "rest_of_state"
"""Name of the tensor in a model file that no node uses: what is needed to fit on, and only for that."""


class ParityError(LeadlineError):
    """An exported file does not give what the network gives."""


def export(
    network: Calibrated, path: str | Path, contract: ModelContract, shapes: Sequence[tuple[int, int, int]] = SHAPES
) -> dict[str, float]:
    """Write a network as an ONNX file with its contract.

    Args:
        network: in any mode; it is exported in eval mode.
        path: the file to write. It appears only once parity is shown.
        contract: goes into the file's metadata; must name the network's families and stride.
        shapes: batch, rows, columns at which PyTorch and ONNX Runtime are compared.

    Returns:
        Greatest difference of each output, in units of `TOLERANCE`.

    Raises:
        ParityError: an output differs by more than `TOLERANCE`.
        LeadlineError: the contract is not this network's, or the file cannot be written.
    """
    config = network.config
    if (contract.scanner, contract.families, contract.stride) != (config.kind, config.families, config.stride):
        raise LeadlineError(f"{path}: the contract names other families, stride or scanner than the network has")
    path = Path(path)
    part = path.with_name(path.name + ".part")
    was_training = network.training
    network.eval()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _save(network, part)
        contracts.write(part, contract)
        contracts.read(part)
        found = parity(network, part, shapes)
        os.replace(part, path)
    except OSError as error:
        remedy = "free some space, or choose another place"
        raise FileError(path, f"cannot be written ({error.strerror or error})", remedy) from error
    finally:
        with suppress(OSError):
            part.unlink()
        network.train(was_training)
    return found


def _save(network: Calibrated, path: Path) -> None:
    families = len(network.config.families)
    pool = max(network.config.pool, *network.config.coarser, 1)
    # Large enough that no level of the pyramid has one cell only, which the tracer would take for the rule.
    known = {"declared": families + 1, "beam": BEAM, "appearance": APPEARANCE}  # inputs that may be left out
    example = (torch.rand(2, 2, 48 * pool, 64 * pool), *(torch.zeros(2, n) for n in known.values()))
    batch, rows, columns = (torch.export.Dim(name) for name in ("batch", "height", "width"))
    # All inputs share the axis `batch`, as they should; torch warns of it.
    with torch.no_grad(), warnings.catch_warnings(action="ignore", category=UserWarning):
        program = torch.onnx.export(
            network,
            example,
            input_names=["transmission", *known],
            output_names=list(Outputs._fields),
            dynamic_shapes=({0: batch, 2: rows, 3: columns}, *({0: batch} for _ in known)),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = program.model_proto
    forget_sources(model.graph)
    defaults = [numpy_helper.from_array(np.zeros((1, n), np.float32), name) for name, n in known.items()]
    model.graph.initializer.extend([*defaults, _rest(network, model.graph)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _rest(network: Calibrated, graph: onnx.GraphProto) -> onnx.TensorProto:
    """What of a network's state the graph does not hold by name, as one tensor: `models.restore` needs it.

    The exporter folds normalisations into convolutions, and keeps one of several tensors that are alike.
    """
    there = {t.name for t in graph.initializer}
    parts = [v.detach().float().flatten() for name, v in rest(network.state_dict(), there)]
    return numpy_helper.from_array(torch.cat(parts).numpy() if parts else np.zeros(0, np.float32), REST)


def rest(state: Mapping[str, Tensor], there: Collection[str]) -> list[tuple[str, Tensor]]:
    """Entries of a network's state that are not among the names, in the order in which `REST` holds them."""
    return [(k, v) for k, v in sorted(state.items()) if k not in there and v.is_floating_point()]


def parity(network: Calibrated, path: str | Path, shapes: Sequence[tuple[int, int, int]] = SHAPES) -> dict[str, float]:
    """Compare a file with the network, on random scans of the given shapes.

    Returns:
        Greatest difference of each output over all shapes, in units of `TOLERANCE`.

    Raises:
        ParityError: one of them is above 1.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # it warns that inputs that have a default cannot be folded
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    worst = dict.fromkeys(Outputs._fields, 0.0)
    for batch, rows, columns in shapes:
        scan = phantom(generator, batch, rows, columns)
        declared = (generator.random((batch, len(network.config.families) + 1)) < 0.4).astype(np.float32)
        told, look = (generator.uniform(0.5, 2.0, (batch, n)).astype(np.float32) for n in (BEAM, APPEARANCE))
        known = {"declared": declared, "beam": told, "appearance": look}
        for feed in ({"transmission": scan} | known, {"transmission": scan}):
            given = [torch.from_numpy(feed.get(name, np.zeros_like(v))) for name, v in known.items()]
            with torch.no_grad():
                expected = network(torch.from_numpy(scan), *given)
            found = session.run(None, feed)
            for name, a, b in zip(Outputs._fields, expected, found, strict=True):
                if a.shape != b.shape:
                    raise ParityError(
                        f"{path}: {name} is {b.shape} where PyTorch has {tuple(a.shape)}; do not release it"
                    )
                gap = float(np.max(np.abs(a.numpy() - b) / (TOLERANCE * np.maximum(1, np.abs(b))), initial=0.0))
                worst[name] = max(worst[name], gap if np.isfinite(gap) else np.inf)
    over = {name: gap for name, gap in worst.items() if gap > 1}
    if over:
        listed = ", ".join(f"{name} by {gap * TOLERANCE:.1e}" for name, gap in over.items())
        raise ParityError(f"{path}: differs from PyTorch ({listed}; allowed {TOLERANCE:.0e}); do not release it")
    return worst


def phantom(generator: np.random.Generator, batch: int, rows: int, columns: int) -> np.ndarray:
    """Scan-like numbers for comparisons: boxes of any thickness, noise, black and bright pixels.

    Returns:
        float32 (batch, 2, rows, columns).
    """
    a = np.zeros((batch, 1, rows, columns))
    for image in a[:, 0]:
        for _ in range(6):
            y, x = sorted(generator.integers(0, rows + 1, 2)), sorted(generator.integers(0, columns + 1, 2))
            image[y[0] : y[1], x[0] : x[1]] += generator.exponential(1.0)
    low = a * generator.uniform(1.1, 2.0, (batch, 1, 1, 1))
    t = np.exp(-np.concatenate((a, low), 1))
    t += 0.01 * np.sqrt(t) * generator.standard_normal(t.shape)
    t[generator.random(t.shape) < 0.002] = 0
    return np.clip(t, 0, 1.3).astype(np.float32)


def draft_contract(config: NetworkConfig, **values: object) -> ModelContract:
    """A contract with a network's labels and placeholder thresholds; `values` replace entries."""
    base: dict = {
        "name": f"leadline-{config.kind}",
        "version": "0.0.0",
        "scanner": config.kind,
        "families": config.families,
        "watched": config.watched,
        "stride": config.stride,
        "network": config.to_dict(),
        "watch_list": catalogue().text,
        "thresholds": {"0.002": 0.9, "0.004": 0.8, "0.01": 0.7, "0.05": 0.5},
    }
    return ModelContract(**(base | values))


def export_untrained(kind: Kind, path: str | Path, seed: int = 0, **changes: object) -> Path:
    """Write a real model file whose weights are random, for tests and speed measurements.

    Args:
        kind: kind of scanner.
        path: the file to write.
        seed: of the weights.
        changes: entries of `NetworkConfig` that differ from the released ones, such as `widths`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(config_for(kind, **changes))
    training = {"seed": seed, "scans": 0, "steps": 0}
    export(network, path, draft_contract(network.config, training=training), shapes=SHAPES[:4])
    return Path(path)


def forget_sources(graph: onnx.GraphProto) -> None:
    """Remove what the exporter noted of the source (stack traces with the builder's paths) from a graph, in place."""
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("metadata_props")
    graph.ClearField("doc_string")
