"""Arrow data in a device's memory: the CPU's bits and messages for numbers of every type, bitmap and slice."""

from __future__ import annotations

from typing import Any

import emulated
import mlcore
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from arrow_devices import ArrowOnDevice, ArrowStreamOnDevice, answer, assert_same, on_device, slices
from holding import bits
from mlcore.errors import InputError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

emulated_only = pytest.mark.skipif(emulated.REAL, reason="of the emulated device")

# -- numbers ----------------------------------------------------------------------------------------------------

NUMBERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]


def _values(kind: pa.DataType, missing: float, rows: int = 700) -> pa.Array:
    dice = np.random.default_rng(rows)
    if kind == pa.bool_():
        values = dice.random(rows) < 0.5
    else:
        values = dice.integers(0, 100, rows).astype(kind.to_pandas_dtype())
    return pa.array(values, kind, mask=dice.random(rows) < missing)


@pytest.fixture(scope="module")
def scaler() -> tuple[mlcore.Model, mlcore.Model]:
    """Takes what is missing."""
    X = pd.DataFrame({"x": [1.0, 2.5, np.nan], "y": [3.0, np.nan, 4.0]})
    model = mlcore.compile(StandardScaler().fit(X), X)
    return model, on_device(model)


@pytest.mark.parametrize("missing", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("kind", [*NUMBERS, *FLOATS, pa.bool_()], ids=str)
def test_numbers(scaler: tuple[mlcore.Model, mlcore.Model], kind: pa.DataType, missing: float) -> None:
    column = _values(kind, missing)
    batch = pa.RecordBatch.from_arrays([column, _values(pa.float64(), 0.1)], ["x", "y"])
    for part in slices(batch):
        assert_same(*scaler, part)


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()], ids=str)
def test_numbers_that_no_float_holds(scaler: tuple[mlcore.Model, mlcore.Model], kind: pa.DataType) -> None:
    for number in (2**53, 2**53 + 1, 2**53 + 2, 2**60, 2**63 - 1):
        column = pa.array([None, 1, number] * 300, kind)
        message = assert_same(*scaler, pa.RecordBatch.from_arrays([column, column], ["y", "x"]))
        assert ("row 2: expected float64" in str(message)) == (int(float(number)) != number)
    # the bits under a null are nobody's
    hidden = pa.Array.from_buffers(kind, 2, [pa.py_buffer(b"\2"), pa.array([2**53 + 1, 5], kind).buffers()[1]])
    assert "row" not in str(assert_same(*scaler, pa.RecordBatch.from_arrays([hidden, hidden], ["x", "y"])))


SCHEMAS = [np.array([True, False]), *(np.arange(2, dtype=kind) for kind in ("i2", "i8", "u8", "f4", "f8"))]


@pytest.fixture(scope="module", params=SCHEMAS, ids=lambda values: values.dtype.name)
def one_column(request: pytest.FixtureRequest) -> list[tuple[mlcore.Model, mlcore.Model]]:
    """Models of one column, which they read as a number and as a category."""
    frame = pd.DataFrame({"x": request.param})
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    models = [mlcore.compile(estimator.fit(frame), frame) for estimator in (StandardScaler(), encoder)]
    return [(model, on_device(model)) for model in models]


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("kind", [*NUMBERS, *FLOATS, pa.bool_()], ids=str)
def test_columns_of_every_type(one_column: Any, kind: pa.DataType, missing: float) -> None:
    """What the schema takes, and what it refuses, in the CPU's words."""
    for model, other in one_column:
        assert_same(model, other, pa.RecordBatch.from_arrays([_values(kind, missing)], ["x"]))


def test_dates_and_timestamps() -> None:
    frame = pd.DataFrame({"x": np.array(["2020-01-01", "1970-01-01"], "datetime64[us]")})
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = mlcore.compile(encoder.fit(frame), frame)
    other = on_device(model)
    when = pa.array([0, 1, 1_577_836_800_000_000, 5], pa.int64())
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.int64(), pa.date64()):
        assert_same(model, other, pa.RecordBatch.from_arrays([when.view(kind)], ["x"]))
    other_unit = pa.RecordBatch.from_arrays([when.view(pa.timestamp("ns"))], ["x"])
    message = answer(other, "transform", ArrowOnDevice(other_unit))
    assert message.startswith("column 'x': expected numbers, strings or a dictionary of them in a device's memory")
    assert message.endswith("but found timestamp[ns]")


def test_a_column_that_must_not_be_missing() -> None:
    frame = pd.DataFrame({"x": np.arange(4.0), "y": np.arange(4.0)})
    model = mlcore.compile(make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, [0, 1, 0, 1]), frame)
    other = on_device(model)
    for row in (0, 511, 512, 1_999):
        values = np.arange(2_000.0)
        mask = np.arange(2_000) == row
        for column in (pa.array(values, mask=mask), pa.array(np.where(mask, np.nan, values))):
            batch = pa.RecordBatch.from_arrays([column, pa.array(values)], ["x", "y"])
            message = assert_same(model, other, batch, "predict_proba")
            assert f"row {row}" in message
            assert f"row {row - 9}" in assert_same(model, other, batch.slice(9), "predict_proba") or row < 9


@pytest.mark.parametrize("values", [pa.float64(), pa.float32(), pa.int16(), pa.int64(), pa.bool_()], ids=str)
def test_dictionaries_of_numbers(scaler: tuple[mlcore.Model, mlcore.Model], values: pa.DataType) -> None:
    entries = pa.array([1, 0, 7], pa.int16()).cast(values)
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2] * 50, pa.int32()), entries)
    assert_same(*scaler, pa.RecordBatch.from_arrays([column, column], ["x", "y"]))


# -- the interface ----------------------------------------------------------------------------------------------


def test_a_row_is_refused_by_its_number_in_the_stream(scaler: tuple[mlcore.Model, mlcore.Model]) -> None:
    columns = [pa.array([1, 2, None, 2**60 + 1] if last else [5] * 600, pa.int64()) for last in (False, True)]
    batches = [ArrowOnDevice(pa.RecordBatch.from_arrays([column] * 2, ["x", "y"])) for column in columns]
    stream = ArrowStreamOnDevice(batches, batches[0].data.schema)
    assert "row 603: expected float64" in answer(scaler[1], "transform", stream)
    assert stream.released == batches[0].released == batches[1].released == 1


def test_streams_that_fail(scaler: tuple[mlcore.Model, mlcore.Model]) -> None:
    batches = [ArrowOnDevice(pa.RecordBatch.from_arrays([pa.array([1.0])] * 2, ["x", "y"])) for _ in range(3)]
    stream = ArrowStreamOnDevice(batches, batches[0].data.schema, fails_at=2)
    assert answer(scaler[1], "transform", stream) == (
        "Arrow stream: expected a batch but the producer failed: the disk is gone"
    )
    assert [batch.released for batch in batches] == [1, 1, 0]
    assert stream.released == 1
    stream = ArrowStreamOnDevice(batches, batches[0].data.schema, kind=13)
    assert "in CUDA's managed memory (device type 13)" in answer(scaler[1], "transform", stream)
    assert stream.released == 1


def test_columns_are_matched_as_on_the_cpu(scaler: tuple[mlcore.Model, mlcore.Model]) -> None:
    x = pa.array([1.0, 2.0])
    for names in (["y", "x"], ["x"], ["x", "Y"], ["x", "y", "z"], ["x", "x"]):
        assert_same(*scaler, pa.RecordBatch.from_arrays([x] * len(names), names))
    for column in (
        pa.array(["a", "b"]),
        pa.array([[1], [2]]),
        pa.array([b"a", b"b"]),
        pa.array(["a", "b"], pa.string()),
    ):
        assert_same(*scaler, pa.RecordBatch.from_arrays([x, column], ["x", "y"]))


@pytest.mark.parametrize(
    ("kind", "where"),
    [(3, "the host's memory, pinned for CUDA"), (13, "CUDA's managed memory"), (10, "a ROCm device's memory"),
     (99, "another device's memory"), (1, "the host's memory")],
)  # fmt: skip
def test_other_kinds_of_memory(scaler: tuple[mlcore.Model, mlcore.Model], kind: int, where: str) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1.0])] * 2, ["x", "y"])
    shown = ArrowOnDevice(batch, kind=kind)
    message = answer(scaler[1], "transform", shown)
    assert (
        message == f"Arrow: expected an array in a CUDA device's memory but found one in {where} (device type {kind})"
    )
    assert shown.given == shown.released == 1


def test_another_device(scaler: tuple[mlcore.Model, mlcore.Model]) -> None:
    shown = ArrowOnDevice(pa.RecordBatch.from_arrays([pa.array([1.0])] * 2, ["x", "y"]), device=1)
    assert answer(scaler[1], "transform", shown) == (
        "expected columns in the memory of cuda:0 but found some of cuda:1"
    )
    assert shown.given == shown.released == 1


def test_a_host_table_that_also_speaks_of_devices(scaler: tuple[mlcore.Model, mlcore.Model]) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1.0, None])] * 2, ["x", "y"])
    found = scaler[1].call("transform", batch)
    assert isinstance(found, np.ndarray)
    assert bits(found) == bits(scaler[0].call("transform", batch))
    with pytest.raises(InputError, match="as this model runs on the CPU, but found arrays of a GPU"):
        scaler[0].call("transform", ArrowOnDevice(batch))


@pytest.mark.parametrize("column", [pa.array([1, 2], pa.decimal128(5, 2)), pa.array([None, None], pa.null())], ids=str)
def test_columns_that_only_the_host_reads(scaler: tuple[mlcore.Model, mlcore.Model], column: pa.Array) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1.0, 2.0]), column], ["x", "y"])
    found = answer(scaler[1], "transform", ArrowOnDevice(batch))
    assert found.startswith("column 'y': expected numbers, strings or a dictionary of them in a device's memory, or a ")


@emulated_only
def test_values_that_are_not_aligned(scaler: tuple[mlcore.Model, mlcore.Model]) -> None:
    frame = pd.DataFrame({"city": ["Oslo", "Bergen"]})
    text = on_device(mlcore.compile(OrdinalEncoder().fit(frame), frame))
    x = pa.Array.from_buffers(pa.float64(), 4, [None, pa.py_buffer(bytes(33)).slice(1)])
    offsets = pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(bytes(17)).slice(1), pa.py_buffer(b"")])
    indices = pa.Array.from_buffers(pa.int16(), 3, [None, pa.py_buffer(bytes(7)).slice(1)])
    city = pa.DictionaryArray.from_arrays(indices, pa.array(["Oslo"]))
    for model, columns, size in ((scaler[1], [x, x], 8), (text, [offsets], 4), (text, [city], 2)):
        shown = ArrowOnDevice(pa.RecordBatch.from_arrays(columns, model.columns))
        assert answer(model, "transform", shown) == (
            f"column {model.columns[0]!r}: expected values at a multiple of {size} bytes in the device's memory "
            "but found an address that is none"
        )
        assert shown.released == 1


@emulated_only
def test_an_event_is_waited_for(scaler: tuple[mlcore.Model, mlcore.Model]) -> None:
    values = np.zeros(900)
    batch = pa.RecordBatch.from_arrays([pa.array(values)] * 2, ["x", "y"])
    memory = np.frombuffer(batch.column(0).buffers()[1], np.float64)
    memory.flags.writeable = True
    waits = []

    def happen() -> None:
        waits.append(1)
        memory[:] = np.arange(900.0)

    found = answer(scaler[1], "transform", ArrowOnDevice(batch, on_wait=happen))
    assert waits
    assert found == answer(scaler[0], "transform", batch)
