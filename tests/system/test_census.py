"""examples/census.py the whole way on a generated table, and a model served, beside NumPy and mlcore alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import mlcore
from cases import scale
from mlcore.datasets import transactions
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tools import ROOT, run
from xgboost import XGBClassifier


def test_identical_bytes_beside_numpy_alone(bare_python: Path, tmp_path: Path) -> None:
    frame, fraud = transactions(scale(4_000))
    frame["label"] = ["yes" if value else "no" for value in fraud]
    table = tmp_path / "table.csv"
    frame.drop(columns="time").to_csv(table, index=False)
    printed = run(
        [sys.executable, ROOT / "examples" / "census.py", table, "--target", "label", "--python", bare_python],
        env={"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )
    for kind in ("xgboost", "lightgbm", "histgradientboosting"):
        assert f"{kind}: identical bytes in {bare_python}" in printed


def test_mlcore_serve_answers_curl_within_a_second(bare_python: Path, tmp_path: Path) -> None:
    """From the command in a fresh environment to the answer for a row, process start and load included."""
    frame, fraud = transactions(2_000)
    features = make_column_transformer(
        (StandardScaler(), ["amount"]), (OneHotEncoder(handle_unknown="ignore"), ["merchant"])
    )
    pipeline = make_pipeline(features, XGBClassifier(n_estimators=200, n_jobs=1)).fit(frame, fraud)
    model = mlcore.compile(pipeline, frame.iloc[:300])
    model.save(tmp_path / "census.mlc")
    row = {"amount": 12.5, "merchant": str(frame["merchant"].iloc[0])}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    curl = ["curl", "--silent", "--fail", "--json", json.dumps([row])]
    url = f"http://127.0.0.1:{port}/v1/models/census/rows"
    # a first start reads the package from the disk
    run([bare_python.parent / "mlcore", "serve", "--help"])
    start = time.monotonic()
    server = subprocess.Popen([bare_python.parent / "mlcore", "serve", tmp_path / "census.mlc", "--port", str(port)])
    try:
        answer = ""
        while not answer and time.monotonic() < start + 30:
            answer = subprocess.run([*curl, url], capture_output=True, text=True, check=False).stdout
        taken = time.monotonic() - start
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert json.loads(answer)["rows"][0]["predict"] == int(model.predict([row])[0])
    assert taken < 1, f"expected an answer within a second but it took {taken:.2f} s"
