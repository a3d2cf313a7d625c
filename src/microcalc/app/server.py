"""The viewer's server: its routes, and how it starts and ends."""

import os
from importlib import resources
from pathlib import Path
from typing import Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import Response

from microcalc.app import dicomweb_routes, finding_routes, image_routes
from microcalc.app.security import Guard
from microcalc.app.session import REPORTS, Session
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
    for routes in (image_routes, finding_routes, dicomweb_routes):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    app.add_api_route("/", _page, include_in_schema=False)
    app.add_api_route("/api/reports/{number}/{name}", _report, include_in_schema=False)
    app.add_api_route("/api/session", lambda: session.entry(), methods=["GET"])
    for kind in (HTTPException, RequestValidationError, MicrocalcError, Exception):
        app.add_exception_handler(kind, answer_error)
    settings = session.settings
    return Guard(app, settings.host, settings.upload_bytes, session.token)


def _page() -> Response:
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


def _report(number: int, name: str, request: Request, theme: Literal["light", "dark"] = "light") -> Response:
    """Give the report of a study, or of an evaluation, in the theme of the page; it may run and load nothing."""
    folders = request.app.state.session.reported
    if not 0 <= number < len(folders) or name not in REPORTS or not (folders[number] / name).is_file():
        raise HTTPException(404, "there is no such report")
    page = (folders[number] / name).read_text(encoding="utf-8")
    page = page.replace("<html ", f'<html style="color-scheme: {theme}" ', 1)
    return HTMLResponse(page, headers={"content-security-policy": REPORT_POLICY})


async def answer_error(request: Request, error: Exception) -> Response:
    """One line for the page; of an unexpected error only its kind, as its text may hold a path."""
    status, headers = 500, None
    line = f"unexpected {type(error).__name__}; start with --debug to see where"
    if isinstance(error, HTTPException):
        status, line, headers = error.status_code, str(error.detail), error.headers
    elif isinstance(error, RequestValidationError):  # without what was given, which may be long
        first = error.errors()[0]
        status, line = 422, f"{'.'.join(map(str, first['loc'][1:])) or 'the request'}: {first['msg']}"
    elif isinstance(error, MicrocalcError):  # without the folder of the session
        own = f"{request.app.state.session.folder}{os.sep}"
        status, line = 409 if isinstance(error, FailedError) else 422, str(error).replace(own, "")
    return JSONResponse({"error": line}, status, headers)
