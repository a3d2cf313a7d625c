"""Write every figure that the documentation quotes, from the small JSON files in benchmarks/results/.

`python benchmarks/results.py` fills the blocks between `<!-- results NAME -->` and `<!-- end -->` in README.md, docs/
and paper/. With `--measure` it first runs the commands anew and writes the JSON files: some ten minutes on two quiet
cores; name parts to run only these (patches, mini_mias, adapt, csaw_s, phantom, own). Do this whenever the packaged
committee changes; until then, figures are marked as those of an earlier one. Needs mammograms/ in $MICROCALC_DATA.

`--measure study` and `--measure speed` keep what benchmarks/study.py and benchmarks/scan_speed.py print, on an
otherwise idle machine; they are run only where named.
"""

import argparse
import csv
import functools
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from microcalc import __version__
from microcalc.files import write_atomically, write_json
from microcalc.training.number_format import processor

ROOT = Path(__file__).parents[1]
SAVED = ROOT / "benchmarks" / "results"
PRETRAINED = ROOT / "src" / "microcalc" / "pretrained"
PAGES = ("README.md", "docs/results.md", "docs/adapt.md", "paper/paper.md")
BLOCK = re.compile(r"(<!-- results (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
LAPTOP = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}

Record = dict[str, Any]


@functools.cache
def digest() -> str:
    """Twelve digits that change with the packaged committees and their second opinion."""
    files = sorted([*PRETRAINED.rglob("*.safetensors"), *PRETRAINED.rglob("*.json")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def microcalc(*words: object, folder: Path) -> str:
    """Run a command in a folder, and return it as a user would type it."""
    command = [str(word) for word in words]
    subprocess.run([sys.executable, "-m", "microcalc", *command, "-q"], cwd=folder, check=True)
    return "microcalc " + " ".join(command)


def record(name: str, commands: list[str], **more: Any) -> None:
    write_json(
        SAVED / f"{name}.json",
        {
            "commands": commands,
            "version": __version__,
            "committee": digest(),
            "machine": f"{processor()}, {os.cpu_count()} cores",
            **more,
        },
    )


def evaluation(path: Path) -> Record:
    """The figures that pages quote, of an evaluation.json."""
    saved = json.loads((path / "evaluation.json").read_text())
    counts = {name: saved[name] for name in ("images", "patients", "clusters", "normal_images", "operating_point")}
    return {**counts, "figures": {name: saved["figures"][name] for name in FIGURES}}


def shared() -> Path:
    return Path(os.environ.get("MICROCALC_DATA", ROOT.parent / "shared" / "data")).resolve() / "mammograms"


def patches(folder: Path) -> None:
    card = json.loads((PRETRAINED / "card.json").read_text())
    record("patches", ["make pretrained"], figures=card["figures"])


def lay_mini_mias(folder: Path) -> None:
    """Put the films of mini-MIAS and their truth, as CSV, into a folder."""
    rows = json.loads((shared() / "mini_mias" / "truth.json").read_text())
    with (folder / "truth.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "left", "top", "right", "bottom", "patient"])
        for row in rows:
            writer.writerows([row["file"], *box, row["patient"]] for box in row["clusters_px"] or [[""] * 4])
    (folder / "mini_mias").symlink_to(shared() / "mini_mias")


def mini_mias(folder: Path) -> None:
    lay_mini_mias(folder)
    scanned = microcalc("scan", "mini_mias", "--pixel-size", 0.2, "--no-overlays", "--out", "found", folder=folder)
    evaluated = microcalc("evaluate", "found", "--truth", "truth.csv", folder=folder)
    record("mini_mias", [scanned, evaluated], **evaluation(folder / "found"))


def adapt(folder: Path) -> None:
    lay_mini_mias(folder)
    adapted = microcalc(
        "adapt", "mini_mias", "--pixel-size", 0.2, "--truth", "truth.csv", "--out", "reader", folder=folder
    )
    card = (folder / "reader" / "card.md").read_text().splitlines()
    lines = [line for line in card if line.startswith(("It has seen", "|", "The second opinion"))]
    record("adapt", [adapted], lines=lines)


def csaw_s(folder: Path) -> None:
    """Scan the views of CSAW-S that have pixels of 0.070 mm; their truth as masks of single calcifications."""
    (folder / "csaw_s").symlink_to(shared() / "csaw_s")
    files = sorted(path for path in (folder / "csaw_s").glob("*/*_?.png") if not path.name.startswith("005"))
    (folder / "views.txt").write_text("".join(f"{path.relative_to(folder)}\n" for path in files))
    scanned = microcalc(
        "scan", "--manifest", "views.txt", "--pixel-size", 0.07, "--no-overlays", "--out", "found", folder=folder
    )
    evaluated = microcalc("evaluate", "found", "--truth", "csaw_s", "--others", "skip", folder=folder)
    record("csaw_s", [scanned, evaluated], **evaluation(folder / "found"))


def phantom(folder: Path) -> None:
    made = microcalc("phantom", "--mammograms", 16, "--seed", 7, "--dicom", "--out", "made", folder=folder)
    scanned = microcalc("scan", "made", "--no-overlays", "--out", "found", folder=folder)
    evaluated = microcalc("evaluate", "found", "--truth", "made", folder=folder)
    record("phantom", [made, scanned, evaluated], **evaluation(folder / "found"))


def own(folder: Path) -> None:
    """Do what docs/own-mammograms.md does, with the phantom's own truth in the reader's place."""
    page = (ROOT / "docs" / "own-mammograms.md").read_text()
    blocks = "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    commands = [line.partition(" #")[0].strip() for line in blocks.splitlines() if line.startswith("microcalc ")]
    commands = [line for line in commands if not line.startswith("microcalc app") and "--retrain" not in line]
    commands = [line.replace("found/review.json", "clinic") for line in commands]
    for line in commands:
        microcalc(*line.split()[1:], folder=folder)
    before, after = (evaluation(folder / name) for name in ("before", "after"))
    record("own", commands, before=before, after=after)


def lines_of(script: str, *options: str) -> list[str]:
    """Return what a benchmark prints with all instructions of this processor, then with those of a laptop."""
    command = [sys.executable, str(ROOT / "benchmarks" / script), *options]
    runs = [
        subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **limits}).stdout
        for limits in ({}, LAPTOP)
    ]
    return [*runs[0].splitlines(), "", *runs[1].splitlines()]


def study(folder: Path) -> None:
    record("study", ["python benchmarks/study.py"], lines=lines_of("study.py"))


def speed(folder: Path) -> None:
    record("speed", ["python benchmarks/scan_speed.py --heatmap"], lines=lines_of("scan_speed.py", "--heatmap"))


PARTS: dict[str, Callable[[Path], None]] = {f.__name__: f for f in (patches, mini_mias, adapt, csaw_s, phantom, own)}
IDLE: dict[str, Callable[[Path], None]] = {f.__name__: f for f in (study, speed)}

FIGURES = {
    "sensitivity_at_0.2": "clusters found at 0.2 false marks an image",
    "sensitivity_at_0.5": "at 0.5",
    "sensitivity_at_1": "at 1",
    "sensitivity": "at the operating point",
    "false_marks_on_normals": "false marks on a normal image, at the operating point",
    "auc_by_image": "AUC by image",
}
PATCHES = {
    "infn": "INFN film, experts cross-validated by patient",
    "infn_test": "of these, INFN's Test",
    "cbis_left_out": "CBIS-DDSM film, patients left out",
    "external": "external set, pixel size unknown",
}
SCANS = {
    "mini_mias": ("mini-MIAS, film, 0.2 mm", "boxes around a radiologist's centre and radius"),
    "csaw_s": ("CSAW-S, digital, 0.07 mm", "masks of single calcifications; all clusters are of one patient"),
    "phantom": ("phantoms, 0.07 mm", "drawn; phantoms of another seed helped to choose the operating point"),
}
SOURCE = "commands: {commands}; version {version}, committee {committee}; {machine}"


@functools.cache
def saved(name: str) -> Record:
    return json.loads((SAVED / f"{name}.json").read_text())


def scans() -> list[str]:
    """The scans that were measured."""
    return [name for name in SCANS if (SAVED / f"{name}.json").is_file()]


def earlier(name: str) -> str:
    """A remark on figures that are not of the committee in the package."""
    return "" if saved(name)["committee"] == digest() else " (an earlier committee)"


def cell(figure: Record, digits: int = 2) -> str:
    """A figure with its interval; a dash where there is none."""
    if figure["value"] is None:
        return "-"
    low_high = figure["ci95"]
    interval = f" ({low_high[0]:.{digits}f} to {low_high[1]:.{digits}f})" if low_high else ""
    return f"{figure['value']:.{digits}f}{interval}"


def rate(part: str, name: str, digits: int) -> str:
    figures = saved("patches")["figures"][part]
    return cell({"value": figures[name], "ci95": figures[f"{name}_ci95"]}, digits)


def source(*names: str) -> str:
    """One line a file: how its figures were made."""
    lines = []
    for name in names:
        made = saved(name) | {"commands": "; ".join(f"`{command}`" for command in saved(name)["commands"])}
        lines.append(f"- {name}{earlier(name)}: {SOURCE.format(**made)}")
    return "\n".join(lines) + "\n"


def table(*rows: tuple[str, ...]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "| " + " | ".join(["---"] * len(rows[0])) + " |", *body]) + "\n"


def patches_block() -> str:
    rows = [("patches", "number", "AUC", "sensitivity", "specificity")]
    for part, title in PATCHES.items():
        rates = (rate(part, "auc", 4), rate(part, "sensitivity", 3), rate(part, "specificity", 3))
        rows.append((title, str(saved("patches")["figures"][part]["n"]), *rates))
    return table(*rows) + "\n" + source("patches")


def scans_block() -> str:
    made = [saved(name) for name in scans()]
    titles, truths = zip(*(SCANS[name] for name in scans()), strict=True)
    rows = [("", *titles), ("truth", *truths)]
    for count in ("images", "patients", "clusters", "normal_images"):
        rows.append((count.replace("_", " "), *(str(each[count]) for each in made)))
    rows += [(title, *(cell(each["figures"][key]) for each in made)) for key, title in FIGURES.items()]
    return table(*rows) + "\n" + source(*scans())


def own_block() -> str:
    before, after = saved("own")["before"]["figures"], saved("own")["after"]["figures"]
    rows = [(title, cell(before[key]), cell(after[key])) for key, title in FIGURES.items()]
    counts = "{images} images of {patients} patients, {clusters} clusters".format(**saved("own")["after"])
    return table((counts, "before", "after"), *rows) + "\n" + source("own")


def adapt_block() -> str:
    seen, *rows, opinion = saved("adapt")["lines"]
    return f"mini-MIAS, film. {seen}\n\n" + "\n".join(rows) + f"\n\n{opinion}\n\n" + source("adapt")


def study_block() -> str:
    return "```text\n" + "\n".join(saved("study")["lines"]) + "\n```\n\n" + source("study")


def speed_block() -> str:
    return "```text\n" + "\n".join(saved("speed")["lines"]) + "\n```\n\n" + source("speed")


def short_block() -> str:
    """The table of README.md and of the paper."""
    rows = [("", "AUC", "at the operating point")]
    for part, title in PATCHES.items():
        made = saved("patches")["figures"][part]
        auc, accuracy = f"{made['auc']:.4f}", f"accuracy {made['accuracy']:.3f}"
        rows.append((f"{title}: {made['n']} patches{earlier('patches')}", auc, accuracy))
    for name in scans():
        made, figures = saved(name), saved(name)["figures"]
        if not made["normal_images"]:
            continue
        auc, marks = (cell(figures[key] | {"ci95": None}) for key in ("auc_by_image", "false_marks_on_normals"))
        found = f"{cell(figures['sensitivity'])} of {made['clusters']} clusters, {marks} false marks a normal image"
        rows.append((f"scan, {SCANS[name][0]}{earlier(name)}", auc, found))
    return table(*rows)


BLOCKS = {
    "patches": patches_block,
    "scans": scans_block,
    "own": own_block,
    "adapt": adapt_block,
    "study": study_block,
    "speed": speed_block,
    "short": short_block,
}


def block(name: str) -> str:
    """The text of a block; where nobody has measured it, how to."""
    try:
        return BLOCKS[name]()
    except FileNotFoundError:
        return f"Not measured yet: `python benchmarks/results.py --measure {name}`.\n"


def filled(text: str) -> str:
    """A page with the blocks that it marks, from the JSON files."""
    return BLOCK.sub(lambda found: f"{found[1]}{block(found[2])}{found[4]}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="*", choices=[*PARTS, *IDLE], metavar="PART")
    options = parser.parse_args()
    for name in [] if options.measure is None else options.measure or PARTS:
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            (PARTS | IDLE)[name](Path(folder))
    for page in PAGES:
        write_atomically(ROOT / page, filled((ROOT / page).read_text(encoding="utf-8")))
        print(page)


if __name__ == "__main__":
    main()
