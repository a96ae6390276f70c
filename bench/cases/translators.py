"""pix2pix and CycleGAN in PyTorch: the networks and the steps of `models/translation/`, for `train.py`.

Written as PyTorch's own users write them: NCHW, modules in place where that is allowed, generators through frozen
discriminators, four or so losses read at the end of a step.
"""

from itertools import pairwise


def unet(size: int, channels: int, outputs: int, width: int, dropout: float):
    """The U-Net of `models/nets/unet.py` with batch norm."""
    import torch
    from torch import nn

    levels = size.bit_length() - 1
    widths = [width * min(2**i, 8) for i in range(levels)]
    down = [nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True))]
    for c, o in pairwise(widths[:-1]):
        down += [nn.Sequential(nn.Conv2d(c, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2, True))]
    down += [nn.Sequential(nn.Conv2d(widths[-2], widths[-1], 4, 2, 1, bias=False), nn.ReLU(True))]
    up = []
    for i, (c, o) in enumerate(pairwise(widths[::-1])):
        layers = [nn.ConvTranspose2d(2 * c if i else c, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(True)]
        up += [nn.Sequential(*layers, *[nn.Dropout(dropout)] * (dropout > 0 and i < 3))]
    up += [nn.Sequential(nn.ConvTranspose2d(2 * width, outputs, 4, 2, 1), nn.Tanh())]

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)

        def forward(self, x):
            skips = []
            for level in self.down:
                x = level(x)
                skips.append(x)
            skips.pop()
            for level in self.up:
                x = level(x)
                if skips:
                    x = torch.cat([torch.relu(skips.pop()), x], 1)
            return x

    return UNet()


def resnet(channels: int, outputs: int, width: int, blocks: int):
    """The generator of `models/nets/resnet.py` with instance norm."""
    from torch import nn

    wide = 4 * width

    def stage(conv, c):
        return [conv, nn.InstanceNorm2d(c), nn.ReLU(True)]

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            one = [nn.ReflectionPad2d(1), *stage(nn.Conv2d(wide, wide, 3), wide)]
            self.layers = nn.Sequential(*one, nn.ReflectionPad2d(1), nn.Conv2d(wide, wide, 3), nn.InstanceNorm2d(wide))

        def forward(self, x):
            return x + self.layers(x)

    return nn.Sequential(
        nn.ReflectionPad2d(3),
        *stage(nn.Conv2d(channels, width, 7), width),
        *stage(nn.Conv2d(width, 2 * width, 3, 2, 1), 2 * width),
        *stage(nn.Conv2d(2 * width, wide, 3, 2, 1), wide),
        *[Residual() for _ in range(blocks)],
        *stage(nn.ConvTranspose2d(wide, 2 * width, 3, 2, 1, 1), 2 * width),
        *stage(nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1), width),
        nn.ReflectionPad2d(3),
        nn.Conv2d(width, outputs, 7),
        nn.Tanh(),
    )


def patchgan(channels: int, width: int, norm: str):
    """The 70-pixel discriminator of `models/nets/patchgan.py`."""
    from torch import nn

    instance = norm == "instance"
    normalise = nn.InstanceNorm2d if instance else nn.BatchNorm2d
    layers = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for i, (c, o) in enumerate(pairwise([width, 2 * width, 4 * width, 8 * width])):
        layers += [nn.Conv2d(c, o, 4, 2 if i < 2 else 1, 1, bias=instance), normalise(o), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


class Translation:
    """A translator in training: `networks` by their names in our model; `step()` returns its losses, not waited for."""

    def __init__(self, settings, shape, batch, *, channels_last=False):
        import torch

        self.torch, self.settings = torch, settings
        layout = torch.channels_last if channels_last else torch.contiguous_format
        torch.manual_seed(0)
        self.networks = {name: net.to(memory_format=layout) for name, net in self.build(*shape).items()}
        for net in self.networks.values():
            for p in net.parameters():
                if p.ndim == 4:
                    torch.nn.init.normal_(p, 0.0, 0.02)
        self.a, self.b = (torch.randn(batch, c, h, w).contiguous(memory_format=layout) for h, w, c in shape)
        self.g, self.d = (self.adam([n for name, n in self.networks.items() if name[0] == kind]) for kind in "GD")

    def adam(self, networks):
        """Of these networks' parameters."""
        return self.torch.optim.Adam([p for net in networks for p in net.parameters()], 2e-4, (0.5, 0.999))

    def freeze(self, frozen: bool):
        """The discriminators, while G is taught."""
        for name, net in self.networks.items():
            if name[0] == "D":
                net.requires_grad_(not frozen)


class Pix2Pix(Translation):
    """`models/translation/pix2pix.py`."""

    def build(self, a, b):
        """{name: network}."""
        s = self.settings
        return {
            "G": unet(a[0], a[2], b[2], s["width"], s.get("dropout", 0.5)),
            "D": patchgan(a[2] + b[2], s["width"], "batch"),
        }

    def step(self):
        """(l1, d_loss, g_loss) of D's step on a pair and a translation, then G's."""
        torch, G, D = self.torch, *self.networks.values()
        bce, ones, zeros = torch.nn.functional.binary_cross_entropy_with_logits, torch.ones_like, torch.zeros_like
        fake = G(self.a)
        self.freeze(False)
        self.d.zero_grad()
        s_real, s_fake = D(torch.cat([self.a, self.b], 1)), D(torch.cat([self.a, fake.detach()], 1))
        d_loss = 0.5 * (bce(s_real, ones(s_real)) + bce(s_fake, zeros(s_fake)))
        d_loss.backward()
        self.d.step()
        self.freeze(True)
        self.g.zero_grad()
        score, l1 = D(torch.cat([self.a, fake], 1)), torch.nn.functional.l1_loss(fake, self.b)
        g_loss = bce(score, ones(score))
        (g_loss + 100 * l1).backward()
        self.g.step()
        return l1.detach(), d_loss.detach(), g_loss.detach()


class CycleGAN(Translation):
    """`models/translation/cyclegan.py` with the paper's settings."""

    def build(self, a, b):
        """{name: network}."""
        s = self.settings
        return {
            "G_ab": resnet(a[2], b[2], s["width"], s["blocks"]),
            "G_ba": resnet(b[2], a[2], s["width"], s["blocks"]),
            "D_a": patchgan(a[2], s["width"], "instance"),
            "D_b": patchgan(b[2], s["width"], "instance"),
        }

    def __init__(self, settings, *others, **how):
        super().__init__(settings, *others, **how)
        self.pools = [], []

    def pooled(self, pool, fakes):
        """Each fake, or in its place an older one, half of the time once the pool is full."""
        torch, size, given = self.torch, self.settings.get("pool", 50), []
        for fake in fakes.detach().split(1):
            if len(pool) < size:
                pool.append(fake)
            elif size and torch.rand(()) >= 0.5:
                place = int(torch.randint(size, ()))
                pool[place], fake = fake, pool[place]
            given.append(fake)
        return torch.cat(given)

    def step(self):
        """(g_loss, cycle, identity, d_loss) of both generators' step, then both discriminators'."""
        torch, s, a, b = self.torch, self.settings, self.a, self.b
        G_ab, G_ba, D_a, D_b = self.networks.values()
        l1 = torch.nn.functional.l1_loss

        def mse(x, target):
            return torch.nn.functional.mse_loss(x, torch.full_like(x, target))

        self.freeze(True)
        self.g.zero_grad()
        fake_b, fake_a = G_ab(a), G_ba(b)
        g_loss = mse(D_b(fake_b), 1.0) + mse(D_a(fake_a), 1.0)
        cycle = l1(G_ba(fake_b), a) + l1(G_ab(fake_a), b)
        identity = l1(G_ab(b), b) + l1(G_ba(a), a)
        (g_loss + s["cycle"] * cycle + s["cycle"] * s["identity"] * identity).backward()
        self.g.step()
        self.freeze(False)
        self.d.zero_grad()
        old_a, old_b = (self.pooled(*each) for each in zip(self.pools, (fake_a, fake_b), strict=True))
        d_loss = 0.5 * (mse(D_a(a), 1.0) + mse(D_a(old_a), 0.0)) + 0.5 * (mse(D_b(b), 1.0) + mse(D_b(old_b), 0.0))
        d_loss.backward()
        self.d.step()
        return g_loss.detach(), cycle.detach(), identity.detach(), d_loss.detach()


STEPS = {"pix2pix": Pix2Pix, "cyclegan": CycleGAN}
