"""A task done to all files that a folder of results lacks."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from microcalc.files import write_atomically
from microcalc.reader.executor import Executor, in_this_process
from microcalc.reader.inputs import Inputs
from microcalc.reader.store import Entry, Store
from microcalc.reader.tasks import Job, Outcome, Task

TRIES = 3
"""How often a file is tried in one command where its reason to fail may pass."""

PAUSE_SECONDS = 5.0

OnEntry = Callable[[Entry, tuple[str, ...]], None]
"""Called for each input once it has a result or has failed, with what a user should know of it."""


def read_files(
    task: Task,
    inputs: Inputs,
    store: Store,
    on_entry: OnEntry = lambda entry, notes: None,
    executor: Executor = in_this_process,
) -> None:
    """Do a task to every input that the store lacks or has of an earlier state of the file, and keep all outcomes.

    A file that failed is not tried again until it changes. One whose reason may pass is tried three times in all,
    behind the others, and again by the next command. Pictures and objects that a known result lacks are made without
    another scan, also for files of earlier commands; those that show another operating point follow this one.

    Raises:
        RequestError: a worker differs from the command.
        FailedError: the disk is full, or the scheduler is gone.
    """
    task.follow(store)
    run = _Run(task, inputs, store, on_entry)
    files: Iterable[str] = (*inputs.names, *(file for file in store.files() if file not in inputs.names))
    for number in range(TRIES):
        run.is_last, run.again = number == TRIES - 1, []
        for outcomes in executor(task, _batches(run.jobs(files), task.batch)):
            for file, outcome in outcomes.items():
                run.keep(file, outcome)
        files = run.again
        if not files:
            break
        time.sleep(PAUSE_SECONDS)


def _batches(jobs: Iterator[Job], size: int) -> Iterator[list[Job]]:
    while batch := list(islice(jobs, size)):
        yield batch


@dataclass
class _Run:
    """The work of one command on each file."""

    task: Task
    inputs: Inputs
    store: Store
    on_entry: OnEntry
    is_last: bool = False
    again: list[str] = field(default_factory=list)

    def jobs(self, files: Iterable[str]) -> Iterator[Job]:
        """Give the jobs that are left, and report the inputs that are done."""
        for file in files:
            entry = self.store.get(file)
            is_input = file in self.inputs.names
            if entry is None:
                yield Job(file)
                continue
            lacking = self._lacking(entry)
            if lacking or (is_input and (entry.transient or not entry.is_current())):
                yield Job(file, entry.sha256, entry.result, lacking)
            elif is_input:
                self.on_entry(entry, ())

    def _lacking(self, entry: Entry) -> tuple[str, ...]:
        if entry.result is None:
            return ()
        return tuple(kind for kind in self.task.wanted() if kind not in entry.made or not self.store.holds(entry, kind))

    def keep(self, file: str, outcome: Outcome) -> None:
        """Write the files of an outcome, then its entry; one that another try may mend comes again."""
        if outcome.transient and not self.is_last:
            self.again.append(file)
            return
        known = self.store.get(file)
        entry = Entry(file, outcome.stamp, outcome.sha256, outcome.result, outcome.reason, outcome.transient)
        if known is not None:
            if outcome.result is None and file not in self.inputs.names:
                entry = known  # its result stays
            is_same = outcome.result is not None and known.sha256 == outcome.sha256
            if not is_same:
                self.store.remove_files(known, known.made)
            entry = replace(entry, name=known.name, made=known.made if is_same else {})
        if outcome.made:
            made = {kind: self.task.wanted()[kind] for kind in outcome.made}
            entry = replace(entry, name=entry.name or self.store.free_name(file), made={**entry.made, **made})
        for place, content in (item for files in outcome.made.values() for item in files.items()):
            write_atomically(self.store.folder / place.format(entry.name), content)
        self.store.add(entry)
        if file in self.inputs.names:
            self.on_entry(entry, outcome.notes)
