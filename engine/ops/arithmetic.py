"""Elementwise maths with NumPy's broadcasting, and the pattern of every op: arrays forward, then the rule.

A rule gets `gy`, the output `y` and the inputs, and returns for each input its gradient or a function that computes
it if it is wanted. Not here: anything that changes a shape (`shape.py`, read next).
"""

from inachus.engine.ops.shape import sum_to
from inachus.engine.tensor import Tensor, constant, op
from inachus.kernels import place, xp


@op
def reverse_gradient(x, strength):
    """x itself, but its gradient is -strength gy, that of no function; strength () gets none. Ganin et al. (2016)."""
    return x


@reverse_gradient.vjp
def _(gy, y, x, strength):
    return gy * -strength, None


@op
def add(a, b):
    """a + b."""
    return a + b


@add.vjp
def _(gy, y, a, b):
    return lambda: sum_to(gy, shape=a.shape), lambda: sum_to(gy, shape=b.shape)


@op
def sub(a, b):
    """a - b."""
    return a - b


@sub.vjp
def _(gy, y, a, b):
    return lambda: sum_to(gy, shape=a.shape), lambda: sum_to(-gy, shape=b.shape)


@op
def mul(a, b):
    """a * b."""
    return a * b


@mul.vjp
def _(gy, y, a, b):
    return lambda: sum_to(gy * b, shape=a.shape), lambda: sum_to(gy * a, shape=b.shape)


@op
def div(a, b):
    """a / b."""
    return a / b


@div.vjp
def _(gy, y, a, b):
    return lambda: sum_to(gy / b, shape=a.shape), lambda: sum_to(-gy * y / b, shape=b.shape)


@op
def neg(x):
    """-x."""
    return -x


@neg.vjp
def _(gy, y, x):
    return (-gy,)


@op
def pow(a, b):
    """a ** b; the gradient in b needs a > 0."""
    return a**b


@pow.vjp
def _(gy, y, a, b):
    def in_a():  # at b = 0 the power a^-1 may be infinite where its factor b is zero: any other power does
        e = b - 1.0 if b.requires_grad else where(b.data == 0, 1.0, b - 1.0)
        return sum_to(gy * b * a**e, shape=a.shape)

    return in_a, lambda: sum_to(gy * y * log(a), shape=b.shape)


@op
def square(x):
    """x * x."""
    return x * x


@square.vjp
def _(gy, y, x):
    return (gy * (2.0 * x),)


@op
def sqrt(x):
    """Square root; the gradient at 0 is infinite, add an eps inside where 0 can occur."""
    return xp(x).sqrt(x)


@sqrt.vjp
def _(gy, y, x):
    return (gy / (2.0 * y),)


@op
def exp(x):
    """e ** x."""
    return xp(x).exp(x)


@exp.vjp
def _(gy, y, x):
    return (gy * y,)


@op
def log(x):
    """Natural logarithm."""
    return xp(x).log(x)


@log.vjp
def _(gy, y, x):
    return (gy / x,)


@op
def abs(x):
    """|x|; gradient 0 at 0."""
    return xp(x).abs(x)


@abs.vjp
def _(gy, y, x):
    return (gy * constant(xp(x.data).sign(x.data)),)


@op
def maximum(a, b):
    """Elementwise larger one; at a tie each side gets half of the gradient."""
    return xp(a).maximum(a, b)


@maximum.vjp
def _(gy, y, a, b):
    return _shared(gy, a, b, a.data - b.data)


@op
def minimum(a, b):
    """Elementwise smaller one; at a tie each side gets half of the gradient."""
    return xp(a).minimum(a, b)


@minimum.vjp
def _(gy, y, a, b):
    return _shared(gy, a, b, b.data - a.data)


def _shared(gy, a, b, lead):
    share = constant(xp(lead).heaviside(lead, lead.dtype.type(0.5)))  # 1 where a is chosen, 1/2 at a tie
    return lambda: sum_to(gy * share, shape=a.shape), lambda: sum_to(gy * (1.0 - share), shape=b.shape)


@op
def _select(a, b, *, mask):
    return xp(a).where(mask, a, b)


@_select.vjp
def _(gy, y, a, b, *, mask):
    zero = constant(xp(gy.data).zeros((), gy.dtype))
    return (
        lambda: sum_to(_select(gy, zero, mask=mask), shape=a.shape),
        lambda: sum_to(_select(zero, gy, mask=mask), shape=b.shape),
    )


def where(mask, a, b) -> Tensor:
    """a where `mask` (a boolean array, such as `x > 0`), b elsewhere."""
    return _select(a, b, mask=mask.data if isinstance(mask, Tensor) else place(mask))


def clip(x, low=None, high=None) -> Tensor:
    """x limited to [low, high] (numbers; None: no limit); gradient 1 inside, limits included, and 0 outside."""
    if low is not None:
        x = where(x < low, float(low), x)
    if high is not None:
        x = where(x > high, float(high), x)
    return x
