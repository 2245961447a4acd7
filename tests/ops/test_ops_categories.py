"""Ops of categories and classes against their NumPy definition (docs/design/0001)."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
from mlcore.errors import InputError
from op_graph import FLOATS, NUMPY, ROWS, Array, Graph, Value, assert_same, edges, run_one, sample

MISSING = {"none": None, "nan": float("nan")}


def codes_of(graph: Graph, codes: Array) -> Value:
    """An i32 block that holds `codes` (-1 or more)."""
    known = np.unique(codes[codes >= 0])
    keys, values = known.astype(np.int64), known.astype(np.int32)
    return graph.node(
        "encode", [graph.column(codes.astype(np.int64))], {"unknown": "code"}, {"keys": keys, "codes": values}
    )


# -- encode -----------------------------------------------------------------------------------------------------------

KEYS: dict[str, Any] = {
    "str": ["b", "", "a", "grün", "b\0", "x" * 3000],
    "i64": np.array([5, -1, 2**63 - 1, 0, -(2**63)]),
    "f64": np.array([1.5, -0.0, np.inf, -np.inf, 5e-324, 0.1]),
    "f32": np.array([1.5, 0.0, np.inf, -np.inf, 0.1, float(np.float32(0.1))]),
}


def encode_input(dtype: str) -> Array:
    rng = np.random.default_rng(8)
    if dtype == "str":
        values = np.array([*KEYS["str"], "B", "a ", "b\0\0", "x" * 2999, "gru"], dtype=object)
    elif dtype == "i64":
        values = np.append(KEYS["i64"], [1, -5])
    elif dtype == "f64":
        values = np.append(KEYS["f64"], [0.0, 1.5000000000000002, 0.1 + 1e-17])
    else:
        values = np.append(KEYS["f32"], [-0.0, 3]).astype(np.float32)
    picked: Array = rng.choice(values, ROWS)
    return picked


def position(keys: Any, value: Any) -> int | None:
    """Where the value is among the keys; float32 values compare in double."""
    if isinstance(value, np.floating):
        value = float(value)
    return next((i for i, key in enumerate(keys) if key == value), None)


@pytest.mark.parametrize("dtype", KEYS)
@pytest.mark.parametrize("unknown", [None, -1, 77])
def test_encode(dtype: str, unknown: int | None) -> None:
    values = encode_input(dtype)
    keys = KEYS[dtype]
    codes = np.array([4, -1, 0, 9, 2**31 - 1, 3], dtype=np.int32)[: len(keys)]
    attrs = {"unknown": "code"} | ({} if unknown is None else {"unknown_code": unknown})
    for constants in ({"keys": keys}, {"keys": keys, "codes": codes}):
        graph = Graph()
        found = graph.run(graph.node("encode", [graph.column(values)], attrs, constants))
        table = constants.get("codes", np.arange(len(keys)))
        places = [position(keys, value) for value in values]
        fallback = -1 if unknown is None else unknown
        assert_same(found[:, 0], np.array([fallback if at is None else table[at] for at in places], dtype=np.int32))


@pytest.mark.parametrize(
    ("attrs", "none", "nan"),
    [
        ({"unknown": "code", "unknown_code": 9}, 9, 9),
        ({"unknown": "code", "unknown_code": 9, "null_code": 5}, 5, 5),
        ({"unknown": "code", "unknown_code": 9, "null_code": 5, "none_code": 6}, 6, 5),
        ({"unknown": "code", "unknown_code": 9, "null_code": 5, "nan_code": 7}, 5, 7),
        ({"unknown": "code", "unknown_code": 9, "none_code": 6, "nan_code": 7}, 6, 7),
        ({"unknown": "code", "unknown_code": 9, "none_code": 6}, 6, 9),
        ({"unknown": "code", "unknown_code": 9, "null_code": 5, "by_kind": True}, 9, 9),
        ({"unknown": "code", "unknown_code": 9, "null_code": 5, "nan_code": 7, "by_kind": True}, 9, 7),
        ({"unknown": "code", "unknown_code": 9, "null_code": 5, "nan_code": 7, "by_kind": False}, 5, 7),
        ({"unknown": "error", "null_code": -1}, -1, -1),
        ({"unknown": "error", "none_code": 6}, 6, None),
        ({"unknown": "error", "nan_code": 6}, None, 6),
        ({"unknown": "error"}, None, None),
    ],
)
def test_encode_of_missing(attrs: dict[str, Any], none: int | None, nan: int | None) -> None:
    for value, expected, name in ((None, none, "None"), (float("nan"), nan, "NaN")):
        graph = Graph()
        column = graph.column(np.array(["a", value, "a"], dtype=object), distinguishes=True)
        model = graph.model(graph.node("encode", [column], attrs, {"keys": ["a", "b"]}))
        if expected is None:
            message = (
                rf"expected one of the 2 known categories in column 'c0' but found a missing value \({name}\) \(row 1\)"
            )
            with pytest.raises(InputError, match=message):
                model.run([graph.batch(0, 3)], [0])
        else:
            assert model.run([graph.batch(0, 3)], [0])[0].ravel().tolist() == [0, expected, 0]
    # a missing number is a NaN
    for dtype in FLOATS:
        graph = Graph()
        column = graph.column(np.array([1, np.nan], dtype=dtype))
        model = graph.model(graph.node("encode", [column], attrs, {"keys": np.array([1.0])}))
        if nan is None:
            with pytest.raises(InputError, match=r"but found a missing value \(NaN\) \(row 1\)"):
                model.run([graph.batch(0, 2)], [0])
        else:
            assert model.run([graph.batch(0, 2)], [0])[0].ravel().tolist() == [0, nan]


@pytest.mark.parametrize(
    ("values", "keys", "shown"),
    [
        (np.array(["red"] * 700 + ["violet"], dtype=object), ["red"], "'violet'"),
        (
            np.array(["red"] * 700 + ["\x1b[2J" + "ü" * 500], dtype=object),
            ["red"],
            r"'\\x1b\[2Jü+\.\.\.' \(1004 bytes\)",
        ),
        (np.array([1] * 700 + [-7]), np.array([1]), "-7"),
        (np.array([1] * 700 + [0.1]), np.array([1.0]), r"0\.1"),
        (np.array([1] * 700 + [0.1], dtype=np.float32), np.array([1.0]), r"0\.1"),
    ],
)
def test_encode_names_the_unknown_category(values: Array, keys: Any, shown: str) -> None:
    graph = Graph()
    model = graph.model(graph.node("encode", [graph.column(values)], {"unknown": "error"}, {"keys": keys}))
    message = (
        rf"^step 'here / encode': expected one of the 1 known categories in column 'c0' but found {shown} \(row 700\)$"
    )
    with pytest.raises(InputError, match=message):
        model.run([graph.batch(0, 701)], [0])


def test_encode_of_a_million_keys_loads_fast() -> None:
    keys = [f"customer-{i * 7919 % 1_000_003:07d}" for i in range(1_000_000)]
    graph = Graph()
    values = np.array([*keys[:500], "nobody", *keys[-500:]], dtype=object)
    node = graph.node("encode", [graph.column(values)], {"unknown": "code"}, {"keys": keys})
    start = time.perf_counter()
    model = graph.model(node)
    assert time.perf_counter() - start < 20  # measured: 0.5 s; a hash table that degrades takes minutes
    found = model.run([graph.batch(0, len(values))], [0])[0].ravel()
    assert found.tolist() == [*range(500), -1, *range(999_500, 1_000_000)]


# -- one_hot, table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["f64", "f32"])
@pytest.mark.parametrize("width", [1, 3, 700])
def test_one_hot(out: str, width: int) -> None:
    codes = np.random.default_rng(9).integers(-1, width, size=ROWS)
    graph = Graph()
    found = graph.run(graph.node("one_hot", [codes_of(graph, codes)], {"width": width, "dtype": out}))
    assert_same(found, (codes[:, None] == np.arange(width)).astype(NUMPY[out]))


# lists of str have one dimension
@pytest.mark.parametrize(
    ("dtype", "width"), [(object, None), *itertools.product([np.float64, np.float32, np.int64], [None, 1, 5])]
)
def test_table(dtype: Any, width: int | None) -> None:
    rng = np.random.default_rng(10)
    count = 40
    shape = (count,) if width is None else (count, width)
    if dtype is object:
        values: Any = np.array(["", *(f"v{i}" * i for i in range(1, count))], dtype=object)
        fallback: Any = np.array(["other"], dtype=object)
        constants = {"values": list(values), "default": list(fallback)}
    else:
        values = sample(np.float64, 1, rows=count * (width or 1)).reshape(shape).astype(dtype)
        fallback = rng.normal(size=width or 1).astype(dtype)
        constants = {"values": values, "default": fallback}
    codes = rng.integers(-1, count, size=ROWS)
    expected = np.where((codes == -1)[:, None], fallback, values.reshape(count, -1)[codes])
    graph = Graph()
    assert_same(graph.run(graph.node("table", [codes_of(graph, codes)], None, constants)), expected)
    del constants["default"]
    codes = np.abs(codes)
    graph = Graph()
    assert_same(
        graph.run(graph.node("table", [codes_of(graph, codes)], None, constants)), values.reshape(count, -1)[codes]
    )


def test_table_without_default_refuses() -> None:
    graph = Graph()
    codes = codes_of(graph, np.array([0] * 600 + [-1]))
    model = graph.model(graph.node("table", [codes], None, {"values": np.array([1.0])}))
    message = r"^step 'here / table': expected a known category in column 'c0' but found none \(row 600\)$"
    with pytest.raises(InputError, match=message):
        model.run([graph.batch(0, 601)], [0])


# -- classes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_complement(dtype: Any) -> None:
    p = np.concatenate([edges(dtype), np.random.default_rng(11).random(900).astype(dtype)])[:, None]
    assert_same(run_one("complement", p), np.column_stack([1 - p, p]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("width", [1, 2, 3, 40])
def test_argmax(dtype: Any, width: int) -> None:
    values = np.random.default_rng(width).choice(edges(dtype), size=(ROWS, width))
    ties = np.random.default_rng(width).choice(np.array([0, -0.0, 1], dtype=dtype), size=(ROWS, width))
    for block in (values, ties, sample(dtype, width)):
        assert_same(run_one("argmax", block)[:, 0], np.argmax(block, axis=1))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("compare", ["gt", "ge"])
def test_threshold(dtype: Any, compare: str) -> None:
    edge = edges(dtype)
    cuts = edge[~np.isnan(edge)]
    values = np.tile(edge[:, None], (1, len(cuts)))
    function = np.greater if compare == "gt" else np.greater_equal
    assert_same(
        run_one("threshold", values, {"compare": compare}, {"cut": cuts}), function(values, cuts).astype(np.int64)
    )
    one = run_one("threshold", values, {"compare": compare}, {"cut": cuts[7:8]})
    assert_same(one, function(values, cuts[7]).astype(np.int64))


@pytest.mark.parametrize("weights", [None, [0.5, 0.25, 0.25], [0.1, 0.2, 0.3], [-1.0, -0.5, -2.0], [1.0, -1.0, 0.0]])
def test_vote(weights: list[float] | None) -> None:
    votes = np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3)
    graph = Graph()
    columns = [graph.column(np.ascontiguousarray(votes[:, i])) for i in range(3)]
    constants = None if weights is None else {"weights": np.array(weights)}
    found = graph.run(graph.node("vote", columns, {"classes": 5}, constants))
    assert_same(found[:, 0], np.array([np.argmax(np.bincount(row, weights=weights)) for row in votes]))


# -- guard ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f64", "f32", "i64", "str"])
def test_guard(dtype: str) -> None:
    numbers = np.arange(ROWS) % 7
    values = {
        "f64": numbers / 3,
        "f32": (numbers / 3).astype(np.float32),
        "i64": numbers,
        "str": np.array([f"v{number}" for number in numbers], dtype=object),
    }[dtype]
    color = np.array(["red", "blue"], dtype=object)[numbers % 2]

    def guarded() -> tuple[Graph, Value]:
        graph = Graph()
        held = graph.column(values)
        known = graph.node("encode", [graph.column(color)], {"unknown": "error"}, {"keys": ["red", "blue"]})
        finite = graph.node("check", [graph.column(numbers / 1.0)], {"nan": "forbid", "inf": "forbid"})
        both = graph.node("concat", [held, graph.node("guard", [held, known, finite])])
        return graph, graph.node("guard", [both, finite])

    graph, value = guarded()
    assert_same(graph.run(value), np.column_stack([values, values]))
    color[700] = "green"
    graph, value = guarded()
    model = graph.model(value)
    message = r"expected one of the 2 known categories in column 'c1' but found 'green' \(row 700\)$"
    with pytest.raises(InputError, match=message):
        model.run([graph.batch(0, ROWS)], [0])
