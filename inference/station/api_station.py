"""The HTTP interface to everything but scans: sessions, users, records, supervision, health."""

from __future__ import annotations

import csv
import io
from typing import Annotated

from fastapi import APIRouter, Body, Path, Request, Response
from fastapi.responses import PlainTextResponse

from leadline.inference.station import shapes
from leadline.inference.station.access import Admin, Operator, Supervisor, TheStation, cookie_name, person_of
from leadline.inference.station.accounts import LONGEST_S
from leadline.inference.station.api_scans import ScanId, get_scan
from leadline.inference.station.dicos import report_of
from leadline.inference.station.errors import ApiError
from leadline.inference.station.evidence import Case, as_html, as_pdf
from leadline.inference.station.supervision import labels, overview

router = APIRouter(tags=["station"])
UserName = Annotated[str, Path(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
LABEL_COLUMNS = ("path", "label", "family", "hs_code", "description", "sha256")
LANGUAGE = Annotated[str, Path(pattern="^(en|zh)$")]


@router.get("/api/session")
def session(request: Request, station: TheStation) -> shapes.Session:
    """Who is asking; 401 if nobody known."""
    person = person_of(request)
    if person is None:
        raise ApiError(401, "login_needed", "log in first", "POST /api/session with name and password")
    return shapes.Session(name=person.name, role=person.role, csrf=person.csrf, login=station.options.login)


@router.post("/api/session")
def log_in(station: TheStation, response: Response, login: Annotated[shapes.Login, Body()]) -> shapes.Session:
    """Log in. Five wrong passwords lock the account for a quarter of an hour."""
    secret, person = station.accounts.log_in(login.name, login.password)
    response.set_cookie(
        cookie_name(station), secret, max_age=LONGEST_S, httponly=True, secure=station.options.tls, samesite="strict",
        path="/",
    )  # fmt: skip
    return shapes.Session(name=person.name, role=person.role, csrf=person.csrf, login=station.options.login)


@router.delete("/api/session", status_code=204)
def log_out(request: Request, station: TheStation, person: Operator) -> Response:
    """Log out."""
    secret = request.cookies.get(cookie_name(station))
    if secret:
        station.accounts.log_out(secret)
    response = Response(status_code=204)
    response.delete_cookie(cookie_name(station), path="/", secure=station.options.tls, httponly=True, samesite="strict")
    return response


@router.get("/api/users")
def users(station: TheStation, person: Admin) -> list[shapes.User]:
    """All accounts."""
    return [shapes.User(**user) for user in station.accounts.all()]  # type: ignore[arg-type]


@router.post("/api/users", status_code=201)
def add_user(station: TheStation, person: Admin, user: Annotated[shapes.NewUser, Body()]) -> shapes.User:
    """Make an account."""
    station.accounts.add(user.name, user.role, user.password)
    return shapes.User(name=user.name, role=user.role, locked=False)


@router.delete("/api/users/{name}", status_code=204)
def remove_user(station: TheStation, person: Admin, name: UserName) -> None:
    """Remove an account with its sessions and tokens."""
    if name == person.name:
        raise ApiError(409, "conflict", "nobody removes the account they are using", "log in as another administrator")
    if not any(user["name"] == name for user in station.accounts.all()):
        raise ApiError(404, "not_found", "there is no such user")
    station.accounts.remove(name)


@router.get("/api/overview")
def supervise(station: TheStation, person: Supervisor) -> shapes.Overview:
    """The supervisor's figures."""
    return overview(station.store)


@router.get("/api/labels.csv", response_class=PlainTextResponse, responses={200: {"content": {"text/csv": {}}}})
def labels_csv(station: TheStation, person: Supervisor) -> Response:
    """Results of inspections as labels for training."""
    out = io.StringIO()
    writer = csv.DictWriter(out, LABEL_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in labels(station.store, station.files):
        # A spreadsheet takes what begins with these for a formula.
        writer.writerow({k: f"'{v}" if v[:1] in ("=", "+", "-", "@", "\t") else v for k, v in row.items()})
    headers = {"Content-Disposition": 'attachment; filename="labels.csv"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/api/ledger")
def ledger(station: TheStation, person: Supervisor) -> shapes.LedgerState:
    """Check the whole chain of the ledger."""
    found = station.record.verify()
    problems = [f"row {p.seq}: {p.what}" for p in found.problems]
    return shapes.LedgerState(rows=found.rows, head=found.head, intact=found.intact, problems=problems)


@router.get("/api/scans/{scan}/report.{language}.html", response_class=Response, responses={
    200: {"content": {"text/html": {}}, "description": "one self-contained page"}})  # fmt: skip
def report_html(station: TheStation, person: Operator, scan: ScanId, language: LANGUAGE) -> Response:
    """The evidence report as one self-contained page."""
    text = as_html(_case(station, scan), language)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    return Response(text, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})


@router.get("/api/scans/{scan}/report.{language}.pdf", response_class=Response, responses={
    200: {"content": {"application/pdf": {}}, "description": "the report for printing"}})  # fmt: skip
def report_pdf(station: TheStation, person: Operator, scan: ScanId, language: LANGUAGE) -> Response:
    """The evidence report as PDF, A4."""
    headers = {"Content-Disposition": f'inline; filename="leadline-{scan}.pdf"'}
    return Response(as_pdf(_case(station, scan), language), media_type="application/pdf", headers=headers)


@router.get("/api/scans/{scan}/report.dcs", response_class=Response, responses={
    200: {"content": {"application/dicom": {}}, "description": "a DICOS Threat Detection Report"}})  # fmt: skip
def report_dicos(station: TheStation, person: Operator, scan: ScanId) -> Response:
    """The verdict and the decision as a DICOS Threat Detection Report."""
    headers = {"Content-Disposition": f'attachment; filename="leadline-{scan}.dcs"'}
    return Response(report_of(_case(station, scan)), media_type="application/dicom", headers=headers)


@router.get("/healthz")
def healthz(station: TheStation) -> shapes.Health:
    """Whether the station does its work; needs no login."""
    problems = list(station.problems())
    row = station.store.one("SELECT count(*) n FROM scans WHERE state IN ('queued', 'working')")
    models = [{"name": m.contract.name, "version": m.contract.version} for m in station.judges.models()]
    return shapes.Health(
        status="degraded" if problems else "ok", problems=problems, queued=int(row["n"]) if row else 0, models=models
    )


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request, station: TheStation) -> Response:
    """Figures for Prometheus; off this machine it needs a token."""
    if person_of(request) is None:
        raise ApiError(401, "login_needed", "send a token", "`leadline user token` makes one")
    states = {row["state"]: row["n"] for row in station.store.all("SELECT state, count(*) n FROM scans GROUP BY state")}
    gauges = {
        "leadline_queue_length": (
            "Scans that wait for a verdict.",
            float(states.get("queued", 0) + states.get("working", 0)),
        ),
        "leadline_scans": ("Scans that the station holds.", float(sum(states.values()))),
        "leadline_open_pages": ("Pages that are open.", float(station.broker.pages)),
        "leadline_ledger_rows": ("Rows of the ledger.", float(station.record.ledger.head()[0])),
    }
    return Response(station.metrics.text(gauges), media_type="text/plain; version=0.0.4; charset=utf-8")


def _case(station: TheStation, scan: str) -> Case:
    row = get_scan(station, scan)
    if row["state"] != "screened":
        raise ApiError(409, "conflict", "the scan was not judged (yet)", "wait for its verdict")
    return Case.collect(station, row)
