"""What a step remembers beside weights, as part of a checkpoint: how far a ramp has climbed, pictures of a pool.

Everything is an array, even a count, so that a captured step changes it too. `engine/training/state.py` finds it by its
`state_dict`.
"""

from typing import Any

from inachus.kernels import xp


class Remembered:
    """The arrays in the attributes that the class names in `remembered`."""

    remembered: tuple[str, ...] = ()

    def state_dict(self) -> dict[str, Any]:
        """The arrays by name, not copied."""
        return {name: getattr(self, name) for name in self.remembered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues exactly where `state_dict()` was taken."""
        for name, array in self.state_dict().items():
            array[...] = xp(array).asarray(state[name])
