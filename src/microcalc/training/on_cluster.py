"""All folds of a study on a Dask cluster, with the results of a sequential run."""

from concurrent.futures import CancelledError
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import FailedError
from microcalc.training.experts import FoldTask, predict_by_expert, run_expert, run_search, run_trial_ahead
from microcalc.training.search import RANDOM_TRIALS

Patches = tuple[NDArray[np.float32], NDArray[np.int64]]

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
    patches = client.scatter((tasks[0].images, tasks[0].labels), broadcast=True, hash=False)
    experts = []
    for task in map(_without_patches, tasks):
        ahead = [_submit(client, _run_trial_ahead, task, patches, number) for number in range(trials_ahead)]
        searched = _submit(client, _run_search, task, patches, ahead)
        experts.append(_submit(client, _run_expert, task, patches, searched))
    _gather(client, experts)


def predict_on_cluster(
    client: Any, tasks: list[FoldTask], images: dict[str, NDArray[np.float32]]
) -> list[dict[str, NDArray[np.float64]]]:
    """The probabilities by every trained expert; see :func:`microcalc.training.parallel.predict_by_experts`.

    Raises:
        FailedError: as for :func:`run_folds_on_cluster`.
    """
    shared = client.scatter(list(images.values()), broadcast=True, hash=False)
    named = dict(zip(images, shared, strict=True))
    votes: list[dict[str, NDArray[np.float64]]] = _gather(
        client, [_submit(client, _predict_by_expert, _without_patches(task), named) for task in tasks]
    )
    return votes


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
        client.cancel(futures)


def _without_patches(task: FoldTask) -> FoldTask:
    """The task without its images and labels, which reach each worker once and not with every piece."""
    return replace(task, images=task.images[:0], labels=task.labels[:0], directory=task.directory.absolute())


def _with_patches(task: FoldTask, patches: Patches) -> FoldTask:
    images, labels = patches
    return replace(task, images=images, labels=labels)


def _run_trial_ahead(task: FoldTask, patches: Patches, number: int) -> None:
    with _ONE_PIECE_AT_A_TIME:
        run_trial_ahead(_with_patches(task, patches), number)


def _run_search(task: FoldTask, patches: Patches, ahead: list[None]) -> None:
    with _ONE_PIECE_AT_A_TIME:
        run_search(_with_patches(task, patches))


def _run_expert(task: FoldTask, patches: Patches, searched: None) -> None:
    whole = _with_patches(task, patches)
    with _ONE_PIECE_AT_A_TIME:
        run_expert(whole, run_search(whole))


def _predict_by_expert(task: FoldTask, images: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    with _ONE_PIECE_AT_A_TIME:
        return predict_by_expert(task, images)
