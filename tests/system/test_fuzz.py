"""Coverage-guided fuzzing of model files and of HTTP requests: a bounded count here, more with MLCORE_TEST_SCALE."""

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
REQUEST_SECONDS = 45
WORKERS = 2
# what a model may take at most: 128 MiB of values of one row, twice
LIMITS = ["-rss_limit_mb=512", "-timeout=5"]
# freed memory is kept from reuse, but counts against the limit
ENV = {"ASAN_OPTIONS": "quarantine_size_mb=16:detect_leaks=0:allocator_may_return_null=0"}


@pytest.fixture(scope="module")
def fuzzers() -> Path:
    build("fuzz")
    return BUILD / "fuzz"


@pytest.fixture(scope="module")
def fuzzer(fuzzers: Path) -> Path:
    return fuzzers / "fuzz_artifact"


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


def explored(fuzzer: Path, seeds: list[Path], tmp_path: Path, seconds: float, env: dict[str, str]) -> int:
    """Let both cores mutate the seeds for a while; give how many inputs were tried."""

    def explore(worker: int) -> int:
        found = tmp_path / str(worker)
        found.mkdir()
        limits = [*LIMITS, f"-runs={scale(RUNS) // WORKERS}", f"-max_total_time={scale(seconds)}"]
        command = [fuzzer, *limits, f"-seed={worker + 1}", f"-artifact_prefix={tmp_path}/", "-print_final_stats=1"]
        printed = run(
            [*with_own_peak(), *unrandomized(), *command, found, *seeds],
            env=env,
            timeout=4 * scale(seconds) + 300,
        )
        done = re.search(r"stat::number_of_executed_units: (\d+)", printed)
        assert done, printed[-2000:]
        return int(done[1])

    with ThreadPoolExecutor(WORKERS) as pool:
        executed = sum(pool.map(explore, range(WORKERS)))
    print(f"{fuzzer.name}: {executed:,} runs")
    return executed


def test_exploration(fuzzer: Path, seeds: Path, tmp_path: Path) -> None:
    executed = explored(fuzzer, [ROOT / "tests" / "fuzz" / "corpus", seeds], tmp_path, SECONDS, ENV)
    assert executed >= scale(5_000)  # fewer: the time went elsewhere


def test_requests(fuzzers: Path, tmp_path: Path) -> None:
    """The HTTP server from the bytes of a request to those of its answer."""
    models, seeds = tmp_path / "models", tmp_path / "seeds"
    script = ROOT / "tests" / "fuzz" / "make_requests.py"
    run([sys.executable, script, models, seeds], env={"PYTHONPATH": os.environ.get("PYTHONPATH", "")})
    env = {**ENV, "MLCORE_FUZZ_MODELS": str(models)}
    executed = explored(fuzzers / "fuzz_http", [seeds], tmp_path, REQUEST_SECONDS, env)
    assert executed >= scale(5_000)
