"""The Dask cluster that works: one that is there already, or one of this machine's own processes."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import dask.config
import joblib
from annotated_types import Ge, Le
from distributed import Client, LocalCluster

from microcalc import __version__
from microcalc.errors import FailedError, RequestError
from microcalc.files import checked

FIRST_ANSWER_SECONDS = 10
PATIENCE_SECONDS = 600.0
POLL_SECONDS = 1.0
MOST_WORKERS = 1024

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cluster:
    """Where the scheduler of a Dask cluster is.

    Attributes:
        address: such as ``tcp://127.0.0.1:8786``.
        say: is given what a user should know, a line each.
    """

    address: str
    say: Say

    def connect(self) -> Client:
        """A client of a scheduler that answers now.

        Raises:
            RequestError: none answers at the address, or a worker has another version of microcalc.
            FailedError: the scheduler ends while workers are waited for.
        """
        try:
            client = Client(self.address, timeout=FIRST_ANSWER_SECONDS)
        except (OSError, ValueError, ImportError) as error:
            raise RequestError(
                f"{self.address}: no Dask scheduler answers there ({_short(error)}); give the address that it prints"
            ) from error
        self.say(f"Dask's dashboard: {client.dashboard_link}")
        try:
            return self._with_workers(client)
        except OSError as error:
            raise FailedError(
                f"{self.address}: the scheduler is gone; start it and run the same command again"
            ) from error

    def connect_again(self) -> Client:
        """A client of the same scheduler once it is back, after it has gone.

        Raises:
            FailedError: it is not back within ten minutes.
        """
        self.say(f"{self.address}: the scheduler is gone; waiting for it")
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                return self._with_workers(Client(self.address, timeout=FIRST_ANSWER_SECONDS))
            except OSError:
                time.sleep(POLL_SECONDS)
        raise FailedError(
            f"{self.address}: the scheduler has been gone for {PATIENCE_SECONDS / 60:.0f} minutes; what is finished is "
            "kept: start it and run the same command again"
        )

    def _with_workers(self, client: Client) -> Client:
        try:
            if not threads(client):
                self.say("waiting for workers")
            while not threads(client):
                time.sleep(POLL_SECONDS)
            _check_versions(client)
        except BaseException:
            client.close()
            raise
        return client


def _check_versions(client: Client) -> None:
    for address, worker in client.get_versions(packages=["microcalc"])["workers"].items():
        found = worker["packages"].get("microcalc") if worker else None
        if found != __version__:
            has = f"microcalc {found}" if found else "no microcalc"
            raise RequestError(f"the worker {address} has {has}, this command {__version__}; install the same there")


def threads(client: Client) -> int:
    """How many batches the workers do at once."""
    return sum(client.nthreads().values())


@contextmanager
def started(address: str | None, workers: int | None, say: Say) -> Iterator[Cluster]:
    """A cluster at an address, or else one of processes of this machine, which end with the block.

    Args:
        address: of a scheduler that runs already.
        workers: processes of a single thread each where there is none; as many as cores where None.
        say: is given what a user should know, a line each.

    Raises:
        RequestError: both are given, or an impossible number of workers.
    """
    for name in ("distributed", "distributed.client"):  # lost connections, of which they log tracebacks, are handled
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address is not None:
        if workers is not None:
            raise RequestError(
                "a cluster and a number of workers of this machine cannot both be given; give one of them"
            )
        yield Cluster(address, say)
        return
    count = joblib.cpu_count() if workers is None else workers
    checked(Annotated[int, Ge(1), Le(MOST_WORKERS)], count, "workers")
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),  # it fills a worker's memory for an hour
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as local,
    ):
        yield Cluster(local.scheduler_address, say)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
