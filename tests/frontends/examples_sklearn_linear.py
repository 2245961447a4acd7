"""Fitted scikit-learn linear models of every class and option that the front ends support; tiny and seeded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn import linear_model, svm
from sklearn_model_data import Maker, binary, classes, each, fitted, flags, numbers, positive, signal, strings, targets


def _linear(cls: Any, y: Callable[[Any], Any], **options: Any) -> list[Maker]:
    return [
        lambda: fitted(cls(**options), y),
        lambda: fitted(cls(**options, fit_intercept=False), y),
        lambda: fitted(cls(**options), y, numbers(dtype=np.float32)),
        lambda: fitted(cls(**options), y, pd.DataFrame(numbers(), columns=list("abcd"))),
    ]


_REGRESSORS: dict[str, dict[str, Any]] = {
    "LinearRegression": {},
    "Ridge": {},
    "RidgeCV": {},
    "Lasso": {"alpha": 0.01},
    "LassoCV": {"alphas": 5, "cv": 3},
    "ElasticNet": {"alpha": 0.01},
    "ElasticNetCV": {"alphas": 5, "cv": 3},
    "Lars": {},
    "LarsCV": {"cv": 3},
    "LassoLars": {"alpha": 0.01},
    "LassoLarsCV": {"cv": 3},
    "LassoLarsIC": {},
    "OrthogonalMatchingPursuit": {"n_nonzero_coefs": 3},
    "OrthogonalMatchingPursuitCV": {"cv": 3},
    "BayesianRidge": {},
    "ARDRegression": {},
    "HuberRegressor": {},
    "TheilSenRegressor": {"random_state": 0, "max_subpopulation": 200},
    "QuantileRegressor": {"alpha": 0.01},
    "SGDRegressor": {"random_state": 0},
    "PassiveAggressiveRegressor": {"random_state": 0},
}
_MULTI_TASK: dict[str, dict[str, Any]] = {
    "MultiTaskLasso": {"alpha": 0.01},
    "MultiTaskLassoCV": {"alphas": 5, "cv": 3},
    "MultiTaskElasticNet": {"alpha": 0.01},
    "MultiTaskElasticNetCV": {"alphas": 5, "cv": 3},
}
LINEAR: dict[str, list[Maker]] = {
    **{
        f"sklearn.linear_model.{name}": _linear(getattr(linear_model, name), signal, **options)
        for name, options in _REGRESSORS.items()
    },
    **{
        f"sklearn.linear_model.{name}": _linear(getattr(linear_model, name), targets, **options)
        for name, options in _MULTI_TASK.items()
    },
    "sklearn.svm.LinearSVR": _linear(svm.LinearSVR, signal, random_state=0),
    "sklearn.linear_model.SGDOneClassSVM": [
        *_linear(linear_model.SGDOneClassSVM, signal, random_state=0),
        lambda: fitted(linear_model.SGDOneClassSVM(nu=0.05, average=True, random_state=0), signal),
    ],
}
LINEAR["sklearn.linear_model.LinearRegression"] += [
    lambda: fitted(linear_model.LinearRegression(), targets),
    lambda: fitted(linear_model.LinearRegression(), lambda X: signal(X)[:, None]),
    lambda: fitted(linear_model.LinearRegression(positive=True), positive),
    lambda: fitted(linear_model.LinearRegression(), targets, numbers(dtype=np.float32)),
    lambda: fitted(linear_model.LinearRegression(), signal, np.round(numbers() * 4).astype(np.int64)),
]
LINEAR["sklearn.linear_model.Ridge"] += [
    lambda: fitted(linear_model.Ridge(alpha=[0.1, 1.0, 10.0]), targets),
    lambda: fitted(linear_model.Ridge(solver="sag", random_state=0), signal, numbers(dtype=np.float32)),
]
LINEAR["sklearn.linear_model.RidgeCV"] += [
    lambda: fitted(linear_model.RidgeCV(store_cv_results=True), signal),
    lambda: fitted(linear_model.RidgeCV(cv=3), targets),
]
LINEAR["sklearn.linear_model.SGDRegressor"] += each(
    linear_model.SGDRegressor,
    signal,
    [
        {"loss": "huber", "average": True, "random_state": 0},
        {"loss": "epsilon_insensitive", "early_stopping": True, "random_state": 0},
        {"loss": "squared_epsilon_insensitive", "penalty": "l1", "random_state": 0},
    ],
)


def _generalized(cls: Any, **options: Any) -> list[Maker]:
    return [
        lambda: fitted(cls(**options), positive),
        lambda: fitted(cls(**options, solver="newton-cholesky"), positive, numbers(dtype=np.float32)),
        lambda: fitted(cls(**options, fit_intercept=False), positive),
    ]


GENERALIZED: dict[str, list[Maker]] = {
    "sklearn.linear_model.PoissonRegressor": _generalized(linear_model.PoissonRegressor),
    "sklearn.linear_model.GammaRegressor": _generalized(linear_model.GammaRegressor),
    "sklearn.linear_model.TweedieRegressor": [
        *_generalized(linear_model.TweedieRegressor, power=1.5),
        *_generalized(linear_model.TweedieRegressor, power=0),
        *_generalized(linear_model.TweedieRegressor, power=0, link="log"),
        *_generalized(linear_model.TweedieRegressor, power=3),
        lambda: fitted(linear_model.TweedieRegressor(power=1, link="identity", alpha=10), positive),
    ],
}


def _classifiers(cls: Any, **options: Any) -> list[Maker]:
    return [
        lambda: fitted(cls(**options), binary),
        lambda: fitted(cls(**options), strings),
        lambda: fitted(cls(**options, fit_intercept=False), classes),
        lambda: fitted(cls(**options), binary, numbers(dtype=np.float32)),
        lambda: fitted(cls(**options), strings, numbers(dtype=np.float32)),
        lambda: fitted(cls(**options, class_weight="balanced"), lambda X: classes(X, 9)),
    ]


def _sparse_coefficients() -> Any:
    return fitted(linear_model.LogisticRegression(solver="saga", l1_ratio=1.0, C=0.2), strings).sparsify()


CLASSIFIERS: dict[str, list[Maker]] = {
    "sklearn.linear_model.LogisticRegression": [
        *_classifiers(linear_model.LogisticRegression),
        lambda: fitted(linear_model.LogisticRegression(solver="liblinear"), binary),
        _sparse_coefficients,
    ],
    "sklearn.linear_model.LogisticRegressionCV": _classifiers(
        linear_model.LogisticRegressionCV, Cs=3, cv=3, scoring="accuracy", l1_ratios=(0,), use_legacy_attributes=False
    ),
    "sklearn.linear_model.RidgeClassifier": [
        *_classifiers(linear_model.RidgeClassifier),
        lambda: fitted(linear_model.RidgeClassifier(), flags),
    ],
    "sklearn.linear_model.RidgeClassifierCV": [
        *_classifiers(linear_model.RidgeClassifierCV),
        lambda: fitted(linear_model.RidgeClassifierCV(store_cv_results=True), flags),
    ],
    "sklearn.linear_model.SGDClassifier": [
        maker
        for loss in (
            "hinge",
            "log_loss",
            "modified_huber",
            "squared_hinge",
            "perceptron",
            "squared_error",
            "huber",
            "epsilon_insensitive",
            "squared_epsilon_insensitive",
        )
        for maker in _classifiers(linear_model.SGDClassifier, loss=loss, random_state=0)[:: 1 if "_" in loss else 3]
    ]
    + [
        lambda: fitted(
            linear_model.SGDClassifier(loss="log_loss", average=True, early_stopping=True, random_state=0), strings
        )
    ],
    "sklearn.linear_model.Perceptron": _classifiers(linear_model.Perceptron, random_state=0),
    "sklearn.linear_model.PassiveAggressiveClassifier": _classifiers(
        linear_model.PassiveAggressiveClassifier, random_state=0, average=True
    ),
    "sklearn.svm.LinearSVC": _classifiers(svm.LinearSVC, random_state=0),
}

FITTED_EXAMPLES: dict[str, list[Maker]] = {**LINEAR, **GENERALIZED, **CLASSIFIERS}
