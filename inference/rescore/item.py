"""What goes through a run: an item of the archive, the job that is done to it, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from leadline.datasets.formats.palette import palette
from leadline.datasets.scan import KINDS, Declaration
from leadline.inference.ledger.events import Event, key_of
from leadline.inference.ledger.store import Seen
from leadline.inference.rescore.spool import Spooled
from leadline.inference.screening import Settings
from leadline.models import contract
from leadline.models.contract import ModelError

Outcome = Literal["done", "failed", "skipped"]
"""`"skipped"`: looked like a scan by its name, and is an ordinary picture."""


TIMEOUT_S = 300.0
"""No scan takes so long; a decoder that never returns does."""


@dataclass(frozen=True)
class Part:
    """Where the bytes of a file inside something lie.

    Attributes:
        name: its name there, which is never used as a path.
        container: path or URL of a tar or zip archive, or of the object itself.
        how: `"slice"` of an uncompressed tar, `"zip"` member, `"object"` of a store, `"bytes"` read already.
        offset, size: of a slice; `size` also bounds the others.
        data: of `"bytes"`, on the disk until a worker is given it.
    """

    name: str
    container: str
    how: Literal["slice", "zip", "object", "bytes"]
    offset: int = 0
    size: int = 0
    data: bytes | Spooled = field(default=b"", repr=False)


@dataclass(frozen=True)
class Item:
    """One scan of an archive, not yet read.

    Attributes:
        place: what people call it: a path, `archive.tar!member`, or a URL without its secrets.
        stamp: size and time, or an object's tag; another stamp means another content. Empty: unknown.
        path: the file, if it is one on a local file system.
        parts: else where its bytes lie; two for a pair of energies.
        declaration: the declared goods.
        taken: when the scan was made as far as it is known, ISO 8601 date.
        error: why it cannot be read, if finding it has shown that.
        offset: where a member of a tar begins there: another may have the same name.
    """

    place: str
    stamp: str = ""
    path: str | None = None
    parts: tuple[Part, ...] = ()
    declaration: Declaration | None = None
    taken: str | None = None
    error: str | None = None
    offset: int | None = None

    @property
    def held(self) -> int:
        """Bytes that wait in a spool."""
        return sum(part.size for part in self.parts if part.how == "bytes")

    def identity(self) -> str:
        """What stands for this place under this declaration, 64 hexadecimal digits."""
        at = () if self.offset is None else (self.offset,)
        return key_of("place", self.place, declared(self.declaration), *at)


@dataclass(frozen=True)
class Job:
    """What is done to every item.

    Attributes:
        settings: threshold, scanner, pseudo-colour.
        model: a model file, `None` for the released ones.
        provider: ONNX Runtime's provider, `None` for the CPU.
        kind: of the verdict's rows: `"verdict"`, or `"shadow"` for a candidate.
        identity: of model and settings, 64 hexadecimal digits.
        run: random name of this run, for the rows' context.
        threads: of one inference.
        batch: scans of one inference.
        readers: threads that read and decode ahead of the inference; 0: the worker's own thread does, between two
            inferences, and the system is only told what will be read next.
        timeout_s: a worker that gives no result for so long is ended; a scan that does so twice is given up.
    """

    settings: Settings
    model: Path | None
    provider: str | None
    kind: Literal["verdict", "shadow"]
    identity: str
    run: str
    threads: int = 1
    batch: int = 1
    readers: int = 0
    timeout_s: float = TIMEOUT_S

    def profile(self) -> dict[str, Any]:
        """The scanner profile: what the user said of the scanner, and the threshold."""
        return profile_of(self.settings)


@dataclass(frozen=True)
class Result:
    """What became of an item.

    Attributes:
        outcome: see `Outcome`.
        word: the verdict, or `"error"`.
        event: what to record, if anything.
        seen: what to remember, if its content could be read.
        error: why it failed.
        read_ms, infer_ms: time spent on reading, and on scoring and judging.
    """

    outcome: Outcome
    word: str = ""
    event: Event | None = None
    seen: Seen | None = None
    error: str | None = None
    read_ms: float = 0.0
    infer_ms: float = 0.0


def profile_of(settings: Settings) -> dict[str, Any]:
    """Settings as JSON types; a calibrated scanner's profile and a palette stand as the hashes of their contents."""
    told: dict[str, Any] = {
        "scanner": settings.scanner,
        "pseudocolour": settings.pseudocolour,
        "threshold": settings.threshold,
        "false_alarm_rate": settings.false_alarm_rate,
    }
    if settings.palette is not None:
        colours = palette(settings.palette)
        told |= {"palette": colours.name, "palette_sha256": colours.sha256}
    return told if settings.profile is None else told | {"calibration": settings.profile.sha256}


def job_identity(settings: Settings, model: Path | None, kind: str) -> str:
    """What stands for model and settings.

    Raises:
        ModelError: the model cannot be used, or there is none at all.
    """
    if model is not None:
        contract.read(model)
        hashes = {"given": contract.verify(model)}
    else:
        hashes = {}
        for name in KINDS:
            try:
                hashes[name] = contract.verify(contract.released(name), required=True)
            except ModelError as error:
                missing = error
        if not hashes:
            raise missing
    return key_of("job", kind, hashes, profile_of(settings))


def declared(declaration: Declaration | None) -> dict[str, Any] | None:
    """A declaration as JSON types."""
    if declaration is None:
        return None
    return {"hs_code": declaration.hs_code, "description": declaration.description}


def verdict_event(
    job: Job, item: Item, verdict: Mapping[str, Any], scanner: Mapping[str, Any], context: Mapping[str, Any]
) -> Event:
    """The row of a verdict; nothing in its body depends on when or where the run was."""
    body = {name: value for name, value in verdict.items() if name != "elapsed_ms"}
    body |= {"scanner": dict(scanner), "profile": job.profile(), "taken": item.taken}
    subject, model = body["sha256"], body["model"]["sha256"]
    key = key_of(job.kind, subject, model, job.profile(), declared(item.declaration))
    context = {**context, "elapsed_ms": verdict["elapsed_ms"], "run": job.run}
    return Event(job.kind, body, subject, model, "leadline rescore", key, context)


def failure_event(job: Job, item: Item, error: str, subject: str, context: Mapping[str, Any]) -> Event:
    """The row of an item that could not be screened.

    Args:
        subject: hash of its content, empty if that could not be read.
    """
    body = {"path": item.place, "error": error, "declared": declared(item.declaration), "taken": item.taken}
    body |= {"profile": job.profile(), "for": job.kind}
    key = key_of("failure", subject, item.place, job.identity, declared(item.declaration))
    return Event("failure", body, subject, "", "leadline rescore", key, {**context, "run": job.run})
