"""All files of a manifest through a cluster: batches out, parts in, each name once."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, Future, KilledWorker, wait

from microcalc.archive.cluster import POLL_SECONDS, Cluster, threads
from microcalc.archive.fetch import Failure, kind_and_text
from microcalc.archive.folder import ArchiveFolder
from microcalc.archive.manifest import in_batches
from microcalc.archive.task import Outcome, Task, run_batch
from microcalc.errors import RequestError

TRIES = 3
"""How often a file is tried in one command where its reason to fail may pass."""

PAUSE_SECONDS = 5.0
BATCHES_A_THREAD = 3
SPLIT = 8
"""Parts of a batch that could not be done as a whole, such as with a file that no worker has the memory for."""

FAILURES_EVERY_SECONDS = 30.0


@dataclass(frozen=True)
class ArchiveProgress:
    """How far a command is.

    Attributes:
        done: files with a row, those of earlier commands too.
        failed: files without.
        total: names in the manifest, and in those of earlier commands.
        workers: batches that the cluster does at once.
    """

    done: int
    failed: int
    total: int
    workers: int


OnProgress = Callable[[ArchiveProgress], None]


def run_archive(
    task: Task, names: Sequence[str], out: Path, cluster: Cluster, on_progress: OnProgress = lambda progress: None
) -> ArchiveProgress:
    """Do a task to every file of a manifest that is not done yet.

    A worker that ends loses the batches that it was working on, which others do again; a scheduler that ends is waited
    for. A file that fails for a reason that may pass is tried three times in all, at the end of the others.

    Args:
        task: what is done.
        names: of the manifest, each once.
        out: folder of the results, which an earlier command with the same task may have begun.
        cluster: that works.
        on_progress: called after each batch.

    Returns:
        The last progress.

    Raises:
        RequestError: the folder or the cluster cannot be used for this.
        FailedError: the folder cannot be written, or the scheduler does not come back.
    """
    with ArchiveFolder.opened(out, task.identity(), names) as folder:
        left = folder.missing(names)
        if left:
            with closing(_Work(task, folder, cluster, on_progress, cluster.connect())) as work:
                for number in range(TRIES):
                    time.sleep(PAUSE_SECONDS * number)
                    work.run(left)
                    left = [name for name in left if name in folder.failures and folder.failures[name].transient]
                    if not left:
                        break
        return ArchiveProgress(len(folder.done), len(folder.failures), folder.total, 0)


@dataclass
class _Work:
    """Batches that wait for a worker, and those that workers have.

    A worker that ends takes all batches with it that it was given, not only the one that ended it. A file that is alone
    in its batch is therefore only a suspect then, and is tried once more with nothing beside it.
    """

    task: Task
    folder: ArchiveFolder
    cluster: Cluster
    on_progress: OnProgress
    client: Client
    waiting: deque[list[str]] = field(default_factory=deque)
    running: dict[Future, list[str]] = field(default_factory=dict)
    suspects: list[str] = field(default_factory=list)
    alone: str | None = None
    written: float = field(default_factory=time.monotonic)
    workers: int = 0
    counted: float = 0.0

    def close(self) -> None:
        self.client.close()

    def run(self, names: list[str]) -> None:
        """Do every name of a list once."""
        self._report()
        self.waiting.extend(in_batches(names, self.workers, self.task.largest_batch))
        while self.waiting or self.running or self.suspects:
            if self.client.status == "closed" or any(future.cancelled() for future in self.running):
                self._connect_again()
            self._submit()
            for future in self._finished():
                self._take(future)
            self._report()

    def _connect_again(self) -> None:
        self.waiting.extendleft(self.running.values())
        self.running.clear()
        self.client.close()
        self.client = self.cluster.connect_again()

    def _submit(self) -> None:
        if not self.waiting and not self.running and self.suspects:
            self.alone = self.suspects.pop()
            self.waiting.append([self.alone])
        most = BATCHES_A_THREAD * max(self.workers, 1)
        while self.waiting and len(self.running) < most:
            names = self.waiting.popleft()
            self.running[self.client.submit(run_batch, self.task, names, str(Path.cwd()), pure=False)] = names

    def _finished(self) -> list[Future]:
        with suppress(TimeoutError, CancelledError):
            wait(list(self.running), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
        return [future for future in self.running if future.done()]

    def _take(self, future: Future) -> None:
        """Keep what became of a batch; one whose result is lost, with the scheduler or a worker, stays with them."""
        error: Any = future.exception()
        try:
            outcome: Outcome | None = None if error else future.result()
        except Exception as lost:
            if isinstance(lost, CancelledError | OSError) or future.status == "error":
                return
            raise
        names = self.running.pop(future)
        if outcome is not None:
            self.folder.add(names, outcome.part, outcome.failures)
        elif isinstance(error, RequestError):
            raise error
        elif len(names) > 1:
            size = -(-len(names) // SPLIT)
            self.waiting.extend(names[start : start + size] for start in range(0, len(names), size))
        elif isinstance(error, KilledWorker) and names[0] != self.alone:
            self.suspects.append(names[0])
        else:
            self.folder.add(names, b"", [Failure(names[0], _reason(error))])

    def _report(self) -> None:
        """Report the progress; look for new workers once a second, as asking the scheduler takes a while."""
        now = time.monotonic()
        if now - self.counted > POLL_SECONDS:
            with suppress(OSError):  # a scheduler that has gone is noticed by what it had
                self.workers, self.counted = threads(self.client), now
        if now - self.written > FAILURES_EVERY_SECONDS:
            self.folder.write_failures()
            self.written = now
        done, failed = len(self.folder.done), len(self.folder.failures)
        self.on_progress(ArchiveProgress(done, failed, self.folder.total, self.workers))


def _reason(error: BaseException) -> str:
    if isinstance(error, KilledWorker):
        return "every worker that took it ended, perhaps for want of memory; give the workers more"
    return f"cannot be done ({kind_and_text(error)})"
