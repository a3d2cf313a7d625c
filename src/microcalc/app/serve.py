"""From a session to a port that answers."""

import os
import socket

import uvicorn

from microcalc.app.server import make_app
from microcalc.app.session import Session
from microcalc.errors import RequestError

GRACE_SECONDS = 1


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 for any that is free.

    Raises:
        RequestError: it is in use, or the address is none of this machine.
    """
    if not 0 <= port <= 65535:
        raise RequestError(f"port must lie in [0, 65535]: got {port}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if isinstance(error.errno, int) and error.errno > 0 else error
        raise RequestError(f"cannot listen on port {port} of {host} ({reason}); give another port, or 0") from error


def serve(session: Session, listening: socket.socket) -> None:
    """Answer until interrupted."""
    session.jobs.start()
    config = uvicorn.Config(
        make_app(session),
        log_level="critical",
        lifespan="off",
        ws="none",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listening])
