"""What a photo is worth for training, read from its pixels: whether it is sharp, and whether it is one we have."""

from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat

#: A photo's fingerprint: so many pixels a side in grey, brought to one brightness and one contrast.
#: A hash of bits is too coarse here. Of the photos that `make photos` measures by, a dHash of 128 bits finds two views
#: of one bag nearer to each other (2 bits) than a brick wall to itself after a JPEG (8 bits).
SIDE, MEAN, SPREAD = 32, 128, 32

#: Two fingerprints are one photo's if all but a hundredth of their pixels differ by no more, in 1/32 of the contrast.
#: Measured: a photo encoded anew, halved or lit otherwise differs by 8 at most, neighbouring views of a product by 26.
ALIKE, ODD_PIXELS = 14, SIDE * SIDE // 100

#: Sharpness is looked for at the size at which photos are learnt; blur that is gone by then does no harm.
LOOKED_AT_PX = 1024

#: Softened by so many pixels first (noise is not detail), then by little and by much.
CALM, LITTLE, MUCH = 1.0, 1.5, 8.0

#: The strongest edges of a photo are so large a part of its pixels.
EDGES = 0.002

#: Under this it is blurred. Measured by `make photos`, where no sound photo was to be refused: the least sharp of 27
#: photos has 0.21, of 40 painted portraits 0.152. Of those blurred by two pixels or more, moved or out of focus, nine
#: of ten have less. Of 40 further portraits, that the choice knew nothing of, 2 have less as they are.
SHARP = 0.15


def fingerprint(image: Image.Image) -> Image.Image:
    """Make what two encodings of one photo have in common."""
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    told = ImageStat.Stat(small)
    mean, spread = told.mean[0], max(told.stddev[0], 2.0)  # a plain picture has no contrast that could be stretched
    return small.point([min(255, max(0, round(MEAN + SPREAD * (grey - mean) / spread))) for grey in range(256)])


def differ(one: Image.Image, other: Image.Image) -> float:
    """Measure by how much two fingerprints differ, but for their oddest pixels."""
    return strongest(ImageChops.difference(one, other), ODD_PIXELS)


def alike(one: Image.Image, other: Image.Image) -> bool:
    """Tell whether two fingerprints are of one photo."""
    return differ(one, other) <= ALIKE


def sharpness(image: Image.Image) -> float:
    """Measure how sharp the sharpest edges are in the direction in which they are least so: 0 to about 1."""
    grey = image.convert("L")
    grey.thumbnail((LOOKED_AT_PX, LOOKED_AT_PX), Image.Resampling.LANCZOS)
    clear = ImageOps.autocontrast(grey, cutoff=0.1)  # or the steps from grey to grey are coarser than what is measured
    calm = clear.filter(ImageFilter.GaussianBlur(CALM))
    return min(compare(calm, (1, 0)), compare(calm, (0, 1)))


def compare(calm: Image.Image, direction: tuple[int, int]) -> float:
    """Compare what a little blur takes from the edges with what much takes: of blurred ones a little takes nothing."""
    across, down = direction
    lost = [
        ImageChops.difference(calm, calm.filter(ImageFilter.GaussianBlur((across * size, down * size))))
        for size in (LITTLE, MUCH)
    ]
    fine, all_ = (strongest(one, one.width * one.height * EDGES) for one in lost)
    return fine / max(all_, 1.0)


def strongest(image: Image.Image, beyond: float) -> float:
    """Find the grey above which lie so many pixels of a picture, between two greys where need be."""
    above = 0
    for grey, count in reversed(list(enumerate(image.histogram()))):
        if above + count > beyond:
            return grey + 1 - (beyond - above) / count if grey else 0.0
        above += count
    return 0.0
