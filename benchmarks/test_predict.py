"""Latency of probabilities: every engine on every case, side by side in one run, outputs checked first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import CASES, ENGINES, ROWS, engine, fitted
from threadpoolctl import threadpool_limits

BATCHES = (1, 64, 10_000, ROWS)
HERE = Path(__file__).resolve().parent


def _ready(name: str, case: str):
    try:
        return engine(name, case)
    except NotImplementedError as error:
        pytest.skip(f"{name} cannot run {case}: {error}")


@pytest.mark.parametrize("rows", BATCHES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ENGINES)
def test_predict(benchmark, name: str, case: str, rows: int) -> None:
    contestant, original = _ready(name, case), engine("original", case)
    benchmark.group = f"{case}, {rows} rows"
    with threadpool_limits(1):
        found, expected = contestant.predict(rows), original.predict(rows)
        difference = float(np.max(np.abs(found.astype(np.float64) - expected)))
        benchmark.extra_info |= {
            "case": case, "engine": name, "rows": rows, "max_difference": difference,
            "rows_off": int(np.sum(np.abs(found - expected) > 1e-6)),
        }  # fmt: skip
        if name == "mlcore":
            assert difference <= 1e-6, f"mlcore differs from the original by {difference}"
        rounds = {1: 200, 64: 60, 10_000: 7}.get(rows, 3)
        benchmark.pedantic(contestant.predict, args=(rows,), rounds=rounds, warmup_rounds=1)


@pytest.mark.parametrize("case", CASES)
def test_row(benchmark, case: str) -> None:
    """One row as a Python service has it: a dict."""
    estimator, table = fitted(case)
    model = engine("mlcore", case).load()
    row = table.iloc[0].to_dict() if hasattr(table, "iloc") else dict(zip(model.columns, table[0], strict=True))
    expected = estimator.predict_proba(table.iloc[:1] if hasattr(table, "iloc") else table[:1])[0]
    assert np.allclose(list(model.row(row).values()), expected, rtol=0, atol=1e-6)
    benchmark.extra_info |= {"case": case}
    benchmark.pedantic(model.row, args=(row,), rounds=2_000, warmup_rounds=100)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ENGINES)
def test_load(benchmark, name: str, case: str) -> None:
    contestant = _ready(name, case)
    benchmark.extra_info |= {
        "case": case, "engine": name, "size": contestant.size, "convert_seconds": contestant.save_seconds,
    }  # fmt: skip
    benchmark.pedantic(contestant.load, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("name", ["original", "mlcore"])
def test_peak_memory(benchmark, name: str) -> None:
    """Peak resident memory of a fresh process that loads the model and predicts 100,000 rows."""
    script = HERE / "peak_memory.py"
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}

    def measure() -> int:
        output = subprocess.run([sys.executable, script, name], check=True, capture_output=True, text=True, env=env)
        return int(output.stdout)

    benchmark.extra_info |= {"engine": name, "peak_bytes": benchmark.pedantic(measure, rounds=1)}
