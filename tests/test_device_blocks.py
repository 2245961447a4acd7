"""Blocks of many columns on a device: the way in, rows that a thread takes together, and the way back to rows."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import emulated
import mlcore
import numpy as np
import pytest
from emulated import to_device
from holding import bits
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

emulated_only = pytest.mark.skipif(emulated.REAL, reason="of the emulated device")
SIZES = (1, 2, 127, 128, 129, 255, 256, 257, 511, 1_023, 1_024, 1_025, 2_300)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 7, 8, 31, 32, 33, 70])
def test_every_size(columns: int, dtype: Any) -> None:
    rng = np.random.default_rng(columns)
    X = rng.normal(size=(2_300, columns)).astype(dtype)
    X[rng.random(X.shape) < 0.1] = np.nan
    model = mlcore.compile(make_pipeline(SimpleImputer(), StandardScaler()).fit(X), X[:100])
    other = mlcore.Model.from_bytes(model.to_bytes(), device="cuda:0")
    for rows in SIZES:
        expected = bits(model.transform(X[:rows]))
        assert bits(other.transform(X[:rows])) == expected
        for table in (np.asfortranarray(X[:rows]), X[:rows]):
            assert bits(other.transform(to_device(table)).to_host()) == expected  # type: ignore[attr-defined]


# -- how many launches and copies a call is ---------------------------------------------------------------------


def _counts() -> tuple[int, int]:
    library = ctypes.CDLL(str(emulated.library()))
    for function in (library.mlcore_emulated_launches, library.mlcore_emulated_copies):
        function.restype = ctypes.c_int64
    return library.mlcore_emulated_launches(), library.mlcore_emulated_copies()


def _spent(call: Callable[[], Any]) -> tuple[int, int]:
    before = _counts()
    call()
    return _counts()[0] - before[0], _counts()[1] - before[1]


@pytest.fixture(scope="module")
def wide() -> mlcore.Model:
    """Trees over 100 columns, all of which they read."""
    X = np.random.default_rng(0).normal(size=(2_000, 100)).astype(np.float32)
    trees = ExtraTreesRegressor(n_estimators=40, max_depth=6, n_jobs=1, random_state=0).fit(X, X @ np.arange(100))
    return mlcore.Model.from_bytes(mlcore.compile(trees, X[:50]).to_bytes(), device="cuda:0")


@emulated_only
def test_a_call_of_many_columns_is_few_launches_and_copies(wide: mlcore.Model) -> None:
    """Three launches are the forest, its mean and the way to rows; the way in is a copy, or a launch or two."""
    X = np.random.default_rng(1).normal(size=(700, 100)).astype(np.float32)
    for rows in (1, 33, 512, 700):
        launches, copies = _spent(lambda rows=rows: wide.predict(X[:rows]))
        assert (launches, copies) == (3, 2), rows
        for table in (X[:rows], np.asfortranarray(X[:rows])):
            launches, copies = _spent(lambda table=table: wide.predict(to_device(table)))
            assert (launches, copies) == (4, 2), rows
        memory = np.zeros(100 * (rows + 100), np.float32)
        columns = {}
        for at, name in enumerate(wide.columns):  # never equally far apart, as columns of a matrix would be
            column = memory[at * (rows + at) :][:rows]
            column[:] = X[:rows, at]
            columns[name] = to_device(column)
        launches, copies = _spent(lambda columns=columns: wide.predict(columns))
        assert (launches, copies) == (5, 2), rows


@emulated_only
def test_columns_among_computed_ones_are_few_copies() -> None:
    """What lies between the host's columns in a block crosses with them where it is less than a copy's beginning."""
    X = np.random.default_rng(2).normal(size=(20_000, 20))
    each = [(f"x{at}", StandardScaler() if at % 2 == 0 else "passthrough", [at]) for at in range(20)]
    model = mlcore.compile(ColumnTransformer(each).fit(X), X[:100])
    other = mlcore.Model.from_bytes(model.to_bytes(), device="cuda:0")
    for rows, least, most in ((1, 2, 2), (600, 2, 2), (20_000, 10, 22)):
        assert bits(other.transform(X[:rows])) == bits(model.transform(X[:rows]))
        assert least <= _spent(lambda rows=rows: other.transform(X[:rows]))[1] <= most
