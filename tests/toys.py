"""Small networks of the families that the engine is for, with the steps that train them: what devices are tried on.

Each toy has `step(batch)`, as a model does; batches are fixed by a seed. Not here: the models themselves.
"""

from itertools import count

import numpy as np

from inachus.engine import constant, grad, losses, nn, ops
from inachus.engine.data import Batch
from inachus.engine.nn import init
from inachus.engine.optim import Adam
from inachus.engine.random import Generator
from inachus.kernels.steps import readings
from inachus.models import MODELS


class ReflectionPad(nn.Module):
    """(N,H,W,C) -> (N,H+2n,W+2n,C), mirrored at the border."""

    def __init__(self, n):
        self.n = n

    def forward(self, x):
        return ops.pad(x, widths=((0, 0), (self.n, self.n), (self.n, self.n), (0, 0)), mode="reflect")


class UNet(nn.Module):
    """Two levels with a skip, dropout as noise (Isola et al. 2017 in small)."""

    def __init__(self, channels, width):
        self.down1 = nn.Conv2d(channels, width, 4, stride=2, pad=1)
        self.down2 = nn.Sequential(nn.Conv2d(width, 2 * width, 4, stride=2, pad=1, bias=False), nn.BatchNorm(2 * width))
        self.up1 = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose2d(2 * width, width, 4, stride=2, pad=1, bias=False), nn.BatchNorm(width),
            nn.Dropout(0.5, always=True),
        )
        self.up2 = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * width, channels, 4, stride=2, pad=1), nn.Tanh())

    def forward(self, x):
        a = self.down1(x)
        return self.up2(ops.concat([self.up1(self.down2(ops.leaky_relu(a))), a], axis=3))


class Block(nn.Module):
    """x + two convolutions, mirrored borders, instance norm."""

    def __init__(self, width):
        self.body = nn.Sequential(
            ReflectionPad(1), nn.Conv2d(width, width, 3), nn.InstanceNorm(width), nn.ReLU(),
            ReflectionPad(1), nn.Conv2d(width, width, 3), nn.InstanceNorm(width),
        )

    def forward(self, x):
        return x + self.body(x)


def resnet(channels, width):
    """Down, one block, up (Zhu et al. 2017 in small)."""
    return nn.Sequential(
        ReflectionPad(2), nn.Conv2d(channels, width, 5), nn.InstanceNorm(width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, pad=1), nn.InstanceNorm(2 * width), nn.ReLU(), Block(2 * width),
        nn.ConvTranspose2d(2 * width, width, 3, stride=2, pad=1, output_pad=1), nn.InstanceNorm(width), nn.ReLU(),
        ReflectionPad(1), nn.Conv2d(width, channels, 3), nn.Tanh(),
    )


def patches(channels, width, norm):
    """A discriminator of patches."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, stride=2, pad=1), nn.LeakyReLU(),
        nn.Conv2d(width, 2 * width, 4, pad=1), norm(2 * width), nn.LeakyReLU(), nn.Conv2d(2 * width, 1, 3, pad=1),
    )


class Toy:
    """Networks drawn from one seed, an Adam for each."""

    def __init__(self, **networks):
        self.rng = Generator(7)
        for name, network in networks.items():
            setattr(self, name, network.initialize(self.rng.spawn(name), init.normal(0.02), init.normal(0.02, 1.0)))
            setattr(self, f"{name}_optimizer", Adam(network.parameters(), 2e-4, (0.5, 0.999)))


class Pix2Pix(Toy):
    """min over G of the adversary and 100 L1, on pairs: the batch holds inputs and targets side by side in channels."""

    def __init__(self, width=4):
        super().__init__(G=UNet(3, width), D=patches(6, width, nn.BatchNorm))

    def step(self, batch):
        a, b = constant(batch.items[..., :3]), constant(batch.items[..., 3:])
        fake = self.G(a)
        real_logits, fake_logits = (self.D(ops.concat([a, x], axis=3)) for x in (b, fake.detach()))
        d_loss = losses.bce_with_logits(real_logits, 1.0) + losses.bce_with_logits(fake_logits, 0.0)
        self.D_optimizer.minimize(d_loss)
        adversary, l1 = losses.bce_with_logits(self.D(ops.concat([a, fake], axis=3)), 1.0), losses.l1(fake, b)
        self.G_optimizer.minimize(adversary + 100.0 * l1)
        return readings({"d_loss": d_loss.data, "adversary": adversary.data, "l1": l1.data})


class CycleGAN(Toy):
    """Least squares, cycle 10, identity 5, both directions; A and B lie side by side in channels."""

    def __init__(self, width=4):
        nets = {f"G_{k}": resnet(3, width) for k in "ab"} | {f"D_{k}": patches(3, width, nn.InstanceNorm) for k in "ab"}
        super().__init__(**nets)

    def step(self, batch):
        a, b = constant(batch.items[..., :3]), constant(batch.items[..., 3:])
        fake_a, fake_b = self.G_a(b), self.G_b(a)
        cycle = losses.l1(self.G_a(fake_b), a) + losses.l1(self.G_b(fake_a), b)
        same = losses.l1(self.G_a(a), a) + losses.l1(self.G_b(b), b)
        adversary = losses.mse(self.D_a(fake_a), 1.0) + losses.mse(self.D_b(fake_b), 1.0)
        loss = adversary + 10.0 * cycle + 5.0 * same
        generators = [*self.G_a.parameters(), *self.G_b.parameters()]
        gradients = grad(loss, generators)
        n = len(self.G_a.parameters())
        self.G_a_optimizer.step(gradients[:n])
        self.G_b_optimizer.step(gradients[n:])
        d_loss = {}
        for name, D, real, fake in (("a", self.D_a, a, fake_a), ("b", self.D_b, b, fake_b)):
            d_loss[name] = 0.5 * (losses.mse(D(real), 1.0) + losses.mse(D(fake.detach()), 0.0))
            getattr(self, f"D_{name}_optimizer").minimize(d_loss[name])
        values = {"cycle": cycle, "adversary": adversary, "d_a": d_loss["a"], "d_b": d_loss["b"]}
        return readings({name: t.data for name, t in values.items()})


def small_dcgan():
    """The model itself, narrow: pictures of 32 pixels."""
    return MODELS["dcgan"]((32, 32, 3), 0, 1, MODELS["dcgan"].Settings(width=4, z=10))


# name: (model, shape of an item)
TOYS = {"dcgan": (small_dcgan, (32, 32, 3)), "pix2pix": (Pix2Pix, (16, 16, 6)), "cyclegan": (CycleGAN, (12, 12, 6))}


def batches(shape, size=2):
    """Batch 0, 1, ...: smooth pictures in [-1, 1]."""
    for i in count():
        rng = np.random.default_rng(i)
        coarse = rng.uniform(-1, 1, (size, *(n // 4 for n in shape[:2]), shape[2])).astype(np.float32)
        yield Batch(coarse.repeat(4, 1).repeat(4, 2))
