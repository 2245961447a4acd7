"""Columns that are dictionaries: looked up once per batch, with the codes and the errors of plain strings."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlcore import _core
from mlcore.errors import InputError
from op_graph import ROWS, Array, Graph, Value

KEYS = ["red", "", "green", "blue as the sea at noon", "grün", "a\0", "a"]
ENTRIES = ["green", "a", "red", "grün", "violet", "blue as the sea at noon", "", "a\0", "sixteen letters!"]
CODES = {"unknown": "code", "unknown_code": 90, "null_code": 91}
INDICES = [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]


def encode(attrs: dict[str, Any], *, nullable: bool = True, distinguishes: bool = False) -> _core.Model:
    """Two encodes of one column, side by side."""
    graph = Graph()
    graph.builder.set_column(0, "c", "string", nullable, distinguishes)
    column = graph.node("column", [], {"column": 0, "dtype": "str"})
    values: list[Value] = []
    for keys in (KEYS, ["violet", *KEYS]):
        codes = graph.node("encode", [column], attrs, {"keys": keys})
        values.append(graph.node("cast", [codes], {"dtype": "f64"}))
    return graph.model(graph.node("concat", values))


def run(model: _core.Model, values: Any) -> Array:
    builder = _core.BatchBuilder(len(values))
    builder.add_arrow("c", values)
    found: Array = np.concatenate([model.run([batch], [0])[0] for batch in builder.finish()])
    return found


def plain(values: Any) -> Any:
    return values.cast(pa.string())


def dictionary(indices: Any, entries: Any = ENTRIES, type_: Any = None) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(indices, type_ or pa.int32()), pa.array(entries, pa.string()))


def picked(high: int = len(ENTRIES), rows: int = ROWS) -> Array:
    picks: Array = np.random.default_rng(3).integers(0, high, rows)
    return picks


def expect_same(model: _core.Model, values: Any) -> Array:
    found = run(model, values)
    np.testing.assert_array_equal(found, run(model, plain(values)))
    return found


@pytest.mark.parametrize("type_", INDICES, ids=str)
def test_indices_of_every_type(type_: Any) -> None:
    model = encode(CODES)
    found = expect_same(model, dictionary(picked(), type_=type_))
    expected = [KEYS.index(ENTRIES[i]) if ENTRIES[i] in KEYS else 90 for i in picked()]
    assert found[:, 0].tolist() == expected
    nulls = [None if i % 7 == 0 else int(pick) for i, pick in enumerate(picked())]
    found = expect_same(model, dictionary(nulls, type_=type_))
    assert (found[::7] == 91).all()


def test_nulls_and_repeats_in_the_dictionary() -> None:
    model = encode(CODES)
    entries = ["red", None, "a", "red", None, "violet"]
    found = expect_same(model, dictionary(picked(6), entries))
    assert (found[np.isin(picked(6), [1, 4])] == 91).all()
    assert (found[np.isin(picked(6), [0, 3]), 0] == 0).all()
    assert (run(model, dictionary([0, 1] * 40, [None, None])) == 91).all()
    empty = pa.DictionaryArray.from_arrays(pa.array([None] * 40, pa.int8()), pa.array([], pa.string()))
    assert (run(model, empty) == 91).all()
    nothing = pa.DictionaryArray.from_arrays(pa.array([0, None] * 40, pa.int8()), pa.nulls(2))
    assert (run(model, nothing) == 91).all()


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_slices_of_rows_and_of_entries(kind: Any) -> None:
    model = encode(CODES)
    entries = pa.array(["blue", *ENTRIES, "brown"], kind).slice(1, len(ENTRIES))
    indices = pa.array([None if i % 11 == 0 else int(pick) for i, pick in enumerate(picked())], pa.int16())
    whole = pa.DictionaryArray.from_arrays(indices, entries)
    found = run(model, whole)
    np.testing.assert_array_equal(found, run(model, whole.to_pandas().astype(object).pipe(pa.array)))
    for first, length in ((0, 40), (3, 700), (13, ROWS - 13)):
        np.testing.assert_array_equal(run(model, whole.slice(first, length)), found[first : first + length])


def test_pieces_with_dictionaries_of_their_own() -> None:
    model = encode(CODES)
    pieces = [
        dictionary(picked(3, 400), ["red", "violet", "a"]),
        dictionary(picked(2, 3), ["a", "red"]),
        dictionary(picked(4, 650), ["a\0", None, "", "red"]),
    ]
    found = expect_same(model, pa.chunked_array(pieces))
    np.testing.assert_array_equal(found, np.concatenate([run(model, plain(piece)) for piece in pieces]))


def test_a_dictionary_larger_than_the_batch() -> None:
    model = encode(CODES)
    entries = [f"colour {i}" for i in range(5000)] + ENTRIES
    expect_same(model, dictionary(5000 + picked(), entries))
    expect_same(model, dictionary((5000 + picked())[:1], entries))


def test_pandas_categories() -> None:
    model = encode(CODES | {"nan_code": 92})
    values = pd.Series([None if i % 5 == 0 else ENTRIES[pick] for i, pick in enumerate(picked())], dtype=object)
    names = ["c"]
    results = []
    for column in (values.astype("category"), values.astype(pd.CategoricalDtype(ENTRIES[::-1])), values.fillna(np.nan)):
        builder = _core.BatchBuilder(ROWS)
        if isinstance(column.dtype, pd.CategoricalDtype):
            categories = _core.BatchBuilder(len(column.cat.categories))
            categories.add_objects("c", list(column.cat.categories), "string")
            builder.add_categorical(names[0], np.asarray(column.cat.codes), categories, "nan")
        else:
            builder.add_objects(names[0], list(column), "string")
        results.append(np.concatenate([model.run([batch], [0])[0] for batch in builder.finish()]))
    assert (results[0][::5] == 92).all()
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[2])


@pytest.mark.parametrize("rows", [600, ROWS])
def test_an_unknown_entry_is_refused_only_where_a_row_has_it(rows: int) -> None:
    model = encode({"unknown": "error", "null_code": 91})
    entries = ["red", "purple\x1b", "a"]
    indices = np.zeros(rows, dtype=int)
    assert (run(model, dictionary(indices, entries))[:, 0] == 0).all()
    indices[rows - 9 :] = 1
    messages = []
    for values in (dictionary(indices, entries), plain(dictionary(indices, entries))):
        with pytest.raises(InputError) as caught:
            run(model, values)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "column 'c'" in messages[0]
    assert f"(row {rows - 9})" in messages[0]
    assert "purple" in messages[0]


def refused(model: _core.Model, values: Any) -> str:
    with pytest.raises(InputError) as caught:
        run(model, values)
    return str(caught.value)


def test_missing_values_are_refused_as_in_plain_strings() -> None:
    indices = [0] * 700 + [None] + [1] * 50
    null_index = dictionary(indices, ["red", "a"])
    null_entry = dictionary([1 if i is None else 0 for i in indices], ["red", None])
    for model in (
        encode(CODES, nullable=False),
        encode(CODES, distinguishes=True),
        encode({"unknown": "error"}),
    ):
        expected = refused(model, plain(null_index))
        assert "row 700" in expected
        assert refused(model, null_index) == expected
        assert refused(model, null_entry) == expected


def test_bad_entries_and_indices_are_refused_where_a_row_has_them() -> None:
    model = encode(CODES)
    bad = pa.DictionaryArray.from_arrays(
        pa.array([0] * 700, pa.int32()), pa.array([b"red", b"\xff"], pa.binary()).view(pa.string())
    )
    assert (run(model, bad)[:, 0] == 0).all()
    bad = pa.DictionaryArray.from_arrays(pa.array([0] * 700 + [1], pa.int32()), bad.dictionary)
    assert r"row 700: expected string but found bytes that are not UTF-8: '\xff'" in refused(model, bad)
    for index in (2, -1):
        wild = pa.DictionaryArray.from_arrays(
            pa.array([0] * 700 + [index], pa.int32()), pa.array(["red", "a"]), safe=False
        )
        assert f"row 700: expected a dictionary index below 2 but found {index}" in refused(model, wild)
    # a null row's index may be anything
    wild = pa.DictionaryArray.from_arrays(
        pa.Array.from_buffers(
            pa.int32(),
            800,
            [pa.py_buffer(b"\xff" * 99 + b"\x7f"), pa.py_buffer(np.array([1] * 799 + [77], dtype="<i4").tobytes())],
        ),
        pa.array(["red", "a"]),
        safe=False,
    )
    assert run(model, wild)[-2:, 0].tolist() == [6, 91]


def test_a_column_that_is_also_shown_keeps_its_text() -> None:
    graph = Graph()
    graph.builder.set_column(0, "c", "string", True, False)
    column = graph.node("column", [], {"column": 0, "dtype": "str"})
    codes = graph.node("encode", [column], CODES, {"keys": KEYS})
    graph.builder.add_output("transform", -1, column[0], "object", False, [], None)
    graph.builder.add_output("predict", -1, codes[0], "int32", False, [], None)
    model = graph.builder.finish()
    builder = _core.BatchBuilder(ROWS)
    builder.add_arrow("c", dictionary(picked()))
    shown, found = model.run(builder.finish(), [0, 1])
    assert shown.ravel().tolist() == [ENTRIES[i] for i in picked()]
    assert found.ravel().tolist() == [KEYS.index(ENTRIES[i]) if ENTRIES[i] in KEYS else 90 for i in picked()]


@pytest.mark.parametrize(
    "count", [20_000, pytest.param(1_000_000, marks=pytest.mark.system)], ids=["small", "a million"]
)
def test_many_categories(count: int, tmp_path: Any) -> None:
    keys = [f"customer {i * 7919}" for i in range(count)]
    graph = Graph()
    graph.builder.set_column(0, "c", "string", True, False)
    column = graph.node("column", [], {"column": 0, "dtype": "str"})
    graph.builder.add_output(
        "predict", -1, graph.node("encode", [column], CODES, {"keys": keys})[0], "int32", False, [], None
    )
    path = tmp_path / "many.mlc"
    graph.builder.finish().save(str(path))
    start = time.perf_counter()
    model = _core.Model.load(str(path))
    loading = time.perf_counter() - start
    picks = np.random.default_rng(1).integers(0, count, count)
    values = pa.array(keys).take(pa.array(picks))
    np.testing.assert_array_equal(run(model, values).ravel(), picks)
    encoded = dictionary(picks // 4, keys[: count // 4])
    np.testing.assert_array_equal(run(model, encoded).ravel(), picks // 4)
    if count == 1_000_000:
        assert loading < 2.0
        builder = _core.BatchBuilder(count)
        builder.add_arrow("c", values)
        batches = builder.finish()
        took = []
        for _ in range(3):
            start = time.perf_counter()
            model.run(batches, [0])
            took.append(time.perf_counter() - start)
        print(f"load {loading:.2f} s, {min(took) / count * 1e9:.0f} ns per value")
