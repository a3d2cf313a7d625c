"""The viewer's server: its routes, and how it starts and ends."""

import os
from importlib import resources
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import Response

from microcalc.app import finding_routes, image_routes
from microcalc.app.security import Guard
from microcalc.app.session import Session
from microcalc.errors import FailedError, MicrocalcError

STATIC = Path(str(resources.files("microcalc"))) / "app" / "static"
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)


def make_app(session: Session) -> Guard:
    """The ASGI application of a session."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.session = session
    for routes in (image_routes, finding_routes):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    app.add_api_route("/", _page, include_in_schema=False)
    app.add_api_route("/api/reports/{number}", _report, include_in_schema=False)
    app.add_api_route("/api/session", lambda: session.entry(), methods=["GET"])
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(MicrocalcError, _refused)
    app.add_exception_handler(Exception, _unexpected)
    settings = session.settings
    return Guard(app, settings.host, settings.upload_bytes, session.token)


def _page() -> Response:
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


def _report(number: int, request: Request) -> Response:
    """The report of a run, which may run nothing and load nothing."""
    runs = request.app.state.session.runs
    if not 0 <= number < len(runs):
        raise HTTPException(404, "there is no such study")
    return FileResponse(runs[number] / "report.html", headers={"content-security-policy": REPORT_POLICY})


def error_line(status: int, line: str) -> JSONResponse:
    """An error as the page expects it."""
    return JSONResponse({"error": line}, status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_line(error.status_code, str(error.detail))


async def _invalid(request: Request, error: Exception) -> Response:
    """Which parameter is wrong, and how; not what was given, which may be long."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    return error_line(422, f"{place}: {first['msg']}")


async def _refused(request: Request, error: Exception) -> Response:
    """An error meant for the user, without the folder of the session."""
    own = f"{request.app.state.session.folder}{os.sep}"
    return error_line(409 if isinstance(error, FailedError) else 422, str(error).replace(own, ""))


async def _unexpected(request: Request, error: Exception) -> Response:
    """Of which kind the error is; its text may hold a path."""
    return error_line(500, f"unexpected {type(error).__name__}; start with --debug to see where")
