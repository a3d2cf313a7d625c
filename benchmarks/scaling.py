"""Time and memory against the number of patches: an epoch of training, and prediction streamed from disk.

Run as `python benchmarks/scaling.py`. Patches are phantoms, written to a file of 8-bit grey values once; each size is
measured in a process of its own, on one thread. Training holds its patches in memory; prediction reads them from the
file a batch at a time. Memory is anonymous memory (what the process itself allocated), at its peak.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

SIZES = [1_000, 10_000, 100_000]
BATCH = 1_000
PATCH = (60, 60)


def write_phantom_file(path: Path, patches: int) -> None:
    """One byte a pixel, patch after patch, and the labels beside them."""
    from microcalc.data.phantom import iter_phantom

    labels, written = [], 0
    with path.open("wb") as file:
        for images, part, _ in iter_phantom(patients=-(-patches // 6)):
            file.write(np.rint(images * 255).astype(np.uint8).tobytes())
            labels.append(part)
            written += len(part)
    assert written >= patches
    np.save(path.with_suffix(".npy"), np.concatenate(labels)[:patches])


def read_batches(path: Path, patches: int):
    """(at most BATCH, 60, 60) float32 in [0, 1] at a time."""
    with path.open("rb") as file:
        for start in range(0, patches, BATCH):
            count = min(BATCH, patches - start)
            raw = np.frombuffer(file.read(count * PATCH[0] * PATCH[1]), np.uint8)
            yield raw.reshape(count, *PATCH).astype(np.float32) / 255


class PeakAnonymous(threading.Thread):
    """The largest anonymous memory of this process, in bytes, sampled ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Sample until told to end."""
        process = psutil.Process()
        while not self.ended.wait(0.1):
            memory = process.memory_info()
            self.peak = max(self.peak, memory.rss - memory.shared)


def measure(task: str, path: Path, patches: int) -> dict:
    import torch

    from microcalc.config import AugmentationSettings, TrainingSettings
    from microcalc.networks.hypermodel import build_network
    from microcalc.networks.inference import predict
    from microcalc.training.loop import train

    torch.set_num_threads(1)
    network = build_network(dim=20, depth=3, dropout=0.05, input_scaling=TrainingSettings.input_scaling)
    watch = PeakAnonymous()
    watch.start()
    start = time.perf_counter()
    if task == "predict":
        for batch in read_batches(path, patches):
            predict(network, batch)
    else:
        images = np.empty((patches, *PATCH), np.float32)
        for number, batch in enumerate(read_batches(path, patches)):
            images[number * BATCH : number * BATCH + len(batch)] = batch
        labels = np.load(path.with_suffix(".npy"))[:patches]
        settings = TrainingSettings()
        train(network, images, labels, settings=settings, augmentation=AugmentationSettings(), epochs=1, seed=0)
    seconds = time.perf_counter() - start
    watch.ended.set()
    watch.join()
    return {"seconds": seconds, "bytes": watch.peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--measure", nargs=3, metavar=("TASK", "FILE", "PATCHES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        task, path, patches = options.measure
        print(json.dumps(measure(task, Path(path), int(patches))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "phantom.bin"
        write_phantom_file(path, max(options.sizes))
        for task in ("train", "predict"):
            first = None
            for patches in options.sizes:
                command = [sys.executable, __file__, "--measure", task, str(path), str(patches)]
                answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found = json.loads(answer.splitlines()[-1])
                first = first or found
                seconds = f"{found['seconds']:.1f} s ({found['seconds'] / first['seconds']:.1f} x)"
                memory = f"{found['bytes'] / 2**20:.0f} MiB ({found['bytes'] / first['bytes']:.2f} x)"
                print(f"{task} {patches} patches: {seconds}, {memory}", flush=True)


if __name__ == "__main__":
    main()
