"""The library that trained the model, called as its documentation says."""

from __future__ import annotations

from typing import Any

import numpy as np
from worker import Ready, Work, median_seconds


def prepare(work: Work) -> Ready:
    """XGBoost's `inplace_predict`, LightGBM's `predict`, or the scikit-learn estimator or pipeline itself."""
    return {"xgboost": _xgboost, "lightgbm": _lightgbm, "sklearn": _sklearn, "pipeline": _pipeline}[work.library](work)


def _single(X: np.ndarray, count: int = 1_000) -> list[np.ndarray]:
    return [X[i : i + 1].copy() for i in range(min(count, len(X)))]


def _xgboost(work: Work) -> Ready:
    import xgboost

    X, path = work.matrix(), work.path("model.ubj")

    def load() -> Any:
        booster = xgboost.Booster({"nthread": work.threads}, model_file=path)
        booster.inplace_predict(X[:1], predict_type="margin")  # the trees are laid out on the first call
        return booster

    booster, rows = load(), _single(X)
    single = xgboost.Booster({"nthread": 1}, model_file=path)
    return Ready(
        lambda: booster.inplace_predict(X, predict_type="margin"),
        lambda i: single.inplace_predict(rows[i], predict_type="margin"),
        len(rows),
        {"load_seconds": median_seconds(load, 3)},
    )


def _lightgbm(work: Work) -> Ready:
    import lightgbm

    X, path = work.matrix(), work.path("model.txt")
    booster, rows = lightgbm.Booster(model_file=path), _single(X)
    return Ready(
        lambda: booster.predict(X, raw_score=True, num_threads=work.threads),
        lambda i: booster.predict(rows[i], raw_score=True, num_threads=1),
        len(rows),
        {"load_seconds": median_seconds(lambda: lightgbm.Booster(model_file=path))},
    )


def _sklearn(work: Work) -> Ready:
    import joblib

    X, path = work.matrix(), work.path("model.joblib")
    model = joblib.load(path)
    model.n_jobs = work.threads
    return Ready(lambda: model.predict(X), facts={"load_seconds": median_seconds(lambda: joblib.load(path))})


def _pipeline(work: Work) -> Ready:
    import joblib
    import pyarrow.feather

    path = work.path("model.joblib")
    pipeline, table = joblib.load(path), pyarrow.feather.read_table(work.path("table.arrow")).to_pandas()
    pipeline[-1].set_params(n_jobs=work.threads)
    rows = [table.iloc[i : i + 1] for i in range(200)]
    return Ready(
        lambda: pipeline.predict_proba(table)[:, 1],
        lambda i: pipeline.predict_proba(rows[i])[0, 1],
        len(rows),
        {"load_seconds": median_seconds(lambda: joblib.load(path))},
    )
