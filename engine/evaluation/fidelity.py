"""How near a translation is to the truth, picture by picture; and what three translators reach that learned nothing.

Pictures are arrays (N,H,W,C): uint8 in 0..255, or float in [-1,1] as networks give them. All measures are in units of
the pixel range: black is 0 and white 1, so that an L1 of 0.1 is a tenth of it. Values out of range are clipped, as on a
screen; the arithmetic is float64, a few pictures at a time.

L1 and PSNR reward a blurred mean of all answers, and SSIM partly does: read sharpness beside them, and the baselines.
This is not the distance of two heaps of pictures without partners, which is `distances.py`. Read next:
`translation.py`, which scores a model by all of these.
"""

from collections.abc import Callable

import numpy as np

from inachus.engine.data import Pairs
from inachus.engine.data.pairs.made import enlarged
from inachus.engine.errors import NumericError, UsageError
from inachus.engine.evaluation.distances import squared_distance_blocks

MOST_DB = 100.0  # PSNR of equal pictures; one of 64 x 64 x 3 in which one value is off by 1/255 has 89
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03  # of SSIM
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
BLOCK = 2**17  # values of a block of pictures: 1 MB in float64, which stays in the cache
LARGE = 2**23  # of a block to compare with all others by one product: 64 MB


def measures(pictures: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """l1, psnr, ssim of pictures against their truth, and sharpness of both: means over N pictures.

    UsageError, here and below: another shape than (N,H,W,C), or two that differ; NumericError: NaN.
    """
    result = {f.__name__: f(pictures, truth) for f in (l1, psnr, ssim)}
    return result | {"sharpness": sharpness(pictures), "sharpness_truth": sharpness(truth)}


def enlarged_measures(pictures: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """`measures` and psnr_y, the one by which enlarged pictures are compared."""
    return measures(pictures, truth) | {"psnr_y": psnr_y(pictures, truth)}


def l1(pictures: np.ndarray, truth: np.ndarray) -> float:
    """mean |x - y|: 0 for equal pictures, 1 for black against white."""
    return _mean(lambda x, y: np.abs(x - y).mean(axis=(1, 2, 3)), pictures, truth)


def psnr(pictures: np.ndarray, truth: np.ndarray) -> float:
    """Mean over pictures of 10 log10(1 / mean (x - y)^2), in dB; no picture counts more than MOST_DB."""
    least = 10 ** (-MOST_DB / 10)
    return _mean(lambda x, y: -10 * np.log10(np.square(x - y).mean(axis=(1, 2, 3)).clip(least)), pictures, truth)


def psnr_y(pictures: np.ndarray, truth: np.ndarray, border: int = 4) -> float:
    """`psnr` of the luminance in video range, 219/255 of the whole, without a border of so many pixels.

    Of grey pictures it is that of the pictures themselves; small ones keep their border.
    """
    least = 10 ** (-MOST_DB / 10)
    inner = slice(border, -border or None) if min(np.shape(pictures)[1:3], default=0) > 2 * border else slice(None)

    def decibels(x, y):
        off = (x - y)[:, inner, inner]
        off = 219 / 255 * (off @ np.array(GREY)) if off.shape[3] == 3 else off[..., 0]  # (N,H,W,C) -> (N,h,w)
        return -10 * np.log10(np.square(off).mean(axis=(1, 2)).clip(least))

    return _mean(decibels, pictures, truth)


def ssim(pictures: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity: at most 1, which is equality, and about 0 for unrelated pictures.

    The mean, over channels and all places where the window lies inside the picture, of
    (2 m_x m_y + c1) (2 s_xy + c2) / ((m_x^2 + m_y^2 + c1) (s_x^2 + s_y^2 + c2)), moments weighted by a Gaussian of
    standard deviation 1.5 on 11 x 11 pixels. A picture smaller than that gets the largest odd window that fits.

    Wang, Bovik, Sheikh and Simoncelli 2004, "Image quality assessment", eq. 13; c = (K L)^2 with K .01, .03 and L = 1.
    """
    window = _window(min(np.shape(pictures)[1:3], default=1))
    return _mean(lambda x, y: _ssim_map(x, y, window).mean(axis=(1, 2, 3)), pictures, truth)


def sharpness(pictures: np.ndarray) -> float:
    """Variance of the Laplacian (4 neighbours, inside the picture), mean over channels and pictures; >= 0.

    Blurring lowers it whatever the picture: it weakens every frequency, and this is a sum over them. (The mean gradient
    does not fall: a soft edge climbs as high as a hard one.) Noise raises it, so much more than the truth's is bad too.
    UsageError for pictures below 3 x 3 pixels. Pech-Pacheco et al. 2000.
    """
    if min(np.shape(pictures)[1:3], default=0) < 3:
        raise UsageError(f"sharpness: needs pictures of 3 x 3 pixels or more, not {np.shape(pictures)}")
    return _mean(lambda x: _laplacian(x).var(axis=(1, 2)).mean(axis=1), pictures)


def baselines(inputs: np.ndarray, train: Pairs, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """What translators give that learned nothing, uint8 or float, for each of the inputs uint8 (N,H,W,Ca).

    copy      the input itself, in the channels of the target; left out if it cannot be adapted
    bicubic   the same for larger targets: enlarged by a whole factor
    mean      the mean of the training targets, for every input; left out where they have another size
    nearest   the target of the training pair whose input is nearest in L2; for true pairs alone
    """
    found = {}
    copied = _adapted(inputs, (*size, train.b.shape[3]))
    if copied is not None:
        found["bicubic" if size[0] > inputs.shape[1] else "copy"] = copied
    mean = np.mean(train.b, axis=0, dtype=np.float64) / 127.5 - 1  # (M,H,W,Cb) -> (H,W,Cb)
    if mean.shape[:2] == tuple(size):
        found["mean"] = np.broadcast_to(mean.astype(np.float32), (len(inputs), *mean.shape))
    if train.paired and train.a.shape[1:] == inputs.shape[1:]:
        found["nearest"] = train.b[nearest(inputs, train.a)]
    return found


def nearest(inputs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of the pictures `known`, uint8 (M,H,W,C), is nearest in L2 to each of inputs (N,H,W,C): int64 (N,).

    Exact, the first of equals; both sides go through memory in blocks.
    """
    height = max(1, LARGE // int(np.prod(known.shape[1:])))
    best, found = np.full(len(inputs), np.inf), np.zeros(len(inputs), np.int64)
    for i in range(0, len(inputs), height):
        queries = inputs[i : i + height].reshape(-1, known[0].size).astype(np.float64)  # (N,H,W,C) -> (N,d)
        for j in range(0, len(known), height):
            candidates = known[j : j + height].reshape(-1, known[0].size).astype(np.float64)
            for rows, squared in squared_distance_blocks(queries, candidates):  # (B,M)
                at, place = slice(i + rows.start, i + rows.stop), squared.argmin(axis=1)
                least = squared[np.arange(len(place)), place]
                found[at] = np.where(least < best[at], j + place, found[at])
                best[at] = np.minimum(least, best[at])
    return found


def unit(pictures: np.ndarray) -> np.ndarray:
    """uint8 in 0..255 or float in [-1,1] -> float64 in [0,1], clipped. NumericError for NaN and infinity."""
    pictures = np.asarray(pictures)
    if pictures.dtype == np.uint8:
        return pictures / 255
    values = pictures.astype(np.float64)
    if not np.isfinite(values).all():
        raise NumericError(f"pictures {pictures.shape} hold NaN or infinity; the model has diverged")
    return (values.clip(-1, 1) + 1) / 2


def _mean(function: Callable, *sets: np.ndarray) -> float:
    """The mean over pictures of function(x, ...) -> (B,), a block of pictures after the other."""
    shapes = {np.shape(pictures) for pictures in sets}
    shape = shapes.pop()
    if shapes or len(shape) != 4 or 0 in shape:
        found = " and ".join(str(np.shape(pictures)) for pictures in sets)
        raise UsageError(f"expected pictures (N,H,W,C), N > 0, all of one shape, not {found}")
    count = max(1, BLOCK // int(np.prod(shape[1:])))
    blocks = [function(*(unit(s[i : i + count]) for s in sets)) for i in range(0, shape[0], count)]
    return float(np.concatenate(blocks).mean())


def _window(most: int) -> np.ndarray:
    """Gaussian weights that sum to 1, at most `most` of them and an odd number."""
    size = min(WINDOW, most - 1 + most % 2)
    weights = np.exp(-np.square(np.arange(size) - size // 2) / (2 * SIGMA**2))
    return weights / weights.sum()


def _smoothed(x: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Weighted means where the window lies inside: (N,H,W,C) -> (N,H-k+1,W-k+1,C), first down, then across."""
    for axis in (1, 2):
        ends = range(x.shape[axis] - len(window) + 1, x.shape[axis] + 1)
        parts = [x[:, i:end] if axis == 1 else x[:, :, i:end] for i, end in enumerate(ends)]
        x = sum(weight * part for weight, part in zip(window, parts, strict=True))
    return x


def _ssim_map(x: np.ndarray, y: np.ndarray, window: np.ndarray) -> np.ndarray:
    m_x, m_y, xx, yy, xy = (_smoothed(z, window) for z in (x, y, x * x, y * y, x * y))
    c1, c2 = K1**2, K2**2
    alike = (2 * m_x * m_y + c1) * (2 * (xy - m_x * m_y) + c2)
    return alike / ((m_x**2 + m_y**2 + c1) * (xx - m_x**2 + yy - m_y**2 + c2))


def _laplacian(x: np.ndarray) -> np.ndarray:
    """(N,H,W,C) -> (N,H-2,W-2,C)."""
    inner = x[:, 1:-1, 1:-1]
    return x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:] - 4 * inner


def _adapted(pictures: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """uint8 pictures in another shape (H,W,C): enlarged by a whole factor (bicubic), grey or coloured; or None."""
    height, width, channels = shape
    factor = height // pictures.shape[1]
    if (factor * pictures.shape[1], factor * pictures.shape[2]) != (height, width):
        return None
    pictures = enlarged(pictures, factor) if factor > 1 else pictures
    if pictures.shape[3] == channels:
        return pictures
    if pictures.shape[3] == 1:
        return np.broadcast_to(pictures, (*pictures.shape[:3], channels))
    return np.rint(pictures @ np.array(GREY))[..., None].astype(np.uint8) if channels == 1 else None  # (N,H,W,3)
