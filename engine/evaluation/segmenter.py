"""Label maps and how well they are met: the FCN score of Isola et al. (2017), "Image-to-image translation with
conditional adversarial networks", section 4.1, with a segmenter of our own.

If photos made from label maps look real, a segmenter that learned from real photos finds the labels in them again. So
the score of real photos stands beside it: no translation need do better. The segmenter is a small fully convolutional
network with skips (Long, Shelhamer and Darrell 2015; Ronneberger et al. 2015), trained with this engine on the real
pairs in a minute or two. Its scores compare models on the same data, never with published ones. Every colour of the
maps is a class, one for "unknown" too.

This is not the judge of whole pictures, which is `classifier.py`. Read next: `translation.py`.
"""

from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise

import numpy as np

from inachus.engine import constant, losses, nn, no_grad, ops
from inachus.engine.data import Jitter, PairBatches, Pairs
from inachus.engine.data.dataset import normalised
from inachus.engine.data.pairs.maps import classes_of
from inachus.engine.evaluation.classifier import kept
from inachus.engine.optim import EMA, Adam, linear_decay
from inachus.engine.random import Generator

STEPS, BATCH, VERSION = 600, 8, 1
WIDTHS = 24, 48, 64, 96  # channels at full size, at a half, a quarter, an eighth


class Segmenter(nn.Module):
    """Three times down and up again, with skips, batch norm and ReLU."""

    def __init__(self, channels: int, classes: int, seed: int = 0):
        self.classes = classes
        self.down = nn.Sequential(_level(nn.Conv2d(channels, WIDTHS[0], 3, pad=1, bias=False), WIDTHS[0]))
        self.up, four = nn.Sequential(), {"kernel": 4, "stride": 2, "pad": 1, "bias": False}
        for level, (large, small) in enumerate(pairwise(WIDTHS), 2):
            self.down = nn.Sequential(*self.down, _level(nn.Conv2d(large, small, **four), small))
            below = small if level == len(WIDTHS) else 2 * small  # what comes up, and the skip
            self.up = nn.Sequential(_level(nn.ConvTranspose2d(below, large, **four), large), *self.up)
        self.head = nn.Conv2d(2 * WIDTHS[0], classes, 1)
        self.initialize(Generator(seed).spawn("segmenter"), nn.init.he())

    def forward(self, x):
        """(N,H,W,C) in [-1,1] -> logits (N,H,W,classes)."""
        height, width = x.shape[1:3]
        multiple = 2 ** len(self.up)
        x = ops.pad(x, widths=((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)))
        skips = []
        for level in self.down:
            x = level(x)
            skips.append(x)
        skips.pop()
        for level in self.up:
            x = ops.concat([level(x), skips.pop()], axis=3)  # (N,h,w,c), (N,h,w,c) -> (N,h,w,2c)
        return self.head(x)[:, :height, :width]

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        """The most probable class of each pixel: uint8, or float in [-1,1], (N,H,W,C) -> int64 (N,H,W)."""
        self.eval()
        found = []
        with no_grad():
            for i in range(0, len(pictures), BATCH):
                part = pictures[i : i + BATCH]
                part = normalised(part) if part.dtype == np.uint8 else part.astype(np.float32)
                found.append(self(constant(part)).numpy().argmax(axis=3))
        return np.concatenate(found)


def _level(layer: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm(channels), nn.ReLU())


def segmenter(pairs: Pairs, palette: np.ndarray, say: Callable[[str], None] = lambda text: None) -> Segmenter:
    """A segmenter of photos a into the classes of maps b, colours palette (K,C): from the cache, or trained now."""
    network = Segmenter(pairs.a.shape[3], len(palette))
    mark = sha256(palette.tobytes()).hexdigest()[:8]

    def train() -> dict:
        say(f"training the segmenter of {pairs.name} on {len(pairs):,} pairs")
        fit(network, pairs, palette, STEPS)
        return {"data": pairs.name}

    kept("segmenters", f"{pairs.fingerprint[:16]}-{mark}-v{VERSION}", network, train)
    return network


def fit(network: Segmenter, pairs: Pairs, palette: np.ndarray, steps: int, seed: int = 0) -> None:
    """Cross-entropy of every pixel, pairs jittered, Adam from 2e-3 falling linearly to 0; ends on averaged weights."""
    batches = PairBatches(pairs, min(BATCH, len(pairs)), seed, Jitter())
    optimizer = Adam(network.parameters(), linear_decay(2e-3, 0, steps))
    average = EMA(network, 0.99)
    network.train()
    for _, batch in zip(range(steps), batches, strict=False):
        logits = network(constant(batch.a)).reshape(-1, network.classes)  # (B,H,W,K) -> (BHW,K)
        labels = classes_of((batch.b + 1) * 127.5, palette).reshape(-1)
        optimizer.minimize(losses.cross_entropy(logits, labels))
        average.update()
    network.load_state_dict(average.network.state_dict())


def agreement(found: np.ndarray, truth: np.ndarray, classes: int) -> dict[str, float]:
    """How two arrays of class numbers, of one shape, agree pixel by pixel; each in [0,1].

    pixel_accuracy   share of pixels with the right class
    class_accuracy   the same for each class of the truth, and the mean of these
    class_iou        intersection over union of each class, and the mean over those in either array

    Long, Shelhamer and Darrell 2015 (arXiv 1411.4038), section 5.
    """
    counts = np.bincount(truth.reshape(-1) * classes + found.reshape(-1), minlength=classes**2)
    counts = counts.reshape(classes, classes).astype(np.float64)  # row: the true class, column: the one found
    right, true, either = np.diag(counts), counts.sum(axis=1), counts.sum(axis=1) + counts.sum(axis=0)
    return {
        "pixel_accuracy": float(right.sum() / counts.sum()),
        "class_accuracy": float(np.mean(right[true > 0] / true[true > 0])),
        "class_iou": float(np.mean(right[either > 0] / (either - right)[either > 0])),
    }
