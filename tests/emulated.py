"""The kernels for GPUs as loops on the CPU, which every test takes for a device; MLCORE_TEST_GPU=1: a real one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # every test run imports this file, whatever its environment holds
    import mlcore
    import numpy as np

__all__ = ["OnDevice", "assert_same_on_device", "library", "to_device", "use"]

BUILD = Path(__file__).resolve().parent.parent / "build"
REAL = os.environ.get("MLCORE_TEST_GPU") == "1"


def _libraries() -> list[Path]:
    """Builds of the emulated kernels: with sanitizers where the package under test is (test_sanitizers.py)."""
    package = os.environ.get("MLCORE_TEST_PACKAGE")
    if package:
        return [Path(package).parent / "libmlcore_cuda_emulated.so"]
    return [
        path for path in BUILD.glob("*/libmlcore_cuda_emulated.so") if path.parent.name not in ("asan-ubsan", "tsan")
    ]


def library() -> Path:
    """The newest build of the emulated kernels."""
    found = _libraries()
    assert found, (
        "expected libmlcore_cuda_emulated.so below build/, as `make test` and `make dev` leave it, but found none"
    )
    return max(found, key=lambda path: path.stat().st_mtime)


def use() -> None:
    """Make "cuda:0" mean the emulated kernels in this process and those that it starts."""
    if not REAL and _libraries():
        os.environ["MLCORE_CUDA_LIBRARY"] = str(library())


class OnDevice:
    """An array in what the emulated device takes for its memory, as producers of GPU arrays show theirs."""

    def __init__(self, array: np.ndarray, stream: int | None = None) -> None:
        self.array = array
        self.__cuda_array_interface__: dict[str, Any] = {
            **array.__array_interface__,
            "version": 3,
            "strides": array.strides,
            "stream": stream,
        }


def to_device(array: np.ndarray) -> Any:
    """The array in the memory of the device that tests run on."""
    if not REAL:
        return OnDevice(array)
    import cupy  # type: ignore[import-not-found]

    return cupy.asarray(array)


def assert_same_on_device(model: mlcore.Model, table: Any) -> mlcore.Model:
    """The model on a device gives the bits that it gives here, for every method."""
    import mlcore
    from holding import bits

    other = mlcore.Model.from_bytes(model.to_bytes(), device="cuda:0")
    assert other.device == "cuda:0"
    for method in model.methods:
        assert bits(other.call(method, table)) == bits(model.call(method, table)), method
    return other
