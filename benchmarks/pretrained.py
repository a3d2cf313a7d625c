"""Make the committee that comes with the package from scratch, and compare it with the one that is there.

Run as `make pretrained`, or `python benchmarks/pretrained.py`. Two studies on the INFN data with the same settings: one
on all patients, whose committee ships, and its twin with the archive's official Test folder set aside, whose figures on
Test go on the card. The recipe is the default one, with fewer filters to choose from so that the weights stay small;
they are halved to float16 where every figure holds to 0.001. Finished studies are kept, whatever their
settings: give another --out once they have changed. `--install` puts the new committee in the place of the old one,
which need not be one that this version reads, instead of comparing them.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from microcalc import Committee, Data
from microcalc.evaluation.metrics import assess
from microcalc.files import write_atomically, write_json

PLACE = Path(__file__).parents[1] / "src" / "microcalc" / "pretrained"
LARGEST_BYTES = 10_000_000
SCALES = ["--largest-scale", "1.15", "--largest-reduction", "1.4"]
TISSUE = ["--other-backgrounds", "0.35", "--strands", "0.15", "--texture", "0.3"]
INPUT = ["--input-scaling", "unit+normalized", "--looks", "quarters"]
RECIPE = [*INPUT, *SCALES, *TISSUE, "--search-epochs", "8", "--epochs", "80"]
OPTIONS = ["--data", "infn", "--dim", "10", "15", *RECIPE, "--gradcam", "0"]
RATES = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity")

CARD = """# Card of the committee that comes with microcalc

**Intended use.** Research and teaching on small portions of digitised film mammograms. It is not a medical device and
must not be used to diagnose, to screen, or to decide on anyone's care.

**What it takes.** Patches of 60 x 60 pixels at about 85 um a pixel, grey levels in [0, 1], brighter where the film is
brighter. **What it gives.** The probability that a cluster of microcalcifications is present, a decision at the
threshold {threshold:.3f}, each expert's vote, and a warning where a patch is unlike its training data.

**Data.** The INFN archive `DL_class_data`: {images} patches ({positives} with a cluster) of {groups} patients, one
film archive. Patients whose patches share pixels count as one.

**Procedure.** `microcalc run {options} --seed {seed}`: five experts, each trained on four fifths of the patients
but for the {committee_images} patches of {committee_patients} patients that were set aside to weigh, calibrate and
threshold the committee. Weights are stored as {dtype}.

**Figures.** Intervals are 95 %, by bootstrap over patients.

| figure | experts, cross-validated | twin's committee, official Test | this committee, external set |
| --- | --- | --- | --- |
{rows}

The first column is on patients that the expert judged never saw. The second is a twin's, made the same way without any
patient of the archive's Test folder, and judged on that folder once. The third is on 76 patches of other mammograms,
coarser and full of linear strands, half with a cluster, at the threshold chosen at home: **expect errors abroad.**

**Limits.** One archive of film, few patients, patches cut around findings: figures on other film, on digital mammograms
and on whole mammograms will be lower. Probabilities are calibrated at home only (expected calibration error abroad:
{calibration_error:.2f}).

**To make it again.** `make pretrained` repeats all of this from scratch and compares.
"""


def study(out: Path, *options: str) -> dict:
    """Run one study, or take what is there, and give its metrics."""
    if not (out / "report.html").exists():
        command = [sys.executable, "-c", "from microcalc.cli import main; main()", "run", "--resume", "--out", str(out)]
        subprocess.run([*command, *OPTIONS, *options], check=True)
    return json.loads((out / "metrics.json").read_text())


def cell(figures: dict, name: str) -> str:
    low, high = figures[f"{name}_ci95"]
    return f"{figures[name]:.3f} ({low:.3f} to {high:.3f})"


def halve_where_figures_hold(committee: Committee, folder: Path, external: Data) -> str:
    """Save in float16, and back in float32 where a figure on the external set moves by 0.001."""
    committee.save(folder, np.float16)
    halved = Committee.load(folder).predict_proba(external.images)
    before = assess(external.labels, committee.predict_proba(external.images), committee.threshold)
    after = assess(external.labels, halved, committee.threshold)
    if all(abs(before[rate] - after[rate]) < 1e-3 for rate in RATES):
        return "float16"
    committee.save(folder)
    return "float32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/pretrained"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--install", action="store_true")
    options = parser.parse_args()
    whole = study(options.out / "whole", "--seed", str(options.seed))
    twin = study(options.out / "twin", "--test", "official", "--seed", str(options.seed))
    external = Data.load("external")
    made = options.out / "committee"
    committee = Committee.load(options.out / "whole" / "committee")
    dtype = halve_where_figures_hold(committee, made, external)
    parts = (whole["cross_validation"], twin["test"], whole["external"])
    rows = [f"| {name.replace('_', ' ')} | " + " | ".join(cell(part, name) for part in parts) + " |" for name in RATES]
    rows[0] = rows[0].replace("auc", "AUC")
    card = CARD.format(
        **{name: whole["dataset"][name] for name in ("images", "positives", "groups")},
        threshold=committee.threshold,
        options=" ".join(OPTIONS),
        seed=options.seed,
        committee_images=whole["committee"]["images"],
        committee_patients=whole["committee"]["patients"],
        dtype=dtype,
        rows="\n".join(rows),
        calibration_error=whole["external"]["expected_calibration_error"],
    )
    write_atomically(made / "CARD.md", card)
    figures = {"cross_validation": parts[0], "official_test": parts[1], "external": parts[2]}
    write_json(made / "card.json", {"seed": options.seed, "options": OPTIONS, "dtype": dtype, "figures": figures})
    size = sum(path.stat().st_size for path in made.iterdir())
    print(f"committee: {size / 1e6:.1f} MB in {dtype}, of at most {LARGEST_BYTES / 1e6:.0f} MB")
    if options.install:
        for path in made.iterdir():
            write_atomically(PLACE / path.name, path.read_bytes())
        print(f"installed in {PLACE.relative_to(PLACE.parents[2])}")
    elif (PLACE / "committee.json").exists():
        here, there = (
            committee_.predict_proba(external.images) for committee_ in (Committee.load(made), Committee.pretrained())
        )
        print(f"largest difference from the committee that is there: {np.abs(here - there).max():.6f}")


if __name__ == "__main__":
    main()
