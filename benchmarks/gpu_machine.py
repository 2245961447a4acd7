"""Where `gpu.py` measures: a GPU through CuPy, or for tests the kernels' loops on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = r"""
extern "C" __global__ void forest(const float* data, long long rows, long long row_stride, long long column_stride,
                                  const int* feature, const float* number, const int* left, const int* right,
                                  const unsigned char* default_left, const int* root, int trees, float base,
                                  float* out) {
  const long long row = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  const float* x = data + row * row_stride;
  float sum = base;
  for (int tree = 0; tree < trees; ++tree) {
    int at = root[tree];
    while (left[at] >= 0) {
      const float value = x[feature[at] * column_stride];
      const bool goes_left = isnan(value) ? default_left[at] != 0 : value < number[at];
      at = goes_left ? left[at] : right[at];
    }
    sum += number[at];
  }
  out[row] = sum;
}
"""

Evaluate = Callable[[Any], Any]


class Gpu:
    """A card through CuPy."""

    emulated = False

    def __init__(self) -> None:
        import cupy  # type: ignore[import-not-found]

        self.cupy = cupy
        attributes = cupy.cuda.Device().attributes
        self.shared_words = 32 * attributes["MultiProcessorCount"] * attributes["ClockRate"] * 1e3
        self.driver = _driver()
        self.cuda = cupy.cuda.runtime.runtimeGetVersion()

    def wait(self) -> None:
        """Until all that was asked for is done."""
        self.cupy.cuda.runtime.deviceSynchronize()

    def free_bytes(self) -> int:
        """What larger tables may take."""
        self.cupy.get_default_memory_pool().free_all_blocks()
        return int(self.cupy.cuda.runtime.memGetInfo()[0])

    def matrix(self, X: np.ndarray, rows: int, order: str) -> Any:
        """`rows` rows, X again and again."""
        out = self.cupy.empty((rows, X.shape[1]), dtype=X.dtype, order=order)
        one = self.cupy.asarray(X)
        for first in range(0, rows, len(X)):
            out[first : first + len(X)] = one[: rows - first]
        return out

    def columns(self, matrix: Any, names: list[str]) -> dict[str, Any]:
        """The columns of a matrix by name, where they lie."""
        return {name: matrix[:, at] for at, name in enumerate(names)}

    def host(self, array: Any) -> np.ndarray:
        """A copy in the memory of the host."""
        return np.asarray(self.cupy.asnumpy(self.cupy.asarray(array)))

    def copy_bytes_per_second(self) -> float:
        """Of a copy inside the card's memory, read and written."""
        size = min(1 << 30, self.free_bytes() // 4)
        source, target = self.cupy.zeros(size, np.uint8), self.cupy.empty(size, np.uint8)
        seconds = seconds_of(lambda: self.cupy.copyto(target, source), self.wait)
        return 2 * size / seconds

    def straightforward(self, trees: dict[str, np.ndarray]) -> Evaluate:
        """Each row walks all trees, as anyone would write it first."""
        kernel = self.cupy.RawKernel(SOURCE, "forest", options=("-fmad=false",))
        names = ("feature", "number", "left", "right", "default_left", "root")
        arrays = [self.cupy.asarray(trees[name]) for name in names]

        def run(matrix: Any) -> Any:
            rows = matrix.shape[0]
            out = self.cupy.empty(rows, np.float32)
            strides = [np.int64(stride // 4) for stride in matrix.strides]
            facts = [np.int32(len(trees["root"])), trees["base"][0]]
            kernel(((rows + 255) // 256,), (256,), (matrix, np.int64(rows), *strides, *arrays, *facts, out))
            return out

        return run


class HostArray:
    """An array in what the emulated device takes for its memory."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.__cuda_array_interface__ = {**array.__array_interface__, "version": 3, "strides": array.strides}


class Emulated:
    """No GPU: the kernels as loops, so that a test runs the whole script. Its times say nothing."""

    emulated = True
    shared_words = 1.0
    driver = cuda = "none"

    def wait(self) -> None:
        """Nothing is under way once a call returns."""

    def free_bytes(self) -> int:
        """What larger tables may take."""
        return 1 << 30

    def matrix(self, X: np.ndarray, rows: int, order: str) -> Any:
        """`rows` rows, X again and again."""
        whole = np.resize(X, (rows, X.shape[1]))
        return HostArray(np.asfortranarray(whole) if order == "F" else whole)

    def columns(self, matrix: Any, names: list[str]) -> dict[str, Any]:
        """The columns of a matrix by name, where they lie."""
        return {name: HostArray(matrix.array[:, at]) for at, name in enumerate(names)}

    def host(self, array: Any) -> np.ndarray:
        """A copy in the memory of the host."""
        return np.asarray(array.to_host() if hasattr(array, "to_host") else array)

    def copy_bytes_per_second(self) -> float:
        """Of a copy, read and written."""
        source = np.zeros(1 << 22, np.uint8)
        return 2 * source.nbytes / seconds_of(source.copy, self.wait)

    def straightforward(self, trees: dict[str, np.ndarray]) -> Evaluate:
        """Each row walks all trees, as anyone would write it first."""

        def run(matrix: Any) -> Any:
            X = matrix.array
            total = np.full(len(X), trees["base"][0], np.float32)
            for root in trees["root"]:
                at = np.full(len(X), root)
                while (inner := trees["left"][at] >= 0).any():
                    value = X[np.arange(len(X)), np.maximum(trees["feature"][at], 0)]
                    goes_left = np.where(np.isnan(value), trees["default_left"][at] != 0, value < trees["number"][at])
                    at = np.where(inner, np.where(goes_left, trees["left"][at], trees["right"][at]), at)
                total += trees["number"][at]
            return total

        return run


def seconds_of(call: Callable[[], Any], wait: Callable[[], None], least: float = 0.3, most: int = 50) -> float:
    """Median of at least five calls, each with the wait for its end."""
    for _ in range(2):
        call()
    wait()
    times: list[float] = []
    while len(times) < 5 or (sum(times) < least and len(times) < most):
        start = time.perf_counter()
        call()
        wait()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _driver() -> str:
    path = Path("/proc/driver/nvidia/version")
    if not path.exists():
        return "unknown"
    words = path.read_text().splitlines()[0].split()
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")
