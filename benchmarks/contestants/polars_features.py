"""Polars: the features of the whole road alone, written as expressions over the fitted values."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
import polars as pl
import pyarrow.feather
from worker import Ready, Refused, Work


def prepare(work: Work) -> Ready:
    """One lazy query for all 185 columns; the number of threads comes from POLARS_MAX_THREADS."""
    if work.library != "pipeline":
        raise Refused("computes features, not trees")
    if pl.thread_pool_size() != work.threads:
        raise Refused(f"expected {work.threads} threads but found {pl.thread_pool_size()}")
    frame = pl.from_arrow(pyarrow.feather.read_table(work.path("table.arrow")))
    encoder = joblib.load(work.path("model.joblib"))[0]
    query = frame.lazy().select(expressions(encoder))
    found, expected = query.collect(), np.load(work.path("features.npy"))
    wrong = [name for i, name in enumerate(found.columns) if not np.array_equal(found[name].to_numpy(), expected[:, i])]
    if wrong:
        raise Refused(f"features differ from scikit-learn's: {', '.join(wrong[:3])} and {len(wrong) - 1} more")
    return Ready(query.collect, facts={"features_equal": True})


def expressions(encoder: Any) -> list[pl.Expr]:
    """The fitted ColumnTransformer as float32 expressions, in its order of columns."""
    out: list[pl.Expr] = []
    for name, step, columns in encoder.transformers_:
        out += {"scaled": _scaled, "binned": _binned, "wide": _wide, "narrow": _narrow}[name](step, columns)
    return out


def _float(expression: pl.Expr, name: str) -> pl.Expr:
    return expression.cast(pl.Float32).alias(name)


def _scaled(step: Any, columns: list[str]) -> list[pl.Expr]:
    fill, scaler = step[0].statistics_, step[1]
    return [
        _float((pl.col(name).fill_null(fill[i]) - scaler.mean_[i]) / scaler.scale_[i], name)
        for i, name in enumerate(columns)
    ]


def _binned(step: Any, columns: list[str]) -> list[pl.Expr]:
    fill, edges = step[0].statistics_, step[1].bin_edges_
    return [
        _float(pl.lit(pl.Series(edges[i][1:-1])).search_sorted(pl.col(name).fill_null(fill[i]), side="right"), name)
        for i, name in enumerate(columns)
    ]


def _wide(step: Any, columns: list[str]) -> list[pl.Expr]:
    out = []
    for name, known in zip(columns, step.categories_, strict=True):
        codes = {text: float(code) for code, text in enumerate(known) if isinstance(text, str)}
        coded = pl.col(name).replace_strict(codes, default=step.unknown_value, return_dtype=pl.Float32)
        missing = pl.lit(float(step.encoded_missing_value), dtype=pl.Float32)
        out.append(pl.when(pl.col(name).is_null()).then(missing).otherwise(coded).alias(name))
    return out


def _narrow(step: Any, columns: list[str]) -> list[pl.Expr]:
    return [
        _float(pl.col(name) == text if isinstance(text, str) else pl.col(name).is_null(), f"{name}_{text}").fill_null(0)
        for name, known in zip(columns, step.categories_, strict=True)
        for text in known
    ]
