"""`benchmarks/compare.py`: ratios, not times; a regression beyond the band, or a benchmark that is gone, fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def one(engine: str, rows: int, median: float, case: str = "table-xgboost") -> dict[str, object]:
    """One entry of a file that pytest-benchmark writes."""
    return {
        "name": f"test_predict[{engine}-{case}-{rows}]",
        "extra_info": {"case": case, "engine": engine, "rows": rows, "max_difference": 0.0, "rows_off": 0},
        "stats": {"median": median},
    }


def compare(folder: Path, old: list[dict[str, object]], new: list[dict[str, object]], *options: str) -> tuple[int, str]:
    paths = [folder / "old.json", folder / "new.json"]
    for path, entries in zip(paths, (old, new), strict=True):
        path.write_text(json.dumps({"benchmarks": entries}))
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "compare.py", *paths, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


OLD = [one("original", 1, 10.0), one("mlcore", 1, 1.0), one("original", 64, 20.0), one("mlcore", 64, 4.0)]


@pytest.mark.parametrize(("growth", "code"), [(1.0, 0), (0.5, 0), (1.2, 0), (1.3, 1)])
def test_the_ratio_counts_and_not_the_time(growth: float, code: int, tmp_path: Path) -> None:
    # a machine three times as slow is no regression; mlcore alone slower is one
    new = [one("original", 1, 30.0), one("mlcore", 1, 3.0 * growth), one("original", 64, 60.0), one("mlcore", 64, 12.0)]
    found, printed = compare(tmp_path, OLD, new)
    assert found == code
    assert ("SLOWER" in printed) == bool(code)
    assert "table-xgboost, 64 rows" in printed


def test_the_band_is_the_callers(tmp_path: Path) -> None:
    new = [one("original", 1, 10.0), one("mlcore", 1, 1.5), *OLD[2:]]
    assert compare(tmp_path, OLD, new, "--band", "0.6")[0] == 0
    assert compare(tmp_path, OLD, new, "--band", "0.4")[0] == 1


def test_what_is_gone_is_a_regression(tmp_path: Path) -> None:
    code, printed = compare(tmp_path, OLD, OLD[:2])
    assert code == 1
    assert "GONE" in printed
    assert compare(tmp_path, OLD, [])[0] == 1


def test_kept_runs_compare_as_well(tmp_path: Path) -> None:
    def figure(seconds: float) -> dict[str, object]:
        return {"work": "encoded", "what": "margin", "mlcore": seconds, "peers": {"original": 10.0, "oneDAL": 5.0}}

    def compared(seconds: float) -> tuple[int, str]:
        for name, mlcore, rows in (("old", 1.0, OLD), ("new", seconds, OLD)):
            pipelines = [one["extra_info"] | one["stats"] for one in rows]  # type: ignore[operator]
            (tmp_path / f"{name}.json").write_text(json.dumps({"figures": [figure(mlcore)], "pipelines": pipelines}))
        done = subprocess.run(
            [sys.executable, ROOT / "benchmarks" / "compare.py", tmp_path / "old.json", tmp_path / "new.json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    assert compared(1.1)[0] == 0
    code, printed = compared(1.4)
    assert code == 1
    assert "SLOWER" in printed
    assert "encoded: margin" in printed
    assert "ok" in printed
    assert "table-xgboost, 64 rows" in printed
