"""Errors of the HTTP interface: one shape, `{"error": {"code", "message", "remedy"}}`, whatever went wrong."""

from __future__ import annotations

import logging
import uuid

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from leadline.datasets.scan import LeadlineError
from leadline.inference.ledger import LedgerError

log = logging.getLogger("leadline.station")


class ErrorDetail(BaseModel):
    """What went wrong, why, and what to do."""

    code: str
    message: str
    remedy: str = ""


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class ApiError(Exception):
    """A refusal with its HTTP status.

    Args:
        status: HTTP status, 400..599.
        code: a word for programs.
        message: a sentence for people.
        remedy: what they can do.
    """

    def __init__(self, status: int, code: str, message: str, remedy: str = "", headers: dict[str, str] | None = None):
        self.status, self.code, self.message, self.remedy, self.headers = status, code, message, remedy, headers
        super().__init__(message)


CODES = {
    400: "bad_request",
    401: "login_needed",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_type",
    422: "invalid",
    429: "locked_out",
    500: "internal",
    503: "unavailable",
}


def body(code: str, message: str, remedy: str = "") -> dict[str, dict[str, str]]:
    """The JSON body of an error."""
    return {"error": {"code": code, "message": message, "remedy": remedy}}


def answer(error: ApiError) -> JSONResponse:
    """An `ApiError` as a response."""
    return JSONResponse(body(error.code, error.message, error.remedy), error.status, error.headers)


def install(app: FastAPI) -> None:
    """Give every failure of an application the one shape."""

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = CODES.get(error.status_code, "error")
        return JSONResponse(body(code, str(error.detail)), error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()[:5]]
        message = "; ".join(problems).encode("utf-8", "replace").decode("utf-8")
        return JSONResponse(body("invalid", message, "see the description of the interface at /api/docs"), 422)

    @app.exception_handler(LedgerError)
    async def unrecorded(request: Request, error: LedgerError) -> JSONResponse:
        return JSONResponse(body("unavailable", str(error), "nothing was recorded; try again"), 503)

    @app.exception_handler(LeadlineError)
    async def mendable(request: Request, error: LeadlineError) -> JSONResponse:
        return JSONResponse(body("bad_request", str(error)), 400)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        number = uuid.uuid4().hex[:8]
        log.error("failure %s in %s %s", number, request.method, request.url.path, exc_info=error)
        message = f"the station failed on this request (number {number} in its log)"
        return JSONResponse(body("internal", message, "try again; if it stays, report it with the number"), 500)
