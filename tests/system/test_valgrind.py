"""Memory errors and leaks of the C++ tests as they ship: optimised, without sanitizers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from tools import BUILD, ROOT, run

TESTS = BUILD / "wheel" / "mlcore_tests"
# valgrind has no flush-to-zero and computes in the default rounding mode
SUITES = sorted(path.stem.removeprefix("test_") for path in (ROOT / "tests" / "cpp").glob("test_*.cc"))


# valgrind converts 64-bit integers to float32 by way of double, which rounds twice
NOT_THERE = {"batch": ["--run_test=!batch/numbers_convert_as_casts_do"]}


# the longest first
ORDER = ["sliced", "one_row", "artifact", "string_map"]


def watch(suite: str) -> None:
    options = ["--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"]
    run(
        ["valgrind", *options, "--fair-sched=yes", TESTS, f"--run_test={suite}", *NOT_THERE.get(suite, [])],
        # the counts of random trials, which the sanitizer builds run in full
        env={"MLCORE_TEST_SCALE": str(0.02 * float(os.environ.get("MLCORE_TEST_SCALE", "1")))},
    )


@pytest.fixture(scope="module")
def watched() -> Iterator[dict[str, Future[None]]]:
    """All suites, side by side: valgrind runs the threads of a program one at a time."""
    assert TESTS.exists(), f"expected {TESTS} from `make` but found none"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {suite: pool.submit(watch, suite) for suite in dict.fromkeys([*ORDER, *SUITES])}


@pytest.mark.parametrize("suite", SUITES)
def test_no_errors_and_no_leaks(suite: str, watched: dict[str, Future[None]]) -> None:
    watched[suite].result()
