"""A DICOMweb server: how it is reached, and how it stores by STOW-RS (PS3.18 10.5)."""

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pydicom
import requests
from pydicom.dataset import Dataset

from microcalc.errors import FailedError, RequestError
from microcalc.images.silence import quiet

PATIENCE_S = 60.0
HAS_IT = (0x0000, 0x0111)  # success, and "duplicate SOP instance" after an answer that was lost
USER, PASSWORD, TOKEN = (f"MICROCALC_DICOMWEB_{word}" for word in ("USER", "PASSWORD", "TOKEN"))

_ALL_STORED = (200, 201, 204)

Key = TypeVar("Key")


class WebServer:
    """A DICOMweb server.

    User and password are taken from MICROCALC_DICOMWEB_USER and _PASSWORD, or from ``~/.netrc``; a token, such as
    OpenID Connect gives, from MICROCALC_DICOMWEB_TOKEN.

    Args:
        url: of its services, such as ``https://pacs.example/dicom-web``.

    Attributes:
        session: for requests, with the credentials.

    Raises:
        RequestError: the address names no host, or holds a password.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.password:
            raise RequestError(
                "the web address must be https://HOST/..., without a password; "
                f"put that into ~/.netrc or the environment as {USER} and {PASSWORD}"
            )
        self.url, self.session = url.rstrip("/"), requests.Session()
        if USER in os.environ:
            self.session.auth = os.environ[USER], os.environ.get(PASSWORD, "")
        elif TOKEN in os.environ:
            self.session.auth = _bearer  # in a header of the session, ~/.netrc would take its place

    def send(self, files: Sequence[Path]) -> Iterator[Path]:
        """Store the results of one study in one request, and yield each file once the server has it.

        Raises:
            FailedError: one or more were not taken.
        """
        yield from self.store({path: path.read_bytes() for path in files})

    def store(self, contents: Mapping[Key, bytes]) -> Iterator[Key]:
        """As :meth:`send`, for files that are in memory."""
        with quiet():
            results = {key: pydicom.dcmread(BytesIO(content)) for key, content in contents.items()}
        answer = self._post(next(iter(results.values())).StudyInstanceUID, list(contents.values()))
        stored, failed = _named(answer)
        if not stored and answer.status_code in _ALL_STORED:
            stored = {result.SOPInstanceUID for result in results.values()} - failed
        yield from (key for key, result in results.items() if result.SOPInstanceUID in stored)
        refused = {result.SOPClassUID.name for result in results.values() if result.SOPInstanceUID not in stored}
        if refused:
            status = f"answered with HTTP status {answer.status_code}"
            raise FailedError(f"{self.url}: {status} and did not store {', '.join(sorted(refused))}")

    def _post(self, study: str, contents: Sequence[bytes]) -> requests.Response:
        boundary = secrets.token_hex(16)
        part = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(part + content + b"\r\n" for content in contents) + f"--{boundary}--".encode()
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        url = f"{self.url}/studies/{study}"
        try:  # a redirected POST would become a GET, whose success stores nothing
            return self.session.post(url, body, headers=headers, timeout=PATIENCE_S, allow_redirects=False)
        except requests.RequestException as error:
            raise FailedError(f"{self.url}: cannot be reached") from error


def _bearer(request: requests.PreparedRequest) -> requests.PreparedRequest:
    request.headers["Authorization"] = f"Bearer {os.environ[TOKEN]}"
    return request


def _named(answer: requests.Response) -> tuple[set[str], set[str]]:
    """Return the instances that an answer names as stored, or as held before, and those that it names as refused."""
    try:
        body = answer.json()
        body = Dataset.from_json(body[0] if isinstance(body, list) else body)
        stored = {str(item.ReferencedSOPInstanceUID) for item in body.get("ReferencedSOPSequence") or ()}
        failures = body.get("FailedSOPSequence") or ()
        reasons = {str(item.ReferencedSOPInstanceUID): item.get("FailureReason") for item in failures}
    except Exception:  # no body, or one in another format: the status alone must do
        return set(), set()
    held = {instance for instance, reason in reasons.items() if reason in HAS_IT}
    return stored | held, reasons.keys() - held
