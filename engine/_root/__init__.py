"""Inachus: a lean GAN engine. Read `engine/tensor.py` first; `python -m inachus --help` for the command line."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("inachus")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
