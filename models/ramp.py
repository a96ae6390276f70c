"""A weight that rises during a training: what is learned without labels waits until something is known.

As in Ganin et al. (2016), section 5.2.2. Not here: learning rates, which fall (`engine/optim.py`).
"""

import numpy as np

from inachus.kernels import home, xp
from inachus.models.remembered import Remembered


class Ramp(Remembered):
    """2 / (1 + e^(-10 t / steps)) - 1, t counting the steps: from 0 to 1, half of it at t = steps / 9.

    t is an array and part of a checkpoint, so that a captured step moves it too.
    """

    remembered = ("t",)

    def __init__(self, steps: int):
        self.steps, self.t = steps, home().zeros((), np.float32)

    def climb(self):
        """The coming step's value, ()."""
        value = 2 / (1 + xp(self.t).exp(self.t * (-10 / self.steps))) - 1
        self.t += 1
        return value
