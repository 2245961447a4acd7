"""Memory errors and leaks of the C++ tests as they ship: optimised, without sanitizers."""

from __future__ import annotations

import os

import pytest
from tools import BUILD, ROOT, run

TESTS = BUILD / "wheel" / "mlcore_tests"
# valgrind has no flush-to-zero and computes in the default rounding mode
SUITES = sorted(path.stem.removeprefix("test_") for path in (ROOT / "tests" / "cpp").glob("test_*.cc"))


# valgrind converts 64-bit integers to float32 by way of double, which rounds twice
NOT_THERE = {"batch": ["--run_test=!batch/numbers_convert_as_casts_do"]}


@pytest.mark.parametrize("suite", SUITES)
def test_no_errors_and_no_leaks(suite: str) -> None:
    assert TESTS.exists(), f"expected {TESTS} from `make` but found none"
    options = ["--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"]
    run(
        ["valgrind", *options, "--fair-sched=yes", TESTS, f"--run_test={suite}", *NOT_THERE.get(suite, [])],
        # the counts of random trials, which the sanitizer builds run in full
        env={"MLCORE_TEST_SCALE": str(0.02 * float(os.environ.get("MLCORE_TEST_SCALE", "1")))},
    )
