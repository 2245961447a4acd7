"""Traps of baselines, votes, stacks, calibration and transformed targets."""

from __future__ import annotations

import warnings
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from agreement import same
from lightgbm import LGBMClassifier
from mlcore.errors import InputError
from scipy import sparse
from sklearn import dummy, ensemble, linear_model, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn_model_data import binary, classes, fitted, frame, numbers, signal, strings
from xgboost import XGBClassifier


def compiled(estimator: Any, X: Any) -> mlcore.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlcore.compile(estimator, sample=X)


def problems(estimator: Any, X: Any) -> list[str]:
    return [str(problem) for problem in mlcore.check(estimator, X)]


# -- baselines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["stratified", "uniform"])
def test_random_baselines_are_refused_by_name(strategy: str) -> None:
    X = numbers()
    (problem,) = problems(dummy.DummyClassifier(strategy=strategy).fit(X, strings(X)), X)
    assert f"strategy='{strategy}' draws labels at random (parameter strategy)" in problem


def test_sparse_targets_are_refused() -> None:
    X = numbers()
    estimator = dummy.DummyClassifier(strategy="prior").fit(X, sparse.csc_matrix(binary(X)[:, None]))
    (problem,) = problems(estimator, X)
    assert "sparse targets" in problem


def test_baseline_answers_rows_with_anything_in_them() -> None:
    X = numbers()
    estimator = dummy.DummyRegressor().fit(X, signal(X))
    rows = np.array([[np.nan, np.inf, -1e300, 0.0]] * 3)
    assert same(estimator.predict(rows), compiled(estimator, X).predict(rows))


@pytest.mark.parametrize("constant", [3, 3.5, np.float32(0.1), np.int8(4)])
def test_constant_keeps_its_dtype(constant: Any) -> None:
    X = numbers()
    estimator = dummy.DummyRegressor(strategy="constant", constant=constant).fit(X, signal(X))
    assert same(estimator.predict(X), compiled(estimator, X).predict(X))


# -- votes and stacks -------------------------------------------------------------------------------------------


def test_all_problems_of_nested_estimators_in_one_pass() -> None:
    X = numbers()
    members = [("a", KNeighborsClassifier()), ("b", tree.DecisionTreeClassifier(max_depth=2))]
    members += [("c", dummy.DummyClassifier(strategy="uniform"))]
    for voting in ("hard", "soft"):
        found = problems(ensemble.VotingClassifier(members, voting=voting).fit(X, binary(X)), X)
        assert [text.partition(":")[0] for text in found] == ["votingclassifier / a", "votingclassifier / c"]
    stack = ensemble.StackingClassifier(members, KNeighborsClassifier(), cv=2).fit(X, strings(X))
    paths = [text.partition(":")[0] for text in problems(stack, X)]
    assert paths == [f"stackingclassifier / {name}" for name in ("a", "c", "final_estimator")]
    calibrated = CalibratedClassifierCV(KNeighborsClassifier(), cv=2).fit(X, binary(X))
    assert len(problems(calibrated, X)) == 2
    target = TransformedTargetRegressor(make_pipeline(StandardScaler(), dummy.DummyRegressor())).fit(X, signal(X))
    target.regressor_.steps[0] = ("foreign", QuantileTransformer(n_quantiles=10).fit(X))
    assert [text.partition(":")[0] for text in problems(target, X)] == [
        "transformedtargetregressor / regressor / foreign"
    ]


def test_vote_of_a_frozen_estimator_with_its_own_labels_is_refused() -> None:
    X = numbers()
    frozen = FrozenEstimator(tree.DecisionTreeClassifier(max_depth=2).fit(X, classes(X)))
    vote = ensemble.VotingClassifier([("frozen", frozen), ("tree", tree.DecisionTreeClassifier())]).fit(X, classes(X))
    (problem,) = problems(vote, X)
    assert "frozen does not predict the encoded classes" in problem


def test_negative_weights() -> None:
    X = numbers()
    members = [(f"t{i}", tree.DecisionTreeClassifier(max_depth=i + 1)) for i in range(3)]
    vote = ensemble.VotingClassifier(members, weights=[2, -1, 1], voting="soft").fit(X, strings(X))
    model = compiled(vote, X)
    assert same(vote.predict_proba(X), model.predict_proba(X))
    vote.set_params(voting="hard")
    (problem,) = problems(vote, X)
    assert "negative weights" in problem


def test_ties_of_a_hard_vote_go_to_the_first_class() -> None:
    X = np.array([[0.0], [1.0], [2.0]] * 5)
    y = np.array(["a", "b", "c"] * 5)
    members = [("x", tree.DecisionTreeClassifier()), ("y", dummy.DummyClassifier(strategy="constant", constant=1))]
    vote = ensemble.VotingClassifier(members).fit(X, y)
    assert vote.predict(X[:3]).tolist() == ["a", "b", "b"]
    assert compiled(vote, X).predict(X[:3]).tolist() == ["a", "b", "b"]
    assert compiled(vote, X).decision_function(X[:3]).tolist() == [[1, 1, 0], [0, 2, 0], [0, 1, 1]]


def test_stack_of_boosters_on_a_data_frame() -> None:
    table = frame().drop(columns="flag")
    columns = ColumnTransformer(
        [("hot", OneHotEncoder(handle_unknown="ignore"), ["town"])], remainder="passthrough", sparse_threshold=0
    )
    members = [
        ("xgb", make_pipeline(columns, XGBClassifier(n_estimators=4, n_jobs=1))),
        ("lgb", make_pipeline(columns, LGBMClassifier(n_estimators=4, verbose=-1, num_threads=1))),
        ("hist", ensemble.HistGradientBoostingClassifier(max_iter=3, categorical_features=["town"])),
    ]
    final = tree.DecisionTreeClassifier(max_depth=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack = ensemble.StackingClassifier(members, final, cv=2).fit(table, strings(table))
        model = compiled(stack, table)
        assert (stack.predict(table) == model.predict(table)).all()
        assert np.allclose(stack.predict_proba(table), model.predict_proba(table), rtol=1e-12)


def test_passthrough_of_strings_is_refused() -> None:
    table = frame()
    hist = ensemble.HistGradientBoostingClassifier(max_iter=2, categorical_features=["town"])
    stack = ensemble.StackingClassifier([("hist", hist)], cv=2).fit(table, binary(table))
    stack.passthrough = True
    (problem,) = problems(stack, table)
    assert "expected a numeric column but found strings (column 'town')" in problem


def test_sparse_passthrough() -> None:
    table = frame()
    hot = make_pipeline(
        OneHotEncoder(),
        ensemble.StackingClassifier(
            [("tree", tree.DecisionTreeClassifier(max_depth=3))],
            tree.DecisionTreeClassifier(max_depth=4),
            cv=2,
            passthrough=True,
        ),
    ).fit(table[["town", "code"]], strings(table))
    X = table[["town", "code"]]
    assert same(hot.predict_proba(X), compiled(hot, X).predict_proba(X))


# -- calibration ------------------------------------------------------------------------------------------------


def test_label_of_one_sigmoid_is_cut_on_the_margin() -> None:
    X = numbers()
    for estimator in (
        ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0),
        ensemble.RandomForestClassifier(5, max_depth=3, random_state=0),
    ):
        calibrated = fitted(CalibratedClassifierCV(estimator, ensemble=False, cv=3), binary)
        model = compiled(calibrated, X)
        assert not any(not node["exact"] for node in _behind(model, "predict"))
        assert (calibrated.predict(X) == model.predict(X)).all()
        calibrator = calibrated.calibrated_classifiers_[0].calibrators[0]
        for slope in (calibrator.a_, -calibrator.a_, 1e-300, -1e-300, 0.0):
            calibrator.a_ = slope
            assert (calibrated.predict(X) == compiled(calibrated, X).predict(X)).all(), slope


def _behind(model: mlcore.Model, method: str) -> list[dict[str, Any]]:
    """Nodes that an output depends on."""
    nodes = model.core.nodes
    wanted = [output["value"] for output in model.core.outputs if output["method"] == method]
    seen: set[int] = set()
    while wanted:
        value = wanted.pop()
        if value not in seen:
            seen.add(value)
            wanted += nodes[value]["inputs"]
    return [nodes[value] for value in sorted(seen)]


def test_isotonic_beyond_the_ends_of_its_curve() -> None:
    X = numbers()
    estimator = fitted(CalibratedClassifierCV(LinearSVC(random_state=0), method="isotonic", ensemble=False), binary)
    rows = np.concatenate([X, 100 * X, -100 * X])
    margin = estimator.calibrated_classifiers_[0].estimator.decision_function(rows)
    calibrator = estimator.calibrated_classifiers_[0].calibrators[0]
    assert margin.min() < calibrator.X_thresholds_[0]
    assert margin.max() > calibrator.X_thresholds_[-1]
    assert np.allclose(estimator.predict_proba(rows), compiled(estimator, X).predict_proba(rows), rtol=0, atol=1e-9)


def test_isotonic_curve_of_one_point() -> None:
    X = numbers()
    model = tree.DecisionTreeClassifier(max_depth=3).fit(X, binary(X))
    estimator = fitted(CalibratedClassifierCV(FrozenEstimator(model), method="isotonic"), binary)
    calibrator = estimator.calibrated_classifiers_[0].calibrators[0]
    calibrator.X_thresholds_, calibrator.y_thresholds_ = np.array([0.5]), np.array([0.25])
    calibrator.X_min_ = calibrator.X_max_ = 0.5
    calibrator._build_f(calibrator.X_thresholds_, calibrator.y_thresholds_)
    assert (estimator.predict_proba(X)[:, 1] == 0.25).all()
    assert same(estimator.predict_proba(X), compiled(estimator, X).predict_proba(X))


def test_fold_that_misses_a_class() -> None:
    X = numbers()[:60]
    y = np.array([0, 1, 2] * 20)
    # the second fold trains on classes 1 and 2 only
    folds = [(np.arange(0, 45), np.arange(45, 60)), (np.flatnonzero(y != 0)[:30], np.arange(45, 60))]
    estimator = tree.DecisionTreeClassifier(max_depth=4, random_state=0)
    for method in ("isotonic", "sigmoid"):
        calibrated = CalibratedClassifierCV(estimator, method=method, cv=folds).fit(X, y)
        expected, found = calibrated.predict_proba(X), compiled(calibrated, X).predict_proba(X)
        if method == "isotonic":
            assert same(expected, found)
        assert np.allclose(expected, found, rtol=1e-14, atol=0)


def test_temperature_of_a_fold_that_misses_a_class_is_refused() -> None:
    X = numbers()
    calibrated = fitted(
        CalibratedClassifierCV(tree.DecisionTreeClassifier(max_depth=3), method="temperature", cv=2), binary
    )
    calibrated.classes_ = np.array([0, 1, 2])
    assert "has not seen every class" in problems(calibrated, X)[0]


# -- transformed targets ----------------------------------------------------------------------------------------


def _double(y: Any) -> Any:
    return y * 2


def _half(y: Any) -> Any:
    return y / 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"func": _double, "inverse_func": _half}, "the inverse function _half is not supported"),
        ({"transformer": QuantileTransformer(n_quantiles=10)}, "the inverse of QuantileTransformer is not supported"),
        ({"transformer": PowerTransformer()}, "the inverse of PowerTransformer is not supported"),
        (
            {"transformer": FunctionTransformer(np.log1p, np.expm1, inv_kw_args={"casting": "same_kind"})},
            "arguments of the inverse function",
        ),
    ],
)
def test_inverses_that_are_refused(options: dict[str, Any], text: str) -> None:
    X = numbers()
    model = TransformedTargetRegressor(tree.DecisionTreeRegressor(max_depth=3), check_inverse=False, **options)
    (problem,) = problems(model.fit(X, np.abs(signal(X)) + 1), X)
    assert text in problem


def test_inverse_refuses_predictions_that_are_not_finite() -> None:
    X = np.array([[0.0], [1.0]] * 5)
    model = TransformedTargetRegressor(linear_model.LinearRegression(), func=np.log, inverse_func=np.exp)
    model.fit(X, np.exp(X[:, 0]))
    model.regressor_.coef_ *= 10
    found = compiled(model, X)
    # exp may overflow, what it is given may not
    with np.errstate(over="ignore"):
        assert model.predict([[1000.0]]).tolist() == found.predict(np.array([[1000.0]])).tolist() == [np.inf]
    with pytest.raises(ValueError, match="infinity"), np.errstate(over="ignore"):
        model.predict([[1e308]])
    with pytest.raises(InputError):
        found.predict(np.array([[1e308]]))


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_shape_follows_the_target(shape: tuple[int, ...]) -> None:
    X = pd.DataFrame(numbers(), columns=list("abcd"))
    model = TransformedTargetRegressor(tree.DecisionTreeRegressor(max_depth=3), transformer=StandardScaler())
    model.fit(X, signal(X).reshape(shape))
    assert same(model.predict(X), compiled(model, X).predict(X))


def test_margin_is_the_regressors_own() -> None:
    X = numbers()
    model = TransformedTargetRegressor(
        ensemble.GradientBoostingRegressor(n_estimators=4), func=np.log, inverse_func=np.exp
    ).fit(X, np.exp(signal(X)))
    assert same(model.regressor_.predict(X), compiled(model, X).decision_function(X))


# -- FrozenEstimator --------------------------------------------------------------------------------------------


def test_frozen_transforms_in_a_pipeline() -> None:
    X = numbers()
    frozen = FrozenEstimator(StandardScaler().fit(X))
    last = make_pipeline(StandardScaler(), frozen).fit(X)
    assert same(last.transform(X), compiled(last, X).transform(X))
    first = make_pipeline(frozen, tree.DecisionTreeRegressor(max_depth=4)).fit(X, signal(X))
    assert same(first.predict(X), compiled(first, X).predict(X))
    assert same(frozen.transform(X), compiled(frozen, X).transform(X))
