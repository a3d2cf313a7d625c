"""What the study reaches on the real data, over several seeds, beside the same without each of its choices.

Run as `python benchmarks/reach.py --out runs/reach`: for every row and seed a study with cross-validation, and one
with the official Test folder set aside. Choices inside a study are made on hold-outs; the figures come from patches
that nothing in it has seen. The external set, whose pixel size is unknown, measures no transfer and is left out.
Finished studies are kept, whatever their settings, so that it can be interrupted: give another --out once defaults have
changed.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROWS = {
    "default": [],
    "no dust": ["--p-dust", "0"],
    "raw patch alone": ["--preprocessing", "raw"],
    "sym3 filter": ["--wavelet", "sym3"],
    "haar filter": ["--wavelet", "haar"],
}
FIGURES = {
    "CV AUC": ("whole", "cross_validation", "auc"),
    "CV accuracy": ("whole", "cross_validation", "accuracy"),
    "official Test AUC": ("official", "test", "auc"),
    "official Test accuracy": ("official", "test", "accuracy"),
}
STUDIES = {"whole": ["--test", "none"], "official": ["--test", "official"]}


def study(out: Path, options: list[str]) -> dict:
    """Run one study, or take what is there, and give its metrics."""
    if not (out / "report.html").exists():
        command = [sys.executable, "-m", "microcalc", "run", "--data", "infn", "--external", "none"]
        subprocess.run([*command, "--resume", "--out", str(out), "--gradcam", "0", *options], check=True)
    return json.loads((out / "metrics.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/reach"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    options = parser.parse_args()
    lines = []
    for row in options.rows:
        folder = options.out / row.replace(" ", "_")
        found = {
            (seed, name): study(folder / f"seed_{seed}_{name}", [*ROWS[row], *STUDIES[name], "--seed", str(seed)])
            for seed in options.seeds
            for name in STUDIES
        }
        cells = [
            mean_and_spread([found[seed, name][part][figure] for seed in options.seeds])
            for name, part, figure in FIGURES.values()
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    print(f"| seeds {options.seeds} | " + " | ".join(FIGURES) + " |")
    print("| --- " * (len(FIGURES) + 1) + "|")
    print("\n".join(lines))


def mean_and_spread(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} +- {spread:.4f}"


if __name__ == "__main__":
    main()
