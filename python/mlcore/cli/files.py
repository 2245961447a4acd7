"""The predict command: a file in, a file out, in batches."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import mlcore
from mlcore._optional import import_optional
from mlcore.cli.progress import Progress
from mlcore.cli.tables import open_table, writer
from mlcore.errors import InputError
from mlcore.model import Model

__all__ = ["add_commands", "output_table"]


def add_commands(commands: Any) -> None:
    """Add the subcommands to the parser."""
    predict = commands.add_parser(
        "predict",
        help="predict a file, also one larger than memory",
        description="Predict the rows of a CSV, Parquet or Arrow file in batches. Columns that the model does not read "
        "are passed over. The output appears only when every row was predicted.",
    )
    predict.add_argument("model", type=Path)
    predict.add_argument("data", type=Path, help="a .csv, .parquet or .arrow file")
    predict.add_argument("-o", "--output", type=Path, required=True, help="a .csv, .parquet or .arrow file")
    predict.add_argument(
        "--method",
        action="append",
        help="what to write; repeat for several (default: predict and predict_proba, else transform)",
    )
    predict.set_defaults(run=_predict)


def _default_methods(model: Model) -> list[str]:
    usual = [name for name in model.methods if name in ("predict", "predict_proba")]
    return usual or model.methods[:1]


def output_table(model: Model, methods: list[str], data: object) -> Any:
    """The answers of some methods as a pyarrow Table: one column per number, named after class, target or feature."""
    pyarrow = import_optional("pyarrow", "mlcore predict")
    columns: dict[str, Any] = {}
    for method in methods:
        answers = model.call(method, data)
        several = isinstance(answers, list)
        specs = [output for output in model.core.outputs if output["method"] == method]
        for index, (answer, spec) in enumerate(zip(answers if several else [answers], specs, strict=True)):
            array = np.asarray(answer)
            prefix = f"{method}_{index}" if several else method
            if array.ndim == 1:
                columns[prefix] = pyarrow.array(array)
                continue
            names = spec["names"] or [str(position) for position in range(array.shape[1])]
            for position, name in enumerate(names):
                label = name if method == "transform" else f"{prefix}_{name}"
                columns[label] = pyarrow.array(np.ascontiguousarray(array[:, position]))
    return pyarrow.table(columns)


def _predict(options: argparse.Namespace) -> int:
    model = mlcore.load(options.model)
    methods = options.method or _default_methods(model)
    for method in methods:
        if method not in model.methods:
            raise InputError(f"expected one of the model's methods ({', '.join(model.methods)}) but found {method!r}")
    pyarrow = import_optional("pyarrow", "mlcore predict")
    rows = 0
    with open_table(options.data, model.schema, model.columns) as reader, writer(options.output) as sink:
        progress = Progress(reader.rows)
        try:
            for batch in reader:
                table = pyarrow.Table.from_batches([batch])
                try:
                    sink.write(output_table(model, methods, table))
                except InputError as error:
                    raise InputError(f"{options.data}, batch starting at row {rows}: {error}") from error
                rows += batch.num_rows
                progress.add(batch.num_rows)
        finally:
            progress.close()
        if rows == 0:
            raise InputError(f"{options.data}: expected at least one row but found none")
    print(f"wrote {rows:,} rows to {options.output}")
    return 0
