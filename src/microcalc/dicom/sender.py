"""The side of the node that sends: C-STORE to an application entity, or STOW-RS to a DICOMweb server."""

import re
import secrets
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom
import requests
from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom import AE

from microcalc.errors import FailedError, RequestError
from microcalc.images.silence import quiet

SOP_CLASSES = (
    uid.MammographyCADSRStorage,
    uid.GrayscaleSoftcopyPresentationStateStorage,
    uid.SecondaryCaptureImageStorage,
)

_PATIENCE_S = 60.0
_HAS_IT = (0x0000, 0x0111)  # success, and "duplicate SOP instance" after an answer that was lost
_WARNINGS = range(0xB000, 0xC000)
_ALL_STORED = (200, 201, 204)


def destination(text: str, ae_title: str, tls: ssl.SSLContext | None) -> "Entity | WebServer":
    """Understand ``AET@HOST:PORT`` or the ``http(s)://`` address of a DICOMweb server.

    Args:
        text: as the user gave it.
        ae_title: of this node.
        tls: for an application entity, None for none; a web address says by itself whether it is encrypted.

    Raises:
        RequestError: it is neither.

    >>> destination("ARCHIVE@pacs.example:104", "MICROCALC", None)
    Entity(title='ARCHIVE', host='pacs.example', port=104, ae_title='MICROCALC', tls=None)
    """
    if text.startswith(("http://", "https://")):
        if urlsplit(text).password or not urlsplit(text).hostname:
            raise RequestError("the web address must name a host and no password; put the password into ~/.netrc")
        return WebServer(text.rstrip("/"))
    found = re.fullmatch(r"([^@\\]{1,16})@(\[[0-9a-fA-F:]+\]|[^@:/\s]+):(\d{1,5})", text)
    if not found or not 1 <= int(found[3]) <= 65535 or not found[1].isascii() or not found[1].strip():
        raise RequestError(f"{text}: is no receiver; give AET@HOST:PORT or https://HOST/dicom-web")
    return Entity(found[1].strip(), found[2].strip("[]"), int(found[3]), ae_title, tls)


@dataclass(frozen=True)
class Entity:
    """An application entity that stores, reached by C-STORE."""

    title: str
    host: str
    port: int
    ae_title: str
    tls: ssl.SSLContext | None

    def send(self, files: Sequence[Path]) -> Iterator[Path]:
        """Send the results of one study in one association, and yield each file once the receiver has it.

        Raises:
            FailedError: one or more were not taken.
        """
        entity = AE(self.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = _PATIENCE_S
        for sop_class in SOP_CLASSES:
            entity.add_requested_context(sop_class, [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
        association: Any = entity.associate(
            self.host, self.port, ae_title=self.title, tls_args=(self.tls, self.host) if self.tls else None
        )
        if not association.is_established:
            reason = "refused the association" if association.is_rejected else "cannot be reached"
            raise FailedError(f"{self.title}@{self.host}:{self.port}: {reason}")
        problems = set()
        try:
            for path in files:
                if problem := self._store(association, path):
                    problems.add(problem)
                else:
                    yield path
        finally:
            if association.is_established:
                association.release()
            else:
                association.abort()
        if problems:
            raise FailedError(f"{self.title}@{self.host}:{self.port}: {'; '.join(sorted(problems))}")

    def _store(self, association: Any, path: Path) -> str:
        """Return why a file was not taken, or nothing."""
        if not association.is_established:
            return "ended the association"
        result = _read(path)
        try:
            status = association.send_c_store(result).get("Status")
        except ValueError:
            return f"does not take {result.SOPClassUID.name}"
        if status is None:
            return "did not answer"
        if status in _HAS_IT or status in _WARNINGS:
            return ""
        return f"answered {result.SOPClassUID.name} with status 0x{status:04X}"


@dataclass(frozen=True)
class WebServer:
    """A DICOMweb server, reached by STOW-RS; a password is taken from ``~/.netrc``."""

    url: str

    def send(self, files: Sequence[Path]) -> Iterator[Path]:
        """As :meth:`Entity.send`, in one request (PS3.18 10.5)."""
        results = {path: _read(path) for path in files}
        answer = self._post(next(iter(results.values())).StudyInstanceUID, [path.read_bytes() for path in files])
        stored, failed = _named(answer)
        if not stored and answer.status_code in _ALL_STORED:
            stored = {result.SOPInstanceUID for result in results.values()} - failed
        yield from (path for path, result in results.items() if result.SOPInstanceUID in stored)
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
            return requests.post(url, body, headers=headers, timeout=_PATIENCE_S, allow_redirects=False)
        except requests.RequestException as error:
            raise FailedError(f"{self.url}: cannot be reached") from error


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
    held = {instance for instance, reason in reasons.items() if reason in _HAS_IT}
    return stored | held, reasons.keys() - held


def _read(path: Path) -> Dataset:
    with quiet():
        return pydicom.dcmread(path)
