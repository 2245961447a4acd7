"""Schemathesis makes requests, good and bad, out of the server's own OpenAPI document, and judges the answers."""

from __future__ import annotations

import sys
from pathlib import Path

import mlcore
import numpy as np
import pandas as pd
import pytest
from cases import scale
from mlcore.serving import spawn
from serving_models import make_models
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from tools import CLIENTS, run

# Most models refuse some rows that fit their columns, such as a missing value where a step knows none; `anything` takes
# every row, so that for it a refused request is a fault of the document or of the server.
CONFIG = """
[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-path-regex = "^/v1/models/anything[:/]"
checks.positive_data_acceptance.enabled = true
"""


def _anything() -> mlcore.Model:
    rows = 200
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "amount": rng.normal(size=rows),
            "rate": rng.normal(size=rows).astype(np.float32),
            "visits": rng.integers(-9, 9, rows),
            "city": pd.Series(rng.choice(["Oslo", "São Paulo", ""], rows), dtype=object),
        }
    )
    frame.loc[::11, "city"] = None
    features = ColumnTransformer(
        [
            ("city", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]),
            ("visits", StandardScaler(), ["visits"]),
            ("numbers", "passthrough", ["amount", "rate"]),
        ]
    )
    marks = (frame["amount"] > 0) ^ (frame["city"] == "Oslo")
    return mlcore.compile(make_pipeline(features, HistGradientBoostingClassifier(max_iter=4)).fit(frame, marks), frame)


def _dated() -> mlcore.Model:
    times = pd.date_range("2024-02-28", periods=50, freq="h", tz="UTC", unit="us")
    frame = pd.DataFrame({"when": times, "local": times.tz_localize(None)})
    scaled = ColumnTransformer([("when", MinMaxScaler(), ["when"]), ("local", MinMaxScaler(), ["local"])])
    return mlcore.compile(make_pipeline(scaled, LinearRegression()).fit(frame, np.arange(50.0)), frame)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    for name, model in {"mixed": make_models()["mixed"], "anything": _anything(), "dated": _dated()}.items():
        model.save(folder / f"{name}.mlc")
    return folder


def test_the_document_is_kept(folder: Path, tmp_path: Path) -> None:
    """Nothing ends in a 5xx; statuses, types and schemas are those of the document; what it forbids is refused."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with spawn(folder, loops=1, default_model="mixed") as server:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--no-color"]
        command += ["--max-examples", str(scale(12)), "--continue-on-failure", "--output-sanitize", "false"]
        command += ["--generation-deterministic", "--phases", "coverage,fuzzing"]
        printed = run(command, cwd=tmp_path, env={"PYTHONPATH": str(CLIENTS)})
        assert server.returncode is None, server.log
    assert "No issues found" in printed, printed
    assert server.returncode == 0, server.log
