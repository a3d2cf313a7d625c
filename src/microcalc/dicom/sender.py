"""The side of the node that sends: C-STORE to an application entity, or STOW-RS to a DICOMweb server."""

import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom import uid
from pynetdicom import AE

from microcalc.dicom.stow import HAS_IT, PATIENCE_S, WebServer
from microcalc.errors import FailedError, RequestError
from microcalc.images.silence import quiet

SOP_CLASSES = (
    uid.MammographyCADSRStorage,
    uid.GrayscaleSoftcopyPresentationStateStorage,
    uid.SecondaryCaptureImageStorage,
    uid.ComprehensiveSRStorage,
)

TRANSFER_SYNTAXES = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)

_WARNINGS = range(0xB000, 0xC000)


def destination(text: str, ae_title: str, tls: ssl.SSLContext | None) -> "Entity | WebServer":
    """Understand ``AET@HOST:PORT`` or the ``http(s)://`` address of a DICOMweb server.

    Args:
        text: as the user gave it.
        ae_title: of this node.
        tls: for an application entity, None for none; a web address says by itself whether it is encrypted.

    Raises:
        RequestError: it is neither, or a web address that holds a password.

    >>> destination("ARCHIVE@pacs.example:104", "MICROCALC", None)
    Entity(title='ARCHIVE', host='pacs.example', port=104, ae_title='MICROCALC', tls=None)
    """
    if text.startswith(("http://", "https://")):
        return WebServer(text)
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
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = PATIENCE_S
        for sop_class in SOP_CLASSES:
            entity.add_requested_context(sop_class, TRANSFER_SYNTAXES)
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
        with quiet():
            result = pydicom.dcmread(path)
        try:
            status = association.send_c_store(result).get("Status")
        except ValueError:
            return f"does not take {result.SOPClassUID.name}"
        if status is None:
            return "did not answer"
        if status in HAS_IT or status in _WARNINGS:
            return ""
        return f"answered {result.SOPClassUID.name} with status 0x{status:04X}"
