"""Every op in one table: values against an independent expression, derivatives against finite differences.

The table's inputs keep away from kinks. An op without a case fails a test, and so does an op that no case
differentiates: the graphs of the cases and of their gradients are walked to see which ops they reached.
Operators, indexing and edge cases are in `test_operators.py`.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import oracles
import pytest
from oracles import close

from inachus.engine import Tensor, check_grads, constant, grad, losses, ops
from inachus.engine.random import Generator
from inachus.engine.tensor import OPS
from inachus.kernels import fetch

rng = np.random.default_rng(5)


def signed(*shape):
    """Numbers in (-2, -0.3) and (0.3, 2)."""
    return rng.uniform(0.3, 2, shape) * rng.choice([-1.0, 1.0], shape)


def positive(*shape):
    """Numbers in (0.3, 2)."""
    return rng.uniform(0.3, 2, shape)


@dataclass
class Case:
    """op(*Tensors, **params), the same of arrays, and the inputs; `order` derivatives are checked."""

    f: Callable
    expected: Callable
    inputs: tuple
    order: int = 2


def norm(groups, slope=1.0):
    return lambda x, gamma, beta: oracles.norm(x, gamma, beta, groups, 1e-5, slope)[0]


def layer_norm(x, gamma, beta):
    axes = tuple(range(-gamma.ndim, 0))
    return gamma * (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5) + beta


def scatter_add(values, places, shape):
    y = np.zeros(shape)
    for value, place in zip(values, places, strict=True):
        y[place] += value
    return y


def cross_entropy(x, labels=(2, 0, 1)):
    return -np.mean([np.log(oracles.softmax(x)[i, k]) for i, k in enumerate(labels)])


image, taps, rows = signed(2, 5, 4, 3), signed(3, 2, 3, 2), [0, 2, 2]
mask = np.array([[True, False, True], [False, False, True]])
widths = ((0, 0), (2, 1), (1, 0), (0, 0))
reflected = np.pad(signed(1, 4, 3, 2), widths, mode="reflect")
CASES = {
    "add": [Case(ops.add, np.add, (signed(2, 3), signed(3)))],
    "sub": [Case(ops.sub, np.subtract, (signed(2, 1), signed(3)))],
    "mul": [Case(ops.mul, np.multiply, (signed(2, 3), signed(2, 1))),
            Case(lambda x: ops.mul(x, x), np.square, (signed(3),))],
    "div": [Case(ops.div, np.divide, (signed(3), signed(2, 3)))],
    "neg": [Case(ops.neg, np.negative, (signed(3),))],
    "pow": [Case(ops.pow, np.power, (positive(2, 3), signed(3))),
            Case(lambda x: ops.pow(x, 3), lambda x: x * x * x, (signed(4),), 3)],
    "exp": [Case(ops.exp, np.exp, (signed(3),))],
    "log": [Case(ops.log, np.log, (positive(3),))],
    "sqrt": [Case(ops.sqrt, np.sqrt, (positive(3),))],
    "abs": [Case(ops.abs, np.abs, (signed(5),))],
    "reverse_gradient": [Case(lambda x: ops.square(ops.reverse_gradient(ops.reverse_gradient(x, 4.0), 0.25)), np.square,
                              (signed(3),))],  # twice reversed it is the gradient of what was computed
    "square": [Case(ops.square, np.square, (signed(3),))],
    "maximum": [Case(ops.maximum, np.maximum, (signed(4, 3), signed(3)))],
    "minimum": [Case(ops.minimum, np.minimum, (signed(4, 3), signed(4, 1)))],
    "where": [Case(lambda a, b: ops.where(mask, a, b), lambda a, b: np.where(mask, a, b),
                   (signed(2, 3), signed(3))),
              Case(lambda a: ops.where(a > 0, a * a, 1), lambda a: np.where(a > 0, a**2, 1), (signed(6),))],
    "clip": [Case(lambda x: ops.clip(x, -1.0, 0.9), lambda x: np.clip(x, -1, 0.9), (signed(9),)),
             Case(lambda x: ops.clip(x, high=0), lambda x: np.minimum(x, 0), (signed(9),))],
    "sum": [Case(ops.sum, np.sum, (signed(2, 3),)),
            Case(lambda x: ops.sum(x, axis=(0, -1), keepdims=True), lambda x: x.sum((0, 2), keepdims=True),
                 (signed(2, 3, 2),)),
            Case(lambda x: x.sum(1), lambda x: x.sum(1), (signed(2, 3, 2),))],
    "mean": [Case(ops.mean, np.mean, (signed(2, 3),)),
             Case(lambda x: x.mean(-1, keepdims=True), lambda x: x.mean(-1, keepdims=True), (signed(2, 3),))],
    "reshape": [Case(lambda x: ops.reshape(x, shape=(3, -1)), lambda x: x.reshape(3, 4), (signed(2, 3, 2),)),
                Case(lambda x: x.reshape(6), np.ravel, (signed(2, 3),))],
    "transpose": [Case(lambda x: ops.transpose(x, axes=(2, 0, 1)), lambda x: np.moveaxis(x, 2, 0),
                       (signed(2, 3, 4),)),
                  Case(lambda x: x.transpose(), np.transpose, (signed(2, 3),))],
    "concat": [Case(lambda *xs: ops.concat(xs, axis=-1), lambda *xs: np.concatenate(xs, -1),
                    (signed(2, 3), signed(2, 1)))],
    "pad": [Case(lambda x: ops.pad(x, widths=widths), lambda x: np.pad(x, widths), (signed(1, 3, 3, 2),)),
            Case(lambda x: ops.pad(x, widths=widths, mode="reflect"), lambda x: np.pad(x, widths, "reflect"),
                 (signed(1, 3, 2, 1),))],
    "unpad": [Case(lambda x: ops.unpad(x, widths=widths), lambda x: x[:, 2:-1, 1:], (signed(1, 5, 4, 1),)),
              Case(lambda x: ops.unpad(x, widths=((2, 1),), mode="reflect"),
                   lambda x: np.array([x[2], x[1] + x[3], x[0] + x[4] + x[6], x[5]]), (signed(7),))],
    "broadcast_to": [Case(lambda x: ops.broadcast_to(x, shape=(2, 3, 4)), lambda x: x + np.zeros((2, 3, 4)),
                          (signed(3, 1),))],
    "sum_to": [Case(lambda x: ops.sum_to(x, shape=(3, 1)), lambda x: x.sum((0, 2))[:, None],
                    (signed(2, 3, 4),))],
    "getitem": [Case(lambda x: x[1:, ..., 0], lambda x: x[1:, :, 0], (signed(3, 2, 2),)),
                Case(lambda x: x[rows], lambda x: np.stack([x[i] for i in rows]), (signed(3, 2),)),
                Case(lambda x: x[None, :, mask], lambda x: x[None][:, :, mask], (signed(2, 2, 3),))],
    "put": [Case(lambda x: ops.put(x, index=(np.array(rows),), shape=(4, 2)),
                 lambda x: scatter_add(x, rows, (4, 2)),
                 (signed(3, 2),))],
    "matmul": [Case(ops.matmul, np.matmul, (signed(2, 3), signed(3, 2))),
               Case(operator.matmul, np.matmul, (signed(2, 1, 2, 3), signed(4, 3, 2)))],
    "dense": [Case(ops.dense, lambda x, w, b: np.einsum("ni,io->no", x, w) + b,
                   (signed(2, 3), signed(3, 4), signed(4))),
              Case(ops.dense, lambda x, w: np.einsum("abi,io->abo", x, w), (signed(2, 2, 3), signed(3, 2)))],
    "conv2d": [Case(lambda x, w: ops.conv2d(x, w, stride=2, pad=1), lambda x, w: oracles.conv2d(x, w, 2, 1),
                    (image, taps), 3),
               Case(ops.conv2d, lambda x, w: oracles.conv2d(x, w, 1, 0), (image, taps)),
               Case(lambda x, w, b: ops.conv2d(x, w, b, pad=1, slope=0.2),
                    lambda x, w, b: oracles.leaky_relu(oracles.conv2d(x, w, 1, 1) + b, 0.2), (image, taps, signed(2))),
               Case(lambda x, w: ops.conv2d(x, w, slope=0.0), lambda x, w: np.maximum(oracles.conv2d(x, w, 1, 0), 0),
                    (image, taps))],
    "conv2d_dx": [Case(lambda gy, w: ops.conv2d_dx(gy, w, hw=(6, 4), stride=2, pad=1),
                       lambda gy, w: oracles.conv2d_dx(gy, w, (6, 4), 2, 1), (signed(1, 3, 3, 2), taps), 3)],
    "conv2d_dw": [Case(lambda x, gy: ops.conv2d_dw(x, gy, khw=(3, 2), stride=2, pad=1),
                       lambda x, gy: oracles.conv2d_dw(x, gy, (3, 2), 2, 1), (image, signed(2, 3, 3, 2)), 3)],
    "conv_transpose2d": [Case(lambda x, w: ops.conv_transpose2d(x, w, stride=2, pad=1, output_pad=1),
                              lambda x, w: oracles.conv2d_dx(x, w, (6, 5), 2, 1),
                              (signed(2, 3, 3, 2), taps)),
                         Case(lambda x, w, b: ops.conv_transpose2d(x, w, b, stride=2, slope=0.2),
                              lambda x, w, b: oracles.leaky_relu(oracles.conv2d_dx(x, w, (5, 6), 2, 0) + b, 0.2),
                              (signed(1, 2, 3, 2), taps, signed(3)))],
    "avg_pool2d": [Case(lambda x: ops.avg_pool2d(x, size=2), lambda x: oracles.pool(x, 2, np.mean),
                        (image,))],
    "max_pool2d": [Case(lambda x: ops.max_pool2d(x, size=2), lambda x: oracles.pool(x, 2, max), (image,))],
    "upsample_nearest": [Case(lambda x: ops.upsample_nearest(x, scale=3), lambda x: oracles.upsample(x, 3),
                              (signed(2, 2, 1, 2),)),
                         Case(lambda x: ops.square(ops.upsample_nearest(x, scale=2)),
                              lambda x: oracles.upsample(x * x, 2), (signed(1, 2, 2, 1),))],
    "pixel_shuffle": [Case(lambda x: ops.pixel_shuffle(x, scale=2), lambda x: oracles.pixel_shuffle(x, 2),
                           (signed(1, 2, 3, 8),)),
                      Case(lambda x: ops.square(ops.pixel_shuffle(x, scale=2)),
                           lambda x: oracles.pixel_shuffle(x * x, 2), (signed(1, 1, 2, 4),))],
    "leaky_relu": [Case(ops.leaky_relu, lambda x: oracles.leaky_relu(x, 0.2), (signed(6),))],
    "relu": [Case(ops.relu, lambda x: np.maximum(x, 0), (signed(6),))],
    "prelu": [Case(ops.prelu, lambda x, a: np.maximum(x, 0) + a * np.minimum(x, 0), (signed(2, 3), signed(3))),
              Case(ops.prelu, lambda x, a: np.maximum(x, 0) + a * np.minimum(x, 0), (signed(2, 2, 3), signed(1)))],
    "tanh": [Case(ops.tanh, np.tanh, (signed(4),))],
    "sigmoid": [Case(ops.sigmoid, np.vectorize(oracles.sigmoid), (4 * signed(4),))],
    "softplus": [Case(ops.softplus, lambda x: np.log(1 + np.exp(x)), (signed(4),))],
    "softmax": [Case(ops.softmax, oracles.softmax, (signed(2, 2, 3),))],
    "log_softmax": [Case(ops.log_softmax, lambda x: np.log(oracles.softmax(x)), (signed(2, 3),))],
    "dropout": [Case(lambda x: ops.dropout(x, Generator(1), rate=0.4),
                     lambda x: np.where(fetch(Generator(1).uniform(x.shape)) < 0.4, 0, x / 0.6), (signed(9),))],
    "embedding": [Case(lambda w: ops.embedding([[0, 2], [2, 2]], w),
                       lambda w: w[[0, 2, 2, 2]].reshape(2, 2, 2), (signed(3, 2),))],
    "batch_norm": [Case(ops.batch_norm, norm(1), (signed(4, 2, 3), signed(3), signed(3)), 3),
                   Case(lambda *a: ops.batch_norm(*a, slope=0.2), norm(1, 0.2),
                        (signed(5, 2), signed(2), signed(2)))],
    "instance_norm": [Case(ops.instance_norm, norm(2), (signed(2, 3, 2, 2), signed(2), signed(2)), 3),
                      Case(lambda x: ops.instance_norm(x), lambda x: norm(2)(x, np.ones(2), np.zeros(2)),
                           (signed(2, 3, 2, 2),))],
    "layer_norm": [Case(ops.layer_norm, layer_norm, (signed(3, 4), signed(4), signed(4)), 3),
                   Case(ops.layer_norm, layer_norm, (signed(2, 3, 2), signed(3, 2), signed(3, 2)))],
    "bias_act": [Case(lambda x, b: ops.bias_act(x, b, slope=0.2), lambda x, b: oracles.leaky_relu(x + b, 0.2),
                      (signed(3, 2), signed(2)))],
    "bce_with_logits": [Case(losses.bce_with_logits, oracles.bce_with_logits,
                             (signed(4), positive(4) / 2), 3)],
    "mse": [Case(losses.mse, lambda s, t: np.mean((s - t) ** 2), (signed(2, 3), signed(2, 3)))],
    "l1": [Case(losses.l1, lambda s, t: np.mean(np.abs(s - t)), (signed(2, 3), signed(2, 3)))],
    "hinge": [Case(lambda s: losses.hinge(s, -1), lambda s: np.maximum(0, 1 + s).mean(), (signed(5),))],
    "cross_entropy": [Case(lambda x: losses.cross_entropy(x, [2, 0, 1]), cross_entropy, (signed(3, 3),))],
}

each_case = pytest.mark.parametrize(
    "case", [pytest.param(c, id=f"{name}-{i}") for name, cases in CASES.items() for i, c in enumerate(cases)]
)


@each_case
def test_value(kernels, case):
    y = case.f(*map(constant, case.inputs))
    close(y.data, case.expected(*case.inputs), terms=64)


@each_case
def test_derivatives(kernels, case):
    check_grads(case.f, case.inputs, case.order)


@each_case
def test_float32_stays_float32(kernels, case):
    leaves = [Tensor(a.astype(np.float32), requires_grad=True) for a in case.inputs]
    y = case.f(*leaves)
    first = grad(y, leaves, create_graph=True)
    second = grad(sum(g.sum() for g in first), leaves)
    assert {t.dtype for t in (y, *first, *second)} == {np.dtype(np.float32)}
    close(y.data, case.expected(*case.inputs), terms=64)


def test_every_public_op_has_a_case():
    assert sorted(CASES) == sorted([*ops.__all__, "bce_with_logits", "mse", "l1", "hinge", "cross_entropy"])


def test_every_rule_is_differentiated():
    reached = set()
    for case in (case for cases in CASES.values() for case in cases):
        leaves = [Tensor(a, requires_grad=True) for a in case.inputs]
        y = case.f(*leaves)
        g = sum((g * g).sum() for g in grad(y, leaves, create_graph=True))
        reached |= ops_of(y) | ops_of(g)
    ours = {name for name, op in OPS.items() if op.forward.__module__.startswith("inachus.engine")}
    assert ours <= reached


def ops_of(y):
    """Names of the ops that y was computed with."""
    names, seen, todo = set(), set(), [y]
    while todo:
        t = todo.pop()
        if t is not None and t.node and id(t) not in seen:
            seen.add(id(t))
            names.add(t.node.op.__name__)
            todo += t.node.inputs
    return names
