"""What users install: the wheel, beside NumPy alone; and what `pip install .` of a clean clone would build it with."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from tools import ROOT, run

MAX_WHEEL = 10_000_000  # bytes
MAX_IMPORT = 0.150  # seconds beyond NumPy's own
# what any Linux with a C++ runtime has
SYSTEM = {"libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2"}


@pytest.fixture(scope="module")
def package(bare_python: Path) -> Path:
    return Path(run([bare_python, "-c", "import mlcore; print(mlcore.__path__[0])"]).strip())


def libraries(package: Path) -> list[Path]:
    """The core, the server's module, the library, the backend, and the kernels for GPUs where nvcc built them."""
    found = [*package.glob("_*.so"), package / "libmlcore.so", package / "backends" / "mlcore" / "libtriton_mlcore.so"]
    found = [*sorted(found[:-2]), *found[-2:], *package.glob("libmlcore_cuda.so")]
    names = [path.name.split(".")[0] for path in found]
    assert names == ["_core", "_server", "libmlcore", "libtriton_mlcore", "libmlcore_cuda"][: len(names)]
    assert len(names) >= 4
    assert set(package.rglob("*.so")) == set(found)
    return found


def test_wheel_is_small(wheel: Path) -> None:
    size = wheel.stat().st_size
    print(f"wheel: {size / 1e6:.1f} MB")
    assert size <= MAX_WHEEL


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = ROOT / "python"
    files = (path for path in sources.rglob("*") if path.suffix in (".py", ".pyi", ".typed", ".proto", ".binpb"))
    expected = {str(path.relative_to(sources)) for path in files}
    assert {"mlcore/py.typed", "mlcore/_core.pyi", "mlcore/serving/inference.binpb"} <= expected
    config = {f"mlcore/cmake/mlcore-config{part}.cmake" for part in ("", "-version")}
    expected |= {"mlcore/include/mlcore.h", *config}
    info = {name for name in names if re.match(r"mlcore-[^/]+\.dist-info/", name)}
    libraries = (
        r"mlcore/(libmlcore(_cuda)?\.so|_(core|server)\.cpython-[\w-]+\.so|backends/mlcore/libtriton_mlcore\.so)"
    )
    built = {name for name in names if re.fullmatch(libraries, name) or name == "mlcore/bin/mlcore-server"}
    assert len(built) == 5 + ("mlcore/libmlcore_cuda.so" in built)
    assert set(names) - info - built == expected
    assert any(name.endswith("licenses/LICENSE") for name in info)


def test_a_clean_clone_finds_what_it_is_built_with(bare_python: Path, clone: Path) -> None:
    """In isolation: the build's requirements are fetched, and the metadata made; compiling it was `make`'s part."""
    command = [bare_python, "-m", "pip", "install", "--dry-run", "--no-deps", "--disable-pip-version-check", "."]
    assert "Would install mlcore" in run(command, cwd=clone)


def test_only_numpy_is_required(bare_python: Path) -> None:
    found = run([bare_python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"])
    names = {line.split("==")[0].lower() for line in found.splitlines() if "==" in line or " @ " in line}
    names = {name.split(" @ ")[0] for name in names}
    assert names - {"pip", "setuptools", "wheel"} == {"numpy", "mlcore"}


def test_import_is_quick_and_imports_no_other_library(bare_python: Path) -> None:
    script = "import time, numpy; t = time.perf_counter(); import mlcore; print(time.perf_counter() - t)"
    seconds = min(float(run([bare_python, "-c", script])) for _ in range(7))
    print(f"import mlcore: {seconds * 1e3:.0f} ms beyond NumPy")
    assert seconds <= MAX_IMPORT


def test_hardened(package: Path) -> None:
    for library in libraries(package):
        segments = run(["readelf", "--program-headers", "--wide", library])
        assert "GNU_RELRO" in segments
        (stack,) = re.findall(r"GNU_STACK.*", segments)
        assert "RWE" not in stack
        dynamic = run(["readelf", "--dynamic", "--wide", library])
        assert re.search(r"FLAGS.*NOW", dynamic)
        assert "TEXTREL" not in dynamic
        # the backend also finds the core two folders up, where the wheel has it
        folders = "$ORIGIN" if library.parent == package else "$ORIGIN:$ORIGIN/../.."
        assert set(re.findall(r"R(?:UN)?PATH.*\[(.*)\]", dynamic)) == {folders}


def test_needs_no_library_that_is_not_there(package: Path) -> None:
    for library in libraries(package):
        needed = set(re.findall(r"NEEDED.*\[(.*)\]", run(["readelf", "--dynamic", "--wide", library])))
        assert needed <= SYSTEM | {"libmlcore.so"}


def test_shows_its_own_names_only(package: Path) -> None:
    core, server, library, backend, *kernels = libraries(package)

    def names(path: Path) -> set[str]:
        listed = run(["nm", "--dynamic", "--defined-only", "--demangle", path]).splitlines()
        return {line.split(maxsplit=2)[2] for line in listed}

    assert names(core) == {"PyInit__core"}
    assert names(server) == {"PyInit__server"}
    assert all(names(one) == {"mlcore_device_library"} for one in kernels)
    assert all(name.startswith("TRITONBACKEND_") for name in names(backend))
    # the server has these; nothing else is left open, and no library of the server's is asked for
    undefined = run(["nm", "--dynamic", "--undefined-only", "--demangle", backend]).splitlines()
    opened = {line.split(maxsplit=1)[1] for line in undefined}
    assert {name for name in opened if name.startswith("TRITON")} > {"TRITONSERVER_ErrorNew"}
    own = r"((typeinfo|typeinfo name|vtable) for )?mlcore::|mlc_\w+$"
    shown = names(library)
    assert shown
    assert not {name for name in shown if not re.match(own, name)}


def test_no_path_of_the_build_is_left_in_it(package: Path) -> None:
    # of our sources; Boost puts the places of its headers, wherever the build found them, into exceptions
    for library in libraries(package):
        assert str(ROOT / "cpp").encode() not in library.read_bytes()


def test_predicts_beside_numpy_alone(bare_python: Path) -> None:
    corpus = ROOT / "tests" / "fuzz" / "corpus"
    script = (
        f"import pathlib, mlcore\nfiles = sorted(pathlib.Path({str(corpus)!r}).glob('*.mlc'))\n"
        "for path in files:\n    model = mlcore.load(path)\n    assert model.to_bytes() == path.read_bytes()\n"
        "print(len(files))"
    )
    assert int(run([bare_python, "-c", script])) >= 20
