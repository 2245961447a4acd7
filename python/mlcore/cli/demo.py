"""``mlcore demo``: from a fitted pipeline to a proven file, on generated data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

import mlcore
from mlcore._optional import import_optional
from mlcore.cli.models import _duration, _timed
from mlcore.datasets import transactions

__all__ = ["run_demo"]


def _pipeline() -> tuple[Any, str]:
    compose = import_optional("sklearn.compose", "mlcore demo")
    impute = import_optional("sklearn.impute", "mlcore demo")
    pipeline = import_optional("sklearn.pipeline", "mlcore demo")
    preprocessing = import_optional("sklearn.preprocessing", "mlcore demo")
    numbers = pipeline.make_pipeline(impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler())
    names = preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=50)
    features = compose.ColumnTransformer(
        [
            ("numbers", numbers, ["amount", "balance", "age_of_card", "velocity"]),
            ("names", names, ["merchant", "country", "channel"]),
            ("flag", "passthrough", ["is_recurring"]),
            ("time", preprocessing.MinMaxScaler(), ["time"]),
        ],
        sparse_threshold=0.0,
    )
    try:
        xgboost = import_optional("xgboost", "the demo's model")
    except mlcore.MlcoreError:
        ensemble = import_optional("sklearn.ensemble", "mlcore demo")
        return pipeline.make_pipeline(features, ensemble.HistGradientBoostingClassifier()), "HistGradientBoosting"
    model = xgboost.XGBClassifier(n_estimators=200, max_depth=6, learning_rate=0.1, n_jobs=1)
    return pipeline.make_pipeline(features, model), "XGBoost"


def run_demo(output: Path, rows: int) -> None:
    """Fit, compile, prove, save, load and time; prints what it does."""
    table, fraud = transactions(rows)
    pipeline, name = _pipeline()
    print(f"1. fit a scikit-learn pipeline with {name} on {rows:,} generated card transactions")
    start = time.perf_counter()
    pipeline.fit(table, fraud)
    print(f"   {_duration(time.perf_counter() - start)}")

    fresh, _ = transactions(5_000, seed=1, unseen=0.1)
    print("2. compile it; the proof runs on generated boundary rows and on 5,000 new rows with unseen merchants")
    model = mlcore.compile(pipeline, fresh)
    print("\n".join("   " + line for line in str(model.parity).splitlines()))

    model.save(output)
    print(f"3. saved {output} ({output.stat().st_size / 1024:,.0f} KiB); loading it runs no code")
    loaded = mlcore.load(output)
    same = np.array_equal(loaded.predict_proba(fresh), model.predict_proba(fresh))
    print(f"   loaded again: {'the same bytes' if same else 'DIFFERENT BYTES'}")

    print("4. speed beside the original, one thread, same rows, median")
    print(f"   {'rows':>7}  {'original':>10}  {'mlcore':>10}  {'ratio':>6}")
    for count in (1, 64, 5_000):
        part = fresh.iloc[:count]
        theirs = _timed(lambda part=part: pipeline.predict_proba(part), 0.5)  # type: ignore[misc]
        ours = _timed(lambda part=part: loaded.predict_proba(part), 0.5)  # type: ignore[misc]
        print(f"   {count:>7,}  {_duration(theirs):>10}  {_duration(ours):>10}  {theirs / ours:>5.1f}x")
    row = dict(fresh.iloc[0].items())
    ours = _timed(lambda: loaded.row(row), 0.5)
    theirs = _timed(lambda: pipeline.predict_proba(fresh.iloc[:1]), 0.5)
    print(f"   {'row()':>7}  {_duration(theirs):>10}  {_duration(ours):>10}  {theirs / ours:>5.0f}x")
    print(f"\n{loaded}")
