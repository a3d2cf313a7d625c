"""The surroundings of a node in the tests: an archive that takes results, and modalities that send mammograms."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from microcalc.dicom.sender import SOP_CLASSES

REQUESTED = (
    *(Verification, uid.SecondaryCaptureImageStorage, uid.DigitalMammographyXRayImageStorageForPresentation),
    uid.DigitalMammographyXRayImageStorageForProcessing,
)


class Archive:
    """An application entity that keeps what it is sent; it can be stopped and started at its port."""

    def __init__(self, classes: Sequence[str] = SOP_CLASSES, tls: Any = None, status: int = 0) -> None:
        self.received: list[Dataset] = []
        self.associations: list[int] = []
        self._classes, self._tls, self._status, self.port = classes, tls, status, 0
        self.start()

    def start(self) -> None:
        entity = AE("ARCHIVE")
        entity.require_called_aet = True
        for sop_class in self._classes:
            entity.add_supported_context(sop_class)
        handlers = [(evt.EVT_C_STORE, self._keep), (evt.EVT_ACCEPTED, self._count)]
        self._server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers, ssl_context=self._tls
        )
        self.port = self._server.socket.getsockname()[1]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def name(self) -> str:
        return f"ARCHIVE@localhost:{self.port}"

    def _count(self, event: evt.Event) -> None:
        self.associations.append(0)

    def _keep(self, event: evt.Event) -> int:
        if self._status == 0:
            self.received.append(event.dataset)
            self.received[-1].file_meta = event.file_meta
            self.associations[-1] += 1
        return self._status


@contextmanager
def archive(**options: Any) -> Iterator[Archive]:
    made = Archive(**options)
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def connected(port: int, called: str = "MICROCALC", calling: str = "MODALITY", **options: Any) -> Iterator[Association]:
    """An association with a node; the test ends it however it leaves."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    for sop_class in REQUESTED:
        entity.add_requested_context(sop_class)
    association = entity.associate("localhost", port, ae_title=called, **options)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def store(port: int, *images: Dataset) -> list[int | None]:
    """Send images in one association; the status of each, None where the node ended the association."""
    with connected(port) as association:
        return [association.send_c_store(image).get("Status") for image in images]


def until(queue: Any, condition: Callable[[], bool], seconds: float = 120) -> bool:
    """Wait until what a queue holds fulfils a condition; False where it does not."""
    with queue.changed:
        return bool(queue.changed.wait_for(condition, seconds))
