"""Tiles: what a window shows of 16 bits."""

import io

import numpy as np
import PIL.Image
import pytest
from app.conftest import png, upload
from starlette.testclient import TestClient

from microcalc.app.tiles import Window, build_levels, cut_tile


def test_a_narrow_window_shows_steps_of_one_in_16_bits() -> None:
    greys = np.array([[30000, 30001, 30002]], np.uint16)
    shown = Window(center=30001 / 65535, width=4 / 65535).applied(greys)
    assert shown[0].tolist() == pytest.approx([64, 128, 191], abs=2)


def test_a_sigmoid_is_that_of_the_standard_and_reaches_neither_end() -> None:
    shown = Window(0.5, 0.25, sigmoid=True).applied(np.array([[16384, 24576, 32768, 65535]], np.uint16))
    assert shown[0].tolist() == [round(255 / (1 + np.exp(-4 * x))) for x in (-1, -0.5, 0, 2)]


def test_each_level_is_the_mean_of_the_next_and_keeps_odd_edges() -> None:
    image = np.random.default_rng(0).random((1025, 600), np.float32)
    smallest, middle, full = build_levels(image)
    assert np.abs(full - 65535 * image).max() <= 0.51
    assert np.abs(middle[:512, :300] - 65535 * image[:1024].reshape(512, 2, 300, 2).mean((1, 3))).max() <= 0.51
    assert np.abs(middle[512] - 65535 * image[1024].reshape(300, 2).mean(1)).max() <= 0.51
    assert smallest.mean() == pytest.approx(65535 * image.mean(), rel=0.01)


def test_the_tiles_of_a_level_make_up_the_level() -> None:
    level = np.random.default_rng(0).integers(0, 65536, (700, 600), np.uint16)
    rows = [[cut_tile(level, column, row) for column in range(2)] for row in range(2)]
    assert (np.block(rows) == level).all()
    assert cut_tile(level, 2, 0) is None and cut_tile(level, -1, 0) is None


def test_the_server_gives_tiles_at_the_window_that_is_asked_for(client: TestClient) -> None:
    image = upload(client, png(600, 700))
    assert image["tiles"] == {"size": 512, "levels": 2}
    address = f"/api/images/{image['id']}/tiles"
    tile = client.get(f"{address}/1/1_0.png", params={"center": 0.25, "width": 0.5})
    assert tile.headers["content-type"] == "image/png"
    assert PIL.Image.open(io.BytesIO(tile.content)).size == (188, 512)
    smallest = PIL.Image.open(io.BytesIO(client.get(f"{address}/0/0_0.jpg?center=0.25&width=0.5").content))
    assert (smallest.format, smallest.size) == ("JPEG", (350, 300))
    left, right = np.asarray(smallest)[:, :170].mean(), np.asarray(smallest)[:, 180:].mean()
    assert left > 200 and right < 20
    inverted = client.get(f"{address}/0/0_0.png", params={"center": 0.25, "width": 0.5, "invert": 1})
    assert np.asarray(PIL.Image.open(io.BytesIO(inverted.content)))[:, 180:].mean() > 235


@pytest.mark.parametrize("tile", ["2/0_0.jpg", "-1/0_0.jpg", "1/2_0.jpg", "1/-1_0.png"])
def test_a_tile_outside_of_the_image_is_not_found(client: TestClient, tile: str) -> None:
    image = upload(client, png(600, 700))
    assert client.get(f"/api/images/{image['id']}/tiles/{tile}").status_code == 404


@pytest.mark.parametrize("query", ["width=0", "width=nan", "width=-1", "center=inf", "center=x", "invert=maybe"])
def test_an_impossible_window_is_refused_in_one_line(client: TestClient, query: str) -> None:
    image = upload(client, png())
    answer = client.get(f"/api/images/{image['id']}/tiles/0/0_0.jpg?{query}")
    assert answer.status_code == 422 and query.partition("=")[0] in answer.json()["error"]
