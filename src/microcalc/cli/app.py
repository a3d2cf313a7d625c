"""``microcalc app``: look at what the committee sees, on a page of this machine."""

import logging
import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from tyro.conf import Positional

from microcalc.cli.common import Common
from microcalc.config import PRETRAINED
from microcalc.errors import extra_needed

if TYPE_CHECKING:
    from microcalc.app.session import Session


@dataclass(frozen=True, kw_only=True)
class App(Common):
    """Look at mammograms and patches, their findings and studies, on a page that this machine serves."""

    paths: Positional[tuple[Path, ...]] = ()
    """Images, folders of them, finished scans (their --out) and runs; more can be dropped on the page."""
    host: str = "127.0.0.1"
    """Address to listen on. Other machines reach none but this one's own, and then need the token that is printed."""
    port: int = 8118
    """Port to listen on; 0 for any that is free."""
    committee: Path | None = None
    """A finished run or its committee/, instead of the committees that come with microcalc."""
    pixel_size: float | None = None
    """Size of a pixel in mm, for files that do not give it."""
    save: Path | None = None
    """Folder for what Save on the page is to keep; uploads go with the session otherwise."""
    dicomweb: str | None = None
    """Address of a DICOMweb server, such as http://localhost:8042/dicom-web, whose studies the page lists and opens.

    User and password: MICROCALC_DICOMWEB_USER and MICROCALC_DICOMWEB_PASSWORD, or ~/.netrc.
    """
    browser: bool = True
    """Open the page in the browser, where no token is needed."""

    def run(self, console: Console) -> None:
        """Serve the page until interrupted; what was uploaded goes then."""
        with extra_needed("app"):
            import fastapi  # noqa: F401
            import uvicorn  # noqa: F401
        import webbrowser

        from microcalc.app.dicomweb import Server
        from microcalc.app.memory import use_one_arena
        from microcalc.app.scan_folders import open_paths
        from microcalc.app.serve import listen, serve

        use_one_arena()
        if self.debug:
            log = logging.getLogger("microcalc.app")
            log.setLevel(logging.DEBUG)
            log.addHandler(logging.StreamHandler())
        session = self._session(console)
        try:
            if self.dicomweb is not None:
                session.server = Server(self.dicomweb)
            open_paths(session, self.paths)
            listening = listen(self.host, self.port)
            address = session.address(listening.getsockname()[1])
            print(f"the viewer is at {address}", flush=True)  # quiet or not: it may hold the token
            console.print("Research only. Ctrl-C ends the viewer, and deletes what was uploaded.")
            if self.browser and session.token is None:  # a token would show in the list of processes
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()  # some block
            serve(session, listening)
        except KeyboardInterrupt:
            with suppress(OSError):
                console.print("stopped; what was uploaded is deleted")
        finally:
            session.close()
        with suppress(OSError):  # who read the output may have gone
            sys.stdout.flush()
        os._exit(0)  # a thread may still be computing, and PyTorch aborts where Python ends around it

    def _session(self, console: Console) -> "Session":
        from microcalc.app.findings import Reader
        from microcalc.app.session import Session, Settings
        from microcalc.cli.scan import load_committee

        reader = Reader(lambda: load_committee(self.committee, console))
        if self.committee is not None:
            reader.prepare()  # an error in it ends the command, not the first scan
        name = str(self.committee) if self.committee else PRETRAINED
        return Session(Settings(self.host, name, self.pixel_size, self.save), reader)
