"""Settings of a model: a dataclass whose fields say what they mean and what they may be; `--set key=value` reads it.

@dataclass
class Settings:
    z: int = setting(100, "size of the noise", low=1)
"""

import dataclasses
import difflib
import math
from typing import Any, ClassVar

from inachus.engine.errors import UsageError


def setting(
    default: Any, meaning: str, choices: tuple[str, ...] = (), low: float = -math.inf, high: float = math.inf
) -> Any:
    """A field with its meaning and its legal values: one of `choices`, or a number from `low` to `high`."""
    return dataclasses.field(
        default=default, metadata={"meaning": meaning, "choices": choices, "low": low, "high": high}
    )


@dataclasses.dataclass
class Pictures:
    """How pictures are read: the settings of every model that learns from them."""

    size: int = setting(0, "picture size in pixels; 0: the data's own", low=0, high=1024)
    channels: int = setting(0, "1 grey, 3 colour; 0: the data's own", low=0, high=3)
    on_bad: str = setting("stop", "at an unreadable picture; one, or up to 5 %, can be skipped", ("stop", "skip"))
    # Of settings that are 0: what pictures (3 axes) and points (1) want, where these are not the same.
    presets: ClassVar[dict[int, dict[str, float]]] = {}

    def fitted(self, shape: tuple[int, ...]):
        """These settings, with the presets for items of this shape where they are 0."""
        wanted = self.presets.get(len(shape), {})
        return dataclasses.replace(self, **{name: value for name, value in wanted.items() if not getattr(self, name)})


@dataclasses.dataclass
class Sides(Pictures):
    """How the two sides are read that a model translates between, and how they are varied."""

    size: int = setting(64, "picture size in pixels", low=4, high=1024)
    direction: str = setting("AtoB", "which side is translated into which", ("AtoB", "BtoA"))
    maps: str = setting("auto", "sides that are class maps, never interpolated", ("auto", "none", "a", "b", "ab"))
    hold_out: float = setting(0.1, "share held out for tests, where there is no test split", low=0, high=0.9)
    enlarge: float = setting(286 / 256, "pictures are enlarged so much, then cropped at random", low=1, high=4)
    flip: bool = setting(True, "half of the pictures are mirrored")


def parse(cls: type, pairs: list[str]) -> Any:
    """An instance of the settings class from ["key=value", ...]. Raises one UsageError that names every problem."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    values, problems = {}, []
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            problems.append(f"'{pair}' is not of the form key=value")
        elif key not in fields:
            problems.append(f"unknown setting '{key}'{nearest(key, fields)}")
        else:
            try:
                values[key] = _value(fields[key], text)
            except ValueError as e:
                problems.append(f"{key}: {e}")
    if problems:
        raise UsageError("; ".join(problems))
    return cls(**values)


MENTIONED = 40  # known words in one message


def nearest(word: str, known: Any) -> str:
    """The end of a message about an unknown word: the most similar known one, or all of them."""
    close = difflib.get_close_matches(word, list(known), 1, 0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    some = sorted(known)[:MENTIONED]
    return f"; known are {', '.join(some)}" + (f" and {len(known) - len(some)} more" if len(known) > len(some) else "")


TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _value(field: Any, text: str) -> Any:
    """The text as a value of the field's type. Raises ValueError with what was expected."""
    rule = field.metadata
    if isinstance(field.default, bool):
        if text.lower() not in TRUTH:
            raise ValueError(f"expected true or false, got '{text}'")
        return TRUTH[text.lower()]
    kind = type(field.default)
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"expected {'a whole number' if kind is int else 'a number'}, got '{text}'") from None
    if rule["choices"] and value not in rule["choices"]:
        raise ValueError(f"'{text}' is none of {', '.join(rule['choices'])}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"expected a finite number, got '{text}'")
    if kind is not str and not rule["low"] <= value <= rule["high"]:
        raise ValueError(f"{text} is outside {rule['low']:g} to {rule['high']:g}")
    return value
