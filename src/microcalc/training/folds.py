"""The folds of a study, as pieces of work for any executor, with the results of a sequential run."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from numpy.typing import NDArray

from microcalc.committee.inference import choose_device
from microcalc.errors import FailedError, RequestError
from microcalc.files import TEMPORARY_SUFFIX
from microcalc.networks.allocator import keep_freed_memory, return_freed_memory
from microcalc.training.experts import predict_by_expert, predict_highest_views, run_expert, run_search
from microcalc.training.number_format import fastest_format
from microcalc.training.task import PIECES, FoldTask, Progress

POLL_SECONDS = 0.25
IDLE_SECONDS = 300
MAGNIFIED_AT_ONCE = 32
"""Patches of unknown pixel size whose views, 40 MB, lie in the memory of a process together."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

OnProgress = Callable[[dict[str, Progress]], None]
Arrays = dict[str, NDArray[Any]]

_ONE_PIECE_AT_A_TIME = threading.Lock()
"""PyTorch has one random generator a process, on which the pieces of a worker of several threads would draw in turn."""


def run_folds(tasks: list[FoldTask], *, jobs: int, client: Any = None, on_progress: OnProgress | None = None) -> None:
    """Search and train every fold; what they find is on disk afterwards, in the tasks' directories.

    The expert of a fold is submitted when its search has ended.

    Args:
        tasks: one a fold.
        jobs: processes side by side; 1 computes in this one.
        client: of a Dask cluster that works instead; its workers share the tasks' directories. A piece of a worker that
            ends goes on elsewhere from the last trial that was finished.
        on_progress: called about four times a second with the state of each piece of work, by its name.

    Raises:
        FailedError: a worker process was ended from outside, every worker of a cluster that took a piece has ended, or
            its scheduler has.
    """
    training = tasks[0].config.training
    if client is None and training.precision == "auto":
        fastest_format(choose_device(training.device))  # before the folds share the processor
    patches: Arrays = {"images": tasks[0].images, "labels": tasks[0].labels}
    with (
        _shared_files(tasks, patches) as files,
        _watched(tasks, on_progress),
        _submitter(jobs, tasks, client) as submit,
    ):
        searches: dict[Future[None], FoldTask] = {}
        experts: list[Future[None]] = []

        def submit_experts() -> None:
            for search in [search for search in searches if search.done()]:
                search.result()
                experts.append(submit(_expert, _without_patches(searches.pop(search)), files))

        for task in tasks:
            searches[submit(_search, _without_patches(task), files)] = task
            submit_experts()  # one process does fold after fold
        while searches:
            wait(searches, return_when=FIRST_COMPLETED)
            submit_experts()
        for expert in as_completed(experts):
            expert.result()


def predict_by_experts(
    tasks: list[FoldTask], images: dict[str, NDArray[np.float32]], *, jobs: int, client: Any = None
) -> dict[str, NDArray[np.float64]]:
    """Return the probabilities by every trained expert, (n, experts) for each of the named (n, 60, 60) images.

    Raises:
        FailedError: as for :func:`run_folds`.
    """
    with _shared_files(tasks, images) as files, _submitter(jobs, tasks, client) as submit:
        pieces = [submit(_predict, _without_patches(task), files) for task in tasks]
        votes = [piece.result() for piece in pieces]
    return {name: np.stack([vote[name] for vote in votes], axis=1) for name in images}


def highest_views_by_experts(
    tasks: list[FoldTask], weights: NDArray[np.float64], images: NDArray[np.float32], *, jobs: int, client: Any = None
) -> NDArray[np.float64]:
    """Return the probabilities by every trained expert, (n, experts), for the highest view of each patch.

    Args:
        tasks: of all folds.
        weights: (experts,) of the committee, whose average is compared.
        images: (n, 60, 60) raw patches of unknown pixel size.
        jobs: processes side by side.
        client: of a Dask cluster that works instead.

    Raises:
        FailedError: as for :func:`run_folds`.
    """
    folds = [_without_patches(task) for task in tasks]
    with _shared_files(tasks, {"images": images}) as files, _submitter(jobs, tasks, client) as submit:
        starts = range(0, len(images), MAGNIFIED_AT_ONCE)
        pieces = [submit(_highest_views, folds, weights, start, files) for start in starts]
        return np.concatenate([piece.result() for piece in pieces])


def _search(task: FoldTask, files: dict[str, Path]) -> None:
    with _piece(files) as patches:
        run_search(_with_patches(task, patches))


def _expert(task: FoldTask, files: dict[str, Path]) -> None:
    with _piece(files) as patches:
        whole = _with_patches(task, patches)
        run_expert(whole, run_search(whole))


def _predict(task: FoldTask, files: dict[str, Path]) -> dict[str, NDArray[np.float64]]:
    with _piece(files) as images:
        return predict_by_expert(task, images)


def _highest_views(
    folds: list[FoldTask], weights: NDArray[np.float64], start: int, files: dict[str, Path]
) -> NDArray[np.float64]:
    with _piece(files) as arrays:
        return predict_highest_views(folds, weights, arrays["images"][start : start + MAGNIFIED_AT_ONCE])


@contextmanager
def _piece(files: dict[str, Path]) -> Iterator[Arrays]:
    """Give a worker the arrays of one piece of work, as maps of their files."""
    keep_freed_memory()
    try:
        arrays = {name: np.asarray(np.load(path, mmap_mode="r", allow_pickle=False)) for name, path in files.items()}
    except FileNotFoundError as error:
        folder = next(iter(files.values())).parent
        raise RequestError(
            f"{folder}: is not there on a worker; give a run directory on a disk that all workers share"
        ) from error
    with _ONE_PIECE_AT_A_TIME:
        yield arrays
    return_freed_memory()


@contextmanager
def _shared_files(tasks: list[FoldTask], arrays: Arrays) -> Iterator[dict[str, Path]]:
    """Keep arrays as files beside the folds for as long as the work takes, where no death of a worker can lose them.

    The run directory removes what a killed study leaves of them.
    """
    folder = tasks[0].directory.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f".{name}.npy{TEMPORARY_SUFFIX}" for name in arrays}
    try:
        for name, path in files.items():
            array = np.ascontiguousarray(arrays[name])
            with path.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
                file.write(array.data)  # np.save would hide the reason of an error, such as a full disk
        yield files
    finally:
        for path in files.values():
            path.unlink(missing_ok=True)


def _without_patches(task: FoldTask) -> FoldTask:
    """Return the task without its images and labels, which workers read from shared files."""
    return replace(task, images=task.images[:0], labels=task.labels[:0], directory=task.directory.absolute())


def _with_patches(task: FoldTask, patches: Arrays) -> FoldTask:
    return replace(task, images=patches["images"], labels=patches["labels"])


class _ThisProcess(Executor):
    """Computes in this process, when work is submitted."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **named))
        return future


def _executor(jobs: int, client: Any) -> Executor:
    """Return what computes: Dask's workers, processes of one thread each, or this process."""
    if client is not None:
        executor: Executor = client.get_executor(pure=False)
        return executor
    if jobs == 1:
        return _ThisProcess()
    processes: Executor = get_reusable_executor(
        jobs, timeout=IDLE_SECONDS, initializer=_begin, initargs=(os.getpid(),), env=ONE_THREAD
    )
    with _interrupts_held_back():  # a process that is still starting would print a traceback of its own
        processes.submit(int)
    return processes


@contextmanager
def _submitter(jobs: int, tasks: list[FoldTask], client: Any) -> Iterator[Callable[..., Future[Any]]]:
    """Submit pieces of work; those that are not done when the block ends are cancelled."""
    executor, futures = _executor(min(jobs, len(tasks)), client), []

    def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        futures.append(executor.submit(function, *arguments))
        return futures[-1]

    try:
        yield submit
    except CancelledError as error:
        raise FailedError("the Dask scheduler has gone; what is finished is kept: resume the study") from error
    except Exception as error:
        if type(error).__name__ != "KilledWorker":
            raise
        raise FailedError(
            "every worker that took a piece of the study ended, perhaps for want of memory; what is finished is kept: "
            "give the workers more and resume the study"
        ) from error
    finally:
        for future in futures:
            future.cancel()


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
            for lock in Path("/dev/shm").glob(f"sem.loky-{os.getpid()}-*"):  # whose keeper a signal may have ended
                lock.unlink(missing_ok=True)


def _begin(owner: int) -> None:
    """Make this process a worker of the study's process, ``owner``: Ctrl-C is for that one, whose end ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def leave_with_owner() -> None:
        while os.getppid() == owner:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=leave_with_owner, daemon=True).start()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold Ctrl-C back, also from the processes that start meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    for tracker in (resource_tracker, loky_tracker):  # both let Ctrl-C through again as they start
        tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _watched(tasks: list[FoldTask], on_progress: OnProgress | None) -> Iterator[None]:
    """Report the state of all pieces of work from a thread beside them, and once more at the end."""
    ended = threading.Event()

    def report() -> None:
        if on_progress is not None:
            on_progress({f"fold {task.number + 1} {piece}": task.progress(piece) for task in tasks for piece in PIECES})

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
