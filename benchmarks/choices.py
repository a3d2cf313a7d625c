"""Why the default recipe is what it is: recipes compared on hold-outs inside the development set.

Run as `python benchmarks/choices.py`. It sees only the patches of the INFN archive's Train folder whose patients are
not in Test: four grouped hold-outs, with a trial's weights and an expert each, trained as in a study, over three seeds.
A row for each recipe holds mean and standard deviation over the seeds of the pooled hold-outs' loss, AUC and accuracy.
"""

import argparse
import statistics

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from microcalc import Data
from microcalc.committee.inference import predict
from microcalc.config import AugmentationSettings, StudyConfig, TrainingSettings
from microcalc.networks.hypermodel import build_network
from microcalc.training.loop import train
from microcalc.training.plan import set_test_aside
from microcalc.training.splits import grouped_folds, split_groups

ROWS = {
    "default": StudyConfig(),
    "no dust": StudyConfig(augmentation=AugmentationSettings(p_dust=0.0)),
    "no tissue, no dust": StudyConfig(
        augmentation=AugmentationSettings(p_linear_structures=0.0, p_power_law_noise=0.0, p_dust=0.0)
    ),
    "raw alone": StudyConfig(training=TrainingSettings(preprocessing="raw")),
}
FOLDS, DIM, DEPTH, DROPOUT = 4, 20, 3, 0.05


def one_network(data: Data, config: StudyConfig, fold: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Train as a study does, a trial's weights first, and predict what was held out."""
    torch.set_num_threads(1)
    development, held_out = list(grouped_folds(data.labels, data.groups, FOLDS, 0))[fold]
    part = data.select(development)
    training, judging = (part.select(places) for places in split_groups(part.labels, part.groups, 0.25, seed))
    network = build_network(DIM, DEPTH, DROPOUT, config.training.preprocessing, seed)
    for stage, epochs, holdout in (
        (training, config.search.epochs, (judging.images, judging.labels)),
        (part, config.training.epochs, None),
    ):
        train(
            network,
            stage.images,
            stage.labels,
            settings=config.training,
            augmentation=config.training_augmentation,
            epochs=epochs,
            seed=seed,
            holdout=holdout,
        )
    return held_out, predict(network, data.images[held_out])


def figures(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[float]:
    """Loss, AUC and accuracy at 0.5."""
    loss = log_loss(labels, np.clip(probabilities, 1e-6, 1 - 1e-6))
    return [float(loss), float(roc_auc_score(labels, probabilities)), float(np.mean((probabilities > 0.5) == labels))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    data, _ = set_test_aside(Data.load("infn"), "official", seed=0)
    print(f"{len(data)} patches of {len(set(data.groups))} patients")
    print("| recipe | loss | AUC | accuracy |\n| --- | --- | --- | --- |", flush=True)
    for name in options.rows:
        calls = [
            joblib.delayed(one_network)(data, ROWS[name], fold, 100 * seed + fold)
            for seed in options.seeds
            for fold in range(FOLDS)
        ]
        answers = joblib.Parallel(options.jobs)(calls)
        rows = []
        for start in range(0, len(answers), FOLDS):
            home = np.empty(len(data))
            for place, probabilities in answers[start : start + FOLDS]:
                home[place] = probabilities
            rows.append(figures(data.labels, home))
        cells = [
            f"{statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}"
            for values in zip(*rows, strict=True)
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
