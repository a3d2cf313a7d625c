"""Studies that are killed, interrupted or starved of disk: what stays, and that going on ends where it would have."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from microcalc.cli import main

pytestmark = pytest.mark.slow

SETTINGS = [
    *("run", "--data", "patches", "--external", "none", "--test", "none", "--folds", "3", "--gradcam", "1"),
    *("--dim", "2", "3", "--depth", "1", "--dropout", "0.0", "--searching-fraction", "1"),
    *("--search-epochs", "2", "--epochs", "2"),
]
KILLS = 4
SHARED_MEMORY = Path("/dev/shm")
LIMIT = 60  # s; for a busy machine, not an expectation: what it took is printed

NURSERY = """
import json, os, sys
import microcalc.model
from microcalc.cli import main
from microcalc.explain import drawing
white = drawing.png(drawing.Figure((1, 1)))
drawing.png = lambda figure: white
for line in sys.stdin:
    log, *arguments = json.loads(line)
    study = os.fork()
    if not study:
        os.setsid()
        output = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(output, 1), os.dup2(output, 2)
        main(arguments)
        sys.exit()
    print(study, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(study, 0)[1]), flush=True)
"""


@dataclass
class Study:
    """A study under way in a process of its own, ready to be killed."""

    process: psutil.Process
    out: Path
    log: Path
    answers: Any

    def await_work(self) -> None:
        """Return once the study holds its run directory."""
        while not (self.out / ".lock").exists() and self.process.is_running():
            time.sleep(0.01)

    def goes_on_for(self, seconds: float) -> bool:
        """Wait, and say whether the study has not ended before."""
        with contextlib.suppress(psutil.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE

    def running(self) -> list[psutil.Process]:
        """The study and all processes that it has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [self.process, *self.process.children(recursive=True)]
        return []

    def exit_code(self) -> int:
        """How the study ended, once it has."""
        return int(self.answers.readline())


class Nursery:
    """Starts studies without the seconds that importing PyTorch takes: each is a fork of one process that has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY], cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def start(self, out: str, *more: str) -> Study:
        """Start a study in a run directory."""
        log = self.folder / f"{out}.log"
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(log), *SETTINGS, "--out", out, *more]) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        return Study(psutil.Process(pid), self.folder / out, log, self.process.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    main(["phantom", "--out", str(folder / "patches"), "--patients", "24", "-q"])
    return folder


@pytest.fixture(scope="module")
def nursery(folder: Path) -> Iterator[Nursery]:
    nursery = Nursery(folder)
    yield nursery
    nursery.process.stdin.close()
    nursery.process.wait(30)


@dataclass
class Whole:
    """A study that nothing interrupted, and its seconds of work."""

    out: Path
    seconds: float


@pytest.fixture(scope="module")
def whole(nursery: Nursery) -> Whole:
    study = nursery.start("whole", "--jobs", "1")
    study.await_work()
    start = time.monotonic()
    assert study.exit_code() == 0, study.log.read_text()
    return Whole(study.out, time.monotonic() - start)


def results(out: Path) -> tuple[dict[str, Any], bytes, bytes]:
    """All that a study finds out, timing aside."""
    metrics = json.loads((out / "metrics.json").read_text())
    return {**metrics, "timing": None}, (out / "predictions.csv").read_bytes(), (out / "folds.csv").read_bytes()


def stage(out: Path) -> str:
    """How far a study is, by what it has left."""
    kinds = {
        "trials": "search/fold_*/trial_*.json",
        "experts": "search/fold_*/history.json",
        "committees": "committee/committee.json",
        "tables": "*.csv",
        "figures": "figures/*.png",
    }
    return ", ".join(f"{len(list(out.glob(pattern)))} {name}" for name, pattern in kinds.items())


def assert_gone(processes: list[psutil.Process]) -> None:
    """Neither process nor shared memory of a study is left soon."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        left = [process for process in processes if process.is_running() and process.status() != "zombie"]
        files = [path.name for path in SHARED_MEMORY.glob(f"*[-_]{processes[0].pid}[-_]*")]
        if not left and not files:
            return
        time.sleep(0.05)
    raise AssertionError(f"left after {LIMIT} s: {left} {files}")


def kill(study: Study) -> list[psutil.Process]:
    """Kill a study's own process alone, as the system does where memory runs out, and give all that ran."""
    study.process.suspend()
    running = study.running()
    study.process.kill()
    return running


def test_a_study_killed_at_random_moments_ends_as_one_never_interrupted(
    nursery: Nursery, whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = random.Random(6)
    killed = started = 0
    while killed < KILLS:
        turn = killed % 4  # of a study: twice early, in its trials, then with two processes, then late
        jobs = "2" if turn == 2 else "1"
        share = moments.random() * (0.1, 0.2, 1.2, 0.7)[turn]
        out = f"killed_{killed // 4}_{started}"
        study = nursery.start(out, "--jobs", jobs, "--resume")
        study.await_work()
        if study.goes_on_for(share * whole.seconds):
            assert_gone(kill(study))
            assert study.exit_code() == -signal.SIGKILL, study.log.read_text()
            killed += 1
            outcome = stage(study.out)
        else:
            assert study.exit_code() == 0, study.log.read_text()
            assert results(study.out) == results(whole.out)
            started += 1
            outcome = "ended before, with the same results"
        with capsys.disabled():
            print(f"\n{out} --jobs {jobs}, {share * whole.seconds:5.2f} s: {outcome}", end="")
    for out in whole.out.parent.glob("killed_*/"):
        study = nursery.start(out.name, "--jobs", "1", "--resume")
        assert study.exit_code() == 0, study.log.read_text()
        assert results(study.out) == results(whole.out)


WHERE = {"the process": os.kill, "its group": os.killpg}


@pytest.mark.parametrize(
    ("jobs", "to", "which"),
    [
        ("1", "the process", signal.SIGTERM),
        ("1", "its group", signal.SIGINT),
        ("2", "the process", signal.SIGINT),
        ("2", "its group", signal.SIGTERM),
    ],
)
def test_ctrl_c_and_a_polite_kill_end_at_once_leave_nothing_behind_and_say_how_to_go_on(
    jobs: str, to: str, which: signal.Signals, nursery: Nursery, whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    share = 0.6 * random.Random(f"{jobs} {to} {which}").random()
    study = nursery.start(f"interrupted_{jobs}_{to}_{which.name}".replace(" ", "_"), "--jobs", jobs, "-q")
    study.await_work()
    if not study.goes_on_for(share * whole.seconds) or (study.out / "report.html").exists():
        assert study.exit_code() == 0  # too late to interrupt: its work is done, or only leaving is left
        return
    running = study.running()
    start = time.monotonic()
    WHERE[to](study.process.pid, which)
    code = study.exit_code()
    seconds = time.monotonic() - start
    with capsys.disabled():
        print(f"\n--jobs {jobs}, {which.name} to {to} at {share * whole.seconds:.2f} s: {seconds:.2f} s", end="")
    assert study.log.read_text() == (
        f"microcalc: interrupted; what is finished is kept: go on with --resume --out {study.out.name}\n"
    )
    assert code == 1
    assert seconds < LIMIT
    assert_gone(running)
    assert not [path.name for path in study.out.rglob(".*")]


def test_a_worker_killed_by_the_system_ends_the_study_in_one_line(nursery: Nursery, whole: Whole) -> None:
    study = nursery.start("bereft", "--jobs", "2", "-q")
    while not list(study.out.glob("search/fold_*/.search.progress.part")):
        time.sleep(0.01)
    running = study.running()
    worker = next(process for process in running[1:] if "--pipe" in process.cmdline())
    worker.kill()
    assert study.exit_code() == 1
    told = study.log.read_text()
    assert told.startswith("microcalc: a worker process was ended from outside") and "resume" in told
    assert told.count("\n") == 1
    assert_gone(running)
    study = nursery.start("bereft", "--jobs", "1", "-q", "--resume")
    assert study.exit_code() == 0
    assert results(study.out) == results(whole.out)


def test_ctrl_c_while_libraries_are_imported_is_one_line(folder: Path) -> None:
    moments = random.Random(7)
    for _ in range(2):
        study = subprocess.Popen(
            [sys.executable, "-c", "from microcalc.cli import main; main()", *SETTINGS, "--out", "early", "--resume"],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        process = psutil.Process(study.pid)
        while not any("libtorch" in mapped.path for mapped in process.memory_maps()):
            time.sleep(0.01)
        time.sleep(moments.random())
        study.send_signal(signal.SIGINT)
        _, told = study.communicate(timeout=LIMIT)
        assert told == "microcalc: interrupted; what is finished is kept: go on with --resume --out early\n"
        assert study.returncode == 1


DROPPED = """
import signal, time
from microcalc.cli import Audit, main
class Finaliser:
    def __del__(self): signal.raise_signal(signal.SIGINT)
def audit(*_):
    Finaliser()
    time.sleep(1000)
def imports(*_):
    try: signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt: raise ImportError("numpy failed to import") from None
Audit.run = {}
main(["audit"])
"""


def test_ctrl_c_in_an_import_that_would_abort_on_it_is_one_line(tmp_path: Path) -> None:
    aborting = "import os, signal\ntry: signal.raise_signal(signal.SIGINT)\nexcept BaseException: os.abort()\n"
    (tmp_path / "aborting.py").write_text(aborting)
    code = "from microcalc.cli import Audit, main\ndef audit(*_): import aborting\nAudit.run = audit\nmain(['audit'])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT)
    assert (answer.returncode, answer.stderr) == (1, "microcalc: interrupted\n")


@pytest.mark.parametrize("kind", ["audit", "imports"])
def test_a_ctrl_c_that_python_or_a_library_drops_is_repeated(kind: str) -> None:
    command = [sys.executable, "-c", DROPPED.format(kind)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (answer.returncode, answer.stderr) == (1, "microcalc: interrupted\n")
