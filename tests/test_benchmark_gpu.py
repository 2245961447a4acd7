"""`benchmarks/gpu.py` on the emulated device: it runs from fit to tables, and says what is missing without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import emulated
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
pytestmark = pytest.mark.skipif(emulated.REAL, reason="of the emulated device")


def gpu(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCHMARKS / "gpu.py", "--small", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_all_of_it(tmp_path: Path) -> None:
    done = gpu("--emulated", "--work", tmp_path / "work", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "gpu.json").read_text())
    assert run["card"] == "no GPU"
    for layout in ("columns", "rows"):
        for rows in ("1", "33", "1200"):
            times = run["forest"]["seconds"][layout][rows]
            assert set(times) == {
                "mlcore", "mlcore, few", "mlcore, walk", "mlcore, rank", "mlcore, sliced", "a thread for each row",
            }  # fmt: skip
            assert all(time > 0 for time in times.values())
    assert set(run["forest"]["rows_off"].values()) == {0}
    assert run["forest"]["chosen"][0][1] == "few, from 513 rows on sliced"
    assert run["transform"]["1200"]["bytes"] == 2 * 1200 * 7 * 4
    assert run["road"]["33"].keys() == {"host", "columns", "cpu", "cpu_threads"}
    table = (tmp_path / "gpu.md").read_text()
    assert table in done.stdout
    assert "| mlcore, sliced |" in table
    assert "at least 0.5 G rows/s: not reached" in table


def test_a_wrong_bit_is_no_figure(tmp_path: Path) -> None:
    import numpy as np

    assert gpu("--prepare", "--work", tmp_path).returncode == 0
    expected = np.load(tmp_path / "expected.npy")
    expected[17] = np.nextafter(expected[17], np.float32(9))
    np.save(tmp_path / "expected.npy", expected)
    done = gpu("--emulated", "--work", tmp_path, "--out", tmp_path)
    assert done.returncode == 1
    assert "mlcore: 33 rows differ from the CPU's" in done.stderr
    assert not (tmp_path / "gpu.json").exists()


def test_what_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCORE_CUDA_LIBRARY", str(tmp_path / "none.so"))
    assert gpu("--prepare", "--work", tmp_path).returncode == 0
    for options in ((), ("--emulated",)):
        done = gpu("--work", tmp_path, "--out", tmp_path, *options)
        assert done.returncode == 1
        assert done.stderr.startswith("expected a GPU, libmlcore_cuda.so and CuPy but found: ")
        assert done.stderr.count("\n") == 1
