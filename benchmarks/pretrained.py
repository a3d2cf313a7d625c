"""Make the committee that comes with the package from scratch, and compare it with the one that is there.

Run as `make pretrained`, or `python benchmarks/pretrained.py`: by the commands that a user has.

1. `microcalc run` on INFN gives a committee that finds the hardest windows in the next two steps.
2. `regions.py` cuts patches from the regions of CBIS-DDSM; a fifth of its patients is left out.
3. `microcalc adapt --retrain` trains the committee that ships, on INFN, CBIS-DDSM and normal mammograms of CDD-CESM.
4. `operating_point.py` chooses the operating point of the scan.

The card gives figures on patches of patients that the part which is evaluated never saw. Weights are halved to float16
where that moves no probability of the INFN patches by 0.01. Finished steps are kept, whatever their settings: give
another --out once they have changed. `--install` puts the new committee in the place of the old one.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from microcalc import Committee, Data
from microcalc.evaluation.predictions_csv import read_predictions
from microcalc.evaluation.study_figures import Predicted, evaluate_external
from microcalc.files import write_atomically, write_json

PLACE = Path(__file__).parents[1] / "src" / "microcalc" / "pretrained"
LARGEST_BYTES = 10_000_000
MINER = ["--data", "infn", "--dim", "10", "15", "--gradcam", "0", "--p-single-calcifications", "0.3"]
RATES = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity")

CARD = """# Card of the committee that comes with microcalc

**Intended use.** Research and teaching on mammograms and patches of them. It is not a medical device and must not be
used to diagnose, to screen, or to decide on anyone's care.

**What it takes.** Patches of 60 x 60 pixels at 85 um a pixel (5.1 x 5.1 mm), grey levels in [0, 1], calcifications
bright. microcalc brings images of known pixel size to that scale. **What it gives.** The probability that a cluster of
microcalcifications is present, a decision at the threshold {threshold:.3f}, and the probability of each
expert. It answers for any image: nothing finds those that are no breast tissue at this scale.

**Data.** {images} patches ({positives} with a cluster) of {groups} patients:

| source | patches with a cluster | without | patients | licence |
| --- | --- | --- | --- | --- |
{sources}

The patches of CBIS-DDSM are windows of its regions: the window with the most spots where calcifications are clustered,
and of masses also the window that an earlier committee found most suspicious. Those of CDD-CESM are the highest false
marks of that committee on 23 normal mammograms, and windows anywhere in them; the other 23 were left out.

**Procedure.** `make pretrained`, by `microcalc adapt --retrain`: five experts, each trained on four fifths of the
patients, but for the {committee_images} patches of {committee_patients} patients that were set aside to weight,
calibrate and threshold the committee. One view of a patch. Weights are stored as {dtype}.

**Figures.** Intervals are 95 %, by bootstrap over patients.

| figure | {titles} |
| --- |{rules}
{rows}

The INFN columns are of experts at 0.5, on patients that they never saw, all of them and those of the archive's own Test
folder. CBIS-DDSM is of the committee, on a fifth of that archive's patients, of whom nothing in it has seen an image.
The external set is 76 patches of unknown pixel size, several times coarser than 85 um and not square: that column does
not measure transfer.

**Limits.** Two archives of film and one digital source, patches cut around findings. On INFN's own patches a committee
of INFN alone, as `microcalc run` makes it, is better: this one gives up accuracy there for other archives.
Probabilities are calibrated on these sources. Grad-CAM maps are drawn by HiResCAM unless another method is asked for.

**To make it again.** `make pretrained` repeats all of this from scratch and compares.
"""
TITLES = {
    "infn": "INFN, cross-validated",
    "infn_test": "INFN's Test, cross-validated",
    "cbis_left_out": "CBIS-DDSM, left out",
    "external": "external set, pixel size unknown",
}
LICENCES = {
    "infn": ("INFN", "see the archive's site"),
    "learning": ("CBIS-DDSM, Lee et al. 2017, doi:10.7937/K9/TCIA.2016.7O02S9CY", "CC BY 3.0"),
    "mammograms": ("CDD-CESM, Khaled et al. 2022, doi:10.1038/s41597-022-01238-0", "CC BY 4.0"),
}


def step(made: Path, *command: str | Path) -> None:
    """Run a command unless what it makes is there."""
    if not made.exists():
        subprocess.run([sys.executable, *map(str, command)], check=True)


def cross_validated(run: Path, threshold: float) -> dict[str, Data | Predicted]:
    """The INFN patches of a run with their out-of-fold probabilities: all, and those of the archive's Test folder."""
    infn = Data.load("infn")
    rows = {row.file: row.probability for row in read_predictions(run / "predictions.csv")}
    found = np.array([rows[f"infn/{file}"] for file in infn.files], float)
    known = np.isfinite(found)
    parts = {"infn": known, "infn_test": known & infn.official_test}
    return {
        name: Predicted(infn.select(part), found[part, None], found[part], threshold) for name, part in parts.items()
    }


def predicted(committee: Committee, data: Data) -> Predicted:
    experts = committee.expert_probabilities(data.images)
    return Predicted(data, experts, committee.combine(experts), committee.threshold)


def cell(figures: dict, name: str) -> str:
    low, high = figures[f"{name}_ci95"]
    digits = 4 if name == "auc" else 3  # of an AUC, or 0.9995 would look perfect
    return f"{figures[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def source_rows(run: Path) -> list[str]:
    rows = read_predictions(run / "predictions.csv")
    lines = []
    for name, (title, licence) in LICENCES.items():
        own = [row for row in rows if row.file.startswith(f"{name}/")]
        positives = sum(row.label for row in own)
        patients = len({row.patient for row in own})
        lines.append(f"| {title} | {positives} | {len(own) - positives} | {patients} | {licence} |")
    return lines


def halve_where_figures_hold(committee: Committee, folder: Path, own: Data) -> str:
    """Save in float16, and back in float32 where a probability of the INFN patches moves by 0.01."""
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
    out, seed, here = options.out, str(options.seed), Path(__file__).parent
    mammograms = Path(os.environ.get("MICROCALC_DATA", "../shared/data")) / "mammograms" / "cdd_cesm_normal"
    microcalc, made = ["-m", "microcalc"], out / "committee"
    step(out / "infn/report.html", *microcalc, "run", *MINER, "--external", "none", "--out", out / "infn", "--resume")
    step(out / "cbis/left_out", here / "regions.py", out / "cbis", "--committee", out / "infn", "--seed", seed)
    retrain = ["--retrain", "--resume", "--data", "infn", out / "cbis/learning", "--seed", seed]
    given = ["--pixel-size", "0.1", "--committee", out / "infn"]
    step(out / "reader/card.md", *microcalc, "adapt", mammograms, *given, *retrain, "--out", out / "reader")
    metrics = json.loads((out / "reader" / "metrics.json").read_text())
    own, external, left_out = Data.load("infn"), Data.load("external"), Data.load(out / "cbis" / "left_out")
    committee = Committee.load(out / "reader")
    dtype = halve_where_figures_hold(committee, made, own)
    step(made / "second_opinion.json", here / "operating_point.py", made)
    parts = {name: evaluate_external(part, options.seed) for name, part in cross_validated(out / "reader", 0.5).items()}
    parts["cbis_left_out"] = evaluate_external(predicted(Committee.load(made), left_out), options.seed)
    parts["external"] = metrics["external"]
    titles = [f"{TITLES[name]}, {figures['n']} patches" for name, figures in parts.items()]
    rows = [
        f"| {name.replace('_', ' ')} | " + " | ".join(cell(part, name) for part in parts.values()) + " |"
        for name in RATES
    ]
    card = CARD.format(
        **{name: metrics["dataset"][name] for name in ("images", "positives", "groups")},
        threshold=committee.threshold,
        sources="\n".join(source_rows(out / "reader")),
        committee_images=metrics["committee"]["images"],
        committee_patients=metrics["committee"]["patients"],
        dtype=dtype,
        titles=" | ".join(titles),
        rules=" --- |" * len(titles),
        rows="\n".join(rows).replace("auc", "AUC"),
    )
    write_atomically(made / "CARD.md", card)
    card_json = {"seed": options.seed, "dtype": dtype, "figures": parts}
    write_json(made / "card.json", card_json | {"answers": answers(Committee.load(made), external)})
    size = sum(path.stat().st_size for path in made.glob("*.*"))
    print(f"committee: {size / 1e6:.1f} MB in {dtype}, of at most {LARGEST_BYTES / 1e6:.0f} MB")
    if options.install:
        for path in made.glob("*.*"):
            write_atomically(PLACE / path.name, path.read_bytes())
        print(f"installed in {PLACE.relative_to(PLACE.parents[2])}")
    elif (PLACE / "committee.json").exists():
        new, old = (each.predict_proba(own.images) for each in (Committee.load(made), Committee.pretrained()))
        print(f"largest difference from the committee that is there: {np.abs(new - old).max():.6f}")


if __name__ == "__main__":
    main()
