"""Debian's Chromium on a page of the viewer, driven by Playwright, for the tests of the page."""

import http.client
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = Path("/usr/bin/chromium")
LONG = 60_000  # ms; a limit for a busy machine, not an expectation
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("uvicorn", reason="the viewer's extra is not installed")
if not CHROMIUM.exists():
    pytest.skip(f"no browser: {CHROMIUM} is not installed", allow_module_level=True)
expect = api.expect
expect.set_options(timeout=LONG / 2)


@dataclass
class Viewer:
    """A running server, a page on it, and what the page has asked and complained about."""

    address: str
    kept: Path
    files: Path
    page: Any
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def pick(self, *files: Path) -> None:
        """Give files to the picker."""
        self.page.set_input_files("#file-input", [str(file) for file in files])

    def drop(self, *paths: Path) -> None:
        """Drop files or folders on the page, as a file manager does."""
        debugger = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            debugger.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})

    def slide(self, slider: str, value: float) -> None:
        """Move a slider as a hand does: with an event at the end."""
        self.page.locator(f"#{slider}").fill(str(value))

    def item(self, name: str) -> Any:
        """The row of an image in the list."""
        return self.page.locator(".image-item", has_text=name)

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Ask the server without the browser."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=30)
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    with api.sync_playwright() as playwright:
        sandbox = [] if hasattr(os, "getuid") and os.getuid() else ["--no-sandbox"]  # Chromium refuses to sandbox root
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def open_viewer(server: tuple[str, Path], files: Path, browser: Any) -> Iterator[Callable[..., Viewer]]:
    """Opens pages; at the end none may have asked another machine or broken the page's rules."""
    opened: list[Viewer] = []

    def open_one(**options: Any) -> Viewer:
        page = browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce"} | options).new_page()
        viewer = Viewer(*server, files, page)
        page.on("request", lambda request: viewer.hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: viewer.complaints.append(str(error)))
        page.on(
            "console", lambda line: viewer.complaints.append(line.text) if "Content Security" in line.text else None
        )
        page.goto(viewer.address)
        opened.append(viewer)
        return viewer

    yield open_one
    for viewer in opened:
        assert viewer.hosts <= {urlsplit(viewer.address).netloc, ""}, "the page asked another machine"
        assert not viewer.complaints
        viewer.page.context.close()


def settled(place: Any) -> tuple[float, float]:
    """Screen pixels a column of a picture that has come to rest, negative if mirrored, and where its column 0 lies."""
    moving, before = place.locator(".overlay > g").first, None
    expect(moving).to_have_attribute("transform", re.compile("matrix"))
    while before != (before := moving.get_attribute("transform")):
        place.page.wait_for_timeout(200)
    scale, _, _, _, start, _ = map(float, re.findall(r"-?[\d.]+(?:e-?\d+)?", before))
    return scale, start
