"""Every example model against scikit-learn: edge rows one by one and in batches, or an error from both."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from agreement import same
from examples_sklearn_linear import FITTED_EXAMPLES as LINEAR
from examples_sklearn_models import FITTED_EXAMPLES
from mlcore.errors import InputError
from mlcore.frontends.reference import reference
from mlcore.frontends.registry import entry_for
from sklearn_model_data import frame

CASES = [
    (cls, index, make) for cls, makers in {**FITTED_EXAMPLES, **LINEAR}.items() for index, make in enumerate(makers)
]


# -- rows -------------------------------------------------------------------------------------------------------


def cuts(estimator: Any) -> Iterator[tuple[int, float]]:
    """Feature and split value of every node of every tree inside, read from scikit-learn's own objects."""
    if hasattr(estimator, "tree_"):
        inner = estimator.tree_.children_left >= 0
        yield from zip(estimator.tree_.feature[inner].tolist(), estimator.tree_.threshold[inner].tolist(), strict=True)
    elif hasattr(estimator, "_predictors") and getattr(estimator, "_preprocessor", None) is None:
        for stage in estimator._predictors:
            for predictor in stage:
                nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
                yield from zip(nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), strict=True)
    elif hasattr(estimator, "estimators_features_"):
        for member, features in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
            yield from ((int(features[feature]), cut) for feature, cut in cuts(member))
    elif hasattr(estimator, "estimators_"):
        grid = estimator.estimators_
        for member in grid.ravel().tolist() if isinstance(grid, np.ndarray) else grid:
            yield from cuts(member)
    elif hasattr(estimator, "calibrated_classifiers_"):
        for member in estimator.calibrated_classifiers_:
            yield from cuts(member.estimator)
    elif hasattr(estimator, "regressor_"):
        yield from cuts(estimator.regressor_)


def boundary_rows(estimator: Any, ordinary: np.ndarray, limit: int) -> np.ndarray:
    """Ordinary rows with one value at, one step below or one step above a split, in both precisions."""
    rng = np.random.default_rng(2)
    found = list(dict.fromkeys(cuts(estimator)))
    if len(found) > limit:
        found = [found[i] for i in rng.choice(len(found), limit, replace=False)]
    rows = []
    with np.errstate(over="ignore"):
        for feature, cut in found:
            single = np.float32(cut)
            near = [cut, np.nextafter(cut, -np.inf), np.nextafter(cut, np.inf), float(single)]
            near += [float(np.nextafter(single, np.float32(side))) for side in (-np.inf, np.inf)]
            for value in near:
                row = ordinary[rng.integers(0, len(ordinary))].copy()
                row[feature] = value
                rows.append(row)
    return np.array(rows) if rows else np.empty((0, ordinary.shape[1]))


SPECIAL = (np.nan, np.inf, -np.inf, 1e39, -1e39, 3.5e38, -0.0, 0.0, 5e-324, 1e-40, -1e-46, 16777217.0)


def edge_array(estimator: Any, width: int) -> np.ndarray:
    """Special values in every column, then split values, then ordinary rows."""
    rng = np.random.default_rng(1)
    ordinary = rng.normal(size=(40, width)) * np.array([1, 1, 3, 1])[:width]
    ordinary[:, 2] = np.round(ordinary[:, 2])
    special = []
    for column in range(width):
        for value in SPECIAL:
            row = ordinary[rng.integers(0, len(ordinary))].copy()
            row[column] = value
            special.append(row)
    return np.concatenate([np.array(special), np.zeros((1, width)), boundary_rows(estimator, ordinary, 40), ordinary])


def edge_frame(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of a training table with unknown and missing categories and odd numbers."""
    table = table.head(40).copy()
    for column in table.columns:
        kind = table[column].dtype.kind
        if kind == "f":
            table.loc[table.index[:4], column] = [np.inf, np.nan, -0.0, 1e300]
    return table


def edge_rows(estimator: Any) -> Any:
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return edge_array(estimator, 4)
    if "town" not in names:
        return pd.DataFrame(edge_array(estimator, len(names)), columns=names)
    rows = edge_frame(frame(missing=True))
    if estimator._preprocessor is not None and estimator.categorical_features != "from_dtype":
        rows["code"] = rows["code"].astype(float) + np.where(np.arange(len(rows)) % 7 == 3, 0.5, 0.0)
        rows.loc[rows.index[5:8], "code"] = [np.nan, -1.0, 1000.0]
        rows["town"] = rows["town"].astype(object)
        rows.loc[rows.index[2:5], "town"] = ["Atlantis", None, ""]
    return rows


# -- promises ---------------------------------------------------------------------------------------------------

_LINEAR = ("sklearn.linear_model.", "sklearn.svm.")


def is_exact(estimator: Any, method: str) -> bool:
    """Whether the documentation promises the library's bits."""
    cls = entry_for(estimator).cls  # type: ignore[union-attr]
    name = cls.rpartition(".")[2]
    if name.startswith(("DecisionTree", "ExtraTree", "RandomForest", "Dummy")):
        return True
    if name.startswith("GradientBoosting"):
        init = type(estimator.init_).__name__
        exact_init = estimator.init_ == "zero" or init.startswith("Dummy") or init == "DecisionTreeRegressor"
        return exact_init and method != "predict_proba"
    if name.startswith("HistGradientBoosting"):
        if method == "predict":
            return hasattr(estimator, "classes_") or estimator.loss not in ("poisson", "gamma")
        return method == "decision_function"
    if name == "IsolationForest":
        return method == "predict"
    if name == "CalibratedClassifierCV":
        forests = type(estimator.estimator).__name__ in ("RandomForestClassifier", "DecisionTreeClassifier")
        return estimator.method == "isotonic" and forests
    return False


def dot_bound(estimator: Any, X: Any) -> np.ndarray:
    """1e-12 (float32: 1e-5) of sum |w x|, the documented bound of a linear model's margin, per row and output."""
    values = np.abs(np.asarray(X, dtype=np.float64))
    coef = estimator.coef_.toarray() if hasattr(estimator.coef_, "toarray") else np.asarray(estimator.coef_)
    share = 1e-5 if coef.dtype == np.float32 and getattr(X, "dtype", None) == np.float32 else 1e-12
    with np.errstate(over="ignore"):
        total = values @ np.abs(np.atleast_2d(coef).astype(np.float64)).T
    constant = estimator.offset_ if hasattr(estimator, "offset_") else estimator.intercept_
    bound = share * (total + np.abs(np.reshape(constant, -1)))
    return bound[:, 0] if bound.shape[1] == 1 else bound


def assert_promise(estimator: Any, method: str, X: Any, expected: np.ndarray, found: np.ndarray) -> None:
    assert expected.shape == found.shape
    assert expected.dtype == found.dtype
    if is_exact(estimator, method):
        assert same(expected, found), (method, np.flatnonzero((expected != found).reshape(len(expected), -1).any(1)))
        return
    cls = entry_for(estimator).cls  # type: ignore[union-attr]
    if cls.startswith(_LINEAR):
        margin = np.asarray(original(estimator, "decision_function", X), dtype=np.float64)
        bound = dot_bound(estimator, X).reshape(margin.shape)
        settled = np.isfinite(bound) & np.isfinite(margin)
        if method == "decision_function":
            assert (np.abs(expected - found) <= bound)[settled].all()
            return
        if expected.dtype.kind != "f":
            ordered = np.sort(margin.reshape(len(margin), -1), axis=1)
            gap = np.abs(ordered[:, 0]) if margin.ndim == 1 else ordered[:, -1] - ordered[:, -2]
            if expected.ndim == 2:
                gap = np.abs(margin).min(axis=1)
            clear = settled.reshape(len(margin), -1).all(axis=1)
            clear &= gap > 2 * bound.reshape(len(margin), -1).max(axis=1)
            assert (expected[clear] == found[clear]).all()
            return
        # an error e in the margin moves exp, expit and softmax by at most a share e of the value (of 1 for shares)
        slack = bound.reshape(len(margin), -1).max(axis=1)[:, None] * 2 + 8 * np.finfo(expected.dtype).eps
        clear = settled.reshape(len(margin), -1).all(axis=1)
        wide, other = expected.reshape(len(expected), -1), found.reshape(len(found), -1)
        assert ((np.abs(wide - other) <= slack * np.maximum(np.abs(wide), 1.0)) | (wide == other))[clear].all()
        return
    if expected.dtype.kind != "f":
        margin = np.asarray(reference(estimator, "decision_function", X)) if hasattr(estimator, "classes_") else None
        tied = np.zeros(len(expected), dtype=bool)
        if margin is not None and margin.ndim == 2 and margin.shape[1] > 1:
            ordered = np.sort(margin, axis=1)
            tied = ordered[:, -1] - ordered[:, -2] <= 1e-6
        assert (expected[~tied] == found[~tied]).all()
        return
    # everything else: a few inexact functions in a row; float32 inside where XGBoost is
    narrow = "XGB" in repr(estimator) or expected.dtype == np.float32
    linear = "LogisticRegression" in repr(estimator) or "Linear" in repr(estimator) or "Stacking" in repr(estimator)
    eps = float(np.finfo(np.float32 if narrow else np.float64).eps)
    allowed = (1e-5 if linear and _single(estimator) else 1e-10 if linear else 64 * eps) * np.maximum(
        1, np.abs(expected)
    )
    with np.errstate(invalid="ignore"):
        close = np.abs(expected - found) <= allowed
    assert (close | (expected == found) | (np.isnan(expected) & np.isnan(found))).all()


def _single(estimator: Any) -> bool:
    """Whether a linear model inside was fitted on float32, as GradientBoosting fits its initial estimator."""
    return hasattr(estimator, "init_")


# -- the comparison ---------------------------------------------------------------------------------------------


def original(estimator: Any, method: str, X: Any) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return reference(estimator, method, X)


def answers(estimator: Any, method: str, X: Any) -> bool:
    try:
        original(estimator, method, X)
    except Exception:  # whatever the library raises is its refusal
        return False
    return True


def answered_rows(estimator: Any, X: Any, rows: np.ndarray) -> list[int]:
    """The rows that the original accepts, by halving what it refuses as a whole."""
    if answers(estimator, "predict", part(X, rows)):
        return [int(row) for row in rows]
    if len(rows) == 1:
        return []
    half = len(rows) // 2
    return answered_rows(estimator, X, rows[:half]) + answered_rows(estimator, X, rows[half:])


def accepted(model: mlcore.Model, method: str, X: Any) -> bool:
    try:
        model.call(method, X)
    except InputError:
        return False
    return True


def part(X: Any, rows: Any) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def arrays(result: Any) -> list[np.ndarray]:
    return [np.asarray(one) for one in result] if isinstance(result, list) else [np.asarray(result)]


@pytest.mark.parametrize(("cls", "index", "make"), CASES, ids=[f"{cls.rpartition('.')[2]}-{i}" for cls, i, _ in CASES])
def test_example_agrees(cls: str, index: int, make: Callable[[], Any]) -> None:
    estimator = make()
    X = edge_rows(estimator)
    kept = answered_rows(estimator, X, np.arange(len(X)))
    assert len(kept) >= 40
    sample = part(X, kept)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mlcore.compile(estimator, sample=sample)
    assert {"predict", "decision_function"} <= set(model.methods)
    refused = [row for row in range(len(X)) if row not in set(kept)]
    for row in refused:
        assert not accepted(model, "predict", part(X, slice(row, row + 1))), part(X, slice(row, row + 1))
    for method in model.methods:
        if method == "transform":
            continue
        expected, found = arrays(original(estimator, method, sample)), arrays(model.call(method, sample))
        assert len(expected) == len(found)
        for one, other in zip(expected, found, strict=True):
            with np.errstate(all="ignore"):
                assert_promise(estimator, method, sample, one, other)
        # the same bits for every batch size
        for size in (1, 3, 17):
            for start in range(0, min(len(kept), 60), size):
                rows = slice(start, min(start + size, len(kept)))
                for whole, piece in zip(found, arrays(model.call(method, part(sample, rows))), strict=True):
                    assert same(whole[rows], piece), (method, rows)
    copy = mlcore.Model.from_bytes(model.to_bytes())
    for method in model.methods:
        for one, other in zip(arrays(model.call(method, sample)), arrays(copy.call(method, sample)), strict=True):
            assert same(one, other)
