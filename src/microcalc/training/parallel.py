"""All folds of a study, side by side: one single-threaded process a core, with the results of a sequential run."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from operator import itemgetter
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray

from microcalc.errors import FailedError
from microcalc.training.experts import FoldTask, predict_by_expert, run_expert, run_search
from microcalc.training.on_cluster import predict_on_cluster, run_folds_on_cluster
from microcalc.training.progress import POLL_SECONDS, Progress, read_progress, serve

PIECES = ("search", "expert")
SHARED_BYTES = 50 * 2**20  # larger arrays, such as all views of patches at five magnifications, lie in shared memory

OnProgress = Callable[[dict[str, Progress]], None]


def run_folds(tasks: list[FoldTask], *, jobs: int, client: Any = None, on_progress: OnProgress | None = None) -> None:
    """Search and train every fold; what they find is on disk afterwards, in the tasks' directories.

    Each process begins with a search; then experts and the searches that are left take turns, so that pieces of
    different length are left for the end, when processes run out of work. An expert waits, and its process with it,
    for the search of its own fold, which another process may then be running.

    Args:
        tasks: one a fold.
        jobs: processes side by side; 1 computes in this one.
        client: of a Dask cluster that works instead; see :mod:`microcalc.training.on_cluster`.
        on_progress: called about four times a second with the state of each piece of work, by its name.
    """
    if client is not None:
        with watched(tasks, on_progress):
            run_folds_on_cluster(client, tasks)
        return
    processes = min(jobs, len(tasks))
    searches = [(number, joblib.delayed(run_search)(task)) for number, task in enumerate(tasks)]
    experts = [(number + processes - 0.5, joblib.delayed(_expert_piece)(task)) for number, task in enumerate(tasks)]
    pieces = sorted([*searches, *experts], key=itemgetter(0))
    with watched(tasks, on_progress):
        _side_by_side(processes, [piece for _, piece in pieces])


def predict_by_experts(
    tasks: list[FoldTask], images: dict[str, NDArray[np.float32]], *, jobs: int, client: Any = None
) -> dict[str, NDArray[np.float64]]:
    """The probabilities by every trained expert, (n, experts) for each of the named (n, 60, 60) images."""
    if client is not None:
        votes = predict_on_cluster(client, tasks, images)
    else:
        calls = [joblib.delayed(predict_by_expert)(task, images) for task in tasks]
        votes = _side_by_side(min(jobs, len(tasks)), calls)
    return {name: np.stack([vote[name] for vote in votes], axis=1) for name in images}


def _side_by_side(processes: int, calls: list[Any]) -> list[Any]:
    parallel = joblib.Parallel(
        processes,
        batch_size=1,
        pre_dispatch="2*n_jobs",
        max_nbytes=SHARED_BYTES,
        initializer=serve,
        initargs=(os.getpid(),),
    )
    answers: list[Any] = parallel(calls if processes == 1 else _first_without_interrupts(calls, processes))
    return answers


def _first_without_interrupts(calls: list[Any], first: int) -> Iterator[Any]:
    """Give some calls with Ctrl-C held back, and with it from the processes that joblib starts at these.

    A process that is still starting would print a traceback of its own.
    """
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # which joblib needs, and which lets Ctrl-C through again as it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield from calls[:first]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        calls = calls[first:]
    yield from calls


@contextmanager
def no_worker_left(jobs: int) -> Iterator[None]:
    """End the processes that work side by side, which are kept from one step to the next, together with the study.

    Raises:
        FailedError: one of them was ended from outside.
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise FailedError(
            "a worker process was ended from outside, perhaps for want of memory; what is finished is kept: "
            "resume it with fewer jobs"
        ) from error
    finally:
        if jobs > 1:
            get_reusable_executor(kill_workers=True).shutdown()
            _sweep_up_after_joblib()


def _sweep_up_after_joblib() -> None:
    """Remove what joblib keeps arrays and locks in: its own helper leaves them where a signal to the group ended it."""
    for lock in Path("/dev/shm").glob(f"sem.loky-{os.getpid()}-*"):
        lock.unlink(missing_ok=True)
    for folder in (Path("/dev/shm"), Path(tempfile.gettempdir())):
        for left in folder.glob(f"joblib_memmapping_folder_{os.getpid()}_*"):
            shutil.rmtree(left, ignore_errors=True)


def _expert_piece(task: FoldTask) -> None:
    while not (task.directory / "search.json").exists():
        time.sleep(POLL_SECONDS)
    run_expert(task, run_search(task))


@contextmanager
def watched(tasks: list[FoldTask], on_progress: OnProgress | None) -> Iterator[None]:
    """Report the state of all pieces of work from a thread beside them, and once more at the end."""
    pieces = {f"fold {task.number + 1} {piece}": task.directory / piece for task in tasks for piece in PIECES}
    ended = threading.Event()

    def report() -> None:
        if on_progress is not None:
            on_progress({name: read_progress(path) for name, path in pieces.items()})

    def poll() -> None:
        while not ended.wait(POLL_SECONDS):
            report()

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        report()


class PeakMemory(threading.Thread):
    """The largest memory that this process and its children held together, in bytes, sampled once a second.

    It is the sum of their proportional set sizes (PSS: shared pages count once) where the system gives it,
    else of their resident sets. The system's own peaks (``getrusage``) are of one process each and cannot be added.

    >>> with PeakMemory() as peak:
    ...     block = bytes(10)
    >>> peak.bytes > 0
    True
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self.ended = threading.Event()

    def __enter__(self) -> "PeakMemory":
        self.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.ended.set()
        self.join()

    def run(self) -> None:
        """Sample until the end."""
        me = psutil.Process()
        while True:
            total = 0
            for process in (me, *me.children(recursive=True)):
                with suppress(psutil.Error):  # it may have ended
                    memory = process.memory_full_info()
                    total += getattr(memory, "pss", memory.rss)
            self.bytes = max(self.bytes, total)
            if self.ended.wait(1.0):
                return
