"""``scan --dicom`` and ``node`` on the command line."""

import subprocess
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom.made import make_mammogram, make_overlay, remark, write_mammogram
from pydicom.uid import UltrasoundImageStorage

from microcalc.cli import main
from microcalc.dicom.queue import Queue


def test_status_needs_a_queue_and_lists_what_is_parked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["node", "--status", "--queue", str(tmp_path)])
    assert "holds no queue" in capsys.readouterr().err
    queue = Queue(tmp_path / "queue")
    queue.add("1.2.3.4", "1.2.3", b"image")
    queue.postpone("1.2.3", "PACS@host:104: cannot be reached")
    queue.close()
    main(["node", "--status", "--queue", str(tmp_path / "queue")])
    said = capsys.readouterr().out
    assert "1 images wait to be scanned" in said
    assert "parked: study 1.2.3, 1 images: PACS@host:104: cannot be reached" in said


def large(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Options of a mammogram that is large enough to be scanned."""
    pixels = np.random.default_rng(number).integers(500, 600, (900, 1100), dtype=np.uint16).tobytes()
    return {"number": number, "Rows": 900, "Columns": 1100, "PixelData": pixels, **changes}


def scan_to(out: Path, *files: Path) -> dict[str, bytes]:
    """The DICOM results of a scan by name; the scan may fail."""
    with suppress(SystemExit):
        main(["scan", *map(str, files), "--out", str(out), "--dicom"])
    return {path.name: path.read_bytes() for path in sorted((out / "dicom").iterdir())}


@pytest.mark.slow
def test_scan_writes_dicom_results_also_of_what_it_could_not_scan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        write_mammogram(tmp_path / "large.dcm", **large(ViewCodeSequence=None)),
        write_mammogram(tmp_path / "small.dcm", number=1),
        write_mammogram(tmp_path / "ultrasound.dcm", number=2, Modality="US", SOPClassUID=UltrasoundImageStorage),
    ]
    written = scan_to(tmp_path / "out", *files)
    assert list(written) == ["large.pr.dcm", "large.sc.dcm", "large.sr.dcm", "small.sr.dcm"]
    assert "Not analyzed: would be 32 x 15 mm" in remark(pydicom.dcmread(BytesIO(written["small.sr.dcm"])))
    said = capsys.readouterr().out
    assert "large.dcm: The image does not state its view." in said
    assert "ultrasound.dcm: No DICOM results: is no mammogram" in said
    assert pydicom.dcmread(BytesIO(written["large.sr.dcm"])).StudyInstanceUID == make_mammogram().StudyInstanceUID
    assert scan_to(tmp_path / "out", *files) == scan_to(tmp_path / "again", *files) == written


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_scanned_has_the_results_of_one_state_and_then_of_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_mammogram(tmp_path / "a.dcm", **large())

    def changed(*options: Any) -> bytes:
        write_mammogram(file, **large(1, PatientName="Other^Jane"))
        return make_overlay()

    with monkeypatch.context() as patch:
        patch.setattr("microcalc.reader.tasks.draw_overlay", changed)
        before = scan_to(tmp_path / "out", file)
    after = scan_to(tmp_path / "out", file)
    reports = [pydicom.dcmread(BytesIO(written["a.sr.dcm"])) for written in (before, after)]
    assert [report.PatientName for report in reports] == [make_mammogram().PatientName, "Other^Jane"]


@pytest.mark.slow
def test_missing_dicom_results_end_a_scan_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_mammogram(tmp_path / "a.dcm", **large(StudyInstanceUID=None))
    with pytest.raises(SystemExit, match="1"):
        main(["scan", str(file), "--out", str(tmp_path / "out"), "--dicom"])
    said = capsys.readouterr()
    assert "No DICOM results: lacks StudyInstanceUID" in said.out
    assert said.err == "microcalc: 1 of 1 files have no DICOM results, as listed above\n"


@pytest.mark.slow
def test_a_missing_package_of_the_extra_is_one_line(tmp_path: Path) -> None:
    command = ["node", "--send-to", "PACS@localhost:104"]
    program = f"import sys; sys.modules['pynetdicom'] = None; from microcalc.cli import main; main({command})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == 'microcalc: the package pynetdicom is missing; install it: pip install ".[dicom]"\n'
    assert done.returncode == 2 and not list(tmp_path.iterdir())
