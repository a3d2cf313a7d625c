"""FROC of the scan on mammograms with known truth, by the functions of `microcalc evaluate`.

Run as `python benchmarks/froc.py [--committee DIR] [--cbis DIR] [--out DIR]`: with the committee that ships if none is
given. Nothing in that one has seen what is judged here, but that the operating point was chosen on the normal images of
CDD-CESM and mini-MIAS too. `--cbis` is what `benchmarks/regions.py` made; hybrid mammograms need it.

`--parts` chooses tables; --out keeps findings.json and evaluation.html of each. Needs the package `mammograms`, and in
$MICROCALC_DATA/mammograms the folders cdd_cesm_normal, csaw_s and mini_mias.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from hybrid import Normal, cdd_cesm_left_out, films, hybrids, mini_mias

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


def hybrid_part(cbis: Path, folder: Path, seed: int) -> Part:
    made = hybrids(Data.load(cbis / "left_out"), folder, seed)
    return ((each.normal, as_truth(each.normal.name, each.truth)) for each in made)


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


def main() -> None:
    folder = Path(os.environ.get("MICROCALC_DATA", "../shared/data")) / "mammograms"
    parts: dict[str, tuple[str, Callable[[], Part]]] = {
        "hybrid": (
            "hybrid mammograms: clusters of CBIS-DDSM patients left out, in normal mammograms",
            lambda: hybrid_part(options.cbis, folder, 0),
        ),
        "mias": ("mini-MIAS: boxes around a rough centre and radius", lambda: mini_mias(folder / "mini_mias")),
        "csaw": ("CSAW-S: radiologists' masks; three calcifications nearer than 5 mm", lambda: csaw_part(folder)),
        "phantom": ("phantom mammograms: drawn, and so known", lambda: phantom_part(0)),
        "cdd": ("CDD-CESM: normal views that were left out", lambda: normal_part(cdd_cesm_left_out(folder))),
        "films": ("eight films: mass cases, taken to hold no cluster", lambda: normal_part(films())),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--committee", type=Path, metavar="DIR")
    parser.add_argument("--cbis", type=Path, default=Path("runs/pretrained/cbis"), metavar="DIR")
    parser.add_argument("--out", type=Path, metavar="DIR")
    parser.add_argument("--parts", nargs="+", choices=list(parts), default=list(parts))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.parts:
            title, images = parts[name]
            table(title, images(), options.committee, (options.out or Path(temporary)) / name)


if __name__ == "__main__":
    main()
