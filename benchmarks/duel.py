"""Contestants side by side: each in a process of its own, one running at a time, taking turns."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent / "build" / "bench-env"

# contestant: its module, and its environment under build/bench-env where it has one
CONTESTANTS: dict[str, tuple[str, str | None]] = {
    "original": ("original", None),
    "mlcore": ("mlcore_engine", None),
    "mlcore, AVX2": ("mlcore_engine", None),
    "oneDAL": ("onedal", "onedal"),
    "lleaves": ("lleaves_llvm", "lleaves"),
    "TL2cgen": ("tl2cgen_c", "tl2cgen"),
    "ONNX Runtime": ("onnxruntime_session", None),
    "treelite": ("treelite_gtil", None),
    "YDF": ("ydf_forest", "ydf"),
    "Polars, features alone": ("polars_features", None),
}
READY_SECONDS = 1_800.0  # conversions with a compiler behind them
ANSWER_SECONDS = 300.0
SLOW_SECONDS = 2.0  # a contestant that takes so long for the table gets SLOW_TURNS turns
SLOW_TURNS = 3


class Gone(Exception):
    """The process ended or does not answer; the message says what it printed last."""


class Process:
    """A contestant's process."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        module, environment = CONTESTANTS[name]
        python = sys.executable
        if environment is not None:
            python = str(ENVIRONMENTS / environment / "bin" / "python")
            if not (ENVIRONMENTS / environment / "installed").exists():
                failed = (ENVIRONMENTS / environment / "failed").exists()
                raise Gone("cannot be installed here" if failed else "not installed; make bench-peers")
        variables = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "POLARS_MAX_THREADS": threads}
        variables |= {"MLCORE_THREADS": threads} | ({"MLCORE_ISA": "avx2"} if name == "mlcore, AVX2" else {})
        env = os.environ | {key: str(value) for key, value in variables.items()}
        if environment is not None:
            env.pop("PYTHONPATH", None)
        self.log = (folder / f"{name}.log").open("w+")
        self.process = subprocess.Popen(
            [python, HERE / "worker.py", module, folder, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=env,
        )  # fmt: skip
        self.first = self._answer(READY_SECONDS)

    def ask(self, command: Any) -> dict[str, Any]:
        """Send a command; the answer."""
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Gone(self._last_words()) from None
        return self._answer(ANSWER_SECONDS)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.log.close()

    def _answer(self, seconds: float) -> dict[str, Any]:
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                self.close()
                raise Gone(f"no answer in {seconds:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise Gone(self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        code = self.process.wait()
        self.log.seek(0)
        return f"ended with code {code}: {(self.log.read().strip().splitlines() or ['no message'])[-1][:160]}"


@contextlib.contextmanager
def contestants(names: list[str], folder: Path, threads: int) -> Iterator[tuple[dict[str, Process], dict[str, str]]]:
    """Start the contestants one after another; those that are ready, and why the others are not."""
    ready: dict[str, Process] = {}
    refused: dict[str, str] = {}
    try:
        for name in names:
            try:
                process = Process(name, folder, threads)
            except Gone as gone:
                refused[name] = str(gone)
                continue
            if "refuses" in process.first:
                refused[name] = process.first["refuses"]
                process.close()
            else:
                ready[name] = process
        yield ready, refused
    finally:
        for process in ready.values():
            process.close()


def duel(names: list[str], folder: Path, threads: int, rounds: int, row_count: int = 0) -> dict[str, Any]:
    """Check every contestant's output, then time them in turns.

    Parameters
    ----------
    names : list of str
        From `CONTESTANTS`.
    folder : Path
        A work's folder.
    threads : int
        For the whole table; single rows take one.
    rounds : int
        Turns of each contestant; slow ones get fewer.
    row_count : int
        Single rows timed per turn; 0: none.

    Returns
    -------
    dict
        By contestant: facts, rows off, ``batch_seconds`` (median) and ``row_seconds`` (median, 99th percentile); or
        ``refuses``.
    """
    with contestants(names, folder, threads) as (ready, refused):
        out: dict[str, Any] = {name: {"refuses": why} for name, why in refused.items()}
        batches: dict[str, list[float]] = {}
        rows: dict[str, list[float]] = {}
        for name, process in ready.items():
            out[name] = {key: value for key, value in process.first.items() if key != "ready"}
            if name != "Polars, features alone":  # it compared its features itself
                out[name] |= process.ask("check")
            batches[name], rows[name] = [], []
        for turn in range(rounds):
            for name, process in ready.items():
                if turn >= SLOW_TURNS and batches[name][0] > SLOW_SECONDS:
                    continue
                time.sleep(0.05)  # threads of the one before may spin a little longer
                batches[name] += process.ask("batch")["seconds"]
        for _ in range(rounds if row_count else 0):
            for name, process in ready.items():
                if process.first["rows"]:
                    time.sleep(0.05)
                    # a whole estimator takes milliseconds for a row
                    slow = name == "original"
                    rows[name] += process.ask({"row": row_count // 20 if slow else row_count})["seconds"]
        for name in ready:
            if batches[name]:
                out[name]["batch_seconds"] = statistics.median(batches[name])
            if rows[name]:
                quantiles = statistics.quantiles(rows[name], n=100)
                out[name]["row_seconds"] = [statistics.median(rows[name]), quantiles[98]]
        return out
