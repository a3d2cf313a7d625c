"""Which threshold holds on new patients: the best on the committee's patches, the share of positives, or one half.

Run as `python benchmarks/threshold.py`. Scores are drawn, not learned: 14 patients of 8 patches choose, 3,000 of 2
judge; patients differ, and the scores are neither logistic nor centred. Each line is a separation of the classes; each
figure the mean balanced accuracy on the new patients, and its standard deviation over 150 draws.
"""

import numpy as np

from microcalc.training.calibration import choose_threshold, fit_calibration

DRAWS = 150


def draw(rng: np.random.Generator, patients: int, patches: int, separation: float) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(rng.integers(0, 2, patients), patches)
    patient = np.repeat(rng.normal(0, 1.2, patients), patches)
    score = separation * (2 * labels - 1) + patient + rng.normal(0, 1.5, len(labels))
    skewed = score + 0.24 * np.sign(score) * np.abs(score) ** 1.2 + 0.4
    return labels, 1 / (1 + np.exp(-skewed))


def balanced(labels: np.ndarray, decisions: np.ndarray) -> float:
    return float((decisions[labels == 1].mean() + 1 - decisions[labels == 0].mean()) / 2)


def best_found(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The middle of the widest gap between neighbouring probabilities of best balanced accuracy."""
    edges = np.unique(np.concatenate([probabilities, [0.0, 1.0]]))
    middles = (edges[1:] + edges[:-1]) / 2
    found = np.array([balanced(labels, probabilities >= middle) for middle in middles])
    return float(middles[np.argmax(np.where(found >= found.max() - 1e-12, np.diff(edges), -1))])


def main() -> None:
    rng = np.random.default_rng(0)
    for separation in (2, 3, 4, 5):
        found: dict[str, list[float]] = {"best found": [], "share of positives": [], "one half, uncalibrated": []}
        while len(found["best found"]) < DRAWS:
            labels, raw = draw(rng, 14, 8, separation)
            if len(set(labels.tolist())) < 2:
                continue
            calibration = fit_calibration(raw, labels)
            here = calibration.apply(raw)
            new_labels, new_raw = draw(rng, 3000, 2, separation)
            there = calibration.apply(new_raw)
            found["best found"].append(balanced(new_labels, there >= best_found(labels, here)))
            found["share of positives"].append(balanced(new_labels, there >= choose_threshold(labels, here)))
            found["one half, uncalibrated"].append(balanced(new_labels, new_raw >= 0.5))
        cells = [f"{name} {np.mean(values):.4f} ({np.std(values):.4f})" for name, values in found.items()]
        print(f"separation {separation}: " + ", ".join(cells))


if __name__ == "__main__":
    main()
