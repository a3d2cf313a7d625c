"""A session whose committee is made up, and one with the committee of the package; phantoms to look at."""

import functools
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("fastapi", reason='the viewer needs the extra: pip install "microcalc[app]"')

from starlette.testclient import TestClient

from microcalc.app.findings import Reader
from microcalc.app.server import make_app
from microcalc.app.session import Session, Settings
from microcalc.mammograms.findings import Finding

PIXEL_MM = (0.08, 0.05)
THREE = tuple(
    Finding(
        number=number,
        score=3.0 - number,
        probability=probability,
        marked=probability >= 0.37,
        center_px=(100.0 * number, 150.0 * number + 10),
        box_px=(100 * number - 20, 150 * number, 100 * number + 20, 150 * number + 20),
        extent_mm=2.6,
        calcifications_px=tuple((100.0 * number + dx, 150.0 * number + dy) for dx, dy in ((-20, 0), (20, 20), (0, 10))),
    )
    for number, probability in ((1, 0.9), (2, 0.37), (3, 0.2))
)
"""Findings of an image of 700 x 600 pixels; the second has just the probability of the operating point, 0.37."""

OWN = "http://127.0.0.1:8118"
CHANGING = {"Origin": OWN, "X-Microcalc": "1"}


class NoCommittee(Reader):
    """Stands for a committee where none is needed; a scan waits until the test says how it ends."""

    def __init__(self) -> None:
        super().__init__(self._refuse)  # type: ignore[arg-type]
        self.scan: Callable[..., Any] = self._refuse  # type: ignore[method-assign]

    def _refuse(self, *_: object) -> None:
        raise AssertionError("no committee is needed here")

    def prepare(self) -> None:
        pass


@pytest.fixture
def reader() -> NoCommittee:
    return NoCommittee()


@pytest.fixture
def session(reader: NoCommittee, tmp_path: Path) -> Iterator[Session]:
    made = Session(Settings(upload_bytes=2 * 2**20, save=tmp_path / "kept"), reader)
    yield made
    made.close()


@pytest.fixture
def client(session: Session) -> TestClient:
    """A browser on this machine, which shows the page of the server."""
    return TestClient(make_app(session), base_url=OWN, headers=CHANGING)


@functools.cache
def png(rows: int = 60, columns: int = 60, seed: int = 0) -> bytes:
    """A 16-bit PNG of noise, dark but for its left half."""
    greys = np.random.default_rng(seed).integers(0, 2000, (rows, columns))
    greys[:, : columns // 2] += 30000
    written = io.BytesIO()
    PIL.Image.fromarray(greys.astype(np.uint16)).save(written, "PNG")
    return written.getvalue()


def upload(client: TestClient, content: bytes, name: str = "a.png", **query: Any) -> dict[str, Any]:
    """Drop an image on the page."""
    answer = client.post("/api/images", params={"name": name, **query}, content=content)
    assert answer.status_code == 201, answer.text
    entry: dict[str, Any] = answer.json()
    return entry
