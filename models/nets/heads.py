"""Discriminators with more than one answer or question, made of the layers of a plain one (`testbed.py`).

`infogan` asks a second head for the codes, `vaegan` compares pictures by what its discriminator sees inside, and
`bigan` shows its discriminator a picture together with a code.
"""

from collections.abc import Callable

from inachus.engine import nn, ops


class Heads(nn.Module):
    """x -> (answer of each head to trunk(x), in their order)."""

    def __init__(self, network: nn.Sequential, *heads: Callable[[int], nn.Module]):
        """The trunk is `network` without its last layer, a dense one; each head is made for as many inputs as that."""
        *layers, last = network
        self.trunk, self.heads = nn.Sequential(*layers), nn.Sequential(*(head(last.fans[0]) for head in heads))

    def forward(self, x):
        """(N, ...) -> a tuple of (N, outputs)."""
        seen = self.trunk(x)
        return tuple(head(seen) for head in self.heads)


class Seeing(nn.Module):
    """x -> (what the first `depth` layers make of it, the answer of the whole network)."""

    def __init__(self, network: nn.Sequential, depth: int):
        self.inner, self.outer = nn.Sequential(*network.layers[:depth]), nn.Sequential(*network.layers[depth:])

    def forward(self, x):
        """(N, ...) -> (N, ...), (N, outputs)."""
        seen = self.inner(x)
        return seen, self.outer(seen)


class Joint(nn.Module):
    """(x, z) -> one logit for both: each goes through layers of its own, then both through the same."""

    def __init__(self, network: nn.Sequential, inputs: int, size: int):
        """`network` makes `size` numbers of x; z has `inputs`."""
        self.of_x = nn.Sequential(*network, nn.LeakyReLU(0.2))
        self.of_z = nn.Sequential(nn.Dense(inputs, size), nn.LeakyReLU(0.2))
        self.of_both = nn.Sequential(nn.Dense(2 * size, size), nn.LeakyReLU(0.2), nn.Dense(size, 1))

    def forward(self, x, z):
        """(N, ...), (N, inputs) -> (N, 1)."""
        return self.of_both(ops.concat([self.of_x(x), self.of_z(z)], axis=1))
