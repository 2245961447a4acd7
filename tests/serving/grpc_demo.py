"""The page about gRPC: its commands, with a small model in the place of the demo's, which times itself for seconds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mlcore
import pytest
from mlcore.datasets import transactions
from serving_pages import run_page
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OrdinalEncoder
from xgboost import XGBClassifier

__all__ = ["run_grpc_page"]


def _small_demo() -> mlcore.Model:
    """A model of the demo's columns."""
    table, marks = transactions(400)
    names = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    features = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), ["amount", "balance", "age_of_card", "velocity"]),
            ("flag", "passthrough", ["is_recurring"]),
            ("names", names, ["merchant", "country", "channel"]),
            ("time", MinMaxScaler(), ["time"]),
        ],
        sparse_threshold=0.0,
    )
    pipeline = make_pipeline(features, XGBClassifier(n_estimators=5, n_jobs=1)).fit(table, marks)
    return mlcore.compile(pipeline, table)


def run_grpc_page(folder: Path, patch: pytest.MonkeyPatch, packages: Path | None = None) -> tuple[str, mlcore.Model]:
    """What the commands printed, and the model that they served; with ``packages`` Triton's client runs too."""
    patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # the reader's python is ours
    model = _small_demo()
    model.save(folder / "small.mlc")
    (folder / "reader").mkdir()
    printed = run_page("serving-grpc.md", folder / "reader", folder / "small.mlc", curl="translated", packages=packages)
    return printed, model
