"""The layers. Each holds parameters and calls one op of `engine/ops`; sizes are explicit, nothing is inferred.

A layer made without `rng` draws from Generator(0): reproducible, but equal layers start equal. Networks are drawn as
a whole by `Module.initialize(rng, ...)`, which is what every model does. Not here: layers that only move numbers
(`moves.py`, read next).
"""

import numpy as np

from inachus.engine import ops
from inachus.engine.nn import init
from inachus.engine.nn.module import Module
from inachus.engine.random import Generator
from inachus.engine.tensor import Tensor, constant
from inachus.kernels import backend, place, xp

FIRST_SLOPE = 0.25  # of a PReLU


class Sequential(Module):
    """Layers one after the other. A leaky ReLU right behind a norm or a bias is computed together with it."""

    def __init__(self, *layers: Module, **named: Module):
        self.layers = [*layers, *named.values()]
        self.names = [*map(str, range(len(layers))), *named]

    def children(self):
        """Layers by their place, "0", "1", ..., or their name."""
        return zip(self.names, self.layers, strict=True)

    def forward(self, x):
        """(N, ...) -> (N, ...)."""
        i = 0
        while i < len(self.layers):
            layer, i = self.layers[i], i + 1
            if isinstance(layer, Fusing) and i < len(self.layers) and isinstance(self.layers[i], LeakyReLU):
                x, i = layer.forward(x, slope=self.layers[i].slope), i + 1
            else:
                x = layer(x)
        return x

    def __iter__(self):
        return iter(self.layers)

    def __len__(self):
        return len(self.layers)

    def __getitem__(self, i):
        return self.layers[i]


class Fusing(Module):
    """A layer whose forward takes the `slope` of the leaky ReLU behind it; 1.0 is none."""


class Weighted(Fusing):
    """Common to dense and convolution layers: a weight, maybe a bias, and how both are drawn."""

    fans: tuple[int, int]

    def _make(self, shape, outputs, bias, rng):
        self.weight = Tensor(np.zeros(shape, np.float32), requires_grad=True)
        self.bias = Tensor(np.zeros(outputs, np.float32), requires_grad=True) if bias else None
        self.draw(rng or Generator(0), init.he(), None)

    def draw(self, rng, weight, gamma):
        """Weights by the initialiser, bias zero."""
        self.weight.data[...] = weight(rng, self.weight.shape, *self.fans)
        if self.bias is not None:
            self.bias.data[...] = 0


class Dense(Weighted):
    """y = x w + b: (..., inputs) -> (..., outputs), w (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, rng: Generator | None = None):
        self.fans = inputs, outputs
        self._make((inputs, outputs), outputs, bias, rng)

    def forward(self, x, slope=1.0):
        """(..., inputs) -> (..., outputs)."""
        y = ops.dense(x, self.weight)
        if self.bias is not None:
            return ops.bias_act(y, self.bias, slope=slope)
        return y if slope == 1 else ops.leaky_relu(y, slope=slope)


class Conv2d(Weighted):
    """Cross-correlation, w (kernel, kernel, channels, outputs): (N,H,W,channels) -> (N,OH,OW,outputs)."""

    def __init__(
        self,
        channels: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        pad: int = 0,
        bias: bool = True,
        rng: Generator | None = None,
    ):
        self.stride, self.pad = stride, pad
        self.fans = kernel * kernel * channels, kernel * kernel * outputs
        self._make((kernel, kernel, channels, outputs), outputs, bias, rng)

    def forward(self, x, slope=1.0):
        """(N,H,W,channels) -> (N,OH,OW,outputs), OH = (H + 2 pad - kernel) // stride + 1."""
        return ops.conv2d(x, self.weight, self.bias, stride=self.stride, pad=self.pad, slope=slope)


class ConvTranspose2d(Weighted):
    """The adjoint of a convolution, w (kernel, kernel, outputs, channels): (N,H,W,channels) -> (N,OH,OW,outputs)."""

    def __init__(
        self,
        channels: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        pad: int = 0,
        output_pad: int = 0,
        bias: bool = True,
        rng: Generator | None = None,
    ):
        self.stride, self.pad, self.output_pad = stride, pad, output_pad
        self.fans = max(1, kernel * kernel * channels // stride**2), kernel * kernel * outputs
        self._make((kernel, kernel, outputs, channels), outputs, bias, rng)

    def forward(self, x, slope=1.0):
        """(N,H,W,channels) -> (N,OH,OW,outputs), OH = (H - 1) stride - 2 pad + kernel + output_pad."""
        how = {"stride": self.stride, "pad": self.pad, "output_pad": self.output_pad}
        return ops.conv_transpose2d(x, self.weight, self.bias, **how, slope=slope)


class Normalising(Fusing):
    """Common to the norms: a scale (weight), a shift (bias), or neither."""

    def __init__(self, shape, *, eps: float = 1e-5, affine: bool = True):
        self.eps = eps
        self.weight = Tensor(np.ones(shape, np.float32), requires_grad=True) if affine else None
        self.bias = Tensor(np.zeros(shape, np.float32), requires_grad=True) if affine else None

    def draw(self, rng, weight, gamma):
        """Scale 1, or drawn by `gamma`; shift 0."""
        if self.weight is not None:
            self.weight.data[...] = gamma(rng, self.weight.shape, 1, 1) if gamma else 1
            self.bias.data[...] = 0


class BatchNorm(Normalising):
    """Normalises each channel over the batch: (N,...,channels). Ioffe and Szegedy (2015).

    momentum is the weight of the new value in the running statistics (PyTorch's meaning; Keras' is 1 - momentum), the
    running variance the unbiased one; both move only in training mode while a graph is recorded. In evaluation mode
    `statistics` decides: "running" uses them, "batch" normalises by the batch at hand.
    """

    buffers = ("running_mean", "running_var")

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True):
        super().__init__(channels, eps=eps, affine=affine)
        self.momentum, self.statistics = momentum, "running"
        self.running_mean, self.running_var = (place(f(channels, np.float32)) for f in (np.zeros, np.ones))

    def forward(self, x, slope=1.0):
        """(N,...,channels) -> the same shape."""
        if not self.training and self.statistics == "running":
            return self._by_running(x, slope)
        y = ops.batch_norm(x, self.weight, self.bias, eps=self.eps, slope=slope)
        if self.training and y.node:
            _, mean, rstd = y.node.saved
            count = x.size // x.shape[-1]
            backend(x.data).track(self.running_mean, self.running_var, mean, rstd, self.eps, self.momentum, count)
        return y

    def _by_running(self, x, slope):
        rstd = 1 / xp(x.data).sqrt(self.running_var + self.eps)
        y = (x - constant(self.running_mean, x.dtype)) * constant(rstd, x.dtype)
        y = y if self.weight is None else y * self.weight + self.bias
        return y if slope == 1 else ops.leaky_relu(y, slope=slope)


class InstanceNorm(Normalising):
    """Normalises each channel of each picture: (N,H,W,channels). Ulyanov et al. (2016); affine off as in CycleGAN."""

    def __init__(self, channels: int, *, eps: float = 1e-5, affine: bool = False):
        super().__init__(channels, eps=eps, affine=affine)

    def forward(self, x, slope=1.0):
        """(N,H,W,channels) -> the same shape."""
        return ops.instance_norm(x, self.weight, self.bias, eps=self.eps, slope=slope)


class LayerNorm(Normalising):
    """Normalises over the last axes, as many as `shape` (an int or a tuple) has. Ba et al. (2016)."""

    def forward(self, x, slope=1.0):
        """(N,...,*shape) -> the same shape."""
        y = ops.layer_norm(x, self.weight, self.bias, eps=self.eps)
        return y if slope == 1 else ops.leaky_relu(y, slope=slope)


class LeakyReLU(Module):
    """max(x, slope x)."""

    def __init__(self, slope: float = 0.2):
        self.slope = slope

    def forward(self, x):
        """Any shape."""
        return ops.leaky_relu(x, slope=self.slope)


class ReLU(LeakyReLU):
    """max(x, 0)."""

    def __init__(self):
        super().__init__(0.0)


class PReLU(Module):
    """max(x, 0) + slope min(x, 0), the one slope of the layer being learned, from 0.25. He et al. (2015)."""

    def __init__(self):
        self.slope = Tensor(np.full(1, FIRST_SLOPE, np.float32), requires_grad=True)

    def draw(self, rng, weight, gamma):
        """The slope with which it begins, whatever the initialiser."""
        self.slope.data[...] = FIRST_SLOPE

    def forward(self, x):
        """Any shape."""
        return ops.prelu(x, self.slope)


class Tanh(Module):
    """To (-1, 1)."""

    def forward(self, x):
        """Any shape."""
        return ops.tanh(x)


class Sigmoid(Module):
    """To (0, 1)."""

    def forward(self, x):
        """Any shape."""
        return ops.sigmoid(x)


class Dropout(Module):
    """Zeroes each element with probability `rate` in training mode, and in evaluation mode too if `always` is set."""

    def __init__(self, rate: float = 0.5, *, rng: Generator | None = None, always: bool = False):
        self.rate, self.rng, self.always = rate, rng or Generator(0), always

    def draw(self, rng, weight, gamma):
        """Takes over the stream of masks."""
        self.rng = rng

    def forward(self, x):
        """Any shape."""
        return ops.dropout(x, self.rng, rate=self.rate) if self.training or self.always else x


class Embedding(Module):
    """A table (count, size): integers (...) -> rows (..., size)."""

    def __init__(self, count: int, size: int, *, rng: Generator | None = None):
        self.weight = Tensor(np.zeros((count, size), np.float32), requires_grad=True)
        self.draw(rng or Generator(0), None, None)

    def draw(self, rng, weight, gamma):
        """N(0, 1), whatever the network's initialiser: a table has no fan."""
        self.weight.data[...] = rng.normal(self.weight.shape)

    def forward(self, index):
        """Integers (...), an array or a Tensor -> (..., size)."""
        return ops.embedding(index, self.weight)
