"""The model that a fit goes on from: a released one, an ONNX file, or a checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path

from leadline.datasets.scan import FileError, Kind, LeadlineError
from leadline.models import contract as contracts
from leadline.models.calibrated import Calibrated
from leadline.models.config import NetworkConfig
from leadline.models.restore import restore, widen
from leadline.training.checkpoints import load_checkpoint, network_from


@dataclass(frozen=True)
class Base:
    """The model that is fitted on.

    Attributes:
        path: its file.
        network: with its weights.
        watch_list: the user's materials that it knows, TOML.
    """

    path: Path
    network: Calibrated
    watch_list: str

    def about(self) -> dict[str, str]:
        """Which one it is, for the record of a run."""
        return {"file": str(self.path), "sha256": contracts.sha256(self.path)}


def base_model(model: str, kind: Kind | None) -> Base:
    """The model to fit on: `released`, an ONNX file, or a checkpoint.

    Raises:
        LeadlineError: there is none, or it cannot be fitted on.
    """
    if model == "released":
        if kind is None:
            raise LeadlineError('kind: is not said; write kind = "parcel" or "container", or give --kind')
        path = contracts.released(kind)
        contracts.verify(path, required=True)
    else:
        path = Path(model)
    if path.suffix == ".ckpt":
        made = load_checkpoint(path)
        return Base(path, network_from(made), made["leadline"].get("watch_list", ""))
    network, contract = restore(path)
    return Base(path, network, contract.watch_list)


def weights_for(base: Base, config: NetworkConfig) -> Calibrated:
    """The network of a model, over the families of another configuration.

    Raises:
        FileError: the two differ in more than their families.
    """
    known = base.network.config
    for field in dataclasses.fields(NetworkConfig):
        there, wanted = getattr(known, field.name), getattr(config, field.name)
        if field.name not in ("families", "watched") and there != wanted:
            raise FileError(
                base.path,
                f"has another network ({field.name} is {there}, and {wanted} is wanted)",
                f"write {field.name} as the file has it under [network], or begin from another file"
                if field.name != "kind"
                else f'write kind = "{there}", or begin from another file',
            )
    return widen(base.network, replace(known, families=config.families, watched=config.watched))
