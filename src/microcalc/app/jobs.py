"""The work that takes seconds: one thread, one image after the other, the scans before all else."""

import contextlib
import itertools
import logging
import queue
import threading

from microcalc.app.findings import Reader
from microcalc.app.images import Images
from microcalc.app.memory import give_memory_back
from microcalc.app.open_image import BUSY, OpenImage
from microcalc.errors import MicrocalcError, naming

LOG = logging.getLogger("microcalc.app")
END, SCAN, DETAILS, HEATMAP = range(4)


class Stopped(Exception):
    """Raised within a scan that the user has stopped."""


class Jobs:
    """Scans, details and heat maps that wait, and the thread that makes them.

    Args:
        images: of the session.
        reader: that scans.
    """

    def __init__(self, images: Images, reader: Reader) -> None:
        self._images, self._reader = images, reader
        self._waiting: queue.PriorityQueue[tuple[int, int, OpenImage | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._state = threading.Lock()
        self._now: OpenImage | None = None
        self._stop_now = False

    def start(self) -> None:
        """Load the committee, then work, in a thread that does not keep Python from ending."""
        threading.Thread(target=self._work, name="microcalc scans", daemon=True).start()

    def close(self) -> None:
        """Do nothing more."""
        self._stop_now = True
        self._waiting.put((END, 0, None))

    def scan(self, image: OpenImage) -> None:
        """Queue an image, unless it waits already."""
        with self._state:
            if image.state not in BUSY:
                image.forget_findings()
                image.state = "queued"
                self._add(SCAN, image)

    def draw_heatmap(self, image: OpenImage) -> None:
        """Queue the heat map of an image, unless it is there or waits already."""
        with self._state:
            if image.heatmap in ("none", "failed"):
                image.heatmap = "drawing"
                self._add(HEATMAP, image)

    def stop(self, image: OpenImage) -> None:
        """Let the scan of an image not begin, or end it at its next step."""
        with self._state:
            if image.state == "queued":
                image.state = "stopped"
            elif image.state == "scanning":
                self._stop_now = True

    def forget(self, image: OpenImage) -> None:
        """Do nothing more for an image that is left out."""
        with self._state:
            image.state, image.heatmap, image.scanned = "stopped", "none", None
            self._stop_now |= self._now is image

    def _add(self, priority: int, image: OpenImage) -> None:
        self._waiting.put((priority, next(self._numbers), image))

    def _work(self) -> None:
        with contextlib.suppress(Exception):  # the first scan meets the same error, and reports it
            self._reader.prepare()
        while True:
            what, _, image = self._waiting.get()
            if image is None:
                return
            with self._state:  # what was stopped meanwhile is passed over
                due = {SCAN: image.state == "queued", DETAILS: True, HEATMAP: image.heatmap == "drawing"}[what]
                if due:
                    self._now, self._stop_now = image, False
                if due and what == SCAN:
                    image.state = "scanning"
            if due:
                {SCAN: self._scan, DETAILS: self._look_closer, HEATMAP: self._draw}[what](image)
                self._now = None
                give_memory_back()

    def _scan(self, image: OpenImage) -> None:
        def on_progress(stage: str, done: int, total: int) -> None:
            image.progress = (stage, done, total)
            self._check()

        try:
            on_progress("reading", 0, 1)
            with naming(image.name):
                scanned, operating_point = self._reader.scan(image, self._images.read(image), on_progress)
            image.operating_point = image.scan_point = operating_point
            image.scanned, image.state = scanned, "scanned"
            self._add(DETAILS, image)
        except Stopped:
            image.state = "stopped"
        except Exception as error:
            LOG.debug("scan of %s", image.name, exc_info=error)
            image.error, image.state = problem(error, image), "failed"
        finally:
            image.progress = None

    def _look_closer(self, image: OpenImage) -> None:
        """Make what a click on a finding shows, before the click."""
        if image.scanned is not None:
            with contextlib.suppress(Exception):  # the click meets the same error, and tells the user
                self._reader.details(image, image.scanned, self._images)

    def _draw(self, image: OpenImage) -> None:
        size = image.pixel_size_mm
        try:
            drawn = self._reader.draw_heatmap(image, self._images.read(image), lambda *_: self._check())
            if image.pixel_size_mm == size:  # else the user has corrected it meanwhile
                image.heatmap_png, image.heatmap = drawn, "ready"
        except Stopped:
            image.heatmap = "none"
        except Exception as error:
            LOG.debug("heat map of %s", image.name, exc_info=error)
            image.heatmap = "failed"

    def _check(self) -> None:
        if self._stop_now:
            raise Stopped


def problem(error: Exception, image: OpenImage) -> str:
    """One line on why an image could not be scanned, without the path of its file."""
    if isinstance(error, MicrocalcError):
        return str(error)
    return f"{image.name}: could not be scanned (unexpected {type(error).__name__})"
