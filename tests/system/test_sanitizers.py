"""The C++ tests and the hostile inputs from Python under AddressSanitizer, UndefinedBehaviorSanitizer and
ThreadSanitizer; any finding ends the process that made it.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from tools import BUILD, ROOT, build, run, unrandomized

# leaks: the interpreter's own are many, and valgrind looks at the C++ tests
ASAN = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=0:strict_string_checks=1:check_initialization_order=1"
}
TSAN = {"TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"}


def ctest(folder: Path, *options: str, env: dict[str, str]) -> int:
    """Run the C++ tests of a build; give how many suites passed."""
    command = [Path(sys.executable).with_name("ctest"), "--test-dir", folder, "--output-on-failure", "-j", "2"]
    printed = run([*unrandomized(), *command, "--no-tests=error", *options], env=env)
    passed = re.search(r"100% tests passed(?:, 0 tests failed)? out of (\d+)", printed)
    assert passed, printed[-2000:]
    return int(passed[1])


@pytest.fixture(scope="module")
def asan() -> Path:
    build("asan")
    return BUILD / "asan-ubsan"


@pytest.fixture(scope="module")
def package(asan: Path) -> Path:
    """A folder to import mlcore from: the package's own Python files beside the sanitized module."""
    source = ROOT / "python" / "mlcore"
    target = asan / "python" / "mlcore"
    target.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target)
    target.mkdir()
    for entry in source.iterdir():
        if entry.suffix != ".so" and entry.name not in ("__pycache__", "bin"):
            (target / entry.name).symlink_to(entry)
    for library in asan.glob("*.so"):
        (target / library.name).symlink_to(library)
    (target / "bin").mkdir()
    (target / "bin" / "mlcore-server").symlink_to(asan / "mlcore-server")
    return target.parent


def test_cpp_under_asan_and_ubsan(asan: Path) -> None:
    assert ctest(asan, env=ASAN) == len(list((ROOT / "tests" / "cpp").glob("test_*.cc")))


def test_threads_under_tsan() -> None:
    build("tsan")
    assert ctest(BUILD / "tsan", "-R", "^thread", env=TSAN) == 2


def in_sanitized_python(package: Path, *arguments: object) -> str:
    # the runtimes come first in the process, as they must; malloc for every Python object, so that each is watched
    runtimes = [
        run(["g++", f"-print-file-name={name}"]).strip() for name in ("libasan.so", "libubsan.so", "libstdc++.so")
    ]
    env = {
        **ASAN,
        "LD_PRELOAD": " ".join(runtimes),
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(package),
        "MLCORE_TEST_PACKAGE": str(package),
    }
    return run([*unrandomized(), sys.executable, *arguments], env=env)


def test_the_sanitized_module_is_the_one_imported(package: Path) -> None:
    found = in_sanitized_python(package, "-c", "from mlcore import _core; print(_core.__file__)").strip()
    assert Path(found).parent == package / "mlcore"
    maps = "from mlcore import _core; print(open('/proc/self/maps').read())"
    loaded = in_sanitized_python(package, "-c", maps)
    assert "libasan.so" in loaded
    assert f"{BUILD}/asan-ubsan/libmlcore.so" in loaded


@pytest.mark.parametrize(
    ("files", "least"),
    [
        # what a bomb costs is measured without the sanitizers, which cost more
        (["tests/attacks", "-k", "not costs_little and not cost_little"], 200),
        (["tests/test_arrow.py"], 100),
        (["tests/test_device_arrow.py", "tests/test_device_text.py"], 400),
        (["tests/fuzz"], 1),
        (["tests/ops"], 50),
        ([f"tests/serving/test_{name}.py" for name in ("refusals", "limits", "wire", "in_process")], 200),
    ],
    ids=["attacks", "arrow", "devices", "corpus", "ops", "serving"],
)
def test_hostile_input_from_python(package: Path, files: list[str], least: int) -> None:
    options = ["-q", "-n", "2", "-m", "not system"]
    printed = in_sanitized_python(package, "-m", "pytest", *options, *files)
    passed = re.search(r"(\d+) passed", printed)
    assert passed, printed[-2000:]
    assert int(passed[1]) >= least
