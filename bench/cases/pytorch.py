"""The networks and the training steps of `train.py` in PyTorch: eager, compiled, or captured in a CUDA graph.

A step: G once, D on real and on the detached fake, Adam, then G through a frozen D, Adam. On a GPU the pictures come
from pinned memory of the host in every step, and the four numbers that tell how it goes stay on the device until they
are read.
"""

from itertools import pairwise


def mlp(pixels: int):
    """The course's pair: dense, leaky ReLU, batch norm."""
    from torch import nn

    G = nn.Sequential(
        nn.Linear(100, 256),
        nn.LeakyReLU(0.2, True),
        nn.BatchNorm1d(256),
        nn.Linear(256, 512),
        nn.LeakyReLU(0.2, True),
        nn.BatchNorm1d(512),
        nn.Linear(512, pixels),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Linear(pixels, 512), nn.LeakyReLU(0.2, True), nn.Linear(512, 256), nn.LeakyReLU(0.2, True), nn.Linear(256, 1)
    )
    return G, D, (100,)


def dcgan(size: int, channels: int, width: int):
    """The pair of `models/nets/dcgan.py`."""
    from torch import nn

    widths = [width << i for i in range((size // 4).bit_length() - 1)]
    g = [nn.ConvTranspose2d(100, widths[-1], 4, bias=False)]
    for before, after in zip(widths[::-1], [*widths[-2::-1], channels], strict=True):
        g += [nn.BatchNorm2d(before), nn.ReLU(True), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
    d = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for before, after in pairwise(widths):
        d += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, True)]
    d += [nn.Conv2d(widths[-1], 1, 4, bias=False), nn.Flatten()]
    return nn.Sequential(*g, nn.Tanh()), nn.Sequential(*d), (100, 1, 1)


class Training:
    """A model in training: `step()` returns d_loss, g_loss, D(x), D(G(z)) as 0-d tensors that nobody has waited for."""

    def __init__(self, name, settings, shape, batch, *, device="cpu", channels_last=False, autocast=False,
                 compiled=False, adam=None):
        """`adam`: further settings of the optimizers, such as {"fused": True}."""
        import torch

        self.torch, self.batch, self.device, self.autocast, self.compiled = torch, batch, device, autocast, compiled
        size, _, channels = shape
        layout = torch.channels_last if channels_last else torch.contiguous_format
        torch.manual_seed(0)
        if name == "gan":
            G, D, self.z = mlp(size * size * channels)
            real = torch.randn(batch, size * size * channels)
        else:
            G, D, self.z = dcgan(size, channels, settings["width"])
            G, D = G.to(memory_format=layout), D.to(memory_format=layout)
            real = torch.randn(batch, channels, size, size).contiguous(memory_format=layout)
        self.G, self.D = G.to(device), D.to(device)
        self.g, self.d = (
            torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999), **(adam or {})) for net in (self.G, self.D)
        )
        self.host = real.pin_memory() if device == "cuda" else real
        self.real = real.to(device)
        self.one, self.zero = torch.ones(batch, 1, device=device), torch.zeros(batch, 1, device=device)
        self.loss = torch.nn.functional.binary_cross_entropy_with_logits
        self.run_G, self.run_D = self.G, self.D
        if compiled:
            torch.compiler.reset()  # nothing of another batch
            self.run_G, self.run_D = (torch.compile(net, mode="reduce-overhead") for net in (self.G, self.D))

    def upload(self) -> None:
        """Brings the next pictures to the device."""
        if self.device != "cpu":
            self.real.copy_(self.host, non_blocking=True)

    def step(self) -> tuple:
        """One step on the pictures in `real`."""
        torch = self.torch
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            fake = self.run_G(torch.randn(self.batch, *self.z, device=self.device))
            self.d.zero_grad()
            s_real, s_fake = self.run_D(self.real), self.run_D(fake.detach())
            d_loss = self.loss(s_real, self.one) + self.loss(s_fake, self.zero)
        means = [s.detach().float().sigmoid().mean() for s in (s_real, s_fake)]
        d_loss.backward()
        self.d.step()
        self.D.requires_grad_(False)
        self.g.zero_grad()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            g_loss = self.loss(self.run_D(fake), self.one)
        g_loss.backward()
        self.g.step()
        self.D.requires_grad_(True)
        return d_loss.detach(), g_loss.detach(), *means

    def captured(self):
        """A function that replays one step as a CUDA graph and returns where its numbers are."""
        torch = self.torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # kernels are chosen and buffers made outside the capture
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            values = self.step()

        def replay():
            graph.replay()
            return values

        return replay
