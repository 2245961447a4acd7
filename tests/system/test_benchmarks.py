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


def test_a_small_work(tmp_path: Path) -> None:
    """Contestants in processes of their own: timed, checked, summed up; a peer that is not installed is named."""
    env = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, ROOT / "benchmarks" / "run.py", "--small", "--select", "leaves", "--out", tmp_path]
    printed = run(command, env=env)
    kept = json.loads((tmp_path / "figures.json").read_text())
    work = kept["works"]["leaves"]
    installed = (ROOT / "build" / "bench-env" / "lleaves" / "installed").exists()
    for name, one in work["contestants"].items():
        if "refuses" in one:
            assert name in {"oneDAL", "TL2cgen", "lleaves", "mlcore, AVX2"}
            assert f"| leaves | {name} | {one['refuses']} |" in printed
        else:
            assert one["batch_seconds"] > 0
            assert name == "oneDAL" or one["rows_off"] == 0  # oneDAL keeps LightGBM's doubles as float32
    assert work["contestants"]["mlcore"]["exact"]
    assert ("refuses" not in work["contestants"]["lleaves"]) == installed
    figure = kept["figures"][0]
    assert figure["ratio"] == figure["peers"][figure["best_peer"]] / figure["mlcore"]
    assert figure["limit_share"] == work["input_bytes"] / work["limits"]["read_bytes_per_second"] / figure["mlcore"]
    assert (tmp_path / "figures.svg").read_text().startswith("<svg")


def test_the_server_under_load() -> None:
    """mlcore's server alone: bits checked, load without errors, all figures there."""
    env = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, ROOT / "benchmarks" / "serve_bench.py", "--select", "mlcore_unix", "--seconds", "0.2"]
    printed = run([*command, "--rounds", "1", "--trees", "10"], env=env)
    one = json.loads((ROOT / "build" / "serve-bench" / "run.json").read_text())["contestants"]["mlcore_unix"]
    assert one["rows_off"] == 0
    assert one["start_ms"] > 0
    assert set(one["loads"]) == {"1", "16", "64", "open"}
    assert all(0 < load["p50_us"] <= load["p99_us"] <= load["p999_us"] for load in one["loads"].values())
    assert "| mlcore, rows, Unix socket |" in printed
