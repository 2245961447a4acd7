"""Fitted scikit-learn trees, ensembles and baselines of every class and option that is supported; tiny and seeded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor
from sklearn import dummy, ensemble, linear_model, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn_model_data import (
    ROWS,
    Array,
    Maker,
    binary,
    classes,
    each,
    fitted,
    flags,
    frame,
    numbers,
    positive,
    several_labels,
    several_strings,
    signal,
    strings,
    targets,
)
from xgboost import XGBClassifier, XGBRegressor

# -- trees and boosting -----------------------------------------------------------------------------------------


def trees(cls: Any, classifies: bool) -> list[Maker]:
    """Options shared by trees and forests."""
    small = {"max_depth": 5, "random_state": 0}
    if "n_estimators" in cls().get_params():
        small["n_estimators"] = 7
    X = numbers(missing=True)
    makers: list[Maker] = [
        lambda: fitted(cls(**small, min_samples_leaf=3), binary if classifies else signal),
        lambda: fitted(cls(**small), strings if classifies else targets),
        lambda: fitted(cls(**small, max_leaf_nodes=6), classes if classifies else signal),
        lambda: fitted(cls(**small, max_features=2, ccp_alpha=0.005), binary if classifies else signal, X),
        lambda: fitted(cls(**small, monotonic_cst=[1, 0, 0, -1]), binary if classifies else signal),
        lambda: fitted(cls(**small), binary if classifies else signal, numbers(dtype=np.float32)),
    ]
    if classifies:
        makers += [
            lambda: fitted(cls(**small), several_labels),
            lambda: fitted(cls(**small), several_strings),
            lambda: fitted(cls(**small, criterion="log_loss", class_weight="balanced"), classes),
            lambda: fitted(cls(**small), lambda X: binary(X).astype(bool)),
            lambda: fitted(cls(**small), lambda X: strings(X).astype(object)),
            lambda: fitted(cls(**small), lambda X: np.zeros(len(X), dtype=np.int64)),
        ]
    else:
        makers += [
            lambda: fitted(cls(**small, criterion="absolute_error"), signal),
            lambda: fitted(cls(**small, criterion="poisson"), positive),
            lambda: fitted(cls(**{**small, "max_depth": 1}), lambda X: np.full(len(X), -0.0)),
        ]
    return makers


def forests(cls: Any, classifies: bool) -> list[Maker]:
    return [
        *trees(cls, classifies),
        lambda: fitted(cls(12, oob_score=True, bootstrap=True, random_state=1), classes if classifies else signal),
        lambda: fitted(cls(9, max_samples=0.5, bootstrap=True, n_jobs=2), binary if classifies else targets),
    ]


_GB = {"n_estimators": 8, "max_depth": 3, "random_state": 0}
GRADIENT_BOOSTING_CLASSIFIERS: list[Maker] = [
    lambda: fitted(ensemble.GradientBoostingClassifier(**_GB), binary),
    lambda: fitted(ensemble.GradientBoostingClassifier(**_GB), strings),
    lambda: fitted(ensemble.GradientBoostingClassifier(**_GB, loss="exponential"), binary),
    lambda: fitted(ensemble.GradientBoostingClassifier(**_GB, init="zero"), binary),
    lambda: fitted(ensemble.GradientBoostingClassifier(**_GB, init="zero", subsample=0.6), classes),
    lambda: fitted(ensemble.GradientBoostingClassifier(**_GB, n_iter_no_change=2, max_features=2), binary),
    lambda: fitted(
        ensemble.GradientBoostingClassifier(
            **_GB, init=ensemble.RandomForestClassifier(5, max_depth=3, random_state=0)
        ),
        binary,
    ),
    lambda: fitted(
        ensemble.GradientBoostingClassifier(**_GB, loss="exponential", init=linear_model.LogisticRegression()), binary
    ),
    lambda: fitted(ensemble.GradientBoostingClassifier(**_GB, init=linear_model.LogisticRegression()), strings),
    lambda: fitted(
        ensemble.GradientBoostingClassifier(
            n_estimators=6, max_leaf_nodes=5, ccp_alpha=0.001, init=dummy.DummyClassifier(strategy="most_frequent")
        ),
        classes,
    ),
]
GRADIENT_BOOSTING_REGRESSORS: list[Maker] = [
    *each(
        ensemble.GradientBoostingRegressor,
        signal,
        [
            {**_GB, "loss": "squared_error"},
            {**_GB, "loss": "absolute_error", "learning_rate": 0.37},
            {**_GB, "loss": "huber", "alpha": 0.8},
            {**_GB, "loss": "quantile", "alpha": 0.3},
            {**_GB, "init": "zero", "max_leaf_nodes": 4},
            {**_GB, "n_iter_no_change": 1, "tol": 0.1, "subsample": 0.7},
            {**_GB, "init": tree.DecisionTreeRegressor(max_depth=2)},
            {**_GB, "init": linear_model.LinearRegression()},
            {**_GB, "init": dummy.DummyRegressor(strategy="constant", constant=2)},
        ],
    ),
    lambda: fitted(ensemble.GradientBoostingRegressor(**_GB), signal, numbers(dtype=np.float32)),
]


def hist_frame(cls: Any, y: Callable[[Any], Any], **options: Any) -> Any:
    """A data frame with categories of three kinds, found by dtype."""
    table = frame(missing=True)
    table["town"] = table["town"].astype("category")
    table["code"] = table["code"].astype("category")
    return cls(**_HIST, **options).fit(table, y(table.assign(code=table["code"].astype(int))))


def hist_columns(cls: Any, y: Callable[[Any], Any], categorical: Any, **options: Any) -> Any:
    """The same with plain columns, and the categorical ones named, indexed or masked."""
    table = frame(missing=True)
    return cls(**_HIST, categorical_features=categorical, **options).fit(table, y(table))


_HIST = {"max_iter": 8, "max_leaf_nodes": 8, "min_samples_leaf": 5, "random_state": 0, "learning_rate": 0.3}


def hist(cls: Any, classifies: bool) -> list[Maker]:
    y = binary if classifies else signal
    return [
        lambda: fitted(cls(**_HIST), y),
        lambda: fitted(cls(**_HIST), y, numbers(missing=True)),
        lambda: fitted(cls(**_HIST), y, numbers(dtype=np.float32)),
        lambda: fitted(cls(**_HIST, early_stopping=True, n_iter_no_change=1, tol=0.01), y),
        lambda: fitted(cls(**_HIST, monotonic_cst=[1, 0, 0, -1], interaction_cst="no_interactions"), y),
        lambda: fitted(cls(**_HIST, categorical_features=[2], l2_regularization=1.0), y, numbers(missing=True)),
        lambda: fitted(cls(**_HIST, categorical_features=[True] * 3 + [False], max_bins=60), y, _codes()),
        lambda: fitted(cls(**_HIST, categorical_features=[0, 1, 2, 3]), y, np.abs(_codes()[:, [2, 2, 2, 2]])),
        lambda: hist_frame(cls, y),
        lambda: hist_columns(cls, y, ["town", "code"]),
        lambda: hist_columns(cls, y, [2], early_stopping=True),
    ]


def _codes() -> Array:
    X = numbers()
    X[:, 0] = np.round(X[:, 0] * 4)
    X[:, 1] = np.round(X[:, 1] * 2) / 2
    return X


HIST_CLASSIFIERS: list[Maker] = [
    *hist(ensemble.HistGradientBoostingClassifier, True),
    lambda: fitted(ensemble.HistGradientBoostingClassifier(**_HIST), strings),
    lambda: fitted(ensemble.HistGradientBoostingClassifier(**_HIST, class_weight="balanced"), classes),
    lambda: hist_frame(ensemble.HistGradientBoostingClassifier, strings),
    lambda: fitted(ensemble.HistGradientBoostingClassifier(**_HIST), lambda X: np.full(len(X), 7)),
    lambda: fitted(ensemble.HistGradientBoostingClassifier(**_HIST), binary, sample_weight=np.arange(1.0, ROWS + 1)),
]
HIST_REGRESSORS: list[Maker] = [
    *hist(ensemble.HistGradientBoostingRegressor, False),
    lambda: fitted(ensemble.HistGradientBoostingRegressor(**_HIST, loss="absolute_error"), signal),
    lambda: fitted(ensemble.HistGradientBoostingRegressor(**_HIST, loss="quantile", quantile=0.2), signal),
    lambda: fitted(ensemble.HistGradientBoostingRegressor(**_HIST, loss="poisson"), positive),
    lambda: fitted(ensemble.HistGradientBoostingRegressor(**_HIST, loss="gamma"), positive),
]
ISOLATION_FORESTS: list[Maker] = [
    lambda: ensemble.IsolationForest(n_estimators=9, random_state=0).fit(numbers()),
    lambda: ensemble.IsolationForest(n_estimators=9, contamination=0.2, random_state=0).fit(numbers()),
    lambda: ensemble.IsolationForest(n_estimators=9, max_features=2, max_samples=30, random_state=0).fit(numbers()),
    lambda: ensemble.IsolationForest(n_estimators=5, bootstrap=True, random_state=0).fit(numbers(missing=True)),
    lambda: ensemble.IsolationForest(n_estimators=3, max_samples=1, random_state=0).fit(numbers()),
    lambda: ensemble.IsolationForest(n_estimators=3, max_samples=2, random_state=0).fit(numbers()),
]


# -- baselines, votes, stacks, calibration ----------------------------------------------------------------------

DUMMY_CLASSIFIERS: list[Maker] = [
    *each(dummy.DummyClassifier, strings, [{"strategy": "prior"}, {"strategy": "most_frequent"}]),
    lambda: fitted(dummy.DummyClassifier(strategy="constant", constant="yes"), strings),
    lambda: fitted(dummy.DummyClassifier(strategy="constant", constant=15), classes),
    lambda: fitted(dummy.DummyClassifier(), several_labels),
    lambda: fitted(dummy.DummyClassifier(strategy="most_frequent"), several_strings),
    lambda: fitted(dummy.DummyClassifier(strategy="constant", constant=[15, 1]), several_labels),
    lambda: fitted(dummy.DummyClassifier(strategy="uniform"), lambda X: np.full(len(X), 3)),
    lambda: fitted(dummy.DummyClassifier(), lambda X: strings(X).astype(object)),
]
DUMMY_REGRESSORS: list[Maker] = [
    *each(
        dummy.DummyRegressor,
        signal,
        [
            {},
            {"strategy": "median"},
            {"strategy": "quantile", "quantile": 0.3},
            {"strategy": "constant", "constant": 4},
        ],
    ),
    lambda: fitted(dummy.DummyRegressor(), targets),
    lambda: fitted(dummy.DummyRegressor(strategy="constant", constant=[1.0, 2.0, -0.0]), targets),
    lambda: fitted(dummy.DummyRegressor(), lambda X: signal(X).astype(np.float32)),
]


def _three_classifiers() -> list[tuple[str, Any]]:
    return [
        ("forest", ensemble.RandomForestClassifier(5, max_depth=4, random_state=0)),
        ("out", "drop"),
        ("hist", ensemble.HistGradientBoostingClassifier(max_iter=5)),
        ("tree", tree.DecisionTreeClassifier(max_depth=3)),
    ]


def _three_regressors() -> list[tuple[str, Any]]:
    return [
        ("forest", ensemble.RandomForestRegressor(5, max_depth=4, random_state=0)),
        ("boost", ensemble.GradientBoostingRegressor(n_estimators=5)),
        ("out", "drop"),
        ("scaled", make_pipeline(StandardScaler(), tree.DecisionTreeRegressor(max_depth=3))),
    ]


def _xgb() -> Any:
    return XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1)


VOTING_CLASSIFIERS: list[Maker] = [
    *[
        lambda y=y, options=options: fitted(ensemble.VotingClassifier(_three_classifiers(), **options), y)
        for y in (strings, binary)
        for options in (
            {"voting": "hard"},
            {"voting": "soft"},
            {"voting": "hard", "weights": [1.5, 9, 1, 1]},
            {"voting": "soft", "weights": [3, 1, 2, 1], "flatten_transform": False},
        )
    ],
    lambda: fitted(ensemble.VotingClassifier([("a", _xgb()), ("b", _xgb())], voting="soft"), binary),
    lambda: fitted(ensemble.VotingClassifier([("a", _xgb()), ("b", _xgb())], voting="soft", weights=[1, 3]), binary),
    lambda: fitted(ensemble.VotingClassifier([*_three_classifiers(), ("a", _xgb())], voting="soft"), strings),
    lambda: fitted(ensemble.VotingClassifier([*_three_classifiers(), ("a", _xgb())]), classes),
    lambda: fitted(
        ensemble.VotingClassifier(
            [(f"t{i}", tree.DecisionTreeClassifier(max_depth=2 + i % 4, random_state=i)) for i in range(11)],
            voting="soft",
        ),
        classes,
    ),
]
VOTING_REGRESSORS: list[Maker] = [
    lambda: fitted(ensemble.VotingRegressor(_three_regressors()), signal),
    lambda: fitted(ensemble.VotingRegressor(_three_regressors(), weights=[0.2, 1, 5, 1.7]), signal),
    lambda: fitted(
        ensemble.VotingRegressor(
            [(name, XGBRegressor(n_estimators=4, max_depth=d)) for name, d in (("a", 2), ("b", 3))]
        ),
        signal,
    ),
    lambda: fitted(
        ensemble.VotingRegressor(
            [("a", XGBRegressor(n_estimators=4)), ("b", LGBMRegressor(n_estimators=4, verbose=-1))]
        ),
        signal,
    ),
]


def _prefit(members: list[tuple[str, Any]], y: Callable[[Any], Any]) -> list[tuple[str, Any]]:
    return [(name, member if isinstance(member, str) else fitted(member, y)) for name, member in members]


_FOREST = ensemble.RandomForestClassifier(4, max_depth=3, random_state=0)
STACKING_CLASSIFIERS: list[Maker] = [
    *[
        lambda y=y, options=options: fitted(  # type: ignore[misc]
            ensemble.StackingClassifier(_three_classifiers(), _FOREST, cv=3, **options), y
        )
        for y in (strings, binary)
        for options in (
            {},
            {"passthrough": True},
            {"stack_method": "predict"},
            {"stack_method": "predict_proba", "passthrough": True},
        )
    ],
    lambda: fitted(ensemble.StackingClassifier(_three_classifiers(), cv=3), strings),
    lambda: fitted(ensemble.StackingClassifier(_three_classifiers(), cv=3, passthrough=True), binary),
    lambda: fitted(ensemble.StackingClassifier(_prefit(_three_classifiers(), classes), _FOREST, cv="prefit"), classes),
    lambda: fitted(
        ensemble.StackingClassifier(
            _prefit(_three_classifiers(), classes), _FOREST, cv="prefit", stack_method="predict"
        ),
        classes,
    ),
    lambda: fitted(ensemble.StackingClassifier([("a", _xgb())], _xgb(), cv=3, passthrough=True), strings),
    lambda: fitted(
        ensemble.StackingClassifier([("a", _xgb())], _xgb(), cv=3, passthrough=True),
        binary,
        numbers(dtype=np.float32),
    ),
    lambda: fitted(
        ensemble.StackingClassifier([("a", _FOREST), ("b", tree.DecisionTreeClassifier(max_depth=3))], _FOREST, cv=3),
        flags,
    ),
]
STACKING_REGRESSORS: list[Maker] = [
    lambda: fitted(ensemble.StackingRegressor(_three_regressors(), cv=3), signal),
    lambda: fitted(
        ensemble.StackingRegressor(
            _three_regressors(), tree.DecisionTreeRegressor(max_depth=4), cv=3, passthrough=True
        ),
        signal,
    ),
    lambda: fitted(
        ensemble.StackingRegressor(
            _prefit(_three_regressors(), signal), ensemble.GradientBoostingRegressor(n_estimators=4), cv="prefit"
        ),
        signal,
    ),
    lambda: fitted(
        ensemble.StackingRegressor(
            [("poisson", ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=4))],
            ensemble.HistGradientBoostingRegressor(loss="gamma", max_iter=4),
            cv=3,
        ),
        positive,
    ),
]


def _calibrated(method: str, ensemble_: bool, y: Callable[[Any], Any], estimator: Any) -> Maker:
    return lambda: fitted(CalibratedClassifierCV(estimator, method=method, ensemble=ensemble_, cv=3), y)


CALIBRATED: list[Maker] = [
    *[
        _calibrated(method, ensemble_, y, estimator)
        for method in ("sigmoid", "isotonic", "temperature")
        for ensemble_ in (True, False)
        for y in (strings, binary)
        for estimator in (
            ensemble.HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=6),
            ensemble.RandomForestClassifier(4, max_depth=3, random_state=0),
        )
    ],
    *[
        _calibrated(method, ensemble_, y, _xgb())
        for method in ("sigmoid", "isotonic", "temperature")
        for ensemble_ in (True, False)
        for y in (lambda X: classes(X) // 10, binary)
    ],
    lambda: fitted(CalibratedClassifierCV(cv=3), binary),
    lambda: fitted(CalibratedClassifierCV(LinearSVC(random_state=0), method="isotonic", cv=3), classes),
    lambda: fitted(
        CalibratedClassifierCV(tree.DecisionTreeClassifier(max_depth=4), method="isotonic", cv=2, ensemble=False),
        lambda X: classes(X, 10),
    ),
    lambda: fitted(
        CalibratedClassifierCV(FrozenEstimator(fitted(tree.DecisionTreeClassifier(max_depth=4), binary))), binary
    ),
    lambda: fitted(
        CalibratedClassifierCV(
            FrozenEstimator(fitted(ensemble.GradientBoostingClassifier(n_estimators=4), strings)), method="isotonic"
        ),
        strings,
    ),
    lambda: fitted(
        CalibratedClassifierCV(make_pipeline(MinMaxScaler(), tree.DecisionTreeClassifier(max_depth=3)), cv=3), binary
    ),
]
FROZEN: list[Maker] = [
    lambda: FrozenEstimator(fitted(tree.DecisionTreeClassifier(max_depth=4), strings)),
    lambda: FrozenEstimator(fitted(make_pipeline(StandardScaler(), tree.DecisionTreeRegressor(max_depth=3)), signal)),
    lambda: FrozenEstimator(fitted(linear_model.LinearRegression(), signal)),
]

_BOOST = ensemble.GradientBoostingRegressor(n_estimators=5, random_state=0)


def _scaled_columns() -> Any:
    table = pd.DataFrame(numbers(), columns=list("abcd"))
    columns = ColumnTransformer([("scaled", StandardScaler(), ["a", "b"])], remainder="passthrough")
    model = TransformedTargetRegressor(make_pipeline(columns, _BOOST), transformer=RobustScaler())
    return fitted(model, signal, table)


TRANSFORMED: list[Maker] = [
    *[
        lambda transformer=transformer: fitted(
            TransformedTargetRegressor(_BOOST, transformer=transformer, check_inverse=False), signal
        )
        for transformer in (
            StandardScaler(),
            StandardScaler(with_mean=False),
            MinMaxScaler((-3, 7)),
            MaxAbsScaler(),
            RobustScaler(),
            RobustScaler(with_scaling=False),
            make_pipeline(StandardScaler(), MinMaxScaler()),
            FunctionTransformer(np.square, np.sqrt, validate=False),
        )
    ],
    lambda: fitted(TransformedTargetRegressor(_BOOST, func=np.log, inverse_func=np.exp), positive),
    lambda: fitted(TransformedTargetRegressor(_BOOST, func=np.log1p, inverse_func=np.expm1), positive),
    lambda: fitted(TransformedTargetRegressor(_BOOST, func=np.sqrt, inverse_func=np.square), positive),
    lambda: fitted(TransformedTargetRegressor(_BOOST), signal),
    lambda: fitted(TransformedTargetRegressor(), targets),
    lambda: fitted(TransformedTargetRegressor(transformer=StandardScaler()), targets),
    lambda: fitted(
        TransformedTargetRegressor(tree.DecisionTreeRegressor(max_depth=4), transformer=MinMaxScaler()), targets
    ),
    lambda: fitted(TransformedTargetRegressor(_BOOST, transformer=StandardScaler()), lambda X: signal(X)[:, None]),
    *[
        lambda transformer=transformer: fitted(
            TransformedTargetRegressor(XGBRegressor(n_estimators=5, n_jobs=1), transformer=transformer), positive
        )
        for transformer in (StandardScaler(), MinMaxScaler(), RobustScaler(), MaxAbsScaler())
    ],
    lambda: fitted(
        TransformedTargetRegressor(XGBRegressor(n_estimators=5), func=np.log1p, inverse_func=np.expm1), positive
    ),
    _scaled_columns,
]

FITTED_EXAMPLES: dict[str, list[Maker]] = {
    "sklearn.tree.DecisionTreeClassifier": [
        *trees(tree.DecisionTreeClassifier, True),
        lambda: fitted(tree.DecisionTreeClassifier(splitter="random", max_depth=4, random_state=0), strings),
    ],
    "sklearn.tree.DecisionTreeRegressor": trees(tree.DecisionTreeRegressor, False),
    "sklearn.tree.ExtraTreeClassifier": trees(tree.ExtraTreeClassifier, True),
    "sklearn.tree.ExtraTreeRegressor": trees(tree.ExtraTreeRegressor, False),
    "sklearn.ensemble.RandomForestClassifier": forests(ensemble.RandomForestClassifier, True),
    "sklearn.ensemble.RandomForestRegressor": forests(ensemble.RandomForestRegressor, False),
    "sklearn.ensemble.ExtraTreesClassifier": forests(ensemble.ExtraTreesClassifier, True),
    "sklearn.ensemble.ExtraTreesRegressor": forests(ensemble.ExtraTreesRegressor, False),
    "sklearn.ensemble.GradientBoostingClassifier": GRADIENT_BOOSTING_CLASSIFIERS,
    "sklearn.ensemble.GradientBoostingRegressor": GRADIENT_BOOSTING_REGRESSORS,
    "sklearn.ensemble.HistGradientBoostingClassifier": HIST_CLASSIFIERS,
    "sklearn.ensemble.HistGradientBoostingRegressor": HIST_REGRESSORS,
    "sklearn.ensemble.IsolationForest": ISOLATION_FORESTS,
    "sklearn.dummy.DummyClassifier": DUMMY_CLASSIFIERS,
    "sklearn.dummy.DummyRegressor": DUMMY_REGRESSORS,
    "sklearn.ensemble.VotingClassifier": VOTING_CLASSIFIERS,
    "sklearn.ensemble.VotingRegressor": VOTING_REGRESSORS,
    "sklearn.ensemble.StackingClassifier": STACKING_CLASSIFIERS,
    "sklearn.ensemble.StackingRegressor": STACKING_REGRESSORS,
    "sklearn.calibration.CalibratedClassifierCV": CALIBRATED,
    "sklearn.frozen.FrozenEstimator": FROZEN,
    "sklearn.compose.TransformedTargetRegressor": TRANSFORMED,
}
