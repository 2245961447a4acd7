"""Holds a compiled transform to the original: same bits row by row and in batch, or an error from both."""

from __future__ import annotations

import warnings
from typing import Any

import mlcore
import numpy as np
import pandas as pd
from mlcore.errors import InputError
from mlcore.frontends.reference import reference


def compiled(estimator: Any, sample: Any) -> mlcore.Model:
    """A model proven on generated rows and on the sample."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlcore.compile(estimator, sample=sample)


def dense(value: Any) -> np.ndarray:
    """Whatever a transform returned as one array."""
    if hasattr(value, "toarray"):
        value = value.toarray()
    elif hasattr(value, "to_numpy"):
        value = value.to_numpy()
    return np.asarray(value)


def _rows(X: Any, rows: slice) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _original(estimator: Any, method: str, X: Any) -> np.ndarray | Exception:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return dense(reference(estimator, method, X))
        except Exception as error:  # whatever the library raises is its refusal
            return error


def _model(model: mlcore.Model, method: str, X: Any) -> np.ndarray | Exception:
    try:
        return np.asarray(getattr(model, method)(X))
    except InputError as error:
        return error


def same(expected: np.ndarray, found: np.ndarray, ulps: int = 0, dtype: bool = True) -> bool:
    """Equal shape, type and bits (any NaN equals any NaN); ``ulps`` allows a distance."""
    if expected.shape != found.shape or (dtype and expected.dtype != found.dtype):
        return False
    if expected.dtype.kind != "f":
        return all(
            a is b or a == b or (a != a and b != b)
            for a, b in zip(expected.ravel().tolist(), found.ravel().tolist(), strict=True)
        )
    missing = np.isnan(expected)
    if (missing != np.isnan(found)).any():
        return False
    if ulps:
        with np.errstate(all="ignore"):
            near = np.abs(expected - found) <= ulps * np.spacing(np.abs(expected))
        return bool((near | (expected == found) | missing).all())
    integer = f"i{expected.dtype.itemsize}"
    bits, others = np.ascontiguousarray(expected).view(integer), np.ascontiguousarray(found).view(integer)
    return bool((bits == others)[~missing].all())


def assert_agreement(estimator: Any, X: Any, *, sample: Any = None, method: str = "transform", ulps: int = 0) -> int:
    """Compile on ``sample`` (default: the rows of X that the original takes) and compare every row of X.

    Returns the number of rows that the original accepted.
    """
    model = compiled(estimator, X if sample is None else sample)
    return assert_rows(estimator, model, X, method=method, ulps=ulps)


def assert_rows(estimator: Any, model: mlcore.Model, X: Any, *, method: str = "transform", ulps: int = 0) -> int:
    """Compare row by row, then all accepted rows in one batch."""
    accepted = []
    for row in range(len(X)):
        one = _rows(X, slice(row, row + 1))
        expected, found = _original(estimator, method, one), _model(model, method, one)
        if isinstance(expected, Exception) or isinstance(found, Exception):
            both = isinstance(expected, Exception) and isinstance(found, Exception)
            assert both, f"row {row} {one!r}: original {expected!r}, compiled {found!r}"
            continue
        accepted.append(row)
        assert same(expected, found, ulps), f"row {row} {one!r}: original {expected!r}, compiled {found!r}"
    if accepted:
        batch = X.iloc[accepted] if isinstance(X, pd.DataFrame) else X[accepted]
        expected, found = _original(estimator, method, batch), _model(model, method, batch)
        assert not isinstance(expected, Exception), expected
        assert not isinstance(found, Exception), found
        assert same(expected, found, ulps), "batch"
    return len(accepted)
