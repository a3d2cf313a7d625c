"""Checks of every request before anything else sees it, and headers of every answer."""

import ipaddress
import logging
import secrets
import socket
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MARKER = "x-microcalc"
"""A header that no form and no image of another site can send."""

COOKIE = "microcalc_token"
LARGEST_BODY = 32 * 2**20
"""Most bytes of a request that is no upload: the findings of some ten thousand mammograms."""

UPLOAD = ("POST", "/api/images")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "frame-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """An ASGI application around another: refuses what may not come in, and sets the headers of all that goes out.

    - Host must name this machine, or a site could reach the server under a name of its own (DNS rebinding).
    - A request that a page of another origin makes is refused: by Sec-Fetch-Site, and where something is changed by
      Origin and by a header of our own.
    - Where the server listens on more than loopback, a cookie with the token is needed; ``/?token=...`` sets it.
    - A body must have a length, and none that is too large; an upload without one is counted while it comes.

    Args:
        app: what answers.
        host: address that the server listens on.
        upload_bytes: most bytes of an upload.
        token: that a browser must show; None on loopback.
    """

    def __init__(self, app: ASGIApp, host: str, upload_bytes: int, token: str | None = None) -> None:
        self.app, self.upload_bytes, self.token = app, upload_bytes, token
        self.any_address = is_any_address(host)
        self.names = {*LOOPBACK, host.lower(), *(own_names() if self.any_address else ())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it; there are no web sockets."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(MutableHeaders(scope=message), scope["path"].startswith("/static/"))
            await send(message)

        try:
            await (self._refusal(Request(scope)) or self.app)(scope, receive, send_with_headers)
        except Exception as error:  # answered by now, see the server's handler
            logging.getLogger("microcalc.app").debug("unexpected", exc_info=error)

    def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        if not self._is_own(headers.get("host", "")):
            return _plain(421, "this server does not answer to that host name; open the address that it printed")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _plain(403, "the request comes from a page of another site")
        if request.method not in ("GET", "HEAD"):
            if headers.get("origin") != f"{request.url.scheme}://{headers['host']}":
                return _plain(403, "the request comes from a page of another origin")
            if headers.get(MARKER) != "1":
                return _plain(403, f"the request lacks the header {MARKER}")
        if self.token is not None and not self._is_token(request.cookies.get(COOKIE, "")):
            return self._entry(request)
        upload = (request.method, request.url.path) == UPLOAD
        limit, declared = self.upload_bytes if upload else LARGEST_BODY, headers.get("content-length", "0")
        if declared.isdecimal() and float(declared) > limit:
            return _plain(413, too_large(limit))
        return None if upload or "transfer-encoding" not in headers else _plain(411, "the request states no length")

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:  # half a pair of brackets
            return False
        return name in self.names or (self.any_address and _address(name) is not None)

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(errors="replace"), (self.token or "").encode())

    def _entry(self, request: Request) -> Response:
        """Exchange the token of the address for a cookie, so that it does not stay in the address."""
        given = request.query_params.get("token", "")
        if (request.method, request.url.path) != ("GET", "/") or not self._is_token(given):
            return _plain(403, "the token is missing or wrong; open the address that microcalc printed")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, given, httponly=True, samesite="strict")
        return answer


def _plain(status: int, line: str) -> Response:
    """A refusal, after which the connection is closed, as what was sent is not read."""
    return JSONResponse({"error": line}, status, {"connection": "close"})


def add_headers(headers: MutableHeaders, cacheable: bool) -> None:
    """Set what every answer carries; an answer with a policy of its own keeps it."""
    headers.update(HEADERS)
    headers.setdefault("content-security-policy", POLICY)
    headers.setdefault("cache-control", "no-cache" if cacheable else "no-store")


def too_large(limit: int) -> str:
    """Return the line for a request that is too large."""
    return f"is larger than {limit / 2**20:,.0f} MiB, the most that is taken; cut out the part wanted"


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def is_any_address(host: str) -> bool:
    """Return whether a server that listens there is reached at every address of this machine.

    >>> is_any_address("0.0.0.0"), is_any_address("192.0.2.7")
    (True, False)
    """
    address = _address(host)
    return address is not None and address.is_unspecified


def reachable_address(host: str) -> str:
    """Return an address at which others reach a server: for one that listens on all, where packets leave the machine.

    >>> reachable_address("192.0.2.7")
    '192.0.2.7'
    """
    if not is_any_address(host):
        return host
    six = ":" in host
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1" if six else "192.0.2.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:  # no network
            return "::1" if six else "127.0.0.1"


def own_names() -> set[str]:
    """Return the names of this machine, with and without its domain."""
    name = socket.gethostname().lower()
    return {name, f"{name}.local", socket.getfqdn().lower()}


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
