"""The side of the node that listens: verification and storage of mammograms (C-ECHO and C-STORE, PS3.4 A and B)."""

import logging
import sqlite3
import ssl
from collections.abc import Callable
from io import BytesIO
from typing import Any, cast

import pydicom
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made when the module is imported

from microcalc.config import NodeSettings
from microcalc.dicom.queue import Queue
from microcalc.dicom.results import IMPLEMENTATION_UID
from microcalc.dicom.source import uid_problem
from microcalc.errors import FailedError
from microcalc.images.silence import quiet

SOP_CLASSES = (
    uid.DigitalMammographyXRayImageStorageForPresentation,
    uid.ComputedRadiographyImageStorage,
    uid.SecondaryCaptureImageStorage,
)
"""Accepted SOP classes, where Modality is MG: digital mammograms, those of image plates, and digitized film."""

SUCCESS, OUT_OF_RESOURCES, NO_MAMMOGRAM, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000

_UNCOMPRESSED = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian)
_COMPRESSED = (uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless)
_LARGEST_PDU = 2**17
_LARGEST_NEGOTIATION = 2**20  # bytes of an association request
_PATIENCE_S = 60.0


class Receiver:
    """Listens for associations and puts the mammograms that come into the queue; reports each image refused in a line.

    Raises:
        FailedError: the address cannot be listened on.
    """

    def __init__(
        self, settings: NodeSettings, queue: Queue, tls: ssl.SSLContext | None, report: Callable[[str], None]
    ) -> None:
        self._settings, self._queue, self._report = settings, queue, report
        logging.getLogger("pynetdicom").addHandler(logging.NullHandler())
        logging.getLogger("pynetdicom").propagate = False  # its lines may quote what a peer sent
        entity = AE(settings.ae_title)
        entity.implementation_class_uid, entity.implementation_version_name = IMPLEMENTATION_UID, "MICROCALC"
        entity.require_called_aet = True
        entity.require_calling_aet = list(settings.calling)
        entity.maximum_associations = settings.associations
        entity.maximum_pdu_size = _LARGEST_PDU
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _PATIENCE_S
        entity.add_supported_context(Verification)
        readable = [*_UNCOMPRESSED, *(syntax for syntax in _COMPRESSED if get_decoder(syntax).is_available)]
        for sop_class in SOP_CLASSES:
            entity.add_supported_context(sop_class, readable)
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, _bound), (evt.EVT_CONN_CLOSE, _give_up)]
        handlers += [(evt.EVT_DATA_RECV, self._count), (evt.EVT_C_STORE, self._store)]
        address = settings.bind, settings.port
        try:
            server: Any = entity.start_server(address, block=False, evt_handlers=handlers, ssl_context=tls)
        except OSError as error:
            raise FailedError(
                f"{settings.bind} port {settings.port}: cannot be listened on ({error.strerror or error}); "
                "choose another port"
            ) from error
        self._server = server
        self.port = int(server.socket.getsockname()[1])  # also where 0 let the system choose

    def close(self) -> None:
        """Stop listening and end all associations."""
        for association in self._server.active_associations:
            if association.is_established:
                association.abort(block=False)
            else:
                association.kill()
        self._server.shutdown()
        self._server.server_close()

    def _count(self, event: evt.Event) -> None:
        """End an association whose object grows beyond the limit, before all of it is in memory."""
        association: Any = event.assoc
        if event.data[:1] != b"\x04":  # P-DATA-TF
            return
        association.object_bytes = getattr(association, "object_bytes", 0) + len(event.data)
        if association.object_bytes > self._settings.largest_object_mib * 2**20:
            self._report(f"an object of more than {self._settings.largest_object_mib} MiB was refused")
            association.object_bytes = 0
            association.abort(block=False)

    def _store(self, event: evt.Event) -> Dataset:
        association: Any = event.assoc
        association.object_bytes = 0
        status = Dataset()
        status.Status, problem = self._accept(event)
        if problem:
            status.ErrorComment = problem[:64]
            title = "".join(filter(str.isprintable, event.assoc.requestor.ae_title)).strip()
            self._report(f"refused an object of {title}: {problem}")
        return status

    def _accept(self, event: evt.Event) -> tuple[int, str]:
        """Check an object, keep it on disk, and only then return success."""
        try:
            content, request = event.encoded_dataset(), cast(C_STORE, event.request)
            with quiet():
                header = pydicom.dcmread(BytesIO(content))
                problem = _problem(header, str(request.AffectedSOPInstanceUID))
                sop_instance, study = str(header.get("SOPInstanceUID")), str(header.get("StudyInstanceUID"))
        except Exception:  # its text may quote the file, and with it the patient
            return CANNOT_UNDERSTAND, "the object is damaged"
        if problem:
            return NO_MAMMOGRAM, problem
        if self._queue.bytes_waiting() + len(content) > self._settings.disk_gib * 2**30:
            return OUT_OF_RESOURCES, "the queue is full"
        try:
            self._queue.add(sop_instance, study, content)
        except (FailedError, sqlite3.Error):
            return OUT_OF_RESOURCES, "the disk is full or cannot be written"
        return SUCCESS, ""


def _problem(header: Dataset, announced: str) -> str:
    """Return why an object is no mammogram that can be answered, or nothing."""
    uids = [header.get(keyword) for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")]
    if any(map(uid_problem, uids)):
        return "its UIDs are missing or invalid"
    if uids[0] != announced:
        return "its UID is not the one announced"
    if header.get("SOPClassUID") not in SOP_CLASSES or header.get("Modality") != "MG":
        return "it is no mammogram (Modality MG)"
    if int(header.get("NumberOfFrames") or 1) != 1 or header.get("SamplesPerPixel") != 1:
        return "it is not one grey image"
    if not header.get("PixelData") or not header.get("Rows") or not header.get("Columns"):
        return "it has no pixels"
    return ""


def _bound(event: evt.Event) -> None:
    """Make a connection refuse PDUs of any announced length, and end when its peer stays silent within one.

    pynetdicom reads as many bytes as a PDU's header announces, up to 4 GiB, and waits for them without end.
    """
    connection: Any = event.assoc.dul.socket
    connection.socket.settimeout(_PATIENCE_S)
    read = connection.recv

    def read_bounded(number: int) -> bytearray:
        if number > _LARGEST_NEGOTIATION:
            raise OSError("the PDU is too long")
        return bytearray(read(number))

    connection.recv = read_bounded


def _give_up(event: evt.Event) -> None:
    """End the wait for an association request on a connection that has closed: it would count as an association."""
    waiting: Any = event.assoc.dul.to_user_queue
    if not event.assoc.is_established:
        waiting.put(None)
