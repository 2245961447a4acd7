"""One pool of threads for all models: the same answers and errors on any number of threads, across forks, at rest."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlcore
import numpy as np
import pandas
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

RNG = np.random.default_rng(0)
ROWS = 20_000
X = RNG.normal(size=(ROWS, 6))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
TABLE = pandas.DataFrame(X[:, :3], columns=["a", "b", "c"]).assign(
    color=RNG.choice(["red", "green", "blue", None], ROWS), size=RNG.choice(["s", "m", "l"], ROWS)
)


def _mixed() -> object:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer(
        [("n", numbers, ["a", "b", "c"]), ("s", OneHotEncoder(handle_unknown="ignore"), ["color", "size"])]
    )
    return make_pipeline(columns, HistGradientBoostingRegressor(max_iter=20)).fit(TABLE[:500], X[:500, 0])


CASES = {
    "forest": (RandomForestClassifier(20, max_depth=8, random_state=0).fit(X[:500], Y[:500]), X),
    "linear": (make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:500], Y[:500]), X),
    "scaler": (StandardScaler().fit(X[:500]), X),
    "mixed": (_mixed(), TABLE),
}


@pytest.fixture(scope="module", autouse=True)
def _spread_all_work() -> object:
    """Every batch of more than one chunk goes to several threads, however little work it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLCORE_THREAD_WORK", "0")
        patch.delenv("MLCORE_THREADS", raising=False)
        yield


@pytest.fixture(scope="module", params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> tuple[mlcore.Model, object]:
    estimator, table = CASES[request.param]
    return mlcore.compile(estimator, table[:200]), table


def _compiled(name: str) -> mlcore.Model:
    estimator, table = CASES[name]
    return mlcore.compile(estimator, table[:200])


def _threads_alive() -> int:
    return len(os.listdir("/proc/self/task"))


# -- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1, 2, 63, 64, 65, 255, 256, 257, 511, 512, 513, 1_000, 4_099, ROWS])
def test_answers_do_not_depend_on_the_number(case: tuple[mlcore.Model, object], rows: int) -> None:
    model, table = case
    for method in model.methods:
        model.threads = 1
        expected = np.asarray(model.call(method, table[:rows])).tobytes()
        for threads in (2, 3, 8, 16):
            model.threads = threads
            assert np.asarray(model.call(method, table[:rows])).tobytes() == expected


def test_work_is_spread() -> None:
    model = _compiled("forest")
    model.threads = 5
    model.predict(X)
    assert _threads_alive() >= 5


@pytest.mark.parametrize("wrong", [[19_999], [700, 900, 15_000], [512, 19_999], [511, 512], [1_999, 2_000, 2_001]])
def test_errors_do_not_depend_on_the_number(wrong: list[int]) -> None:
    model = _compiled("linear")
    table = X.copy()
    table[wrong, 3] = np.nan
    table[wrong[-1], 1] = np.inf
    said = set()
    for threads in (1, 2, 3, 8, 16):
        model.threads = threads
        for _ in range(5):
            with pytest.raises(mlcore.InputError) as caught:
                model.predict(table)
            said.add(str(caught.value))
    assert len(said) == 1, said
    model.threads = 8
    assert len(model.predict(X)) == ROWS


def test_many_callers_and_models_share_the_pool() -> None:
    models = {name: _compiled(name) for name in CASES}
    work = []
    for name, model in models.items():
        for rows in (100, 3_000, ROWS):
            method = model.methods[0]
            work.append((name, method, rows, np.asarray(model.call(method, CASES[name][1][:rows])).tobytes()))
        model.threads = 3
    before = _threads_alive()

    def check(number: int) -> bool:
        name, method, rows, expected = work[number % len(work)]
        return np.asarray(models[name].call(method, CASES[name][1][:rows])).tobytes() == expected

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(check, range(20 * len(work))))
        assert _threads_alive() <= max(before, 1 + 15) + 8


# -- how many -----------------------------------------------------------------------------------------------------


def test_the_number_is_the_models_own() -> None:
    first, second = _compiled("scaler"), _compiled("scaler")
    default = first.threads
    assert default == second.threads >= 1
    first.threads = np.int64(7)
    assert (first.threads, second.threads) == (7, default)
    for nothing in (None, 0):
        first.threads = 7
        first.threads = nothing
        assert first.threads == default


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="sets the processors of the process")
def test_the_default_is_what_the_process_may_use() -> None:
    model = _compiled("scaler")
    allowed = os.sched_getaffinity(0)
    assert model.threads <= len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert model.threads == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("wrong", [-1, 1025, 2**80, 2.0, "2", True, [2]])
def test_no_other_number(wrong: object) -> None:
    model = _compiled("scaler")
    model.threads = 3
    with pytest.raises(mlcore.InputError, match="threads: expected an integer from 1 to 1024, or None for the default"):
        model.threads = wrong  # type: ignore[assignment]
    assert model.threads == 3


def _run(script: str, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    variables = os.environ | {"MLCORE_THREAD_WORK": "0"} | env
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=variables)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    _compiled("forest").save(tmp_path / "m.mlc")
    return tmp_path / "m.mlc"


@pytest.mark.parametrize(("value", "threads"), [("1", "1"), ("3", "3"), ("1024", "1024")])
def test_environment_variable(saved: Path, value: str, threads: str) -> None:
    script = "import sys, mlcore; m = mlcore.load(sys.argv[1]); print(m.threads); m.threads = 9; m.threads = None;"
    done = _run(script + "print(m.threads)", saved, MLCORE_THREADS=value)
    assert done.stdout.split() == [threads, threads], done.stderr


def test_an_empty_environment_variable_says_nothing(saved: Path) -> None:
    done = _run("import sys, mlcore; print(mlcore.load(sys.argv[1]).threads >= 1)", saved, MLCORE_THREADS="")
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize("name", ["MLCORE_THREADS", "MLCORE_THREAD_WORK"])
@pytest.mark.parametrize("value", ["two", "-1", "1.5", " 1", "99999999999"])
def test_a_wrong_environment_variable(saved: Path, name: str, value: str) -> None:
    done = _run("import sys, mlcore; mlcore.load(sys.argv[1])", saved, **{name: value})
    assert done.returncode != 0
    assert f"ProgramError: {name}: expected an integer from " in done.stderr
    assert f"but found '{value}'" in done.stderr


# -- processes ----------------------------------------------------------------------------------------------------

_FORKS = """
import os, sys, threading, time
import numpy as np
import mlcore

model = mlcore.load(sys.argv[1])
X = np.random.default_rng(1).normal(size=(6_000, 6))
model.threads = 3
expected = model.predict_proba(X).tobytes()
stop = threading.Event()
wrong = []

def keep_predicting():
    while not stop.is_set():
        if model.predict_proba(X).tobytes() != expected:
            wrong.append(1)

busy = [threading.Thread(target=keep_predicting) for _ in range(int(sys.argv[2]))]
for thread in busy:
    thread.start()
for number in range(100):
    child = os.fork()
    if child == 0:
        same = all(model.predict_proba(X).tobytes() == expected for _ in range(2))
        alive = len(os.listdir("/proc/self/task"))
        if number % 10 == 0:  # a child has children, too
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0 if model.predict_proba(X).tobytes() == expected else 1)
            same = same and os.waitpid(grandchild, 0)[1] == 0
        os._exit(0 if same and alive == 3 else 1)
    deadline = time.monotonic() + 20
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        if time.monotonic() > deadline:
            os.kill(child, 9)
            sys.exit(f"fork {number} hangs")
        time.sleep(0.001)
    if status != 0:
        sys.exit(f"fork {number}: wrong, or not with threads of its own")
stop.set()
for thread in busy:
    thread.join()
assert not wrong
assert model.predict_proba(X).tobytes() == expected
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("busy", [0, 2])
def test_a_hundred_forks(saved: Path, busy: int) -> None:
    done = _run(_FORKS, saved, busy)
    assert done.stdout.strip() == "fine", done.stdout + done.stderr


def _predict_in_a_worker(part: np.ndarray) -> bytes:
    return _SHARED.predict_proba(part).tobytes()


_SHARED: mlcore.Model


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="forks")
def test_workers_of_multiprocessing() -> None:
    global _SHARED
    _SHARED = _compiled("forest")
    _SHARED.threads = 3
    parts = [X[start : start + 3_000] for start in range(0, 12_000, 3_000)]
    expected = [_predict_in_a_worker(part) for part in parts]
    with multiprocessing.get_context("fork").Pool(3) as workers:
        assert workers.map_async(_predict_in_a_worker, parts).get(timeout=60) == expected


def test_at_rest_it_costs_nothing(saved: Path) -> None:
    script = """
import os, sys, time
import numpy as np, mlcore
model = mlcore.load(sys.argv[1])
model.threads = 8
model.predict_proba(np.zeros((20_000, 6)))
assert len(os.listdir("/proc/self/task")) == 8
before = time.process_time()
time.sleep(2)
print(time.process_time() - before)
"""
    done = _run(script, saved)
    assert float(done.stdout) <= 0.002, done.stderr  # 0.1 %


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "os._exit(0)", "sys.exit()"])
def test_the_interpreter_ends(saved: Path, end: str) -> None:
    script = (
        "import os, sys, numpy as np, mlcore; m = mlcore.load(sys.argv[1]); m.threads = 6;"
        "m.predict_proba(np.zeros((20_000, 6)));" + end
    )
    done = _run(script, saved)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_interpreter_ends_while_threads_are_at_work(saved: Path) -> None:
    script = """
import sys, threading, time
import numpy as np, mlcore
model = mlcore.load(sys.argv[1])
model.threads = 4
X = np.zeros((200_000, 6))
def forever():
    while True:
        model.predict_proba(X)
for _ in range(2):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.3)
"""
    for _ in range(3):
        done = _run(script, saved)
        assert (done.returncode, done.stderr) == (0, "")


def test_signals_go_to_the_programs_own_threads(saved: Path) -> None:
    """A signal wakes the main thread out of its system call, as without a pool."""
    script = """
import os, signal, sys, threading, time
import numpy as np, mlcore
model = mlcore.load(sys.argv[1])
model.threads = 6
model.predict_proba(np.zeros((20_000, 6)))
for task in os.listdir("/proc/self/task"):
    if int(task) == os.getpid():
        continue
    for _ in range(1_000):  # until it sleeps: a thread that has not run yet blocks every signal
        status = open(f"/proc/self/task/{task}/status").read()
        if "State:\\tS" in status:
            break
        time.sleep(0.01)
    blocked = int(status.split("SigBlk:")[1].split()[0], 16)
    assert all(blocked >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)), status
    assert not blocked >> (signal.SIGSEGV - 1) & 1, status
print("fine")
"""
    done = _run(script, saved)
    assert done.stdout.strip() == "fine", done.stderr


def test_batches_of_a_stream() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    model = _compiled("mixed")
    table = pyarrow.Table.from_pandas(TABLE, preserve_index=False)
    model.threads = 1
    expected = model.predict(table).tobytes()
    model.threads = 4
    for size in (100, 1_000, 7_777):
        reader = pyarrow.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=size))
        assert model.predict(reader).tobytes() == expected
