"""The tests of everything that ends in a forest, at every instruction set but the best, which all other tests use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tools import ROOT, run

FLAGS = Path("/proc/cpuinfo").read_text().split()
LEVELS = ["baseline"] + (["avx2"] if {"avx2", "avx512vbmi"} <= set(FLAGS) else [])
FOLDERS = ["tests/test_trees.py", "tests/test_matrix.py", "tests/test_golden.py", "tests/frontends"]


@pytest.mark.parametrize("level", LEVELS)
def test_forests(level: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *[ROOT / folder for folder in FOLDERS]]
    env = {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "MLCORE_ISA": level}
    assert " passed" in run(command, env=env)
