"""Time and memory against the number of patches: an epoch of training, and prediction streamed from disk.

Run as `python benchmarks/scaling.py`. Patches are phantoms, written as PNG once; each size is measured in a process of
its own, on one thread, after its imports. Training holds its patches in memory. Prediction is what `microcalc predict`
does: a committee of five, untrained and with one look a patch, asked about files a batch at a time. Memory is anonymous
memory (what the process itself allocated), at its peak.
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
from PIL import Image

SIZES = [1_000, 10_000, 100_000]
BATCH, EXPERTS, PATCHES_A_PATIENT = 1_000, 5, 10
NETWORK = (20, 3, 0.05)  # dim, depth, dropout


def write_phantom(folder: Path, patches: int) -> None:
    """A PNG a patch, and all labels in one file."""
    from microcalc.data.phantom import iter_phantom

    labels: list[int] = []
    for images, part, _ in iter_phantom(
        patients=-(-patches // PATCHES_A_PATIENT), patches_per_patient=PATCHES_A_PATIENT
    ):
        for image, label in zip(np.rint(images * 255).astype(np.uint8), part, strict=True):
            Image.fromarray(image).save(folder / f"{len(labels):06d}.png")
            labels.append(label)
    np.save(folder / "labels.npy", labels)


def files_of(folder: Path, patches: int) -> list[Path]:
    return [folder / f"{number:06d}.png" for number in range(patches)]


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


def measure(task: str, folder: Path, patches: int) -> dict:
    import torch

    import microcalc.committee.predictions
    import microcalc.training.loop  # noqa: F401  all that is heavy, before the clock starts

    torch.set_num_threads(1)
    watch = PeakAnonymous()
    watch.start()
    start = time.perf_counter()
    {"train": an_epoch, "predict": all_predictions}[task](folder, patches)
    seconds = time.perf_counter() - start
    watch.ended.set()
    watch.join()
    return {"seconds": seconds, "bytes": watch.peak}


def an_epoch(folder: Path, patches: int) -> None:
    from microcalc.config import AugmentationSettings, TrainingSettings
    from microcalc.data.patch_files import read_batches
    from microcalc.networks.hypermodel import build_network
    from microcalc.training.loop import train

    settings = TrainingSettings()
    images = np.concatenate([batch.views for batch in read_batches(files_of(folder, patches), BATCH)])
    labels = np.load(folder / "labels.npy")[:patches]
    network = build_network(*NETWORK, preprocessing=settings.preprocessing)
    train(network, images, labels, settings=settings, augmentation=AugmentationSettings(), epochs=1, seed=0)


def all_predictions(folder: Path, patches: int) -> None:
    from microcalc import Committee
    from microcalc.committee.calibration import Calibration
    from microcalc.committee.committee import ExpertShape
    from microcalc.committee.predictions import predict_files
    from microcalc.config import TrainingSettings, WaveletSettings
    from microcalc.networks.hypermodel import build_network

    shape = ExpertShape(*NETWORK, TrainingSettings.preprocessing)
    networks = tuple(build_network(**vars(shape), seed=seed) for seed in range(EXPERTS))
    equal = np.full(EXPERTS, 1 / EXPERTS)
    committee = Committee(networks, (shape,) * EXPERTS, equal, Calibration(1.0, 0.0), 0.5, WaveletSettings("none"))
    predict_files(committee, files_of(folder, patches))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--measure", nargs=3, metavar=("TASK", "FOLDER", "PATCHES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        task, folder, patches = options.measure
        print(json.dumps(measure(task, Path(folder), int(patches))))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_phantom(Path(folder), max(options.sizes))
        for task in ("train", "predict"):
            first = None
            for patches in options.sizes:
                command = [sys.executable, __file__, "--measure", task, folder, str(patches)]
                answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found = json.loads(answer.splitlines()[-1])
                first = first or found
                seconds = f"{found['seconds']:.1f} s ({found['seconds'] / first['seconds']:.1f} x)"
                memory = f"{found['bytes'] / 2**20:.0f} MiB ({found['bytes'] / first['bytes']:.2f} x)"
                print(f"{task} {patches} patches: {seconds}, {memory}", flush=True)


if __name__ == "__main__":
    main()
