"""oneDAL by way of daal4py, which converts XGBoost's and LightGBM's models."""

from __future__ import annotations

import warnings
from typing import Any

import daal4py
from worker import Ready, Refused, Work, timed


def prepare(work: Work) -> Ready:
    """`daal4py.mb.convert_model`, as Intel's guide shows it."""
    warnings.simplefilter("ignore")
    X = work.matrix()
    booster: Any
    if work.library == "xgboost":
        import xgboost

        booster = xgboost.Booster(model_file=work.path("model.ubj"))
    elif work.library == "lightgbm":
        import lightgbm

        booster = lightgbm.Booster(model_file=work.path("model.txt"))
    else:
        raise Refused("converts gradient boosting only")
    daal4py.daalinit(work.threads)
    model, seconds = timed(lambda: daal4py.mb.convert_model(booster))
    rows = [X[i : i + 1].copy() for i in range(1_000)]
    return Ready(lambda: model.predict(X), lambda i: model.predict(rows[i]), len(rows), {"build_seconds": seconds})
