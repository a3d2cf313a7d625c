"""One life of the server: its settings, its images, and a folder that goes with it."""

import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from microcalc import __version__
from microcalc.app.findings import Reader
from microcalc.app.images import Images
from microcalc.app.jobs import Jobs
from microcalc.app.open_image import OpenImage
from microcalc.app.review import WORK, Reviews
from microcalc.app.security import is_loopback, reachable_address
from microcalc.config import PRETRAINED
from microcalc.images import LARGEST_PIXELS
from microcalc.images.resample import as_pixel_size

if TYPE_CHECKING:
    from microcalc.app.dicomweb import Server

UPLOAD_BYTES = 512 * 2**20
PREFIX = "microcalc-app-"
REPORTS = {"report.html": "study", "evaluation.html": "evaluation"}
"""Pages that microcalc leaves in a folder, and what they are of."""


@dataclass(frozen=True)
class Settings:
    """The options that a session was started with.

    Attributes:
        host: address to listen on.
        committee: name of the committee.
        pixel_size_mm: of images that do not give it.
        save: folder for what the user wants to keep; None where that goes with the session.
        upload_bytes: most bytes of an upload.

    Raises:
        RequestError: the pixel size is impossible.
    """

    host: str = "127.0.0.1"
    committee: str = PRETRAINED
    pixel_size_mm: float | None = None
    save: Path | None = None
    upload_bytes: int = UPLOAD_BYTES

    def __post_init__(self) -> None:
        if self.pixel_size_mm is not None:
            as_pixel_size(self.pixel_size_mm)


class Session:
    """All that the routes share.

    Args:
        settings: of the session.
        reader: that scans.

    Attributes:
        token: that a browser must show; None where only this machine reaches the server.
        folder: for uploads; it goes with the session.
        images: that are open.
        jobs: scans and heat maps that wait.
        reviews: of findings.
        reported: folders of the command line that hold a page of ``REPORTS`` or may get one.
        server: of DICOMweb, that the viewer was started with.
        started: when.
        opening: how many images of the command line are still to be opened.
        problems: why some could not be, a line each.
    """

    def __init__(self, settings: Settings, reader: Reader) -> None:
        self.settings = settings
        self.token = None if is_loopback(settings.host) else secrets.token_urlsafe(24)
        remove_left_folders()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.reader = reader
        self.images = Images(self.folder)
        self.jobs = Jobs(self.images, reader)
        self.reviews = Reviews()
        self.reported: list[Path] = []
        self.server: Server | None = None
        self.started = datetime.now()
        self.opening = 0
        self.problems: list[str] = []

    def address(self, port: int) -> str:
        """The address for a browser; with the token where one is needed."""
        host = reachable_address(self.settings.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{port}/" + (f"?token={self.token}" if self.token else "")

    def new_upload(self) -> Path:
        """Where the next upload is written to: a name that nobody gave."""
        return self.folder / secrets.token_hex(16)

    def close(self) -> None:
        """Stop working, and delete what was uploaded."""
        self.jobs.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def describe(self, image: OpenImage) -> dict[str, Any]:
        """Return the description of an image that the page gets, with its reading."""
        reading, scanned, probabilities = self.reviews.reading(image), image.scanned, None
        if scanned is not None:
            rejected = self.reviews.rejected(image, scanned)
            probabilities = [finding.probability for finding in scanned.findings if finding.number not in rejected]
        return image.entry() | {
            "probabilities": probabilities,
            "reading": reading and {name: getattr(reading, name) for name in WORK},
        }

    def entry(self) -> dict[str, Any]:
        """Return the description that the page gets first."""
        return {
            "version": __version__,
            "committee": self.settings.committee,
            "operating_point": self.reader.operating_point,
            "limits": {"upload_bytes": self.settings.upload_bytes, "pixels": LARGEST_PIXELS},
            "save": self.settings.save is not None,
            "server": self.server and self.server.url,
            "images": [self.describe(image) for image in self.images.all()],
            "opening": self.opening,
            "problems": self.problems,
            "reports": [
                {"name": f"{folder.resolve().name} ({kind})", "report": f"/api/reports/{number}/{name}"}
                for number, folder in enumerate(self.reported)
                for name, kind in REPORTS.items()
                if (folder / name).is_file()
            ],
        }


def remove_left_folders() -> None:
    """Delete what sessions have left that were killed, as it may show patients."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        process = folder.name.removeprefix(PREFIX).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
