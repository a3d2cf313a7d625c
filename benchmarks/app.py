"""The viewer: time to the first picture and to the findings, frames a second, bytes of the page, memory of the server.

Run as `python benchmarks/app.py [--scans 50] [--chromium /usr/bin/chromium]`, on an otherwise idle machine with
Chromium and the extras `app` and `test`. The mammogram is a phantom of 12 megapixels, written as DICOM with its pixel
size. It is dropped on the page in a headless browser without a graphics card, which draws on the same cores.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from microcalc.data.phantom_dicom import phantom_dicom
from microcalc.data.phantom_mammograms import iter_phantom_mammograms

PIXEL_MM = 0.0587
DROPS = 5
SECONDS_OF_MOVEMENT = 6

DROP = """() => {
  const shown = document.getElementById('osd').dataset.shown ?? '';
  const when = (start, done) => new Promise((resolve) => {
    const look = () => done() ? resolve((performance.now() - start) / 1000) : requestAnimationFrame(look);
    look();
  });
  window.timed = new Promise((resolve) => addEventListener('drop', async () => {
    const start = performance.now();
    const picture = await when(start, () => (document.getElementById('osd').dataset.shown ?? '') !== shown);
    resolve([picture, await when(start, () => document.querySelector('.finding'))]); // of the image that is now open
  }, {once: true, capture: true}));
}"""

FRAMES = """(seconds) => new Promise((resolve) => {
  const times = [];
  const frame = (now) => {
    times.push(now);
    if (now - times[0] < 1000 * seconds) requestAnimationFrame(frame);
    else resolve(times.slice(1).map((time, index) => time - times[index]));
  };
  requestAnimationFrame(frame);
})"""


def write_mammogram(path: Path) -> float:
    """Write a phantom mammogram as DICOM, and return its megapixels."""
    made = next(iter_phantom_mammograms(1, pixel_size_mm=PIXEL_MM))
    path.write_bytes(phantom_dicom(made))
    return float(made.pixels.size / 1e6)


@contextmanager
def running() -> Iterator[tuple[str, psutil.Process]]:
    """A server: its address and process."""
    command = [sys.executable, "-m", "microcalc", "app", "--port", "0", "--no-browser"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield re.findall(r"http://\S+", process.stdout.readline())[0], psutil.Process(process.pid)
        finally:
            process.terminate()
            process.communicate()


def drop(page: Page, file: Path) -> tuple[float, float]:
    """Seconds from the drop, as a file manager does it, to the whole first picture, and to the findings."""
    page.evaluate(DROP)
    debugger = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        debugger.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})
    picture, findings = page.evaluate("() => window.timed")
    return picture, findings


def frames(page: Page) -> list[float]:
    """Milliseconds of each frame while the picture is dragged and zoomed with the mouse."""
    box = page.locator("#osd").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.evaluate(f"() => {{ window.frames_ = ({FRAMES})({SECONDS_OF_MOVEMENT}); }}")
    end, step = time.monotonic() + SECONDS_OF_MOVEMENT, 0
    while time.monotonic() < end:
        page.mouse.wheel(0, -120 if step % 8 < 5 else 160)
        page.mouse.down()
        page.mouse.move(x + 120 * np.sin(step), y + 90 * np.cos(step), steps=8)
        page.mouse.up()
        page.mouse.move(x, y)
        step += 1
    answer: list[float] = page.evaluate("() => window.frames_")
    return answer


def ask(address: str, method: str, path: str, body: bytes | None = None) -> Any:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
    connection.request(method, path, body, {"X-Microcalc": "1", "Origin": address.rstrip("/")})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status < 300, content
    return json.loads(content) if content else None


def memory(address: str, process: psutil.Process, content: bytes, scans: int) -> tuple[float, float]:
    """Resident MB of the server after the first scan and after all; every image stays open."""
    after = []
    for number in range(scans):
        image = ask(address, "POST", f"/api/images?name={number}.dcm", content)["id"]
        ask(address, "POST", f"/api/images/{image}/scan")
        while ask(address, "GET", f"/api/images/{image}")["state"] in ("queued", "scanning"):
            time.sleep(0.1)
        ask(address, "GET", f"/api/images/{image}/findings")
        after.append(process.memory_info().rss / 1e6)
    return after[0], after[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=50)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running() as (address, process), sync_playwright() as playwright:
        file = Path(folder) / "phantom.dcm"
        print(f"phantom: {write_mammogram(file):.1f} megapixels, {file.stat().st_size / 1e6:.0f} MB of DICOM")
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address, wait_until="networkidle")
        sizes = page.evaluate("() => performance.getEntries().map((entry) => entry.transferSize ?? 0)")
        print(f"page before the image: {sum(sizes) / 1e6:.2f} MB in {sum(map(bool, sizes))} requests")
        picture, findings = drop(page, file)
        print(f"first drop, the committee not loaded yet: picture {picture:.2f} s, findings {findings:.2f} s")
        worked = sum(process.cpu_times()[:2])
        drops = [drop(page, file) for _ in range(DROPS)]
        worked = (sum(process.cpu_times()[:2]) - worked) / DROPS
        for name, seconds in zip(("picture", "findings"), zip(*drops, strict=True), strict=True):
            print(f"{name} after the drop, median of {DROPS}: {np.median(seconds):.2f} s (worst {max(seconds):.2f} s)")
        print(f"of which the server's processors work {worked:.1f} s")
        intervals = frames(page)
        print(f"pan and zoom: {1000 / np.median(intervals):.0f} frames a second, median of {len(intervals)} frames")
        browser.close()
    with running() as (address, process), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "phantom.dcm"
        write_mammogram(file)
        first, last = memory(address, process, file.read_bytes(), options.scans)
        print(f"memory: {first:.0f} MB after the first scan, {last:.0f} MB after {options.scans}: {last / first:.2f} x")


if __name__ == "__main__":
    main()
