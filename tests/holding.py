"""Holds a compiled model to its original: rows that either refuses, bits, and promises."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlcore
import numpy as np
import pandas as pd
from mlcore.errors import InputError
from mlcore.frontends.reference import reference
from mlcore.parity import verify
from mlcore.parity.compare import dense

__all__ = ["arrays", "assert_promises", "bits", "compiled", "original", "part", "quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries about the odd values that tests feed them."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def part(X: Any, rows: Any) -> Any:
    """Rows of a data frame or an array."""
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def original(estimator: Any, method: str, X: Any) -> Any:
    """The original's answer, or the error it raised."""
    try:
        return reference(estimator, method, X)
    except Exception as error:  # whatever the library raises is its refusal
        return error


def compiled(model: mlcore.Model, method: str, X: Any) -> Any:
    """The model's answer, or its InputError; any other error is a bug."""
    try:
        return model.call(method, X)
    except InputError as error:
        return error


def arrays(result: Any) -> list[np.ndarray]:
    """One array per target."""
    return [dense(one) for one in result] if isinstance(result, list) else [dense(result)]


def bits(result: Any) -> list[tuple[Any, ...]]:
    """Shape, dtype and bits, every NaN being the same NaN."""
    out = []
    for array in arrays(result):
        if array.dtype.kind == "f":
            array = np.where(np.isnan(array), np.nan, array).astype(array.dtype)
            out.append((array.shape, array.dtype, array.tobytes()))
        else:
            out.append((array.shape, array.dtype, repr(array.tolist())))
    return out


def _makes_objects(X: Any) -> bool:
    """Whether the original may hold numbers in an array of objects: nullable columns, or text without a value."""
    columns = [series for _, series in pd.DataFrame(X).items()]
    return any(hasattr(column.dtype, "numpy_dtype") for column in columns) or any(
        column.dtype.kind == "O" and column.isna().all() for column in columns
    )


def _about_na(error: Any) -> bool:
    """Whether the original could not compute with pandas.NA, which is a null here and means what a step learned."""
    return isinstance(error, Exception) and any(
        text in str(error) for text in ("NA is ambiguous", "pandas.NA", "NAType")
    )


def accepted_rows(estimator: Any, model: mlcore.Model, X: Any) -> list[int]:
    """Rows that both take; fails where only one of them does."""
    kept = []
    method = model.methods[0]
    for row in range(len(X)):
        one = part(X, slice(row, row + 1))
        expected, found = original(estimator, method, one), compiled(model, method, one)
        if _about_na(expected):
            continue
        refused = isinstance(expected, Exception)
        assert refused == isinstance(found, Exception), (
            f"row {row}: {one!r}\noriginal: {expected!r}\ncompiled: {found!r}"
        )
        if not refused:
            kept.append(row)
    return kept


def assert_promises(estimator: Any, model: mlcore.Model, X: Any) -> None:
    """What each output promises, for rows that both take: bits, or a distance; shape and dtype always."""
    report = verify(model, estimator, X)
    for method in model.methods:
        parity = report.methods[method]
        assert parity.mismatches == 0, f"{method}: {parity}"
        expected, found = original(estimator, method, X), model.call(method, X)
        assert isinstance(expected, list) == isinstance(found, list)
        for one, other in zip(arrays(expected), arrays(found), strict=True):
            assert one.shape == other.shape
            # pandas holds columns of several types where an array has one
            loose = isinstance(expected, pd.DataFrame) or (one.dtype == object and _makes_objects(X))
            assert loose or one.dtype == other.dtype, (method, one.dtype, other.dtype)
        if parity.exact and not loose:
            assert bits(expected) == bits(found), method
