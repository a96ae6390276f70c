"""The command line: `inachus COMMAND`. One file a command; each has `add(commands)` and a function that runs it.

Results go to stdout, messages and progress to stderr; an error is one line there, with the exit code that
`engine/errors.py` gives it. Heavy imports happen inside the commands, so that `--help` answers at once.
"""

import argparse
import difflib
import io
import os
import re
import sys
from contextlib import suppress

from inachus.engine.errors import DISK_FULL, InachusError, UsageError
from inachus.models.cli import (
    compare,
    complete,
    data,
    doctor,
    evaluate,
    interpolate,
    models,
    problems,
    sample,
    train,
    translate,
)

COMMANDS = (train, sample, interpolate, translate, complete, evaluate, compare, models, data, doctor)


class Parser(argparse.ArgumentParser):
    """argparse that raises our own error, with the nearest known word for an unknown one."""

    def parse_known_args(self, args=None, namespace=None):
        """Raises UsageError for a word left over: here, where its own options are known, not at the top."""
        self.wrong = []
        known, extra = super().parse_known_args(args, namespace)
        if extra:
            self.wrong.append(f"unrecognized arguments: {' '.join(extra)}")
        if self.wrong:
            known.problems = [*map(self.explained, self.wrong)]
        return known, []

    def _get_value(self, action, text):
        """The value, or None, which says that the option was not given, and one more that is `wrong`."""
        try:
            return super()._get_value(action, text)
        except argparse.ArgumentError as error:
            self.wrong.append(str(error))
            return None

    def error(self, message):
        """Raises UsageError."""
        raise UsageError(self.explained(message))

    def explained(self, message):
        """The message with the nearest known word, or where to look."""
        words = list(_words(self))
        wrong = re.search(r"(?:unrecognized arguments|invalid choice): '?([^\s']+)", message)
        close = difflib.get_close_matches(wrong[1].split("=")[0], map(str, words), 1, 0.5) if wrong else []
        hint = f"; did you mean '{close[0]}'?" if close else f"; see `{self.prog} --help`"
        return message.split(" (choose from")[0] + hint


def _words(p: argparse.ArgumentParser):
    """Every option and command that a parser knows."""
    yield from p._option_string_actions
    for action in p._actions:
        yield from action.choices if isinstance(action, argparse._SubParsersAction) else ()


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog="inachus",
        description="A lean GAN engine: train, sample and measure GANs without a framework.",
        allow_abbrev=False,
    )
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    top.add_argument("--version", action="store_true", help="print the version")
    commands = top.add_subparsers(metavar="COMMAND", parser_class=lambda **kw: Parser(allow_abbrev=False, **kw))
    for command in COMMANDS:
        command.add(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    _prepare_streams()
    if argv is None:
        argv, sys.stderr = sys.argv[1:], Messages(sys.stderr)
    debug = "--debug" in argv
    try:
        return _run([word for word in argv if word != "--debug"])
    except InachusError as error:
        return _fail(error, error.exit_code, debug)
    except MemoryError as error:
        return _fail(error, 6, debug, "out of memory: use a smaller --batch, or pictures of a smaller size")
    except BrokenPipeError:  # `inachus ... | head`
        _silence_stdout()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL and error.filename is None:  # no file: a stream
            _silence_stdout()
            return _fail(error, 6, debug, f"the output cannot be written ({error.strerror}): free space")
        return _fail(
            error, 1, debug, f"internal error: {type(error).__name__}: {error}; run again with --debug and report it"
        )


class Messages(io.TextIOWrapper):
    """stderr that a training outlives: a closed terminal or a full disk swallows messages and ends nothing."""

    def __init__(self, stream):
        super().__init__(stream.buffer, stream.encoding, stream.errors, line_buffering=True, write_through=True)
        self.stream = stream  # which would close our buffer if it were dropped

    def write(self, text):
        """Writes, or loses the text."""
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self):
        """Flushes, or loses what is left."""
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error):
        if error.errno not in DISK_FULL:  # a broken pipe ends the command, as everywhere
            raise error
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def _prepare_streams():
    """Closed streams lead nowhere, and to no file that is opened later; what a terminal cannot show is escaped."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # its number is free, and the lowest free one is given
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
        elif mode == "w" and getattr(stream, "errors", None) == "strict":
            stream.reconfigure(errors="backslashreplace")


def _silence_stdout():
    """What it still holds goes nowhere: at the end Python would try to write it once more, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv):
    args = parser().parse_args(argv)
    if args.version:
        from inachus import __version__

        print(f"inachus {__version__}")
        return 0
    if not hasattr(args, "run"):
        raise UsageError("no command given; see `inachus --help`")
    problems.check(args)
    code = args.run(args) or 0
    sys.stdout.flush()
    return code


def _fail(error, code, debug, text=None):
    if debug:
        raise error
    line = " ".join(str(text or error).splitlines())
    with suppress(OSError):  # nobody can be told
        print(f"inachus: {line}", file=sys.stderr)
    return code
