"""What a model file says of itself: labels, thresholds, units, data and figures of its training.

The contract lies as JSON in the ONNX file's own metadata (key `"leadline"`), so that a model is one
file and can never be read with another's labels. Reading it needs neither torch nor onnx nor an ONNX
Runtime session: the top level of the file is walked field by field (an ONNX file is a protocol-buffer
message, https://protobuf.dev/programming-guides/encoding), which also finds files that were cut.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from leadline.datasets.materials import Catalogue, extended
from leadline.datasets.scan import KINDS, FileError, Kind, LeadlineError

KEY = "leadline"
"""Name of the metadata entry that holds the contract."""

FORMAT = 1
"""Version of the contract's own form; a reader refuses what it does not know."""

INPUT = "transmission (batch, 2, rows, columns), float32, [high, low], 0 = nothing arrives, 1 = open beam"

_METADATA_PROPS, _GRAPH, _IR_VERSION = 14, 7, 1  # field numbers of ModelProto, onnx.proto3
_LONGEST = 1 << 22  # bytes of metadata that are believed


class ModelError(FileError):
    """A model file that cannot be used."""


@dataclass(frozen=True)
class ModelContract:
    """What a model takes and gives, and how far it can be trusted.

    Attributes:
        name: such as `"leadline-parcel"`.
        version: of the model, such as `"0.1.0"`.
        scanner: the kind of scanner whose scans it reads.
        families: names of the families, in the order of the channels of `materials` and `evidence`.
        watched: those of them that are on the watch list.
        stride: side of a cell of `evidence` and `areal_density`, pixels of the scan.
        thresholds: false-alarm rate on honest scans, as text (`"0.01"`), to the least `score` that alarms.
        default_rate: the key of `thresholds` that is used unless the user says otherwise.
        evidence_threshold: least `evidence` of a cell that belongs to a region.
        mass_factor: factors on an estimated mass between which the true mass lies in 80 of 100 cases.
        input: what the model is given.
        training: seed, scans, steps, hours, machine, command, commit.
        metrics: figures on scans of unseen scanner settings.
        licence: SPDX name.
        watch_list: materials of the user's own that it was fitted on, TOML; empty for the shipped list alone.
        network: shape of the network, as `models.network.NetworkConfig` has it; for fitting on.
        format: version of this form.
    """

    name: str
    version: str
    scanner: Kind
    families: tuple[str, ...]
    watched: tuple[str, ...]
    stride: int
    thresholds: Mapping[str, float]
    default_rate: str = "0.01"
    evidence_threshold: float = 0.5
    mass_factor: tuple[float, float] = (0.5, 2.0)
    input: str = INPUT
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "Apache-2.0"
    watch_list: str = ""
    network: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.scanner not in KINDS:
            raise ValueError(f"scanner {self.scanner!r} is none of {', '.join(KINDS)}")
        if not self.families or not set(self.watched) <= set(self.families):
            raise ValueError("the watched families must be among the families")
        if not isinstance(self.watch_list, str) or not isinstance(self.network, Mapping):
            raise ValueError("watch_list must be text, network a table")
        if self.stride < 1:
            raise ValueError("stride must be at least 1")
        if self.default_rate not in self.thresholds:
            raise ValueError(f"no threshold for the default rate {self.default_rate}")
        if not all(0 <= t <= 1 for t in self.thresholds.values()) or not 0 <= self.evidence_threshold <= 1:
            raise ValueError("thresholds must lie in 0..1")

    @property
    def catalogue(self) -> Catalogue:
        """Families and materials that it knows: the shipped ones and those of its watch list."""
        return extended(self.watch_list, self.name)

    @property
    def threshold(self) -> float:
        """The least `score` that alarms at the default false-alarm rate."""
        return self.thresholds[self.default_rate]

    def threshold_for(self, rate: float) -> float:
        """The threshold of a false-alarm rate.

        Raises:
            LeadlineError: the model has no threshold for this rate.
        """
        for key, value in self.thresholds.items():
            if abs(float(key) - rate) < 1e-9:
                return value
        known = ", ".join(self.thresholds)
        raise LeadlineError(f"{self.name}: no threshold for a false-alarm rate of {rate}; choose one of {known}")

    def to_json(self) -> str:
        """The contract as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelContract:
        """The contract from JSON; entries that this version does not know are left out.

        Raises:
            ValueError: not JSON, an entry is missing, or a value is out of range.
        """
        raw = json.loads(text)
        form = raw.get("format") if isinstance(raw, dict) else None
        if form != FORMAT:
            raise ValueError(f"form {form!r} of the contract, this version reads {FORMAT}")
        known = {f.name for f in fields(cls)}
        given = {key: value for key, value in raw.items() if key in known}
        for key in ("families", "watched", "mass_factor"):
            if key in given:
                given[key] = tuple(given[key])
        try:
            return cls(**given)
        except TypeError as error:
            raise ValueError(str(error)) from error


def read(path: str | Path) -> ModelContract:
    """Read the contract of a model file, without loading the network.

    Raises:
        ModelError: the file is missing, cut, not ONNX, or not a model of ours.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            entries, found = _metadata(file, path.stat().st_size)
    except OSError as error:
        raise ModelError(path, error.strerror or str(error), "give the path of an ONNX model file") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelError(
            path, f"not a whole ONNX file ({error})", "fetch the file again, or export the model anew"
        ) from error
    if not found:
        raise ModelError(path, "not an ONNX file", "give a model that `leadline export` has written")
    if KEY not in entries:
        raise ModelError(
            path,
            f"an ONNX file without leadline's metadata (key {KEY!r})",
            "give a model that `leadline export` has written",
        )
    try:
        return ModelContract.from_json(entries[KEY])
    except ValueError as error:
        raise ModelError(
            path,
            f"its metadata cannot be used ({error})",
            "use the version of leadline that wrote it, or export it anew",
        ) from error


def write(path: str | Path, contract: ModelContract) -> None:
    """Put the contract into a model file, in place of one that is there. Needs the `onnx` package."""
    import onnx

    model = onnx.load(str(path))
    kept = [(p.key, p.value) for p in model.metadata_props if p.key != KEY]
    del model.metadata_props[:]
    for key, value in [*kept, (KEY, contract.to_json())]:
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))


def released(kind: Kind) -> Path:
    """Path of the model that ships with leadline.

    Raises:
        ModelError: this installation has none for the kind.
    """
    path = Path(str(files("leadline.models") / "released" / f"{kind}.onnx"))
    if not path.is_file():
        raise ModelError(path, f"no released model for {kind} scans here", "give one with --model")
    return path


def sha256(path: str | Path) -> str:
    """Hash of a file's bytes, 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: str | Path, *, required: bool = False) -> str:
    """Compare a model with the `SHA256SUMS` beside it, where one lists it.

    Args:
        path: the model.
        required: refuse a model that no `SHA256SUMS` lists, as the released ones must be.

    Returns:
        The file's SHA-256.

    Raises:
        ModelError: the file cannot be read, or its hash is another one (it was edited or cut).
    """
    path = Path(path)
    try:
        digest = sha256(path)
        sums = path.with_name("SHA256SUMS")
        listed = sums.read_text("utf-8").splitlines() if sums.is_file() else []
    except OSError as error:
        raise ModelError(path, error.strerror or str(error), "give the path of an ONNX model file") from error
    promised = {name.strip().lstrip("*"): value.lower() for value, _, name in (line.partition(" ") for line in listed)}
    if required and path.name not in promised:
        raise ModelError(path, "no SHA256SUMS beside it lists it", "reinstall leadline, or give the model with --model")
    if promised.get(path.name, digest) != digest:
        raise ModelError(
            path, "its SHA-256 differs from the one in SHA256SUMS: the file was cut or edited", "fetch it again"
        )
    return digest


def write_sums(folder: str | Path) -> Path:
    """Write `SHA256SUMS` for all ONNX files of a folder, in the form of `sha256sum`."""
    folder = Path(folder)
    lines = [f"{sha256(p)}  {p.name}\n" for p in sorted(folder.glob("*.onnx"))]
    target = folder / "SHA256SUMS"
    target.write_text("".join(lines), "utf-8")
    return target


def _metadata(file: BinaryIO, size: int) -> tuple[dict[str, str], bool]:
    """Metadata entries of an ONNX file, and whether it has what every ONNX model has."""
    entries: dict[str, str] = {}
    seen: set[int] = set()
    if size == 0:
        raise ValueError("empty")
    while file.tell() < size:
        tag = _varint(file)
        number, wire = tag >> 3, tag & 7
        seen.add(number)
        if wire == 0:
            _varint(file)
        elif wire == 2:
            length = _varint(file)
            end = file.tell() + length
            if end > size:
                raise ValueError(f"{size} bytes, but {end} are announced")
            if number == _METADATA_PROPS and length <= _LONGEST:
                key, value = _entry(file.read(length))
                entries[key] = value
            file.seek(end)
        elif wire in (1, 5):
            file.seek(8 if wire == 1 else 4, 1)
        else:
            raise ValueError("no protocol-buffer message")
    return entries, {_IR_VERSION, _GRAPH} <= seen


def _entry(data: bytes) -> tuple[str, str]:
    """Key (field 1) and value (field 2) of a StringStringEntryProto."""
    stream, parts = BytesIO(data), {1: "", 2: ""}
    while stream.tell() < len(data):
        number = _varint(stream) >> 3
        parts[number] = stream.read(_varint(stream)).decode("utf-8")
    return parts[1], parts[2]


def _varint(file: BinaryIO) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise ValueError("ends in the middle of a field")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
