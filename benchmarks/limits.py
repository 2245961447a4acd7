"""Physical limits, measured in the same run as what is compared with them."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
BYTES = 256 << 20  # per thread: more than the caches hold


def measure(build: Path, threads: int) -> dict[str, float]:
    """Bytes per second read and copied by ``threads`` threads together, and seconds of one dependent float addition.

    Empty without a C compiler. The best of some rounds: a limit is not a median.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return {}
    build.mkdir(parents=True, exist_ok=True)
    path = build / "limits.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, HERE / "limits.c", "-o", path], check=True)
    library = ctypes.CDLL(str(path))  # calls through it release the interpreter
    library.add_in_order.argtypes = [ctypes.c_float, ctypes.c_size_t]
    library.read_words.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.copy_bytes.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    source = [np.ones(BYTES // 8) for _ in range(threads)]
    target = [np.ones(BYTES // 16) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def best(call: Callable[[int], object]) -> float:
            times = []
            for _ in range(7):
                start = time.perf_counter()
                list(pool.map(call, range(threads)))
                times.append(time.perf_counter() - start)
            return min(times)

        read = best(lambda i: library.read_words(source[i].ctypes.data, BYTES // 8))
        copy = best(lambda i: library.copy_bytes(target[i].ctypes.data, source[i].ctypes.data, BYTES // 2))
        add = best(lambda _: library.add_in_order(1.0, 1_000_000)) / 1_000_000
    return {
        "threads": threads,
        "read_bytes_per_second": threads * BYTES / read,
        "copy_bytes_per_second": threads * BYTES / 2 / copy,
        "add_seconds": add,
    }
