"""Fitted XGBoost models of every kind that the front end supports; tiny, seeded, single-threaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb

_ROWS = 400
_COLUMNS = 5


def numbers(seed: int = 0, rows: int = _ROWS, columns: int = _COLUMNS) -> np.ndarray:
    """Features with missing values, zeros of both signs and repeated values."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, columns))
    X[:, 0] = np.round(X[:, 0], 1)
    X[:, 1] = np.where(rng.random(rows) < 0.4, 0.0, X[:, 1])
    X[rng.random(X.shape) < 0.08] = np.nan
    return X


def _signal(X: np.ndarray) -> np.ndarray:
    filled = np.nan_to_num(X)
    return filled[:, 0] + filled[:, 1] * filled[:, 2] + 0.3 * np.random.default_rng(1).normal(size=len(X))


def regressor(**parameters: Any) -> xgb.XGBRegressor:
    """A regressor on positive targets inside (0, 1) for objectives that need them, else on the signal itself."""
    X = numbers()
    y = _signal(X)
    objective = parameters.get("objective", "")
    if objective in ("reg:logistic", "reg:gamma", "reg:tweedie", "reg:squaredlogerror", "survival:cox"):
        y = 0.01 + 0.98 / (1.0 + np.exp(-y))
    if objective == "count:poisson":
        y = np.floor(np.exp(np.clip(y, -2, 2)))
    settings = {"n_estimators": 12, "max_depth": 4, "n_jobs": 1, "random_state": 0, **parameters}
    return xgb.XGBRegressor(**settings).fit(X, y)


def targets(count: int = 3, **parameters: Any) -> xgb.XGBRegressor:
    """Several targets."""
    X = numbers()
    Y = np.column_stack([_signal(X) * (index + 1) + 10.0 * index for index in range(count)])
    return xgb.XGBRegressor(n_estimators=8, max_depth=3, n_jobs=1, **parameters).fit(X, Y)


def classifier(classes: int = 2, **parameters: Any) -> xgb.XGBClassifier:
    """A classifier; ``classes`` labels by quantiles of the signal."""
    X = numbers()
    y = np.digitize(_signal(X), np.quantile(_signal(X), np.arange(1, classes) / classes))
    cls = parameters.pop("cls", xgb.XGBClassifier)
    return cls(**{"n_estimators": 10, "max_depth": 4, "n_jobs": 1, "random_state": 0, **parameters}).fit(X, y)


def labels(**parameters: Any) -> xgb.XGBClassifier:
    """Three labels at once."""
    X = numbers()
    Y = np.column_stack([_signal(X) > cut for cut in (-0.5, 0.0, 0.5)]).astype(int)
    return xgb.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1, **parameters).fit(X, Y)


def stopped(cls: Any, **parameters: Any) -> Any:
    """Early stopping, so that best_iteration is well before the last round."""
    X = numbers()
    y = _signal(X)
    if cls is xgb.XGBClassifier:
        y = (y > 0).astype(int)
    model = cls(n_estimators=200, learning_rate=0.9, early_stopping_rounds=3, n_jobs=1, **parameters)
    model.fit(X[:250], y[:250], eval_set=[(X[250:], y[250:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    return model


def ranker(objective: str) -> xgb.XGBRanker:
    X = numbers()
    y = np.clip(np.digitize(_signal(X), [-0.5, 0.5]), 0, 1 if objective == "rank:map" else 2)
    return xgb.XGBRanker(objective=objective, n_estimators=8, n_jobs=1).fit(X, y, qid=np.arange(_ROWS) // 20)


def category_frame(seed: int = 0, rows: int = _ROWS) -> pd.DataFrame:
    """Two string columns (few and many categories, out of order), one of integers, one of numbers; some missing."""
    rng = np.random.default_rng(seed)
    city = pd.Categorical.from_codes(rng.integers(-1, 3, rows), ["oslo", "bern", "lima"])
    street = pd.Categorical.from_codes(rng.integers(-1, 40, rows), [f"s{(index * 7) % 40}" for index in range(40)])
    zone = pd.Categorical.from_codes(rng.integers(-1, 6, rows), [30, 10, 20, 60, 50, 40])
    size = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
    return pd.DataFrame({"city": city, "size": size, "street": street, "zone": zone})


def categorical(cls: Any = xgb.XGBRegressor, **parameters: Any) -> Any:
    """Native categoricals: one-hot splits on the small columns, partitions on the large one."""
    frame = category_frame()
    codes = frame["street"].cat.codes.to_numpy()
    y = (codes % 5) * 0.7 + frame["city"].cat.codes.to_numpy() + frame["zone"].cat.codes.to_numpy() * 0.2
    y = y + np.nan_to_num(frame["size"].to_numpy()) * 0.1
    if cls is xgb.XGBClassifier:
        y = (y > np.median(y)).astype(int)
    model = cls(enable_categorical=True, tree_method="hist", n_estimators=10, max_depth=5, n_jobs=1, **parameters)
    return model.fit(frame, y)


def coded_categories() -> xgb.XGBRegressor:
    """Categorical by feature_types on a bare array: codes are the caller's own."""
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.integers(0, 50, _ROWS), rng.normal(size=_ROWS), rng.integers(0, 3, _ROWS)]).astype(float)
    X[rng.random(X.shape) < 0.05] = np.nan
    y = np.nan_to_num(X[:, 0] % 7) + np.nan_to_num(X[:, 2]) + np.nan_to_num(X[:, 1])
    types = ["c", "q", "c"]
    return xgb.XGBRegressor(feature_types=types, enable_categorical=True, n_estimators=8, n_jobs=1).fit(X, y)


def aft() -> xgb.Booster:
    X = numbers()
    time = np.exp(_signal(X))
    data = xgb.DMatrix(X)
    data.set_float_info("label_lower_bound", time)
    data.set_float_info("label_upper_bound", np.where(np.arange(_ROWS) % 3 == 0, np.inf, time))
    return xgb.train({"objective": "survival:aft", "nthread": 1, "aft_loss_distribution": "normal"}, data, 8)


def booster(rounds: int = 8, rows: np.ndarray | None = None, **parameters: Any) -> xgb.Booster:
    X = numbers() if rows is None else rows
    y = _signal(X)
    if parameters.get("objective", "").startswith("multi"):
        y = np.digitize(y, [-0.5, 0.5])
        parameters = {"num_class": 3, **parameters}
    elif parameters.get("objective", "").startswith("binary"):
        y = (y > 0).astype(int)
    return xgb.train({"nthread": 1, "seed": 0, "max_depth": 4, **parameters}, xgb.DMatrix(X, y), rounds)


def named_booster() -> xgb.Booster:
    frame = pd.DataFrame(numbers(), columns=list("abcde"))
    return xgb.train({"nthread": 1}, xgb.DMatrix(frame, _signal(frame.to_numpy())), 5)


def category_booster() -> xgb.Booster:
    frame = category_frame()
    y = frame["street"].cat.codes.to_numpy() % 5
    return xgb.train({"nthread": 1}, xgb.DMatrix(frame, y, enable_categorical=True), 5)


def pruned() -> xgb.XGBRegressor:
    """Gamma prunes grown splits, which leaves deleted nodes in the trees."""
    model = regressor(tree_method="exact", gamma=3.0, max_depth=6)
    deleted = [int(tree["tree_param"]["num_deleted"]) for tree in _trees(model.get_booster())]
    assert max(deleted) > 0
    return model


def reloaded(cls: Any, model: Any) -> Any:
    """A model that came back from a file, as most deployed ones do."""
    fresh = cls()
    fresh.load_model(model.get_booster().save_raw("json"))
    return fresh


def _trees(fitted: xgb.Booster) -> list[dict[str, Any]]:
    import json

    trees: list[dict[str, Any]] = json.loads(fitted.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    return trees


def _halves(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return p - y, np.ones_like(p)


Makers = list[Callable[[], Any]]

REGRESSORS: dict[str, Callable[[], Any]] = {
    "squared": lambda: regressor(),
    "absolute": lambda: regressor(objective="reg:absoluteerror"),
    "pseudohuber": lambda: regressor(objective="reg:pseudohubererror"),
    "squaredlog": lambda: regressor(objective="reg:squaredlogerror"),
    "logistic": lambda: regressor(objective="reg:logistic"),
    "gamma": lambda: regressor(objective="reg:gamma"),
    "tweedie": lambda: regressor(objective="reg:tweedie", tweedie_variance_power=1.3),
    "poisson": lambda: regressor(objective="count:poisson"),
    "cox": lambda: regressor(objective="survival:cox"),
    "quantile": lambda: regressor(objective="reg:quantileerror", quantile_alpha=0.3),
    "quantiles": lambda: regressor(objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9]),
    "custom objective": lambda: regressor(objective=_halves),
    "base score": lambda: regressor(base_score=0.1),
    "missing -1": lambda: xgb.XGBRegressor(missing=-1.0, n_estimators=5, n_jobs=1).fit(
        np.where(np.isnan(numbers()), -1.0, numbers()), _signal(numbers())
    ),
    "missing 0": lambda: regressor(missing=0.0),
    "missing 0.1": lambda: regressor(missing=0.1),
    "float32 thresholds": lambda: regressor(tree_method="exact"),
    "lossguide": lambda: regressor(grow_policy="lossguide", max_leaves=20, max_depth=0),
    "deep": lambda: regressor(max_depth=12, n_estimators=5, min_child_weight=0.0),
    "stumps": lambda: regressor(max_depth=1),
    "no split": lambda: regressor(gamma=1e9),
    "pruned": pruned,
    "dart": lambda: regressor(booster="dart", rate_drop=0.4, skip_drop=0.2),
    "dart base score": lambda: regressor(booster="dart", rate_drop=0.4, base_score=1234.5),
    "parallel trees": lambda: regressor(num_parallel_tree=3, subsample=0.7, n_estimators=4),
    "early stopping": lambda: stopped(xgb.XGBRegressor),
    "early stopping dart": lambda: stopped(xgb.XGBRegressor, booster="dart", rate_drop=0.2, random_state=1),
    "linear": lambda: regressor(booster="gblinear", updater="coord_descent"),
    "linear poisson": lambda: regressor(booster="gblinear", objective="count:poisson", updater="coord_descent"),
    "linear missing": lambda: regressor(booster="gblinear", missing=0.0, updater="coord_descent"),
    "targets": lambda: targets(),
    "targets vector leaf": lambda: targets(multi_strategy="multi_output_tree"),
    "targets linear": lambda: targets(booster="gblinear", updater="coord_descent"),
    "targets dart": lambda: targets(booster="dart", rate_drop=0.3),
    "one-hot categories": lambda: categorical(max_cat_to_onehot=100),
    "partition categories": lambda: categorical(max_cat_to_onehot=1),
    "mixed categories": lambda: categorical(),
    "coded categories": coded_categories,
    "reloaded": lambda: reloaded(xgb.XGBRegressor, regressor(objective="reg:gamma")),
    "reloaded linear": lambda: reloaded(xgb.XGBRegressor, regressor(booster="gblinear", updater="coord_descent")),
}
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "binary": lambda: classifier(),
    "three classes": lambda: classifier(3),
    "seven classes": lambda: classifier(7, n_estimators=4),
    "tied classes": lambda: classifier(3, learning_rate=0.0, base_score=0.5),
    "softmax": lambda: classifier(3, objective="multi:softmax"),
    "softmax of two": lambda: classifier(2, objective="multi:softmax", num_class=2),
    "softprob of two": lambda: classifier(2, objective="multi:softprob", num_class=2),
    "hinge": lambda: classifier(objective="binary:hinge"),
    "logitraw": lambda: classifier(objective="binary:logitraw"),
    "squared error": lambda: classifier(objective="reg:squarederror"),
    "custom objective": lambda: classifier(objective=_halves),
    "labels": lambda: labels(),
    "labels vector leaf": lambda: labels(multi_strategy="multi_output_tree"),
    "dart": lambda: classifier(booster="dart", rate_drop=0.3),
    "dart three classes": lambda: classifier(3, booster="dart", rate_drop=0.3),
    "linear": lambda: classifier(booster="gblinear", updater="coord_descent"),
    "linear three classes": lambda: classifier(3, booster="gblinear", updater="coord_descent"),
    "early stopping": lambda: stopped(xgb.XGBClassifier),
    "base score": lambda: classifier(base_score=0.2),
    "categories": lambda: categorical(xgb.XGBClassifier),
    "reloaded": lambda: reloaded(xgb.XGBClassifier, classifier(3)),
}
RANKERS: dict[str, Callable[[], Any]] = {
    name: lambda name=name: ranker(name)  # type: ignore[misc]
    for name in ("rank:ndcg", "rank:map", "rank:pairwise")
}
FORESTS: dict[str, Callable[[], Any]] = {
    "binary": lambda: classifier(cls=xgb.XGBRFClassifier, n_estimators=15),
    "three classes": lambda: classifier(3, cls=xgb.XGBRFClassifier, n_estimators=6),
}
FOREST_REGRESSORS: dict[str, Callable[[], Any]] = {
    "squared": lambda: xgb.XGBRFRegressor(n_estimators=15, n_jobs=1).fit(numbers(), _signal(numbers())),
    "targets": lambda: xgb.XGBRFRegressor(n_estimators=5, n_jobs=1).fit(
        numbers(), np.column_stack([_signal(numbers()), -_signal(numbers())])
    ),
}
BOOSTERS: dict[str, Callable[[], Any]] = {
    "squared": lambda: booster(),
    "binary": lambda: booster(objective="binary:logistic"),
    "hinge": lambda: booster(objective="binary:hinge"),
    "softprob": lambda: booster(objective="multi:softprob"),
    "softmax": lambda: booster(objective="multi:softmax"),
    "dart": lambda: booster(booster="dart", rate_drop=0.5),
    "dart softprob": lambda: booster(booster="dart", rate_drop=0.5, objective="multi:softprob"),
    "linear": lambda: booster(booster="gblinear", updater="coord_descent"),
    "linear softprob": lambda: booster(booster="gblinear", updater="coord_descent", objective="multi:softprob"),
    "aft": aft,
    "named": named_booster,
    "categories": category_booster,
    "early stopping": lambda: stopped(xgb.XGBRegressor).get_booster(),
    "slice": lambda: booster()[2:6],
}
FITTED_EXAMPLES: dict[str, Makers] = {
    "xgboost.Booster": list(BOOSTERS.values()),
    "xgboost.XGBClassifier": list(CLASSIFIERS.values()),
    "xgboost.XGBRegressor": list(REGRESSORS.values()),
    "xgboost.XGBRanker": list(RANKERS.values()),
    "xgboost.XGBRFClassifier": list(FORESTS.values()),
    "xgboost.XGBRFRegressor": list(FOREST_REGRESSORS.values()),
}
