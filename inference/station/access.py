"""The gate before every request: names, origins, sizes, headers; and who is asking."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leadline.inference.station.accounts import LOCAL, Person, Role
from leadline.inference.station.errors import ApiError, answer
from leadline.inference.station.service import Station

SAFE = ("GET", "HEAD", "OPTIONS")
SMALL_BODY = 65_536
"""Bytes of a request other than an upload."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content Security Policy of the page: nothing from outside, no inline script, no frame around it."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Gate:
    """ASGI middleware: refuses foreign names, foreign origins and oversized bodies; adds the headers.

    Args:
        app: what lies behind.
        station: whose options count.
    """

    def __init__(self, app: ASGIApp, station: Station) -> None:
        self.app, self.station = app, station

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        method, status = scope["method"], 500
        most = self.station.options.most_upload if _upload(scope) else SMALL_BODY
        counting = _Counting(receive, most)

        async def sending(message: Message) -> None:
            nonlocal status
            if counting.exceeded:  # whatever the application makes of the cut body, the answer is another
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                own = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    own.setdefault(name, value)
                if self.station.options.tls:
                    own["Strict-Transport-Security"] = "max-age=31536000"
                if scope["path"].startswith("/api"):
                    own.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            refusal = self._refusal(method, headers, most)
            if refusal is not None:
                await answer(refusal)(scope, receive, sending)
                return
            with suppress(_TooLarge):
                await self.app(scope, counting, sending)
            if counting.exceeded:
                counting.exceeded = False
                await answer(_too_large(most))(scope, receive, sending)
        finally:
            self.station.metrics.answered(method, status)

    def _refusal(self, method: str, headers: Headers, most: int) -> ApiError | None:
        host = headers.get("host", "")
        if not self._known_host(host):
            # A page elsewhere may give its own name this machine's address: the name betrays it.
            return ApiError(403, "unknown_host", "the station does not go by this name", "use its address, or --host")
        if method not in SAFE:
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
                return ApiError(403, "foreign_origin", "the request comes from another site's page")
            if headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
                return ApiError(403, "foreign_origin", "the request comes from another site's page")
        length = headers.get("content-length")
        if length is not None and length.isdigit() and int(length) > most:
            return _too_large(most)
        return None

    def _known_host(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.lower()
        return name in self.station.options.hosts or "*" in self.station.options.hosts


class _TooLarge(Exception):
    pass


class _Counting:
    """`receive` that stops a body which is larger than it may be, whatever its headers say."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left, self.exceeded = receive, most, False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.exceeded = True
                raise _TooLarge
        return message


def _upload(scope: Scope) -> bool:
    return bool(scope["path"] == "/api/scans" and scope["method"] == "POST")


def _too_large(most: int) -> ApiError:
    size = f"{most / 1e6:.0f} MB" if most >= 1e6 else f"{most // 1024} kB"
    return ApiError(
        413, "too_large", f"the request has more than {size}", "send one scan at a time", {"Connection": "close"}
    )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on reaches this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def cookie_name(station: Station) -> str:
    """Name of the session's cookie; the prefix makes browsers insist on TLS and on this very host."""
    return "__Host-leadline" if station.options.tls else "leadline"


def station_of(request: Request) -> Station:
    """The station behind a request."""
    found: Station = request.app.state.station
    return found


def person_of(request: Request, counts: bool = True) -> Person | None:
    """Who is asking, `None` if nobody known.

    Args:
        request: with a token, a cookie or neither.
        counts: whether this is use that keeps a session open.

    Raises:
        ApiError: 401 a token that is nobody's.
    """
    station = station_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        person = station.accounts.by_token(token.strip())
        if person is None:
            raise ApiError(401, "unknown_token", "the token is nobody's", "make one with `leadline user token`")
        return person
    secret = request.cookies.get(cookie_name(station))
    if secret and (person := station.accounts.by_session(secret, counts)):
        return person
    return None if station.options.login else LOCAL


def require(role: Role) -> Callable[..., Person]:
    """A dependency that lets only people of a role (or a higher one) through."""

    def check(request: Request) -> Person:
        person = person_of(request)
        if person is None:
            raise ApiError(401, "login_needed", "log in first", "POST /api/session with name and password")
        if person.csrf and request.method not in SAFE and request.headers.get("x-csrf-token") != person.csrf:
            raise ApiError(403, "no_csrf_token", "the request lacks the session's X-CSRF-Token", "reload the page")
        if not person.may(role):
            raise ApiError(403, "forbidden", f"this needs the role {role}; {person.name} is {person.role}")
        return person

    return check


Machine = Annotated[Person, Depends(require("machine"))]
Operator = Annotated[Person, Depends(require("operator"))]
Supervisor = Annotated[Person, Depends(require("supervisor"))]
Admin = Annotated[Person, Depends(require("admin"))]
TheStation = Annotated[Station, Depends(station_of)]
