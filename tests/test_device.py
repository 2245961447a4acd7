"""Models on a device: the CPU's bits, from tables of the host and from arrays of the device, and errors that say why.

The device is the kernels' own code in loops on the CPU (`emulated`), unless MLCORE_TEST_GPU=1 asks for a GPU.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import emulated
import mlcore
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from emulated import assert_same_on_device, to_device
from holding import bits
from mlcore.errors import DeviceError, InputError
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, MinMaxScaler, OneHotEncoder, StandardScaler

SIZES = [0, 1, 2, 31, 32, 33, 127, 128, 129, 511, 512, 513, 1_025, 5_000]
real_only = pytest.mark.skipif(not emulated.REAL, reason="needs a GPU: MLCORE_TEST_GPU=1")
emulated_only = pytest.mark.skipif(emulated.REAL, reason="of the emulated device")


def _numbers(rows: int, columns: int = 6, dtype: Any = np.float32, missing: bool = True) -> np.ndarray:
    dice = np.random.default_rng(rows + columns)
    X = dice.normal(size=(rows, columns)).astype(dtype)
    if missing and rows > 4:
        X[dice.random(X.shape) < 0.1] = np.nan
    return X


@pytest.fixture(scope="module")
def trees() -> mlcore.Model:
    X = _numbers(2_000)
    model = xgb.XGBClassifier(n_estimators=40, max_depth=6, n_jobs=1).fit(X, np.nan_to_num(X[:, 0]) > 0.3)
    return mlcore.compile(model, X[:200])


@pytest.fixture(scope="module")
def on_device(trees: mlcore.Model) -> mlcore.Model:
    return mlcore.Model.from_bytes(trees.to_bytes(), device="cuda:0")


# -- the same bits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", SIZES)
def test_sizes(trees: mlcore.Model, on_device: mlcore.Model, rows: int) -> None:
    X = _numbers(rows)
    for method in trees.methods:
        expected = trees.call(method, X)
        found = on_device.call(method, X)
        assert found.shape == expected.shape
        assert bits(found) == bits(expected)


def _depths(depth: int, leaf: str, dtype: Any) -> Any:
    X = _numbers(3_000, dtype=dtype, missing=False)
    y = np.sin(X[:, 0] * 3) + X[:, 1] * X[:, 2]
    if leaf == "vector":
        return ExtraTreesRegressor(n_estimators=5, max_depth=depth, n_jobs=1, random_state=1).fit(X, np.c_[y, -y]), X
    if leaf == "classes":
        return xgb.XGBClassifier(n_estimators=7, max_depth=depth, n_jobs=1).fit(X, np.digitize(y, [-0.5, 0.5])), X
    return xgb.XGBRegressor(n_estimators=9, max_depth=depth, n_jobs=1, base_score=0.5).fit(X, y), X


@pytest.mark.parametrize("leaf", ["one", "classes", "vector"])
@pytest.mark.parametrize("depth", [1, 3, 6, 9, 13])
def test_forests_of_every_form(depth: int, leaf: str) -> None:
    """Small trees by ranks, deep ones by a walk, few rows tree by tree."""
    estimator, X = _depths(depth, leaf, np.float64 if leaf == "vector" else np.float32)
    model = mlcore.compile(estimator, X[:100])
    other = assert_same_on_device(model, X)
    assert bits(other.predict(X[:7])) == bits(model.predict(X[:7]))


def test_leaves() -> None:
    X = _numbers(1_500)
    model = mlcore.compile(xgb.XGBRegressor(n_estimators=5, n_jobs=1).fit(X, np.nan_to_num(X[:, 1])), X, leaf=True)
    other = assert_same_on_device(model, X)
    assert bits(other.leaf(to_device(X)).to_host()) == bits(model.leaf(X))  # type: ignore[attr-defined]


def test_a_column_of_more_cuts_than_a_byte_counts() -> None:
    X = np.arange(4_000, dtype=np.float32).reshape(-1, 1)
    estimator = xgb.XGBRegressor(n_estimators=60, max_depth=6, max_bin=2_048, n_jobs=1).fit(X, (X[:, 0] * 7) % 11)
    assert_same_on_device(mlcore.compile(estimator, X[:50]), X)


def test_answers_that_no_row_changes() -> None:
    X = _numbers(700, missing=False)
    model = mlcore.compile(DummyRegressor().fit(X, X[:, 0]), X)
    other = assert_same_on_device(model, X)
    assert bits(other.predict(to_device(X)).to_host()) == bits(model.predict(X))
    with pytest.raises(InputError, match="expected 6 columns"):
        other.predict(X[:, :5])
    assert_same_on_device(mlcore.compile(xgb.XGBRegressor(n_estimators=3, n_jobs=1).fit(X, np.ones(700)), X), X)


def test_a_table_of_text_and_numbers() -> None:
    dice = np.random.default_rng(5)
    frame = pd.DataFrame({
        "amount": np.where(dice.random(900) < 0.2, np.nan, dice.normal(size=900)),
        "age": dice.integers(18, 90, 900),
        "city": dice.choice([*"abcdefgh", None], 900),
    })  # fmt: skip
    features = ColumnTransformer([
        ("number", make_pipeline(SimpleImputer(), StandardScaler(), MinMaxScaler(clip=True)), ["amount", "age"]),
        ("bins", make_pipeline(SimpleImputer(), KBinsDiscretizer(5, encode="ordinal", strategy="uniform")), ["age"]),
        ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
    ])  # fmt: skip
    for last in (LogisticRegression(), RandomForestClassifier(n_estimators=5, n_jobs=1, random_state=1)):
        estimator = make_pipeline(features, last).fit(frame, dice.choice(["no", "yes"], 900))
        assert_same_on_device(mlcore.compile(estimator, frame), frame)


def test_many_chunks_of_a_table(trees: mlcore.Model, on_device: mlcore.Model) -> None:
    """More rows than a chunk takes: two lanes in turn."""
    X = np.tile(_numbers(5_000), (450, 1))
    expected = trees.predict_proba(X)
    assert bits(on_device.predict_proba(X)) == bits(expected)


def test_two_threads_at_once(trees: mlcore.Model, on_device: mlcore.Model) -> None:
    tables = [_numbers(rows) for rows in (700, 1_300)]
    expected = [bits(trees.predict_proba(X)) for X in tables]
    found: list[list[Any]] = [[], []]

    def work(at: int) -> None:
        for _ in range(20):
            found[at].append(bits(on_device.predict_proba(tables[at])))

    threads = [threading.Thread(target=work, args=(at,)) for at in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[one] * 20 for one in expected]


# -- arrays of the device ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", SIZES)
def test_a_matrix_of_the_device(trees: mlcore.Model, on_device: mlcore.Model, rows: int) -> None:
    X = _numbers(rows)
    found = on_device.predict_proba(to_device(X))
    assert isinstance(found, mlcore.DeviceArray)
    expected = trees.predict_proba(X)
    assert (found.shape, found.dtype, len(found)) == (expected.shape, expected.dtype, rows)
    assert bits(found.to_host()) == bits(expected)


def test_matrices_of_every_layout(trees: mlcore.Model, on_device: mlcore.Model) -> None:
    X = _numbers(900)
    expected = bits(trees.predict_proba(X))
    spread = np.zeros((1_800, 18), dtype=np.float32)
    spread[::2, ::3] = X
    layouts = [np.asfortranarray(X), spread[::2, ::3]] + ([] if emulated.REAL else [X[::-1].copy()[::-1]])
    for layout in layouts:
        assert bits(on_device.predict_proba(to_device(layout)).to_host()) == expected


def test_columns_of_the_device(trees: mlcore.Model, on_device: mlcore.Model) -> None:
    X = _numbers(700)
    columns = {name: to_device(X[:, at]) for at, name in reversed([*enumerate(trees.columns)])}
    assert bits(on_device.predict_proba(columns).to_host()) == bits(trees.predict_proba(X))


def test_narrower_numbers_are_taken_as_wider_ones() -> None:
    X = np.arange(600).reshape(-1, 2)
    model = mlcore.compile(StandardScaler().fit(X.astype(np.float64)))
    other = mlcore.Model.from_bytes(model.to_bytes(), device="cuda:0")
    for dtype in (np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32, np.float32):
        table = (X % 100).astype(dtype)
        assert bits(other.transform(to_device(table)).to_host()) == bits(model.transform(table))
    for dtype in (np.int64, np.uint64):
        table = X.astype(dtype)
        assert bits(other.transform(to_device(table)).to_host()) == bits(model.transform(table))
        table[77, 1] = 2**53 + 1
        with pytest.raises(InputError, match=r"row 77: .*which float64 cannot hold exactly") as expected:
            model.transform(table)
        with pytest.raises(InputError) as found:
            other.transform(to_device(table))
        assert str(found.value) == str(expected.value)
    halves = (X / 7).astype(np.float16)
    assert bits(other.transform(to_device(halves)).to_host()) == bits(model.transform(halves))


@emulated_only
def test_results_speak_the_protocols(on_device: mlcore.Model) -> None:
    X = _numbers(50)
    found = on_device.predict_proba(to_device(X))
    shown = found.__cuda_array_interface__
    assert (shown["shape"], shown["typestr"], shown["version"]) == ((50, 2), "<f4", 3)
    assert found.__dlpack_device__() == (2, 0)
    # through DLPack and back in: the same values, and the memory lives as long as the capsule does
    expected = bits(found.to_host())
    capsule = found.__dlpack__(stream=1)
    del found
    view = mlcore._core.read_dlpack(capsule)
    with pytest.raises(InputError, match="nobody has used"):
        mlcore._core.read_dlpack(capsule)
    again = (np.ctypeslib.as_array((np.ctypeslib.ctypes.c_float * 100).from_address(view["data"][0]))).reshape(50, 2)
    assert bits(again) == expected
    assert (view["shape"], view["strides"], view["typestr"]) == ((50, 2), (8, 4), "<f4")


@emulated_only
def test_dlpack_goes_in(trees: mlcore.Model, on_device: mlcore.Model) -> None:
    class Producer:
        """An array that knows DLPack alone."""

        def __init__(self, array: Any) -> None:
            self.array = array
            self.streams: list[int] = []

        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __dlpack__(self, *, stream: int) -> object:
            self.streams.append(stream)
            return self.array.__dlpack__(stream=stream)

    X = _numbers(300, missing=False)
    scaler = mlcore.compile(FunctionTransformer(validate=True).fit(X), X)
    same = mlcore.Model.from_bytes(scaler.to_bytes(), device="cuda:0")
    produced = Producer(same.transform(to_device(X)))
    assert bits(on_device.predict_proba(produced).to_host()) == bits(trees.predict_proba(X))
    on_device.call("predict_proba", produced, stream=7)
    assert produced.streams == [1, 7]
    elsewhere = mlcore.Model.from_bytes(scaler.to_bytes(), device="cuda:1").transform(to_device(X))
    with pytest.raises(InputError, match="expected columns in the memory of cuda:0 but found some of cuda:1"):
        on_device.predict_proba(Producer(elsewhere))


@emulated_only
def test_streams_of_arrays_are_respected(on_device: mlcore.Model) -> None:
    X = _numbers(20)
    columns = {name: emulated.OnDevice(X[:, at].copy(), stream=3) for at, name in enumerate(on_device.columns)}
    on_device.predict_proba(columns)
    columns["x0"] = emulated.OnDevice(X[:, 0].copy(), stream=4)
    with pytest.raises(InputError, match=r"ready in stream 1 but found some of streams \[3, 4\]"):
        on_device.predict_proba(columns)


# -- what is refused --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict() -> tuple[mlcore.Model, mlcore.Model]:
    """Refuses what is missing."""
    X = _numbers(400, 3, np.float64, missing=False)
    model = mlcore.compile(make_pipeline(StandardScaler(), Ridge()).fit(X, X[:, 0]), X)
    return model, mlcore.Model.from_bytes(model.to_bytes(), device="cuda:0")


@pytest.mark.parametrize("row", [0, 511, 512, 4_999])
def test_a_refused_row_is_named_as_on_the_cpu(strict: tuple[mlcore.Model, mlcore.Model], row: int) -> None:
    model, other = strict
    X = _numbers(5_000, 3, np.float64, missing=False)
    X[row, 1] = np.inf
    with pytest.raises(InputError) as expected:
        model.predict(X)
    assert f"row {row}" in str(expected.value)
    for table in (X, to_device(X)):
        with pytest.raises(InputError) as found:
            other.predict(table)
        assert str(found.value) == str(expected.value)
    X[row, 1] = 0.0
    assert bits(other.predict(X)) == bits(model.predict(X))  # and the next call is none the worse


def test_columns_are_matched_as_on_the_cpu(on_device: mlcore.Model) -> None:
    X = _numbers(10)
    columns = {name: X[:, at].copy() for at, name in enumerate(on_device.columns)}
    broken = {**columns, "x9": columns["x0"]}
    del broken["x2"]
    with pytest.raises(InputError) as expected:
        on_device.predict_proba(broken)
    with pytest.raises(InputError) as found:
        on_device.predict_proba({name: to_device(column) for name, column in broken.items()})
    assert str(found.value) == str(expected.value)


def test_what_no_array_of_a_device_can_be(trees: mlcore.Model, on_device: mlcore.Model) -> None:
    X = _numbers(10)
    with pytest.raises(InputError, match=r"expected an array of shape \(n, 6\) but found \(10, 5\)"):
        on_device.predict_proba(to_device(X[:, :5]))
    mixed = {name: to_device(X[:, at]) if at else X[:, 0] for at, name in enumerate(on_device.columns)}
    with pytest.raises(
        InputError, match="column 'x0': expected an array in a GPU's memory, as the others, but found nd"
    ):
        on_device.predict_proba(mixed)
    with pytest.raises(InputError, match="as this model runs on the CPU, but found arrays of a GPU"):
        trees.predict_proba(to_device(X))
    with pytest.raises(InputError, match="as this model runs on cuda:0, but found a single row"):
        on_device.row(dict.fromkeys(on_device.columns, 1.0))


def test_text_needs_a_table_of_the_host() -> None:
    frame = pd.DataFrame({"city": list("abca"), "x": [1.0, 2.0, 3.0, 4.0]})
    estimator = make_pipeline(
        ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough"), LogisticRegression()
    ).fit(frame, ["no", "yes", "no", "yes"])
    model = mlcore.compile(estimator, frame)
    other = assert_same_on_device(model, frame)
    with pytest.raises(InputError, match="column 'city'"):
        other.predict_proba({"city": to_device(np.arange(4.0)), "x": to_device(np.arange(4.0))})
    with pytest.raises(InputError, match="found labels of type <U3"):
        other.predict({"city": to_device(np.arange(4.0)), "x": to_device(np.arange(4.0))})


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", ""])
def test_names_of_no_device(trees: mlcore.Model, name: str) -> None:
    with pytest.raises(InputError, match=r"device: expected 'cuda' or 'cuda:<number>' but found"):
        mlcore.Model.from_bytes(trees.to_bytes(), device=name)


def test_a_device_that_is_not_there(trees: mlcore.Model) -> None:
    with pytest.raises(DeviceError, match=r"expected one of the \d+ CUDA devices but found number 99"):
        mlcore.Model.from_bytes(trees.to_bytes(), device="cuda:99")


def test_what_is_missing_is_named(trees: mlcore.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCORE_CUDA_LIBRARY", str(tmp_path / "none.so"))
    with pytest.raises(DeviceError, match=r"expected libmlcore_cuda\.so beside libmlcore\.so"):
        mlcore.Model.from_bytes(trees.to_bytes(), device="cuda")
    (tmp_path / "none.so").write_bytes(b"no library")
    with pytest.raises(DeviceError, match=r"expected to load libmlcore_cuda\.so but found: "):
        mlcore.Model.from_bytes(trees.to_bytes(), device="cuda")
    monkeypatch.setenv("MLCORE_CUDA_LIBRARY", mlcore._core.__file__)
    with pytest.raises(DeviceError, match="to be mlcore's but found another library"):
        mlcore.Model.from_bytes(trees.to_bytes(), device="cuda")


@emulated_only
def test_too_little_memory_is_an_error_and_no_end(trees: mlcore.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlcore.Model.from_bytes(trees.to_bytes(), device="cuda:0")
    X = _numbers(100_000)
    monkeypatch.setenv("MLCORE_EMULATED_BYTES", "1000000")
    for table in (X, to_device(X)):
        with pytest.raises(DeviceError, match=r"cuda:0 .*out of memory"):
            model.predict_proba(table)
    monkeypatch.delenv("MLCORE_EMULATED_BYTES")
    for table in (X, to_device(X)):
        assert bits(np.asarray(model.predict_proba(table))) == bits(trees.predict_proba(X))


@emulated_only
def test_a_warm_call_allocates_nothing(on_device: mlcore.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    X, fewer = to_device(_numbers(5_000)), to_device(_numbers(4_000))
    first = on_device.predict_proba(X)
    expected = bits(first.to_host())
    del first
    monkeypatch.setenv("MLCORE_EMULATED_BYTES", "0")
    for _ in range(3):
        assert bits(on_device.predict_proba(X).to_host()) == expected
        on_device.predict_proba(fewer)
    kept = on_device.predict_proba(X)
    with pytest.raises(DeviceError, match="out of memory"):
        on_device.predict_proba(X)
    assert bits(kept.to_host()) == expected
    capsule = kept.__dlpack__()
    del kept
    with pytest.raises(DeviceError, match="out of memory"):  # its memory is another's
        on_device.predict_proba(X)
    del capsule
    assert bits(on_device.predict_proba(X).to_host()) == expected


@emulated_only
def test_memory_that_is_kept_is_bounded(trees: mlcore.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlcore.Model.from_bytes(trees.to_bytes(), device="cuda:0")
    kept = [model.predict_proba(to_device(_numbers(rows))) for rows in range(1_000, 2_200, 100)]
    del kept
    monkeypatch.setenv("MLCORE_EMULATED_BYTES", "0")
    found = []
    for rows in range(1_000, 2_200, 100):
        try:
            found.append(model.predict_proba(to_device(_numbers(rows))))
        except DeviceError:
            break
    assert 0 < len(found) <= 8


def test_results_outlive_the_model(trees: mlcore.Model) -> None:
    X = _numbers(300)
    found = mlcore.Model.from_bytes(trees.to_bytes(), device="cuda:0").predict_proba(to_device(X))
    assert bits(found.to_host()) == bits(trees.predict_proba(X))


def test_a_process_ends_cleanly_with_a_model_on_a_device(trees: mlcore.Model, tmp_path: Path) -> None:
    trees.save(tmp_path / "model.mlc")
    code = f"""import mlcore, numpy as np
model = mlcore.load({str(tmp_path / "model.mlc")!r}, device="cuda:1")
print(model.device, model.predict(np.zeros((3, 6), np.float32)).tolist())"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cuda:1 [")
