"""Traps of scikit-learn's trees, boosted trees and isolation forests."""

from __future__ import annotations

from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from agreement import same
from mlcore.errors import InputError, UnsupportedError
from sklearn import ensemble, tree
from sklearn._loss.loss import HalfTweedieLoss, HalfTweedieLossIdentity
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn_model_data import binary, classes, frame, numbers, signal, strings


def assert_same(estimator: Any, X: Any, *methods: str) -> mlcore.Model:
    model = mlcore.compile(estimator, sample=X)
    for method in methods or ("predict",):
        assert same(np.asarray(getattr(estimator, method)(X)), np.asarray(model.call(method, X))), method
    return model


# -- trees ------------------------------------------------------------------------------------------------------


def test_float32_overflow_is_refused_and_the_largest_float32_is_not() -> None:
    estimator = tree.DecisionTreeRegressor(max_depth=4).fit(numbers(), signal(numbers()))
    model = mlcore.compile(estimator)
    limit = float(np.finfo(np.float32).max)
    for value in (1e39, -1e39, np.inf, np.nextafter(limit, np.inf) + 2.0**103):
        X = np.array([[0.0, value, 0.0, 0.0]])
        with pytest.raises(ValueError, match="infinity or a value too large"), np.errstate(over="ignore"):
            estimator.predict(X)
        with pytest.raises(InputError):
            model.predict(X)
    for value in (limit, np.nextafter(limit, np.inf), 1e-46, -1e-320):
        X = np.array([[0.0, value, 0.0, 0.0]])
        assert same(estimator.predict(X), model.predict(X))


def test_threshold_at_infinity_parts_missing_from_present() -> None:
    X = np.array([[np.nan]] * 10 + [[float(i)] for i in range(10)])
    y = np.array([1.0] * 10 + [0.0] * 10)
    estimator = tree.DecisionTreeRegressor(max_depth=1).fit(X, y)
    assert np.isinf(estimator.tree_.threshold[0])
    assert_same(estimator, np.array([[np.nan], [0.0], [3e38], [-3e38]]))


def test_missing_value_at_predict_time_only() -> None:
    X = numbers()
    estimator = ensemble.RandomForestClassifier(9, max_depth=4, random_state=0).fit(X, binary(X))
    holes = X.copy()
    holes[::3, 0] = np.nan
    holes[::7, 2] = np.nan
    assert_same(estimator, holes, "predict", "predict_proba")


def test_negative_zero_leaf_keeps_its_sign() -> None:
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    estimator = tree.DecisionTreeRegressor(criterion="absolute_error").fit(X, [-0.0, -0.0, 1.0, 1.0])
    expected = estimator.predict(X)
    assert np.signbit(expected[:2]).all()
    assert same(expected, mlcore.compile(estimator).predict(X))


def test_integers_are_cast_to_float32_once() -> None:
    # halfway between two float32 numbers as float64, above halfway as the integer that it is
    value = 2**60 + 2**36 + 1
    table = np.array([[value], [2**60], [2**60 + 2**37], [5]], dtype=np.int64)
    estimator = tree.DecisionTreeRegressor().fit(table, np.arange(4.0))
    assert np.int64(value).astype(np.float32) != np.float32(float(value))
    assert_same(estimator, table)
    assert_same(estimator, np.array([[value - 2], [value], [value + 2]], dtype=np.int64))


def test_frame_of_mixed_numbers() -> None:
    table = pd.DataFrame(
        {
            "small": np.arange(60, dtype=np.int8),
            "flag": np.arange(60) % 3 == 0,
            "single": np.linspace(-1, 1, 60, dtype=np.float32),
            "double": np.linspace(-1, 1, 60)[::-1],
        }
    )
    y = np.sin(np.arange(60.0))
    assert_same(tree.DecisionTreeRegressor(max_depth=6).fit(table, y), table)
    assert_same(ensemble.HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=3).fit(table, y), table)


@pytest.mark.parametrize(
    "estimator",
    [
        tree.DecisionTreeClassifier(max_depth=5),
        ensemble.RandomForestClassifier(7, random_state=0),
        ensemble.GradientBoostingClassifier(n_estimators=6),
        ensemble.GradientBoostingClassifier(n_estimators=3, init=tree.DecisionTreeClassifier(max_depth=2)),
        ensemble.ExtraTreesClassifier(7, random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_sparse_features_are_zeros(estimator: Any) -> None:
    table = frame()
    columns = ColumnTransformer([("hot", OneHotEncoder(sparse_output=True), ["town", "code"])], sparse_threshold=1.0)
    pipeline = make_pipeline(columns, estimator).fit(table, binary(table))
    assert_same(pipeline, table, "predict")
    model = mlcore.compile(pipeline, sample=table)
    proba = pipeline.predict_proba(table)
    assert np.allclose(proba, model.predict_proba(table), rtol=1e-14, atol=0)


def test_wrong_width_is_refused() -> None:
    X = numbers()
    estimator = tree.DecisionTreeClassifier(max_depth=3).fit(X, binary(X))
    keep = ColumnTransformer([("keep", "passthrough", [0, 1, 2])]).fit(X)
    with pytest.raises(UnsupportedError, match="fitted on 4 columns but is given 3"):
        mlcore.compile(make_pipeline(keep, estimator), sample=X)


def test_labels_that_no_file_can_hold_are_refused() -> None:
    X = numbers()
    estimator = tree.DecisionTreeClassifier(max_depth=2).fit(X, binary(X))
    estimator.classes_ = np.array([True, "yes"], dtype=object)
    with pytest.raises(UnsupportedError, match="class labels of dtype object that hold bool, str"):
        mlcore.compile(estimator, sample=X)
    estimator.classes_ = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")
    with pytest.raises(UnsupportedError, match=r"class labels of dtype datetime64\[D\]"):
        mlcore.compile(estimator, sample=X)


@pytest.mark.parametrize("count", [2, 3])
def test_threads_of_the_original_do_not_matter(count: int) -> None:
    X = numbers()
    estimator = ensemble.RandomForestRegressor(30, n_jobs=count, random_state=0).fit(X, signal(X))
    alone = ensemble.RandomForestRegressor(30, n_jobs=1, random_state=0).fit(X, signal(X))
    assert same(alone.predict(X), mlcore.compile(estimator, sample=X).predict(X))


# -- boosting ---------------------------------------------------------------------------------------------------


def test_binary_labels_are_cut_on_the_margin_with_each_library_rule() -> None:
    X = np.array([[0.0], [1.0]] * 10)
    y = np.array([0, 1] * 10)
    # a margin of exactly 0: GradientBoosting says 1 (>= 0), HistGradientBoosting says 0 (> 0)
    gradient = ensemble.GradientBoostingClassifier(n_estimators=1, init="zero", max_depth=1).fit(X, y)
    for member in gradient.estimators_.ravel():
        member.tree_.value[:] = 0.0
    assert gradient.predict(X).tolist() == [1] * 20
    assert_same(gradient, X, "predict", "decision_function", "predict_proba")
    hist = ensemble.HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=1).fit(X, y)
    hist._baseline_prediction[:] = 0.0
    for stage in hist._predictors:
        stage[0].nodes["value"] = 0.0
    assert hist.predict(X).tolist() == [0] * 20
    assert_same(hist, X, "predict", "decision_function", "predict_proba")


def test_labels_agree_with_probabilities_that_round_to_a_half() -> None:
    X = np.array([[0.0], [1.0]] * 10)
    hist = ensemble.HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=1).fit(X, np.array([0, 1] * 10))
    hist._baseline_prediction[:] = 5e-324
    for stage in hist._predictors:
        stage[0].nodes["value"] = 0.0
    assert hist.predict(X).tolist() == [1] * 20
    assert_same(hist, X, "predict", "predict_proba")


@pytest.mark.parametrize("loss", [HalfTweedieLoss(power=1.4), HalfTweedieLossIdentity(power=0)])
def test_loss_objects(loss: Any) -> None:
    X = numbers()
    y = np.exp(signal(X) / 3)
    estimator = ensemble.HistGradientBoostingRegressor(loss=loss, max_iter=5).fit(X, y)
    model = mlcore.compile(estimator, sample=X)
    assert same(estimator._raw_predict(X).ravel(), model.decision_function(X))
    assert same(estimator.predict(X), model.predict(X), ulps=4)


def test_foreign_link_is_refused() -> None:
    X = numbers()
    estimator = ensemble.HistGradientBoostingRegressor(max_iter=2).fit(X, signal(X))

    class Link:
        """Not one of scikit-learn's."""

    estimator._loss.link = Link()
    with pytest.raises(UnsupportedError, match=r"Link is not supported \(parameter loss\)"):
        mlcore.compile(estimator, sample=X)


def test_unsupported_initial_estimator_is_named_with_its_path() -> None:
    from sklearn.neighbors import KNeighborsRegressor

    X = numbers()
    estimator = ensemble.GradientBoostingRegressor(n_estimators=2, init=KNeighborsRegressor()).fit(X, signal(X))
    (problem,) = mlcore.check(estimator, X)
    assert problem.path == "gradientboostingregressor / init"
    assert "KNeighborsRegressor is not supported" in problem.what


@pytest.mark.parametrize("name", ["HistGradientBoostingClassifier", "HistGradientBoostingRegressor"])
@pytest.mark.parametrize("categories", ["from_dtype", ["town", "code"]])
def test_unknown_and_missing_categories(name: str, categories: Any) -> None:
    table = frame(missing=True)
    if categories == "from_dtype":
        table["town"] = table["town"].astype("category")
    target = binary(table) if name.endswith("Classifier") else signal(table)
    estimator = getattr(ensemble, name)(max_iter=10, min_samples_leaf=3, categorical_features=categories)
    estimator.fit(table, target)
    X = table.head(12).copy()
    X["town"] = pd.Series(
        ["Ede", "Nowhere", None, np.nan, "", "Żary", "Ulm ", "ede", "Oslo", "Bern", "Ulm", "Nowhere"], dtype=object
    ).astype("category" if categories == "from_dtype" else object)
    if categories != "from_dtype":
        X["code"] = [0, 1, 2, 3, 4, 5, 6, 7, -1, 1000, 300, 256]
    assert_same(estimator, X, "predict")
    margin = estimator._raw_predict(X).ravel()
    assert same(margin, mlcore.compile(estimator, sample=X).decision_function(X))


def test_numeric_categories_beside_codes() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.choice([-3.5, -0.0, 2.0, 7.25, 1e9], 200), rng.normal(size=200)])
    y = (X[:, 0] > 0) * 2.0 + X[:, 1]
    estimator = ensemble.HistGradientBoostingRegressor(max_iter=8, categorical_features=[0], min_samples_leaf=3)
    estimator.fit(X, y)
    values = [-3.5, 0.0, -0.0, 2.0, np.nextafter(2.0, 3.0), 7.25, 1e9, 1e9 + 1, np.nan, 1e300, -1e300, 255.0]
    assert_same(estimator, np.column_stack([values, np.linspace(-2, 2, len(values))]))


def test_many_categories_use_every_word_of_the_bitset() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 255, (3000, 1)).astype(np.float64)
    y = rng.normal(size=255)[X[:, 0].astype(int)]
    estimator = ensemble.HistGradientBoostingRegressor(max_iter=5, categorical_features=[0], min_samples_leaf=3)
    estimator.fit(X, y)
    assert_same(estimator, np.arange(-2.0, 260.0)[:, None])


# -- IsolationForest --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contamination", [0.05, 0.1, 0.25, 0.5])
def test_isolation_labels_where_the_offset_is_a_score_of_the_training_set(contamination: float) -> None:
    X = np.round(numbers()[:101], 1)
    estimator = ensemble.IsolationForest(n_estimators=15, contamination=contamination, random_state=0).fit(X)
    # percentiles of 101 scores fall on scores, so some decisions are exactly 0
    assert (estimator.decision_function(X) == 0).any()
    assert_same(estimator, X, "predict")


def test_isolation_scores_are_within_four_ulp() -> None:
    # trained on infinities, random splits get infinite and NaN thresholds
    X = np.concatenate([numbers(missing=True)[:40], [[np.inf, -np.inf, 1e39, np.nan], [-np.inf, 1.0, -1e39, np.inf]]])
    with np.errstate(all="ignore"):
        estimator = ensemble.IsolationForest(n_estimators=20, random_state=0).fit(X)
    assert any(np.isnan(member.tree_.threshold).any() for member in estimator.estimators_)
    model = mlcore.compile(estimator, sample=X)
    with np.errstate(over="ignore"):
        assert same(estimator.score_samples(X), model.call("score_samples", X), ulps=4)


@pytest.mark.parametrize("target", [strings, classes, binary])
def test_labels_keep_their_dtype(target: Any) -> None:
    X = numbers()
    labels = target(X)
    for dtype in (labels.dtype, np.dtype(np.int8 if labels.dtype.kind == "i" else object)):
        estimator = tree.DecisionTreeClassifier(max_depth=3).fit(X, labels.astype(dtype))
        found = mlcore.compile(estimator, sample=X).predict(X)
        assert found.dtype == estimator.predict(X).dtype
        assert found.tolist() == estimator.predict(X).tolist()
