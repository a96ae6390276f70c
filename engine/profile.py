"""Where the time of a step goes: every op, its rule, and every kernel outside an op, measured without what they call.

    with Profile() as profile:
        model.step(batch)
    print(profile.table())

Only while a profile is open are ops wrapped at all. Not here: how fast a kernel could be (`bench/`).
"""

import time
from collections import defaultdict

from inachus import kernels
from inachus.engine.tensor import OPS


class Profile:
    """Seconds and calls by name: an op `conv2d`, its rule `conv2d'`, a kernel called by no op `adam`, and the rest."""

    def __enter__(self) -> "Profile":
        self.seconds, self.calls = defaultdict(float), defaultdict(int)
        self._inside = [0.0]  # seconds spent in what the open calls called, innermost last
        self._ops = {op: (op.forward, op.rule) for op in OPS.values()}
        for op, (forward, rule) in self._ops.items():
            name = op.__name__.strip("_")
            op.forward, op.rule = self._timed(name, forward), rule and self._timed_rule(name + "'", rule)
        self._backend, self._kernels = kernels.selected(), {}
        for name in self._backend.__all__:
            self._kernels[name] = getattr(self._backend, name)
            setattr(self._backend, name, self._outside(name, self._kernels[name]))
        self._began = time.perf_counter()
        return self

    def __exit__(self, *exception) -> None:
        self.total = time.perf_counter() - self._began
        for op, (forward, rule) in self._ops.items():
            op.forward, op.rule = forward, rule
        for name, kernel in self._kernels.items():
            setattr(self._backend, name, kernel)

    def table(self, rows: int = 20) -> str:
        """The largest shares of the whole time, a line each: share, milliseconds, calls, name."""
        named = sorted(self.seconds.items(), key=lambda item: -item[1])[:rows]
        rest = self.total - sum(s for _, s in named)
        lines = [f"{'share':>6} {'ms':>10} {'calls':>9}  op (with ': its gradient)"]
        for name, seconds in [*named, ("everything else", rest)]:
            calls = f"{self.calls[name]:,}" if name in self.calls else ""
            lines.append(f"{seconds / self.total:>6.1%} {1e3 * seconds:>10,.1f} {calls:>9}  {name}")
        return "\n".join(lines)

    def _timed(self, name, function):
        """`function`, its time less that of timed calls inside it booked on `name`."""

        def timed(*args, **kwargs):
            self._inside.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                kernels.wait()
                spent = time.perf_counter() - start
                self.seconds[name] += spent - self._inside.pop()
                self.calls[name] += 1
                self._inside[-1] += spent

        return timed

    def _timed_rule(self, name, rule):
        """As `_timed`, and so are the functions that a rule gives back to be called later."""
        rule, later = self._timed(name, rule), self._timed
        return lambda *args, **kwargs: tuple(later(name, g) if callable(g) else g for g in rule(*args, **kwargs))

    def _outside(self, name, kernel):
        """A kernel is booked on the op that calls it; one that no op calls, on itself."""
        timed = self._timed(name, kernel)
        return lambda *args, **kwargs: (timed if len(self._inside) == 1 else kernel)(*args, **kwargs)
