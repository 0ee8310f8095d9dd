"""What the HTTP interface takes and gives; its OpenAPI description is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Word = Literal["clear", "inspect", "rescan"]
Text = Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=40)]

OVERRIDES = (
    "explained_by_documents",
    "known_shipper",
    "looks_harmless",
    "looks_suspicious",
    "intelligence",
    "random_check",
    "image_artefact",
    "poor_image",
    "other",
)
"""Reasons for deciding otherwise than the system; the page shows them in the reader's language."""

Override = Literal[
    "explained_by_documents", "known_shipper", "looks_harmless", "looks_suspicious", "intelligence", "random_check",
    "image_artefact", "poor_image", "other",
]  # fmt: skip


class Strict(BaseModel):
    """What is sent must be what is meant: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Login(Strict):
    """Name and password."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Session(BaseModel):
    """Who is logged in; `csrf` must be repeated as `X-CSRF-Token` with every change."""

    name: str
    role: str
    csrf: str
    login: bool


class Decision(Strict):
    """What a person decides. `override` is needed where it is not what the system says."""

    decision: Word
    override: Override | None = None
    note: Text = ""


class Result(Strict):
    """What an inspection found."""

    found: bool
    family: Annotated[str, StringConstraints(max_length=40)] | None = None
    note: Text = ""


class Summary(BaseModel):
    """A scan in the queue. Times are seconds since 1970 (UTC)."""

    id: str
    sha256: str
    name: str
    source: str
    container: str | None
    hs_code: str | None
    description: str | None
    arrived: float
    state: Literal["queued", "working", "screened", "failed"]
    error: str | None
    judged: float | None
    scanner: str | None
    rows: int | None
    columns: int | None
    verdict: Word | None
    score: float | None
    threshold: float | None
    decision: Word | None
    decided_by: str | None
    decided_at: float | None
    override: str | None
    note: str | None
    result: str | None
    result_family: str | None
    result_note: str | None
    result_by: str | None
    result_at: float | None
    change: int


class Detail(BaseModel):
    """A scan with all that is known of it."""

    summary: Summary
    line: dict[str, Any] | None = Field(description="the verdict as `leadline screen --json` prints it")
    reasons: dict[str, list[str]] = Field(description="the reasons in each language, `en` and `zh`")
    maps: dict[str, Any] | None = Field(description="shape and families of /maps, energies, pixel size")
    declared: dict[str, str] = Field(description="the declared goods in words")


class Accepted(BaseModel):
    """A scan that was taken in."""

    id: str
    new: bool = Field(description="false: the same content under the same papers was there already")


class Page(BaseModel):
    """Some scans, and how many there are in all."""

    scans: list[Summary]
    total: int


class Similar(BaseModel):
    """A scan that the network sees alike, and how far away: 0 is the same."""

    scan: Summary
    distance: float


class HistoryRow(BaseModel):
    """A row of the ledger."""

    seq: int
    at: str
    kind: str
    who: str
    body: dict[str, Any]
    hash: str


class LedgerState(BaseModel):
    """Whether the chain holds."""

    rows: int
    head: str
    intact: bool
    problems: list[str]


class Week(BaseModel):
    """A stretch of time in the supervisor's view."""

    start: float
    scans: int
    alarms: int
    decided: int
    agreed: int
    inspected: int
    found: int
    false_alarms: int
    seconds: float | None
    mean_score: float | None
    noise: float | None
    unpenetrated: float | None
    novelty: float | None


class Drift(BaseModel):
    """A figure now against the first weeks, in standard deviations of its scatter then."""

    name: str
    first: float
    now: float
    deviations: float
    warning: bool


class Overview(BaseModel):
    """The supervisor's view."""

    periods: list[Week]
    drift: list[Drift]
    period_s: float
    overrides: dict[str, int]


class Health(BaseModel):
    """Whether the station does its work."""

    status: Literal["ok", "degraded"]
    problems: list[str]
    queued: int
    models: list[dict[str, str]]


class User(BaseModel):
    """An account."""

    name: str
    role: str
    locked: bool


class NewUser(Strict):
    """An account to be made."""

    name: Name
    role: Literal["machine", "operator", "supervisor", "admin"]
    password: Annotated[str, StringConstraints(max_length=200)] = ""
