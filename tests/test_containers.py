"""Tables of every kind: the same table decodes to the same values, and what is no table says so."""

from __future__ import annotations

import datetime
import decimal
import gc
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from mlcore import _core
from mlcore.containers import arrow_table, batches, infer_schema, iter_batches
from mlcore.errors import InputError
from scipy import sparse

NAN = float("nan")
ROWS = 11
UTC = datetime.timezone.utc

# name -> (schema type, values, None = missing)
TABLE: dict[str, tuple[str, list[Any]]] = {
    "i": ("int64", [7 * index - 20 for index in range(ROWS)]),
    "n": ("int64", [None if index % 4 == 1 else index for index in range(ROWS)]),
    "f": ("float64", [None if index % 3 == 2 else index / 8 for index in range(ROWS)]),
    "s": ("string", [None if index % 5 == 3 else "né" * (index % 4) + "x" for index in range(ROWS)]),
    "b": ("bool", [index % 3 == 0 for index in range(ROWS)]),
    "t": (
        "timestamp[us]",
        [datetime.datetime(1960 + 7 * index, 3, 1, index, 5, 59, 10 * index) for index in range(ROWS)],
    ),
    "z": (
        "timestamp[us, Europe/Paris]",
        [None if index == 4 else datetime.datetime(2000 + index, 7, 1, tzinfo=UTC) for index in range(ROWS)],
    ),
}


def column(name: str, type_: str, **flags: bool) -> dict[str, Any]:
    return {"name": name, "type": type_, "nullable": True, "distinguishes_missing": False, "used": True, **flags}


SCHEMA = [column(name, type_) for name, (type_, _) in TABLE.items()]


def values(name: str) -> list[Any]:
    return TABLE[name][1]


def arrow() -> pa.Table:
    types = [
        pa.int64(),
        pa.int64(),
        pa.float64(),
        pa.string(),
        pa.bool_(),
        pa.timestamp("us"),
        pa.timestamp("us", "Europe/Paris"),
    ]
    return pa.table({name: pa.array(values(name), type_) for name, type_ in zip(TABLE, types, strict=True)})


def chunked(table: pa.Table) -> pa.Table:
    """Every column cut at other places, with empty pieces."""
    out = {}
    for index, name in enumerate(table.column_names):
        flat = table.column(name).combine_chunks()
        cuts = sorted({0, (3 * index) % ROWS, (5 * index + 1) % ROWS, ROWS})
        pieces = [flat.slice(low, high - low) for low, high in itertools.pairwise(cuts)]
        out[name] = pa.chunked_array([flat.slice(0, 0), *pieces, flat.slice(0, 0)], type=flat.type)
    return pa.table(out)


def sliced() -> pa.Table:
    """The same rows, behind five others."""
    table = arrow()
    return pa.concat_tables([table.slice(0, 5), table]).combine_chunks().slice(5)


def cast(name: str, type_: pa.DataType) -> pa.Table:
    table = arrow()
    return table.set_column(table.column_names.index(name), name, table.column(name).cast(type_))


def pandas_objects() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(values(name), dtype=object) for name in TABLE})


def pandas_plain() -> pd.DataFrame:
    frame = pd.DataFrame({name: values(name) for name in TABLE if name != "n"})
    frame["n"] = pd.array(values("n"), dtype="Int64")
    return frame[list(TABLE)]


def pandas_nullable() -> pd.DataFrame:
    return pandas_plain().astype({"i": "Int64", "f": "Float64", "b": "boolean", "s": "string[python]", "n": "Int64"})


def pandas_category() -> pd.DataFrame:
    frame = pandas_plain()
    for name in ("i", "n", "f", "s", "b", "t", "z"):
        frame[name] = frame[name].astype("category")
    return frame


class Capsules:
    """Offers only the array half of the PyCapsule protocol."""

    def __init__(self, table: pa.Table) -> None:
        self.array = table.combine_chunks().to_batches()[0]

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self.array.__arrow_c_array__()


CONTAINERS: dict[str, Callable[[], Any]] = {
    "pyarrow table": arrow,
    "pyarrow record batch": lambda: arrow().to_batches()[0],
    "pyarrow reader": lambda: arrow().to_reader(max_chunksize=4),
    "pyarrow chunked": lambda: chunked(arrow()),
    "pyarrow chunked reader": lambda: chunked(arrow()).to_reader(),
    "pyarrow sliced": sliced,
    "pyarrow large_string": lambda: cast("s", pa.large_string()),
    "pyarrow string_view": lambda: cast("s", pa.string_view()),
    "pyarrow dictionary": lambda: cast("s", pa.dictionary(pa.int8(), pa.string())),
    "pyarrow dictionary uint64": lambda: cast("s", pa.dictionary(pa.uint64(), pa.large_string())),
    "pyarrow dictionary of numbers": lambda: arrow().set_column(2, "f", arrow().column("f").dictionary_encode()),
    "pyarrow sliced dictionary": lambda: (
        pa.concat_tables([cast("s", pa.dictionary(pa.int8(), pa.string()))] * 2).combine_chunks().slice(ROWS)
    ),
    "pyarrow narrow": lambda: cast("i", pa.int16()).set_column(2, "f", arrow().column("f").cast(pa.float32())),
    "pyarrow decimal": lambda: cast("f", pa.decimal128(12, 4)),
    "pyarrow decimal256": lambda: cast("f", pa.decimal256(40, 5)),
    "pyarrow coarser time": lambda: cast("z", pa.timestamp("s", "UTC")),
    "array capsules": lambda: Capsules(arrow()),
    "polars": lambda: pl.from_arrow(arrow()),
    "polars chunked": lambda: pl.concat(
        [pl.from_arrow(arrow()).head(4), pl.from_arrow(arrow()).tail(ROWS - 4)], rechunk=False
    ),
    "polars sliced": lambda: pl.concat([pl.from_arrow(arrow())] * 2, rechunk=True).slice(ROWS, ROWS),
    "polars categorical": lambda: pl.from_arrow(arrow()).with_columns(pl.col("s").cast(pl.Categorical)),
    "pandas": pandas_plain,
    "pandas objects": pandas_objects,
    "pandas nullable": pandas_nullable,
    "pandas category": pandas_category,
    "pandas arrow": lambda: arrow().to_pandas(types_mapper=pd.ArrowDtype),
    "pandas arrow chunked": lambda: chunked(arrow()).to_pandas(types_mapper=pd.ArrowDtype),
    "pandas reordered": lambda: pandas_plain()[list(reversed(TABLE))],
    "pandas index": lambda: pandas_plain().set_index(pd.Index(range(100, 100 + ROWS))[::-1]),
    "pandas every second": lambda: pd.concat([pandas_plain()] * 2).sort_index(kind="stable").iloc[::2],
    "dict of lists": lambda: {name: values(name) for name in TABLE},
    "dict of tuples": lambda: {name: tuple(values(name)) for name in TABLE},
    "dict of object arrays": lambda: {name: np.array(values(name), dtype=object) for name in TABLE},
    "dict of arrow": lambda: dict(zip(TABLE, arrow().columns, strict=True)),
    "dict of polars": lambda: {name: pl.from_arrow(arrow())[name] for name in TABLE},
    "dict of pandas": lambda: {name: pandas_plain()[name] for name in TABLE},
    "dict of pandas arrays": lambda: {name: pandas_category()[name].array for name in TABLE},
    "dict rows": lambda: [dict(zip(TABLE, row, strict=True)) for row in zip(*map(values, TABLE), strict=True)],
    "dict rows reordered": lambda: [
        dict(reversed(list(zip(TABLE, row, strict=True)))) for row in zip(*map(values, TABLE), strict=True)
    ],
    "tuple rows": lambda: list(zip(*map(values, TABLE), strict=True)),
    "list rows": lambda: [list(row) for row in zip(*map(values, TABLE), strict=True)],
    "object matrix": lambda: np.array(list(zip(*map(values, TABLE), strict=True)), dtype=object),
    "structured": lambda: np.array(
        [tuple(row) for row in zip(*map(values, TABLE), strict=True)],
        dtype=[
            ("i", ">i8"),
            ("n", object),
            ("f", object),
            ("s", object),
            ("b", "?"),
            ("t", "M8[us]"),
            ("z", object),
        ],
    ),
}


def decoded(found: list[_core.Batch], name: str, type_: str, dtype: str) -> list[Any]:
    """A column over all batches; numbers by their bytes, missing strings as None."""
    out: list[Any] = []
    for batch in found:
        part = batch.decode(name, type_, dtype)
        if dtype == "str":
            out += [value if isinstance(value, str) else None for value in part]
        else:
            out += [item.tobytes() for item in part]
    return out


def expected(name: str, dtype: str) -> list[Any]:
    type_, items = TABLE[name]
    if dtype == "str":
        return items
    if type_.startswith("timestamp"):
        epoch = datetime.datetime(1970, 1, 1, tzinfo=UTC if "," in type_ else None)
        items = [None if item is None else (item - epoch) // datetime.timedelta(microseconds=1) for item in items]
    if dtype == "i64":
        return [np.int64(item).tobytes() for item in items]
    numpy_dtype = np.float64 if dtype == "f64" else np.float32
    return [numpy_dtype(NAN if item is None else item).tobytes() for item in items]


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_decodes_alike(container: str) -> None:
    schema = [column(name, type_) for name, (type_, _) in TABLE.items()]
    found = batches(CONTAINERS[container](), schema)
    gc.collect()
    assert sum(batch.rows for batch in found) == ROWS
    for name, (type_, items) in TABLE.items():
        dtypes = ["str"] if type_ == "string" else ["f64", "f32"] + ["i64"] * (None not in items and type_ != "float64")
        for dtype in dtypes:
            assert decoded(found, name, type_, dtype) == expected(name, dtype), (name, dtype)


@pytest.mark.parametrize("container", CONTAINERS)
def test_schema_is_inferred_alike(container: str) -> None:
    data = CONTAINERS[container]()
    found = {name: type_ for name, type_, _ in infer_schema(data)}
    names = list(TABLE) if set(found) == set(TABLE) else [f"x{index}" for index in range(len(TABLE))]
    assert set(found) == set(names)
    for name, (key, (type_, _)) in zip(names, TABLE.items(), strict=True):
        narrower = {"i": {"int16"}, "f": {"float32"}, "z": {"timestamp[s, UTC]", "timestamp[us, UTC]"}}.get(key, set())
        assert found[name] in {type_, *narrower}, name


# -- types ------------------------------------------------------------------------------------------------------

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64"]
ALL = ["bool", *INTEGERS, *FLOATS, "string", "date32", "date64", "timestamp[us]", "timestamp[s, UTC]"]
# schema type -> found types that are accepted (values may still be refused), besides itself
ACCEPTED = {
    "int16": {"int8", "uint8"},
    "int32": {"int8", "int16", "uint8", "uint16"},
    "int64": {"int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64"},
    "uint16": {"uint8"},
    "uint32": {"uint8", "uint16"},
    "uint64": {"uint8", "uint16", "uint32"},
    "float16": set(INTEGERS),
    "float32": {*INTEGERS, "float16", "decimal"},
    "float64": {*INTEGERS, "float16", "float32", "decimal"},
    "timestamp[us]": {"timestamp[ns]"},
    "timestamp[s, UTC]": {"timestamp[ms, Asia/Tokyo]"},
}


def arrow_type(name: str) -> pa.DataType:
    if name == "decimal":
        return pa.decimal128(5, 0)
    if name.startswith("timestamp"):
        unit, _, zone = name[10:-1].partition(", ")
        return pa.timestamp(unit, zone or None)
    return getattr(pa, {"bool": "bool_"}.get(name, name))()


FOUND = [*ALL, "decimal", "timestamp[ns]", "timestamp[ms, Asia/Tokyo]"]


@pytest.mark.parametrize("schema_type", ALL)
@pytest.mark.parametrize("found", FOUND)
def test_type_pairs(schema_type: str, found: str) -> None:
    good = found == schema_type or found in ACCEPTED.get(schema_type, set())
    raw: list[Any] = {
        "string": ["a", "b"],
        "bool": [True, False],
        "decimal": [decimal.Decimal(1), decimal.Decimal(0)],
    }.get(found, [0, 1])
    if found.startswith("timestamp"):
        raw = [0, 0]
    if found.startswith("date64"):
        raw = [0, 86_400_000]
    array = pa.array(raw, arrow_type(found)) if found not in FLOATS else pa.array(np.array(raw, found))
    variants = {"plain": array, "null first": pa.concat_arrays([pa.nulls(1, array.type), array])}
    if found != "decimal":
        variants["dictionary"] = array.dictionary_encode()
    for label, variant in variants.items():
        [batch] = batches(pa.table({"c": variant}), [column("c", schema_type)])
        dtype = "str" if schema_type == "string" else "f64"
        if not good:
            with pytest.raises(InputError, match=r"column 'c': expected .* but found") as caught:
                batch.decode("c", schema_type, dtype)
            assert f"expected {schema_type} but found" in str(caught.value)
            continue
        out = batch.decode("c", schema_type, dtype)
        if dtype == "f64":
            numbers = [float(value) for value in raw]
            head = [NAN] if label == "null first" else []
            if found.startswith("date64"):
                numbers = [0.0, 86_400_000.0]
            assert np.array_equal(out, [*head, *numbers], equal_nan=True), label


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, "bool"])
@pytest.mark.parametrize("order", ["=", "<", ">"])
@pytest.mark.parametrize("layout", ["C", "F", "reversed", "strided", "readonly", "unaligned"])
def test_numpy_layouts(dtype: str, order: str, layout: str) -> None:
    plain = (np.arange(24).reshape(6, 4) % 2 if dtype == "bool" else np.arange(24).reshape(6, 4)).astype(dtype)
    data = plain.astype(np.dtype(dtype).newbyteorder(order))
    if layout == "F":
        data = np.asfortranarray(data)
    elif layout == "reversed":
        data, plain = data[::-1, ::-1], plain[::-1, ::-1]
    elif layout == "strided":
        data, plain = data[::2, ::3], plain[::2, ::3]
    elif layout == "readonly":
        data.flags.writeable = False
    elif layout == "unaligned":
        buffer = bytearray(1 + data.nbytes)
        view = np.frombuffer(buffer, dtype=data.dtype, offset=1).reshape(data.shape)
        view[...] = data
        data = view
    schema = [column(f"x{index}", dtype) for index in range(data.shape[1])]
    [batch] = batches(data, schema)
    for index, spec in enumerate(schema):
        assert batch.decode(spec["name"], dtype, "f64").tobytes() == plain[:, index].astype(np.float64).tobytes()


@pytest.mark.parametrize(
    ("schema_type", "array", "fine"),
    [
        ("float64", np.array([2**53, -(2**53), 2**62]), True),
        ("float64", np.array([0, 2**53 + 1]), False),
        ("float64", np.array([0, 2**64 - 1], np.uint64), False),
        ("float64", np.array([0, 2**63], np.uint64), True),
        ("float32", np.array([2**24, 2**30]), True),
        ("float32", np.array([0, 2**24 + 1], np.int32), False),
        ("float32", np.array([0, 2**24 + 1], np.uint32), False),
        ("float16", np.array([2048, -2048, 65504], np.int32), True),
        ("float16", np.array([0, 2049], np.int32), False),
        ("float16", np.array([0, 65536], np.int32), False),
        ("int64", np.array([0, 2**63 - 1], np.uint64), True),
        ("int64", np.array([0, 2**63], np.uint64), False),
    ],
)
def test_wide_integers_value_by_value(schema_type: str, array: np.ndarray, fine: bool) -> None:
    for data in ({"c": array}, pa.table({"c": array}), pd.DataFrame({"c": array}), {"c": array.tolist()}):
        schema = [column("c", schema_type)]
        [batch] = batches(data, schema)
        if fine:
            assert batch.decode("c", schema_type, "f64").tolist() == [float(value) for value in array.tolist()]
        else:
            with pytest.raises(
                InputError, match=f"column 'c'.*expected {schema_type} but found .*row 1|row 1: expected"
            ):
                batch.decode("c", schema_type, "f64")


def test_decimals_are_accepted_only_when_exact() -> None:
    [batch] = batches(pa.table({"c": pa.array([decimal.Decimal("1.25"), None], pa.decimal128(9, 2))}), [])
    assert np.array_equal(batch.decode("c", "float64", "f64"), [1.25, NAN], equal_nan=True)
    [batch] = batches(
        pa.table({"c": pa.array([decimal.Decimal("1.25"), decimal.Decimal("0.10")], pa.decimal128(9, 2))}), []
    )
    with pytest.raises(InputError, match=r"row 1: expected float64 but found decimal128\(9, 2\) \(0\.10\)"):
        batch.decode("c", "float64", "f64")
    [batch] = batches(pa.table({"c": pa.array([decimal.Decimal(2**24 + 1)], pa.decimal128(9, 0))}), [])
    assert batch.decode("c", "float64", "f64").tolist() == [2.0**24 + 1]
    with pytest.raises(InputError, match="float32 cannot hold exactly"):
        batch.decode("c", "float32", "f32")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_datetime64_units(unit: str) -> None:
    instants = np.array(["1969-12-31T23:59:58", "2024-02-29T12:00:00", "NaT"], dtype=f"M8[{unit}]")
    for data in ({"t": instants}, {"t": pd.Series(instants)}, {"t": list(instants)}, pa.table({"t": instants})):
        [batch] = batches(data, [column("t", "timestamp[ms]")])
        assert np.array_equal(
            batch.decode("t", "timestamp[ms]", "f64"), [-2000.0, 1709208000000.0, NAN], equal_nan=True
        )


def test_days_minutes_and_odd_units() -> None:
    days = np.array(["1970-01-03", "NaT"], dtype="M8[D]")
    [batch] = batches({"t": days}, [column("t", "date32")])
    assert np.array_equal(batch.decode("t", "date32", "f64"), [2.0, NAN], equal_nan=True)
    for unit in ("D", "h", "m", "25s"):
        data = np.array([0, 50], dtype="i8").view(f"M8[{unit}]")
        [batch] = batches({"t": data}, [column("t", "timestamp[s]")])
        assert batch.decode("t", "timestamp[s]", "i64").tolist() == data.astype("M8[s]").view("i8").tolist()
    for bad in (np.array([2**62]).view("M8[D]"), np.array([1]).view("M8[Y]"), np.array([1]).view("M8[ps]")):
        [batch] = batches({"t": bad}, [column("t", "timestamp[s]")])
        with pytest.raises(InputError, match="datetime64"):
            batch.decode("t", "timestamp[s]", "i64")


@pytest.mark.parametrize(
    "values_",
    [
        np.array([1 + 2j]),
        np.array([b"bytes"]),
        np.array([1], "m8[s]"),
        np.array([1.0], np.longdouble),
        pd.Series([1.0, 0.0]).astype("Sparse"),
        pd.Series(pd.period_range("2020", periods=2, freq="D")),
        pd.Series(pd.interval_range(0, 2)),
        pd.cut(pd.Series([0.5, 1.5]), 2),
        pa.array([[1], [2]]),
        pa.array([{"a": 1}]),
        pa.array([b"x"]),
        pa.array([1], pa.duration("s")),
        pa.array([1], pa.time32("s")),
        pl.Series([[1]]),
        pl.Series([datetime.time(1)]),
        [1, "a"],
        [Ellipsis],
        [[1]],
        [b"x"],
        [True, 1],
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', getattr(value, 'type', value))}"[:40],
)
def test_unreadable_columns_matter_only_where_read(values_: Any) -> None:
    schema = [column("c", "float64", used=False), column("d", "float64")]
    [batch] = batches({"c": values_, "d": np.zeros(len(values_))}, schema)
    assert batch.decode("d", "float64", "f64").tolist() == [0.0] * len(values_)
    [batch] = batches({"c": values_}, [column("c", "float64")])
    with pytest.raises(InputError, match="column 'c': expected float64 but found "):
        batch.decode("c", "float64", "f64")
    assert infer_schema({"c": values_})[0][:2] == ("c", None)


# -- missing values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        ({"s": ["x", None, NAN, np.float64("nan"), np.float32("nan"), pd.NA]}, [0, 1, 3, 3, 3, 1]),
        (pd.DataFrame({"s": pd.Series(["x", None, NAN, pd.NA], dtype=object)}), [0, 2, 3, 1]),
        (pd.DataFrame({"s": pd.Series(["x", None, NAN], dtype="str")}), [0, 3, 3]),
        (pd.DataFrame({"s": pd.Series(["x", None], dtype="string[python]")}), [0, 1]),
        (pd.DataFrame({"s": pd.Series(["x", None], dtype="string[pyarrow]")}), [0, 1]),
        (pd.DataFrame({"s": pd.Series(["x", None], dtype=pd.ArrowDtype(pa.string()))}), [0, 1]),
        (pd.DataFrame({"s": pd.Categorical(["x", None])}), [0, 3]),
        (pl.DataFrame({"s": ["x", None]}), [0, 1]),
        (pa.table({"s": ["x", None]}), [0, 1]),
        (pa.table({"s": pa.array(["x", None]).dictionary_encode()}), [0, 1]),
        (pa.table({"s": pa.DictionaryArray.from_arrays([0, 1], ["x", None])}), [0, 1]),
        (pa.table({"s": pa.nulls(2)}), [1, 1]),
        ([{"s": "x"}, {"s": None}, {"s": NAN}], [0, 1, 3]),
        (np.array([["x"], [None], [NAN]], dtype=object), [0, 2, 3]),
    ],
)
def test_missing_strings_keep_their_kind(data: Any, kinds: list[int]) -> None:
    [batch] = batches(data, [column("s", "string")])
    assert batch.decode("s", "string", "kinds") == kinds
    if 1 in kinds:
        with pytest.raises(InputError, match=f"column 's', row {kinds.index(1)}: expected None or NaN.*one null"):
            batch.decode("s", "string", "str", distinguishes_missing=True)
    else:
        assert batch.decode("s", "string", "kinds", distinguishes_missing=True) == kinds


def test_missing_numbers() -> None:
    for data in (
        {"c": [1, None, 3]},
        {"c": pd.array([1, None, 3], dtype="Int64")},
        pa.table({"c": [1, None, 3]}),
        pl.DataFrame({"c": [1, None, 3]}),
        pd.DataFrame({"c": pd.Categorical([1, None, 3], categories=[3, 1])}),
    ):
        [batch] = batches(data, [column("c", "int64")])
        for dtype in ("f64", "f32"):
            assert np.array_equal(batch.decode("c", "int64", dtype), [1, NAN, 3], equal_nan=True)
        with pytest.raises(InputError, match="column 'c', row 1: expected int64 but found a missing value"):
            batch.decode("c", "int64", "i64")
        with pytest.raises(InputError, match=r"column 'c', row 1: .*not nullable"):
            batch.decode("c", "int64", "f64", nullable=False)
    for data in (
        {"c": [1.0, NAN]},
        {"c": np.array([1.0, NAN])},
        pa.table({"c": [1.0, None]}),
        pa.table({"c": [1.0, NAN]}),
    ):
        [batch] = batches(data, [column("c", "float64")])
        assert np.array_equal(batch.decode("c", "float64", "f64"), [1, NAN], equal_nan=True)
        with pytest.raises(InputError, match="row 1"):
            batch.decode("c", "float64", "f64", nullable=False)


def test_nan_bits_and_signed_zeros_survive() -> None:
    bits = np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x8000000000000000, 1, 0x7FF0000000000000], np.uint64)
    for data in (
        bits.view(np.float64)[:, None],
        {"x0": bits.view(np.float64)},
        pa.table({"x0": bits.view(np.float64)}),
    ):
        [batch] = batches(data, [column("x0", "float64")])
        assert batch.decode("x0", "float64", "f64").view(np.uint64).tolist() == bits.tolist()


# -- shapes, names ----------------------------------------------------------------------------------------------

NAMED = [column("a", "float64"), column("b", "string")]


def test_empty_tables() -> None:
    containers = [
        pd.DataFrame({"a": np.zeros(0), "b": np.array([], dtype=object)}),
        pd.DataFrame({"a": np.zeros(0), "b": pd.Series([], dtype="str")}),
        pl.DataFrame(schema={"a": pl.Float64, "b": pl.String}),
        pa.table({"a": pa.array([], pa.float64()), "b": pa.array([], pa.string())}),
        pa.schema([("a", pa.float64()), ("b", pa.string())]).empty_table(),
        pa.RecordBatchReader.from_batches(pa.schema([("a", pa.float64()), ("b", pa.string())]), []),
        {"a": [], "b": []},
        {"a": np.zeros(0), "b": pa.chunked_array([], pa.string())},
        [],
        np.zeros((0, 2), dtype=object),
        np.zeros(0, dtype=[("a", "f8"), ("b", "O")]),
    ]
    for data in containers:
        [batch] = batches(data, NAMED)
        assert (batch.rows, batch.names) == (0, ["a", "b"])
        assert batch.decode("a", "float64", "f64").shape == (0,)
        assert batch.decode("b", "string", "str") == []
    [batch] = batches(np.zeros((0, 2)), [column("x0", "float64"), column("x1", "float64")])
    assert batch.rows == 0
    [batch] = batches(pd.DataFrame(index=range(3)), NAMED)
    assert (batch.rows, batch.names) == (3, [])
    # a mistyped column is refused without rows, too
    [batch] = batches(pl.DataFrame(schema={"a": pl.String}), [column("a", "float64")])
    with pytest.raises(InputError, match="expected float64 but found string"):
        batch.decode("a", "float64", "f64")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "found NoneType"),
        (3.0, "found float"),
        ("data.csv", "found str"),
        (b"bytes", "found bytes"),
        ({"a": 1.0, "b": "x"}, "single row use model.row"),
        ({"a": np.float64(1), "b": ["x"]}, "single row use model.row"),
        ({"a": np.array(1.0)}, "single row use model.row"),
        ({"a": object()}, "column 'a': expected an array or list but found object"),
        ({"a": np.zeros((2, 2)), "b": ["x", "y"]}, "column 'a': expected one dimension but found 2"),
        ({"a": [1.0], "b": ["x", "y"]}, "column 'b': expected 1 rows but found 2"),
        (np.zeros(3), "of 1 dimensions; one row is array.reshape"),
        (np.zeros((2, 2, 2)), "of 3 dimensions"),
        (np.ma.masked_array(np.zeros((2, 2))), "mask"),
        ({"a": np.ma.masked_array([1.0, 2.0])}, "mask"),
        (np.zeros((3, 3)), r"expected 2 columns \(read by position\) but found 3"),
        (np.zeros((3, 1), dtype=object), r"expected 2 columns \(read by position\) but found 1"),
        ([1.0, 2.0], "holding float"),
        (["a", "b"], "holding str"),
        ([[1.0, "x"], [1.0]], "row 1: expected 2 values but found 1"),
        ([[1.0, "x", 2]], "expected 2 columns .* but found 3"),
        ([{"a": 1.0, "b": "x"}, {"a": 1.0}], "row 1: expected a value for column 'b' but found no such key"),
        ([{"a": 1.0, "b": "x"}, {"a": 1.0, "b": "x", "c": 2}], "row 0: expected a value for column 'c'"),
        (sparse.csr_matrix(np.eye(2)), "sparse matrices"),
        (sparse.coo_array(np.eye(2)), "sparse matrices"),
        (pl.LazyFrame({"a": [1.0]}), "call collect"),
        (pl.Series([1.0]), "expected a table"),
        (pd.Series([1.0]), "one column is no table"),
        (pa.array([1.0]), r"expected a table \(struct\) but found float64"),
        (pa.chunked_array([[1.0]]), r"expected a table \(struct\) but found float64"),
        (pd.DataFrame({"a": [1.0], 3: [2.0]}), "expected column names of type str but found 3"),
        (iter([]), "found list_iterator"),
    ],
    ids=lambda value: str(type(value).__name__) if not isinstance(value, str) else value[:30],
)
def test_what_is_no_table(data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        batches(data, NAMED)


def test_repeated_names() -> None:
    repeated = pa.table([pa.array([1.0]), pa.array([2.0])], names=["a", "a"])
    frame = pd.DataFrame([[1.0, "x", 2.0]], columns=["a", "b", "a"])
    for data in (repeated, frame):
        with pytest.raises(InputError, match="expected every column name once but found repeated names: 'a'"):
            infer_schema(data)
        assert batches(data, NAMED)[0].names.count("a") == 2


def test_frames_without_names_go_by_position() -> None:
    schema = [column("first", "float64"), column("second", "float64")]
    frame = pd.DataFrame(np.arange(6.0).reshape(3, 2))
    [batch] = batches(frame, schema)
    assert batch.decode("second", "float64", "f64").tolist() == [1, 3, 5]
    # numbers that the model learned as names are names
    learned = [column("1", "float64"), column("0", "float64")]
    [batch] = batches(frame, learned)
    assert batch.decode("1", "float64", "f64").tolist() == [1, 3, 5]


def test_frames_of_one_block_and_of_many() -> None:
    base = np.arange(12.0)
    schema = [column("a", "float64"), column("b", "float64")]
    whole = pd.DataFrame(base.reshape(6, 2), columns=["a", "b"])
    joined = pd.concat([whole[["a"]], whole[["b"]]], axis=1)
    shared = pd.DataFrame({"a": base[:6], "b": base[6:]}, copy=False)
    for frame, seconds in [(whole, base[1::2]), (joined, base[1::2]), (shared, base[6:]), (whole.T.T, base[1::2])]:
        [batch] = batches(frame, schema)
        assert batch.decode("b", "float64", "f64").tolist() == seconds.tolist()
        [batch] = batches(frame.iloc[::-2], schema)
        assert batch.decode("b", "float64", "f64").tolist() == seconds[::-2].tolist()
    # one memory read as two types
    bits = pd.DataFrame({"a": base[:6], "b": base[6:].view(np.int64)}, copy=False)
    assert [type_ for _, type_, _ in infer_schema(bits)] == ["float64", "int64"]
    assert [type_ for _, type_, _ in infer_schema(whole.astype(np.float32))] == ["float32", "float32"]


def test_columns_the_model_does_not_read_may_be_absent_from_rows() -> None:
    schema = [column("a", "float64"), column("b", "string", used=False)]
    [batch] = batches([{"a": 1.0}, {"a": 2.0}], schema)
    assert batch.names == ["a"]


# -- Python values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "value", "expected_"),
    [
        ("float64", 1.5, 1.5),
        ("float64", 3, 3.0),
        ("float64", 2**70, 2.0**70),
        ("float64", np.int8(3), 3.0),
        ("float64", np.uint64(2**63), 2.0**63),
        ("float64", np.float16(0.1), float(np.float16(0.1))),
        ("float64", np.float32(0.1), float(np.float32(0.1))),
        ("float64", decimal.Decimal("0.5"), 0.5),
        ("float64", float("inf"), float("inf")),
        ("float32", 0.5, 0.5),
        ("float32", np.float32(0.1), float(np.float32(0.1))),
        ("float16", 0.5, 0.5),
        ("float16", np.float16(0.1), float(np.float16(0.1))),
        ("int8", -128, -128.0),
        ("int64", np.uint8(9), 9.0),
        ("uint64", 2**64 - 1, 2.0**64),
        ("bool", True, 1.0),
        ("bool", np.False_, 0.0),
        ("date32", datetime.date(1970, 1, 2), 1.0),
        ("date32", np.datetime64("1969-12-31"), -1.0),
        ("date64", datetime.date(1970, 1, 2), 86_400_000.0),
        ("timestamp[ms]", datetime.datetime(1970, 1, 1, 0, 0, 1, 2000), 1002.0),
        ("timestamp[ns]", pd.Timestamp("1970-01-01 00:00:00.000000007"), 7.0),
        ("timestamp[s]", np.datetime64("1970-01-02"), 86400.0),
        (
            "timestamp[s, UTC]",
            datetime.datetime(1970, 1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
            0.0,
        ),
        ("timestamp[s, Asia/Tokyo]", pd.Timestamp("1970-01-01 01:00", tz="Europe/Paris"), 0.0),
        ("timestamp[us]", datetime.datetime(1, 1, 1), -62135596800e6),
        ("timestamp[us]", datetime.datetime(9999, 12, 31, 23, 59, 59), 253402300799e6),
        *[(type_, None, NAN) for type_ in ("float32", "int32", "bool", "timestamp[s]", "date32")],
        *[(type_, NAN, NAN) for type_ in ("float64", "int32", "bool", "timestamp[s]")],
        *[(type_, pd.NA, NAN) for type_ in ("float64", "int32", "bool", "timestamp[s]")],
        ("timestamp[s]", pd.NaT, NAN),
        ("timestamp[s]", np.datetime64("NaT"), NAN),
        ("float64", decimal.Decimal("NaN"), NAN),
    ],
)
def test_values_that_fit(type_: str, value: Any, expected_: float) -> None:
    for batch in (_core.row_batch([column("c", type_)], {"c": value}), *batches({"c": [value]}, [column("c", type_)])):
        assert batch.decode("c", type_, "f64").tolist() == pytest.approx([expected_], rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    ("type_", "value", "found"),
    [
        ("int64", 39.5, "float (39.5)"),
        ("int64", 39.0, "float (39.0)"),
        ("int64", np.float32(1), "numpy.float32 (np.float32(1.0))"),
        ("int64", True, "bool (True)"),
        ("int64", np.True_, "numpy.bool (np.True_)"),
        ("int64", "39", "str ('39')"),
        ("int8", 128, "int (128), which int8 cannot hold"),
        ("uint8", -1, "int (-1), which uint8 cannot hold"),
        ("uint64", 2**64, "int (18446744073709551616), which uint64 cannot hold"),
        ("int64", 2**63, "int (9223372036854775808), which int64 cannot hold"),
        ("int32", np.timedelta64(1, "s"), "numpy.timedelta64 (np.timedelta64(1,'s'))"),
        ("float64", 2**53 + 1, "int (9007199254740993), which float64 cannot hold exactly"),
        ("float64", 10**400, "which float64 cannot hold exactly"),
        ("float64", True, "bool (True)"),
        ("float64", "1.5", "str ('1.5')"),
        ("float64", 1j, "complex (1j)"),
        ("float64", [1.0], "list ([1.0])"),
        ("float64", np.array(1.0), "numpy.ndarray (array(1.))"),
        ("float64", decimal.Decimal("0.1"), "decimal.Decimal (Decimal('0.1')), which float64 cannot hold exactly"),
        ("float64", pd.NaT, "NaTType (NaT)"),
        ("float32", 0.1, "float (0.1), which float32 cannot hold exactly"),
        ("float32", 1e300, "float (1e+300), which float32 cannot hold exactly"),
        ("float16", 65520, "int (65520), which float16 cannot hold exactly"),
        ("bool", 1, "int (1)"),
        ("bool", "yes", "str ('yes')"),
        ("string", 1, "int (1)"),
        ("string", b"x", "bytes (b'x')"),
        ("string", "a\ud800", "cannot hold: a lone surrogate"),
        ("string", pd.NaT, "NaTType (NaT)"),
        ("date32", datetime.datetime(2020, 1, 1), "datetime.datetime"),
        ("timestamp[s]", datetime.date(2020, 1, 1), "datetime.date"),
        ("timestamp[s]", datetime.datetime(2020, 1, 1, tzinfo=UTC), "datetime.datetime"),
        ("timestamp[s, UTC]", datetime.datetime(2020, 1, 1), "datetime.datetime"),
        ("timestamp[s, UTC]", np.datetime64("2020-01-01T00:00:00"), "numpy.datetime64"),
        ("timestamp[s]", datetime.datetime(2020, 1, 1, 0, 0, 0, 1), "which timestamp[s] cannot hold exactly"),
        ("timestamp[us]", pd.Timestamp("2020-01-01 00:00:00.000000007"), "which timestamp[us] cannot hold exactly"),
        ("timestamp[ns]", datetime.datetime(9999, 1, 1), "which timestamp[ns] cannot hold exactly"),
        ("timestamp[s]", 5, "int (5)"),
        ("timestamp[s]", np.datetime64(5, "Y"), "numpy.datetime64"),
    ],
)
def test_values_that_do_not_fit(type_: str, value: Any, found: str) -> None:
    schema = [column("age", type_)]
    with pytest.raises(InputError) as caught:
        _core.row_batch(schema, {"age": value})
    message = str(caught.value)
    assert message.startswith(f"column 'age': expected {type_} but found ")
    assert found in message
    [batch] = batches({"age": [None, value]}, schema)
    with pytest.raises(InputError) as caught:
        batch.decode("age", type_, "str" if type_ == "string" else "f64")
    assert str(caught.value) == message + " in row 1"


def test_rows() -> None:
    schema = [*SCHEMA, column("unused", "int64", used=False)]
    for index in range(ROWS):
        row = {name: values(name)[index] for name in TABLE}
        for given in (row, {**row, "unused": "anything"}, dict(reversed(row.items())), pd.Series(row, dtype=object)):
            batch = _core.row_batch(schema, given)
            for name, (type_, _) in TABLE.items():
                dtype = "str" if type_ == "string" else "f64"
                assert decoded([batch], name, type_, dtype) == expected(name, dtype)[index : index + 1]
        batch = _core.row_batch(SCHEMA, list(row.values()))
        assert decoded([batch], "s", "string", "str") == [values("s")[index]]
    batch = _core.row_batch([column("s", "string"), column("u", "string")], {"s": "", "u": "a\0b"})
    assert batch.decode("s", "string", "str") == [""]
    assert batch.decode("u", "string", "str") == ["a\0b"]
    assert _core.row_batch([column("s", "string")], {"s": NAN}).decode("s", "string", "kinds") == [3]


def test_row_errors_name_everything() -> None:
    schema = [
        column("age", "int64"),
        column("job", "string"),
        column("pay", "float64"),
        column("u", "bool", used=False),
    ]
    with pytest.raises(InputError) as caught:
        _core.row_batch(schema, {"age": 39.5, "job": 7, "Pay": 1.0, 3: "x"})
    assert str(caught.value).splitlines() == [
        "the row does not fit the model's columns: 5 problems",
        "  1. column 'age': expected int64 but found float (39.5)",
        "  2. column 'job': expected string but found int (7)",
        "  3. column 'pay': expected float64 but found no such key",
        "  4. key str ('Pay'): expected no such key but found float (1.0)",
        "  5. key int (3): expected no such key but found str ('x')",
    ]
    for bad, message in [
        ([1, "x"], "expected a row of 4 values but found 2"),
        (3, "expected a row as a sequence of values but found int"),
        ("abcd", "expected a row as a sequence of values but found str"),
    ]:
        with pytest.raises(InputError, match=message):
            _core.row_batch(schema, bad)
    with pytest.raises(InputError, match="2 problems"):
        _core.row_batch(schema, [1.5, "x", "y", None])

    # a failing __repr__ costs the value, not the message
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(InputError, match="found Hostile"):
        _core.row_batch(schema, {"age": Hostile(), "job": "x", "pay": 1.0})


# -- strings, memory, threads -----------------------------------------------------------------------------------


def test_strings_of_ten_million_characters() -> None:
    long = "é" * 5_000_000 + "x" * 5_000_000
    for data in (
        {"s": [long, "y"]},
        pa.table({"s": [long, "y"]}),
        pd.DataFrame({"s": [long, "y"]}),
        pl.DataFrame({"s": [long, "y"]}),
    ):
        [batch] = batches(data, [column("s", "string")])
        assert batch.decode("s", "string", "str") == [long, "y"]
    assert _core.row_batch([column("s", "string")], {"s": long}).decode("s", "string", "str") == [long]
    with pytest.raises(InputError) as caught:
        _core.row_batch([column("s", "int64")], {"s": long})
    assert len(str(caught.value)) < 300


def test_lone_surrogates_name_column_and_row() -> None:
    for data in ({"s": ["x", "\udc80"]}, pd.DataFrame({"s": pd.Series(["x", "\udc80"], dtype=object)})):
        [batch] = batches(data, [column("s", "string")])
        with pytest.raises(InputError, match=r"column 's': expected string but found str .*surrogate.* in row 1"):
            batch.decode("s", "string", "str")


def test_batches_outlive_their_container() -> None:
    for make in CONTAINERS.values():
        data = make()
        found = batches(data, SCHEMA)
        del data
        gc.collect()
        junk = [bytes(64) for _ in range(1000)]
        assert decoded(found, "s", "string", "str") == values("s")
        del junk


def test_stored_objects_may_change_behind_a_batch() -> None:
    column_values = ["".join(["a", str(index)]) for index in range(100)]
    array = np.array(column_values, dtype=object)
    items = list(array)
    [from_array] = batches({"s": array}, [column("s", "string")])
    [from_list] = batches({"s": items}, [column("s", "string")])
    wanted = [f"a{index}" for index in range(100)]
    array[:] = None
    items.clear()
    del column_values
    gc.collect()
    assert from_array.decode("s", "string", "str") == wanted
    assert from_list.decode("s", "string", "str") == wanted


def test_batches_die_on_any_thread() -> None:
    found = [batches({"s": ["x"] * 10, "a": np.zeros(10)}, []) for _ in range(50)]
    thread = threading.Thread(target=found.clear)
    thread.start()
    thread.join()
    assert not found


def test_streams_are_read_as_they_are_consumed() -> None:
    produced = []

    def produce() -> Any:
        for index in range(5):
            produced.append(index)
            yield pa.record_batch({"a": pa.array([float(index)])})

    reader = pa.RecordBatchReader.from_batches(pa.schema([("a", pa.float64())]), produce())
    stream = iter_batches(reader, [column("a", "float64")])
    assert next(stream).decode("a", "float64", "f64").tolist() == [0.0]
    assert len(produced) < 5
    assert [batch.decode("a", "float64", "f64").tolist() for batch in stream] == [[1.0], [2.0], [3.0], [4.0]]


def test_rows_of_a_stream_are_counted_on_in_messages() -> None:
    table = pa.table({"a": [0] * 10 + [2**53 + 1]})
    [*_, last] = batches(table.to_reader(max_chunksize=4), [column("a", "float64")])
    with pytest.raises(InputError, match="column 'a', row 10:"):
        last.decode("a", "float64", "f64")
    frame = pd.DataFrame(
        {"a": pd.Series(pa.chunked_array([[0, 0, 0], [0, 2**53 + 1]]), dtype=pd.ArrowDtype(pa.int64()))}
    )
    [*_, last] = batches(frame, [column("a", "float64")])
    with pytest.raises(InputError, match="column 'a', row 4:"):
        last.decode("a", "float64", "f64")


def test_a_failing_stream_names_its_cause() -> None:
    def produce() -> Any:
        yield pa.record_batch({"a": pa.array([1.0])})
        raise ValueError("the disk is on fire")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("a", pa.float64())]), produce())
    with pytest.raises(InputError, match="the disk is on fire"):
        batches(reader, [column("a", "float64")])


# -- results ----------------------------------------------------------------------------------------------------


def test_arrow_results() -> None:
    columns = [
        ("f", np.array([0.5, NAN, -0.0])),
        ("h", np.array([0.5, 1, 2], np.float16)),
        ("g", np.arange(9, dtype=np.float32)[::4]),
        ("i", np.array([1, -2, 3])),
        ("u", np.array([1, 2, 255], np.uint8)),
        ("big", np.array([1, 2, 3], ">i4")),
        ("b", np.array([True, False, True])),
        ("s", np.array(["x", "", "été"])),
        ("o", np.array(["x", None, NAN], dtype=object)),
        ("t", np.array(["2020-01-01", "NaT", "2021-01-01"], "M8[ms]")),
        ("f", np.zeros(3)),
    ]
    table = arrow_table(columns)
    found = pa.table(table)
    found.validate(full=True)
    assert found.column_names == [name for name, _ in columns]
    assert found.column(10).to_pylist() == [0.0] * 3
    for name, array in columns[:-1]:
        taken = found.column(found.column_names.index(name))
        if name == "o":
            assert taken.to_pylist() == ["x", None, None]
        elif array.dtype.kind in "fiub":
            assert taken.to_numpy().tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()
    assert found.column("s").to_pylist() == ["x", "", "été"]
    assert found.schema.field("t").type == pa.timestamp("ms")
    frame = pl.DataFrame(arrow_table(columns[:-1]))
    assert frame["s"].to_list() == ["x", "", "été"]
    assert pa.record_batch(arrow_table(columns[:1])).num_rows == 3
    [batch] = batches(arrow_table(columns[:-1]), [])
    assert batch.decode("i", "int64", "i64").tolist() == [1, -2, 3]
    assert pa.table(arrow_table([])).num_rows == 0
    assert pa.table(arrow_table([("s", np.array([], dtype=object)), ("f", np.zeros(0))])).num_rows == 0
    for bad, message in [
        ([("a", np.zeros(2)), ("b", np.zeros(3))], "column 'b': expected 2 values but found 3"),
        ([("a", np.zeros((2, 2)))], "column 'a': expected one dimension"),
        ([("a", np.array([1j]))], "complex128"),
        ([("a", np.array([b"x"]))], "bytes"),
        ([("a", np.array([{}], dtype=object))], "column 'a': expected string but found dict"),
    ]:
        with pytest.raises(InputError, match=message):
            arrow_table(bad)


def test_exports_are_released() -> None:
    before = pa.total_allocated_bytes()
    for _ in range(20):
        table = arrow_table([("s", np.array(["x" * 1000] * 1000)), ("f", np.zeros(100_000)[:1000])])
        capsules = [table.__arrow_c_stream__(), table.__arrow_c_array__(), table.__arrow_c_schema__()]
        del capsules  # never consumed
        pa.table(table)
    gc.collect()
    assert pa.total_allocated_bytes() <= before + 1000


# -- NumPy alone ------------------------------------------------------------------------------------------------


def test_containers_import_nothing_but_numpy() -> None:
    code = (
        "import sys, numpy as np\n"
        "from mlcore.containers import batches, infer_schema, arrow_table\n"
        "schema = [dict(name=n, type=t, nullable=True, distinguishes_missing=False, used=True)"
        " for n, t in [('a', 'float64'), ('s', 'string')]]\n"
        "data = [{'a': 1.0, 's': 'x'}, {'a': None, 's': float('nan')}]\n"
        "infer_schema(data)\n"
        "assert batches(data, schema)[0].decode('s', 'string', 'kinds') == [0, 3]\n"
        "arrow_table([('a', np.zeros(2))]).__arrow_c_array__()\n"
        "print(sorted({'pandas', 'pyarrow', 'polars', 'scipy', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
