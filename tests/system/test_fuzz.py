"""Coverage-guided fuzzing of load, validate and run: a bounded count here, more with MLCORE_TEST_SCALE."""

from __future__ import annotations

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cases import scale
from tools import BUILD, ROOT, build, run, unrandomized, with_own_peak

RUNS = 200_000
SECONDS = 120
WORKERS = 2
# what a model may take at most: 128 MiB of values of one row, twice
LIMITS = ["-rss_limit_mb=512", "-timeout=5"]
# freed memory is kept from reuse, but counts against the limit
ENV = {"ASAN_OPTIONS": "quarantine_size_mb=16:detect_leaks=0:allocator_may_return_null=0"}


@pytest.fixture(scope="module")
def fuzzer() -> Path:
    build("fuzz")
    return BUILD / "fuzz" / "fuzz_artifact"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    script = ROOT / "tests" / "fuzz" / "make_corpus.py"
    run([sys.executable, script, folder], env={"PYTHONPATH": os.environ.get("PYTHONPATH", "")})
    return folder


def test_replay_of_stored_and_generated_inputs(fuzzer: Path, seeds: Path) -> None:
    inputs = sorted([*(ROOT / "tests" / "fuzz" / "corpus").iterdir(), *seeds.iterdir()])
    assert len(inputs) >= 200
    printed = run([*with_own_peak(), *unrandomized(), fuzzer, *LIMITS, *inputs], env=ENV)
    assert len(re.findall(r"^Executed ", printed, re.MULTILINE)) == len(inputs)


def test_exploration(fuzzer: Path, seeds: Path, tmp_path: Path) -> None:
    def explore(worker: int) -> int:
        found = tmp_path / str(worker)
        found.mkdir()
        limits = [*LIMITS, f"-runs={scale(RUNS) // WORKERS}", f"-max_total_time={scale(SECONDS)}"]
        command = [fuzzer, *limits, f"-seed={worker + 1}", f"-artifact_prefix={tmp_path}/", "-print_final_stats=1"]
        printed = run(
            [*with_own_peak(), *unrandomized(), *command, found, ROOT / "tests" / "fuzz" / "corpus", seeds],
            env=ENV,
            timeout=4 * scale(SECONDS) + 300,
        )
        done = re.search(r"stat::number_of_executed_units: (\d+)", printed)
        assert done, printed[-2000:]
        return int(done[1])

    with ThreadPoolExecutor(WORKERS) as pool:
        executed = sum(pool.map(explore, range(WORKERS)))
    print(f"fuzz_artifact: {executed:,} runs")
    assert executed >= scale(5_000)  # fewer: the time went elsewhere
