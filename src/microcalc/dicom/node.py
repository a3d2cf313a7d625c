"""The node: mammograms come in by C-STORE, are scanned, and their results are sent."""

import sqlite3
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack

from microcalc.config import NodeSettings
from microcalc.dicom.objects import make_results
from microcalc.dicom.queue import Queue, Waiting
from microcalc.dicom.receiver import Receiver
from microcalc.dicom.results import Algorithm, NotAnalyzed
from microcalc.dicom.sender import destination
from microcalc.dicom.tls import contexts
from microcalc.errors import FailedError, ImageError, MicrocalcError
from microcalc.files import locked
from microcalc.mammograms.findings import ScannedImage

Scan = Callable[[bytes], tuple[ScannedImage, bytes]]
"""Finds the clusters of a mammogram, given its DICOM file, and draws them: the findings, and the overlay as a PNG."""

MOST_SCANS = 5
"""Most scans of one image that may end with the node; then it is answered as not analyzed."""

_LONGEST_WAIT_S = 1.0


class Node:
    """Receives, scans and sends until it is stopped.

    Args:
        settings: of the node.
        scan: finds the clusters of one mammogram; what it raises is answered as "not analyzed".
        algorithm: what ``scan`` is, for the results.
        report: is given a line about whatever a person should know; none holds the name of a patient.

    Attributes:
        port: that the node listens on.

    Raises:
        RequestError: the receiver's name, the certificates or the queue cannot be used, or another node uses it.
        FailedError: the address cannot be listened on.
    """

    def __init__(
        self,
        settings: NodeSettings,
        scan: Scan,
        algorithm: Algorithm,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._settings, self._scan, self._algorithm, self._report = settings, scan, algorithm, report
        listening = sending = None
        if settings.tls_certificate and settings.tls_key and settings.tls_ca:
            listening, sending = contexts(settings.tls_certificate, settings.tls_key, settings.tls_ca)
        self._destination = destination(settings.send_to, settings.ae_title, sending)
        warnings.filterwarnings("ignore", module=r"pydicom\.")  # they may quote the patient
        self._stopping = threading.Event()
        works = self._scan_next, self._send_next
        self._threads = [threading.Thread(target=self._repeat, args=(work,), daemon=True) for work in works]
        with ExitStack() as opened:
            opened.enter_context(locked(settings.queue / "lock"))
            self.queue = Queue(settings.queue)
            opened.callback(self.queue.close)
            self.queue.recover()
            self._receiver = Receiver(settings, self.queue, listening, report)
            self._opened = opened.pop_all()
        self.port = self._receiver.port
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop listening, finish the scan and the sending that are on their way, and leave the rest in the queue."""
        self._stopping.set()
        self._receiver.close()
        with self.queue.changed:
            self.queue.changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._opened.close()

    def wait(self) -> None:
        """Return when a thread of the node has failed; until then the node works.

        Raises:
            FailedError: it failed.
        """
        while all(thread.is_alive() for thread in self._threads):
            self._threads[0].join(_LONGEST_WAIT_S)
        if not self._stopping.is_set():
            raise FailedError(f"{self._settings.queue}: the node cannot go on; see the lines above and start it again")

    def _repeat(self, work: Callable[[], None]) -> None:
        """Work until the node stops, with a pause where the disk is full."""
        while not self._stopping.is_set():
            try:
                work()
            except (FailedError, sqlite3.Error) as error:
                self._report(f"{error}; the node goes on in {self._settings.pause_s:g} s")
                self._stopping.wait(self._settings.pause_s)

    def _scan_next(self) -> None:
        with self.queue.changed:
            image = self.queue.start_scan()
            if image is None:
                self.queue.changed.wait(_LONGEST_WAIT_S)
                return
        results = self._results(image)
        try:
            if results:
                self.queue.finish_scan(image, results)
        except FailedError:
            self.queue.withdraw_scan(image)
            raise

    def _results(self, image: Waiting) -> list[bytes]:
        """Return the results of one image as DICOM files; none, and its study parked, where they cannot be made."""
        try:
            content = image.file.read_bytes()
            scanned, overlay = self._scanned(content, image.scans)
            results, _ = make_results(content, scanned, overlay, self._algorithm)
        except Exception as error:  # its text may quote the file, and with it the patient
            self.queue.postpone(image.study, f"the results of an image cannot be made ({type(error).__name__})")
            self._report("the results of an image cannot be made; its study is parked")
            return []
        if isinstance(scanned, NotAnalyzed):
            self._report(f"an image was not analyzed: {scanned.reason}")
        return list(results.values())

    def _scanned(self, content: bytes, scans: int) -> tuple[ScannedImage | NotAnalyzed, bytes | None]:
        if scans > MOST_SCANS:
            return NotAnalyzed("the scan of this image ended the program several times"), None
        try:
            return self._scan(content)
        except ImageError as error:
            return NotAnalyzed(error.problem), None
        except Exception as error:  # its text may quote the file, and with it the patient
            return NotAnalyzed(f"the scan failed ({type(error).__name__})"), None

    def _send_next(self) -> None:
        """Send all results of one study; those that the receiver did not take are sent again later."""
        settings = self._settings
        with self.queue.changed:
            study = self.queue.due_study(settings.quiet_s)
            if study is None:
                self.queue.changed.wait(min(_LONGEST_WAIT_S, max(settings.quiet_s, 0.05)))
                return
        try:
            for result in self._destination.send(self.queue.unsent(study)):
                self.queue.sent(result)
        except sqlite3.Error:
            raise
        except Exception as error:
            problem = str(error) if isinstance(error, MicrocalcError) else f"sending failed ({type(error).__name__})"
            parked = self.queue.postpone(study, problem, settings.pause_s, settings.longest_pause_s, settings.tries)
            self._report(f"{problem}; {'the study is parked' if parked else 'it is tried again later'}")
