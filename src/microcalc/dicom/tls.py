"""TLS for DICOM by the BCP 195 profile (PS3.15 B.9 and B.10): version 1.2 or newer, both sides with certificates."""

import socket
import ssl
from pathlib import Path
from typing import Any

from microcalc.errors import RequestError

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2: forward secrecy and authenticated encryption only


class _PatientContext(ssl.SSLContext):
    """Leaves the handshake to the connection's own thread: a peer that never answers must not keep others waiting."""

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(sock, *arguments, **{**options, "do_handshake_on_connect": False})


def contexts(certificate: Path, key: Path, authority: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of the side that listens and of the side that connects.

    The first takes only peers whose certificate the authority has signed; the second also checks that the certificate
    is for the name connected to.

    Raises:
        RequestError: a file is missing or is no certificate or key.
    """
    for path in (certificate, key, authority):
        if not path.is_file():
            raise RequestError(f"{path}: is missing; give PEM files as tls_certificate, tls_key and tls_ca")
    listening, connecting = _PatientContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (listening, connecting):
        context.minimum_version, context.verify_mode = ssl.TLSVersion.TLSv1_2, ssl.CERT_REQUIRED
        context.set_ciphers(_CIPHERS)
        try:
            context.load_cert_chain(certificate, key, password="")
            context.load_verify_locations(authority)
        except (ssl.SSLError, ValueError, OSError) as error:
            raise RequestError(
                f"{certificate}, {key}, {authority}: are not a PEM certificate, its key without a password and an "
                f"authority ({error}); make them again"
            ) from error
    return listening, connecting
