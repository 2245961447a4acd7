"""Integers that no float64 holds pass through steps that compute nothing, whatever stands beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from mlcore.errors import InputError
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

COUNT = np.arange(80)
TRAIN = pd.DataFrame(
    {
        "tiny": COUNT.astype("uint8"),
        "small": COUNT.astype("int16"),
        "wide": COUNT - 40,
        "unsigned": COUNT.astype("uint64"),
        "flag": COUNT % 2 == 0,
        "float": COUNT / 3,
    }
)
TEST = TRAIN.iloc[:4].assign(
    wide=[2**63 - 1, 2**53 + 1, -(2**63), 5],
    unsigned=np.array([2**62 + 1, 2**53 + 1, 7, 2**63 - 1], dtype="uint64"),
)


def _partly(column: str) -> ColumnTransformer:
    return ColumnTransformer([("selected", VarianceThreshold(), [column])], remainder="passthrough")


STEPS: dict[str, Callable[[str], Any]] = {
    "selection": lambda _: VarianceThreshold(),
    "identity": lambda _: FunctionTransformer(),
    "validated identity": lambda _: FunctionTransformer(validate=True),
    "in part": _partly,
    "union": lambda _: make_union(VarianceThreshold(), FunctionTransformer()),
    "in part, then all": lambda column: make_pipeline(_partly(column), VarianceThreshold()),
    "scaled": lambda column: make_pipeline(_partly(column), StandardScaler()),
    "imputed": lambda _: SimpleImputer(missing_values=7, strategy="most_frequent", add_indicator=True),
}
COLUMNS = ["wide", "tiny wide", "small tiny wide", "unsigned wide tiny", "wide float tiny"]


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("step", STEPS)
def test_large_integers_pass_unchanged(step: str, columns: str) -> None:
    names = columns.split()
    estimator = STEPS[step](names[0]).fit(TRAIN[names])
    model = mlcore.compile(estimator, TRAIN[names])
    expected = np.asarray(estimator.transform(TEST[names]))
    found = model.transform(TEST[names])
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("step", ["selection", "identity", "validated identity", "in part"])
@pytest.mark.parametrize("columns", ["unsigned", "tiny unsigned"])
def test_unsigned_integers_are_exact_or_refused(step: str, columns: str) -> None:
    names = columns.split()
    estimator = STEPS[step](names[0]).fit(TRAIN[names])
    model = mlcore.compile(estimator, TRAIN[names])
    assert model.transform(TEST[names]).tolist() == np.asarray(estimator.transform(TEST[names])).tolist()
    beyond = TEST[names].assign(unsigned=np.array([2**63] * 4, dtype="uint64"))
    with pytest.raises(InputError, match=r"'unsigned'.*9223372036854775808"):
        model.transform(beyond)


def test_flags_beside_large_integers() -> None:
    names = ["wide", "flag", "tiny"]
    model = mlcore.compile(VarianceThreshold().fit(TRAIN[names]), TRAIN[names])
    assert model.transform(TEST[names]).tolist() == TEST[names].astype("int64").to_numpy().tolist()
