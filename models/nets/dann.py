"""Networks of domain-adversarial training: a classifier in two parts, and the critic of what is between them.

Two convolutions of kernel 5 and a dense layer make the features, as in Ganin et al. (2016), figure 4b; strides halve
where the paper pools. Batch norm keeps statistics for each of the two domains, as Li et al. (2016, "Revisiting batch
normalization for practical domain adaptation") found useful; scale and shift are the same for both.
"""

import numpy as np

from inachus.engine import nn
from inachus.kernels import place


class DomainNorm(nn.BatchNorm):
    """Batch norm whose running statistics are those of the source, or with `target` set those of the target."""

    buffers = ("running_mean", "running_var", "target_mean", "target_var")

    def __init__(self, channels: int):
        super().__init__(channels)
        self.target = False
        self.target_mean, self.target_var = (place(f(channels, np.float32)) for f in (np.zeros, np.ones))

    def forward(self, x, slope=1.0):
        """(N,...,channels) -> the same shape."""
        own = self.running_mean, self.running_var
        if self.target:
            self.running_mean, self.running_var = self.target_mean, self.target_var
        try:
            return super().forward(x, slope)
        finally:
            self.running_mean, self.running_var = own


class Classifier(nn.Module):
    """features, then logits (N, classes); which domain the pictures are of, `facing` says."""

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int, hidden: int, dropout: float):
        h, w, channels = shape
        inner = -(-h // 4) * -(-w // 4) * 2 * width  # halved twice, rounded up
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, pad=2),
            DomainNorm(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 5, stride=2, pad=2),
            DomainNorm(2 * width),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dense(inner, hidden),
            DomainNorm(hidden),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Dense(hidden, classes))

    def facing(self, target: bool) -> "Classifier":
        """This classifier, from now on for pictures of the target, or of the source."""
        for _, layer in self.modules():
            if isinstance(layer, DomainNorm):
                layer.target = target
        return self

    def forward(self, x):
        """(N, H, W, C) -> (N, classes)."""
        return self.head(self.features(x))


def critic(inputs: int) -> nn.Sequential:
    """(N, inputs) -> (N, 1) logits: of the target rather than of the source."""
    layers = [nn.Dense(inputs, 2 * inputs), nn.LeakyReLU(0.2), nn.Dense(2 * inputs, 2 * inputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Dense(2 * inputs, 1))
