"""The command line: `inachus COMMAND`. One file a command; each has `add(commands)` and a function that runs it.

Results go to stdout, messages and progress to stderr; an error is one line there, with the exit code that
`engine/errors.py` gives it. Heavy imports happen inside the commands, so that `--help` answers at once.
"""

import argparse
import difflib
import os
import re
import sys

from inachus.engine.errors import InachusError, UsageError
from inachus.models.cli import compare, complete, data, doctor, evaluate, interpolate, models, sample, train, translate

COMMANDS = (train, sample, interpolate, translate, complete, evaluate, compare, models, data, doctor)


class Parser(argparse.ArgumentParser):
    """argparse that raises our own error, with the nearest known word for an unknown one."""

    def parse_known_args(self, args=None, namespace=None):
        """Raises UsageError for a word left over: here, where its own options are known, not at the top."""
        known, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}")
        return known, extra

    def error(self, message):
        """Raises UsageError."""
        words = list(_words(self))
        wrong = re.search(r"(?:unrecognized arguments|invalid choice): '?([^\s']+)", message)
        close = difflib.get_close_matches(wrong[1].split("=")[0], map(str, words), 1, 0.5) if wrong else []
        hint = f"; did you mean '{close[0]}'?" if close else f"; see `{self.prog} --help`"
        raise UsageError(message.split(" (choose from")[0] + hint)


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
    argv = sys.argv[1:] if argv is None else argv
    debug = "--debug" in argv
    try:
        return _run([word for word in argv if word != "--debug"])
    except InachusError as error:
        return _fail(error, error.exit_code, debug)
    except MemoryError as error:
        return _fail(error, 6, debug, "out of memory: use a smaller --batch, or pictures of a smaller size")
    except BrokenPipeError:  # `inachus ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _fail(
            error, 1, debug, f"internal error: {type(error).__name__}: {error}; run again with --debug and report it"
        )


def _run(argv):
    args = parser().parse_args(argv)
    if args.version:
        from inachus import __version__

        print(f"inachus {__version__}")
        return 0
    if not hasattr(args, "run"):
        raise UsageError("no command given; see `inachus --help`")
    code = args.run(args) or 0
    sys.stdout.flush()
    return code


def _fail(error, code, debug, text=None):
    if debug:
        raise error
    line = " ".join(str(text or error).splitlines())
    print(f"inachus: {line}", file=sys.stderr)
    return code
