"""Convolution, closed under differentiation, and fused with the bias and leaky ReLU behind it.

conv2d is bilinear: without the spatial axes it is the matrix product y[n,o] = x[n,c] w[c,o]. So each partial
derivative of one of these three ops is another one of the three, and every order of derivative is there:

    conv2d   (x, w)  -> y      in x: conv2d_dx(gy, w)    in w:  conv2d_dw(x, gy)
    conv2d_dx(gy, w) -> gx     in gy: conv2d(ggx, w)     in w:  conv2d_dw(ggx, gy)
    conv2d_dw(x, gy) -> gw     in x: conv2d_dx(gy, ggw)  in gy: conv2d(x, ggw)

The loops are in `kernels/reference/conv.py`, under the same names.
"""

from inachus.engine.ops.activation import check_slope, leaky_relu_bwd
from inachus.engine.ops.shape import needs_some, sum_to
from inachus.engine.tensor import Tensor, constant, op, recording
from inachus.kernels import backend


@op
def _conv2d(x, w, *, stride, pad):  # (N,H,W,C), (KH,KW,C,O) -> (N,OH,OW,O)
    return backend(x).conv2d(x, w, stride, pad)


@_conv2d.vjp
def _(gy, y, x, w, *, stride, pad):
    return (
        lambda: conv2d_dx(gy, w, hw=x.shape[1:3], stride=stride, pad=pad),
        lambda: conv2d_dw(x, gy, khw=w.shape[:2], stride=stride, pad=pad),
    )


@op
def conv2d_dx(gy, w, *, hw, stride, pad):  # (N,OH,OW,O), (KH,KW,C,O) -> (N,H,W,C)
    """The gradient of conv2d in x, of size `hw`; as a layer of its own, the transposed convolution."""
    return backend(gy).conv2d_dx(gy, w, hw, stride, pad)


@conv2d_dx.vjp
def _(g, gx, gy, w, *, hw, stride, pad):
    return (
        lambda: _conv2d(g, w, stride=stride, pad=pad),
        lambda: conv2d_dw(g, gy, khw=w.shape[:2], stride=stride, pad=pad),
    )


@op
def conv2d_dw(x, gy, *, khw, stride, pad):  # (N,H,W,C), (N,OH,OW,O) -> (KH,KW,C,O)
    """The gradient of conv2d in w, for a kernel of size `khw`."""
    return backend(x).conv2d_dw(x, gy, khw, stride, pad)


@conv2d_dw.vjp
def _(g, gw, x, gy, *, khw, stride, pad):
    return (
        lambda: conv2d_dx(gy, g, hw=x.shape[1:3], stride=stride, pad=pad),
        lambda: _conv2d(x, g, stride=stride, pad=pad),
    )


@op
def conv2d_act(x, w, b, *, stride, pad, slope):  # (N,H,W,C), (KH,KW,C,O), (O,) or None -> (N,OH,OW,O)
    """lrelu(conv2d(x, w) + b) as one kernel."""
    return backend(x).conv2d(x, w, stride, pad, b, slope)


@conv2d_act.vjp
def _(gy, y, x, w, b, *, stride, pad, slope):
    gz, gb = _before_act(gy, y, b, slope)
    return (
        lambda: conv2d_dx(gz, w, hw=x.shape[1:3], stride=stride, pad=pad),
        lambda: conv2d_dw(x, gz, khw=w.shape[:2], stride=stride, pad=pad),
        gb,
    )


@op
def conv2d_dx_act(gy, w, b, *, hw, stride, pad, slope):  # (N,OH,OW,O), (KH,KW,C,O), (C,) or None -> (N,H,W,C)
    """lrelu(conv2d_dx(gy, w) + b) as one kernel."""
    return backend(gy).conv2d_dx(gy, w, hw, stride, pad, b, slope)


@conv2d_dx_act.vjp
def _(g, y, gy, w, b, *, hw, stride, pad, slope):
    gz, gb = _before_act(g, y, b, slope)
    return (
        lambda: _conv2d(gz, w, stride=stride, pad=pad),
        lambda: conv2d_dw(gz, gy, khw=w.shape[:2], stride=stride, pad=pad),
        gb,
    )


def _before_act(gy, y, b, slope):
    """The gradients in front of bias and activation: in the sum, and in the bias if there is one."""
    if b is None or recording():
        gz = leaky_relu_bwd(gy, y, slope=slope)  # flat in y, whose sign alone counts
        return gz, None if b is None else lambda: sum_to(gz, shape=b.shape)
    return map(constant, backend(gy.data).bias_act_bwd(gy.data, y.data, slope))  # both in one pass


def conv2d(x, w, b=None, *, stride=1, pad=0, slope=1.0) -> Tensor:
    """Cross-correlation of x (N,H,W,C) with w (KH,KW,C,O), zeros around x -> (N,OH,OW,O), OH = (H+2P-KH)//S + 1.

    Then + b (O,) and the leaky ReLU of `slope`, 1 for none. Raises ValueError for channels that differ or a kernel
    larger than the padded picture.
    """
    _check_images("conv2d", x, w, 2, stride, pad)
    if any(n + 2 * pad < k for n, k in zip(x.shape[1:3], w.shape[:2], strict=True)):
        raise ValueError(f"conv2d: the kernel is larger than the padded picture (x {x.shape}, w {w.shape}, pad {pad})")
    if b is None and slope == 1:
        return _conv2d(x, w, stride=stride, pad=pad)
    check_slope(slope)
    return conv2d_act(x, w, b, stride=stride, pad=pad, slope=slope)


def conv_transpose2d(x, w, b=None, *, stride=1, pad=0, output_pad=0, slope=1.0) -> Tensor:
    """The adjoint of conv2d: x (N,H,W,C), w (KH,KW,O,C) -> (N,OH,OW,O), OH = (H-1) S - 2P + KH + output_pad.

    Then + b (O,) and the leaky ReLU of `slope`. Several sizes shrink to the same one under a stride; output_pad < S
    chooses among them. Raises ValueError.
    """
    _check_images("conv_transpose2d", x, w, 3, stride, pad)
    hw = tuple((n - 1) * stride - 2 * pad + k + output_pad for n, k in zip(x.shape[1:3], w.shape[:2], strict=True))
    if not 0 <= output_pad < max(stride, 1) or min(hw) < 1:
        geometry = f"output size {hw} with stride {stride}, pad {pad}, output_pad {output_pad}"
        raise ValueError(f"conv_transpose2d: {geometry}; output_pad must be below the stride and the size positive")
    if b is None and slope == 1:
        return conv2d_dx(x, w, hw=hw, stride=stride, pad=pad)
    check_slope(slope)
    return conv2d_dx_act(x, w, b, hw=hw, stride=stride, pad=pad, slope=slope)


def _check_images(name, x, w, axis, stride, pad):
    if x.ndim != 4 or w.ndim != 4:
        raise ValueError(f"{name}: expects x (N,H,W,C) and a 4-d w, got x {x.shape}, w {w.shape}")
    if x.shape[3] != w.shape[axis]:
        raise ValueError(
            f"{name}: x has {x.shape[3]} channels but w expects {w.shape[axis]} (x {x.shape}, w {w.shape})"
        )
    needs_some(name, x)
    if stride < 1 or pad < 0:
        raise ValueError(f"{name}: stride {stride} and pad {pad} must be at least 1 and 0")
