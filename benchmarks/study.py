"""The default study: time by phase and kind of work, peak memory, AUC; and the original procedure beside it.

Run as `python benchmarks/study.py [--tensorflow-python PATH] [options of microcalc run]`; PATH is a Python that has
the extra `bench`; without it the original procedure is left out. ONEDNN_MAX_CPU_ISA=AVX2 before it shows what a laptop
without AVX512 sees, of PyTorch's own kernels too. Ours is `microcalc run` on the INFN data, whole. What each phase
consists of comes from torch.profiler, on a piece of it: an epoch of a trial and of an expert of one fold, and the
committee that comes with microcalc on some external patches.

The original procedure is Keras on TensorFlow: it adds an augmented copy of each of the 797 patches, and in each of 5
folds runs 7 trials of 50 epochs on three quarters of the development set, judging each epoch on the last quarter, then
trains the fold's expert for 100 epochs in the same way. One trial of it is timed and multiplied by
5 x (7 + 100 / 50) = 45; all else that it does is left out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FOLDS, TRIALS, TRIAL_EPOCHS, EXPERT_EPOCHS = 5, 7, 50, 100
PATCHES, BATCH = 2 * 797, 60
TRAINED_PATCHES, HELD_OUT_PATCHES = PATCHES * 4 // 5 * 3 // 4, PATCHES * 4 // 5 // 4


def one_trial(threads: int) -> float:
    """Seconds of one trial of the original procedure, run by the Python that has TensorFlow."""
    import keras
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    rng = np.random.default_rng(0)
    training, held_out = (
        (rng.random((patches, 60, 60, 1), np.float32), rng.integers(0, 2, patches))
        for patches in (TRAINED_PATCHES, HELD_OUT_PATCHES)
    )
    layers = [keras.Input((60, 60, 1))]
    for filters in (20, 40, 80):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D(),
            keras.layers.Dropout(0.05),
        ]
    layers += [keras.layers.Flatten(), keras.layers.Dropout(0.15)]
    layers += [keras.layers.Dense(256 // i, "relu") for i in (1, 2, 3)]
    model = keras.Sequential([*layers, keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(*training, batch_size=BATCH, epochs=TRIAL_EPOCHS, validation_data=held_out, verbose=0)
    return time.perf_counter() - start


def pieces(wavelet: str) -> dict[str, Callable[[], Any]]:
    """A piece of each phase of a study on one thread."""
    import torch

    from microcalc import Committee, Data, Model
    from microcalc.committee.committee import filtered
    from microcalc.committee.highest_view import highest_views
    from microcalc.config import StudyConfig, WaveletSettings
    from microcalc.images.tiles import views
    from microcalc.networks.hypermodel import build_network
    from microcalc.training.loop import train

    torch.set_num_threads(1)
    config = StudyConfig(wavelet=WaveletSettings(wavelet))
    data, external, committee = Data.load("infn"), Data.load("external"), Committee.pretrained()
    fold = Model(data, config=config).split.folds[0]
    network = build_network(20, 3, 0.05, config.training.preprocessing)
    how = {"settings": config.training, "augmentation": config.training_augmentation, "epochs": 1, "seed": 0}

    def of(part: Any) -> tuple[Any, Any]:
        return filtered(data.images[part], config.wavelet), data.labels[part]

    def magnified() -> Any:
        seen = [views(image, "unknown") for image in external.images[::19]]
        sizes = np.array([len(each) for each in seen])
        return highest_views(
            committee.networks, committee.weights, filtered(np.concatenate(seen), config.wavelet), sizes
        )

    return {
        "search": lambda: train(network, *of(fold.training), **how, holdout=of(fold.holdout)),
        "experts": lambda: train(network, *of(fold.development), **how),
        "ensemble": magnified,
    }


def kinds(work: Callable[[], Any]) -> dict[str, float]:
    """Return the share of each kind of work in a piece, and the share of the time that it waits for a processor."""
    from torch.profiler import ProfilerActivity, profile

    start, processor_start = time.perf_counter(), time.process_time()
    with profile(activities=[ProfilerActivity.CPU]) as record:
        work()
        wall, processor = time.perf_counter() - start, time.process_time() - processor_start
    seconds: Counter[str] = Counter()
    for event in record.events():
        seconds[kind(event)] += event.self_cpu_time_total / 1e6
    seconds["Python"] = max(0.0, wall - sum(seconds.values()))
    working = {name: each / sum(seconds.values()) for name, each in seconds.items()}
    return {**working, "waiting": max(0.0, 1 - processor / wall)}


def kind(event: Any) -> str:
    """The kind of work of an operation: where it was called, or else what it is."""
    while event is not None:
        if event.name in ("augmentation", "wavelets"):
            return str(event.name)
        name, event = event.name, event.cpu_parent
        if "convolution_backward" in name:
            return "convolution backward"
        if "convolution" in name:
            return "convolution forward"
    return "other layers"


def mark_kinds() -> None:
    """Let the profiler see augmentation and wavelets, which are made of operations of other kinds too."""
    from torch.profiler import record_function

    from microcalc.committee import committee
    from microcalc.training import loop

    loop.augment = record_function("augmentation")(loop.augment)
    committee.wavelet_filter = record_function("wavelets")(committee.wavelet_filter)


def show_phases(timing: dict[str, float], wavelet: str) -> None:
    """Print the seconds of each phase, and how they divide."""
    mark_kinds()
    shares = {}
    for phase, work in pieces(wavelet).items():
        work()
        shares[phase] = kinds(work)
    names = list(dict.fromkeys(name for share in shares.values() for name in share))
    print("phase".ljust(10), "seconds".rjust(8), *(name.rjust(max(9, len(name))) for name in names))
    for phase, share in shares.items():
        row = [f"{100 * share.get(name, 0):.0f} %".rjust(max(9, len(name))) for name in names]
        print(phase.ljust(10), f"{timing[f'{phase}_s']:8.0f}", *row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensorflow-python", metavar="PATH")
    parser.add_argument("--one-trial", type=int, metavar="THREADS", help=argparse.SUPPRESS)
    parser.add_argument("--wavelet", default="none")
    options, given = parser.parse_known_args()
    if options.one_trial:
        print(one_trial(options.one_trial))
        return
    if "ONEDNN_MAX_CPU_ISA" in os.environ:
        os.environ.setdefault("ATEN_CPU_CAPABILITY", os.environ["ONEDNN_MAX_CPU_ISA"].lower())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "study"
        start = time.perf_counter()
        ours = [sys.executable, "-m", "microcalc", "run", "--data", "infn", "-q", "--wavelet", options.wavelet]
        subprocess.run([*ours, "--out", str(out), *given], check=True)
        wall = time.perf_counter() - start
        metrics = json.loads((out / "metrics.json").read_text())
    from microcalc.training.number_format import processor

    print(processor())
    print(f"default study: {wall:.0f} s, from the command to its end")
    print(f"peak memory: {metrics['timing']['peak_memory_bytes'] / 1e9:.2f} GB, all processes together")
    figures = metrics["cross_validation"]
    print(f"cross-validated AUC: {figures['auc']:.4f}, accuracy: {figures['accuracy']:.3f}")
    show_phases(metrics["timing"], options.wavelet)
    if options.tensorflow_python is None:
        return
    command = [options.tensorflow_python, __file__, "--one-trial"]
    trials = [
        float(subprocess.run([*command, str(n)], check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        for n in (1, 2)
    ]
    original = min(trials) * FOLDS * (TRIALS + EXPERT_EPOCHS / TRIAL_EPOCHS)
    print(f"one trial of the original procedure: {trials[0]:.1f} s on one thread, {trials[1]:.1f} s on two")
    print(f"the original procedure: {original:.0f} s, from the faster of them")
    print(f"study ratio: {original / wall:.1f} x")


if __name__ == "__main__":
    main()
