"""Digits on colourful textures, in the manner of MNIST-M (Ganin et al. 2016, section 5.2.4): |texture - digit|.

Inside a digit every channel is turned round: on a dark texture it is bright, as a digit on black, on a bright one dark,
and on a grey one little more than its edge. The textures are noise of several octaves, stripes, checks and blobs.
MNIST-M cuts them out of photographs; here their brightness and contrast are spread like those of 28-pixel patches of
street photographs (luminance 0.42, of standard deviation 0.29 between patches and 0.10 within; here 0.44, 0.29, 0.08),
but scores on these digits are no scores on MNIST-M. The digits are others than those of `drawn.py`, drawn as there.
Texture i depends on (seed, split, i) alone. Read next: `sources.py`.
"""

import numpy as np

from inachus.engine.data.bounded import check_memory
from inachus.engine.data.dataset import Dataset, Request, philox
from inachus.engine.data.drawn import DIGIT_COUNTS, DIGIT_SIZE, SPLIT_NUMBERS, draw_digits, kept

STREAM = 6  # of the digits' poses: 0 and 1 are the plain digits', 2 to 5 those of pairs
OCTAVES = ((3, 0.55), (5, 0.3), (10, 0.15))  # (cells across and down of the noise, weight)
BLOBS = 6
DARKNESS, CONTRAST, TINT, GRAIN = 1.3, 0.8, 0.25, 0.25  # chosen for the figures above, of photographs
BLOCK = 1_000  # textures drawn at once
NOISY = 3 * sum((cells + 1) ** 2 for cells, _ in OCTAVES)  # random numbers of a texture's noise
NUMBERS = 1 + 6 + 4 + 3 * BLOBS  # and of the rest: the kind, two colours, a wave, discs
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, Pillow's


def textured_digits(name: str, request: Request) -> Dataset:
    """Digits (N,S,S,3), or grey (N,S,S,1); S=28, counts, labels and classes as those of `digits`."""
    size, whole = request.size or DIGIT_SIZE, DIGIT_COUNTS[request.split]
    count, split = request.limit or whole, SPLIT_NUMBERS[request.split]
    check_memory(count * size * size * 3, name)
    shape = whole, size, size, 3
    items = kept(name, request, count, shape, lambda n: draw_textured(n, size, request.seed, split))
    if request.channels == 1:
        items = np.rint(items @ GREY).astype(np.uint8)[..., None]  # (N,S,S,3) -> (N,S,S,1)
    labels = np.arange(count, dtype=np.int64) % 10
    return Dataset(name, items, labels, [str(digit) for digit in range(10)], f"drawn, seed {request.seed}")


def draw_textured(count: int, size: int, seed: int, split: int) -> np.ndarray:
    """uint8 (count,size,size,3): |texture i - digit i|, channel by channel."""
    digits = draw_digits(count, size, seed, STREAM + split)
    random = np.random.Generator(philox(seed, "textures", split))
    items = np.empty((count, size, size, 3), np.uint8)
    for start in range(0, count, BLOCK):
        part = items[start : start + BLOCK]
        texture = textures(random.random((len(part), NOISY + NUMBERS), np.float32), size)
        part[:] = np.abs(np.rint(255 * texture) - digits[start : start + BLOCK])
    return items


def textures(u: np.ndarray, size: int) -> np.ndarray:
    """Random numbers (N, NOISY + NUMBERS) in [0,1) -> pictures (N,size,size,3) in [0,1]."""
    noise = _noise(u[:, :NOISY].reshape(len(u), -1, 3), size)
    kind, colours, wave, discs = np.split(u[:, NOISY:, None, None], [1, 7, 11], axis=1)  # (N,.,1,1) each
    fields = np.stack([noise[..., 0], *_waves(wave, noise[..., 1], size), _blobs(discs, size)])  # (4,N,S,S)
    field = fields[(4 * kind.ravel()).astype(int), np.arange(len(u))][..., None]  # (N,S,S,1)
    first, second = colours.reshape(-1, 2, 1, 1, 3).swapaxes(0, 1)  # (N,1,1,3) each
    level, contrast = first[..., :1] ** DARKNESS, second[..., :1] - 0.5  # (N,1,1,1)
    tints = [TINT * (c - c.mean(axis=-1, keepdims=True)) for c in (first, second)]
    colour = level + tints[0] + (CONTRAST * contrast + tints[1]) * (field - 0.5)
    return np.clip(colour + GRAIN * (noise - 0.5), 0, 1)


def _noise(lattices: np.ndarray, size: int) -> np.ndarray:
    """(N,points,3) -> smooth (N,size,size,3) in [0,1], the octaves one over the other."""
    total, start = 0.0, 0
    for cells, weight in OCTAVES:
        across = np.linspace(0, cells, size, endpoint=False, dtype=np.float32)
        cell = across.astype(int)
        step = (across - cell) ** 2 * (3 - 2 * (across - cell))  # level at the points of the lattice
        to = np.zeros((size, cells + 1), np.float32)
        to[np.arange(size), cell], to[np.arange(size), cell + 1] = 1 - step, step
        points = lattices[:, start : start + (cells + 1) ** 2].reshape(-1, cells + 1, cells + 1, 3)
        down = np.tensordot(points, to, (1, 1))  # (N,points,3,size)
        total = total + weight * np.tensordot(down, to, (1, 1)).transpose(0, 2, 3, 1)  # (N,3,S,S) -> (N,S,S,3)
        start += (cells + 1) ** 2
    return np.clip(0.5 + 1.8 * (total - 0.5), 0, 1)


def _waves(u: np.ndarray, bend: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Stripes and checks (N,size,size) in [0,1], a little bent; u (N,4,1,1) are turn, pitch, phase and sharpness."""
    turn, pitch, phase, sharpness = u.swapaxes(0, 1)  # (N,1,1) each
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    angle, pitch, sharpness = np.pi * turn, 2 * np.pi * (1.5 + 4 * pitch), 0.5 + 2 * sharpness
    along = pitch * (x * np.cos(angle) + y * np.sin(angle) + 0.15 * bend) + 2 * np.pi * phase
    across = pitch * (y * np.cos(angle) - x * np.sin(angle) + 0.15 * bend)
    stripes, checks = np.sin(along), np.sin(along) * np.sin(across)
    return np.clip(0.5 + sharpness * stripes, 0, 1), np.clip(0.5 + 1.5 * sharpness * checks, 0, 1)


def _blobs(u: np.ndarray, size: int) -> np.ndarray:
    """Soft discs (N,size,size) in [0,1]; u (N,3 BLOBS,1,1) are their places and radii."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    right, down, radius = u.reshape(len(u), 3, BLOBS, 1, 1).swapaxes(0, 1)  # (N,BLOBS,1,1) each
    distance = np.hypot(x - right, y - down) / (0.08 + 0.22 * radius)
    return np.clip(2.5 * (1.2 - distance), 0, 1).max(axis=1)
