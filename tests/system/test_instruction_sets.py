"""The tests of everything that ends in a forest, at every instruction set and on several threads.

All other tests run with the best instruction set, and their small batches on one thread.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tools import ROOT, run

FLAGS = Path("/proc/cpuinfo").read_text().split()
TREES = ["tests/test_trees.py", "tests/test_matrix.py", "tests/test_golden.py"]
ALL = [*TREES, "tests/frontends"]
QUICK = ["tests/test_trees.py", "tests/test_golden.py"]
# level ("": the best, which `make test` runs whole) and threads, which even the smallest batch of more than one
# chunk goes to
RUNS = [("baseline", 3, ALL), ("", 8, QUICK)] + ([("avx2", 2, ALL)] if {"avx2", "avx512vbmi"} <= set(FLAGS) else [])


@pytest.mark.parametrize(("level", "threads", "files"), RUNS, ids=[level or "best" for level, *_ in RUNS])
def test_forests(level: str, threads: int, files: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *[ROOT / file for file in files]]
    env = {
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "MLCORE_ISA": level,
        "MLCORE_THREADS": str(threads),
        "MLCORE_THREAD_WORK": "0",
    }
    assert " passed" in run(command, env=env)
