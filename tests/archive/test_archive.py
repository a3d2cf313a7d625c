"""Archives on a real cluster: what is killed, what fails, and that each file has one row in the end."""

import http.server
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

pytest.importorskip("distributed")

import PIL.Image
import pyarrow.parquet as pq
from archive.dask_processes import DaskProcesses, await_file
from archive.poisoned import PoisonedTask
from distributed import Future

from microcalc.archive import cluster, work
from microcalc.archive.cluster import Cluster
from microcalc.archive.folder import archive_status
from microcalc.archive.task import Outcome, PredictTask, ScanTask
from microcalc.archive.work import ArchiveProgress, run_archive
from microcalc.cli import main
from microcalc.committee.committee import Committee
from microcalc.committee.predictions import plain_row, predict_files
from microcalc.data.phantom import make_phantom
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.errors import FailedError, RequestError
from microcalc.mammograms.scanner import scan_image

pytestmark = pytest.mark.slow
SPELLINGS = ("", "./", "././", "./././", "../{here}/")
"""Ways to write one path: as many names as files, each of which is to have a row of its own."""


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    processes = DaskProcesses(tmp_path_factory.mktemp("dask"), deaths=1)
    processes.start_worker()
    processes.start_worker()
    yield processes
    processes.end()


@pytest.fixture
def there(dask: DaskProcesses, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(work, "PAUSE_SECONDS", 0.1)
    return Cluster(dask.address, say=lambda line: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some patches, and a manifest that names each of them in several ways."""
    folder = tmp_path_factory.mktemp("archive")
    images, _, _, _ = make_phantom(patients=8, patches_per_patient=6, seed=0)
    for number, image in enumerate(images):
        write_pgm(folder / f"{number:02}.pgm", image)
    spellings = [spelling.format(here=folder.name) for spelling in SPELLINGS]
    names = [f"{spelling}{number:02}.pgm" for spelling in spellings for number in range(len(images))]
    (folder / "manifest.txt").write_text("\n".join(names) + "\n")
    return folder


def write_pgm(path: Path, image) -> None:
    path.write_bytes(b"P5 60 60 255\n" + (255 * image).round().astype("uint8").tobytes())


def names_in(out: Path) -> list[str]:
    return pq.read_table(out / "results").column("file").to_pylist()


def failures_in(out: Path) -> dict[str, tuple[str, int]]:
    rows = pq.read_table(out / "failures.parquet").to_pylist()
    return {row["file"]: (row["reason"], row["tries"]) for row in rows}


def test_a_killed_worker_and_a_restarted_scheduler_leave_each_file_with_one_row(folder: Path, tmp_path: Path) -> None:
    dask = DaskProcesses(tmp_path, deaths=4)
    try:
        first, _ = dask.start_worker(), dask.start_worker()
        command = ["predict", "--manifest", "manifest.txt", "--out", str(tmp_path / "out"), "--cluster", dask.address]
        call = [sys.executable, "-m", "microcalc", *command]
        archive = subprocess.Popen(call, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        await_file("out/results/*.parquet", tmp_path, archive)
        dask.kill(first)
        dask.kill(dask.scheduler)
        assert archive.poll() is None, "it ended before anything was killed"
        dask.start_scheduler()
        dask.start_worker()
        output, errors = archive.communicate(timeout=240)
    finally:
        dask.end()
    assert (archive.returncode, errors) == (0, "")
    assert "the scheduler is gone; waiting for it" in output
    manifest = (folder / "manifest.txt").read_text().split()
    assert Counter(names_in(tmp_path / "out")) == Counter(manifest)
    assert failures_in(tmp_path / "out") == {}


def test_rows_are_those_of_predict(folder: Path, there: Cluster, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    names = [f"{number:02}.pgm" for number in range(20)]
    run_archive(PredictTask(), names, tmp_path / "out", there)
    rows = {row["file"]: row for row in pq.read_table(tmp_path / "out" / "results").to_pylist()}
    assert list(rows) and rows.keys() == set(names)
    for each in predict_files(Committee.pretrained(), [Path(name) for name in names]):
        expected = plain_row(each)
        found = rows[str(each.file)]
        assert found.keys() == expected.keys()
        numbers = [name for name, value in expected.items() if isinstance(value, float)]
        assert [found[name] for name in numbers] == pytest.approx([expected[name] for name in numbers], abs=1e-6)
        assert all(found[name] == expected[name] for name in expected.keys() - set(numbers))


def test_a_second_start_does_only_what_is_missing(folder: Path, there: Cluster, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    out = tmp_path / "out"
    names = [f"{number:02}.pgm" for number in range(12)]
    run_archive(PredictTask(), names[:5], out, there)
    before = {path: path.stat().st_mtime_ns for path in (out / "results").iterdir()}
    done: list[ArchiveProgress] = []
    run_archive(PredictTask(), [*names, "missing.pgm"], out, there, done.append)
    assert done[0].done == 5
    assert Counter(names_in(out)) == Counter(names)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert failures_in(out) == {"missing.pgm": ("does not exist; check its name and folder", 1)}
    end = run_archive(PredictTask(), [*names, "missing.pgm"], out, there, done.append)
    assert (end.done, end.failed, end.total) == (12, 1, 13)
    assert failures_in(out)["missing.pgm"][1] == 1  # a name that does not exist is not tried again
    status = archive_status(out)
    assert (status.kind, status.names, status.done, status.failed, status.left) == ("predict", 13, 12, 1, 0)
    assert not status.running


class Server(http.server.ThreadingHTTPServer):
    """Serves one patch under many names, after as many refusals as a name says."""

    patch: bytes
    requests: Counter[str]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        refusals = int(self.path.rpartition("-")[2])
        if self.path.startswith("/gone"):
            self.send_error(404)
        elif self.server.requests[self.path] <= refusals:
            self.send_error(503)
        elif self.path.startswith("/large"):
            self.send_response(200)
            self.send_header("Content-Length", str(2**40))
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.patch)))
            self.end_headers()
            self.wfile.write(self.server.patch)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.patch, server.requests = (folder / "00.pgm").read_bytes(), Counter()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_only_what_may_pass_is_tried_again_and_so_often(there: Cluster, server: Server, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    broken = str(tmp_path / "broken.png")
    at_once, busy, down, gone, large = (
        f"{url}/{name}" for name in ("once-0", "busy-2", "down-999", "gone-0", "large-0")
    )
    names = [at_once, busy, down, gone, large, broken]
    end = run_archive(PredictTask(), names, tmp_path / "out", there)
    assert (end.done, end.failed) == (2, 4)
    assert set(names_in(tmp_path / "out")) == {at_once, busy}
    failures = failures_in(tmp_path / "out")
    assert {name: tries for name, (_, tries) in failures.items()} == {down: 3, gone: 1, large: 1, broken: 1}
    assert "503" in failures[down][0]
    assert failures[gone][0].startswith("does not exist")
    assert "too many for one image" in failures[large][0]
    assert str(tmp_path) not in failures[broken][0]
    server.requests["/down-999"] = 1000
    run_archive(PredictTask(), names, tmp_path / "out", there)
    assert len(names_in(tmp_path / "out")) == 3 and failures_in(tmp_path / "out").keys() == {gone, large, broken}


def test_a_file_that_ends_its_workers_is_a_failure_and_the_others_are_done(
    folder: Path, there: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of eight, so that files that are tried alone wait behind the bad one on the same worker."""
    monkeypatch.chdir(folder)
    names = ["poison.pgm", *(folder / "manifest.txt").read_text().split()[:63]]
    end = run_archive(PoisonedTask(), names, tmp_path / "out", there)
    assert (end.done, end.failed) == (63, 1)
    assert Counter(names_in(tmp_path / "out")) == Counter(names[1:])
    assert failures_in(tmp_path / "out")["poison.pgm"][0].startswith("every worker that took it ended")


def test_a_result_that_is_lost_with_the_scheduler_is_fetched_again(
    folder: Path, there: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    fetch, losses = Future.result, [CancelledError(), OSError("Stream is closed")]

    def lose_twice(future: Future) -> Outcome:
        if losses:
            raise losses.pop()
        return fetch(future)

    monkeypatch.setattr(Future, "result", lose_twice)
    names = [f"{number:02}.pgm" for number in range(5)]
    end = run_archive(PredictTask(), names, tmp_path / "out", there)
    assert losses == [] and end.done == 5
    assert Counter(names_in(tmp_path / "out")) == Counter(names)


def test_mammograms_have_the_findings_of_scan(there: Cluster, tmp_path: Path) -> None:
    made = iter_phantom_mammograms(20, difficulty=0.0, seed=5, field_mm=(110, 70), pixel_size_mm=0.1)
    image = tmp_path / "phantom.png"
    PIL.Image.fromarray(next(each for each in made if len(each.clusters) == 2).pixels).save(image)
    end = run_archive(ScanTask(pixel_size_mm=0.1), [str(image)], tmp_path / "out", there)
    assert end.done == 1
    (row,) = pq.read_table(tmp_path / "out" / "results").to_pylist()
    expected = scan_image(image, 0.1).to_dict()
    assert row["file"] == str(image) and row.keys() == expected.keys()
    assert len(row["findings"]) == len(expected["findings"]) > 0
    for found, finding in zip(row["findings"], expected["findings"], strict=True):
        assert found["box_px"] == list(finding["box_px"])
        assert found["calcifications_px"] == [list(point) for point in finding["calcifications_px"]]
        assert found["probability"] == pytest.approx(finding["probability"], abs=1e-4)


def test_a_worker_with_another_version_or_committee_is_refused(there: Cluster, tmp_path: Path, monkeypatch) -> None:
    changed = PredictTask(committee=str(Path(cluster.__file__).parents[1] / "pretrained"), committee_sha256="0" * 64)
    with pytest.raises(RequestError, match="is another committee on a worker"):
        run_archive(changed, ["a.pgm"], tmp_path / "other", there)
    monkeypatch.setattr(cluster, "__version__", "9.9")
    with pytest.raises(RequestError, match=r"has microcalc .*, this command 9.9; install the same there"):
        run_archive(PredictTask(), ["a.pgm"], tmp_path / "out", there)


def test_workers_keep_freed_memory_for_the_next_batch(there: Cluster, tmp_path: Path) -> None:
    def pages_taken() -> int:
        import resource

        import numpy as np

        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(100):
            np.ones(2**20, np.uint8)  # 256 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    run_archive(PredictTask(), ["a.pgm"], tmp_path / "out", there)
    with there.connect() as client:
        assert min(client.run(pages_taken).values()) < 5 * 256


def test_a_scheduler_that_stays_away_ends_the_command_and_keeps_what_is_finished(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(cluster, "FIRST_ANSWER_SECONDS", 0.5)
    with pytest.raises(FailedError, match="what is finished is kept"):
        Cluster("tcp://127.0.0.1:9", say=lambda line: None).connect_again()


def test_no_scheduler_at_the_address_is_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(cluster, "FIRST_ANSWER_SECONDS", 0.5)
    (tmp_path / "manifest.txt").write_text("a.pgm\n")
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(SystemExit) as leaving:
            out = str(tmp_path / "out")
            main(["predict", "--manifest", str(tmp_path / "manifest.txt"), "--out", out, "--cluster", address])
        error = capsys.readouterr().err
        assert leaving.value.code == 2 and error.count("\n") == 1
        assert f"{address}: no Dask scheduler answers there" in error


def test_a_committee_without_a_second_opinion_is_told_with_a_manifest_too(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(cluster, "FIRST_ANSWER_SECONDS", 0.5)
    monkeypatch.chdir(tmp_path)
    Path("manifest.txt").write_text("a.png\n")
    shutil.copytree(Path(cluster.__file__).parents[1] / "pretrained", "committee", ignore=lambda *_: ["scan"])
    with pytest.raises(SystemExit):
        options = ["--manifest", "manifest.txt", "--out", "out", "--cluster", "tcp://127.0.0.1:9"]
        main(["scan", "--committee", "committee", *options])
    assert "committee: no second_opinion.json beside this committee" in capsys.readouterr().out


def test_local_workers_have_no_profiler_that_fills_their_memory() -> None:
    with cluster.started(None, 1, say=lambda line: None) as local, local.connect() as client:
        (callbacks,) = client.run(lambda dask_worker: set(dask_worker.periodic_callbacks)).values()
    assert "heartbeat" in callbacks and "profile" not in callbacks


def test_local_workers_do_an_archive_from_the_command_line(folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    out = str(tmp_path / "out")
    main(["predict", "--manifest", "manifest.txt", "--out", out, "--workers", "1"])
    printed = capsys.readouterr().out
    assert "Dask's dashboard: http://127.0.0.1:" in printed and "240 files done" in printed
    main(["archive", "status", out])
    assert "predict: 240 of 240 files done, 0 failed" in capsys.readouterr().out
