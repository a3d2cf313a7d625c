"""The page with findings, images and reviews, in a real browser; nothing is scanned."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app.conftest import PIXEL_MM, THREE, NoCommittee, png
from app.test_scan_folders import found, made, scan_of, write_scan
from integration.viewer import LONG, NARROW, WIDE, Viewer, browser, expect, open_viewer, settled

from microcalc.app.serve import listen, serve
from microcalc.app.session import Session, Settings
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.mammograms.truth import write_phantom_mammograms

pytestmark = pytest.mark.slow
__all__ = ["browser", "open_viewer"]  # fixtures
LONG_NAME = "patient-with-a-name-that-does-not-end-" * 3 + "{}.png"
OPEN = Callable[..., Viewer]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Finished scans of three images with oblong pixels and one with square ones."""
    paths = [made(tmp_path / "scan" / f"{number}.png", number) for number in range(3)]
    square = found(made(tmp_path / "scan" / "square.png", 3))
    square = type(square)(**{**vars(square), "pixel_size_mm": (0.1, 0.1)})
    folder = write_scan(tmp_path / "scan", *(found(path, path.name) for path in paths), square)
    (folder / "findings.json").rename(tmp_path / "scan" / "findings.json")
    saved = json.loads((tmp_path / "scan" / "findings.json").read_text())
    (tmp_path / "scan" / "findings.json").write_text(json.dumps({**saved, "operating_point": 0.37}))
    return tmp_path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    session = Session(Settings(), NoCommittee())
    listening = listen("127.0.0.1", 0)
    threading.Thread(target=serve, args=(session, listening), daemon=True).start()
    yield session.address(listening.getsockname()[1]), tmp_path
    session.close()


@pytest.fixture
def viewer(open_viewer: OPEN, files: Path) -> Viewer:
    """A page on the finished scans."""
    opened = open_viewer()
    opened.drop(files / "scan")
    for name in ("0", "1", "2", "square"):
        expect(opened.item(f"{name}.png").locator(".image-sub")).to_have_text("2 marks", timeout=LONG)
    opened.item("0.png").click()
    return opened


def test_marks_lie_over_the_findings_from_the_operating_point_on_and_over_the_chosen_one(viewer: Viewer) -> None:
    page = viewer.page
    expect(page.locator("#findings-count")).to_have_text("2 of 3 at or above")
    expect(page.locator(".finding.below")).to_have_count(1)
    assert [mark.get_attribute("data-number") for mark in page.locator("#osd .mark").all()] == ["1", "2"]
    left, top, right, bottom = THREE[1].box_px
    across, down = 1 / PIXEL_MM[1], 1 / PIXEL_MM[0]  # a millimetre of padding on each side
    expected = {"x": left - across, "y": top - down}
    expected |= {"width": right - left + 1 + 2 * across, "height": bottom - top + 1 + 2 * down}
    box = page.locator("#osd .mark[data-number='2'] .box")
    assert {name: float(box.get_attribute(name)) for name in expected} == pytest.approx(expected)
    page.locator(".finding").nth(2).click()
    expect(page.locator("#osd .mark")).to_have_count(3)
    expect(page.locator("#osd .mark.selected")).to_have_attribute("data-number", "3")
    settled(page.locator("#osd"))
    page.keyboard.press("0")
    settled(page.locator("#osd"))
    for place in (".mark[data-number='1']", ".tag[data-number='2']"):
        drawn = page.locator(f"#osd {place}").bounding_box()
        page.mouse.click(drawn["x"] + drawn["width"] / 2, drawn["y"] + drawn["height"] / 2)
        expect(page.locator(f"#osd {place}")).to_have_class(re.compile("selected"))
        page.keyboard.press("0")
        settled(page.locator("#osd"))


def test_a_rejected_finding_is_no_mark_and_the_operating_point_is_that_of_the_scan(viewer: Viewer) -> None:
    page, marks = viewer.page, viewer.item("0.png").locator(".image-sub")
    page.locator(".finding").first.click()
    expect(page.locator("[data-verdict=rejected]")).to_be_in_viewport(ratio=1)
    page.click("[data-verdict=rejected]")
    expect(marks).to_have_text("1 mark")
    page.reload()
    expect(marks).to_have_text("1 mark")
    viewer.slide("threshold", 0.2)
    page.click("#threshold-keep")
    expect(page.locator("#threshold-note")).to_have_text("Kept for this session.")
    expect(marks).to_have_text("2 marks")
    page.click("#threshold-reset")
    expect(marks).to_have_text("1 mark")
    expect(page.locator("#threshold-number")).to_have_value("0.37")


def test_the_ruler_measures_oblong_pixels(viewer: Viewer) -> None:
    page = viewer.page
    scale, _ = settled(page.locator("#osd"))
    page.click("#ruler")
    stage = page.locator("#osd").bounding_box()
    for dx, dy, spacing in ((100, 0, PIXEL_MM[1]), (0, 100, PIXEL_MM[0])):
        for x, y in ((200, 200), (200 + dx, 200 + dy)):
            page.mouse.click(stage["x"] + x, stage["y"] + y)
            page.wait_for_timeout(400)  # two clicks in quick succession are a double click
        expect(page.locator("#stage-note")).to_have_text(re.compile(r"^[\d.]+ mm$"))
        measured = float(page.locator("#stage-note").inner_text().split()[0])
        assert measured == pytest.approx(100 / scale * spacing, rel=0.02)


def test_the_choice_between_two_images_of_a_place_can_be_read_in_either_theme(viewer: Viewer) -> None:
    page = viewer.page
    page.click("#tab-hanging")
    side = page.get_by_label("Side of 0.png")
    side.focus()
    side.select_option("R")
    page.keyboard.press("Control+z")
    expect(side).to_have_value("")
    for name in ("0.png", "square.png"):
        page.get_by_label(f"Side of {name}").select_option("L")
        page.get_by_label(f"View of {name}").select_option("CC")
    choice = page.get_by_label("Image shown as L CC", exact=True)
    expect(choice).to_be_visible()
    for _ in range(2):
        page.click("#theme")
        colours = choice.evaluate("each => [getComputedStyle(each).color, getComputedStyle(each).backgroundColor]")
        text, ground = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in colours)
        assert abs(text - ground) > 128, colours
    page.keyboard.press("Control+z")  # the last choice was wrong
    expect(choice).to_be_hidden()
    expect(page.get_by_label("View of square.png")).to_have_value("")
    expect(page.get_by_label("Side of square.png")).to_have_value("L")


def test_linked_views_keep_one_scale_in_millimetres(viewer: Viewer) -> None:
    page = viewer.page
    page.click("#tab-hanging")
    for name, side in (("0.png", "L"), ("square.png", "R")):
        page.get_by_label(f"Side of {name}").select_option(side)
        page.get_by_label(f"View of {name}").select_option("CC")
    left, right = (page.get_by_role("group", name=f"{side} CC", exact=True) for side in "LR")
    settled(left), settled(right)
    page.check("#link-zoom")
    left.locator(".openseadragon-canvas").focus()
    for key in ("+", "+", "ArrowDown"):
        page.keyboard.press(key)
    (one, *_), (other, *_) = settled(left), settled(right)
    assert abs(one) / PIXEL_MM[1] == pytest.approx(abs(other) / 0.1, rel=0.01)
    middles = []
    for place, down in ((left, PIXEL_MM[0]), (right, 0.1)):
        matrix = place.locator(".overlay > g").first.get_attribute("transform")
        _, _, _, scale, _, start = map(float, re.findall(r"-?[\d.]+(?:e-?\d+)?", matrix))
        middles.append(((place.bounding_box()["height"] / 2 - start) / scale - 350) * down)
    assert middles[0] == pytest.approx(middles[1], abs=0.2) and middles[0] > 1


def test_a_late_answer_is_not_shown_under_another_finding(viewer: Viewer) -> None:
    page, held = viewer.page, list[Any]()

    def answer(route: Any) -> None:
        number = int(route.request.url.rsplit("/", 1)[1])
        picture = "/static/icon.svg"
        detail = {"number": number, "votes": [number / 10] * 5, "steps": [], "calcifications_patch": []}
        body = json.dumps({**detail, "patch": picture, "gradcam": picture})
        held.append(lambda: route.fulfill(content_type="application/json", body=body))
        if number != 1:
            held.pop()()

    page.route(re.compile(r"/findings/\d$"), answer)
    page.locator(".finding").nth(0).click()
    page.wait_for_timeout(200)
    page.locator(".finding").nth(1).click()
    expect(page.locator(".vote .number").first).to_have_text("0.20")
    held.pop()()
    page.wait_for_timeout(500)
    assert page.locator("#detail h3").inner_text() == "Finding 2"
    assert page.locator(".vote .number").all_inner_texts() == ["0.20"] * 5
    assert [text.split()[-1] for text in page.locator(".vote > span:first-child").all_inner_texts()] == list("01234")
    assert not page.locator(".message.warning:visible").count()


def test_back_stays_in_the_page_and_a_reload_where_it_is(viewer: Viewer) -> None:
    page = viewer.page
    page.click("#tab-hanging")
    page.click("#tab-reports")
    page.go_back()
    expect(page.locator("#hanging")).to_be_visible()
    page.reload()
    expect(page.locator("#tab-hanging")).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.locator("#read")).to_be_visible()
    page.set_viewport_size(NARROW)
    page.click("#pane-findings")
    page.click("#pane-picture")
    page.go_back()
    expect(page.locator("#pane-findings")).to_have_attribute("aria-selected", "true")


def test_the_pixel_size_can_be_changed_after_a_reload(open_viewer: OPEN, files: Path) -> None:
    viewer = open_viewer()
    viewer.pick(files / "scan" / "0.png")
    viewer.page.fill("#pixel-size-mm", "0.1", timeout=LONG)
    viewer.page.keyboard.press("Enter")
    for _ in range(2):
        viewer.page.get_by_role("button", name="Change pixel size").click(timeout=LONG)
        expect(viewer.page.locator("#pixel-size-mm")).to_be_visible()
        viewer.page.reload()


def test_truth_is_called_truth_and_is_no_finding(open_viewer: OPEN, files: Path) -> None:
    mammograms = list(iter_phantom_mammograms(3, seed=1, field_mm=(70, 60)))
    write_phantom_mammograms(files / "phantom", mammograms)
    viewer = open_viewer()
    viewer.drop(files / "phantom")
    for mammogram in mammograms:
        count = len(mammogram.clusters)
        viewer.item(mammogram.name).click(timeout=LONG)
        words = f"Truth, in green: {count} cluster{'' if count == 1 else 's'}."
        expect(viewer.page.locator("#findings-message .info")).to_have_text(words)
        expect(viewer.page.locator("#osd .truth")).to_have_count(count)
        expect(viewer.page.locator(".finding")).to_have_count(0)
    assert len({len(mammogram.clusters) for mammogram in mammograms}) > 1


def test_the_hanging_shows_the_study_of_the_open_image_alone(open_viewer: OPEN, tmp_path: Path) -> None:
    made = list(iter_phantom_mammograms(5, seed=1, field_mm=(70, 60)))
    write_phantom_mammograms(tmp_path / "phantom", made, dicom=True)
    viewer = open_viewer()
    viewer.drop(tmp_path / "phantom")
    for shown, count in ((made[4], 1), (made[0], 4)):
        viewer.page.click("#tab-read")
        viewer.item(shown.name).click(timeout=LONG)
        viewer.page.click("#tab-hanging")
        expect(viewer.page.locator(".slot-empty:visible")).to_have_count(4 - count)
        expect(viewer.page.get_by_role("group", name="L CC", exact=True)).to_contain_text(shown.name)
    viewer.page.locator("#older-study").select_option(label="Study 2")
    expect(viewer.page.locator(".slot:visible")).to_have_count(8)
    viewer.page.click("#tab-read")
    viewer.item(made[4].name).click()
    viewer.page.click("#close")
    viewer.page.click("#tab-hanging")
    expect(viewer.page.locator(".slot:visible")).to_have_count(4)


def test_two_patients_images_of_one_name_each_show_their_own_mark(open_viewer: OPEN, tmp_path: Path) -> None:
    """And each is downloaded under a name of its own, with all its letters."""
    folder = tmp_path / "both"
    paths = [made(folder / patient / "Иванова.png", seed) for seed, patient in enumerate("ab")]
    scan = scan_of(*(found(path, "Иванова.png", first) for first, path in enumerate(paths)))
    (folder / "findings.json").write_text(json.dumps({**scan, "operating_point": 0.37}))
    viewer = open_viewer()
    viewer.drop(folder)
    seen = {}
    for name in ("Иванова.png", "Иванова (2).png"):  # whichever was uploaded first
        expect(viewer.item(name).locator(".image-sub")).to_have_text(re.compile("mark"), timeout=LONG)
        marks = seen[name] = viewer.item(name).locator(".image-sub").inner_text()
        numbers = {"2 marks": ["1", "2"], "1 mark": ["2"]}[marks]
        viewer.item(name).click()
        expect(viewer.page.locator("#osd .mark")).to_have_count(len(numbers))
        assert [mark.get_attribute("data-number") for mark in viewer.page.locator("#osd .mark").all()] == numbers
        if viewer.page.locator("[data-download=overlay]").is_hidden():
            viewer.page.click("#downloads summary")
        with viewer.page.expect_download(timeout=LONG) as download:
            viewer.page.click("[data-download=overlay]")
        assert download.value.suggested_filename == name
    assert sorted(seen.values()) == ["1 mark", "2 marks"]


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_long_names_stay_in_their_cards(open_viewer: OPEN, files: Path, tmp_path: Path, size: dict[str, int]) -> None:
    page = (viewer := open_viewer(viewport=size)).page
    for number in range(3):
        (tmp_path / LONG_NAME.format(number)).write_bytes(png(700, 600, number))
    held = list[Any]()
    page.route(re.compile(r"/api/images\?"), lambda route: held.append(route))
    viewer.pick(*tmp_path.glob("*.png"))
    expect(page.locator(".upload")).to_have_count(3)
    panel = page.locator("#images-panel").bounding_box()

    def stays_inside(selector: str) -> None:
        for each in page.locator(selector).all():
            box = each.bounding_box()
            assert box is None or box["x"] + box["width"] <= panel["x"] + panel["width"] + 1, selector

    stays_inside(".upload, .upload .name, .upload button")
    for route in held:
        route.continue_()
    expect(page.get_by_label("Same for all 3 files")).to_be_checked(timeout=LONG)
    page.fill("#pixel-size-mm", "0.1")
    stays_inside(".card, .card *, .image-item")
    page.keyboard.press("Enter")
    page.click("#tab-hanging")
    for number in range(2):  # the third is left without a place
        name = LONG_NAME.format(number)
        page.get_by_label(f"Side of {name}").select_option("RL"[number])
        page.get_by_label(f"View of {name}").select_option("CC")
    expect(page.locator(".slot .overlay > g").nth(3)).to_have_attribute("transform", re.compile("matrix"), timeout=LONG)
    for slot in page.locator(".slot:visible").all():
        box = slot.bounding_box()
        assert 100 < box["width"] <= size["width"] / 2 and 0 <= box["x"] <= size["width"] - box["width"] + 1
    expect(page.locator(".research")).to_be_in_viewport(ratio=1)
    assert page.evaluate("() => document.querySelector('.research').scrollWidth") <= size["width"]
