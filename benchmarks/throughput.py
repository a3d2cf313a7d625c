"""Processor time of training, against the same network in plain torch.nn.

Run as `python benchmarks/throughput.py [--rounds 3]`. Both train dim 20, depth 3 on the same 600 patches in batches of
60 on one thread, without augmentation. They take turns for several rounds, and the medians count.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from microcalc.config import Precision, Preprocessing, TrainingSettings
from microcalc.networks.hypermodel import build_network
from microcalc.training.loop import train

DIM, DEPTH, DROPOUT, BATCH, PATCHES, EPOCHS = 20, 3, 0.05, 60, 600, 3


def plain_network(channels: int) -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for filters in (DIM, 2 * DIM, 4 * DIM):
        layers += [torch.nn.Conv2d(channels, filters, 3, padding=1), torch.nn.ReLU()]
        layers += [torch.nn.BatchNorm2d(filters, eps=1e-3), torch.nn.MaxPool2d(2), torch.nn.Dropout(DROPOUT)]
        channels = filters
    layers += [torch.nn.Flatten(), torch.nn.Dropout(DROPOUT + 0.1)]
    widths = [channels * 49, *(256 // i for i in range(1, DEPTH + 1))]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))


def train_plain(images: np.ndarray, labels: np.ndarray, channels: int, precision: Precision) -> None:
    network = plain_network(channels)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, fused=True)
    patches, targets = torch.tensor(images)[:, None].repeat(1, channels, 1, 1), torch.tensor(labels).float()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(patches)).split(BATCH):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                output = network(patches[chosen])[:, 0].float()
            optimizer.zero_grad()
            functional.binary_cross_entropy_with_logits(output, targets[chosen]).backward()
            optimizer.step()


def train_ours(images: np.ndarray, labels: np.ndarray, preprocessing: Preprocessing, precision: Precision) -> None:
    network = build_network(DIM, DEPTH, DROPOUT, preprocessing, seed=0)
    settings = TrainingSettings(batch_size=BATCH, precision=precision)
    train(network, images, labels, settings=settings, augmentation=None, epochs=EPOCHS, seed=0)


def seconds(work: Callable[..., None], *arguments: object) -> float:
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images, labels = rng.random((PATCHES, 60, 60), np.float32), rng.integers(0, 2, PATCHES)
    cases: list[tuple[Preprocessing, int, Precision]] = [
        ("raw", 1, "float32"),
        ("raw+contrast_normalized", 2, "float32"),
        ("raw", 1, "bfloat16"),
        ("raw+contrast_normalized", 2, "bfloat16"),
    ]
    print("| input | precision | ours, patches a second | plain torch.nn |\n| --- | --- | --- | --- |")
    for preprocessing, channels, precision in cases:
        ours, plain = [], []
        for _ in range(rounds):
            ours.append(seconds(train_ours, images, labels, preprocessing, precision))
            plain.append(seconds(train_plain, images, labels, channels, precision))
        rates = [EPOCHS * PATCHES / statistics.median(each) for each in (ours, plain)]
        print(f"| {preprocessing} | {precision} | {rates[0]:.0f} | {rates[1]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
