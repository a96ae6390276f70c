"""Poisson blending (Perez, Gangnet and Blake 2003): what was painted into a hole keeps its edges, and meets the border.

"Poisson image editing", section 2: inside the hole the result has the differences of neighbours that the painting has,
and outside the known pixels; where these leave no choice, least squares. So the brightness of the painting does not
matter, and no seam is left. Solved by conjugate gradients, on the host. Read next: `semantic.py`, which leaves seams.
"""

import numpy as np

ENOUGH = 1e-6  # of the first residual


def blended(x: np.ndarray, painted: np.ndarray, masks: np.ndarray, most: int = 1000) -> np.ndarray:
    """float32 (N, H, W, C): x where masks (N, H, W, 1) are 0; elsewhere the Laplacian of `painted`, met at the border.

    `painted` goes on outside the hole, as G(z) does: the differences across the border are its own. At the picture's
    own border nothing is prescribed. A hole without any known pixel beside it keeps what was painted.
    """
    hole = masks > 0
    start = np.where(hole, painted, x).astype(np.float64)
    # With f = start + d and d = 0 outside: laplacian(d) = laplacian(painted) - laplacian(start) inside.
    residual = np.where(hole, laplacian(painted.astype(np.float64)) - laplacian(start), 0.0)
    change, direction = np.zeros_like(start), residual
    power = first = _dot(residual, residual)
    for _ in range(most):
        if (power <= ENOUGH**2 * first).all():
            break
        image = np.where(hole, laplacian(direction), 0.0)
        rate = power / np.where(power > 0, _dot(direction, image), 1.0)
        change, residual = change + rate * direction, residual - rate * image
        before, power = power, _dot(residual, residual)
        direction = residual + power / np.where(before > 0, before, 1.0) * direction
    return np.where(hole, (start + change).clip(-1, 1), x).astype(np.float32)


def laplacian(x: np.ndarray) -> np.ndarray:
    """The sum over a pixel's neighbours of (pixel - neighbour), those outside the picture left out: (N, H, W, C)."""
    y = np.zeros_like(x)
    for axis in (1, 2):
        step = np.diff(x, axis=axis)
        before = np.zeros_like(x[:, :1] if axis == 1 else x[:, :, :1])
        y += np.concatenate([before, step], axis) - np.concatenate([step, before], axis)
    return y


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each picture and channel: (N, 1, 1, C)."""
    return (a * b).sum(axis=(1, 2), keepdims=True)
