"""What is refused, and how: raw arrays, mixed dtypes, shapes that do not fit; errors name what is wrong."""

import operator

import numpy as np
import pytest

from inachus.engine import Tensor, constant, losses, ops

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul]


def leaf(*numbers, dtype=np.float64):
    return Tensor(np.array(numbers, dtype), requires_grad=True)


@pytest.mark.parametrize("raw", [
    np.ones(2), np.ones(()), np.ones(2, "f"), np.float32(2), np.float64(2), np.int64(2), [1.0], (1.0,), "2",
], ids=repr)
@pytest.mark.parametrize("f", BINARY)
def test_raw_arrays_are_refused_on_both_sides(f, raw):
    x = leaf(1.0, 2.0)
    for arguments in ((x, raw), (raw, x)):
        with pytest.raises(TypeError):
            f(*arguments)


@pytest.mark.parametrize("f", BINARY)
def test_none_is_no_operand(f):
    for arguments in ((leaf(1.0), None), (None, leaf(1.0))):
        with pytest.raises((TypeError, AttributeError)):
            f(*arguments)


def test_the_refusal_of_an_array_names_the_remedy():
    with pytest.raises(TypeError, match=r"mul.*ndarray.*constant"):
        leaf(1.0) * np.ones(1)
    with pytest.raises(TypeError, match="detach"):
        Tensor(leaf(1.0))
    with pytest.raises(TypeError):
        np.exp(leaf(1.0))
    array = np.ones(1)
    with pytest.raises(TypeError):
        array += leaf(1.0)


@pytest.mark.parametrize("f", [
    lambda a, b: a + b, lambda a, b: a @ b, lambda a, b: ops.concat([a, b], axis=0), ops.maximum, ops.dense,
    lambda a, b: ops.conv2d(a[None, None], b[None, None]), losses.mse, losses.bce_with_logits,
    lambda a, b: ops.batch_norm(a, b[0], b[0]), lambda a, b: ops.where(np.eye(2) > 0, a, b),
])
def test_mixed_dtypes_are_refused_by_name(f):
    a, b = (constant(np.ones((2, 2), dtype)) for dtype in (np.float32, np.float64))
    for x, y in ((a, b), (b, a)):
        with pytest.raises(TypeError, match=f"{x.dtype} and {y.dtype}"):
            f(x, y)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_])
def test_integers_do_not_turn_float32_into_float64(dtype):
    x, n = leaf(1.5, dtype=np.float32), constant(np.ones(1, dtype))
    for f in (operator.add, operator.mul, operator.truediv):
        try:
            y = f(x, n)
        except TypeError:
            continue
        assert y.dtype == np.float32


def test_what_becomes_float32_and_what_keeps_its_dtype():
    assert Tensor([[1, 2]]).dtype == Tensor(1.5).dtype == np.float32
    assert constant(np.ones(1)).dtype == np.float64
    assert constant(np.ones(1), np.float32).dtype == np.float32
    assert constant(np.ones(1, np.uint8)).dtype == np.uint8
    with pytest.raises(TypeError, match="int64"):
        Tensor(np.arange(3), requires_grad=True)


image, taps = constant(np.ones((1, 5, 4, 3), np.float32)), constant(np.ones((2, 3, 4, 2), np.float32))


@pytest.mark.parametrize(("call", "words"), [
    (lambda: ops.conv2d(image, taps), ["conv2d", "3 channels", "expects 4", "(1, 5, 4, 3)", "(2, 3, 4, 2)"]),
    (lambda: ops.conv2d(image[0], taps), ["conv2d", "(5, 4, 3)"]),
    (lambda: ops.conv2d(image, taps[0, 0]), ["conv2d", "(1, 5, 4, 3)", "(4, 2)"]),
    (lambda: ops.conv2d(image[:, :1], taps[:, :, :3]), ["larger", "(1, 1, 4, 3)", "(2, 3, 3, 2)"]),
    (lambda: ops.conv2d(image, taps[:, :, :3], stride=0), ["stride 0"]),
    (lambda: ops.conv_transpose2d(image, taps), ["conv_transpose2d", "3 channels", "expects 2"]),
    (lambda: ops.conv_transpose2d(image[..., :2], taps, output_pad=1), ["output_pad"]),
    (lambda: ops.dense(image, taps[0, 0]), ["dense", "3 features", "expects 4", "(1, 5, 4, 3)", "(4, 2)"]),
    (lambda: ops.dense(image[..., :2], taps[0, 0, :2], taps[0, 0, 0, :1]), ["dense", "(1,)"]),
    (lambda: image @ taps, ["matmul", "(1, 5, 4, 3)", "(2, 3, 4, 2)"]),
    (lambda: ops.batch_norm(image, taps[0, 0, 0], None), ["batch_norm", "3 channels", "gamma", "(2,)"]),
    (lambda: ops.layer_norm(image, taps[0, 0, 0]), ["layer_norm", "(1, 5, 4, 3)"]),
    (lambda: losses.mse(image, taps), ["mse", "(1, 5, 4, 3)", "(2, 3, 4, 2)"]),
])
def test_errors_name_the_op_and_the_shapes(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert [word for word in words if word not in str(error.value)] == []
