"""YDF, which reads scikit-learn's forests."""

from __future__ import annotations

import ydf
from worker import Ready, Refused, Work, timed


def prepare(work: Work) -> Ready:
    """`ydf.from_sklearn`; its fast engines are chosen by itself."""
    X = work.matrix()
    if work.library != "sklearn":
        raise Refused("reads scikit-learn's models only")
    import joblib

    estimator = joblib.load(work.path("model.joblib"))
    model, seconds = timed(lambda: ydf.from_sklearn(estimator, feature_name="features"))
    return Ready(
        lambda: model.predict({"features": X}, num_threads=work.threads),
        facts={"build_seconds": seconds},
    )
