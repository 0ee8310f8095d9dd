"""A network back from its ONNX file, to be fitted on: released files hold all weights, and no code.

Export folds every batch normalisation that follows a convolution into it, and keeps what that takes to undo.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from leadline.models import contract as contracts
from leadline.models.calibrated import Calibrated
from leadline.models.config import NetworkConfig
from leadline.models.contract import ModelContract, ModelError
from leadline.models.ensemble import build
from leadline.models.export import REST, ParityError, parity, rest

_SHAPES = ((1, 96, 128), (2, 61, 93))


def restore(path: str | Path) -> tuple[Calibrated, ModelContract]:
    """The network of a model file, in evaluation mode, and the file's contract.

    Returns:
        A network whose outputs agree with the file's to `export.TOLERANCE`, which is checked.

    Raises:
        ModelError: the file is no model, or holds another network than this version makes.
    """
    path = Path(path)
    contract = contracts.read(path)
    remedy = "fit on with the version of leadline that wrote it, or from a checkpoint"
    graph = onnx.load(str(path)).graph
    if not contract.network:
        raise ModelError(path, "was written before model files told the shape of their network", remedy)
    try:
        network = build(NetworkConfig.from_dict(dict(contract.network)))
        network.load_state_dict(_state(network, graph))
        network.eval()
        parity(network, path, _SHAPES)
    except (KeyError, RuntimeError, TypeError, ValueError, ParityError) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise ModelError(path, f"its network cannot be rebuilt ({reason})", remedy) from error
    return network, contract


def _state(network: nn.Module, graph: onnx.GraphProto) -> dict[str, Tensor]:
    """The network's state: by name, out of the rest, and with folded normalisations taken out of the convolutions."""
    values = {t.name: _tensor(t) for t in graph.initializer}
    used = {name for node in graph.node for name in node.input}
    state = network.state_dict()
    found = {name: values.get(name, value) for name, value in state.items()}
    missing = rest(state, values)
    parts = torch.split(values[REST], [value.numel() for _, value in missing])
    found |= {name: part.reshape(value.shape) for (name, value), part in zip(missing, parts, strict=True)}
    for conv, norm, epsilon in _followed(network):
        if f"{norm}.running_var" not in used:
            scale = found[f"{norm}.weight"] / torch.sqrt(found[f"{norm}.running_var"] + epsilon)
            found[f"{conv}.weight"] = found[f"{conv}.weight"] / scale[:, None, None, None]
    return found


def _followed(network: nn.Module) -> list[tuple[str, str, float]]:
    """Names of each convolution and of the normalisation after it, as torchvision names the two, and its epsilon."""
    found = []
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            parent, _, own = name.rpartition(".")
            before = str(int(own) - 1) if own.isdigit() else own.replace("bn", "conv")
            found.append((f"{parent}.{before}", name, module.eps))
    return found


def _tensor(value: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(np.array(numpy_helper.to_array(value)))


def widen(network: Calibrated, config: NetworkConfig) -> Calibrated:
    """A network over other families, with everything of an old one that still fits.

    Families are matched by name: the evidence of those that both know keeps its weights. The scan-level heads see all
    families at once; they start anew where the families differ.

    Args:
        network: the old one.
        config: of the new one; must differ in its families alone.
    """
    wider = build(config)
    old, new = network.state_dict(), wider.state_dict()
    kept = {name: old[name] if old[name].shape == value.shape else value.clone() for name, value in new.items()}
    if network.config.families != config.families:
        for name, value in new.items():
            head = re.sub(r"^members\.\d+\.", "", name).partition(".")[0]
            if head in ("family_head", "score_head", "evidence_head"):
                kept[name] = value.clone()
            if head == "evidence_head":
                for at, family in enumerate(config.families):
                    if family in network.config.families:
                        kept[name][at] = old[name][network.config.families.index(family)]
    wider.load_state_dict(kept)
    return wider
