"""One table of cases: model kind x transform kind x edge rows. Everything that must hold for all of them reads it.

A model maker and a transform maker give unfitted estimators; `case` joins and fits them. `pairs` says which of them
meet: each model meets `MEETINGS` transforms and each transform several models; all meet all from MLCORE_TEST_SCALE=10.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectFromModel, SelectKBest, SelectPercentile, VarianceThreshold, f_classif
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    GammaRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
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
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

__all__ = ["MODELS", "TRANSFORMS", "Case", "case", "edge_rows", "pairs", "scale", "table"]

MEETINGS = 3
ROWS = 240


def scale(count: int) -> int:
    """A count of random trials, multiplied by MLCORE_TEST_SCALE."""
    return max(1, int(count * float(os.environ.get("MLCORE_TEST_SCALE", "1"))))


# -- the table --------------------------------------------------------------------------------------------------

CITIES = ["Oslo", "Bern", "Lima", "", "São Paulo", "Kyōto"]
JOBS = ["clerk", "cook", "smith"]


def table(rows: int = ROWS, seed: int = 0, missing: object = np.nan) -> pd.DataFrame:
    """Numbers, integers, booleans, strings and times; ``missing`` is what a string column has where nothing is."""
    rng = np.random.default_rng(seed)
    amount = np.round(np.exp(rng.normal(3, 2, rows)), 2)
    amount[rng.random(rows) < 0.1] = np.nan
    city = np.array(CITIES, dtype=object)[rng.choice(6, rows, p=[0.4, 0.25, 0.2, 0.05, 0.05, 0.05])]
    city[rng.random(rows) < 0.08] = missing
    start = np.datetime64("2024-02-28T22:00:00", "us")
    return pd.DataFrame(
        {
            "amount": amount,
            "rate": np.where(rng.random(rows) < 0.3, 0.0, rng.normal(size=rows)).astype(np.float32),
            "count": rng.integers(0, 9, rows),
            "level": rng.integers(-3, 4, rows).astype(np.int8),
            "flag": rng.random(rows) < 0.4,
            "city": pd.Series(city, dtype=object),
            "job": pd.Series(np.array(JOBS, dtype=object)[rng.integers(0, 3, rows)], dtype=object),
            "when": start + rng.integers(0, 10**12, rows).astype("timedelta64[us]"),
        }
    )


NUMBERS = ["amount", "rate", "count", "level"]


def edge_rows(missing: object = np.nan) -> pd.DataFrame:
    """Rows of `table`'s types with values that training never saw, then ordinary rows."""
    rows = table(44, seed=9, missing=missing)
    amounts = [np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, -0.0, 0.0, 1e39, 0.1, np.nextafter(1.0, 2.0)]
    rates = [np.nan, np.inf, -np.inf, 3.4e38, 1e-45, -0.0]
    for index, value in enumerate(amounts):
        rows.loc[index, "amount"] = value
    for index, value in enumerate(rates, len(amounts)):
        rows.loc[index, "rate"] = np.float32(value)
    rows.loc[17, "count"], rows.loc[18, "count"] = np.iinfo(np.int64).max // 2**10 * 2**10, -(2**53)
    rows.loc[19, "level"], rows.loc[20, "level"] = np.int8(127), np.int8(-128)
    rows.loc[21:26, "city"] = ["Atlantis", missing, "", "oslo", "Oslo ", "x" * 500]
    rows.loc[27, "job"] = "pilot"
    rows.loc[28, "when"] = np.datetime64("1900-01-01", "us")
    return rows


def targets(kind: str, frame: pd.DataFrame) -> np.ndarray:
    """A target of the kind that a model asks for, which depends on every column."""
    rng = np.random.default_rng(5)
    signal = np.log1p(frame["amount"].fillna(1.0).to_numpy()) + frame["rate"].to_numpy() - 0.3 * frame["count"]
    signal = signal + frame["flag"] + frame["job"].map({job: i for i, job in enumerate(JOBS)}).to_numpy()
    signal = np.asarray(signal + frame["city"].map({c: i / 3 for i, c in enumerate(CITIES)}).fillna(2).to_numpy())
    signal = signal + 0.3 * rng.normal(size=len(frame))
    cuts = np.quantile(signal, [1 / 3, 2 / 3])
    return {
        "yes or no": lambda: np.array(["no", "yes"])[(signal > np.median(signal)).astype(int)],
        "binary": lambda: (signal > np.median(signal)).astype(int),
        "three": lambda: np.digitize(signal, cuts),
        "words": lambda: np.array(["low", "mid", "top"], dtype=object)[np.digitize(signal, cuts)],
        "labels": lambda: np.column_stack([signal > cut for cut in cuts]).astype(int),
        "number": lambda: signal,
        "positive": lambda: np.exp(signal / 4),
        "share": lambda: 1 / (1 + np.exp(-signal)),
        "several": lambda: np.column_stack([signal, -2 * signal + 1, np.abs(signal)]),
        "rank": lambda: np.digitize(signal, cuts),
    }[kind]()


# -- transforms -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transform:
    """A transform maker; ``gaps``: its features may be missing, ``sparse``: they are a sparse matrix."""

    make: Callable[[], Any]
    gaps: bool = False
    sparse: bool = False


def _impute() -> Any:
    return SimpleImputer(strategy="median")


def _known() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore")


TRANSFORMS: dict[str, Transform] = {
    "scalers": Transform(
        lambda: ColumnTransformer(
            [
                ("standard", make_pipeline(_impute(), StandardScaler()), ["amount", "rate"]),
                ("minmax", MinMaxScaler((-1, 2), clip=True), ["count"]),
                ("maxabs", MaxAbsScaler(), ["level"]),
                ("robust", RobustScaler(unit_variance=True), ["rate", "count"]),
                ("job", OneHotEncoder(drop="first", handle_unknown="error"), ["job"]),
            ],
            sparse_threshold=0.0,
        )
    ),
    "gaps": Transform(
        lambda: ColumnTransformer(
            [
                ("same", StandardScaler(), ["amount", "rate", "count"]),
                ("city", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["city"]),
                ("job", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["job"]),
                ("flag", "passthrough", ["flag"]),
            ]
        ),
        gaps=True,
    ),
    "imputers": Transform(
        lambda: ColumnTransformer(
            [
                ("mean", SimpleImputer(add_indicator=True), ["amount", "rate"]),
                ("often", SimpleImputer(strategy="most_frequent"), ["amount"]),
                ("fixed", SimpleImputer(missing_values=0, strategy="constant", fill_value=-5), ["count"]),
                ("city", make_pipeline(SimpleImputer(strategy="most_frequent"), _known()), ["city"]),
                ("flags", MissingIndicator(features="all"), ["amount", "rate"]),
            ],
            sparse_threshold=0.0,
            transformer_weights={"mean": 2.0},
        )
    ),
    "bins": Transform(
        lambda: ColumnTransformer(
            [
                (
                    "hot",
                    make_pipeline(_impute(), KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf")),
                    ["amount"],
                ),
                ("code", KBinsDiscretizer(3, encode="ordinal", strategy="uniform"), ["count"]),
                ("dense", KBinsDiscretizer(3, encode="onehot-dense", strategy="kmeans", random_state=0), ["level"]),
                ("cut", make_pipeline(_impute(), Binarizer(threshold=0.25)), ["rate"]),
                ("city", OneHotEncoder(min_frequency=0.1, handle_unknown="infrequent_if_exist"), ["city"]),
            ],
            sparse_threshold=0.0,
        )
    ),
    "products": Transform(
        lambda: ColumnTransformer(
            [
                ("all", make_pipeline(_impute(), PolynomialFeatures(2)), ["amount", "rate", "level"]),
                ("pairs", PolynomialFeatures((1, 2), interaction_only=True, include_bias=False), ["count", "level"]),
                ("norm", make_pipeline(_impute(), Normalizer("max")), ["amount", "rate", "count"]),
                (
                    "abs",
                    make_pipeline(_impute(), FunctionTransformer(np.abs), FunctionTransformer(np.sqrt)),
                    ["amount"],
                ),
            ]
        )
    ),
    "functions": Transform(
        lambda: ColumnTransformer(
            [
                ("log", make_pipeline(_impute(), MinMaxScaler(), FunctionTransformer(np.log1p)), ["amount", "rate"]),
                ("norm", make_pipeline(_impute(), Normalizer()), ["amount", "count"]),
                ("floor", FunctionTransformer(np.floor), ["level"]),
                (
                    "city",
                    OrdinalEncoder(
                        max_categories=3, handle_unknown="use_encoded_value", unknown_value=-3, encoded_missing_value=-2
                    ),
                    ["city"],
                ),
            ]
        )
    ),
    "targets": Transform(
        lambda: make_pipeline(
            ColumnTransformer(
                [
                    ("city", TargetEncoder(cv=3, random_state=0), ["city", "job"]),
                    ("numbers", _impute(), make_column_selector(dtype_include="number")),
                ]
            ),
            VarianceThreshold(1e-4),
            SelectFromModel(DecisionTreeRegressor(max_depth=4, random_state=0), threshold="0.1*mean"),
        )
    ),
    "selected": Transform(
        lambda: make_pipeline(
            ColumnTransformer(
                [("when", "drop", ["when"]), ("city", OrdinalEncoder(), ["city"]), ("job", OneHotEncoder(), ["job"])],
                remainder=make_pipeline(_impute(), StandardScaler()),
                sparse_threshold=0.0,
            ),
            SimpleImputer(),
            FeatureUnion([("best", SelectKBest(f_classif, k=2)), ("half", SelectPercentile(f_classif, percentile=50))]),
        )
    ),
    "sparse": Transform(
        lambda: ColumnTransformer(
            [
                ("city", _known(), ["city"]),
                ("job", _known(), ["job"]),
                ("rate", make_pipeline(_impute(), MaxAbsScaler()), ["rate", "count"]),
            ],
            sparse_threshold=1.0,
        ),
        sparse=True,
    ),
    "nested": Transform(
        lambda: ColumnTransformer(
            [
                ("when", StandardScaler(), ["when"]),
                (
                    "numbers",
                    make_pipeline(
                        ColumnTransformer([("fill", SimpleImputer(), [0, 1])], remainder="passthrough"),
                        FeatureUnion([("same", "passthrough"), ("scaled", MinMaxScaler())]),
                    ),
                    slice(0, 4),
                ),
                ("words", make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), _known()), ["city", "job"]),
            ],
            sparse_threshold=0.0,
            verbose_feature_names_out=False,
        )
    ),
    "frames": Transform(
        lambda: make_pipeline(
            ColumnTransformer(
                [
                    ("code", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["city", "job"]),
                    ("when", MinMaxScaler(), ["when"]),
                ],
                remainder="passthrough",
                verbose_feature_names_out=False,
            ),
            ColumnTransformer([("fill", _impute(), ["amount", "city"])], remainder=RobustScaler()),
        ).set_output(transform="pandas"),
    ),
    "numbers": Transform(
        # apart: beside numbers, pandas makes objects of booleans
        lambda: ColumnTransformer([("same", "passthrough", NUMBERS), ("flag", "passthrough", ["flag"])]),
        gaps=True,
    ),
}


# -- models -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A model maker; ``target``: see `targets`, ``takes_gaps``, ``takes_sparse``: as its library says.

    ``native``: it is fitted on `native` columns itself, because pandas categories are part of what it learns.
    """

    make: Callable[[], Any]
    target: str = "number"
    takes_gaps: bool = False
    takes_sparse: bool = True
    native: bool = False


def _xgb(cls: Any = xgb.XGBRegressor, **parameters: Any) -> Any:
    return cls(**{"n_estimators": 6, "max_depth": 4, "n_jobs": 1, "random_state": 0, **parameters})


def _lgb(cls: Any = lgb.LGBMRegressor, **parameters: Any) -> Any:
    quiet = {"n_estimators": 6, "num_leaves": 8, "min_child_samples": 5, "n_jobs": 1, "verbose": -1, "random_state": 0}
    return cls(**{**quiet, **parameters})


def _tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=3, random_state=0)


def _forest(cls: Any, **parameters: Any) -> Any:
    return cls(6, max_depth=5, random_state=0, n_jobs=1, **parameters)


_ANY = {"takes_gaps": True}
_DENSE = {"takes_sparse": False}

MODELS: dict[str, Model] = {
    # XGBoost
    "xgb binary": Model(lambda: _xgb(xgb.XGBClassifier), "binary", **_ANY),
    "xgb three": Model(lambda: _xgb(xgb.XGBClassifier), "three", **_ANY),
    "xgb labels": Model(lambda: _xgb(xgb.XGBClassifier), "labels", **_ANY),
    "xgb hinge": Model(lambda: _xgb(xgb.XGBClassifier, objective="binary:hinge"), "binary", **_ANY),
    "xgb squared": Model(lambda: _xgb(), **_ANY),
    "xgb absolute": Model(lambda: _xgb(objective="reg:absoluteerror", base_score=0.3), **_ANY),
    "xgb gamma": Model(lambda: _xgb(objective="reg:gamma"), "positive", **_ANY),
    "xgb logistic": Model(lambda: _xgb(objective="reg:logistic"), "share", **_ANY),
    "xgb poisson": Model(lambda: _xgb(objective="count:poisson"), "positive", **_ANY),
    "xgb quantile": Model(lambda: _xgb(objective="reg:quantileerror", quantile_alpha=[0.2, 0.8]), **_ANY),
    "xgb several": Model(lambda: _xgb(multi_strategy="multi_output_tree"), "several", **_ANY),
    "xgb dart": Model(lambda: _xgb(booster="dart", rate_drop=0.4), **_ANY),
    "xgb linear": Model(lambda: _xgb(booster="gblinear", updater="coord_descent"), **_ANY),
    "xgb missing 0": Model(lambda: _xgb(missing=0.0), **_ANY),
    "xgb ranker": Model(lambda: _xgb(xgb.XGBRanker), "rank", **_ANY),
    "xgb forest": Model(lambda: _xgb(xgb.XGBRFClassifier), "binary", **_ANY),
    "xgb forest squared": Model(lambda: _xgb(xgb.XGBRFRegressor), **_ANY),
    "xgb categories": Model(lambda: _xgb(enable_categorical=True, tree_method="hist"), native=True, **_ANY),
    # LightGBM
    "lgb binary": Model(lambda: _lgb(lgb.LGBMClassifier), "yes or no", **_ANY),
    "lgb three": Model(lambda: _lgb(lgb.LGBMClassifier), "words", **_ANY),
    "lgb ova": Model(lambda: _lgb(lgb.LGBMClassifier, objective="multiclassova"), "three", **_ANY),
    "lgb entropy": Model(lambda: _lgb(objective="cross_entropy"), "share", **_ANY),
    "lgb lambda": Model(lambda: _lgb(objective="cross_entropy_lambda"), "share", **_ANY),
    "lgb squared": Model(lambda: _lgb(), **_ANY),
    "lgb sqrt": Model(lambda: _lgb(reg_sqrt=True), **_ANY),
    "lgb tweedie": Model(lambda: _lgb(objective="tweedie"), "positive", **_ANY),
    "lgb dart": Model(lambda: _lgb(lgb.LGBMClassifier, boosting_type="dart", drop_rate=0.5), "binary", **_ANY),
    "lgb forest": Model(lambda: _lgb(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7), **_ANY),
    "lgb linear trees": Model(lambda: _lgb(linear_tree=True), takes_sparse=False, **_ANY),
    "lgb zero as missing": Model(lambda: _lgb(zero_as_missing=True), **_ANY),
    "lgb no missing": Model(lambda: _lgb(use_missing=False), **_ANY),
    "lgb ranker": Model(lambda: _lgb(lgb.LGBMRanker), "rank", **_ANY),
    "lgb categories": Model(lambda: _lgb(min_data_per_group=5, cat_smooth=1.0), native=True, **_ANY),
    # scikit-learn: trees
    "tree": Model(lambda: DecisionTreeClassifier(max_depth=5, random_state=0), "words", **_ANY),
    "tree squared": Model(lambda: DecisionTreeRegressor(max_depth=5, random_state=0), "several", **_ANY),
    "extra tree": Model(lambda: ExtraTreeClassifier(max_depth=5, random_state=0), "labels"),
    "forest": Model(lambda: _forest(RandomForestClassifier), "words", **_ANY),
    "forest squared": Model(lambda: _forest(RandomForestRegressor), "several", **_ANY),
    "extra trees": Model(lambda: _forest(ExtraTreesClassifier), "binary"),
    "extra trees squared": Model(lambda: _forest(ExtraTreesRegressor)),
    "boosting": Model(lambda: GradientBoostingClassifier(n_estimators=5, random_state=0), "yes or no"),
    "boosting three": Model(lambda: GradientBoostingClassifier(n_estimators=4, random_state=0), "words"),
    "boosting huber": Model(lambda: GradientBoostingRegressor(n_estimators=5, loss="huber", random_state=0)),
    "hist": Model(lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0), "yes or no", **_ANY, **_DENSE),
    "hist three": Model(lambda: HistGradientBoostingClassifier(max_iter=4, random_state=0), "words", **_ANY, **_DENSE),
    "hist poisson": Model(
        lambda: HistGradientBoostingRegressor(max_iter=5, loss="poisson"), "positive", **_ANY, **_DENSE
    ),
    "hist categories": Model(
        lambda: HistGradientBoostingRegressor(max_iter=6, categorical_features="from_dtype"), native=True, **_ANY
    ),
    "isolation": Model(lambda: IsolationForest(n_estimators=8, random_state=0, contamination=0.1), takes_sparse=False),
    # scikit-learn: linear
    "linear": Model(LinearRegression),
    "ridge": Model(lambda: Ridge(alpha=0.5), "several"),
    "lasso": Model(lambda: Lasso(alpha=0.01, max_iter=200)),
    "elastic net": Model(lambda: ElasticNet(alpha=0.01, max_iter=200)),
    "logistic": Model(lambda: LogisticRegression(max_iter=60), "yes or no"),
    "logistic three": Model(lambda: LogisticRegression(max_iter=60), "words"),
    "ridge labels": Model(RidgeClassifier, "words"),
    "sgd": Model(lambda: SGDClassifier(loss="modified_huber", max_iter=20, random_state=0), "words"),
    "sgd squared": Model(lambda: SGDRegressor(max_iter=20, random_state=0)),
    "poisson": Model(lambda: PoissonRegressor(max_iter=40), "positive"),
    "gamma": Model(lambda: GammaRegressor(max_iter=40), "positive"),
    "tweedie": Model(lambda: TweedieRegressor(power=1.5, link="log", max_iter=40), "positive"),
    # scikit-learn: of other estimators, and none
    "dummy": Model(lambda: DummyClassifier(strategy="prior"), "words", **_ANY),
    "dummy median": Model(lambda: DummyRegressor(strategy="median"), "several", **_ANY),
    "votes": Model(lambda: VotingClassifier([("a", _tree()), ("b", LogisticRegression(max_iter=40))]), "words"),
    "soft votes": Model(
        lambda: VotingClassifier(
            [("a", _tree()), ("b", _forest(RandomForestClassifier))], voting="soft", weights=[1, 2]
        ),
        "yes or no",
    ),
    "votes squared": Model(lambda: VotingRegressor([("a", DecisionTreeRegressor(max_depth=4)), ("b", Ridge())])),
    "stack": Model(lambda: StackingClassifier([("a", _tree()), ("b", _xgb(xgb.XGBClassifier))], cv=2), "binary"),
    "stack squared": Model(
        lambda: StackingRegressor(
            [("a", DecisionTreeRegressor(max_depth=4, random_state=0)), ("b", Ridge())],
            DecisionTreeRegressor(max_depth=4, random_state=0),
            cv=2,
        )
    ),
    "calibrated": Model(lambda: CalibratedClassifierCV(_tree(), method="isotonic", cv=2), "yes or no"),
    "calibrated sigmoid": Model(lambda: CalibratedClassifierCV(_forest(RandomForestClassifier), cv=2), "words"),
    "target log": Model(
        lambda: TransformedTargetRegressor(
            DecisionTreeRegressor(max_depth=4, random_state=0), func=np.log, inverse_func=np.exp
        ),
        "positive",
    ),
    "target scaled": Model(lambda: TransformedTargetRegressor(_lgb(), transformer=StandardScaler()), **_ANY),
}


# -- together ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A fitted pipeline with its training table and rows to hold it to."""

    estimator: Any
    train: pd.DataFrame
    edges: pd.DataFrame


def native(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that models with categories of their own are fitted on; XGBoost takes ASCII ones only."""
    city = pd.CategoricalDtype([city for city in reversed(CITIES) if city.isascii()])
    return frame[["amount", "city", "rate", "count", "job"]].astype({"city": city, "job": pd.CategoricalDtype(JOBS)})


def pairs() -> list[tuple[str, str]]:
    """Names of models and transforms that meet. ``""``: no model, or a model that is fitted on raw columns."""
    names = list(TRANSFORMS)
    found = [("", name) for name in names]
    for index, (name, model) in enumerate(MODELS.items()):
        if model.native:
            found.append((name, ""))
            continue
        able = [other for other in names if model.takes_sparse or not TRANSFORMS[other].sparse]
        meetings = len(able) if scale(1) >= 10 else MEETINGS
        found += [(name, able[(index + step * 5) % len(able)]) for step in range(meetings)]
    return found


@cache
def case(model_name: str, transform_name: str, missing: str = "nan") -> Case:
    """Fit one pair; ``missing``: ``"nan"`` or ``"none"``, what stands for missing text."""
    marker = {"nan": np.nan, "none": None}[missing]
    frame, edges = table(missing=marker), edge_rows(marker)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if not model_name:
            estimator = TRANSFORMS[transform_name].make().fit(frame, targets("three", frame))
            return Case(estimator, frame, edges)
        model = MODELS[model_name]
        y = targets(model.target, frame)
        groups = {"group": np.full(ROWS // 20, 20)} if model.target == "rank" else {}
        if model.native:
            frame, edges = native(frame), native(edges)
            return Case(model.make().fit(frame, y, **groups), frame, edges)
        transform = TRANSFORMS[transform_name]
        # transforms that look at a target get another one, so that each of them goes with every model
        features = make_pipeline(transform.make()).fit(frame, targets("three", frame))
        if transform.gaps and not model.takes_gaps:
            features = make_pipeline(features[0], SimpleImputer().fit(features.transform(frame)))
        final = model.make().fit(features.transform(frame), y, **groups)
        return Case(Pipeline([*features.steps, ("model", final)]), frame, edges)
