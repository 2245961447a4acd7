"""Imports go one way: the ladder of docs/architecture.md, held by a check."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# room -> rooms whose headers it may include
CPP = {
    "base": set(),
    "ir": {"base"},
    "kernels": {"base"},
    "ops": {"base", "ir", "kernels"},
    "runtime": {"base", "ir", "kernels", "ops"},
    "device": {"base", "ir", "kernels", "ops", "runtime"},
    "capi": {"base", "ir", "runtime"},
    "bindings": {"base", "device", "ir", "ops", "runtime"},
    "triton": {"base", "ir", "runtime"},
    "server": {"base", "ir", "runtime"},
    "server_module": {"base", "bindings", "server"},
}

# package or module of python/mlcore -> what it may import from mlcore at import time
PYTHON = {
    "errors": set(),
    "_optional": {"errors"},
    "report": set(),
    "paths": set(),
    "frontends": {"_core", "errors", "frontends", "_optional"},
    "containers": {"_core", "errors", "_optional"},
    "device": {"_core", "errors"},
    "model": {"_core", "containers", "device", "errors", "report", "_optional"},
    "parity": {"_core", "containers", "errors", "frontends", "model", "report"},
    "export": {"_core", "errors", "model"},
    "serving": {"errors", "_optional"},
    "compiler": {"__init__", "_core", "containers", "errors", "frontends", "model"},
}


@pytest.mark.parametrize("room", sorted(CPP))
def test_cpp_rooms_include_downwards_only(room: str) -> None:
    files = sorted((ROOT / "cpp" / room).iterdir())
    assert files
    for file in files:
        for included in re.findall(r'^#include "([a-z_]+)/', file.read_text(), re.MULTILINE):
            assert included == room or included in CPP[room], f"{file.relative_to(ROOT)} includes {included}/"


def test_the_kernels_of_devices_include_kernels_only() -> None:
    for file in (ROOT / "cuda").iterdir():
        for included in re.findall(r'^#include "([a-z_]+)/', file.read_text(), re.MULTILINE):
            assert included in {"base", "kernels"}, f"{file.name} includes {included}/"
    for file in (ROOT / "cpp").rglob("*.[hc]*"):
        assert "cuda_runtime" not in file.read_text(), f"{file} knows the headers of CUDA"


def _imports(file: Path) -> set[str]:
    """Top parts of the mlcore modules that a file imports at module level, outside TYPE_CHECKING blocks."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "mlcore":
                found.update(alias.name if alias.name == "_core" else "__init__" for alias in node.names)
            elif node.module.startswith("mlcore."):
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mlcore."))
    return found


@pytest.mark.parametrize("name", sorted(PYTHON))
def test_python_modules_import_downwards_only(name: str) -> None:
    base = ROOT / "python" / "mlcore"
    files = [base / f"{name}.py"] if (base / f"{name}.py").exists() else sorted((base / name).glob("*.py"))
    assert files
    for file in files:
        extra = _imports(file) - PYTHON[name] - {name}
        assert not extra, f"{file.relative_to(ROOT)} imports {sorted(extra)}"


def test_front_ends_never_import_a_training_library() -> None:
    for file in (ROOT / "python" / "mlcore" / "frontends").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for imported in names:
                top = imported.partition(".")[0]
                assert top not in {"sklearn", "xgboost", "lightgbm", "pandas", "pyarrow"}, (
                    f"{file.name} imports {imported}"
                )
