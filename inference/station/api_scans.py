"""The HTTP interface to scans: taking in, listing, watching, looking at, deciding."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, File, Form, Path, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from leadline.datasets.declarations import describe
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration
from leadline.inference.station import chinese, shapes
from leadline.inference.station.access import Machine, Operator, TheStation, person_of
from leadline.inference.station.errors import ApiError
from leadline.inference.station.intake import Papers
from leadline.inference.station.search import Query as Wanted
from leadline.inference.station.search import search, similar
from leadline.inference.station.service import Station

router = APIRouter(prefix="/api", tags=["scans"])

ScanId = Annotated[str, Path(pattern="^[0-9a-f]{24}$", description="identifier of a scan")]
KEEP_ALIVE_S = 15.0


def get_scan(station: Station, scan: str) -> dict[str, Any]:
    """All columns of a scan.

    Raises:
        ApiError: 404 there is none.
    """
    row = station.store.get(scan)
    if row is None:
        raise ApiError(404, "not_found", "there is no such scan", "search for it, or take the id from the queue")
    return dict(row)


def summary(row: dict[str, Any]) -> shapes.Summary:
    """The part of a row that lists show."""
    return shapes.Summary(**{name: row[name] for name in shapes.Summary.model_fields})


@router.post("/scans", status_code=201, responses={200: {"model": shapes.Accepted, "description": "was there already"}})
def take_scan(
    station: TheStation,
    person: Machine,
    response: Response,
    file: Annotated[list[UploadFile], File(description="a scan, or the two files of a pair, the high energy first")],
    container: Annotated[str | None, Form(max_length=500)] = None,
    hs_code: Annotated[str | None, Form(max_length=500)] = None,
    description: Annotated[str | None, Form(max_length=500)] = None,
    scanner: Annotated[str | None, Form(max_length=20)] = None,
) -> shapes.Accepted:
    """Take a scan in. The same content under the same papers is taken only once."""
    if len(file) > 2:
        raise ApiError(422, "invalid", "more than two files", "send one scan at a time: one file, or a pair")
    parts = [(f.filename or "scan", f.file.read()) for f in file]
    if any(not data for _, data in parts):
        raise ApiError(422, "invalid", "a file is empty", "send the scan's bytes")
    papers = Papers.checked(
        {"container": container, "hs_code": hs_code, "description": description, "scanner": scanner}
    )
    scan, new = station.intake.take(parts, papers, person.name)
    station.worker.wake()
    response.status_code = 201 if new else 200
    return shapes.Accepted(id=scan, new=new)


@router.get("/scans")
def list_scans(
    station: TheStation,
    person: Operator,
    text: Annotated[str, Query(max_length=200, description="container number, file name or declared goods")] = "",
    verdict: Annotated[shapes.Word | None, Query()] = None,
    decision: Annotated[shapes.Word | None, Query()] = None,
    open_only: Annotated[bool, Query(description="only scans that nobody has decided")] = False,
    since: Annotated[float | None, Query(ge=0, le=1e11, description="seconds since 1970")] = None,
    until: Annotated[float | None, Query(ge=0, le=1e11)] = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> shapes.Page:
    """Search; the newest first."""
    wanted = Wanted(text, verdict, decision, open_only, since, until, offset, limit)
    rows, total = search(station.store, wanted)
    return shapes.Page(scans=[shapes.Summary(**row) for row in rows], total=total)


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "server-sent events `scan`, `queue`"}},
)
async def events(
    request: Request,
    station: TheStation,
    person: Operator,
    after: Annotated[int, Query(ge=0, le=2**53, description="number of the last change known")] = 0,
) -> StreamingResponse:
    """Live updates: an event `scan` with a summary for each change, and `queue` with how many wait."""
    last = request.headers.get("last-event-id", "")
    start = int(last) if last.isdigit() and len(last) < 16 else after

    async def stream() -> AsyncIterator[str]:
        known = start
        woken = station.broker.open()
        try:
            yield "retry: 1000\n\n"
            while not station.broker.closing:
                woken.clear()
                rows = await run_in_threadpool(station.store.changed, known)
                for row in rows:
                    known = row["change"]
                    yield f"id: {known}\nevent: scan\ndata: {json.dumps(row)}\n\n"
                if len(rows) == 200:
                    continue
                try:
                    await asyncio.wait_for(woken.wait(), KEEP_ALIVE_S)
                except TimeoutError:
                    if station.options.login and await run_in_threadpool(person_of, request, False) is None:
                        yield "event: login\ndata: {}\n\n"
                        return
                    yield ": still here\n\n"
        finally:
            station.broker.done(woken)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get("/scans/{scan}")
def one_scan(station: TheStation, person: Operator, scan: ScanId) -> shapes.Detail:
    """All that is known of a scan."""
    row = get_scan(station, scan)
    line = json.loads(row["line"]) if row["line"] else None
    said = list(line["reasons"]) if line else []
    declaration = Declaration(row["hs_code"], row["description"])
    words = describe(declaration)
    return shapes.Detail(
        summary=summary(row),
        line=line,
        reasons={"en": said, "zh": [chinese.translate(s) for s in said]},
        maps=json.loads(row["maps"]) if row["maps"] else None,
        declared={"en": words, "zh": chinese.declared(declaration, words)},
    )


@router.post("/scans/{scan}/opened", status_code=204)
def opened(station: TheStation, person: Operator, scan: ScanId) -> None:
    """Say that a person looks at a scan: the time per scan counts from the first time."""
    if get_scan(station, scan)["opened"] is None:
        with station.store.writing() as db:
            db.execute("UPDATE scans SET opened = ? WHERE id = ? AND opened IS NULL", (time.time(), scan))


@router.get("/scans/{scan}/pixels", response_class=Response, responses={
    200: {"content": {"application/octet-stream": {}}, "description": "uint16 little-endian (rows, columns, 2), "
          "[high, low]; X-Leadline-Scale: transmission that 65535 stands for"}})  # fmt: skip
def pixels(station: TheStation, person: Operator, scan: ScanId) -> Response:
    """The scan's own values."""
    row = get_scan(station, scan)
    if row["state"] != "screened":
        raise ApiError(404, "not_found", "the scan has no pixels (yet): it waits, or cannot be read")
    data, scale = station.pixels.get(scan, row["kind_given"])
    # "identity" keeps the middleware from packing 4 MB of noise, which takes longer than sending them.
    headers = {
        "X-Leadline-Scale": f"{scale:.9g}",
        "Content-Encoding": "identity",
        "Cache-Control": "private, max-age=3600, immutable",
    }
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.get("/scans/{scan}/maps", response_class=Response, responses={
    200: {"content": {"application/octet-stream": {}}, "description": "evidence uint8 (families, rows, columns), then "
          "areal density float32 (2, rows, columns): all goods, watch-list material alone, g/cm2"}})  # fmt: skip
def maps(station: TheStation, person: Operator, scan: ScanId) -> Response:
    """The model's maps; `maps` of the scan tells their shape."""
    return _kept(station, scan, "maps.bin", "application/octet-stream")


@router.get("/scans/{scan}/thumbnail", response_class=Response, responses={
    200: {"content": {"image/png": {}}, "description": "a small picture"}})  # fmt: skip
def thumb(station: TheStation, person: Operator, scan: ScanId) -> Response:
    """A small picture of the scan."""
    return _kept(station, scan, "thumb.png", "image/png")


@router.post("/scans/{scan}/decision")
def decide(
    station: TheStation, person: Operator, scan: ScanId, decision: Annotated[shapes.Decision, Body()]
) -> shapes.Summary:
    """Decide. Deciding otherwise than the system says needs a reason, `override`."""
    row = get_scan(station, scan)
    if row["state"] not in ("screened", "failed"):
        raise ApiError(409, "conflict", "the scan was not judged yet", "wait for its verdict")
    otherwise = row["verdict"] is not None and decision.decision != row["verdict"]
    if otherwise and decision.override is None:
        raise ApiError(
            422, "reason_needed", f"the system says {row['verdict']}: deciding otherwise needs a reason",
            f"send override, one of {', '.join(shapes.OVERRIDES)}",
        )  # fmt: skip
    body = {
        "decision": decision.decision,
        "verdict": row["verdict"],
        "override": decision.override if otherwise else None,
        "note": clean(decision.note),
    }
    station.record.happened("decision", scan, row["sha256"], person.name, body)
    return summary(get_scan(station, scan))


@router.post("/scans/{scan}/result")
def enter_result(
    station: TheStation, person: Operator, scan: ScanId, result: Annotated[shapes.Result, Body()]
) -> shapes.Summary:
    """Enter what an inspection found; it becomes a label for training."""
    row = get_scan(station, scan)
    if row["decision"] != "inspect":
        raise ApiError(409, "conflict", "nobody has decided to inspect this scan", "decide first")
    if result.found and result.family not in catalogue().names:
        raise ApiError(422, "invalid", "what was found is none of the families", ", ".join(catalogue().names))
    body = {
        "result": "found" if result.found else "not_found",
        "result_family": result.family if result.found else None,
        "result_note": clean(result.note),
    }
    station.record.happened("result", scan, row["sha256"], person.name, body)
    return summary(get_scan(station, scan))


@router.get("/scans/{scan}/similar")
def similar_scans(
    station: TheStation, person: Operator, scan: ScanId, limit: Annotated[int, Query(ge=1, le=50)] = 8
) -> list[shapes.Similar]:
    """Scans that the network sees alike, the nearest first."""
    row = get_scan(station, scan)
    if row["embedding"] is None:
        return []
    found = similar(station.store, scan, np.frombuffer(row["embedding"], "<f4"), row["model"], limit)
    return [shapes.Similar(scan=summary(get_scan(station, s)), distance=round(d, 4)) for s, d in found]


@router.get("/scans/{scan}/history")
def history(station: TheStation, person: Operator, scan: ScanId) -> list[shapes.HistoryRow]:
    """What the ledger says of a scan."""
    row = get_scan(station, scan)
    return [
        shapes.HistoryRow(seq=r.seq, at=r.at, kind=r.kind, who=r.who, body=r.body, hash=r.hash)
        for r in station.record.history(scan, row["sha256"])
    ]


def clean(text: str) -> str:
    """Text that every database and every page takes."""
    shown = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return shown.encode("utf-8", "replace").decode("utf-8")


def _kept(station: Station, scan: str, name: str, kind: str) -> Response:
    get_scan(station, scan)
    path = station.files.place(scan) / name
    if not path.is_file():
        raise ApiError(404, "not_found", "the scan was not judged (yet)")
    return FileResponse(path, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})
