"""The library of kernels for GPUs: nvcc compiles it without a warning and fuses nothing; what is missing is named."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from tools import BUILD, ROOT, run

TREE = BUILD / "cuda"
LIBRARY = TREE / "libmlcore_cuda.so"


@pytest.fixture(scope="module")
def nvcc() -> Path:
    """Find nvcc, or what install.sh brought."""
    found = shutil.which("nvcc")
    if found:
        return Path(found)
    installed = [*(BUILD / "system-env" / "cuda").glob("nvidia/*/bin/nvcc")]
    assert installed, "expected nvcc on PATH or in build/system-env/cuda but found neither"
    return installed[0]


@pytest.fixture(scope="module")
def environment(nvcc: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join([str(nvcc.parent), str(Path(sys.executable).parent), os.environ["PATH"]])}


@pytest.fixture(scope="module")
def library(environment: dict[str, str]) -> Path:
    """Build it as users do, for all architectures, with warnings as errors."""
    boost = next(Path(entry) for entry in sys.path if (Path(entry) / "cmeel.prefix").is_dir())
    settings = {
        "CMAKE_BUILD_TYPE": "Release", "MLCORE_CUDA": "ON", "MLCORE_PYTHON": "OFF", "MLCORE_TRITON": "OFF",
        "MLCORE_SERVER": "OFF", "MLCORE_WERROR": "ON", "CMAKE_PREFIX_PATH": boost,
    }  # fmt: skip
    cmake = Path(sys.executable).parent / "cmake"
    defines = [f"-D{name}={value}" for name, value in settings.items()]
    run([cmake, "-S", ROOT, "-B", TREE, "-G", "Ninja", *defines], env=environment)
    printed = run([cmake, "--build", TREE, "--target", "mlcore_cuda"], env=environment)
    assert not re.search(r"\bwarning\b", printed), printed
    assert LIBRARY.exists()
    return LIBRARY


def test_it_shows_one_symbol_of_ours(library: Path) -> None:
    shown = run(["nm", "-D", "--defined-only", library]).split()
    assert shown[2:] == ["mlcore_device_library"]


def test_it_needs_no_other_part_of_cuda(library: Path) -> None:
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", run(["readelf", "-d", library]))
    assert needed
    assert all(re.match(r"lib(c|m|gcc_s|stdc\+\+)\.so|ld-linux", name) for name in needed), needed


def test_no_product_is_fused_with_a_sum(nvcc: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """What promises the CPU's bits: multiplications, additions, divisions and roots are each rounded once."""
    rules = (ROOT / "CMakeLists.txt").read_text()
    flags = ["-fmad=false", "--expt-relaxed-constexpr"]
    assert all(flag in rules for flag in flags)
    ptx = tmp_path / "library.ptx"
    includes = ["-I", ROOT / "cpp", "-I", ROOT / "cuda"]
    source = ROOT / "cuda" / "library.cu"
    run([nvcc, "-ptx", "-arch=compute_90", "-std=c++20", "-O3", *flags, *includes, source, "-o", ptx], env=environment)
    text = ptx.read_text()
    assert "mul.f64" in text.replace("mul.rn.f64", "mul.f64")
    assert not re.findall(r"\bfma\.\S+|\bmad\.\S*f(?:32|64)\b", text)
    assert not re.findall(r"\b(?:div|sqrt|rcp)\.(?:approx|full)\S*", text)
    assert ".ftz" not in text


def test_what_is_missing_is_named(library: Path, tmp_path: Path) -> None:
    """A library without a driver, or without a card, is an error; nothing runs on the CPU instead."""
    code = f"""
import mlcore, numpy as np
from sklearn.preprocessing import StandardScaler
model = mlcore.compile(StandardScaler().fit(np.arange(8.0).reshape(-1, 1)))
model.save({str(tmp_path / "model.mlc")!r})
try:
    print(mlcore.load({str(tmp_path / "model.mlc")!r}, device="cuda:0").transform(np.ones((3, 1))).tolist())
except mlcore.DeviceError as error:
    print("DeviceError:", error)
"""
    printed = run([sys.executable, "-c", code], env={"MLCORE_CUDA_LIBRARY": str(library)})
    answer = "[[-1.0910894511799618]" if os.path.exists("/dev/nvidia0") else "DeviceError: device 'cuda:0': expected "
    assert printed.startswith(answer), printed
