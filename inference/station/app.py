"""The HTTP application: the gate, the interface under /api, the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

from leadline.inference.station import api_scans, api_station, errors
from leadline.inference.station.access import Gate
from leadline.inference.station.service import Station

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": errors.ErrorBody, "description": "the request makes no sense"},
    401: {"model": errors.ErrorBody, "description": "log in first"},
    403: {"model": errors.ErrorBody, "description": "not allowed"},
    404: {"model": errors.ErrorBody, "description": "there is none"},
    409: {"model": errors.ErrorBody, "description": "not now"},
    413: {"model": errors.ErrorBody, "description": "too large"},
    422: {"model": errors.ErrorBody, "description": "a value is not allowed"},
    429: {"model": errors.ErrorBody, "description": "the account is locked"},
    503: {"model": errors.ErrorBody, "description": "the ledger cannot be reached"},
}


def static_folder() -> Path:
    """Where the page's files lie."""
    return Path(str(files("leadline.inference.station") / "static"))


def create_app(station: Station) -> FastAPI:
    """The application before a station; it starts and stops the station with itself."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        station.start()
        yield
        station.stop()

    app = FastAPI(
        title="leadline station",
        version=version("leadline"),
        description="Scans in, verdicts out, decisions into the ledger. Every error has the shape of `ErrorBody`.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
        responses=REFUSALS,
    )
    app.state.station = station
    errors.install(app)
    app.include_router(api_scans.router)
    app.include_router(api_station.router)
    folder = static_folder()

    def page(name: str) -> Any:
        async def serve(request: Request) -> Response:
            return FileResponse(folder / name, headers={"Cache-Control": "no-cache"})

        return serve

    app.add_api_route("/", page("index.html"), include_in_schema=False)
    app.add_api_route("/api/docs", page("interface.html"), include_in_schema=False)
    app.mount("/static", _Static(directory=folder))
    app.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=4)
    app.add_middleware(Gate, station=station)
    return app


class _Static(StaticFiles):
    """The page's files; a browser asks each time whether they changed, so that an update is seen at once."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response
