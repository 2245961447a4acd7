"""`benchmarks/figures.py` and `instructions.py`: how a run is summed up, and what is called a regression."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import figures
import worker
from instructions import worse


def _run(**seconds: float) -> dict[str, Any]:
    contestants = {name: {"batch_seconds": value, "rows_off": 0} for name, value in seconds.items()}
    contestants["lleaves"] = {"refuses": "reads LightGBM's models only"}
    limits = {"read_bytes_per_second": 1e9, "add_seconds": 1e-9}
    work = {"trees": 500, "rows": 100_000, "input_bytes": 10**6, "limits": limits, "contestants": contestants}
    return {"works": {"encoded": work}, "threads": 2, "instruction_set": "AVX-512"}


def test_a_figure_has_its_best_peer_its_goals_and_its_limit() -> None:
    run = _run(original=0.6, mlcore=0.02, oneDAL=0.2)
    line = figures.sum_up(figures.FIGURES[0], run)
    assert line is not None
    assert line["best_peer"] == "oneDAL"
    assert line["ratio"] == pytest.approx(10.0)
    assert [(goal["than"], round(goal["found"], 9)) for goal in line["reach"]] == [("oneDAL", 10.0), ("original", 30.0)]
    assert line["limit_share"] == pytest.approx(0.05)
    text = figures.figures_table(run | {"figures": [line]})
    assert "oneDAL, 4 ns/row/tree | 0.4 ns/row/tree | 10 x" in text
    assert "12 x oneDAL: not reached (10 x); 25 x original: reached (30 x)" in text
    assert "reading 1 MB at 1 GB/s: 5 %" in text
    assert "| encoded | lleaves | reads LightGBM's models only |" in figures.contestants_table(run)


def test_figures_of_works_that_did_not_run_are_left_out() -> None:
    run = _run(original=0.6, mlcore=0.02)
    lines = [figures.sum_up(figure, run) for figure in figures.FIGURES]
    assert [line["work"] for line in lines if line is not None] == ["encoded"]


def test_a_run_fails_unless_mlcore_has_the_originals_bits() -> None:
    good = {"exact": True, "rows_off": 0, "max_difference": 0.0}
    figures._check("encoded", {"mlcore": good})
    for bad in ({"exact": False}, {"rows_off": 1}):
        with pytest.raises(AssertionError, match="encoded"):
            figures._check("encoded", {"mlcore": good | bad})
    with pytest.raises(AssertionError, match="refuses"):
        figures._check("encoded", {"mlcore": {"refuses": "a reason"}})


def test_rows_off_are_more_than_rounding_and_not_a_number_is_off() -> None:
    expected = np.array([1.0, 100.0, 2.0, 3.0])
    found = np.array([1.0 + 1e-6, 100.0 + 5e-4, 2.1, np.nan])
    compared = worker.compare(found, expected)
    assert compared["rows_off"] == 2
    assert not compared["exact"]
    assert worker.compare(expected, expected)["exact"]
    assert not worker.compare(expected.astype(np.float32), expected)["exact"]


def test_more_instructions_are_a_regression_and_fewer_are_not() -> None:
    stored = {"dot, avx2": {"per_row": 100.0}, "one-hot, avx2": {"per_row": 100.0}}
    assert worse(stored, stored, 0.1) == []
    assert worse(stored, {"dot, avx2": {"per_row": 50.0}, "one-hot, avx2": {"per_row": 109.0}}, 0.1) == []
    found = worse(stored, {"dot, avx2": {"per_row": 120.0}}, 0.1)
    assert found == [
        "dot, avx2: expected at most 110.0 instructions per row but found 120.0",
        "one-hot, avx2: stored but not counted",
    ]
