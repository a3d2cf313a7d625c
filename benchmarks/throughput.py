"""Images a second in training and prediction, against the same network in plain torch.nn and in Keras on TensorFlow.

Run as `python benchmarks/throughput.py --tensorflow-python PATH`, where PATH is a Python that has the extra `bench`
(by default the running one; `none` leaves TensorFlow out). All train dim 20, depth 3 on the same arrays in batches of
60, without augmentation, on the patch alone, and predict with five networks. TensorFlow runs compiled `fit` and
`predict` (without XLA, which makes this network several times slower on a processor) on one thread or two, whichever is
faster; ours and plain torch.nn run as a study does, one single-threaded process a core. They take turns for several
rounds, and the medians count. `--profile` adds where our time goes and how near it comes to the rate of the processor's
matrix units.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DIM, DEPTH, DROPOUT, BATCH = 20, 3, 0.05, 60
EXPERTS = 5
TRAINING_IMAGES, EPOCHS, PREDICTED_IMAGES = 600, 3, 1000
Tasks = dict[str, Callable[[], Any]]


def arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((TRAINING_IMAGES, 60, 60), np.float32), rng.integers(0, 2, TRAINING_IMAGES)


def to_predict() -> np.ndarray:
    return np.random.default_rng(1).random((PREDICTED_IMAGES, 60, 60), np.float32)


def our_tasks(share: int) -> Tasks:
    """Ours in one single-threaded process of ``share`` side by side: each trains a network, each predicts a share."""
    import torch

    from microcalc.committee.inference import predict
    from microcalc.config import AugmentationSettings, TrainingSettings
    from microcalc.networks.hypermodel import build_network, computing_in
    from microcalc.training.loop import train

    torch.set_num_threads(1)
    images, labels = arrays()
    experts = [build_network(DIM, DEPTH, DROPOUT, "raw", seed=seed) for seed in range(EXPERTS)]
    part = to_predict()[: PREDICTED_IMAGES // share]

    two_channels = build_network(DIM, DEPTH, DROPOUT, TrainingSettings.preprocessing)

    def training(augmentation: AugmentationSettings | None, network: Any = experts[0]) -> None:
        settings = TrainingSettings(batch_size=BATCH)
        train(network, images, labels, settings=settings, augmentation=augmentation, epochs=EPOCHS, seed=0)

    def prediction() -> None:
        for expert in experts:
            predict(expert, part)

    def in_bfloat16() -> None:
        with contextlib.ExitStack() as stack:
            for expert in experts:
                stack.enter_context(computing_in(expert, "bfloat16"))
            prediction()

    return {
        "train": lambda: training(None),
        "train augmented": lambda: training(AugmentationSettings()),
        "train two channels": lambda: training(None, two_channels),
        "predict": prediction,
        "predict in bfloat16": in_bfloat16,
        "train torch.nn": lambda: train_plain(images, labels),
        "profile": lambda: profile(lambda: training(None)),
        "matrix rate": matrix_rate,
    }


def train_plain(images: np.ndarray, labels: np.ndarray) -> None:
    """The same training with the same network written in plain torch.nn, in bfloat16 where that is faster."""
    import torch
    from torch.nn import functional

    from microcalc.training.number_format import fastest_format

    layers: list[torch.nn.Module] = []
    channels = 1
    for filters in (DIM, 2 * DIM, 4 * DIM):
        layers += [torch.nn.Conv2d(channels, filters, 3, padding=1), torch.nn.ReLU()]
        layers += [torch.nn.BatchNorm2d(filters, eps=1e-3), torch.nn.MaxPool2d(2), torch.nn.Dropout(DROPOUT)]
        channels = filters
    layers += [torch.nn.Flatten(), torch.nn.Dropout(DROPOUT + 0.1)]
    widths = [channels * 49, *(256 // i for i in range(1, DEPTH + 1))]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, fused=True)
    patches, targets = torch.tensor(images).unsqueeze(1), torch.tensor(labels, dtype=torch.float32)
    fast = fastest_format(torch.device("cpu")) == "bfloat16"
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(patches)).split(BATCH):
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                output = network(patches[chosen])[:, 0].float()
            optimizer.zero_grad()
            functional.binary_cross_entropy_with_logits(output, targets[chosen]).backward()
            optimizer.step()


def profile(work: Callable[[], None]) -> list[tuple[str, int, float]]:
    """Name, calls and share of the time of each operation."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CPU]) as record:
        work()
    events = sorted(record.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return [(event.key, event.count, event.self_cpu_time_total / total) for event in events[:20]]


def matrix_rate(side: int = 2048, repeats: int = 7) -> float:
    """Floating-point operations a second of one thread in a bfloat16 matrix product."""
    import torch

    matrix = torch.rand(side, side).bfloat16()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times)


def tensorflow_tasks(threads: int) -> Tasks:
    """The network of stock layers, compiled and fitted as Keras's guides do."""
    os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3")
    import keras
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)

    def build() -> Any:
        layers = [keras.Input((60, 60, 1))]
        for filters in (DIM, 2 * DIM, 4 * DIM):
            layers.append(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
            layers.append(keras.layers.BatchNormalization(momentum=0.9))
            layers += [keras.layers.MaxPooling2D(), keras.layers.Dropout(DROPOUT)]
        layers += [keras.layers.Flatten(), keras.layers.Dropout(DROPOUT + 0.1)]
        layers += [keras.layers.Dense(256 // i, "relu") for i in range(1, DEPTH + 1)]
        model = keras.Sequential([*layers, keras.layers.Dense(1, "sigmoid")])
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
        return model

    images, labels = arrays()
    models, whole = [build() for _ in range(EXPERTS)], to_predict()

    def training() -> None:
        models[0].fit(images, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)

    def prediction() -> None:
        for model in models:
            model.predict(whole, batch_size=250, verbose=0)

    return {"train": training, "predict": prediction}


class Worker:
    """A process that waits for the name of a task, does it, and answers with its result and the time it took."""

    def __init__(self, python: str, kind: str, **options: Any) -> None:
        command = [python, str(Path(__file__).resolve()), "--worker", json.dumps({"kind": kind, **options})]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, task: str) -> None:
        """Begin a task and return at once."""
        assert self.process.stdin is not None
        print(task, file=self.process.stdin, flush=True)

    def answer(self) -> Any:
        """Wait for the task to end: "seconds", "processor_seconds" of all threads, and "result"."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        sys.exit(f"a worker ended early ({self.process.args})")


def serve(kind: str, **options: Any) -> None:
    tasks = {"ours": our_tasks, "tensorflow": tensorflow_tasks}[kind](**options)
    for line in sys.stdin:
        start, processor_start = time.perf_counter(), time.process_time()
        result = tasks[line.strip()]()
        took = {"seconds": time.perf_counter() - start, "processor_seconds": time.process_time() - processor_start}
        print("answer", json.dumps({**took, "result": result}), flush=True)


@dataclass(frozen=True)
class Contestant:
    """Workers that do a task side by side, with ``images`` each."""

    workers: list[Worker]
    task: str
    images: int

    def run(self) -> tuple[float, float]:
        """Images a second, added over the workers, and images a second of processor time."""
        for worker in self.workers:
            worker.ask(self.task)
        answers = [worker.answer() for worker in self.workers]
        rate = sum(self.images / answer["seconds"] for answer in answers)
        return rate, self.images * len(answers) / sum(answer["processor_seconds"] for answer in answers)


def take_turns(contestants: dict[str, Contestant], rounds: int) -> dict[str, float]:
    """Images a second of each, the median over rounds in which each has its turn, after one round to warm up."""
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, contestant in contestants.items():
            runs[name].append(contestant.run())
    rates = {}
    for name, results in runs.items():
        rates[name], of_processor = (statistics.median(column) for column in zip(*results[1:], strict=True))
        print(f"{name}: {rates[name]:.0f} images/s ({of_processor:.0f} a second of processor time)", flush=True)
    return rates


def compare(python: str, rounds: int, cores: int) -> Worker:
    from microcalc.training.number_format import processor

    ours = [Worker(sys.executable, "ours", share=cores) for _ in range(cores)]
    threads = () if python == "none" else (1, 2)
    theirs = {f"Keras on TensorFlow, {n} thread(s)": [Worker(python, "tensorflow", threads=n)] for n in threads}
    trained, part = TRAINING_IMAGES * EPOCHS, PREDICTED_IMAGES // cores

    print(processor())
    print(f"training, {cores} processes of ours side by side")
    rates = take_turns(
        {name: Contestant(workers, "train", trained) for name, workers in theirs.items()}
        | {"plain torch.nn": Contestant(ours, "train torch.nn", trained), "ours": Contestant(ours, "train", trained)}
        | {"ours, augmented": Contestant(ours, "train augmented", trained)}
        | {"ours, default input": Contestant(ours, "train two channels", trained)},
        rounds,
    )
    print(f"training ratio to plain torch.nn: {rates['ours'] / rates['plain torch.nn']:.2f} x")
    if theirs:
        print(f"training ratio to TensorFlow: {rates['ours'] / max(rates[name] for name in theirs):.2f} x")
    print(f"augmentation adds {100 * (rates['ours'] / rates['ours, augmented'] - 1):.0f} % to the time")
    print(f"the default input adds {100 * (rates['ours'] / rates['ours, default input'] - 1):.0f} % to the time")

    print(f"prediction by {EXPERTS} networks, {cores} processes of ours side by side")
    rates = take_turns(
        {name: Contestant(workers, "predict", PREDICTED_IMAGES) for name, workers in theirs.items()}
        | {"ours": Contestant(ours, "predict", part), "ours, bfloat16": Contestant(ours, "predict in bfloat16", part)},
        rounds,
    )
    if theirs:
        best = max(rates[name] for name in theirs)
        print(f"prediction ratio to TensorFlow: {rates['ours'] / best:.2f} x")
        print(f"prediction ratio to TensorFlow in bfloat16: {rates['ours, bfloat16'] / best:.2f} x", flush=True)
    return ours[0]


def operations_an_image() -> float:
    """Multiplications and additions of convolutions and dense layers in training: forward, and twice that backward."""
    first, second, third = (
        9 * inputs * outputs * side**2
        for inputs, outputs, side in ((1, DIM, 60), (DIM, 2 * DIM, 30), (2 * DIM, 4 * DIM, 15))
    )
    widths = [4 * DIM * 49, *(256 // i for i in range(1, DEPTH + 1)), 1]
    dense = sum(a * b for a, b in itertools.pairwise(widths))
    return 2.0 * (2 * first + 3 * (second + third + dense))


def show_profile(worker: Worker) -> None:
    alone = Contestant([worker], "train", TRAINING_IMAGES * EPOCHS)
    images_a_second = statistics.median(alone.run()[0] for _ in range(3))
    worker.ask("matrix rate")
    peak, rate = worker.answer()["result"], operations_an_image() * images_a_second
    print(f"one process alone: {images_a_second:.0f} images/s, {rate / 1e12:.3f} TFLOP/s,")
    print(f"{100 * rate / peak:.1f} % of the {peak / 1e12:.2f} TFLOP/s of a bfloat16 matrix product on one core")
    worker.ask("profile")
    for name, calls, share in worker.answer()["result"]:
        print(f"{100 * share:5.1f} %  {calls:6d} calls  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensorflow-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(**options.worker)
        return
    first = compare(options.tensorflow_python, options.rounds, options.cores)
    if options.profile:
        show_profile(first)


if __name__ == "__main__":
    main()
