"""The output `leaf`, which is the library's own numbering of leaves, and only there when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import examples_lightgbm as lgb_examples
import examples_xgboost as xgb_examples
import lightgbm as lgb
import mlcore
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from mlcore.errors import InputError, UnsupportedError
from sklearn import ensemble, tree
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

RNG = np.random.default_rng(11)
X = RNG.normal(size=(500, 6))
X[:, 1] = np.round(X[:, 1], 1)
GAPS = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
VALUE = X[:, 0] - 2 * X[:, 1] + 0.2 * RNG.normal(size=len(X))
CLASS = np.digitize(VALUE, [-1.0, 1.0])
TARGETS = np.column_stack([VALUE, -VALUE, VALUE**2])
ROWS = xgb_examples.numbers(5)


def _by_apply(estimator: Any, rows: Any) -> Any:
    return estimator.apply(rows)


def _by_pred_leaf(estimator: Any, rows: Any) -> Any:
    return estimator.predict(rows, pred_leaf=True)


def _by_matrix(booster: Any, rows: Any) -> Any:
    return booster.predict(xgb.DMatrix(rows), pred_leaf=True)


def _assert_leaves(model: mlcore.Model, expected: Any, rows: Any) -> None:
    """The library's numbers, as int64 of a row of trees each; row by row too."""
    found = model.leaf(rows)
    expected = np.asarray(expected).reshape(len(rows), -1)
    assert found.dtype == np.int64
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)
    assert np.array_equal(np.concatenate([model.leaf(rows[i : i + 1]) for i in range(40)]), expected[:40])


SKLEARN: dict[str, tuple[Any, Any, Any]] = {
    "tree of one leaf": (tree.DecisionTreeRegressor(max_depth=1, min_samples_leaf=300), X, VALUE),
    "classification tree": (tree.DecisionTreeClassifier(max_depth=6, random_state=0), GAPS, CLASS),
    "extra tree": (tree.ExtraTreeRegressor(max_depth=7, random_state=0), X, TARGETS),
    "best-first tree": (tree.DecisionTreeRegressor(max_leaf_nodes=20, random_state=0), X, VALUE),
    "pruned tree": (tree.DecisionTreeRegressor(ccp_alpha=0.05, random_state=0), X, VALUE),
    "random forest of classes": (ensemble.RandomForestClassifier(20, random_state=0), GAPS, CLASS),
    "random forest of targets": (ensemble.RandomForestRegressor(8, random_state=0), X, TARGETS),
    "extra trees": (ensemble.ExtraTreesClassifier(15, max_depth=9, random_state=0), X, CLASS),
    "gradient boosting": (ensemble.GradientBoostingRegressor(n_estimators=12, random_state=0), X, VALUE),
    "gradient boosting of classes": (ensemble.GradientBoostingClassifier(n_estimators=7, random_state=0), X, CLASS),
    "gradient boosting on a model": (
        ensemble.GradientBoostingRegressor(n_estimators=5, init=tree.DecisionTreeRegressor(max_depth=2)),
        X,
        VALUE,
    ),
}


@pytest.mark.parametrize("kind", SKLEARN)
def test_leaves_of_scikit_learn(kind: str) -> None:
    estimator, rows, target = SKLEARN[kind]
    estimator.fit(rows, target)
    _assert_leaves(mlcore.compile(estimator, rows, leaf=True), estimator.apply(rows), rows)


XGBOOST: dict[str, Callable[[], Any]] = {
    "regressor": xgb_examples.regressor,
    "one tree": lambda: xgb_examples.regressor(n_estimators=1),
    "pruned": lambda: xgb_examples.regressor(gamma=1.0, tree_method="exact", max_depth=6),
    "forest": lambda: xgb_examples.regressor(num_parallel_tree=3),
    "dart": lambda: xgb_examples.regressor(booster="dart", rate_drop=0.3),
    "three classes": lambda: xgb_examples.classifier(3),
    "several targets": xgb_examples.targets,
    "early stopping": lambda: xgb_examples.stopped(xgb.XGBRegressor),
    "lossguide": lambda: xgb_examples.regressor(grow_policy="lossguide", max_leaves=9, max_depth=0),
}


@pytest.mark.parametrize("kind", XGBOOST)
def test_leaves_of_xgboost(kind: str) -> None:
    estimator = XGBOOST[kind]()
    _assert_leaves(mlcore.compile(estimator, ROWS, leaf=True), estimator.apply(ROWS), ROWS)
    booster = estimator.get_booster()
    _assert_leaves(mlcore.compile(booster, ROWS, leaf=True), _by_matrix(booster, ROWS), ROWS)


def test_leaves_beyond_what_xgboost_takes() -> None:
    """`apply` refuses infinities, which `predict` takes; here they go the way that predict sends them."""
    estimator = xgb_examples.regressor()
    model = mlcore.compile(estimator, ROWS, leaf=True)
    largest, infinite = ROWS[:20].copy(), ROWS[:20].copy()
    largest[::2, 0], infinite[::2, 0] = np.finfo(np.float32).max, np.inf
    largest[1::2, 2], infinite[1::2, 2] = np.finfo(np.float32).min, -np.inf
    assert np.array_equal(model.leaf(infinite), estimator.apply(largest))
    assert np.array_equal(model.predict(infinite), estimator.predict(infinite))


LIGHTGBM: dict[str, Callable[[], Any]] = {
    "regressor": lgb_examples.regressor,
    "one tree": lambda: lgb_examples.regressor(n_estimators=1),
    "a leaf each": lambda: lgb_examples.regressor(min_child_samples=100_000),
    "forest": lambda: lgb_examples.regressor(boosting_type="rf", subsample=0.6, subsample_freq=1),
    "dart": lambda: lgb_examples.regressor(boosting_type="dart"),
    "linear trees": lambda: lgb_examples.regressor(linear_tree=True),
    "three classes": lambda: lgb_examples.classifier((0, 1, 2)),
    "early stopping": lgb_examples.stopped,
}


@pytest.mark.parametrize("kind", LIGHTGBM)
def test_leaves_of_lightgbm(kind: str) -> None:
    estimator = LIGHTGBM[kind]()
    rows = lgb_examples.numbers(5)
    _assert_leaves(mlcore.compile(estimator, rows, leaf=True), _by_pred_leaf(estimator, rows), rows)
    booster: lgb.Booster = getattr(estimator, "booster_", estimator)
    _assert_leaves(mlcore.compile(booster, rows, leaf=True), _by_pred_leaf(booster, rows), rows)


def test_leaves_of_category_splits() -> None:
    frame = xgb_examples.category_frame()
    booster = xgb_examples.category_booster()
    expected = booster.predict(xgb.DMatrix(frame, enable_categorical=True), pred_leaf=True)
    assert np.array_equal(mlcore.compile(booster, frame, leaf=True).leaf(frame), expected)
    estimator = xgb_examples.categorical(xgb.XGBClassifier)
    assert np.array_equal(mlcore.compile(estimator, frame, leaf=True).leaf(frame), estimator.apply(frame))
    table = lgb_examples.frame()
    model = lgb_examples.fit("LGBMRegressor", table, lgb_examples.frame_target(table), min_data_per_group=2)
    assert np.array_equal(mlcore.compile(model, table, leaf=True).leaf(table), _by_pred_leaf(model, table))


@pytest.mark.parametrize("ask", [_by_apply, _by_pred_leaf], ids=["xgboost", "lightgbm"])
def test_leaves_behind_steps(ask: Callable[[Any, Any], Any]) -> None:
    """Of the model at the end of a pipeline, on columns of numbers and of text; the other outputs are the same."""
    frame = pd.DataFrame({"a": GAPS[:, 0], "b": X[:, 1], "city": np.array(["Oslo", "Bern", "Rome"])[CLASS]})
    columns = ColumnTransformer([("n", StandardScaler(), ["a", "b"]), ("c", OrdinalEncoder(), ["city"])])
    last = xgb.XGBClassifier(n_estimators=9) if ask is _by_apply else lgb.LGBMClassifier(n_estimators=9, verbose=-1)
    pipeline = make_pipeline(columns, last).fit(frame, CLASS)
    model = mlcore.compile(pipeline, frame, leaf=True)
    assert model.methods == ["predict", "predict_proba", "decision_function", "leaf", "transform"]
    expected = np.asarray(ask(last, columns.transform(frame)))
    assert np.array_equal(model.leaf(frame), expected)
    assert model.parity is not None
    assert model.parity.methods["leaf"].exact
    without = mlcore.compile(pipeline, frame)
    for method in without.methods:
        assert np.asarray(model.call(method, frame)).tobytes() == np.asarray(without.call(method, frame)).tobytes()
    loaded = mlcore.Model.from_bytes(model.to_bytes())
    assert np.array_equal(loaded.leaf(frame), expected)
    assert list(loaded.row(frame.iloc[3].to_dict(), "leaf").values()) == expected[3].tolist()


def test_leaves_are_there_when_they_are_asked_for() -> None:
    model = mlcore.compile(SKLEARN["extra tree"][0].fit(X, TARGETS), X)
    assert "leaf" not in model.methods
    with pytest.raises(InputError, match="but found 'leaf'"):
        model.leaf(X)


@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        StandardScaler(),
        make_pipeline(StandardScaler(), LinearRegression()),
        ensemble.HistGradientBoostingRegressor(max_iter=3),
        ensemble.StackingRegressor([("t", tree.DecisionTreeRegressor())], tree.DecisionTreeRegressor(), cv=2),
        ensemble.VotingRegressor([("t", tree.DecisionTreeRegressor())]),
        xgb.XGBRegressor(booster="gblinear", n_estimators=2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_what_has_no_leaves_is_refused(estimator: Any) -> None:
    estimator.fit(X, VALUE)
    with pytest.raises(UnsupportedError, match="expected trees that tell the leaf of a row but found"):
        mlcore.compile(estimator, X, leaf=True)


def test_leaves_of_what_stands_for_a_model() -> None:
    frozen = FrozenEstimator(tree.DecisionTreeClassifier(max_depth=3).fit(X, CLASS))
    assert np.array_equal(mlcore.compile(frozen, X, leaf=True).leaf(X).ravel(), frozen.estimator.apply(X))
