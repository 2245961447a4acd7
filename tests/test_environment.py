"""Results do not depend on the process: floating-point state, locale, time zone, fork, threads."""

from __future__ import annotations

import ctypes
import locale
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import mlcore
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
X[0] = 5e-324, -5e-324, 1e-310, -0.0  # denormals, which flush-to-zero would lose
ROW = {f"x{index}": float(value) for index, value in enumerate(X[0])}
MODELS = {
    "trees": make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=5)).fit(X, X[:, 0]),
    "denormals": make_pipeline(FunctionTransformer(np.negative), StandardScaler(with_mean=False)).fit(X),
    "links": make_pipeline(FunctionTransformer(np.exp), LogisticRegression()).fit(X, X[:, 1] > 0),
}


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request: pytest.FixtureRequest) -> mlcore.Model:
    return mlcore.compile(MODELS[request.param], X)


def _answers(model: mlcore.Model) -> bytes:
    method = "transform" if "predict" not in model.methods else model.methods[-2]
    row = model.row(ROW)
    numbers = list(row.values()) if isinstance(row, dict) else [row]
    # no text: under denormals-are-zero even Python's repr of a denormal is another
    return np.asarray(model.call(method, X)).tobytes() + np.asarray(numbers).tobytes()


def _with_mxcsr(bits: int, call: Callable[[], bytes]) -> bytes:
    """Run ``call`` with bits set in the SSE control register (through libm's fesetenv structure)."""
    libm = ctypes.CDLL("libm.so.6")
    saved = ctypes.create_string_buffer(64)
    assert libm.fegetenv(saved) == 0
    changed = ctypes.create_string_buffer(saved.raw, 64)
    # glibc x86-64: fenv_t ends with MXCSR at byte 28
    control = int.from_bytes(changed.raw[28:32], "little")
    changed[28:32] = (control | bits).to_bytes(4, "little")
    assert libm.fesetenv(changed) == 0
    try:
        return call()
    finally:
        libm.fesetenv(saved)


@pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="reads MXCSR through glibc x86-64"
)
@pytest.mark.parametrize(
    "bits",
    [1 << 15, 1 << 6, (1 << 15) | (1 << 6), 1 << 13, 2 << 13, 3 << 13],
    ids=["flush-to-zero", "denormals-are-zero", "both", "round-down", "round-up", "truncate"],
)
def test_floating_point_state(model: mlcore.Model, bits: int) -> None:
    expected = _answers(model)
    state = bytearray()

    def call() -> bytes:
        found = _answers(model)
        env = ctypes.create_string_buffer(64)
        ctypes.CDLL("libm.so.6").fegetenv(env)
        state.extend(env.raw[28:32])
        return found

    assert _with_mxcsr(bits, call) == expected
    assert int.from_bytes(bytes(state), "little") & bits == bits, "the caller's state must be put back"


@pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="reads MXCSR through glibc x86-64"
)
@pytest.mark.parametrize("bits", [(1 << 15) | (1 << 6), 1 << 13, 2 << 13], ids=["denormals", "round-down", "round-up"])
def test_loading_in_another_floating_point_state(bits: int) -> None:
    """The cuts of folded splits are found with the steps' own arithmetic, whatever state the caller is in."""
    data = mlcore.compile(MODELS["trees"], X).to_bytes()

    def cuts() -> bytes:
        notes = mlcore.Model.from_bytes(data).core.fold_notes
        return b"".join(note["cuts"].tobytes() for note in notes)

    expected = cuts()
    assert expected
    assert _with_mxcsr(bits, cuts) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="needs a comma locale or its absence, as on Linux")
def test_locale(model: mlcore.Model) -> None:
    expected, artifact = _answers(model), model.to_bytes()
    old = locale.setlocale(locale.LC_ALL)
    tried = [name for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8", "C") if _sets(name)]
    try:
        for name in tried:
            locale.setlocale(locale.LC_ALL, name)
            assert _answers(mlcore.Model.from_bytes(artifact)) == expected
            assert model.to_bytes() == artifact
    finally:
        locale.setlocale(locale.LC_ALL, old)
    assert tried


def _sets(name: str) -> bool:
    old = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_ALL, old)
    return True


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 64, 255, 256, 257, 299])
def test_batch_size_never_changes_a_bit(model: mlcore.Model, size: int) -> None:
    for method in model.methods:
        whole = np.asarray(model.call(method, X))
        parts = [np.asarray(model.call(method, X[start : start + size])) for start in range(0, len(X), size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_row_is_a_batch_of_one(model: mlcore.Model) -> None:
    for values in X[:20]:
        row = dict(zip(model.columns, values.tolist(), strict=True))
        for method in model.methods:
            expected = np.asarray(model.call(method, values[np.newaxis]))[0]
            found = model.row(row, method)
            numbers = list(found.values()) if isinstance(found, dict) else [found]
            assert np.asarray(numbers, dtype=expected.dtype).tobytes() == np.ravel(expected).tobytes()


def test_threads_share_a_model(model: mlcore.Model) -> None:
    expected = _answers(model)
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if _answers(model) != expected:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_predict_after_fork(model: mlcore.Model) -> None:
    expected = _answers(model)
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if _answers(model) == expected else 1)
        assert os.waitpid(pid, 0)[1] == 0


def _in_another_process(model: mlcore.Model, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Digests of all answers for X and of the artifact, printed by a process of its own."""
    model.save(folder / "m.mlc")
    np.save(folder / "x.npy", X)
    script = (
        "import sys, hashlib, numpy as np, mlcore; m = mlcore.load(sys.argv[1]); X = np.load(sys.argv[2]);"
        "answers = [hashlib.sha256(np.asarray(m.call(k, X)).tobytes()).hexdigest() for k in m.methods];"
        "print(answers, m.to_bytes().hex()[-64:])"
    )
    command = [sys.executable, "-c", script, str(folder / "m.mlc"), str(folder / "x.npy")]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | env)


def test_environment_variables_and_hash_seed(model: mlcore.Model, tmp_path: Path) -> None:
    first = _in_another_process(model, tmp_path, PYTHONHASHSEED="1")
    second = _in_another_process(model, tmp_path, PYTHONHASHSEED="2", TZ="Asia/Tokyo", LC_ALL="C", OMP_NUM_THREADS="7")
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout


@pytest.mark.parametrize("level", ["baseline", "avx2", "avx512"])
def test_instruction_sets(model: mlcore.Model, tmp_path: Path, level: str) -> None:
    forced = _in_another_process(model, tmp_path, MLCORE_ISA=level)
    if forced.returncode == 0:
        assert forced.stdout == _in_another_process(model, tmp_path).stdout
    else:
        assert f"MLCORE_ISA: expected a level of this processor but found '{level}', which it lacks" in forced.stderr


def test_an_unknown_instruction_set(tmp_path: Path) -> None:
    forced = _in_another_process(mlcore.compile(MODELS["trees"], X), tmp_path, MLCORE_ISA="sse9")
    assert forced.returncode != 0
    assert "MLCORE_ISA: expected 'baseline', 'avx2' or 'avx512' but found 'sse9'" in forced.stderr


def test_import_is_light_and_needs_numpy_only() -> None:
    """No training library, no pandas, no thread, no signal handler, at most 150 ms beyond NumPy."""
    script = """
import signal, sys, threading, time
import numpy
before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGFPE, signal.SIGSEGV)}
loaded = set(sys.modules)
start = time.perf_counter()
import mlcore
spent = time.perf_counter() - start
heavy = {"pandas", "pyarrow", "polars", "sklearn", "scipy", "xgboost", "lightgbm"} & (set(sys.modules) - loaded)
assert not heavy, heavy
assert threading.active_count() == 1
assert before == {s: signal.getsignal(s) for s in before}
print(spent)
"""
    times = [
        float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout) for _ in range(5)
    ]
    assert min(times) < 0.150
