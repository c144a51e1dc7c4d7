"""The command `tarograd` and how its errors look: one line, and an exit code.

Exit codes: 0; 1 for a wrong result (a gradient that is wrong, a loss that became NaN), and when
nobody reads the output any more; 2 for wrong usage or a file that can't be used; 130 and 143 after
Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import errno
import io
import sys

import click

from tarograd.cli.check import check
from tarograd.cli.draw import draw
from tarograd.cli.graph import graph
from tarograd.cli.predict import predict
from tarograd.cli.source import source
from tarograd.cli.train import train
from tarograd.data import DataError
from tarograd.training import Interrupted
from tarograd.training.interruption import Interruption
from tarograd.version import __version__

EXAMPLES = """\b
Examples:
  tarograd train
  tarograd check
  tarograd predict runs/digits seven.png
  tarograd draw runs/digits
  tarograd graph "apple * count * tax" apple=100 count=2 tax=1.1
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXAMPLES)
@click.version_option(__version__, "--version", message="tarograd %(version)s")
def cli() -> None:
    """Deep learning as a computational graph that can be seen, trusted and run."""


for command in (train, check, predict, draw, graph, source):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: the words after `tarograd`; by default those of the process.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # a ? for a sign that a narrow code page lacks
    try:
        with Interruption(immediate=True):
            sys.exit(cli.main(words or ["--help"], "tarograd", standalone_mode=False) or 0)
    except Interrupted as error:
        if not error.told:
            print(f"tarograd: {error}", file=sys.stderr)
        raise
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except ArithmeticError as error:  # NonFiniteError, or a compiled step that is wrong
        _fail(str(error), 1)
    except DataError as error:  # may list the ways out, one in a line
        _fail(str(error), 2, lines=True)
    except (ValueError, TypeError, OSError, MemoryError) as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC  # else a file is named
        output = "the output cannot be written: no space is left where it goes"
        _fail(output if full else str(error) or type(error).__name__, 2)


def _fail(message: str, code: int, lines: bool = False) -> None:
    """Exit with a message in one line, or in those that it has; with nothing unprintable in it."""
    parts = message.splitlines() if lines else [" ".join(message.split())]
    text = "\n".join("".join(c if c.isprintable() else "�" for c in part) for part in parts)
    print(f"tarograd: {text}", file=sys.stderr)
    sys.exit(code)
