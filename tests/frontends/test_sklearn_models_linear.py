"""Traps of scikit-learn's linear models: dtypes, probabilities, labels, sparse input."""

from __future__ import annotations

import warnings
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from agreement import same
from mlcore.errors import InputError, UnsupportedError
from sklearn import linear_model, svm
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn_model_data import binary, classes, flags, frame, numbers, signal, strings, targets


def bound(estimator: Any, X: Any, share: float) -> np.ndarray:
    """``share`` of sum |w x| + |b|, per row and output."""
    weights = np.abs(np.atleast_2d(estimator.coef_)).astype(np.float64)
    total = np.abs(np.asarray(X, dtype=np.float64)) @ weights.T + np.abs(np.reshape(estimator.intercept_, -1))
    return share * (total[:, 0] if total.shape[1] == 1 else total)


def compiled(estimator: Any, X: Any) -> mlcore.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlcore.compile(estimator, sample=X)


REGRESSORS = [
    (linear_model.LinearRegression(), signal),
    (linear_model.LinearRegression(fit_intercept=False), targets),
    (linear_model.Ridge(), targets),
    (linear_model.Lasso(alpha=0.01), signal),
    (linear_model.ElasticNet(alpha=0.01), targets),
    (linear_model.SGDRegressor(random_state=0), signal),
    (linear_model.PoissonRegressor(), lambda X: np.abs(signal(X))),
    (linear_model.BayesianRidge(), signal),
    (svm.LinearSVR(random_state=0), signal),
]


@pytest.mark.parametrize("fit_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int8])
@pytest.mark.parametrize(("estimator", "y"), REGRESSORS, ids=lambda value: type(value).__name__)
def test_result_dtype_follows_numpy(estimator: Any, y: Any, fit_dtype: Any, dtype: Any) -> None:
    X = np.round(numbers() * 4)
    estimator.fit(X.astype(fit_dtype), y(X))
    table = X.astype(dtype)
    expected = estimator.predict(table)
    found = compiled(estimator, table).predict(table)
    assert expected.dtype == found.dtype
    assert expected.shape == found.shape
    narrow = fit_dtype == np.float32 and (dtype in (np.float32, np.int8))
    allowed = bound(estimator, table, 1e-5 if narrow else 1e-12).reshape(found.shape)
    if hasattr(estimator, "_base_loss"):
        allowed = allowed * expected + 8 * np.finfo(expected.dtype).eps * expected
    assert (np.abs(expected - found) <= allowed).all()


@pytest.mark.parametrize(
    ("estimator", "y"),
    [
        (linear_model.LogisticRegression(), binary),
        (linear_model.LogisticRegression(), strings),
        (linear_model.SGDClassifier(loss="log_loss", random_state=0), binary),
        (linear_model.SGDClassifier(loss="log_loss", random_state=0), strings),
        (linear_model.SGDClassifier(loss="modified_huber", random_state=0), binary),
        (linear_model.SGDClassifier(loss="modified_huber", random_state=0), classes),
        (linear_model.Perceptron(random_state=0), strings),
        (svm.LinearSVC(random_state=0), binary),
        (linear_model.RidgeClassifier(), strings),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fit_dtype", [np.float32, np.float64])
def test_classifier_dtypes(estimator: Any, y: Any, dtype: Any, fit_dtype: Any) -> None:
    X = numbers()
    estimator.fit(X.astype(fit_dtype), y(X))
    table = X.astype(dtype)
    model = compiled(estimator, table)
    margin = estimator.decision_function(table)
    narrow = dtype == np.float32 and fit_dtype == np.float32
    allowed = bound(estimator, table, 1e-5 if narrow else 1e-12)
    assert margin.dtype == model.decision_function(table).dtype
    assert (np.abs(margin - model.decision_function(table)) <= allowed).all()
    expected = estimator.predict(table)
    assert (expected == model.predict(table)).all()
    assert expected.dtype == model.predict(table).dtype
    if hasattr(estimator, "predict_proba"):
        proba = estimator.predict_proba(table)
        found = model.predict_proba(table)
        assert proba.dtype == found.dtype
        assert np.allclose(proba, found, rtol=0, atol=4 * allowed.max() + 8 * float(np.finfo(proba.dtype).eps))


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "perceptron", "huber"])
def test_no_probabilities_where_the_original_has_none(loss: str) -> None:
    X = numbers()
    estimator = linear_model.SGDClassifier(loss=loss, random_state=0).fit(X, binary(X))
    model = compiled(estimator, X)
    assert not hasattr(estimator, "predict_proba")
    assert "predict_proba" not in model.methods


def test_probabilities_of_scores_that_are_all_hopeless() -> None:
    X = np.array([[1.0], [2.0], [3.0]] * 4)
    for loss in ("log_loss", "modified_huber"):
        estimator = linear_model.SGDClassifier(loss=loss).fit(X, [0, 1, 2] * 4)
        estimator.coef_ = np.zeros((3, 1))
        estimator.intercept_ = np.full(3, -800.0)
        assert estimator.predict_proba(X[:1]).tolist() == [[1 / 3] * 3]
        assert same(estimator.predict_proba(X), compiled(estimator, X).predict_proba(X))


def test_missing_and_infinite_values_are_refused_by_both() -> None:
    X = numbers()
    for estimator in (linear_model.Ridge(), linear_model.PoissonRegressor()):
        model = compiled(estimator.fit(X, np.abs(signal(X))), X)
        for value in (np.nan, np.inf, -np.inf):
            row = X[:1].copy()
            row[0, 3] = value
            with pytest.raises(ValueError, match=r"NaN|infinity"):
                estimator.predict(row)
            with pytest.raises(InputError, match="x3"):
                model.predict(row)


@pytest.mark.parametrize(
    ("estimator", "y"),
    [
        (linear_model.LogisticRegression(), strings),
        (linear_model.Ridge(solver="sag", random_state=0), signal),
        (linear_model.LinearRegression(), signal),
        (linear_model.SGDClassifier(loss="log_loss", random_state=0), binary),
        (linear_model.TweedieRegressor(power=1, link="log"), lambda X: np.abs(signal(X))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sparse_features(estimator: Any, y: Any) -> None:
    table = frame()
    columns = ColumnTransformer(
        [("hot", OneHotEncoder(), ["town", "code"]), ("scaled", StandardScaler(with_mean=False), ["a", "b"])],
        sparse_threshold=1.0,
    )
    pipeline = make_pipeline(columns, estimator).fit(table, y(table))
    model = compiled(pipeline, table)
    for method in ("predict", "predict_proba"):
        if not hasattr(pipeline, method):
            continue
        expected, found = getattr(pipeline, method)(table), model.call(method, table)
        if expected.dtype.kind == "f":
            assert np.allclose(expected, found, rtol=1e-12, atol=1e-13)
        else:
            assert (expected == found).all()


def test_multilabel_ridge_gives_a_matrix_of_zeros_and_ones() -> None:
    X = numbers()
    estimator = linear_model.RidgeClassifier().fit(X, flags(X))
    found = compiled(estimator, X).predict(X)
    assert found.dtype == estimator.predict(X).dtype
    assert (found == estimator.predict(X)).all()


def test_sparse_coefficients() -> None:
    X = numbers()
    estimator = linear_model.LogisticRegression(C=0.1, solver="saga", l1_ratio=1.0).fit(X, binary(X))
    dense = compiled(estimator, X).decision_function(X)
    assert same(dense, compiled(estimator.sparsify(), X).decision_function(X))


def test_strings_are_refused_by_column() -> None:
    table = frame()
    estimator = linear_model.LinearRegression().fit(table[["a", "b"]], signal(table))
    broken = pd.DataFrame({"a": table["a"], "b": table["town"]})
    with pytest.raises((UnsupportedError, InputError), match="b"):
        mlcore.compile(estimator, sample=broken)


def test_tweedie_with_a_foreign_link_is_refused() -> None:
    X = numbers()
    estimator = linear_model.PoissonRegressor().fit(X, np.abs(signal(X)))
    estimator._base_loss.link = object()
    with pytest.raises(UnsupportedError, match=r"the link builtins.object is not supported"):
        mlcore.compile(estimator, sample=X)
