"""Library versions whose semantics the front ends reproduce. requirements/ci.txt pins the ones CI tests."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from mlcore.errors import Problem

__all__ = ["SUPPORTED", "check_versions", "installed_versions"]

# module -> (name for people, first supported release, first unsupported release)
SUPPORTED: dict[str, tuple[str, str, str]] = {
    "sklearn": ("scikit-learn", "1.9", "1.10"),
    "xgboost": ("XGBoost", "3.0", "3.3"),
    "lightgbm": ("LightGBM", "4.5", "4.8"),
}


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def installed_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Versions of the given libraries (top-level module names) and of NumPy."""
    names = sorted({*libraries, "numpy"} & sys.modules.keys())
    return {name: str(sys.modules[name].__version__) for name in names if hasattr(sys.modules[name], "__version__")}


def check_versions(libraries: Iterable[str]) -> list[Problem]:
    """A problem for every one of these libraries whose version is outside the supported range."""
    problems = []
    for module, version in installed_versions(libraries).items():
        if module not in SUPPORTED:
            continue
        name, first, end = SUPPORTED[module]
        if not _release(first) <= _release(version) < _release(end):
            problems.append(Problem(module, f"{name} {version} is outside the supported range >={first},<{end}"))
    return problems
