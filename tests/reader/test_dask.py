"""Workers of a Dask scheduler: what is killed, what fails, and that each file has one result in the end."""

import http.server
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from distributed import Client
from reader.dask_processes import DaskProcesses, once
from reader.tasks import PoisonedTask

from microcalc.cli import main
from microcalc.data.phantom import make_phantom
from microcalc.errors import RequestError
from microcalc.reader import content, executor, run
from microcalc.reader.executor import dask_client, in_this_process, on_dask
from microcalc.reader.inputs import find_inputs
from microcalc.reader.run import read_files
from microcalc.reader.store import Entry, Store
from microcalc.reader.tasks import PredictTask, Task

pytestmark = pytest.mark.slow
COPIES = 24


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    processes = DaskProcesses(tmp_path_factory.mktemp("dask"), deaths=1)
    processes.start_worker()
    processes.await_workers(1)
    yield processes
    processes.end()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patches, and a manifest that names them."""
    folder = tmp_path_factory.mktemp("patches")
    images, _, _, _ = make_phantom(patients=8, patches_per_patient=6, seed=0)
    for number, image in enumerate([*images] * COPIES):
        content = b"P5 60 60 255\n" + (255 * image).round().astype("uint8").tobytes()
        (folder / f"{number:04}.pgm").write_bytes(content)
    (folder / "files.txt").write_text("".join(f"{path.name}\n" for path in sorted(folder.glob("*.pgm"))))
    return folder


def read(task: Task, names: list[str], out: Path, client: Client | None = None) -> dict[str, Entry]:
    """Work on files as a command does; the entries of its store, by name."""
    manifest = out.with_suffix(".txt")
    manifest.write_text("\n".join(names))
    inputs = find_inputs([], manifest)
    with Store.opened(out, task.settings()) as store:
        read_files(task, inputs, store, executor=in_this_process if client is None else on_dask(client))
        return {inputs.names[entry.file]: entry for entry in store.entries()}


def test_a_killed_worker_costs_nothing_and_a_killed_scheduler_one_line_after_which_the_same_command_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    dask, out = DaskProcesses(tmp_path, deaths=4), tmp_path / "out"
    command = ["predict", "--manifest", "files.txt", "--out", str(out), "--scheduler", dask.address, "-q"]
    monkeypatch.chdir(folder)

    def done() -> int:
        return (out / "results.jsonl").read_bytes().count(b"\n") if (out / "results.jsonl").exists() else 0

    def kill() -> None:
        dask.kill(first)
        dask.kill(dask.scheduler)

    try:
        first, _ = (dask.start_worker("--no-nanny") for _ in range(2))
        dask.await_workers(2)
        with once(lambda: done() > 1, kill), pytest.raises(SystemExit, match="1"):
            main(command)
        errors = capfd.readouterr().err
        assert errors.count("\n") == 1
        assert "the Dask scheduler is gone; what is finished is kept: start it and run the same command again" in errors
        assert 1 < done() < 48 * COPIES
        dask.start_scheduler()
        dask.start_worker("--no-nanny")
        dask.await_workers(1)
        main(command)
        assert capfd.readouterr().err == ""
    finally:
        dask.end()
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()[1:]]
    names = (folder / "files.txt").read_text().split()
    assert Counter(Path(line["file"]).name for line in lines) == Counter(names)
    predictions = json.loads((out / "predictions.json").read_text())["predictions"]
    assert [each["file"] for each in predictions] == names
    assert predictions[:48] == [{**each, "file": name} for each, name in zip(predictions[-48:], names, strict=False)]


def test_a_file_that_ends_its_workers_fails_alone_and_the_others_are_done(
    folder: Path, dask: DaskProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    names = [f"{number:04}.pgm" for number in range(30)]
    (folder / "poison.pgm").write_bytes((folder / names[0]).read_bytes())
    with dask_client(dask.address, None) as client:
        entries = read(PoisonedTask.of(), [*names[:9], "poison.pgm", *names[9:]], tmp_path / "out", client)
    (folder / "poison.pgm").unlink()
    failed = entries.pop("poison.pgm")
    assert failed.reason.startswith("every worker that took it ended") and not failed.transient
    assert len(entries) == 30 and all(entry.result for entry in entries.values())


def test_workers_give_the_results_of_this_process(
    folder: Path, dask: DaskProcesses, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(folder)
    names, task = [f"{number:04}.pgm" for number in range(20)], PredictTask.of()
    here = read(task, [*names, "missing.pgm"], tmp_path / "here")
    with dask_client(dask.address, None) as client:
        there = read(task, [*names, "missing.pgm"], tmp_path / "there", client)
    assert there["missing.pgm"] == here["missing.pgm"] and there.keys() == here.keys()
    for name in names:
        one, other = here[name].result or {}, there[name].result or {}
        assert one.keys() == other.keys() and here[name].sha256 == there[name].sha256
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)


def test_a_worker_with_another_version_or_committee_is_refused(
    folder: Path, dask: DaskProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = PredictTask(committee_sha256="0" * 64)
    with (
        dask_client(dask.address, None) as client,
        pytest.raises(RequestError, match="is another committee on a worker"),
    ):
        read(task, [str(folder / "0000.pgm")], tmp_path / "out", client)
    monkeypatch.setattr(executor, "__version__", "9.9")
    with (
        pytest.raises(RequestError, match=r"has microcalc .*, this command 9.9; install the same there"),
        dask_client(dask.address, None),
    ):
        pass


def test_workers_keep_freed_memory_for_the_next_batch(folder: Path, dask: DaskProcesses, tmp_path: Path) -> None:
    def pages_taken() -> int:
        import resource

        import numpy as np

        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(100):
            np.ones(2**20, np.uint8)  # 256 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    with dask_client(dask.address, None) as client:
        read(PredictTask.of(), [str(folder / "0000.pgm")], tmp_path / "out", client)
        assert min(client.run(pages_taken).values()) < 5 * 256


def test_no_scheduler_at_the_address_is_one_line(folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(executor, "FIRST_ANSWER_SECONDS", 0.5)
    for options, problem in (
        (["--scheduler", "tcp://127.0.0.1:9"], "tcp://127.0.0.1:9: no Dask scheduler answers there"),
        (["--scheduler", "nonsense://x"], "nonsense://x: no Dask scheduler answers there"),
        (["--scheduler", "tcp://127.0.0.1:9", "--workers", "2"], "cannot both be given"),
        (["--workers", "0"], "workers must be at least 1: got 0"),
    ):
        with pytest.raises(SystemExit) as leaving:
            main(["predict", str(folder / "0000.pgm"), "--out", str(tmp_path / "out"), *options])
        error = capsys.readouterr().err
        assert leaving.value.code == 2 and error.count("\n") == 1 and problem in error
    assert not (tmp_path / "out").exists()


def test_local_workers_have_no_profiler_and_do_what_a_command_asks(folder: Path, tmp_path: Path, capsys) -> None:
    with dask_client(None, 1) as client:
        assert client is not None
        (callbacks,) = client.run(lambda dask_worker: set(dask_worker.periodic_callbacks)).values()
    assert "heartbeat" in callbacks and "profile" not in callbacks
    files = [str(path) for path in sorted(folder.glob("000?.pgm"))]
    main(["predict", *files, "--csv", str(tmp_path / "p.csv"), "--workers", "1"])
    printed = capsys.readouterr().out
    assert "Dask's dashboard: http://127.0.0.1:" in printed and "10 patches, " in printed
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 11


class Server(http.server.ThreadingHTTPServer):
    """Serves one patch under many names, after as many refusals as a name says."""

    patch: bytes
    requests: Counter[str]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        if self.path.startswith("/gone"):
            self.send_error(404)
            return
        if self.server.requests[self.path] <= int(self.path.rpartition("-")[2]):
            self.send_error(503)
            return
        self.send_response(200)
        patch = bytes(100_001) if self.path.startswith("/large") else self.server.patch
        self.send_header("Content-Length", str(len(patch)))
        self.end_headers()
        self.wfile.write(patch)

    def log_message(self, *_: object) -> None:
        pass


def test_urls_are_tried_again_where_the_server_may_answer_at_another_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(content, "LARGEST_FILE", 100_000)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.patch, server.requests = (folder / "0000.pgm").read_bytes(), Counter()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        names = [f"{url}/{name}" for name in ("once-0", "busy-2", "down-999", "gone-0", "large-0")]
        entries: dict[str, Any] = read(PredictTask.of(), names, tmp_path / "out")
        server.requests["/down-999"] = 1000
        again = read(PredictTask.of(), names, tmp_path / "out")
        server.shutdown()
    once, busy, down, gone, large = names
    assert entries[once].result == entries[busy].result is not None
    assert "503" in entries[down].reason and entries[down].transient
    assert entries[gone].reason.startswith("does not exist") and not entries[gone].transient
    assert "too many for one image" in entries[large].reason and not entries[large].transient
    assert again[down].result == entries[once].result and again[gone] == entries[gone]
    assert [server.requests[f"/{name}"] for name in ("once-0", "busy-2", "down-999")] == [1, 3, 1001]
