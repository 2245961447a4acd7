"""Running commands for the system tests: what fails says what it printed."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"
CLIENTS = BUILD / "system-env" / "clients"

# of the make and the shell around us; a command must not depend on them
_INHERITED = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")


def run(
    command: Sequence[object], *, env: Mapping[str, str] | None = None, cwd: Path = ROOT, timeout: float = 1800
) -> str:
    """Run a command; give what it printed, or fail with the end of it."""
    variables = {name: value for name, value in os.environ.items() if name not in _INHERITED}
    done = subprocess.run(
        [str(part) for part in command],
        env={**variables, **(env or {})},
        cwd=cwd,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        shown = " ".join(map(str, command))
        raise AssertionError(f"exit code {done.returncode} of: {shown}\n{done.stdout[-8000:]}")
    return done.stdout


def build(preset: str) -> None:
    """Build a sanitizer's or fuzzer's tree with the Makefile's own target."""
    run(["make", "--silent", preset, f"PYTHON={sys.executable}"])


def with_own_peak() -> list[str]:
    """Give what to put before a command that watches its peak of memory.

    Linux hands the peak of a process on to what is executed in it, so a child of pytest would begin with the
    hundreds of megabytes that the collected tests take; a child of a shell begins with the shell's.
    """
    return ["sh", "-c", '"$@"; exit $?', "sh"]


def unrandomized() -> list[str]:
    """Give what to put before a command whose sanitizer may not find room in a randomised address space."""
    prefix = ["setarch", "-R"]
    allowed = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    return prefix if allowed else []


def mlflow_client() -> Any:
    """Give the class of MLflow's client of scoring servers, which `install.sh` has put beside the packages of .venv."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    if str(CLIENTS) not in sys.path:
        sys.path.append(str(CLIENTS))  # at the end: what both have comes from the environment of the tests
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    return ScoringServerClient
