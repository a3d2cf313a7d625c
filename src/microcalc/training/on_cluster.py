"""All folds of a study on a Dask cluster, with the results of a sequential run."""

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import FailedError, RequestError
from microcalc.files import TEMPORARY_SUFFIX
from microcalc.networks.allocator import keep_freed_memory
from microcalc.training.experts import FoldTask, predict_by_expert, run_expert, run_search, run_trial_ahead
from microcalc.training.search import RANDOM_TRIALS

_ONE_PIECE_AT_A_TIME = Lock()
"""PyTorch has one random generator a process, on which the pieces of a worker of several threads would draw in turn."""


def run_folds_on_cluster(client: Any, tasks: list[FoldTask]) -> None:
    """Search and train every fold; what they find is on disk afterwards, in the tasks' directories.

    Where folds are fewer than workers, the first trials of each search, which depend on no result, are
    trained side by side before it. A worker that ends loses its piece, which another goes on with from the last trial
    that was finished.

    Args:
        client: of a Dask cluster whose workers share the tasks' directories.
        tasks: one a fold.

    Raises:
        FailedError: every worker that took a piece has ended, or the scheduler has.
    """
    settings = tasks[0].config
    trials_ahead = 0
    if len(tasks) < len(client.nthreads()) and not settings.fast_execution:
        trials_ahead = min(RANDOM_TRIALS, settings.search.trials)
    with _shared_files(tasks, {"images": tasks[0].images, "labels": tasks[0].labels}) as files:
        experts = []
        for task in map(_without_patches, tasks):
            ahead = [_submit(client, _run_trial_ahead, task, files, number) for number in range(trials_ahead)]
            searched = _submit(client, _run_search, task, files, ahead)
            experts.append(_submit(client, _run_expert, task, files, searched))
        _gather(client, experts)


def predict_on_cluster(
    client: Any, tasks: list[FoldTask], images: dict[str, NDArray[np.float32]]
) -> list[dict[str, NDArray[np.float64]]]:
    """The probabilities by every trained expert; see :func:`microcalc.training.parallel.predict_by_experts`.

    Raises:
        FailedError: as for :func:`run_folds_on_cluster`.
    """
    with _shared_files(tasks, images) as files:
        pieces = [_submit(client, _predict_by_expert, _without_patches(task), files) for task in tasks]
        votes: list[dict[str, NDArray[np.float64]]] = _gather(client, pieces)
    return votes


@contextmanager
def _shared_files(tasks: list[FoldTask], arrays: dict[str, NDArray[Any]]) -> Iterator[dict[str, Path]]:
    """Arrays as files beside the folds for as long as the work takes, where no death of a worker can lose them.

    The run directory removes what a killed study leaves of them.
    """
    folder = tasks[0].directory.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f".{name}.npy{TEMPORARY_SUFFIX}" for name in arrays}
    try:
        for name, path in files.items():
            with path.open("wb") as file:
                np.save(file, arrays[name], allow_pickle=False)
        yield files
    finally:
        for path in files.values():
            path.unlink(missing_ok=True)


def _load(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError as error:
        raise RequestError(
            f"{path.parent}: is not there on a worker; give a run directory on a disk that all workers share"
        ) from error


def _submit(client: Any, function: Any, *arguments: Any) -> Any:
    return client.submit(function, *arguments, pure=False)


def _gather(client: Any, futures: list[Any]) -> Any:
    try:
        return client.gather(futures)
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
        with suppress(OSError, CancelledError):  # of a scheduler that has gone
            client.cancel(futures)


def _without_patches(task: FoldTask) -> FoldTask:
    """The task without its images and labels, which workers read from shared files."""
    return replace(task, images=task.images[:0], labels=task.labels[:0], directory=task.directory.absolute())


def _with_patches(task: FoldTask, files: dict[str, Path]) -> FoldTask:
    keep_freed_memory()
    return replace(task, images=_load(files["images"]), labels=_load(files["labels"]))


def _run_trial_ahead(task: FoldTask, files: dict[str, Path], number: int) -> None:
    with _ONE_PIECE_AT_A_TIME:
        run_trial_ahead(_with_patches(task, files), number)


def _run_search(task: FoldTask, files: dict[str, Path], ahead: list[None]) -> None:
    with _ONE_PIECE_AT_A_TIME:
        run_search(_with_patches(task, files))


def _run_expert(task: FoldTask, files: dict[str, Path], searched: None) -> None:
    whole = _with_patches(task, files)
    with _ONE_PIECE_AT_A_TIME:
        run_expert(whole, run_search(whole))


def _predict_by_expert(task: FoldTask, files: dict[str, Path]) -> dict[str, NDArray[np.float64]]:
    keep_freed_memory()
    with _ONE_PIECE_AT_A_TIME:
        return predict_by_expert(task, {name: _load(path) for name, path in files.items()})
