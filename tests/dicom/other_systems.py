"""A node among dcmtk and Orthanc, which listen on all addresses: to be run inside a network namespace of its own.

``unshare --net python other_systems.py FOLDER`` sends a study by storescu to a node for each of the three receivers
(storescp, Orthanc by C-STORE, Orthanc by STOW-RS), fetches what they hold, and writes it to ``FOLDER/RECEIVER/*.dcm``.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dicom.made import make_mammogram, write_mammogram

IMAGES = 2
ORTHANC = {
    "StorageDirectory": "storage",
    "IndexDirectory": "storage",
    "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
    "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    "RemoteAccessAllowed": False,
}
WEB = "http://localhost:8042/dicom-web"
STUDIES = {"storescp": 0, "orthanc": 1, "orthanc-web": 2}
SEND_TO = {"storescp": "ARCHIVE@localhost:11113", "orthanc": "ORTHANC@localhost:4242", "orthanc-web": WEB}


@contextmanager
def running(*command: str | Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A program whose output can be read, ended at the end."""
    process = subprocess.Popen(
        list(map(str, command)), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """The first line that holds a text, among those that a program says."""
    said = []
    for line in process.stdout or ():
        said.append(line)
        if text in line:
            return line
    raise SystemExit(f"{process.args} ended before it said {text!r}: {''.join(said[-20:])}")


def wait_until_answered(node: subprocess.Popen[str], images: int) -> None:
    """Wait until a node has answered at least so many images."""
    while int(wait_for(node, "answered ").split()[1]) < images:
        pass


def answer(receiver: str, folder: Path) -> None:
    """Send the study meant for one receiver to a node, and wait until the node has passed its results on."""
    images = [
        write_mammogram(folder / f"{receiver}{number}.dcm", number=number, study=STUDIES[receiver])
        for number in range(IMAGES)
    ]
    script = Path(__file__).with_name("node_process.py")
    with running(sys.executable, script, folder / f"queue-{receiver}", 0, SEND_TO[receiver], folder=folder) as node:
        port = wait_for(node, "ready").split()[1]
        subprocess.run(["storescu", "-R", "-aec", "MICROCALC", "localhost", port, *map(str, images)], check=True)
        wait_until_answered(node, IMAGES)


def fetch(receiver: str, folder: Path) -> None:
    """Find the results of a study in Orthanc by QIDO-RS, and fetch them by WADO-RS."""
    from dicomweb_client.web import DICOMwebClient

    client, study = DICOMwebClient(WEB), str(make_mammogram(study=STUDIES[receiver]).StudyInstanceUID)
    for found in client.search_for_instances(study_instance_uid=study):
        series, instance = (found[tag]["Value"][0] for tag in ("0020000E", "00080018"))
        client.retrieve_instance(study, series, instance).save_as(folder / f"{instance}.dcm")


def main(folder: Path) -> None:
    """All three receivers, one after the other."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for receiver in STUDIES:
        (folder / receiver).mkdir()
    with running("storescp", "-aet", "ARCHIVE", "-od", folder / "storescp", 11113, folder=folder):
        answer("storescp", folder)
    (folder / "orthanc.json").write_text(json.dumps(ORTHANC))
    with running("Orthanc", "orthanc.json", folder=folder) as orthanc:
        wait_for(orthanc, "Orthanc has started")
        for receiver in ("orthanc", "orthanc-web"):
            answer(receiver, folder)
            fetch(receiver, folder / receiver)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
