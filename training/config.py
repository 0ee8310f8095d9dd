"""The configuration of `leadline train`: one TOML file, or the name of a preset; options of the command replace keys.

A mistake is told by file and key, with what to write, before anything is computed.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator
from pydantic_core import PydanticCustomError

from leadline.datasets.scan import FileError, Kind, LeadlineError
from leadline.models.config import NetworkConfig, config_for
from leadline.training.losses import LossConfig
from leadline.training.module import FitConfig

MOST_SEED = 2**32 - 1
"""Greatest seed that all sources of random numbers take."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())


_Count = Annotated[int, Field(ge=1, le=1 << 14)]
_CountOrNone = Annotated[int, Field(ge=0, le=1 << 14)]
_Above = Annotated[float, Field(gt=0)]
_AtLeast0 = Annotated[float, Field(ge=0)]
_LEAST_CANVAS = 32  # pixels: less leaves the coarsest maps of the network nothing to look at
_Pool = Annotated[int, Field(ge=1, le=_LEAST_CANVAS)]


class FitTable(_Table):
    """`[fit]`: see `training.module.FitConfig`; `heads` = scenes on which suspicion and heads are refitted, `begin` =
    the model from whose weights the fit begins, empty for new ones."""

    begin: str = ""
    minutes: float = Field(default=0.0, ge=0)
    steps: int = Field(default=0, ge=0)
    batch: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    warm_up: float = Field(default=0.04, ge=0, lt=1)
    average: float = Field(default=0.995, ge=0, lt=1)
    canvas: tuple[int, int] = (0, 0)
    validation: int = Field(default=64, ge=0)
    validate_every: int = Field(default=250, ge=1)
    save_minutes: float = Field(default=2.0, ge=0, le=1e6)
    bf16: bool = True
    tensorboard: bool = False
    heads: int = Field(default=0, ge=0)

    @field_validator("canvas")
    @classmethod
    def _large_enough(cls, canvas: tuple[int, int]) -> tuple[int, int]:
        if canvas != (0, 0) and min(canvas) < _LEAST_CANVAS:
            raise PydanticCustomError(
                "canvas", f"it should be at least [{_LEAST_CANVAS}, {_LEAST_CANVAS}], or [0, 0] for the kind's own"
            )
        return canvas


class ScansTable(_Table):
    """`[scans]`: how simulated scans are made."""

    workers: int = Field(default=1, ge=0, le=1 << 12)
    scenes: int = Field(default=0, ge=0)
    cache: str = ""
    reuse: float = Field(default=0.0, ge=0)  # 0 = the kind's own


class MachineTable(_Table):
    """`[machine]`: Lightning's own words for what computes; `threads` of PyTorch, 0 = the cores without the workers."""

    threads: int = Field(default=0, ge=0, le=1 << 12)
    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = Field(default=1, ge=1)
    strategy: str = "auto"


class FinetuneTable(_Table):
    """`[finetune]`: fit a model on, with scans of one's own; see `training.finetune`."""

    model: str = "released"
    data: str = ""
    set: str = ""
    classes: tuple[str, ...] = ()
    replay: float = Field(default=0.5, ge=0, lt=1)
    hold_back: float = Field(default=0.25, gt=0, lt=1)
    scenes: int = Field(default=200, ge=20)
    false_alarms: float = Field(default=0.05, gt=0, lt=0.5)
    pseudocolour: bool = False


_BOUNDS: dict[str, Any] = {
    "pool": _Pool,
    "floor": Annotated[float, Field(gt=0, lt=1)],
    "ratio_period": _Above,
    "thin": _Above,
    "knots": Annotated[tuple[_Above, ...], Field(min_length=2)],
    "widths": tuple[_Count, _Count, _Count, _Count],
    "blocks": tuple[_CountOrNone, _CountOrNone, _CountOrNone, _CountOrNone],
    "pixel_width": _Count,
    "pixel_hidden": _Count,
    "decoder": _Count,
    "embedding": _Count,
    "suspicion": tuple[_Count, _Count],
    "coarser": tuple[_Pool, ...],
}
"""Of the network's fields; a dataclass has types alone."""


def _from(name: str, source: type, leave: tuple[str, ...], optional: bool, bounds: Mapping[str, Any]) -> type[_Table]:
    """A table with the fields of a dataclass, within bounds."""
    hints = get_type_hints(source) | dict(bounds)
    found: dict[str, Any] = {}
    for f in dataclasses.fields(source):
        if f.name not in leave:
            found[f.name] = (hints[f.name] | None, None) if optional else (hints[f.name], f.default)
    table: type[_Table] = create_model(name, __base__=_Table, **found)
    return table


NetworkTable = _from("NetworkTable", NetworkConfig, ("kind", "families", "watched"), True, _BOUNDS)
LossTable = _from("LossTable", LossConfig, (), False, {f.name: _AtLeast0 for f in dataclasses.fields(LossConfig)})


class TrainConfig(_Table):
    """Everything that `leadline train` needs; the tables of the file by name.

    Attributes:
        kind: of scanner; empty where the model that is fitted on says it.
        out: folder of the run.
        seed: of weights, scenes and augmentations.
        materials: watch-list file of the user's own; empty for the shipped list alone.
    """

    kind: Kind | None = None
    out: str = ""
    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    materials: str = ""
    fit: FitTable = FitTable()
    scans: ScansTable = ScansTable()
    machine: MachineTable = MachineTable()
    network: NetworkTable = NetworkTable()  # type: ignore[valid-type]
    loss: LossTable = LossTable()  # type: ignore[valid-type]
    finetune: FinetuneTable | None = None

    def shape(self, kind: Kind) -> NetworkConfig:
        """The network, over the families of the catalogue in use."""
        try:
            return config_for(kind, **self.network.model_dump(exclude_none=True))  # type: ignore[attr-defined]
        except ValueError as error:
            raise LeadlineError(f"network.coarser: {error}") from error

    def fit_config(self, network: NetworkConfig, cores: int) -> FitConfig:
        """The fit itself.

        Args:
            network: what is fitted.
            cores: of this machine, for the threads where the file does not say.
        """
        values = self.fit.model_dump(exclude={"heads", "begin"})
        out = Path(self.out)
        return FitConfig(
            network=network,
            out=out,
            seed=self.seed,
            workers=self.scans.workers,
            threads=self.machine.threads or max(1, cores - self.scans.workers),
            scenes=self.scans.scenes,
            cache=(Path(self.scans.cache) if self.scans.cache else out / "scenes") if self.scans.scenes else None,
            reuse=self.scans.reuse or (3.0 if network.kind == "container" else 1.5),
            loss=LossConfig(**self.loss.model_dump()),  # type: ignore[attr-defined]
            accelerator=self.machine.accelerator,
            devices=self.machine.devices,
            nodes=self.machine.nodes,
            strategy=self.machine.strategy,
            **values,
        )


_TABLES = ("fit", "scans", "machine", "network", "loss")
"""What may be said for one kind of scanner alone."""

_PATHS = (("out",), ("materials",), ("scans", "cache"), ("fit", "begin"), ("finetune", "data"), ("finetune", "model"))
"""Keys that name files; in a configuration file they are meant from its folder."""


def presets() -> dict[str, str]:
    """Text of the configurations that ship with leadline, by name."""
    folder = files("leadline.training") / "presets"
    return {p.name.removesuffix(".toml"): p.read_text("utf-8") for p in folder.iterdir() if p.name.endswith(".toml")}


def load(config: str, changes: Mapping[str, Any]) -> TrainConfig:
    """Read a configuration.

    Args:
        config: a TOML file, or the name of a preset. A file may begin from one with `preset = NAME`. The keys of its
            tables `[parcel]` and `[container]` hold for that kind of scanner alone.
        changes: values that replace those of the file, by key with dots (`"fit.minutes"`); `None` leaves them.

    Raises:
        LeadlineError: no such file or preset, no TOML, an unknown key or a value of a wrong type; names file and key.
    """
    known, path = presets(), Path(config)
    chosen: str | None = config
    base: dict[str, Any] = {}
    if config in known:
        name, raw, stem = f"preset {config}", tomllib.loads(known[config]), config
    else:
        name, raw, stem = str(path), _read(path, known), path.stem
        chosen = raw.get("preset")
        base = _preset(known, raw, name)
        _from_folder(raw, path.parent)
    kind = changes.get("kind") or raw.get("kind") or base.get("kind")
    raw = _merge(_of_kind(base, kind, name), _of_kind(raw, kind, name))
    for key, value in changes.items():
        if value is not None:
            *tables, last = key.split(".")
            place = raw
            for table in tables:
                place = place.setdefault(table, {})
            place[last] = value
    try:
        found = TrainConfig.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        raise LeadlineError("\n".join(_told(name, e) for e in error.errors())) from error
    if found.finetune is not None and chosen is not None and "finetune" not in tomllib.loads(known[chosen]):
        raise LeadlineError(
            f"{name}: finetune: the preset {chosen} fits from nothing; to fit a model on to scans of your own begin "
            "from the preset finetune: leadline train finetune --data FOLDER"
        )
    return found if found.out else found.model_copy(update={"out": f"runs/{stem}-{found.kind or 'model'}"})


def from_text(path: Path) -> TrainConfig:
    """The whole configuration that a run has written into its folder.

    Raises:
        LeadlineError: it cannot be read any more.
    """
    return load(str(path.absolute()), {})


def placed(config: TrainConfig) -> dict[str, Any]:
    """The keys that a configuration sets, as plain values; paths become absolute."""
    values = config.model_dump(exclude_none=True)
    _from_folder(values, Path.cwd())
    return values


def as_toml(config: TrainConfig) -> str:
    """A configuration as TOML, all keys, for `load`. Paths become absolute."""
    values = placed(config)
    plain = {k: v for k, v in values.items() if not isinstance(v, dict)}
    lines = [f"{key} = {_toml(value)}" for key, value in plain.items()]
    for table, entries in values.items():
        if isinstance(entries, dict) and entries:
            lines += ["", f"[{table}]", *(f"{key} = {_toml(value)}" for key, value in entries.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """JSON's text, numbers, truth values and lists are TOML's as well."""
    return json.dumps(value, ensure_ascii=False)


def _read(path: Path, known: Mapping[str, str]) -> dict[str, Any]:
    remedy = f"give a TOML file, or a preset: {', '.join(sorted(known))}"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise FileError(path, f"no configuration ({error.strerror})", remedy) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"is not TOML ({error})", "correct the line; docs/training.md has an example") from error


def _preset(known: Mapping[str, str], raw: dict[str, Any], name: str) -> dict[str, Any]:
    if "preset" not in raw:
        return {}
    chosen = raw.pop("preset")
    if chosen not in known:
        raise LeadlineError(f"{name}: preset: {chosen!r} is unknown; choose one of {', '.join(sorted(known))}")
    return tomllib.loads(known[chosen])


def _of_kind(raw: dict[str, Any], kind: Any, name: str) -> dict[str, Any]:
    """A configuration with the keys that it has for one kind of scanner in their places."""
    found = {key: value for key, value in raw.items() if key not in get_args(Kind)}
    for each in get_args(Kind):
        table = raw.get(each, {})
        if not isinstance(table, dict):
            raise LeadlineError(f"{name}: {each}: is {table!r}; write it as a table, such as [{each}.fit]")
        for key in table:
            if key not in _TABLES:
                raise LeadlineError(f"{name}: {each}.{key}: is no table; there are {', '.join(_TABLES)}")
        if each == kind:
            found = _merge(found, table)
    return found


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _from_folder(raw: dict[str, Any], folder: Path) -> None:
    """Make relative paths absolute, in place; words that are no paths stay."""
    for *tables, last in _PATHS:
        place: Any = raw
        for table in tables:
            place = place.get(table) if isinstance(place, dict) else None
        value = place.get(last) if isinstance(place, dict) else None
        if isinstance(value, str) and value and value != "released":
            place[last] = str((folder / value).absolute())


def _told(name: str, error: Any) -> str:
    """One mistake: file, key, reason, remedy."""
    *tables, last = (str(part) for part in error["loc"] if not str(part).startswith(("function", "tagged", "union")))
    key = ".".join([*tables, last])
    if error["type"] == "extra_forbidden":
        names = _names(tables)
        near = difflib.get_close_matches(last, names, 1)
        return f"{name}: {key}: is no setting; " + (
            f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        )
    shown = repr(error["input"])
    said = error["msg"][:1].lower() + error["msg"][1:]
    return f"{name}: {key}: is {shown[:60]}; {said.replace('input ', 'it ')}"


def _names(tables: list[str]) -> list[str]:
    if not tables:
        return [*TrainConfig.model_fields, "preset", *get_args(Kind)]
    table = {"finetune": FinetuneTable}.get(tables[0]) or TrainConfig.model_fields[tables[0]].annotation
    return list(getattr(table, "model_fields", {}))
