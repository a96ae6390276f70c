"""The first rung of the ladder: each kernel as one would write it first, in Python that Numba compiles for the GPU.

    launch.py   how a kernel starts, and how a thread knows which number is its own
    conv.py     the three convolutions, one thread a result; a convolution as a matrix product
    matmul.py   the matrix product, without and with shared memory
    norm.py     activations, one thread a result; normalisation, one block a channel

Names and arguments are those of `kernels/reference`, but convolutions take no bias and no slope; the engine never
calls them. NumPy arrays in, NumPy arrays out, or CuPy arrays, on CuPy's current stream. Without a GPU they run in
Numba's simulator, which makes a Python thread of each CUDA thread: toy shapes only, but an index past the end raises.

    export NUMBA_ENABLE_CUDASIM=1
    python -c "import numpy as np, inachus.kernels.cuda.naive as k; print(k.leaky_relu(np.linspace(-1, 1, 5), 0.2))"

Needs Numba, on a GPU also numba-cuda. Read `conv.py` next.
"""

from inachus.kernels.cuda.naive.conv import col2im, conv2d, conv2d_as_matmul, conv2d_dw, conv2d_dx, im2col
from inachus.kernels.cuda.naive.matmul import matmul, matmul_tiled
from inachus.kernels.cuda.naive.norm import bias_act, bias_act_bwd, leaky_relu, leaky_relu_bwd, norm, norm_bwd

__all__ = [
    "bias_act",
    "bias_act_bwd",
    "col2im",
    "conv2d",
    "conv2d_as_matmul",
    "conv2d_dw",
    "conv2d_dx",
    "im2col",
    "leaky_relu",
    "leaky_relu_bwd",
    "matmul",
    "matmul_tiled",
    "norm",
    "norm_bwd",
]
