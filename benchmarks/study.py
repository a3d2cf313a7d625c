"""The default study against the original procedure: wall time, peak memory, AUC.

Run as `python benchmarks/study.py --tensorflow-python PATH`, where PATH is a Python that has the extra `bench`. Ours is
`microcalc run` on the INFN data, whole. The original procedure is Keras on TensorFlow: it adds an augmented copy of
each of the 797 patches, and in each of 5 folds runs 7 trials of 50 epochs on three quarters of the development set,
judging each epoch on the last quarter, then trains the fold's expert for 100 epochs in the same way. One trial of it is
timed and multiplied by 5 x (7 + 100 / 50) = 45; all else that it does is left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensorflow-python", default=sys.executable)
    parser.add_argument("--one-trial", type=int, metavar="THREADS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_trial:
        print(one_trial(options.one_trial))
        return
    command = [options.tensorflow_python, __file__, "--one-trial"]
    trials = [
        float(subprocess.run([*command, str(n)], check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        for n in (1, 2)
    ]
    original = min(trials) * FOLDS * (TRIALS + EXPERT_EPOCHS / TRIAL_EPOCHS)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "study"
        start = time.perf_counter()
        ours = [sys.executable, "-c", "from microcalc.cli import main; main()", "run", "--data", "infn", "-q"]
        subprocess.run([*ours, "--out", str(out)], check=True)
        wall = time.perf_counter() - start
        metrics = json.loads((out / "metrics.json").read_text())
    print(f"one trial of the original procedure: {trials[0]:.1f} s on one thread, {trials[1]:.1f} s on two")
    print(f"the original procedure: {original:.0f} s, from the faster of them")
    print(f"default study: {wall:.0f} s, from the command to its end")
    print(f"study ratio: {original / wall:.1f} x")
    print(f"peak memory: {metrics['timing']['peak_memory_bytes'] / 1e9:.2f} GB, all processes together")
    print(f"cross-validated AUC: {metrics['cross_validation']['auc']:.4f}")


if __name__ == "__main__":
    main()
