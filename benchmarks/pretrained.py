"""Make the committee that comes with the package from scratch, and compare it with the one that is there.

Run as `make pretrained`, or `python benchmarks/pretrained.py`. Three studies on the INFN data: one on all patients,
whose committee ships; its twin with the archive's official Test folder set aside, whose figures on Test go on the card;
and one that learns single calcifications as normal too, whose committee ships for whole mammograms (then make its
second opinion with benchmarks/scan_model.py). The recipe is the default one, with fewer filters to choose from so that
the weights stay small. They are halved to float16 where that moves no probability of the study's own patches by 0.01.
Finished studies are kept, whatever their settings: give another --out once they have changed. `--install` puts the new
committees in the place of the old ones, which need not be ones that this version reads, instead of comparing them.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from microcalc import Committee, Data
from microcalc.files import write_atomically, write_json

PLACE = Path(__file__).parents[1] / "src" / "microcalc" / "pretrained"
LARGEST_BYTES = 10_000_000
OPTIONS = ["--data", "infn", "--dim", "10", "15", "--gradcam", "0"]
SCAN_OPTIONS = [*OPTIONS, "--p-single-calcifications", "0.3", "--external", "none"]
RATES = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity")

CARD = """# Card of the committee that comes with microcalc

**Intended use.** Research and teaching on mammograms and patches of them. It is not a medical device and must not be
used to diagnose, to screen, or to decide on anyone's care.

**What it takes.** Patches of 60 x 60 pixels at 85 um a pixel (5.1 x 5.1 mm), grey levels in [0, 1], calcifications
bright. microcalc brings images of known pixel size to that scale. **What it gives.** The probability that a cluster of
microcalcifications is present, a decision at the threshold {threshold:.3f}, and the probability of each
expert. It answers for any image: nothing finds those that are no breast tissue at this scale.

**Data.** The INFN archive `DL_class_data`: {images} patches ({positives} with a cluster) of {groups} patients, one
film archive. Patients whose patches share pixels count as one.

**Procedure.** `microcalc run {options} --seed {seed}`: five experts, each trained on four fifths of the patients, but
for the {committee_images} patches of {committee_patients} patients that were set aside to weight, calibrate and
threshold the committee. One view of a patch, no test-time augmentation. Weights are stored as {dtype}.

**Figures.** Intervals are 95 %, by bootstrap over patients.

| figure | experts, cross-validated | official Test, by a second model | external set, pixel size unknown |
| --- | --- | --- | --- |
{rows}

The first column is on patients that the expert never saw. The second is of a second model trained the same way without
any patient of the archive's Test folder, evaluated once. The third is on 76 patches that are, by all appearance, pieces
of whole mammograms squeezed to a small square: a pixel there is several times coarser than 85 um and not square. They
are seen at five magnifications, and the threshold was chosen on the committee's own patients in the same way. **This
column does not measure transfer**; for that, see the results page of the documentation, on images of known scale.

**For whole mammograms** the package holds a second committee, in `scan/`, trained the same way but with
`--p-single-calcifications 0.3`: one or two isolated calcifications are no cluster.

**Limits.** One archive of film, few patients, patches cut around findings. Probabilities are calibrated on film of this
archive only. Grad-CAM maps are drawn by HiResCAM unless another method is asked for.

**To make it again.** `make pretrained` repeats all of this from scratch and compares.
"""


def study(out: Path, options: list[str], *more: str) -> dict:
    """Run one study, or take what is there, and give its metrics."""
    if not (out / "report.html").exists():
        command = [sys.executable, "-m", "microcalc", "run", "--resume", "--out", str(out)]
        subprocess.run([*command, *options, *more], check=True)
    return json.loads((out / "metrics.json").read_text())


def cell(figures: dict, name: str) -> str:
    low, high = figures[f"{name}_ci95"]
    digits = 4 if name == "auc" else 3  # of an AUC, or 0.9995 would look perfect
    return f"{figures[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def halve_where_figures_hold(committee: Committee, folder: Path, own: Data) -> str:
    """Save in float16, and back in float32 where a probability of the study's own patches moves by 0.01."""
    committee.save(folder, np.float16)
    halved = Committee.load(folder).predict_proba(own.images)
    if np.abs(halved - committee.predict_proba(own.images)).max() < 0.01:
        return "float16"
    committee.save(folder)
    return "float32"


def answers(committee: Committee, external: Data) -> dict[str, float]:
    """The probabilities of a few external patches at known scale, by which a test knows the committee."""
    few = external.select(np.arange(0, len(external), 10))
    return dict(zip(few.files, committee.predict_proba(few.images).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/pretrained"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--install", action="store_true")
    options = parser.parse_args()
    whole = study(options.out / "whole", OPTIONS, "--seed", str(options.seed))
    twin = study(options.out / "twin", OPTIONS, "--test", "official", "--external", "none", "--seed", str(options.seed))
    study(options.out / "scan", SCAN_OPTIONS, "--seed", str(options.seed))
    own, external = Data.load("infn"), Data.load("external")
    made = options.out / "committee"
    committee = Committee.load(options.out / "whole" / "committee")
    dtype = halve_where_figures_hold(committee, made, own)
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
    )
    write_atomically(made / "CARD.md", card)
    scanning = Committee.load(options.out / "scan" / "committee")
    halve_where_figures_hold(scanning, made / "scan", own)
    figures = {"cross_validation": parts[0], "official_test": parts[1], "external": parts[2]}
    told = {"seed": options.seed, "options": OPTIONS, "dtype": dtype, "figures": figures}
    write_json(made / "card.json", told | {"answers": answers(Committee.load(made), external)})
    size = sum(path.stat().st_size for path in made.glob("*.*"))
    print(f"committee: {size / 1e6:.1f} MB in {dtype}, of at most {LARGEST_BYTES / 1e6:.0f} MB")
    if options.install:
        for path in made.rglob("*.*"):
            write_atomically(PLACE / path.relative_to(made), path.read_bytes())
        print(f"installed in {PLACE.relative_to(PLACE.parents[2])}")
    elif (PLACE / "committee.json").exists():
        here, there = (
            committee_.predict_proba(own.images) for committee_ in (Committee.load(made), Committee.pretrained())
        )
        print(f"largest difference from the committee that is there: {np.abs(here - there).max():.6f}")


if __name__ == "__main__":
    main()
