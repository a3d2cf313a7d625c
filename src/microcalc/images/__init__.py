"""One image file -> pixels in [0, 1] and their size in mm; the images of a folder; resampling to 85 um and tiling."""

from microcalc.images.folders import FoundImages, find_images, is_image
from microcalc.images.image import LARGEST_PIXELS, SMALLEST_SIDE, Image, Mammogram
from microcalc.images.reader import read_image, read_mammogram

__all__ = [
    "LARGEST_PIXELS",
    "SMALLEST_SIDE",
    "FoundImages",
    "Image",
    "Mammogram",
    "find_images",
    "is_image",
    "read_image",
    "read_mammogram",
]
