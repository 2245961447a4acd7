"""Imputers of scikit-learn against the original: every strategy, marker, indicator and dropped column."""

from __future__ import annotations

from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from agreement import assert_agreement, compiled
from examples_sklearn_transforms import numbers, words
from mlcore.errors import InputError, UnsupportedError
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

STRATEGIES: dict[str, dict[str, Any]] = {
    "mean": {},
    "median": {"strategy": "median"},
    "most-frequent": {"strategy": "most_frequent"},
    "constant": {"strategy": "constant"},
    "constant-value": {"strategy": "constant", "fill_value": -1.5},
    "callable": {"strategy": np.max},
    "indicator": {"add_indicator": True},
    "keep-empty": {"keep_empty_features": True, "add_indicator": True},
    "keep-empty-constant": {"keep_empty_features": True, "strategy": "constant", "fill_value": 7},
}


def holes(dtype: type = np.float64, empty: bool = False) -> np.ndarray:
    """Numbers with NaN in the first two columns; with ``empty`` the third holds nothing else."""
    X = numbers(dtype=dtype)
    X[::5, 0] = np.nan
    X[::3, 1] = np.nan
    if empty:
        X[:, 2] = np.nan
    return X


def edges(dtype: type = np.float64) -> np.ndarray:
    rows = [holes(dtype)[:8]]
    for special in (np.nan, np.inf, -0.0, 0.0, -999.0, 0.1, np.finfo(dtype).max):
        for column in range(4):
            row = numbers(1, dtype=dtype)
            row[0, column] = special
            rows.append(row)
    return np.vstack(rows).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=lambda d: d.__name__)
@pytest.mark.parametrize(
    ("name", "empty"),
    # a callable itself fails on a column without values
    [(name, empty) for name in STRATEGIES for empty in (False, True) if not (name == "callable" and empty)],
)
@pytest.mark.filterwarnings("ignore:Skipping features")
def test_numbers(name: str, empty: bool, dtype: type) -> None:
    X = holes(dtype, empty)
    estimator = SimpleImputer(**STRATEGIES[name]).fit(X)
    assert assert_agreement(estimator, edges(dtype), sample=X) > 20


@pytest.mark.parametrize("marker", [-999.0, 0, 0.1, np.float64(0.1), -999])
@pytest.mark.parametrize("strategy", ["mean", "most_frequent", "constant"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=lambda d: d.__name__)
def test_a_number_marks_what_is_missing(marker: float, strategy: str, dtype: type) -> None:
    X = numbers(dtype=dtype)
    X[::4, 0] = marker
    estimator = SimpleImputer(missing_values=marker, strategy=strategy, add_indicator=True).fit(X)
    assert assert_agreement(estimator, edges(dtype), sample=X) > 5


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8], ids=lambda d: d.__name__)
@pytest.mark.parametrize("strategy", ["mean", "most_frequent", "constant"])
def test_integers(strategy: str, dtype: type) -> None:
    X = (np.arange(80).reshape(20, 4) % 7).astype(dtype)
    for marker in (np.nan, 0):
        options = {"fill_value": dtype(5)} if strategy == "constant" else {}
        estimator = SimpleImputer(missing_values=marker, strategy=strategy, add_indicator=True, **options).fit(X)
        assert assert_agreement(estimator, X) == 20


def test_large_integers_stay_exact() -> None:
    X = np.array([[2**53 + 1, 0], [0, 3], [2**62 + 1, 4]])
    estimator = SimpleImputer(missing_values=0, strategy="most_frequent").fit(X)
    assert assert_agreement(estimator, X) == 3


def test_a_missing_value_in_a_large_integer_column_is_refused_not_rounded() -> None:
    import pyarrow as pa

    X = np.array([[1], [2], [2]])
    model = compiled(SimpleImputer(strategy="most_frequent").fit(X), X)
    with pytest.raises(InputError):
        model.transform(pa.table({"x0": pa.array([None], pa.int64())}))


@pytest.mark.parametrize("marker", [np.nan, None, "?", ""], ids=["nan", "none", "mark", "empty"])
@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "most_frequent"},
        {"strategy": "constant"},
        {"strategy": "constant", "fill_value": "other", "add_indicator": True},
    ],
    ids=["most-frequent", "constant", "value"],
)
def test_strings(options: dict[str, Any], marker: object) -> None:
    X = words(missing=marker)
    estimator = SimpleImputer(missing_values=marker, **options).fit(X)
    rows = [X[:10]]
    for odd in (None, np.nan, "", "?", "nan", "never"):
        for column in range(2):
            row = words(1, missing=False)
            row[0, column] = odd
            rows.append(row)
    if options.get("add_indicator"):
        with pytest.raises(UnsupportedError, match="strings beside numbers"):
            mlcore.compile(estimator, sample=X)
        return
    assert assert_agreement(estimator, np.vstack(rows), sample=X) >= 10


def test_pandas_na_marks_every_kind_of_missing() -> None:
    frame = pd.DataFrame({"a": [1.0, None, 3.0], "b": [2.0, 2.0, None]})
    estimator = SimpleImputer(missing_values=pd.NA).fit(frame)
    assert assert_agreement(estimator, frame) == 3
    text = np.array([["a"], [None], [np.nan], ["a"]], dtype=object)
    estimator = SimpleImputer(missing_values=pd.NA, strategy="most_frequent").fit(text)
    assert assert_agreement(estimator, text) == 4


def test_an_object_array_of_numbers_has_no_block_as_the_last_output() -> None:
    X = np.array([[1.0, None], [np.nan, 2.0], [1.0, 5.0]], dtype=object)
    for options in ({"strategy": "most_frequent"}, {"strategy": "constant", "fill_value": 3.5}):
        estimator = SimpleImputer(**options).fit(X)
        with pytest.raises(UnsupportedError, match="dtype object"):
            mlcore.compile(estimator, sample=np.array([[1.0, np.nan]]))
        scaled = make_pipeline(SimpleImputer(**options), StandardScaler()).fit(X)
        assert assert_agreement(scaled, np.array([[1.0, np.nan], [np.nan, 2.0], [1.0, 5.0]])) == 3


def test_all_missing_columns_of_strings_are_dropped() -> None:
    X = words(missing=False)
    X[:, 1] = np.nan
    estimator = SimpleImputer(strategy="most_frequent").fit(X)
    assert assert_agreement(estimator, X[:, :], sample=X) == 60


def test_fills_of_the_other_kind_are_refused() -> None:
    X = words(missing=np.nan)
    estimator = SimpleImputer(strategy="constant", fill_value=0).fit(X)
    with pytest.raises(UnsupportedError, match="fill_value"):
        mlcore.compile(estimator, sample=X)


def test_types_of_fitting_and_serving_must_agree_for_a_constant() -> None:
    estimator = SimpleImputer(strategy="constant").fit(holes())
    with pytest.raises(UnsupportedError, match="does not cast"):
        mlcore.compile(estimator, sample=np.ones((4, 4), dtype=np.int64))


@pytest.mark.parametrize("features", ["missing-only", "all"])
@pytest.mark.parametrize("sparse", ["auto", True, False])
@pytest.mark.parametrize("error_on_new", [True, False])
def test_missing_indicator(features: str, sparse: object, error_on_new: bool) -> None:
    for marker, X in ((np.nan, holes()), (0.0, np.where(np.isnan(holes()), 0.0, holes())), (np.nan, holes(np.float32))):
        estimator = MissingIndicator(
            missing_values=marker, features=features, sparse=sparse, error_on_new=error_on_new
        ).fit(X)
        assert assert_agreement(estimator, edges(X.dtype.type), sample=X) > 5


@pytest.mark.parametrize("marker", [np.nan, None, ""], ids=["nan", "none", "empty"])
def test_missing_indicator_of_strings(marker: object) -> None:
    X = words(missing=marker)
    if marker == "":
        X[:, 0] = "full"
    rows = [X[:10]]
    for odd in (None, np.nan, "", "never"):
        for column in range(2):
            row = words(1, missing=False)
            row[0, column] = odd
            rows.append(row)
    for error_on_new in (True, False):
        estimator = MissingIndicator(missing_values=marker, error_on_new=error_on_new).fit(X)
        assert assert_agreement(estimator, np.vstack(rows), sample=X) >= 10


def test_integers_in_which_nothing_can_be_missing_are_read_all_the_same() -> None:
    import pyarrow as pa

    X = np.array([[1], [2], [2]])
    model = compiled(MissingIndicator(features="all").fit(X), X)
    assert not np.asarray(model.transform(X)).any()
    with pytest.raises(InputError):
        model.transform(pa.table({"x0": pa.array([None], pa.int64())}))


def test_booleans_are_numbers_to_a_mean() -> None:
    X = np.array([[True, False], [False, False], [True, True]])
    assert assert_agreement(SimpleImputer(add_indicator=True).fit(X), X) == 3
