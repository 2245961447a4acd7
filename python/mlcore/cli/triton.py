"""Commands for the Triton server: export triton, triton backend-dir."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import mlcore
from mlcore.export import write_repository

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the subcommands to the parser."""
    export = commands.add_parser(
        "export",
        help="write a model as another system wants it",
        description="Write a model as another system wants it.",
    )
    systems = export.add_subparsers(dest="system", required=True, metavar="SYSTEM")
    repository = systems.add_parser(
        "triton",
        help="a model repository for the Triton server",
        description="Write a model into a model repository of the Triton server: a commented configuration, the folder "
        "of a version, the names of the classes. A folder appears there whole or not at all.",
    )
    repository.add_argument("model", type=Path, help="an .mlc file")
    repository.add_argument("-o", "--output", type=Path, required=True, help="the repository; made if it is not there")
    repository.add_argument("--name", help="what clients call the model (default: the file's name)")
    repository.add_argument(
        "--model-version", type=int, default=1, help="a new version goes beside those that are there (default: 1)"
    )
    repository.add_argument(
        "--then",
        type=Path,
        metavar="SECOND",
        help="an .mlc file that takes the first one's features as its matrix: written too, and an ensemble of both",
    )
    repository.set_defaults(run=_export_triton)

    triton = commands.add_parser(
        "triton", help="say where the Triton backend lies", description="About the backend for the Triton server."
    )
    questions = triton.add_subparsers(dest="question", required=True, metavar="QUESTION")
    folder = questions.add_parser(
        "backend-dir",
        help="the folder for tritonserver --backend-directory",
        description="Print the folder to give to tritonserver as --backend-directory.",
    )
    folder.set_defaults(run=_backend_dir)


def _export_triton(options: argparse.Namespace) -> int:
    then = None if options.then is None else (options.then.stem, mlcore.load(options.then))
    written = write_repository(
        mlcore.load(options.model),
        options.output,
        options.model.stem if options.name is None else options.name,
        version=options.model_version,
        then=then,
    )
    for folder in written:
        print(f"wrote {folder}")
    return 0


def _backend_dir(_: argparse.Namespace) -> int:
    print(mlcore.get_triton_backend_dir())
    return 0
