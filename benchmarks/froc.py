"""FROC of the scan: how many clusters it finds, at how many false marks an image.

Run as `python benchmarks/froc.py [--committee DIR]`: with the committee that ships if none is given. That one has seen
all INFN patients, so its figures on hybrid mammograms are too good. For strict figures train a committee without the
patients that judge, by the recipe of benchmarks/pretrained.py (about as long as `make pretrained`), and give it:

    python benchmarks/froc.py --train runs/froc
    python benchmarks/scan_model.py --committee runs/froc/committee --out runs/froc/committee/second_opinion.json
    python benchmarks/froc.py --committee runs/froc/committee

A finding hits a cluster where its centre lies in the cluster's box grown by 2.5 mm. Intervals are 95 %, by bootstrap
over images. `--parts` chooses tables; `--fit` prints instead the operating point that mammograms of other patients and
films ask for. Needs the INFN archive, the package `mammograms`, and in $MICROCALC_DATA/mammograms the folders
cdd_cesm_normal and csaw_s.
"""

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from hybrid import Normal, cdd_cesm, films, fitting_hybrids, hybrid_patients, judging_hybrids
from PIL import Image
from pretrained import SCAN_OPTIONS
from scipy import ndimage

from microcalc import Committee, Data
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.evaluation.detection import Case, measure
from microcalc.evaluation.froc import MARGIN_MM, RATES, froc_curve, score_findings
from microcalc.mammograms.scanner import packaged, packaged_opinion, scan_image
from microcalc.mammograms.second_opinion import SecondOpinion
from microcalc.mammograms.truth import TrueImage, link_clusters, phantom_truth, true_image

PARTS = ("hybrid", "csaw", "phantom", "false")
PHANTOMS = 24
MOST_FALSE_MARKS = 0.3
CSAW_MM, CSAW_WIDE_MM, CSAW_WIDE = 0.070, 0.085, (3584, 2816)
EIGHT = np.ones((3, 3))

Known = tuple[Normal, TrueImage]
Reader = tuple[Committee, SecondOpinion]


def hybrid_part(data: Data, folder: Path, seed: int) -> Iterator[Known]:
    for hybrid in judging_hybrids(data, folder, seed):
        yield hybrid.normal, hybrid.truth


def fitting_part(data: Data, seed: int) -> Iterator[Known]:
    for hybrid in fitting_hybrids(data, seed):
        yield hybrid.normal, hybrid.truth


def csaw_part(folder: Path) -> Iterator[Known]:
    for path in sorted((folder / "csaw_s").glob("*/*_calcifications.png")):
        name = path.name.removesuffix("_calcifications.png")
        with Image.open(path) as mask, Image.open(path.with_name(f"{name}.png")) as image:
            labels, count = ndimage.label(np.asarray(mask) > 0, EIGHT)
            pixels = np.asarray(image, np.float32) / 255
        size = CSAW_WIDE_MM if pixels.shape == CSAW_WIDE else CSAW_MM
        centers = [(column, row) for row, column in ndimage.center_of_mass(labels, labels, range(1, count + 1))]
        clusters = link_clusters(centers, (size, size))
        yield Normal(name, pixels, size, 255), true_image(name, pixels.shape, (size, size), clusters)


def phantom_part(seed: int) -> Iterator[Known]:
    for made in iter_phantom_mammograms(PHANTOMS, seed=seed):
        pixels = made.pixels.astype(np.float32) / np.float32(65535)
        yield Normal(made.name, pixels, made.pixel_size_mm, 65535), phantom_truth(made)


def without_clusters(normals: Iterable[Normal]) -> Iterator[Known]:
    for normal in normals:
        size = (normal.pixel_size_mm, normal.pixel_size_mm)
        yield normal, true_image(normal.name, normal.pixels.shape, size, [])


def table(title: str, truth: str, images: Iterable[Known], reader: Reader) -> list[Case]:
    """Scan the images, print what was found of their clusters, and give all findings, scored by probability."""
    print(f"\n{title}\n  truth: {truth}", flush=True)
    cases, seconds = [], []
    for normal, known in images:
        found = scan_image(normal.pixels, (normal.pixel_size_mm, normal.pixel_size_mm), *reader)
        scored = score_findings(
            [finding.center_px for finding in found.findings],
            [finding.probability for finding in found.findings],
            [cluster.box_px for cluster in known.clusters],
            known.pixel_size_mm,
        )
        cases.append(Case(scored, f"image {len(cases)}", f"image {len(cases)}"))
        seconds.append(found.seconds)
    clusters = sum(case.scored.clusters.size for case in cases)
    figures = measure(cases, reader[1].threshold).estimates()
    print(f"  {len(cases)} images, {clusters} clusters, median {np.median(seconds):.1f} s an image")
    for name in (*(f"sensitivity_at_{rate:g}" for rate in RATES), "sensitivity", "false_marks"):
        print(f"  {name.replace('_', ' ')}: {figures[name]:.3f}")
    return cases


def who_saw(committee: Path | None, data: Data, seed: int) -> str:
    """One line on whether the committee's own run names a patch of a patient that judges."""
    if committee is None:
        return "trained on all INFN patients, those that judge too: too good on hybrid mammograms"
    predictions = committee.parent / "predictions.csv"
    if not predictions.is_file():
        return f"{predictions} is missing: nobody knows what it was trained on"
    with predictions.open(encoding="utf-8", newline="") as file:
        seen = {Path(row["file"]).stem for row in csv.DictReader(file)}
    _, judging = hybrid_patients(data, seed)
    leaked = sum(Path(data.files[row]).stem in seen for row in np.flatnonzero(judging))
    return f"its run saw {leaked} of the {judging.sum()} patches of the INFN patients that judge"


def train(data: Data, out: Path, seed: int) -> None:
    """Run the study of benchmarks/pretrained.py on the patients that do not judge."""
    chosen = data.select(hybrid_patients(data, seed)[0])
    folder = out.parent / f"{out.name}_patches"
    rows = ["file,patient"]
    for image, label, file, group in zip(chosen.images, chosen.labels, chosen.files, chosen.groups, strict=True):
        name = f"{label}/{Path(file).name}"
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(folder / name)
        rows.append(f"{name},{group}")
    (folder / "groups.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    recipe = list(SCAN_OPTIONS)
    recipe[recipe.index("--data") + 1] = str(folder)
    command = [sys.executable, "-c", "from microcalc.cli import main; main()", "run", "--resume", "--out", str(out)]
    subprocess.run([*command, *recipe, "--seed", str(seed), "--external", "none"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--committee", type=Path, metavar="DIR")
    parser.add_argument("--train", type=Path, metavar="DIR", help="train a committee without the patients that judge")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--fit", action="store_true", help="print the operating point that the fitting part asks for")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(os.environ.get("MICROCALC_DATA", "../shared/data")) / "mammograms"
    for needed in ("cdd_cesm_normal", "csaw_s"):
        if not (folder / needed).is_dir():
            parser.error(f"{folder / needed} is missing; set MICROCALC_DATA to the folder that holds mammograms/")
    data = Data.load("infn")
    if options.train:
        train(data, options.train, options.seed)
        return
    reader = packaged(), packaged_opinion()
    if options.committee:
        reader = Committee.load(options.committee), SecondOpinion.load(options.committee / "second_opinion.json")
    if options.fit:
        known = "as hybrid mammograms, of patients and films that do not judge; the committee may know the clusters"
        images = table("hybrid mammograms for fitting", known, fitting_part(data, options.seed), reader)
        probability = froc_curve([case.scored for case in images]).threshold_at(MOST_FALSE_MARKS)
        print(f"  {MOST_FALSE_MARKS} false marks an image: probability {probability:.4f}")
        return
    print(f"committee: {options.committee or 'pretrained'}; {who_saw(options.committee, data, options.seed)}")
    print(f"a hit: centre in the cluster's box grown by {MARGIN_MM} mm; 95 % intervals by bootstrap over images")
    known = "calcifications of INFN patients set aside, put into normal mammograms that nothing here was trained on"
    none = "normal views, no cluster in any"
    parts = [
        ("hybrid", "hybrid mammograms", known, lambda: hybrid_part(data, folder, options.seed)),
        ("csaw", "CSAW-S", "radiologists' masks; three calcifications nearer than 5 mm", lambda: csaw_part(folder)),
        ("phantom", "phantom mammograms", "drawn, and so known", lambda: phantom_part(options.seed)),
        ("false", "CDD-CESM, normal", none, lambda: without_clusters(cdd_cesm(folder))),
        ("false", "eight films", "mass cases, taken to hold no cluster", lambda: without_clusters(films())),
    ]
    start = time.monotonic()
    for name, title, truth, images in parts:
        if name in options.parts:
            table(title, truth, images(), reader)
    print(f"\n{time.monotonic() - start:.0f} s in all")


if __name__ == "__main__":
    main()
