"""``scan --dicom`` and ``node`` on the command line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom.made import make_mammogram, remark, write_mammogram

from microcalc.cli import main
from microcalc.dicom.queue import Queue


def test_status_needs_a_queue_and_lists_what_is_parked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["node", "--status", "--queue", str(tmp_path)])
    assert "holds no queue" in capsys.readouterr().err
    queue = Queue(tmp_path / "queue")
    queue.add("1.2.3.4", "1.2.3", b"image")
    queue.park("1.2.3", "PACS@host:104: cannot be reached")
    queue.close()
    main(["node", "--status", "--queue", str(tmp_path / "queue")])
    said = capsys.readouterr().out
    assert "1 images wait to be scanned" in said
    assert "parked: study 1.2.3, 1 images: PACS@host:104: cannot be reached" in said


@pytest.mark.slow
def test_scan_writes_dicom_results_also_of_what_it_could_not_scan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(500, 600, (1100, 900), dtype=np.uint16).tobytes()
    files = [
        write_mammogram(tmp_path / "large.dcm", Rows=1100, Columns=900, PixelData=pixels, ViewCodeSequence=None),
        write_mammogram(tmp_path / "small.dcm", number=1),
    ]
    with pytest.raises(SystemExit, match="1"):
        main(["scan", *map(str, files), "--out", str(tmp_path / "out"), "--dicom"])
    written = {path.name: pydicom.dcmread(path) for path in (tmp_path / "out" / "dicom").iterdir()}
    assert sorted(written) == ["large.pr.dcm", "large.sc.dcm", "large.sr.dcm", "small.sr.dcm"]
    assert "Not analyzed: no breast found" in remark(written["small.sr.dcm"])
    assert "large.dcm: The image does not state its view." in capsys.readouterr().out
    assert written["large.sr.dcm"].StudyInstanceUID == make_mammogram().StudyInstanceUID


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("pynetdicom", ["node", "--send-to", "PACS@localhost:104"]),
        ("dicomweb_client", ["node", "--send-to", "http://localhost"]),
        ("highdicom", ["scan", ".", "--out", "found", "--dicom"]),
    ],
)
def test_a_missing_package_of_the_extra_is_one_line(package: str, command: list[str], tmp_path: Path) -> None:
    write_mammogram(tmp_path / "a.dcm")
    program = f"import sys; sys.modules[{package!r}] = None; from microcalc.cli import main; main({command})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == f'microcalc: the package {package} is missing; install it: pip install ".[dicom]"\n'
    assert done.returncode == 2 and [path.name for path in tmp_path.iterdir()] == ["a.dcm"]
