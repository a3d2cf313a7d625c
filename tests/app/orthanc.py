"""The viewer at an Orthanc with passwords, which listens on all addresses: to be run in a network namespace of its own.

``unshare --net python orthanc.py FOLDER`` gives Orthanc two studies of a phantom patient, starts ``microcalc app``,
opens a study as the page does, sends results back, and prints all that happened as JSON.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from dicom.other_systems import ORTHANC, WEB, running, wait_for
from dicomweb_client.web import DICOMwebClient
from playwright.sync_api import sync_playwright

from microcalc.app.dicomweb import Server
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.dicom.stow import PASSWORD, USER, WebServer
from microcalc.errors import FailedError
from microcalc.mammograms.truth import write_phantom_mammograms

CHROMIUM = Path("/usr/bin/chromium")
USERS = {"reader": "secret"}
FIELD_MM = (230, 180) if os.environ.get("MICROCALC_FULL_SIZE") else (90, 60)


class Page:
    """Asks the viewer as its page does."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def ask(self, method: str, path: str, json_: Any = None) -> Any:
        headers = {"Origin": self.address, "X-Microcalc": "1", "Content-Type": "application/json"}
        body = None if json_ is None else json.dumps(json_).encode()
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            return json.loads(error.read())
        return json.loads(content) if content[:1] in (b"{", b"[") else content

    def images(self, number: int) -> list[dict[str, Any]]:
        """Wait for so many images."""
        while True:
            session = self.ask("GET", "/api/session")
            assert not session["problems"], session["problems"]
            if len(session["images"]) >= number:
                return session["images"]
            time.sleep(0.02)


def viewer(folder: Path) -> Any:
    command = [sys.executable, "-m", "microcalc", "app", "--no-browser", "--port", "0", "--dicomweb", WEB]
    return running(*command, folder=folder)


def cpu_seconds(*processes: subprocess.Popen[str]) -> float:
    """The time that processors have spent on some programs: a busy machine does not change it."""
    return sum(sum(psutil.Process(process.pid).cpu_times()[:2]) for process in processes)


def by_hand(address: str, folder: Path) -> dict[str, Any]:
    """Open a study with the page's own buttons, and send the results of its first image, where there is a browser."""
    if not CHROMIUM.exists():
        return {}
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"]).new_page()
        page.goto(address)
        page.get_by_role("button", name="List studies").click()
        open_study = page.get_by_role("button", name=re.compile("Open .* [4-8] objects"))
        open_study.wait_for()
        open_study.click()
        page.locator("#osd[data-shown]").wait_for(timeout=60_000)
        page.locator("#downloads summary").click()
        send = page.locator("[data-download=send]")
        page.wait_for_function("button => !button.disabled", arg=send.element_handle(), timeout=120_000)
        page.screenshot(path=folder / "page.png")
        send.click()
        note = page.locator("[data-download=send] + .saved")
        page.wait_for_function("note => /[.]$/.test(note.textContent)", arg=note.element_handle(), timeout=60_000)
        return {"note": note.text_content(), "password": "secret" in page.content()}


def main(folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    settings = {**ORTHANC, "AuthenticationEnabled": True, "RegisteredUsers": USERS}
    (folder / "orthanc.json").write_text(json.dumps(settings))
    write_phantom_mammograms(folder / "made", iter_phantom_mammograms(5, field_mm=FIELD_MM), dicom=True)
    made = sorted((folder / "made").glob("*.dcm"))
    with running("Orthanc", "orthanc.json", folder=folder) as orthanc:
        wait_for(orthanc, "Orthanc has started")
        try:
            refused = str(Server(WEB).studies())
        except FailedError as error:
            refused = str(error)
        os.environ |= {USER: "reader", PASSWORD: "secret"}
        server = WebServer(WEB)
        for study in (made[:4], made[4:]):
            list(server.send(study))
        with viewer(folder) as process:
            page = Page(wait_for(process, "the viewer is at").split()[-1])
            session, studies = page.ask("GET", "/api/session"), page.ask("GET", "/api/dicomweb")
            study = next(each for each in studies if each["objects"] == "4")
            before = cpu_seconds(orthanc, process)
            page.ask("POST", f"/api/dicomweb/{study['study']}")
            first = page.images(1)[0]
            page.ask("GET", f"/api/images/{first['id']}/tiles/0/0_0.jpg")
            cpu = cpu_seconds(orthanc, process) - before
            images = page.images(4)
            page.ask("POST", f"/api/dicomweb/{study['study']}")
            page.ask("POST", f"/api/images/{first['id']}/scan")
            while page.ask("GET", f"/api/images/{first['id']}")["state"] in ("queued", "scanning"):
                time.sleep(0.1)
            sent = page.ask("POST", f"/api/images/{first['id']}/send")
            not_scanned = page.ask("POST", f"/api/images/{images[-1]['id']}/send")
            again = page.images(1)
        with viewer(folder) as process:
            browser = by_hand(wait_for(process, "the viewer is at").split()[-1], folder)
        client = DICOMwebClient(WEB, session=server.session)
        held = client.search_for_series(study["study"])
    print(
        json.dumps(
            {
                "refused": refused,
                "server": session["server"],
                "page_holds_password": "secret" in json.dumps([session, studies]),
                "studies": studies,
                "cpu_seconds_to_first_picture": cpu,
                "bytes_of_an_image": made[0].stat().st_size,
                "images": [[image[part] for part in ("name", "laterality", "view", "study")] for image in images],
                "opened_once": len(again) == len(images),
                "sent": sent,
                "browser": browser,
                "not_scanned": not_scanned,
                "held": sorted(series["00080060"]["Value"][0] for series in held),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
