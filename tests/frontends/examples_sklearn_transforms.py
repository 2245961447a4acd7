"""A fitted example of every transform and container of scikit-learn that mlcore knows; tiny and seeded.

``FITTED_EXAMPLES`` holds callables without arguments; the registry test compares what they return with the entries.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)


def numbers(rows: int = 60, columns: int = 4, dtype: type = np.float64) -> np.ndarray:
    """Seeded numbers of several magnitudes, without missing values."""
    X = np.random.default_rng(0).normal(size=(rows, columns)) * np.array([1.0, 30.0, 0.01, 5.0])[:columns]
    return X.astype(dtype)


def labels(rows: int = 60) -> np.ndarray:
    """Two classes that depend on the first two columns of `numbers`."""
    X = numbers(rows)
    return (X[:, 0] + 0.05 * X[:, 1] > 0).astype(int)


def words(rows: int = 60, missing: object = None) -> np.ndarray:
    """Two columns of strings; every seventh of the second is ``missing`` unless that is False."""
    rng = np.random.default_rng(1)
    X = np.empty((rows, 2), dtype=object)
    X[:, 0] = rng.choice(["red", "green", "blue", ""], size=rows)
    X[:, 1] = rng.choice(["a", "bb", "é", "z"], size=rows)
    if missing is not False:
        X[::7, 1] = missing
    return X


def table(rows: int = 60) -> pd.DataFrame:
    """A data frame of numbers and strings with missing values."""
    X = numbers(rows)
    frame = pd.DataFrame({"age": np.round(X[:, 0] * 10), "fare": X[:, 1], "city": words(rows)[:, 0]})
    frame.loc[::9, "fare"] = np.nan
    return frame


def mixed() -> ColumnTransformer:
    """Numbers imputed and scaled, strings one-hot encoded, the rest passed through."""
    numeric = Pipeline([("impute", SimpleImputer()), ("scale", StandardScaler())])
    return ColumnTransformer(
        [("num", numeric, ["fare"]), ("cat", OneHotEncoder(handle_unknown="ignore"), ["city"])],
        remainder="passthrough",
    ).fit(table())


def _fit(estimator: Any, X: Any = None, y: Any = None) -> Any:
    return estimator.fit(numbers() if X is None else X, labels() if y is None else y)


FITTED_EXAMPLES: list[Callable[[], Any]] = [
    partial(_fit, StandardScaler()),
    partial(_fit, StandardScaler(with_mean=False), numbers(dtype=np.float32)),
    partial(_fit, MinMaxScaler(clip=True)),
    partial(_fit, MaxAbsScaler(clip=True)),
    partial(_fit, RobustScaler()),
    partial(_fit, Normalizer()),
    partial(_fit, Binarizer()),
    partial(_fit, KBinsDiscretizer()),
    partial(_fit, KBinsDiscretizer(encode="ordinal")),
    partial(_fit, PolynomialFeatures()),
    partial(_fit, FunctionTransformer(np.log1p)),
    partial(_fit, SimpleImputer(add_indicator=True)),
    partial(_fit, MissingIndicator(features="all")),
    partial(_fit, VarianceThreshold()),
    partial(_fit, SelectKBest(k=2)),
    partial(_fit, SelectPercentile(percentile=50)),
    partial(_fit, SelectFpr()),
    partial(_fit, SelectFdr()),
    partial(_fit, SelectFwe()),
    partial(_fit, GenericUnivariateSelect(mode="k_best", param=2)),
    partial(_fit, SelectFromModel(LogisticRegression(), max_features=2)),
    partial(_fit, RFE(LogisticRegression())),
    partial(_fit, RFECV(LogisticRegression(), cv=2)),
    partial(_fit, SequentialFeatureSelector(LogisticRegression(), cv=2)),
    partial(_fit, OneHotEncoder(max_categories=3, handle_unknown="ignore"), words()),
    partial(_fit, OneHotEncoder(drop="first"), words()),
    partial(_fit, OrdinalEncoder(max_categories=3), words(missing=np.nan)),
    partial(_fit, TargetEncoder(), words()),
    partial(_fit, Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])),
    partial(_fit, FeatureUnion([("a", StandardScaler()), ("b", MinMaxScaler())])),
    mixed,
    lambda: mixed().set_output(transform="default"),
]
