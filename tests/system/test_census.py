"""examples/census.py the whole way on a generated table; the second process has NumPy and mlcore alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cases import scale
from mlcore.datasets import transactions
from tools import ROOT, run


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
