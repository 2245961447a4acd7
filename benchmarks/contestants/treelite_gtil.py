"""treelite's own evaluator, GTIL."""

from __future__ import annotations

import treelite
from worker import Ready, Work, median_seconds, timed


def prepare(work: Work) -> Ready:
    """Convert, save, load, and predict the raw margin."""
    X = work.matrix()
    if work.library == "xgboost":
        model, seconds = timed(lambda: treelite.frontend.load_xgboost_model(work.path("model.ubj")))
    elif work.library == "lightgbm":
        model, seconds = timed(lambda: treelite.frontend.load_lightgbm_model(work.path("model.txt")))
    else:
        import joblib

        model, seconds = timed(lambda: treelite.sklearn.import_model(joblib.load(work.path("model.joblib"))))
    path = work.path("model.treelite")
    model.serialize(path)
    return Ready(
        lambda: treelite.gtil.predict(model, X, nthread=work.threads, pred_margin=True),
        facts={"build_seconds": seconds, "load_seconds": median_seconds(lambda: treelite.Model.deserialize(path))},
    )
