"""The ``mlcore`` command. One module per group of subcommands; this one only parses and dispatches."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mlcore import __version__
from mlcore.cli import files, models, pipelines, serve, triton
from mlcore.errors import MlcoreError

__all__ = ["build_parser", "main"]


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; the CLI reference in the docs is made from it."""
    parser = argparse.ArgumentParser(
        prog="mlcore",
        description="Compile fitted pipelines into safe files that give the same numbers everywhere.",
    )
    parser.add_argument("--version", action="version", version=f"mlcore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    pipelines.add_commands(commands)
    models.add_commands(commands)
    files.add_commands(commands)
    triton.add_commands(commands)
    serve.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 1 when there is something to complain about, or 2 for wrong usage."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (MlcoreError, OSError) as error:
        print(f"mlcore {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"mlcore {options.command}: interrupted; nothing was written", file=sys.stderr)
        return 130
