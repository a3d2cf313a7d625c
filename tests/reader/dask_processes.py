"""A real Dask scheduler and its workers, each a process of its own, on loopback."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from distributed import Client

TESTS = str(Path(__file__).parents[1])
PATH = os.pathsep.join(filter(None, (TESTS, os.environ.get("PYTHONPATH"))))
SETTINGS = {"PYTHONPATH": PATH, "OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}


class DaskProcesses:
    """``dask scheduler`` and ``dask worker`` as a user starts them.

    Args:
        folder: that takes their logs.
        deaths: of workers after which the scheduler gives up a batch that they had.
    """

    def __init__(self, folder: Path, deaths: int) -> None:
        self.folder = folder
        self.environment = {**os.environ, **SETTINGS, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(deaths - 1)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", "127.0.0.1:0"]
        self.scheduler = self._start("scheduler", *options)
        return self.scheduler

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        places = ["--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard"]
        return self._start("worker", self.address, *places, *options)

    def await_workers(self, number: int) -> None:
        with Client(self.address, timeout=60) as client:
            client.wait_for_workers(number, timeout=120)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "dask.log").open("ab") as log:
            command = [sys.executable, "-m", "dask", *arguments]
            started = subprocess.Popen(command, stderr=log, env=self.environment, cwd=self.folder)
        self.processes.append(started)
        return started

    @staticmethod
    def kill(process: subprocess.Popen[bytes]) -> None:
        """End a process and its children as a machine that loses its power does."""
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for each in family:
            each.send_signal(signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)


@contextmanager
def once(happened: Callable[[], bool], act: Callable[[], None]) -> Iterator[None]:
    """Do something beside the block once something has happened there."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            if happened():
                act()
                return

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()
