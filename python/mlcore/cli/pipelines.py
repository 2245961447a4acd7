"""Commands that read a pickled pipeline: compile, check, verify."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import mlcore
from mlcore._optional import import_optional
from mlcore.cli.tables import read_frame
from mlcore.errors import InputError, UnsupportedError

__all__ = ["add_commands"]

_TRUST = "reading {path} runs code stored in it: only open files you trust. An .mlc file never runs code."


def add_commands(commands: Any) -> None:
    """Add the subcommands to the parser."""
    compile_ = commands.add_parser(
        "compile",
        help="compile a fitted pipeline and prove parity",
        description="Compile a fitted pipeline saved with "
        "joblib or pickle into an .mlc file, and prove that it gives the same numbers. "
        + _TRUST.format(path="a joblib file"),
    )
    compile_.add_argument("pipeline", type=Path, help="fitted pipeline, saved with joblib.dump or pickle")
    compile_.add_argument("--sample", type=Path, help="CSV, Parquet or Arrow file with rows as the pipeline takes them")
    compile_.add_argument("-o", "--output", type=Path, required=True, help="the .mlc file to write")
    compile_.add_argument("--strict", action="store_true", help="refuse if any output is not bit-exact")
    compile_.add_argument("--keep-sample", action="store_true", help="store the sample's first rows in the artifact")
    compile_.add_argument(
        "--keep-ranges",
        action="store_true",
        help="store the ranges of the sample's numbers, for the server to count outliers",
    )
    compile_.add_argument("--leaf", action="store_true", help="also give the leaf of each tree, as the output leaf")
    compile_.set_defaults(run=_compile)

    check = commands.add_parser(
        "check",
        help="list everything that keeps a pipeline from compiling",
        description="List all unsupported steps of a pipeline in one pass; the exit code is 1 if there are any.",
    )
    check.add_argument("pipeline", type=Path)
    check.add_argument("--sample", type=Path)
    check.set_defaults(run=_check)

    verify = commands.add_parser(
        "verify",
        help="compare an artifact with the pipeline it came from",
        description="Compare an .mlc file with the original pipeline, row by row; the exit code is 1 if a row differs.",
    )
    verify.add_argument("model", type=Path, help="an .mlc file")
    verify.add_argument("--against", type=Path, required=True, help="the fitted pipeline (joblib or pickle)")
    verify.add_argument("--data", type=Path, required=True, help="CSV, Parquet or Arrow file")
    verify.set_defaults(run=_verify)


def read_pipeline(path: Path) -> Any:
    """Unpickle a pipeline, after saying what that means."""
    if not path.is_file():
        raise InputError(f"{path}: expected a joblib file but found {'a folder' if path.is_dir() else 'nothing'}")
    joblib = import_optional("joblib", "reading a pickled pipeline")
    print(f"note: {_TRUST.format(path=path)}", file=sys.stderr)
    try:
        return joblib.load(path)
    except Exception as error:  # unpickling foreign bytes may raise anything
        raise InputError(
            f"{path}: expected a pipeline saved with joblib or pickle: {type(error).__name__}: {error}"
        ) from error


def _sample(path: Path | None, pipeline: Any) -> Any:
    if path is None:
        return None
    from mlcore.compiler import input_names
    from mlcore.frontends import load_all

    load_all()
    names = input_names(pipeline)
    frame = read_frame(path, names)
    return frame if names is not None else frame.to_numpy()


def _compile(options: argparse.Namespace) -> int:
    pipeline = read_pipeline(options.pipeline)
    try:
        model = mlcore.compile(
            pipeline,
            _sample(options.sample, pipeline),
            strict=options.strict,
            keep_sample=options.keep_sample,
            keep_ranges=options.keep_ranges,
            leaf=options.leaf,
        )
    except UnsupportedError as error:
        print(error, file=sys.stderr)
        return 1
    model.save(options.output)
    print(model)
    print(f"wrote {options.output}")
    return 0


def _check(options: argparse.Namespace) -> int:
    pipeline = read_pipeline(options.pipeline)
    problems = mlcore.check(pipeline, _sample(options.sample, pipeline))
    if not problems:
        print(f"{options.pipeline}: every step compiles")
        return 0
    print(UnsupportedError(problems))
    return 1


def _verify(options: argparse.Namespace) -> int:
    from mlcore.parity import verify

    model = mlcore.load(options.model)
    pipeline = read_pipeline(options.against)
    report = verify(model, pipeline, read_frame(options.data, model.columns, model.schema))
    print(report)
    return 1 if any(method.mismatches for method in report.methods.values()) else 0
