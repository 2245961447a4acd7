"""Fitted LightGBM models of every kind that the front end supports; tiny, seeded, single-threaded."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

ROWS = 400
COLUMNS = 5

_QUIET = {"verbose": -1, "num_threads": 1, "seed": 7, "num_leaves": 8, "min_data_in_leaf": 5}


class _Silent:
    def info(self, message: str) -> None:
        del message

    def warning(self, message: str) -> None:
        del message


# the estimators of FITTED_EXAMPLES have signature parameters only, so they cannot be told to be quiet themselves
lgb.register_logger(_Silent())


def numbers(seed: int = 0, rows: int = ROWS) -> np.ndarray:
    """Features with missing values, zeros, repeated values, and two columns of small codes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, COLUMNS))
    X[:, 0] = np.round(X[:, 0], 1)
    X[rng.random(X.shape) < 0.2] = 0.0
    X[:, 3] = rng.integers(0, 40, rows)
    X[:, 4] = rng.integers(0, 5, rows)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


def signal(X: np.ndarray) -> np.ndarray:
    filled = np.nan_to_num(X)
    noise = 0.3 * np.random.default_rng(1).normal(size=len(X))
    return filled[:, 0] + filled[:, 1] * filled[:, 2] + 0.3 * (filled[:, 3] % 3) - (filled[:, 4] == 2) + noise


def target(objective: str, X: np.ndarray) -> tuple[np.ndarray, list[int] | None]:
    """Labels that suit an objective, and group sizes for ranking."""
    y = signal(X)
    if objective == "binary":
        return (y > np.median(y)).astype(int), None
    if objective.startswith("multiclass"):
        return np.digitize(y, np.quantile(y, [0.3, 0.6, 0.8])), None
    if objective.startswith("cross_entropy"):
        return 1.0 / (1.0 + np.exp(-y)), None
    if objective in ("lambdarank", "rank_xendcg"):
        return np.clip(y + 1, 0, 3).astype(int), [20] * (len(X) // 20)
    if objective in ("poisson", "gamma", "tweedie", "mape"):
        return np.exp(np.clip(y, -2, 2)), None
    return y, None


def booster(
    objective: str = "regression", rounds: int = 8, cats: Any = "auto", X: Any = None, **parameters: Any
) -> Any:
    """A booster trained on bare arrays."""
    X = numbers() if X is None else X
    y, group = target(objective, X)
    settings = {**_QUIET, "objective": objective, "min_data_per_group": 5, "cat_smooth": 1.0, **parameters}
    if objective.startswith("multiclass"):
        settings["num_class"] = 4
    if settings.get("boosting") == "rf":
        settings |= {"bagging_freq": 1, "bagging_fraction": 0.6}
    data = lgb.Dataset(X, y, group=group, categorical_feature=cats, params=settings)
    return lgb.train(settings, data, rounds)


def squared_error(predicted: np.ndarray, data: lgb.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return predicted - data.get_label(), np.ones_like(predicted)


def logistic(y: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p = 1.0 / (1.0 + np.exp(-predicted))
    return p - y, p * (1.0 - p)


def custom_booster() -> lgb.Booster:
    X = numbers()
    return lgb.train({**_QUIET, "objective": squared_error}, lgb.Dataset(X, signal(X)), 6)


def frame(seed: int = 0, rows: int = ROWS) -> pd.DataFrame:
    """Category columns of strings, ordered strings, integers and bools beside numbers of several types."""
    rng = np.random.default_rng(seed)
    X = numbers(seed, rows)
    return pd.DataFrame(
        {
            "amount": X[:, 0],
            "city": pd.Categorical(rng.choice(["Rome", "Oslo", "Bonn", "Rīga", None], rows)),
            "size": pd.Categorical(rng.choice(["s", "m", "l"], rows), categories=["s", "m", "l"], ordered=True),
            "code": pd.Categorical(rng.choice([10, 20, 30], rows)),
            "count": rng.integers(-3, 100, rows),
            "ratio": X[:, 1].astype(np.float32),
            "flag": pd.Categorical(rng.random(rows) < 0.5),
        }
    )


def frame_target(table: pd.DataFrame) -> np.ndarray:
    y = np.nan_to_num(table["amount"].to_numpy()) + (table["city"] == "Oslo") + 2.0 * (table["code"] == 20)
    return np.asarray(y + (table["size"] == "l") + 0.01 * table["count"] + (table["flag"] == True))  # noqa: E712


def fit(cls: str, X: Any, y: Any, **parameters: Any) -> Any:
    """An estimator with signature parameters only."""
    settings = {"n_estimators": 8, "num_leaves": 8, "min_child_samples": 5, "n_jobs": 1, "random_state": 3}
    group = {"group": [20] * (len(X) // 20)} if cls == "LGBMRanker" else {}
    return getattr(lgb, cls)(**{**settings, **parameters}).fit(X, y, **group)


def classifier(labels: Any = (0, 1), **parameters: Any) -> Any:
    X = numbers()
    y = signal(X)
    edges = np.quantile(y, np.arange(1, len(labels)) / len(labels))
    return fit("LGBMClassifier", X, np.asarray(labels)[np.digitize(y, edges)], **parameters)


def regressor(**parameters: Any) -> Any:
    X = numbers()
    return fit("LGBMRegressor", X, signal(X), **parameters)


def ranker(**parameters: Any) -> Any:
    X = numbers()
    return fit("LGBMRanker", X, target("lambdarank", X)[0], **parameters)


def stopped() -> Any:
    """Early stopping, with more trees in the booster than predict uses."""
    X = numbers()
    y = signal(X)
    settings = {**_QUIET, "objective": "regression", "learning_rate": 0.5}
    train, valid = lgb.Dataset(X[:250], y[:250]), lgb.Dataset(X[250:], y[250:])
    model = lgb.train(settings, train, 40, valid_sets=[valid], keep_training_booster=True)
    model.best_iteration = 5
    return model


def pickled(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))


def reloaded(model: Any) -> Any:
    return lgb.Booster(model_str=model.model_to_string(num_iteration=-1))


OBJECTIVES = [
    "regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie",
    "cross_entropy", "cross_entropy_lambda", "lambdarank", "rank_xendcg", "binary", "multiclass", "multiclassova",
]  # fmt: skip

BOOSTERS: dict[str, Callable[[], Any]] = {
    **{objective: (lambda objective=objective: booster(objective)) for objective in OBJECTIVES},
    "dart": lambda: booster("binary", boosting="dart", drop_rate=0.5),
    "goss": lambda: booster("binary", data_sample_strategy="goss", top_rate=0.3, learning_rate=0.5),
    "rf": lambda: booster("binary", boosting="rf"),
    "rf regression": lambda: booster("regression", boosting="rf"),
    "rf multiclass": lambda: booster("multiclass", boosting="rf"),
    "reg_sqrt": lambda: booster("regression", reg_sqrt=True),
    "reg_sqrt l1": lambda: booster("regression_l1", reg_sqrt=True),
    "sigmoid of many digits": lambda: booster("binary", sigmoid=0.123456789),
    "sigmoid of many digits, reloaded": lambda: reloaded(booster("binary", sigmoid=0.123456789)),
    "sigmoid of many digits, pickled": lambda: pickled(booster("multiclassova", sigmoid=1.0 / 3.0)),
    "sigmoid of many digits, rf": lambda: booster("binary", sigmoid=2.0 / 3.0, boosting="rf"),
    "no missing values": lambda: booster(X=np.nan_to_num(numbers())),
    "use_missing=false": lambda: booster(use_missing=False),
    "zero_as_missing": lambda: booster(zero_as_missing=True),
    "categories": lambda: booster(cats=[3, 4]),
    "categories, one-hot": lambda: booster(cats=[3, 4], max_cat_to_onehot=64),
    "categories, zero_as_missing": lambda: booster("binary", cats=[3, 4], zero_as_missing=True),
    "categories, dart, multiclass": lambda: booster("multiclass", cats=[3, 4], boosting="dart"),
    "linear trees": lambda: booster(linear_tree=True),
    "linear trees without NaN": lambda: booster("binary", linear_tree=True, X=np.nan_to_num(numbers())),
    "linear trees, categories": lambda: booster(linear_tree=True, cats=[3, 4], linear_lambda=0.1),
    "linear trees, use_missing=false": lambda: booster(linear_tree=True, use_missing=False),
    "linear trees, reloaded": lambda: reloaded(booster(linear_tree=True)),
    "custom objective": custom_booster,
    "early stopping": stopped,
    "one leaf": lambda: booster(min_data_in_leaf=ROWS),
    "monotone, extra trees, path smoothing": lambda: booster(
        monotone_constraints=[1, 0, -1, 0, 0], extra_trees=True, path_smooth=1.0, rounds=12
    ),
    "reloaded": lambda: reloaded(booster("multiclass")),
    "refitted": lambda: booster("regression").refit(numbers(3), signal(numbers(3))),
}

CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "binary": classifier,
    "binary, bool": lambda: classifier((False, True)),
    "binary, strings": lambda: classifier(("no", "yes")),
    "binary, float labels": lambda: classifier((-1.0, 2.0)),
    "binary, rf": lambda: classifier(boosting_type="rf", subsample=0.5, subsample_freq=1),
    "binary, dart": lambda: classifier(boosting_type="dart"),
    "cross_entropy": lambda: classifier(objective="cross_entropy"),
    "cross_entropy_lambda": lambda: classifier(objective="cross_entropy_lambda"),
    "regression as classifier": lambda: classifier(objective="regression"),
    "poisson as classifier": lambda: classifier(objective="poisson"),
    "custom": lambda: classifier(objective=logistic),
    "weights": lambda: classifier(class_weight="balanced"),
    "multiclass": lambda: classifier((3, 5, 8)),
    "multiclass, strings": lambda: classifier(("a", "bb", "ccc", "d")),
    "multiclassova": lambda: classifier((0, 1, 2), objective="multiclassova"),
    "multiclass, rf": lambda: classifier((0, 1, 2), boosting_type="rf", subsample=0.5, subsample_freq=1),
    "pickled": lambda: pickled(classifier(("no", "yes"))),
}

REGRESSORS: dict[str, Callable[[], Any]] = {
    "l2": regressor,
    "poisson": lambda: fit("LGBMRegressor", numbers(), target("poisson", numbers())[0], objective="poisson"),
    "quantile": lambda: regressor(objective="quantile"),
    "frame": lambda: fit("LGBMRegressor", frame(), frame_target(frame())),
    "frame, pickled": lambda: pickled(fit("LGBMRegressor", frame(), frame_target(frame()))),
}

RANKERS: dict[str, Callable[[], Any]] = {
    "lambdarank": ranker,
    "rank_xendcg": lambda: ranker(objective="rank_xendcg"),
}

FITTED_EXAMPLES: dict[str, list[Callable[[], Any]]] = {
    "lightgbm.Booster": list(BOOSTERS.values()),
    "lightgbm.LGBMClassifier": list(CLASSIFIERS.values()),
    "lightgbm.LGBMRegressor": list(REGRESSORS.values()),
    "lightgbm.LGBMRanker": list(RANKERS.values()),
}
