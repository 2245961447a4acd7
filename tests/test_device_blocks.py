"""Blocks of many columns on a device: rows that a thread takes together, and the way back to rows."""

from __future__ import annotations

from typing import Any

import mlcore
import numpy as np
import pytest
from emulated import to_device
from holding import bits
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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
        assert bits(other.transform(to_device(np.asfortranarray(X[:rows]))).to_host()) == expected  # type: ignore[attr-defined]
