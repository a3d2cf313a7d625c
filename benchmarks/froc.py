"""FROC of the scan on mammograms with known truth, by the functions of `microcalc evaluate`.

Run as `python benchmarks/froc.py [--committee DIR] [--out DIR]`: with the committee that ships if none is given. That
one has seen all INFN patients, so its figures on hybrid mammograms are too good. For strict figures train a committee
without the patients that judge, by the recipe of benchmarks/pretrained.py (about as long as `make pretrained`):

    python benchmarks/froc.py --train runs/froc
    python benchmarks/scan_model.py --committee runs/froc/committee --out runs/froc/committee/second_opinion.json
    python benchmarks/froc.py --committee runs/froc/committee

`--parts` chooses tables; --out keeps findings.json and evaluation.html of each. Needs the INFN archive, the package
`mammograms`, and in $MICROCALC_DATA/mammograms the folders cdd_cesm_normal and csaw_s.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from hybrid import Normal, cdd_cesm, films, hybrid_patients, judging_hybrids
from PIL import Image
from pretrained import SCAN_OPTIONS

from microcalc import Data
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.evaluation.truth import read_truth
from microcalc.evaluation.truth.image import ImageTruth
from microcalc.files import write_json
from microcalc.images import read_image
from microcalc.mammograms.findings import Scan
from microcalc.mammograms.scanner import load_for_scan, scan_image
from microcalc.mammograms.truth import TrueImage, phantom_truth
from microcalc.report.evaluate import LABELS, evaluate, write_evaluation

PHANTOMS = 24
CSAW_MM, CSAW_WIDE_MM, CSAW_WIDE = 0.070, 0.085, (3584, 2816)

Part = Iterable[tuple[Normal, ImageTruth | None]]
"""Images, each with its truth; None for a normal one."""


def hybrid_part(data: Data, folder: Path, seed: int) -> Part:
    return ((each.normal, as_truth(each.normal.name, each.truth)) for each in judging_hybrids(data, folder, seed))


def csaw_part(folder: Path) -> Part:
    for truth in read_truth(folder / "csaw_s"):
        pixels = read_image(folder / "csaw_s" / f"{truth.name}.png").pixels
        size = CSAW_WIDE_MM if pixels.shape == CSAW_WIDE else CSAW_MM
        yield Normal(truth.name, pixels, size, 255), truth


def phantom_part(seed: int) -> Part:
    for made in iter_phantom_mammograms(PHANTOMS, seed=seed):
        pixels = made.pixels.astype(np.float32) / np.float32(65535)
        yield Normal(made.name, pixels, made.pixel_size_mm, 65535), as_truth(made.name, phantom_truth(made))


def normal_part(normals: Iterator[Normal]) -> Part:
    return ((normal, None) for normal in normals)


def as_truth(name: str, true: TrueImage) -> ImageTruth:
    return ImageTruth(name, tuple(tuple(map(float, cluster.box_px)) for cluster in true.clusters))  # type: ignore[misc]


def table(title: str, part: Part, committee: Path | None, folder: Path) -> None:
    """Scan the images, evaluate what was found, and print it; each image counts as one patient."""
    reader, found, truth = load_for_scan(committee), [], []
    for normal, true in part:
        scanned = scan_image(normal.pixels, normal.pixel_size_mm, *reader)
        found.append(replace(scanned, file=normal.name, patient=normal.name))
        truth += [true] if true else []
    scan = Scan(2, str(committee or "pretrained"), reader[1].threshold, tuple(found), ())
    write_json(folder / "findings.json", asdict(scan))
    saved = write_evaluation(folder, evaluation := evaluate(folder, truth, "normal"))
    seconds = np.median([image.seconds for image in found])
    print(f"\n{title}\n  {saved['images']} images, {saved['clusters']} clusters, median {seconds:.1f} s an image")
    for name, estimate in evaluation.measured.estimates().items():
        if name in LABELS:
            print(f"  {LABELS[name]}: {estimate:.3f}")


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
    command = [sys.executable, "-m", "microcalc", "run", "--resume", "--out", str(out)]
    subprocess.run([*command, *recipe, "--seed", str(seed), "--external", "none"], check=True)


def main() -> None:
    folder = Path(os.environ.get("MICROCALC_DATA", "../shared/data")) / "mammograms"
    seed, data = 0, Data.load("infn")
    parts: dict[str, tuple[str, Callable[[], Part]]] = {
        "hybrid": (
            "hybrid mammograms: INFN patients set aside, in normal mammograms",
            lambda: hybrid_part(data, folder, seed),
        ),
        "csaw": ("CSAW-S: radiologists' masks; three calcifications nearer than 5 mm", lambda: csaw_part(folder)),
        "phantom": ("phantom mammograms: drawn, and so known", lambda: phantom_part(seed)),
        "cdd": ("CDD-CESM: normal views", lambda: normal_part(cdd_cesm(folder))),
        "films": ("eight films: mass cases, taken to hold no cluster", lambda: normal_part(films())),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--committee", type=Path, metavar="DIR")
    parser.add_argument("--train", type=Path, metavar="DIR", help="train a committee without the patients that judge")
    parser.add_argument("--out", type=Path, metavar="DIR")
    parser.add_argument("--parts", nargs="+", choices=list(parts), default=list(parts))
    options = parser.parse_args()
    if options.train:
        train(data, options.train, seed)
        return
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.parts:
            title, images = parts[name]
            table(title, images(), options.committee, (options.out or Path(temporary)) / name)


if __name__ == "__main__":
    main()
