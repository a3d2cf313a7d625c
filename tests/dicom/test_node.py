"""The node: what it takes, what it refuses, what it sends, and that nothing is lost."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from dicom.made import ALGORITHM, make_mammogram, remark, scan
from dicom.pacs import archive, connected, store, until
from pydicom.uid import SecondaryCaptureImageStorage
from pynetdicom.dsutils import encode

from microcalc.config import NodeSettings
from microcalc.dicom import objects
from microcalc.dicom.node import MOST_SCANS, Node, Scan
from microcalc.dicom.queue import Counts, Parked, Queue, key_of
from microcalc.dicom.sender import destination
from microcalc.dicom.tls import contexts
from microcalc.errors import FailedError, ImageError, RequestError
from microcalc.files import write_atomically
from microcalc.mammograms.findings import ScannedImage

NOWHERE = "ARCHIVE@localhost:1"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path / "queue")
    yield made
    made.close()


@contextmanager
def node_running(
    folder: Path, send_to: str, scan: Scan = scan, lines: list[str] | None = None, **options: Any
) -> Iterator[Node]:
    settings = {"port": 0, "quiet_s": 0.1, "pause_s": 0.05, "tries": 2, **options}
    lines = [] if lines is None else lines
    node = Node(NodeSettings(send_to=send_to, queue=folder / "queue", **settings), scan, ALGORITHM, lines.append)
    try:
        yield node
    finally:
        node.stop()


def answered(node: Node, images: int) -> bool:
    return until(node.queue, lambda: node.queue.counts() == Counts(0, 0, images))


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for part in ("images", "results") for path in (folder / "queue" / part).iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("studies", "associations"), [((0, 0, 0), [12]), ((0, 1, 2), [4, 4, 4])])
def test_each_study_is_answered_in_one_association(
    studies: tuple[int, ...], associations: list[int], tmp_path: Path
) -> None:
    images = [make_mammogram(number, study) for number, study in enumerate(studies)]
    with archive() as pacs, node_running(tmp_path, pacs.name, quiet_s=0.5) as node:
        with connected(node.port) as association:
            assert association.send_c_echo().Status == 0
            assert [association.send_c_store(image).Status for image in images] == [0, 0, 0]
        assert answered(node, 3)
        assert pacs.associations == associations
        assert {result.StudyInstanceUID for result in pacs.received} == {image.StudyInstanceUID for image in images}
        assert len({result.SOPInstanceUID for result in pacs.received}) == 12
        assert files_of(tmp_path) == []


def test_an_image_sent_again_is_answered_once(tmp_path: Path) -> None:
    with archive() as pacs, node_running(tmp_path, pacs.name) as node:
        assert store(node.port, make_mammogram(), make_mammogram()) == [0, 0]
        assert answered(node, 1)
        assert store(node.port, make_mammogram()) == [0]
        assert node.queue.counts() == Counts(0, 0, 1) and len(pacs.received) == 4


LARGE: dict[str, Any] = {"Rows": 1000, "Columns": 1000, "PixelData": bytes(2_000_000)}
SMALL: dict[str, Any] = {"Rows": 500, "Columns": 600, "PixelData": bytes(600_000)}


@pytest.mark.parametrize(
    ("options", "images", "statuses"),
    [
        ({}, [{"Modality": "CT"}], [0xA900]),
        ({}, [{"Modality": None}], [0xA900]),
        ({}, [{"PixelData": None}], [0xA900]),
        ({}, [{"NumberOfFrames": 2}], [0xA900]),
        ({}, [{"StudyInstanceUID": None}], [0xA900]),
        ({}, [{"StudyInstanceUID": "1.2/../../3"}], [0xA900]),
        ({}, [{"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT"}], [0xA900]),
        ({}, [{"SOPClassUID": SecondaryCaptureImageStorage}], [0]),
        ({"disk_gib": 0.0003}, [{}, {"number": 1}], [0, 0xA700]),
        ({"largest_object_mib": 1}, [LARGE], [None]),  # the association ends
        ({"largest_object_mib": 1}, [{"number": number, **SMALL} for number in range(3)], [0, 0, 0]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_each_object_is_answered_by_status_and_none_that_is_refused_is_stored(
    options: dict[str, Any], images: list[dict[str, Any]], statuses: list[int | None], tmp_path: Path
) -> None:
    with node_running(tmp_path, NOWHERE, quiet_s=100, **options) as node:
        assert store(node.port, *(make_mammogram(**changes) for changes in images)) == statuses
        assert sum(node.queue.counts()) == statuses.count(0) and bool(files_of(tmp_path)) == (0 in statuses)


def test_raw_images_for_processing_are_not_negotiated(tmp_path: Path) -> None:
    with node_running(tmp_path, NOWHERE) as node, connected(node.port) as association:
        assert len(association.accepted_contexts) == 3


@pytest.mark.parametrize(
    ("options", "titles"),
    [
        ({"calling": ("MODALITY",)}, ("OTHER", "MODALITY")),
        ({"calling": ("MODALITY",)}, ("MICROCALC", "STRANGER")),
        ({"associations": 1}, ("MICROCALC", "MODALITY")),
    ],
)
def test_strangers_and_too_many_associations_are_rejected(
    options: dict[str, Any], titles: tuple[str, str], tmp_path: Path
) -> None:
    with (
        node_running(tmp_path, NOWHERE, **options) as node,
        connected(node.port) as known,
        connected(node.port, *titles) as association,
    ):
        assert association.is_rejected and known.is_established


def test_an_object_with_another_uid_than_announced_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = encode(make_mammogram(1), False, True)
    with node_running(tmp_path, NOWHERE) as node:
        monkeypatch.setattr("pynetdicom.association.encode", lambda *_: other)
        assert store(node.port, make_mammogram()) == [0xA900]
        assert files_of(tmp_path) == [] and node.queue.counts() == Counts(0, 0, 0)


def test_a_connection_that_announces_4_gib_is_closed(tmp_path: Path) -> None:
    with node_running(tmp_path, NOWHERE) as node, socket.create_connection(("127.0.0.1", node.port), 60) as peer:
        peer.sendall(b"\x01\x00\xff\xff\xff\xff" + bytes(2**12))
        try:
            said = peer.recv(100)
        except ConnectionResetError:
            said = b""
        assert said == b""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("Müller"), "the scan failed (ZeroDivisionError)"),
        (ImageError("states no pixel size; give --pixel-size", "the image"), "states no pixel size; give --pixel-size"),
    ],
)
def test_a_scan_that_fails_is_answered_with_the_reason_and_no_text_of_a_patient(
    error: Exception, reason: str, tmp_path: Path
) -> None:
    def failing(content: bytes) -> tuple[ScannedImage, bytes]:
        raise error

    lines: list[str] = []
    with archive() as pacs, node_running(tmp_path, pacs.name, failing, lines) as node:
        store(node.port, make_mammogram())
        assert answered(node, 1)
        assert [result.Modality for result in pacs.received] == ["SR"]
        assert remark(pacs.received[0]) == f"Not analyzed: {reason}"
    assert lines == [f"an image was not analyzed: {reason}"]


def test_an_unreachable_receiver_is_tried_again_and_the_study_parked(tmp_path: Path) -> None:
    lines: list[str] = []
    study = make_mammogram().StudyInstanceUID
    with node_running(tmp_path, NOWHERE, lines=lines, tries=3) as node:
        store(node.port, make_mammogram())
        assert until(node.queue, lambda: bool(node.queue.parked()))
        assert node.queue.parked() == [Parked(study, 1, f"{NOWHERE}: cannot be reached")]
    assert ["parked" in line for line in lines] == [False, False, True]
    with archive() as pacs, node_running(tmp_path, pacs.name) as node:
        assert answered(node, 1)
        assert len(pacs.received) == 4 and node.queue.parked() == []


def test_pauses_double_up_to_the_longest(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microcalc.dicom.queue.time.time", lambda: 1000.0)
    pauses = []
    queue.add("1.2.1", "1.2", b"image")
    for _ in range(5):
        assert not queue.postpone("1.2", "cannot be reached", pause_s=10, longest_pause_s=60, tries=6)
        pauses.append(queue._query("SELECT due FROM studies")[0][0] - 1000)
    assert pauses == [10, 20, 40, 60, 60]
    assert queue.postpone("1.2", "cannot be reached", pause_s=10, longest_pause_s=60, tries=6)


def test_an_image_whose_scan_ends_the_node_lets_the_others_go_first(queue: Queue) -> None:
    for number in range(3):
        queue.add(f"1.2.{number}", "1.2", b"image")
    scans = [queue.start_scan() for _ in range(4)]
    keys = [image.key for image in scans if image]
    assert keys == [*map(key_of, ("1.2.0", "1.2.1", "1.2.2")), key_of("1.2.0")]
    assert [image.scans for image in scans if image] == [1, 1, 1, 2]


def test_an_image_that_two_senders_bring_at_once_is_added_once(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    added = list[bool]()
    second = threading.Thread(target=lambda: added.append(queue.add("1.2.1", "1.2", b"image")))

    def slowly(path: Path, content: bytes) -> None:
        if second.ident is None:
            second.start()
            second.join(2)
        write_atomically(path, content)

    monkeypatch.setattr("microcalc.dicom.queue.write_atomically", slowly)
    added.append(queue.add("1.2.1", "1.2", b"image"))
    second.join()
    assert added == [True, False] and queue.counts() == Counts(1, 0, 0)


def test_what_a_receiver_does_not_take_is_named_and_the_rest_is_sent_once(tmp_path: Path) -> None:
    with (
        archive(classes=[SecondaryCaptureImageStorage]) as pacs,
        node_running(tmp_path, pacs.name, tries=3) as node,
    ):
        store(node.port, make_mammogram())
        assert until(node.queue, lambda: bool(node.queue.parked()))
        assert "does not take" in node.queue.parked()[0].problem
        assert "Mammography CAD SR" in node.queue.parked()[0].problem
        assert [result.Modality for result in pacs.received] == ["OT"]


@pytest.mark.slow
@pytest.mark.parametrize("status", [0x0111, 0xB000, 0xB007, 0xA700])
def test_only_a_duplicate_or_a_warning_of_the_receiver_means_that_it_has_a_result(status: int, tmp_path: Path) -> None:
    with archive(status=status) as pacs, node_running(tmp_path, pacs.name) as node:
        store(node.port, *map(make_mammogram, range(3)))
        if status != 0xA700:
            assert answered(node, 3) and files_of(tmp_path) == []
            return
        assert until(node.queue, lambda: bool(node.queue.parked()))
        assert "status 0xA700" in node.queue.parked()[0].problem and len(files_of(tmp_path)) == 12


def test_a_queue_serves_one_node_and_a_port_too(tmp_path: Path) -> None:
    with node_running(tmp_path, NOWHERE) as node:
        with pytest.raises(RequestError, match="another microcalc is working in it"), node_running(tmp_path, NOWHERE):
            pass
        other = node_running(tmp_path / "other", NOWHERE, port=node.port)
        with pytest.raises(FailedError, match="cannot be listened on"), other:
            pass


def test_files_that_belong_to_nothing_are_deleted_at_the_start(tmp_path: Path) -> None:
    with node_running(tmp_path, NOWHERE) as node:
        store(node.port, make_mammogram())
        kept = files_of(tmp_path)
    (tmp_path / "queue" / "images" / ".x.part").write_bytes(b"half")
    with node_running(tmp_path, NOWHERE):
        assert ".x.part" not in files_of(tmp_path) and kept


def test_a_file_that_is_no_queue_is_refused(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "queue.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(RequestError, match="not the queue of a node"):
        Queue(tmp_path / "queue")


def test_an_image_whose_scan_always_ends_the_node_is_answered_as_not_analyzed(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    queue.add(make_mammogram().SOPInstanceUID, make_mammogram().StudyInstanceUID, objects.encode(make_mammogram()))
    for _ in range(MOST_SCANS):
        queue.start_scan()
    queue.close()
    with archive() as pacs, node_running(tmp_path, pacs.name) as node:
        assert answered(node, 1)
        assert "ended the program several times" in remark(pacs.received[0])


TITLE = "A" * 17 + "@h:1"
WRONG = ["", "ARCHIVE", "ARCHIVE@host", "@host:104", "A@host:0", "A@host:99999", "A\\B@host:1", "ftp://h", TITLE]


@pytest.mark.parametrize("text", [*WRONG, "https://me:secret@host/dicom-web"])
def test_what_is_no_receiver_or_names_a_password_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="netrc" if "secret" in text else "AET@HOST:PORT"):
        destination(text, "MICROCALC", None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bind": "0.0.0.0"}, "calling"),
        ({"bind": "localhost"}, "IP address"),
        ({"ae_title": "x" * 17}, "ae_title"),
        ({"calling": ("Ä",)}, "calling"),
        ({"tls_key": Path("a")}, "all three"),
        ({"port": 70000}, "port"),
        ({"associations": 0}, "associations"),
        ({"disk_gib": float("nan")}, "disk_gib"),
        ({"quiet_s": -1}, "quiet_s"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        NodeSettings(send_to=NOWHERE, **options)


class Certificates:
    """A certificate for localhost, its key and its authority as files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        self.certificate, self.key, self.ca = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        issued.private_key_pem.write_to_path(self.key)
        issued.cert_chain_pems[0].write_to_path(self.certificate)

    @property
    def options(self) -> dict[str, Path]:
        return {"tls_certificate": self.certificate, "tls_key": self.key, "tls_ca": self.ca}

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context


def test_tls_takes_only_peers_of_the_same_authority(tmp_path: Path) -> None:
    ours, theirs = Certificates(tmp_path / "ours"), Certificates(tmp_path / "theirs")
    anonymous = ssl.create_default_context(cafile=ours.ca)
    theirs_trusting_us = theirs.client()
    theirs_trusting_us.load_verify_locations(ours.ca)
    peers = {"plain": None, "anonymous": anonymous, "foreign": theirs_trusting_us, "ours": ours.client()}
    tls, _ = contexts(ours.certificate, ours.key, ours.ca)
    with archive(tls=tls) as pacs, node_running(tmp_path, pacs.name, **ours.options) as node:
        idle = socket.create_connection(("127.0.0.1", node.port))  # says nothing, and must keep no one waiting
        established = {}
        for name, context in peers.items():
            with connected(node.port, tls_args=(context, "localhost") if context else None) as association:
                established[name] = association.is_established
                if association.is_established:
                    association.send_c_store(make_mammogram())
        assert established == {"plain": False, "anonymous": False, "foreign": False, "ours": True}
        assert answered(node, 1) and len(pacs.received) == 4
        idle.close()


def test_missing_or_wrong_tls_files_are_named(tmp_path: Path) -> None:
    files = Certificates(tmp_path / "ours")
    with pytest.raises(RequestError, match="is missing"):
        contexts(tmp_path / "none.pem", files.key, files.ca)
    with pytest.raises(RequestError, match="are not a PEM certificate"):
        contexts(files.key, files.certificate, files.ca)


def test_nothing_that_the_node_says_or_names_identifies_the_patient(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    with (
        archive(classes=[SecondaryCaptureImageStorage]) as pacs,
        node_running(tmp_path, pacs.name, lines=lines) as node,
    ):
        store(node.port, make_mammogram(), make_mammogram(1, Modality="CT"), make_mammogram(2, PatientSex="XYZ"))
        assert until(node.queue, lambda: bool(node.queue.parked()))
        names = str([*(tmp_path / "queue").rglob("*")])
        database = b"".join(path.read_bytes() for path in (tmp_path / "queue").glob("queue.sqlite*"))
    said = str(lines) + names + str(capfd.readouterr()) + database.decode("latin-1")
    assert "ller" not in said and "TEST0" not in said
