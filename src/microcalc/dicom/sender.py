"""The side of the node that sends: C-STORE to an application entity, or STOW-RS to a DICOMweb server."""

import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE
from pynetdicom.association import Association

from microcalc.errors import FailedError, RequestError
from microcalc.images.silence import quiet

SOP_CLASSES = (MammographyCADSRStorage, GrayscaleSoftcopyPresentationStateStorage, SecondaryCaptureImageStorage)

_PATIENCE_S = 60.0
_HAS_IT = (0x0000, 0x0111)  # success, and "duplicate SOP instance" after an answer that was lost
_WARNINGS = range(0xB000, 0xC000)


class Destination(Protocol):
    """Where results go."""

    def send(self, files: Sequence[Path]) -> Iterator[Path]:
        """Send the results of one study, and yield each file once the receiver has it.

        Raises:
            FailedError: one or more were not taken; which were is known from what was yielded.
        """


def destination(text: str, ae_title: str, tls: ssl.SSLContext | None) -> Destination:
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
        """Send all files in one association."""
        entity = AE(self.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = _PATIENCE_S
        for sop_class in SOP_CLASSES:
            entity.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        association = entity.associate(
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
            _end(association)
        if problems:
            raise FailedError(f"{self.title}@{self.host}:{self.port}: {'; '.join(sorted(problems))}")

    def _store(self, association: Association, path: Path) -> str:
        """Why a file was not taken, or nothing."""
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
        """Send all files in one request."""
        import requests
        from dicomweb_client.web import DICOMwebClient

        client = DICOMwebClient(self.url, timeout=_PATIENCE_S)
        client.set_http_retry_params(retry=False)
        results = {path: _read(path) for path in files}
        study = next(iter(results.values())).StudyInstanceUID
        try:
            answer = client.store_instances(list(results.values()), study_instance_uid=study)
        except requests.RequestException as error:
            code = getattr(error.response, "status_code", None)
            reason = f"answered with HTTP status {code}" if code else "cannot be reached"
            raise FailedError(f"{self.url}: {reason}") from error
        if answer is None:  # without a body, which the standard allows where all went well
            yield from files
            return
        stored = {item.ReferencedSOPInstanceUID for item in answer.get("ReferencedSOPSequence") or []}
        yield from (path for path, result in results.items() if result.SOPInstanceUID in stored)
        refused = {result.SOPClassUID.name for result in results.values() if result.SOPInstanceUID not in stored}
        if refused:
            raise FailedError(f"{self.url}: does not take {', '.join(sorted(refused))}")


def _end(association: Association) -> None:
    if association.is_established:
        association.release()
    else:
        association.abort()


def _read(path: Path) -> Dataset:
    with quiet():
        return pydicom.dcmread(path)
