"""Commands that look at artifacts: inspect, diff, bench, demo."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mlcore
from mlcore._optional import import_optional
from mlcore.cli.tables import open_table
from mlcore.difference import diff
from mlcore.errors import InputError
from mlcore.inspection import facts, plan

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the subcommands to the parser."""
    inspect = commands.add_parser(
        "inspect", help="say what an artifact holds", description="Say what an .mlc file holds."
    )
    inspect.add_argument("model", type=Path)
    inspect.add_argument("--json", action="store_true", help="print the facts as JSON")
    inspect.add_argument(
        "--plan", action="store_true", help="show which steps were folded into the forests, and why not"
    )
    inspect.set_defaults(run=_inspect)

    compare = commands.add_parser(
        "diff",
        help="say what changed between two artifacts",
        description="Say which step, threshold, category or tree changed; the exit code is 1 if anything did.",
    )
    compare.add_argument("old", type=Path)
    compare.add_argument("new", type=Path)
    compare.set_defaults(run=_diff)

    bench = commands.add_parser(
        "bench",
        help="time an artifact on a table",
        description="Time an .mlc file on the rows of a table, one row at a time and in batches.",
    )
    bench.add_argument("model", type=Path)
    bench.add_argument("data", type=Path)
    bench.add_argument("--seconds", type=float, default=1.0, help="how long each line measures")
    bench.set_defaults(run=_bench)

    demo = commands.add_parser(
        "demo",
        help="the whole way on generated data",
        description="Fit a pipeline on generated card transactions, compile it, prove parity, time it, write the file.",
    )
    demo.add_argument("-o", "--output", type=Path, default=Path("demo.mlc"), help="the file to write")
    demo.add_argument("--rows", type=int, default=20_000)
    demo.set_defaults(run=_demo)


def _inspect(options: argparse.Namespace) -> int:
    model = mlcore.load(options.model)
    if options.plan:
        print(plan(model))
    else:
        print(json.dumps(facts(model), indent=2) if options.json else model)
    return 0


def _diff(options: argparse.Namespace) -> int:
    changes = diff(mlcore.load(options.old), mlcore.load(options.new))
    for change in changes:
        print(change)
    if not changes:
        print("the two models compute the same")
    return 1 if changes else 0


def _timed(call: Callable[[], object], seconds: float) -> float:
    """Median seconds of a call, over as many calls as fit."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:,.3g} {unit}"
    return f"{seconds * 1e9:,.3g} ns"


def _bench(options: argparse.Namespace) -> int:
    pyarrow = import_optional("pyarrow", "mlcore bench")
    model = mlcore.load(options.model)
    with open_table(options.data, model.schema, model.columns) as reader:
        table = pyarrow.Table.from_batches(list(reader))
    if table.num_rows == 0:
        raise InputError(f"{options.data}: expected at least one row but found none")
    method = next(name for name in ("predict_proba", "predict", "transform") if name in model.methods)
    first = table.slice(0, 1).to_pylist()[0]
    print(f"{method}, one thread, median")
    one = _timed(lambda: model.row(first, method), options.seconds)
    print(f"  {'row':>9}  {_duration(one):>9}")
    for rows in (1, 64, 10_000, 100_000):
        if rows <= table.num_rows:
            part = table.slice(0, rows).combine_chunks()
            spent = _timed(lambda part=part: model.call(method, part), options.seconds)  # type: ignore[misc]
            print(f"  {rows:>9,}  {_duration(spent):>9}  {_duration(spent / rows):>9} per row")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from mlcore.cli.demo import run_demo

    run_demo(options.output, options.rows)
    return 0
