"""Reading in a real browser: clusters drawn, images read, by hand and by keys alone; all of it kept and undone."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app.conftest import PIXEL_MM
from integration.test_app_page import files, server, viewer
from integration.viewer import LONG, Viewer, browser, expect, open_viewer, settled

from microcalc.evaluation.truth import read_truth

pytestmark = pytest.mark.slow
__all__ = ["browser", "files", "open_viewer", "server", "viewer"]  # fixtures


def kept(viewer: Viewer, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the review.json of the session, once it is as it should be: the page writes soon, not at once."""
    for _ in range(100):
        saved: dict[str, Any] = json.loads(viewer.ask("GET", "/api/review.json")[1])
        if condition(saved):
            return saved
        viewer.page.wait_for_timeout(100)
    raise AssertionError(saved)


def of(saved: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the reading of an image."""
    found: dict[str, Any] = next((image for image in saved["images"] if image["file"] == name), {})
    return found


def boxes(saved: dict[str, Any]) -> list[list[int]]:
    drawn: list[list[int]] = of(saved, "0.png").get("clusters_px", [])
    return drawn


def test_a_missed_cluster_is_drawn_moved_resized_deleted_and_brought_back(viewer: Viewer) -> None:
    page = viewer.page
    scale, _ = settled(page.locator("#osd"))
    stage = page.locator("#osd").bounding_box()
    matrix = page.locator("#osd .overlay > g").first.get_attribute("transform")
    sx, _, _, sy, x0, y0 = map(float, matrix[len("matrix(") : -1].split())

    def drag(start: tuple[float, float], end: tuple[float, float]) -> None:
        for (column, row), action in ((start, page.mouse.down), (end, page.mouse.up)):
            page.mouse.move(stage["x"] + x0 + column * sx, stage["y"] + y0 + row * sy, steps=4)
            action()

    def near(box: list[int]) -> Callable[[dict[str, Any]], bool]:
        slack = 3 / min(scale, sy)
        return lambda saved: (
            boxes(saved) != []
            and all(abs(one - other) <= slack for one, other in zip(boxes(saved)[-1], box, strict=True))
        )

    page.click("#draw")
    drag((200, 500), (290, 560))
    kept(viewer, near([200, 500, 290, 560]))
    drag((240, 530), (340, 480))  # its middle
    kept(viewer, near([300, 450, 390, 510]))
    drag((390, 510), (430, 600))  # its lower right corner
    kept(viewer, near([300, 450, 430, 600]))
    expect(page.locator(".drawn-name")).to_contain_text("Missed cluster A: 6.")
    page.keyboard.press("Delete")
    kept(viewer, lambda saved: boxes(saved) == [])
    page.keyboard.press("Control+z")
    kept(viewer, near([300, 450, 430, 600]))
    for _ in range(3):
        page.keyboard.press("u")
    kept(viewer, lambda saved: boxes(saved) == [])
    expect(page.locator("#undo")).to_be_disabled()


def test_four_images_are_read_with_keys_alone_and_evaluate_takes_them(viewer: Viewer, tmp_path: Path) -> None:
    """The first has an accepted finding, the second a drawn cluster; the third and the fourth are normal."""
    page = viewer.page
    expect(page.locator("#progress-text")).to_have_text("0 of 4 read")
    press = page.keyboard.press
    page.locator("#image-list").focus()
    for name, keys in {
        "0.png": [" ", "a", " ", "x"],
        "1.png": ["d", "Enter", "ArrowLeft", "Shift+ArrowDown"],
        "2.png": [" ", "x", " ", "x"],
        "square.png": ["r", "Enter", "ArrowRight", "Enter", "Escape"],
    }.items():
        expect(page.locator("#picture-name")).to_contain_text(name)
        settled(page.locator("#osd"))
        for key in keys:
            press(key)
        press("m")
        expect(page.locator("#mark-read")).to_have_attribute("aria-pressed", "true")
        press("n")
    expect(page.locator("#progress-text")).to_have_text("4 of 4 read")
    saved = kept(viewer, lambda saved: len(saved["images"]) == 4 and all(each["read"] for each in saved["images"]))
    left, top, right, bottom = of(saved, "1.png")["clusters_px"][0]
    assert (right - left) * PIXEL_MM[1] == pytest.approx(10, abs=0.1)
    assert (bottom - top) * PIXEL_MM[0] == pytest.approx(10.5, abs=0.1)
    assert all(image["marks_shown"] and image["seconds"] > 0 for image in saved["images"])
    assert len(of(saved, "square.png")["rulers_px"]) == 1
    (tmp_path / "review.json").write_text(json.dumps(saved))
    clusters = {truth.name: len(truth.boxes_px) for truth in read_truth(tmp_path / "review.json")}
    assert clusters == {"0.png": 1, "1.png": 1, "2.png": 0, "square.png": 0}


def test_marks_stay_hidden_until_an_image_is_read(viewer: Viewer) -> None:
    page = viewer.page
    expect(page.locator("#osd .mark")).to_have_count(2)
    page.check("#blind")
    expect(page.locator("#osd .mark")).to_have_count(0)
    expect(page.locator(".finding")).to_have_count(0)
    page.reload()
    expect(viewer.item("2.png").locator(".image-sub")).to_have_text("not read", timeout=LONG)
    viewer.item("2.png").click()
    settled(page.locator("#osd"))
    page.click("#mark-read")
    expect(page.locator("#osd .mark")).to_have_count(2)
    unaided = kept(viewer, lambda saved: of(saved, "2.png").get("read", False))
    assert of(unaided, "2.png")["marks_shown"] is False
    page.click("#osd .mark >> nth=0")
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    aided = kept(viewer, lambda saved: len(of(saved, "2.png")["clusters_px"]) == 1)
    assert of(aided, "2.png")["marks_shown"] and not of(aided, "2.png")["history"][0]["marks_shown"]


def test_hands_change_the_window_fit_and_enlarge_the_picture(viewer: Viewer) -> None:
    page = viewer.page
    settled(page.locator("#osd"))
    stage = page.locator("#osd").bounding_box()
    middle = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    viewer.slide("width", 40)
    viewer.slide("level", 30)
    page.mouse.move(*middle)
    page.mouse.down(button="right")
    page.mouse.move(middle[0] + stage["width"] / 10, middle[1] + stage["height"] / 5, steps=3)
    expect(page.locator("#osd canvas").first).to_have_attribute("style", re.compile("recolour"))
    page.mouse.up(button="right")
    shown = re.compile(r'"center":0.[45]\d*,"width":0.[45]\d*,"invert":false,"sigmoid":false')
    expect(page.locator("#osd")).to_have_attribute("data-shown", shown, timeout=LONG)
    window = json.loads(page.locator("#osd").get_attribute("data-shown"))[1]
    assert (window["center"], window["width"]) == pytest.approx((0.5, 0.5), abs=0.01)
    expect(page.locator("#osd canvas").first).not_to_have_attribute("style", re.compile("recolour"))
    page.get_by_label("Window preset").select_option("Sigmoid")
    expect(page.locator("#osd")).to_have_attribute("data-shown", re.compile('"sigmoid":true'), timeout=LONG)
    fitted, _ = settled(page.locator("#osd"))
    page.keyboard.press("1")
    assert settled(page.locator("#osd"))[0] == pytest.approx(1)
    page.mouse.dblclick(*middle)
    assert settled(page.locator("#osd"))[0] == pytest.approx(fitted)


def test_the_loupe_shows_true_pixels_under_the_pointer(viewer: Viewer) -> None:
    """The left half of the image is bright: at its right edge the loupe is dark, and so is what lies beside it."""
    page = viewer.page
    scale, start = settled(page.locator("#osd"))
    stage = page.locator("#osd").bounding_box()
    page.keyboard.press("l")
    page.keyboard.press("l")
    pixel = "x => document.getElementById('loupe').getContext('2d').getImageData(x, 110, 1, 1).data[0]"
    for column in (290, 310):  # ten pixels of the image, and forty of the loupe, from the edge of its bright half
        page.mouse.move(stage["x"] + start + column * scale, stage["y"] + stage["height"] / 2)
        edge = 110 + 4 * (300 - column)
        for _ in range(100):
            if page.evaluate(pixel, edge - 8) > page.evaluate(pixel, edge + 8) + 100:
                break
            page.wait_for_timeout(100)
        else:
            raise AssertionError(f"the edge of the image is not at {edge}")
    page.keyboard.press("l")
    expect(page.locator("#loupe")).to_be_hidden()


def test_the_list_is_filtered_and_ordered_and_is_one_stop_of_the_tab_key(viewer: Viewer) -> None:
    page = viewer.page
    names = page.locator(".image-item .name")
    page.locator("#image-list").focus()
    page.keyboard.press("End")
    expect(page.locator("#picture-name")).to_contain_text("square.png")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("m")
    page.keyboard.press("PageUp")
    expect(page.locator("#picture-name")).to_contain_text("1.png")
    page.keyboard.press("Tab")
    assert not page.evaluate("() => document.activeElement.closest('#image-list')")
    page.get_by_label("Order of the list").select_option("Not read first")
    expect(names).to_have_text(["0.png", "1.png", "square.png", "2.png"])
    page.get_by_label("Images to list").select_option("Not read")
    expect(names).to_have_text(["0.png", "1.png", "square.png"])
    page.get_by_label("Filter images by name").fill("squ")
    expect(names).to_have_text(["square.png"])


def test_a_browser_that_enlarges_four_times_shows_the_picture_and_scrolls_down_alone(viewer: Viewer) -> None:
    page = viewer.page
    page.set_viewport_size({"width": 320, "height": 256})
    page.click("#pane-picture")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 320
    assert page.locator("#osd").bounding_box()["height"] > 200
