"""Checkpoints of a fit, read without running any code that they might carry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from leadline.datasets.scan import LeadlineError
from leadline.models.calibrated import Calibrated
from leadline.models.config import NetworkConfig
from leadline.models.ensemble import build
from leadline.models.network import Network


def load_checkpoint(path: Path, remedy: str = "take another one") -> dict[str, Any]:
    """A checkpoint's contents; tensors and plain values only, no code is run.

    Args:
        path: of the file.
        remedy: what to do where it is damaged.

    Raises:
        LeadlineError: not a checkpoint of leadline.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise LeadlineError(f"{path}: no such checkpoint; `leadline train` writes them") from error
    except Exception as error:  # torch raises many types for a broken file
        reason = str(error).strip().partition("\n")[0]  # further lines advise to run whatever code the file carries
        raise LeadlineError(f"{path}: not a readable checkpoint ({reason}); {remedy}") from error
    if not isinstance(checkpoint, dict) or "leadline" not in checkpoint or "state_dict" not in checkpoint:
        raise LeadlineError(f"{path}: not a checkpoint of leadline; give one that `leadline train` has written")
    return checkpoint


def network_from(checkpoint: Mapping[str, Any]) -> Calibrated:
    """The network of a checkpoint, with averaged weights where the fit averaged them."""
    network = build(NetworkConfig.from_dict(checkpoint["leadline"]["network"]))
    prefix = "network."
    network.load_state_dict(
        {key.removeprefix(prefix): value for key, value in checkpoint["state_dict"].items() if key.startswith(prefix)}
    )
    return network.eval()


def member_from(checkpoint: Mapping[str, Any]) -> Network:
    """The network of a checkpoint whose suspicion and heads are looked at by themselves.

    Raises:
        LeadlineError: it is an ensemble.
    """
    network = network_from(checkpoint)
    if not isinstance(network, Network):
        raise LeadlineError(
            "heads are refitted of one network at a time, and this is an ensemble; "
            "fit its networks by themselves and join them with `leadline join`"
        )
    return network
