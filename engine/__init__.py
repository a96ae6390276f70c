"""Tensors and what is made of them; knows no GAN. The public names other programs may rely on. Read `tensor.py`."""

if not __name__.startswith("inachus."):
    raise ImportError("import inachus.engine, not engine: two names would make two different Tensor classes")

from inachus.engine.tensor import Tensor, constant, grad, no_grad, op  # isort: skip  (tensor brings in ops)
from inachus.engine import losses, nn, ops, optim
from inachus.engine.check import check_grads

__all__ = ["Tensor", "check_grads", "constant", "grad", "losses", "nn", "no_grad", "op", "ops", "optim"]
