"""The node among programs of others, killed on the way, and fed with rubbish."""

import os
import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path

import psutil
import pydicom
import pytest
from dicom.made import make_mammogram, make_overlay, outcome_of
from dicom.other_systems import IMAGES, STUDIES, running, wait_for, wait_until_answered
from dicom.pacs import Archive, archive, connected, store
from dicom.test_node import files_of, node_running
from own_network import run_in_own_network
from pydicom.dataset import Dataset

from microcalc.dicom.objects import encode, make_objects

HERE = Path(__file__).parent
ROUNDS = 40 * int(os.environ.get("MICROCALC_FUZZ_SECONDS", "1"))


def expected(study: int, number: int) -> list[Dataset]:
    """The results of a made mammogram."""
    made = make_objects(outcome_of(2, make_mammogram(number, study)), make_overlay()).values()
    return [pydicom.dcmread(BytesIO(encode(result))) for result in made]


@pytest.mark.slow
def test_storescp_and_orthanc_hold_what_was_made(tmp_path: Path) -> None:
    run_in_own_network(HERE / "other_systems.py", tmp_path, "storescu", "storescp", "Orthanc")
    for receiver, study in STUDIES.items():
        received = [pydicom.dcmread(path) for path in (tmp_path / receiver).iterdir()]
        results = [result for number in range(IMAGES) for result in expected(study, number)]
        held = {result.SOPInstanceUID: result for result in received}
        assert held.keys() == {result.SOPInstanceUID for result in results} and len(received) == 4 * IMAGES
        assert all(held[result.SOPInstanceUID] == result for result in results)


SENDERS, KILLS = 8, 3
IMAGES_EACH = int(os.environ.get("MICROCALC_NODE_IMAGES", "40")) // SENDERS


class Modality(threading.Thread):
    """Sends its study, an image an association, each until the node has acknowledged it."""

    def __init__(self, study: int, port: int) -> None:
        super().__init__(daemon=True)
        self.study, self.port = study, port

    def run(self) -> None:
        for number in range(IMAGES_EACH):
            while not self._stored(make_mammogram(number, self.study)):
                pass

    def _stored(self, image: Dataset) -> bool:
        with connected(self.port) as association:
            if not association.is_established:
                return False
            try:
                return association.send_c_store(image).get("Status") == 0
            except RuntimeError:  # the node was killed between the two lines
                return False


@pytest.mark.slow
def test_nothing_is_lost_or_sent_twice_though_the_node_is_killed_and_the_receiver_stopped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with archive() as pacs:
        senders = [Modality(study, port) for study in range(SENDERS)]
        for kill in range(KILLS):
            with node_process(tmp_path, port, pacs) as node:
                wait_for(node, "ready")
                if kill == 0:
                    for sender in senders:
                        sender.start()
                wait_until_answered(node, kill * IMAGES_EACH + 1)
                node.kill()
            if kill == 1:
                pacs.stop()
                with node_process(tmp_path, port, pacs) as node:
                    wait_for(node, "cannot be reached")
                    node.kill()
                pacs.start()
        with node_process(tmp_path, port, pacs) as node:
            wait_until_answered(node, SENDERS * IMAGES_EACH)
        for sender in senders:
            sender.join()
        times = Counter(result.SOPInstanceUID for result in pacs.received)
        sources = {_source(result) for result in pacs.received}
    assert len(sources) == SENDERS * IMAGES_EACH
    assert len(times) == 4 * SENDERS * IMAGES_EACH
    repeated = sum(times.values()) - len(times)
    assert repeated <= KILLS + 1  # sent, and the node killed before it could note so: the same UID once more


def node_process(folder: Path, port: int, pacs: Archive) -> AbstractContextManager["subprocess.Popen[str]"]:
    return running(sys.executable, HERE / "node_process.py", folder / "queue", port, pacs.name, folder=folder)


def _source(result: Dataset) -> str:
    return next(str(found.value) for found in result.iterall() if found.keyword == "ReferencedSOPInstanceUID")


def test_rubbish_crashes_nothing_and_leaves_no_file_and_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    randomly, process = random.Random(0), psutil.Process()
    image = encode(make_mammogram())
    image = image[image.index(b"ISO_IR") - 8 :]  # without the file's own header, which is not sent
    with node_running(tmp_path, "ARCHIVE@localhost:1", quiet_s=1000, largest_object_mib=1) as node:
        threads, before = threading.active_count(), 0
        for number in range(ROUNDS):
            if number == 10:
                before = process.memory_info().rss
            _send_rubbish(node.port, randomly)
            monkeypatch.setattr("pynetdicom.association.encode", lambda *_: _damaged(image, randomly))
            store(node.port, make_mammogram())
        monkeypatch.undo()
        with connected(node.port) as association:
            assert association.send_c_echo().Status == 0
        assert process.memory_info().rss - before < 100 * 2**20
        counts = node.queue.counts()
        assert len(files_of(tmp_path)) == counts.received + 4 * counts.scanned and sum(counts) <= 1
        for thread in threading.enumerate():
            if "AcceptorThread" in thread.name:
                thread.join()
        assert threading.active_count() <= threads + 2


def _send_rubbish(port: int, randomly: random.Random) -> None:
    """Bytes that are no PDU, half a PDU, or one with a wrong length."""
    kind, length = randomly.choice(b"\x00\x01\x02\x04\x05\x07\xff"), randomly.choice([0, 10, 68, 10_000, 2**31])
    with socket.create_connection(("127.0.0.1", port), 60) as peer:
        try:
            peer.sendall(bytes([kind, 0]) + length.to_bytes(4, "big") + randomly.randbytes(randomly.randrange(300)))
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass
        except OSError:
            pass


def _damaged(image: bytes, randomly: random.Random) -> bytes:
    """An object with bytes changed or cut off."""
    content = bytearray(image[: randomly.randrange(100, len(image))] if randomly.random() < 0.3 else image)
    for _ in range(randomly.randrange(1, 40)):
        content[randomly.randrange(min(len(content), 2500))] = randomly.randrange(256)
    return bytes(content)
