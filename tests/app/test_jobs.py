"""The scans in the background: one after the other, how far they are, and how they stop."""

import threading
from collections.abc import Callable

import pytest
from app.conftest import NoCommittee, png, upload
from starlette.testclient import TestClient

from microcalc.app.open_image import OpenImage
from microcalc.app.session import Session
from microcalc.errors import ImageError
from microcalc.images import Mammogram
from microcalc.mammograms.findings import Finding, ScannedImage
from microcalc.mammograms.progress import OnProgress

PATIENCE = 20.0
FOUND = Finding(1, 2.5, 0.9, True, (30.0, 30.0), (20, 20, 40, 40), 0.4, ((20.0, 20.0), (40.0, 40.0)))


def found_in(image: OpenImage, *findings: Finding) -> ScannedImage:
    return ScannedImage(image.name, None, "0" * 64, (0.1, 0.1), image.rows, image.columns, 900.0, 0.1, (), findings)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is true, as long as it may take on a busy machine."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come to pass")


class HeldScan:
    """A scan that goes on by one step whenever the test says so."""

    def __init__(self) -> None:
        self.step, self.names = threading.Semaphore(0), list[str]()

    def __call__(self, image: OpenImage, mammogram: Mammogram, on_progress: OnProgress) -> tuple[ScannedImage, float]:
        self.names.append(image.name)
        for done in range(3):
            on_progress("windows", done, 3)
            assert self.step.acquire(timeout=PATIENCE)
        return found_in(image, FOUND), 0.5


@pytest.fixture
def held(reader: NoCommittee, session: Session) -> HeldScan:
    reader.scan = HeldScan()  # type: ignore[method-assign]
    session.jobs.start()
    return reader.scan  # type: ignore[return-value]


def open_and_scan(client: TestClient, name: str) -> str:
    address = f"/api/images/{upload(client, png(700, 600), name, pixel_size_mm=0.1)['id']}"
    assert client.post(f"{address}/scan").status_code == 202
    return address


def test_a_scan_tells_how_far_it_is_and_what_it_found(client: TestClient, held: HeldScan) -> None:
    address = open_and_scan(client, "a.png")
    wait_for(lambda: client.get(address).json()["progress"] == {"stage": "windows", "done": 0, "total": 3})
    assert client.get(address).json()["state"] == "scanning"
    assert client.get(f"{address}/findings").status_code == 409
    held.step.release()
    wait_for(lambda: client.get(address).json()["progress"]["done"] == 1)
    held.step.release(2)
    wait_for(lambda: client.get(address).json()["state"] == "scanned")
    told = client.get(address).json()
    assert (told["probabilities"], told["progress"]) == ([0.9], None)
    assert client.get(f"{address}/findings").json()["findings"][0]["probability"] == 0.9


def test_images_are_scanned_once_each_in_their_order_but_for_one_that_was_taken_out(
    client: TestClient, held: HeldScan
) -> None:
    first, second, third = (open_and_scan(client, f"{number}.png") for number in range(3))
    wait_for(lambda: held.names == ["0.png"])
    assert [client.get(address).json()["state"] for address in (second, third)] == ["queued", "queued"]
    client.post(f"{first}/scan")  # asked twice
    client.delete(f"{second}/scan")
    assert client.get(second).json()["state"] == "stopped"
    held.step.release(9)
    wait_for(lambda: client.get(third).json()["state"] == "scanned")
    assert held.names == ["0.png", "2.png"]


def test_a_scan_stops_at_its_next_step_and_can_begin_again(client: TestClient, held: HeldScan) -> None:
    address = open_and_scan(client, "a.png")
    wait_for(lambda: held.names == ["a.png"])
    assert client.delete(f"{address}/scan").status_code == 202
    held.step.release()
    wait_for(lambda: client.get(address).json()["state"] == "stopped")
    assert client.get(f"{address}/findings").status_code == 409
    client.post(f"{address}/scan")
    held.step.release(3)
    wait_for(lambda: client.get(address).json()["state"] == "scanned")


def test_an_image_removed_in_mid_scan_ends_the_scan(client: TestClient, session: Session, held: HeldScan) -> None:
    address, after = open_and_scan(client, "a.png"), open_and_scan(client, "b.png")
    wait_for(lambda: held.names == ["a.png"])
    assert client.delete(address).status_code == 204
    held.step.release(4)
    wait_for(lambda: client.get(after).json()["state"] == "scanned")
    assert held.names == ["a.png", "b.png"] and len(list(session.folder.iterdir())) == 1


def test_the_pixel_size_stays_while_an_image_is_scanned(client: TestClient, held: HeldScan) -> None:
    address = open_and_scan(client, "a.png")
    assert client.patch(address, json={"pixel_size_mm": 0.05}).status_code == 409
    held.step.release(3)
    wait_for(lambda: client.get(address).json()["state"] == "scanned")
    again = client.patch(address, json={"pixel_size_mm": 0.05}).json()
    assert (again["state"], again["probabilities"], again["pixel_size_mm"]) == ("ready", None, [0.05, 0.05])


def test_a_heat_map_of_another_pixel_size_is_not_shown(
    client: TestClient, session: Session, reader: NoCommittee
) -> None:
    """The pixel size may be corrected while the map is drawn, and the map then is of another place."""
    address = f"/api/images/{upload(client, png(700, 600), 'a.png', pixel_size_mm=0.1)['id']}"
    begun, go_on = threading.Event(), threading.Event()

    def draw(*_: object) -> bytes:
        begun.set()
        assert go_on.wait(PATIENCE)
        return b"map"

    reader.draw_heatmap = draw  # type: ignore[method-assign]
    session.jobs.start()
    client.post(f"{address}/heatmap")
    assert begun.wait(PATIENCE)
    client.patch(address, json={"pixel_size_mm": 0.2})
    go_on.set()
    wait_for(lambda: session.jobs._now is None)
    assert client.get(address).json()["heatmap"] == "none"
    client.post(f"{address}/heatmap")
    wait_for(lambda: client.get(address).json()["heatmap"] == "ready")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ImageError("shows no breast", "/home/me/a.png"), "a.png: shows no breast"),
        (ZeroDivisionError("/home/me"), "a.png: could not be scanned (unexpected ZeroDivisionError)"),
    ],
)
def test_a_scan_that_fails_says_why_in_one_line(
    client: TestClient, session: Session, reader: NoCommittee, error: Exception, line: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    reader.scan = fail  # type: ignore[method-assign]
    session.jobs.start()
    address = open_and_scan(client, "a.png")
    wait_for(lambda: client.get(address).json()["state"] == "failed")
    assert client.get(address).json()["error"] == line
