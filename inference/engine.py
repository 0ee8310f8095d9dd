"""The model at work: scans in, scores and maps out, on ONNX Runtime and without torch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from leadline.datasets.inputs import vectors
from leadline.datasets.scan import KINDS, Kind, LeadlineError, Scan
from leadline.inference.cpu import available_cores
from leadline.models import contract
from leadline.models.contract import ModelContract, ModelError

ort.disable_telemetry_events()  # a second lock, for whoever imported onnxruntime before leadline.inference

CPU = "CPUExecutionProvider"

MOST_PIXELS = 6_000_000
"""Scans of more pixels are averaged down before the network sees them: activations stay in memory."""

LEAST_SIDE = 32
"""Smaller scans carry nothing that the network could judge, pixels a side."""

INPUTS = {"transmission", "declared"}
"""Inputs that every model has; since 0.5.0 they also take `beam`, the nominal energy, and since 0.6.0 `appearance`."""
OUTPUTS = ("score", "materials", "evidence", "areal_density", "embedding", "novelty")


@dataclass(frozen=True)
class Model:
    """One loaded model file.

    Attributes:
        contract: what the file says of itself.
        path: the file.
        sha256: hash of the file's bytes.
        provider: ONNX Runtime's execution provider that runs it.
        takes: inputs that it may be told beside the scan and the expected families, such as the beam's energy.
    """

    contract: ModelContract
    path: Path
    sha256: str
    provider: str
    session: ort.InferenceSession = field(repr=False, compare=False)
    takes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Scores:
    """What the model says of one scan.

    Attributes:
        score: calibrated probability that undeclared watch-list material is present, 0..1.
        materials: float32 (F,), probability that each family is present anywhere.
        evidence: float32 (F, h, w), probability a cell that the family is there.
        areal_density: float32 (2, h, w), g/cm2 a cell: all goods, watch-list material alone.
        embedding: float32 (D,), for finding similar scans.
        novelty: distance from the training scans, in units of the accepted distance; above 1 the scan
            is unlike anything the model was fitted on.
        stride: side of a cell in pixels of the scan as read.
        model: the model that said so.
    """

    score: float
    materials: npt.NDArray[np.float32]
    evidence: npt.NDArray[np.float32]
    areal_density: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]
    novelty: float
    stride: float
    model: Model


class Engine:
    """Scores scans with the released model of their scanner kind, or with one given model.

    Models are loaded when the first scan of their kind arrives and then kept. One engine may be
    used by many threads at once.

    Args:
        model: a model file for all scans; `None` takes the released model of each scan's kind.
        provider: ONNX Runtime's name of an execution provider (`"CUDAExecutionProvider"`) or its
            short form (`"cuda"`); `None` is the CPU. One that is not there is an error.
        threads: threads of one inference; `None` is as many as the container's CPU quota allows.

    Raises:
        LeadlineError: the provider is not there, or the given model cannot be used.
    """

    def __init__(self, model: Path | str | None = None, provider: str | None = None, threads: int | None = None):
        self.provider = resolve_provider(provider)
        self.threads = threads or available_cores()
        self._models: dict[Kind, Model] = {}
        self._lock = threading.Lock()
        self._given = None if model is None else self._load(Path(model))

    def model_for(self, kind: Kind | None, path: str = "") -> Model:
        """The model for scans of a kind, loaded if it was not.

        Args:
            kind: kind of the scanner, `None` where neither file nor user said.
            path: the scan's file, for the message.

        Raises:
            LeadlineError: the kind is unknown, is not the given model's, or has no model.
        """
        if self._given is not None:
            made_for = self._given.contract.scanner
            if kind is not None and kind != made_for:
                raise LeadlineError(
                    f"{path or 'scan'}: a {kind} scan, but {self._given.path} is a model for {made_for} scans; "
                    f"leave out --model to use the released {kind} model"
                )
            return self._given
        if kind is None:
            raise LeadlineError(
                f"{path or 'scan'}: the file does not say what kind of scanner made it; "
                f"say so with --scanner {' or --scanner '.join(KINDS)}"
            )
        with self._lock:
            if kind not in self._models:
                loaded = self._load(contract.released(kind), released=True)
                if loaded.contract.scanner != kind:
                    raise ModelError(loaded.path, f"a model for {loaded.contract.scanner} scans", "reinstall leadline")
                self._models[kind] = loaded
            return self._models[kind]

    def identified(self, scan: Scan) -> Scan:
        """The scan with its scanner's kind: the given model's, where neither file nor user said."""
        if scan.scanner.kind is not None or self._given is None:
            return scan
        return replace(scan, scanner=replace(scan.scanner, kind=self._given.contract.scanner))

    def score(self, scan: Scan) -> Scores:
        """Score one scan.

        Raises:
            LeadlineError: no model fits the scan, or the scan is too small.
        """
        return self.score_batch([scan])[0]

    def score_batch(self, scans: Sequence[Scan]) -> list[Scores]:
        """Score several scans; those of one kind and size run together.

        Returns:
            One `Scores` a scan, in the order given. A scan's scores do not depend on its neighbours
            (but for the last bits of a float).

        Raises:
            LeadlineError: no model fits one of the scans, or one is too small.
        """
        groups: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        models, images, factors = [], [], []
        for i, scan in enumerate(scans):
            model = self.model_for(scan.scanner.kind, scan.path)
            image, factor = _fit(scan)
            models.append(model)
            images.append(image)
            factors.append(factor)
            groups.setdefault((id(model), image.shape), []).append(i)
        results: dict[int, Scores] = {}
        for members in groups.values():
            model = models[members[0]]
            if len(members) == 1:  # a view: no copy of the image
                batch = images[members[0]][None]
            else:
                batch = np.stack([images[i] for i in members])
            known = [vectors(scans[i], model.contract.catalogue, model.takes) for i in members]
            feed = {name: np.stack([k[name] for k in known]) for name in known[0]}
            found = model.session.run(OUTPUTS, feed | {"transmission": batch})
            for row, i in enumerate(members):
                results[i] = _scores([o[row] for o in found], model, model.contract.stride * factors[i])
        return [results[i] for i in range(len(scans))]

    def _load(self, path: Path, released: bool = False) -> Model:
        """Check and load a model file."""
        promised = contract.read(path)
        digest = contract.verify(path, required=released)
        if promised.families != promised.catalogue.names:
            raise ModelError(
                path,
                "fitted on another list of families than datasets/data/materials.toml",
                "train and export a model for this list, or use the version of leadline that wrote the model",
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Waiting threads would otherwise spin on cores that the reader of the next file could use.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # TF32 has a 10-bit mantissa: outputs drift by 1e-3 from those of the CPU.
        tuning = {"use_tf32": "0"} if self.provider == "CUDAExecutionProvider" else {}
        try:
            session = ort.InferenceSession(str(path), options, providers=[(self.provider, tuning)])
        except Exception as error:  # ONNX Runtime raises its own types, which share no other base
            raise ModelError(
                path, f"ONNX Runtime cannot load it ({_brief(error)})", "fetch the file again, or export the model anew"
            ) from error
        if session.get_providers()[0] != self.provider:
            raise LeadlineError(
                f"--provider {self.provider}: ONNX Runtime fell back to {session.get_providers()[0]}; "
                "check the driver and the accelerator's libraries, or leave the option out"
            )
        inputs = {i.name for i in (*session.get_inputs(), *session.get_overridable_initializers())}
        missing = INPUTS - inputs | set(OUTPUTS) - {o.name for o in session.get_outputs()}
        if missing:
            raise ModelError(
                path, f"lacks {', '.join(sorted(missing))} among its inputs and outputs", "export the model anew"
            )
        return Model(promised, path, digest, self.provider, session, frozenset(inputs - INPUTS))


def resolve_provider(name: str | None) -> str:
    """ONNX Runtime's name of a provider that this installation has.

    Raises:
        LeadlineError: it has none of this name.
    """
    if name is None:
        return CPU
    offered = ort.get_available_providers()
    for provider in offered:
        if name.lower() in (provider.lower(), provider.removesuffix("ExecutionProvider").lower()):
            return provider
    short = ", ".join(p.removesuffix("ExecutionProvider").lower() for p in offered)
    remedy = "install leadline[gpu]" if "cuda" in name.lower() or "tensorrt" in name.lower() else "choose one of them"
    raise LeadlineError(f"--provider {name}: this installation of ONNX Runtime offers {short}; {remedy}")


def _fit(scan: Scan) -> tuple[npt.NDArray[np.float32], int]:
    """The image for the network, and by what factor it was averaged down (1 for ordinary scans)."""
    image = scan.transmission
    rows, columns = scan.shape
    if min(rows, columns) < LEAST_SIDE:
        raise LeadlineError(
            f"{scan.path or 'scan'}: {rows} x {columns} pixels, at least {LEAST_SIDE} x {LEAST_SIDE} are needed; "
            "give the whole scan"
        )
    factor = int(np.ceil(np.sqrt(rows * columns / MOST_PIXELS)))
    if factor > 1:
        size = (columns // factor, rows // factor)
        kept = image[:, : size[1] * factor, : size[0] * factor]
        image = np.stack([cv2.resize(channel, size, interpolation=cv2.INTER_AREA) for channel in kept])
    return np.ascontiguousarray(image), factor


def _scores(outputs: list[npt.NDArray[np.float32]], model: Model, stride: float) -> Scores:
    score, materials, evidence, areal, embedding, novelty = outputs
    return Scores(float(score), materials, evidence, areal, embedding, float(novelty), stride, model)


def _brief(error: Exception) -> str:
    """The first line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
