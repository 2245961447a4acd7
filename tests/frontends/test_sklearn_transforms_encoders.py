"""Encoders of scikit-learn against the original: every rule for unknown, dropped, rare and missing categories."""

from __future__ import annotations

import datetime
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from agreement import assert_agreement, assert_rows, compiled, dense
from examples_sklearn_transforms import labels, words
from mlcore.errors import InputError, UnsupportedError
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

ONE_HOT: dict[str, dict[str, Any]] = {
    "error": {},
    "dense": {"sparse_output": False},
    "ignore": {"handle_unknown": "ignore"},
    "float32": {"dtype": np.float32},
    "int8": {"dtype": np.int8, "handle_unknown": "ignore"},
    "bool": {"dtype": bool, "sparse_output": False},
    "drop-first": {"drop": "first"},
    "drop-first-ignore": {"drop": "first", "handle_unknown": "ignore"},
    "drop-binary": {"drop": "if_binary"},
    "drop-array": {"drop": ["red", "z"]},
    "rare": {"min_frequency": 12, "handle_unknown": "infrequent_if_exist"},
    "rare-share": {"min_frequency": 0.22, "handle_unknown": "warn"},
    "rare-ignore": {"min_frequency": 12, "handle_unknown": "ignore"},
    "rare-error": {"max_categories": 3},
    "rare-drop": {"max_categories": 3, "drop": "first", "handle_unknown": "infrequent_if_exist"},
    "rare-all": {"max_categories": 1, "handle_unknown": "warn"},
    "rare-binary": {"max_categories": 2, "drop": "if_binary", "handle_unknown": "ignore"},
    "rare-none": {"min_frequency": 1, "handle_unknown": "infrequent_if_exist"},
}
ORDINAL: dict[str, dict[str, Any]] = {
    "error": {},
    "unknown": {"handle_unknown": "use_encoded_value", "unknown_value": -1},
    "unknown-nan": {"handle_unknown": "use_encoded_value", "unknown_value": np.nan},
    "missing": {"encoded_missing_value": -2, "handle_unknown": "use_encoded_value", "unknown_value": 99},
    "float32": {"dtype": np.float32},
    "int16": {"dtype": np.int16, "encoded_missing_value": 77},
    "rare": {"max_categories": 3, "handle_unknown": "use_encoded_value", "unknown_value": 50},
    "rare-missing": {"min_frequency": 14, "encoded_missing_value": 40},
}


def odd_rows(known: np.ndarray) -> np.ndarray:
    """Known rows, and rows with an odd value in either column."""
    rows = [known[:12]]
    for odd in ("never", "", "RED", "red ", "re", "é", "e\u0301", None, np.nan, "nan", "None", "x" * 300):
        for column in range(2):
            row = known[:1].copy()
            row[0, column] = odd
            rows.append(row)
    return np.vstack(rows)


def clean(X: np.ndarray) -> np.ndarray:
    return X[[all(isinstance(value, str) for value in row) for row in X]]


@pytest.mark.parametrize("missing", [False, None, np.nan], ids=["complete", "none", "nan"])
@pytest.mark.parametrize("name", ONE_HOT)
def test_one_hot(name: str, missing: object) -> None:
    X = words(missing=missing)
    estimator = OneHotEncoder(**ONE_HOT[name]).fit(X)
    assert assert_agreement(estimator, odd_rows(X), sample=X) >= 12


@pytest.mark.parametrize("missing", [False, None, np.nan], ids=["complete", "none", "nan"])
@pytest.mark.parametrize("name", ORDINAL)
def test_ordinal(name: str, missing: object) -> None:
    X = words(missing=missing)
    estimator = OrdinalEncoder(**ORDINAL[name]).fit(X)
    assert assert_agreement(estimator, odd_rows(X), sample=X) >= 12


@pytest.mark.parametrize("missing", [False, None, np.nan], ids=["complete", "none", "nan"])
@pytest.mark.parametrize("target", ["binary", "continuous", "multiclass"])
def test_target(target: str, missing: object) -> None:
    X = words(missing=missing)
    rng = np.random.default_rng(2)
    y = {
        "binary": labels(),
        "continuous": rng.normal(size=60),
        "multiclass": rng.choice(["u", "v", "w"], size=60),
    }[target]
    for smooth in ("auto", 3.0):
        estimator = TargetEncoder(smooth=smooth).fit(X, y)
        assert assert_agreement(estimator, odd_rows(X), sample=X) == 36


def test_none_and_nan_are_two_categories_where_both_were_learned() -> None:
    import pyarrow as pa

    X = words(missing=None)
    X[1::7, 1] = np.nan
    for estimator in (
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(),
        OrdinalEncoder(encoded_missing_value=-5),
    ):
        estimator.fit(X)
        assert {None} < set(estimator.categories_[1])
        model = compiled(estimator, X)
        assert assert_rows(estimator, model, odd_rows(X)) >= 12
        table = pa.table({"x0": ["red"], "x1": pa.array([None], pa.string())})
        with pytest.raises(InputError):  # an Arrow null does not say which of the two it is
            model.transform(table)


def test_an_arrow_null_is_the_missing_category_that_was_learned() -> None:
    import polars as pl
    import pyarrow as pa

    for missing in (None, np.nan):
        X = words(missing=missing)
        estimator = OneHotEncoder(sparse_output=False).fit(X)
        model = compiled(estimator, X)
        expected = estimator.transform(np.array([["red", missing]], dtype=object))
        table = pa.table({"x0": ["red"], "x1": pa.array([None], pa.string())})
        for container in (table, pl.from_arrow(table)):
            assert np.array_equal(np.asarray(model.transform(container)), expected)


NUMERIC = {
    "float64": np.array([1.5, 2.0, -0.0, 7.25, 1e300] * 12),
    "float32": np.array([1.5, 2.0, 0.0, 0.1] * 15, dtype=np.float32),
    "int64": np.array([3, -1, 0, 12] * 15),
    "int8": np.array([3, -1, 0, 12] * 15, dtype=np.int8),
    "bool": np.array([True, False, False] * 20),
    "large": np.array([2**53, 2**53 + 1, 5] * 20),
}


@pytest.mark.parametrize("options", [{}, {"handle_unknown": "ignore"}, {"drop": "first", "handle_unknown": "ignore"}])
@pytest.mark.parametrize("kind", NUMERIC)
def test_one_hot_of_numbers(kind: str, options: dict[str, Any]) -> None:
    X = NUMERIC[kind][:, None]
    estimator = OneHotEncoder(**options).fit(X)
    rows = np.vstack([X[:5], np.array([[0], [1], [12], [100]]).astype(X.dtype)])
    if X.dtype.kind == "f":
        special = [np.nan, np.inf, -np.inf, -0.0, 1.5000001, np.nextafter(X.dtype.type(2), X.dtype.type(3))]
        rows = np.vstack([rows, np.array(special, dtype=X.dtype)[:, None]])
    if kind == "large":
        rows = np.vstack([rows, [[2**53 - 1], [2**53 + 2], [-(2**62)]]])
    assert assert_agreement(estimator, rows, sample=X) >= 5


def test_missing_numbers_are_a_category_where_learned() -> None:
    X = np.array([[1.0], [2.0], [np.nan]] * 10)
    for estimator in (
        OneHotEncoder(),
        OneHotEncoder(drop=[np.nan]),
        OrdinalEncoder(encoded_missing_value=9),
        OrdinalEncoder(),
        OneHotEncoder(max_categories=2),
    ):
        assert assert_agreement(estimator.fit(X), np.array([[1.0], [np.nan], [2.0], [3.0], [-0.0]]), sample=X) >= 3


@pytest.mark.parametrize("kind", ["float64", "int64"])
def test_target_and_ordinal_of_numbers(kind: str) -> None:
    X = NUMERIC[kind][:, None]
    rows = np.vstack([X[:5], np.array([[0], [1], [100]]).astype(X.dtype)])
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(X)
    assert assert_agreement(ordinal, rows, sample=X) == 8
    assert assert_agreement(TargetEncoder().fit(X, labels()), rows, sample=X) == 8


def test_data_frames_keep_the_type_of_each_column() -> None:
    frame = pd.DataFrame(
        {
            "text": words()[:, 0],
            "whole": np.arange(60) % 4,
            "real": (np.arange(60) % 3) / 2,
            "flag": np.arange(60) % 2 == 0,
            "kind": pd.Categorical(words()[:, 0]),
        }
    )
    for estimator in (OneHotEncoder(handle_unknown="ignore"), OneHotEncoder(drop="if_binary"), OrdinalEncoder()):
        assert assert_agreement(estimator.fit(frame), frame) == 60


def test_timestamps_and_dates() -> None:
    days = pd.to_datetime(["2020-01-01", "2020-05-05 12:00", "1969-12-31 23:59:59.5"] * 5, format="mixed")
    new = pd.DataFrame(
        {"when": pd.to_datetime(["2020-01-01", "2021-01-01", None, "1969-12-31 23:59:59.5"], format="mixed")}
    )
    for unit in ("us", "ns", "ms"):
        frame = pd.DataFrame({"when": days.as_unit(unit)})
        # nanoseconds of our time are exact in an integer block only, which has no missing value
        rows = new.astype(frame.dtypes.to_dict()) if unit != "ns" else new.dropna().astype(frame.dtypes.to_dict())
        for estimator in (OneHotEncoder(handle_unknown="ignore"), OneHotEncoder()):
            estimator.fit(frame)
            assert assert_agreement(estimator, rows, sample=frame) >= 2
        if unit == "ns":
            model = compiled(OneHotEncoder(handle_unknown="ignore").fit(frame), frame)
            with pytest.raises(InputError, match="missing value"):
                model.transform(new.astype(frame.dtypes.to_dict()))


def test_dates_and_zoned_times_are_compared_as_instants() -> None:
    zoned = pd.DataFrame({"when": pd.to_datetime(["2020-01-01", "2020-05-05"] * 5, utc=True)})
    estimator = OneHotEncoder(handle_unknown="ignore").fit(zoned)
    model = mlcore.compile(estimator, sample=zoned)
    assert np.array_equal(np.asarray(model.transform(zoned)), dense(estimator.transform(zoned)))
    import pyarrow as pa

    dates = pd.DataFrame({"day": np.array([datetime.date(2020, 1, 1), datetime.date(1960, 2, 29)] * 5, dtype=object)})
    estimator = OneHotEncoder(handle_unknown="ignore").fit(dates)
    table = pa.table({"day": pa.array(dates["day"].tolist(), pa.date32())})
    model = mlcore.compile(estimator, sample=table)
    assert np.array_equal(np.asarray(model.transform(table)), dense(estimator.transform(dates)))


def test_given_categories() -> None:
    X = words(missing=False)
    order = [["red", "green", "blue", "", "extra"], ["z", "é", "bb", "a", "unused"]]
    for estimator in (
        OneHotEncoder(categories=order),
        OneHotEncoder(categories=order, drop="first"),
        OrdinalEncoder(categories=order),
    ):
        assert assert_agreement(estimator.fit(X), clean(odd_rows(X)), sample=X) >= 12
    whole = np.array([[1], [2], [3]] * 5)
    assert assert_agreement(OneHotEncoder(categories=[[0, 1, 2, 3, 9]]).fit(whole), whole) == 15


def test_what_no_column_type_holds_is_refused() -> None:
    numbers = np.array([[1.0], [None], [np.nan]] * 5, dtype=object)
    with pytest.raises(UnsupportedError, match="None and NaN"):
        mlcore.compile(OneHotEncoder().fit(numbers), sample=np.array([[1.0], [np.nan]]))
    X = words(missing=False)
    with pytest.raises(UnsupportedError, match="categories are strings"):
        mlcore.compile(OneHotEncoder().fit(X), sample=np.zeros((3, 2)))


def test_a_column_with_one_dropped_category_gives_nothing_but_is_checked() -> None:
    X = np.array([["only", "a"], ["only", "b"]] * 5, dtype=object)
    estimator = OneHotEncoder(drop="first").fit(X)
    rows = np.array([["only", "b"], ["other", "b"], ["only", "c"]], dtype=object)
    assert assert_agreement(estimator, rows, sample=X) == 1


def test_without_a_sample_types_follow_from_the_categories() -> None:
    X = words(missing=np.nan)
    estimator = OneHotEncoder(handle_unknown="ignore").fit(X)
    assert assert_rows(estimator, mlcore.compile(estimator), odd_rows(X)) == 36
    numbers = np.array([[1, 10], [2, 20]] * 5)
    estimator = OrdinalEncoder().fit(numbers)
    assert assert_rows(estimator, mlcore.compile(estimator), numbers) == 10
