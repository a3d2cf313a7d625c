"""Where the work is done: in this process, or by the workers of a Dask scheduler."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from microcalc import __version__
from microcalc.errors import FailedError, RequestError, extra_needed
from microcalc.files import checked
from microcalc.networks.allocator import keep_freed_memory
from microcalc.reader.content import kind_and_text
from microcalc.reader.tasks import Job, Outcome, Task, do

if TYPE_CHECKING:
    from distributed import Client

FIRST_ANSWER_SECONDS = 10
POLL_SECONDS = 1.0
MOST_WORKERS = 1024

Outcomes = dict[str, Outcome]
Executor = Callable[[Task, Iterable[list[Job]]], Iterator[Outcomes]]
"""Does a task to batches of files, and gives the outcomes of each batch, in any order."""

Report = Callable[[str], None]
"""Is given what a user should know, a line each."""


def in_this_process(task: Task, batches: Iterable[list[Job]]) -> Iterator[Outcomes]:
    """Do one batch after another here."""
    for batch in batches:
        yield do(task, batch)


def on_dask(client: "Client") -> Executor:
    """Return what has the workers of a Dask scheduler do the batches, one at a time for each of their threads.

    So the scheduler knows few batches at any time, however many files there are, and a worker that ends takes one with
    it. Dask gives that to other workers. Where a batch has ended as many workers as the scheduler allows
    (``distributed.scheduler.allowed-failures``), its files go out alone, and the one to blame fails.
    """

    def run(task: Task, batches: Iterable[list[Job]]) -> Iterator[Outcomes]:
        batches, alone = iter(batches), deque[list[Job]]()
        running: dict[Future[Outcomes], list[Job]] = {}
        executor = client.get_executor(pure=False)
        try:
            while True:
                while len(running) < max(_threads(client), 1):
                    batch = alone.popleft() if alone else next(batches, None)
                    if batch is None:
                        break
                    running[executor.submit(_on_worker, task, batch)] = batch
                if not running:
                    return
                for future in wait(running, POLL_SECONDS, FIRST_COMPLETED).done:
                    batch, error = running.pop(future), future.exception()
                    if isinstance(error, RequestError):
                        raise error
                    if error is None:
                        yield future.result()
                    elif len(batch) > 1:
                        alone.extend([job] for job in batch)
                    else:
                        yield {batch[0].file: Outcome(reason=_reason(error))}
        except (CancelledError, OSError) as error:
            if isinstance(error, FailedError):
                raise
            raise FailedError(
                "the Dask scheduler is gone; what is finished is kept: start it and run the same command again"
            ) from error
        finally:
            for future in running:
                future.cancel()

    return run


def _on_worker(task: Task, jobs: list[Job]) -> Outcomes:
    keep_freed_memory()
    return do(task, jobs)


def _reason(error: BaseException) -> str:
    if type(error).__name__ == "KilledWorker":
        return "every worker that took it ended, perhaps for want of memory; give the workers more"
    return f"cannot be done ({kind_and_text(error)})"


@contextmanager
def dask_client(
    address: str | None, workers: int | None, report: Report = lambda line: None
) -> "Iterator[Client | None]":
    """Connect to a Dask scheduler, or start workers on this machine, which end with the block; None for neither.

    Args:
        address: of a scheduler that runs already, such as ``tcp://127.0.0.1:8786``.
        workers: processes of a single thread each on this machine instead.
        report: is given what a user should know, a line each.

    Raises:
        RequestError: the extra is not installed, both are given, the number is impossible, no scheduler answers, or a
            worker has another version of microcalc.
        FailedError: the scheduler ends while workers are waited for.
    """
    if address is not None and workers is not None:
        raise RequestError("a scheduler and a number of workers of this machine cannot both be given; give one of them")
    if address is None and workers is None:
        yield None
        return
    with extra_needed("dask"):
        import dask.config
        from distributed import LocalCluster
    for name in ("distributed", "distributed.client"):  # lost connections, of which they log tracebacks, are handled
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address is not None:
        with _connected(address, report) as client:
            yield client
        return
    checked(Annotated[int, Ge(1), Le(MOST_WORKERS)], workers, "workers")
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),  # it fills a worker's memory for an hour
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as local,
        _connected(local.scheduler_address, report) as client,
    ):
        yield client


@contextmanager
def _connected(address: str, report: Report) -> "Iterator[Client]":
    from distributed import Client

    try:
        client = Client(address, timeout=FIRST_ANSWER_SECONDS)
    except (OSError, ValueError, ImportError) as error:
        short = " ".join(str(error).split())[:100] or type(error).__name__
        raise RequestError(
            f"{address}: no Dask scheduler answers there ({short}); give the address that it prints"
        ) from error
    with client:
        report(f"Dask's dashboard: {client.dashboard_link}")
        try:
            if not _threads(client):
                report("waiting for workers")
            while not _threads(client):
                time.sleep(POLL_SECONDS)
            _check_versions(client)
        except OSError as error:
            raise FailedError(f"{address}: the scheduler is gone; start it and run the same command again") from error
        yield client


def _check_versions(client: "Client") -> None:
    for address, worker in client.get_versions(packages=["microcalc"])["workers"].items():
        found = worker["packages"].get("microcalc") if worker else None
        if found != __version__:
            has = f"microcalc {found}" if found else "no microcalc"
            raise RequestError(f"the worker {address} has {has}, this command {__version__}; install the same there")


def _threads(client: Any) -> int:
    """Return how many batches the workers do at once."""
    return sum(client.nthreads().values())
