"""The command line: `igs <verb>`. The one room that parses arguments and prints.

Each verb is a module of this package with ``add_parser(subparsers)``, which adds its parser and
sets ``run``, a function from the parsed arguments to an exit code. Heavy imports belong inside
``run``, so that ``igs --help`` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

import igs

VERBS = (
    "prepare",
    "frame0",
    "stream",
    "evaluate",
    "render",
    "mesh",
    "train",
    "build",
    "pairs",
    "video",
    "encode",
    "decode",
    "info",
    "export",
    "serve",
    "doctor",
)

# Settings that decide how much memory a verb takes.
_LOWER = {
    "stream": "refine.densify.max_num, data.size, gpu.ahead or motion.anchors",
    "frame0": "frame0.density.max_num or the size of the images (resolution)",
    "train": "batch",
    "build": "frame0.density.max_num, workers.count or the size of the images",
    "evaluate": "the size of the images",
    "render": "the size of the images",
}

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of `igs` with every verb in `VERBS`."""
    parser = argparse.ArgumentParser(prog="igs", description=igs.__doc__)
    parser.add_argument("--version", action="version", version=f"igs {igs.__version__}")
    _add_debug(parser, default=False)
    subparsers = parser.add_subparsers(dest="verb", metavar="verb", required=True)
    for verb in VERBS:
        module = importlib.import_module(f"igs.cli.{verb.replace('-', '_')}")
        module.add_parser(subparsers)
    for subparser in subparsers.choices.values():
        # Suppressed, so that its absence after the verb does not undo one before the verb.
        _add_debug(subparser, default=argparse.SUPPRESS)
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the words of a command; settings (``key=value``) may stand anywhere among options."""
    parser = build_parser()
    arguments, extra = parser.parse_known_args(argv)
    # argparse fills a list of positionals once and leaves those behind a later option over.
    if any(word.startswith("-") or not hasattr(arguments, "overrides") for word in extra):
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    if extra:
        arguments.overrides += extra
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: words after the program's name; those of the process if None.

    Returns:
        0 after success, 2 after an error that the user can mend (printed in one line), 130 when
        interrupted; a verb may return others. Wrong usage ends in argparse's own SystemExit.
    """
    arguments = parse(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.debug else logging.INFO, format="%(message)s"
    )
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("igs: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has left; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, NotImplementedError) as error:
        if arguments.debug:
            raise
        print(f"igs: error: {one_line(error)}", file=sys.stderr)
        return EXIT_ERROR
    except RuntimeError as error:
        if arguments.debug or not is_out_of_memory(error):
            raise
        print(f"igs: error: {out_of_memory_words(arguments.verb, error)}", file=sys.stderr)
        return EXIT_ERROR


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU had too little memory; told by the name, so that torch need not be loaded."""
    return any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__)


def out_of_memory_words(verb: str, error: BaseException) -> str:
    """What a GPU lacked, and which settings of the verb to lower, in one line."""
    said = one_line(error).removeprefix("CUDA out of memory. ").split(" If reserved but")[0]
    lower = _LOWER.get(verb)
    advice = f"lower {lower}, or " if lower else ""
    return f"the GPU is out of memory: {advice}take device=cpu ({said})"


def one_line(error: BaseException) -> str:
    """An exception's message as one line; for the system's own errors, the file first."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _add_debug(parser: argparse.ArgumentParser, default: bool | str) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show tracebacks and debug messages"
    )
