"""Networks of Triple-GAN: a classifier with dropout, and a discriminator of pictures with their classes.

D answers for all classes at once: one number for the picture, one for each class that it might be of, added, which is
the projection of Miyato and Koyama (2018, "cGANs with projection discriminator"). So the classifier's opinion of every
class can be judged in one pass. The generator is the testbed's (`testbed.py`), told the class.
"""

from inachus.engine import nn
from inachus.models.nets.testbed import quarters


def classifier(shape: tuple[int, int, int], classes: int, width: int, dropout: float) -> nn.Sequential:
    """(N, H, W, C) -> (N, classes) logits; features are dropped more the nearer they are to the classes."""
    h, w, channels = quarters(shape)
    layers = [nn.Conv2d(channels, width, 5, stride=2, pad=2), nn.BatchNorm(width), nn.LeakyReLU(0.1)]
    layers += [nn.Dropout(dropout / 2), nn.Conv2d(width, 2 * width, 5, stride=2, pad=2)]
    layers += [nn.BatchNorm(2 * width), nn.LeakyReLU(0.1), nn.Flatten(), nn.Dropout(dropout)]
    layers += [nn.Dense(2 * width * h * w, 8 * width), nn.BatchNorm(8 * width), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Dense(8 * width, classes))


class Pairing(nn.Module):
    """(N, H, W, C) -> (N, classes) logits: that picture and class belong together, and that they are real."""

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int, dropout: float):
        h, w, channels = quarters(shape)
        layers = [nn.Conv2d(channels, width, 4, stride=2, pad=1), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(width, 2 * width, 4, stride=2, pad=1), nn.LeakyReLU(0.2), nn.Flatten()]
        layers += [nn.Dropout(dropout), nn.Dense(2 * width * h * w, 8 * width), nn.LeakyReLU(0.2)]
        self.network = nn.Sequential(*layers, nn.Dense(8 * width, 1 + classes))

    def forward(self, x):
        """(N, H, W, C)."""
        both = self.network(x)
        return both[:, :1] + both[:, 1:]
