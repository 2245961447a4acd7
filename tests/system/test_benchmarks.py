"""`make bench` on its quickest case: every engine that runs it is timed and checked, and table and plot are written."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tools import ROOT, run


def test_the_quickest_case(tmp_path: Path) -> None:
    env = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    printed = run([sys.executable, ROOT / "benchmarks" / "run.py", "-k", "logistic", "--out", tmp_path], env=env)
    found = [one["extra_info"] for one in json.loads((tmp_path / "bench.json").read_text())["benchmarks"]]
    timed = {(one["engine"], one["rows"]) for one in found if "rows" in one}
    assert timed == {
        (engine, rows) for engine in ("original", "mlcore", "onnxruntime") for rows in (1, 64, 10_000, 100_000)
    }
    assert all(one["rows_off"] == 0 for one in found if one.get("engine") == "mlcore" and "rows" in one)
    table = (tmp_path / "bench.md").read_text()
    assert table in printed
    assert "| table-logistic | 100,000 |" in table
    assert (tmp_path / "bench.svg").read_text().startswith("<?xml")
