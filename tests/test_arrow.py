"""The Arrow C Data Interface from Python: arrays built by hand with ctypes, good and bad, each released once."""

from __future__ import annotations

import ctypes
import decimal
import gc
import struct
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from mlcore import _core
from mlcore.errors import InputError


class Schema(ctypes.Structure):
    pass


class Array(ctypes.Structure):
    pass


RELEASE_SCHEMA = ctypes.CFUNCTYPE(None, ctypes.POINTER(Schema))
RELEASE_ARRAY = ctypes.CFUNCTYPE(None, ctypes.POINTER(Array))
Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(Schema))),
    ("dictionary", ctypes.POINTER(Schema)),
    ("release", RELEASE_SCHEMA),
    ("private_data", ctypes.c_void_p),
]
Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(Array))),
    ("dictionary", ctypes.POINTER(Array)),
    ("release", RELEASE_ARRAY),
    ("private_data", ctypes.c_void_p),
]

new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Made:
    """One column "c" inside a struct array, offered through ``__arrow_c_array__``.

    The capsules have no destructor: what the consumer does not release stays live, and the counters show it.
    """

    # a producer's memory lives until it is released, whatever happens to the object that Python sees
    lent: ClassVar[list[Made]] = []

    def __init__(
        self,
        format_: str | None,
        buffers: Sequence[bytes | None],
        length: int,
        *,
        null_count: int = 0,
        offset: int = 0,
        n_buffers: int | None = None,
        dictionary: Made | None = None,
        table_length: int | None = None,
    ) -> None:
        self.keep: list[Any] = [dictionary]
        self.released: list[str] = []
        self.schema = self._schema(format_, b"c", [], dictionary)
        self.array = self._array(length, null_count, offset, buffers, [], dictionary, n_buffers)
        self.table_schema = self._schema("+s", b"", [self.schema], None)
        rows = length if table_length is None else table_length
        self.table_array = self._array(rows, 0, 0, [None], [self.array], None, None)

    def _schema(self, format_: str | None, name: bytes, children: list[Schema], dictionary: Made | None) -> Schema:
        pointers = (ctypes.POINTER(Schema) * max(len(children), 1))(*[ctypes.pointer(child) for child in children])

        def release(pointer: Any) -> None:
            self.released.append("schema" if children else "child schema")
            for child in children:
                if child.release:
                    child.release(ctypes.pointer(child))
            pointer.contents.release = RELEASE_SCHEMA()

        callback = RELEASE_SCHEMA(release)
        inner = ctypes.pointer(dictionary.schema) if dictionary else None
        text = None if format_ is None else format_.encode()
        self.keep += [pointers, callback, text]
        return Schema(text, name, None, 2, len(children), pointers, inner, callback, None)

    def _array(
        self,
        length: int,
        null_count: int,
        offset: int,
        buffers: Sequence[bytes | None],
        children: list[Array],
        dictionary: Made | None,
        n_buffers: int | None,
    ) -> Array:
        memory = [None if data is None else ctypes.create_string_buffer(data, max(len(data), 1)) for data in buffers]
        addresses = [None if data is None else ctypes.cast(data, ctypes.c_void_p).value for data in memory]
        slots = (ctypes.c_void_p * max(len(addresses), 1))(*addresses)
        pointers = (ctypes.POINTER(Array) * max(len(children), 1))(*[ctypes.pointer(child) for child in children])

        def release(pointer: Any) -> None:
            self.released.append("array" if children else "child array")
            for child in children:
                if child.release:
                    child.release(ctypes.pointer(child))
            pointer.contents.release = RELEASE_ARRAY()

        callback = RELEASE_ARRAY(release)
        inner = ctypes.pointer(dictionary.array) if dictionary else None
        self.keep += [memory, slots, pointers, callback]
        count = len(buffers) if n_buffers is None else n_buffers
        return Array(length, null_count, offset, count, len(children), slots, pointers, inner, callback, None)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        self.lent.append(self)
        return (
            new_capsule(ctypes.addressof(self.table_schema), b"arrow_schema", None),
            new_capsule(ctypes.addressof(self.table_array), b"arrow_array", None),
        )


def i32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def i64(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


ONCE = ["array", "child array", "child schema", "schema"]


def read(made: Made, type_: str, validate: str = "default") -> Any:
    """The column, through import, binding and decode; every struct must be released exactly once."""
    try:
        reader = _core.ArrowReader(made, validate)
        out = [batch.decode("c", type_, "str" if type_ == "string" else "f64") for batch in reader]
        return out[0]
    finally:
        reader = None
        gc.collect()


LEVELS = ["none", "default", "full"]


@pytest.mark.parametrize("validate", LEVELS)
def test_valid(validate: str) -> None:
    cases: list[tuple[Made, str, list[Any]]] = [
        (Made("l", [None, i64(1, 2, 3)], 3), "int64", [1.0, 2.0, 3.0]),
        (Made("u", [None, i32(0, 1, 3, 6), b"abbccc"], 3), "string", ["a", "bb", "ccc"]),
        (Made("U", [None, i64(0, 1, 3, 6), b"abbccc"], 3), "string", ["a", "bb", "ccc"]),
        (Made("u", [b"\x05", i32(0, 1, 3, 6), b"abbccc"], 3, null_count=1), "string", ["a", None, "ccc"]),
        (Made("u", [b"\x05", i32(0, 1, 3, 6), b"abbccc"], 3, null_count=-1), "string", ["a", None, "ccc"]),
        (Made("b", [None, b"\xa0\x01"], 4, offset=5), "bool", [1.0, 0.0, 1.0, 1.0]),
        (Made("l", [None, None], 0), "int64", []),
        (Made("u", [None, None, None], 0), "string", []),
        (
            Made("c", [None, b"\x01\x00\x01"], 3, dictionary=Made("u", [None, i32(0, 1, 3), b"abb"], 2)),
            "string",
            ["bb", "a", "bb"],
        ),
    ]
    for made, type_, expected in cases:
        assert list(read(made, type_, validate)) == expected
        assert sorted(made.released) == ONCE


def bad_dictionary(*codes: int) -> Made:
    return Made(
        "c", [None, struct.pack(f"{len(codes)}b", *codes)], len(codes), dictionary=Made("u", [None, i32(0, 1), b"a"], 1)
    )


# the hostile arrays of the measured comparison, minus the one that no consumer can detect (a length that lies)
BAD: dict[str, tuple[Any, str, str]] = {
    "offset past the end": (
        lambda: Made("u", [None, i32(0, 1_000_000, 3, 6), b"abbccc"], 3),
        "string",
        "string offsets in order",
    ),
    "negative offset": (
        lambda: Made("u", [None, i32(-100, 1, 3, 6), b"abbccc"], 3),
        "string",
        "string offsets in order",
    ),
    "decreasing offsets": (
        lambda: Made("u", [None, i32(0, 3, 1, 6), b"abbccc"], 3),
        "string",
        "string offsets in order",
    ),
    "bad UTF-8": (
        lambda: Made("u", [None, i32(0, 1, 3, 6), b"ab\xffccc"], 3),
        "string",
        r"row 1: expected string but found bytes that are not UTF-8: 'b\\xff'",
    ),
    "dictionary index out of range": (
        lambda: bad_dictionary(0, 5),
        "string",
        "row 1: expected a dictionary index below 1 but found 5",
    ),
    "negative dictionary index": (
        lambda: bad_dictionary(0, -1),
        "string",
        "row 1: expected a dictionary index below 1 but found -1",
    ),
    "negative length": (
        lambda: Made("l", [None, i64(1)], -1, table_length=1),
        "int64",
        "length and offset of at least 0",
    ),
    "negative array offset": (
        lambda: Made("l", [None, i64(1)], 1, offset=-1),
        "int64",
        "length and offset of at least 0",
    ),
    "no data buffer": (lambda: Made("l", [None, None], 1), "int64", "expected values but found a null pointer"),
    "too few buffers": (
        lambda: Made("l", [None, i64(1)], 1, n_buffers=1),
        "int64",
        "expected 2 buffers of int64 but found 1",
    ),
    "too many buffers": (
        lambda: Made("l", [None, i64(1), None], 1),
        "int64",
        "expected 2 buffers of int64 but found 3",
    ),
    "unknown format": (lambda: Made("?!", [None, i64(1)], 1), "int64", "unknown Arrow format"),
    "no format": (lambda: Made(None, [None, i64(1)], 1), "int64", "expected an Arrow format but found none"),
    "nulls without a bitmap": (
        lambda: Made("l", [None, i64(1)], 1, null_count=1),
        "int64",
        "validity bitmap for 1 nulls",
    ),
    "more nulls than rows": (
        lambda: Made("l", [b"\0", i64(1)], 1, null_count=2),
        "int64",
        "null count between -1 and 1",
    ),
    "column shorter than the table": (
        lambda: Made("l", [None, i64(1)], 1, table_length=2),
        "int64",
        "expected 2 rows but found 1",
    ),
    "offset and length overflow": (
        lambda: Made("l", [None, i64(1)], 2**62, offset=2**62, table_length=1),
        "int64",
        "length and offset",
    ),
    "dictionary without values": (
        lambda: Made("c", [None, b"\0"], 1, dictionary=Made("u", [None, None, None], 0)),
        "string",
        "index below 0 but found 0",
    ),
    "text without characters": (lambda: Made("u", [None, i32(0, 1), None], 1), "string", "null data buffer"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("validate", ["default", "full"])
def test_bad_arrays_are_refused_and_released_once(case: str, validate: str) -> None:
    make, type_, message = BAD[case]
    made = make()
    with pytest.raises(InputError, match=message):
        read(made, type_, validate)
    assert sorted(made.released) == ONCE


STRUCTURAL = [
    case
    for case in BAD
    if not any(word in case for word in ("offset past", "negative offset", "decreasing", "UTF-8", "characters"))
]


@pytest.mark.parametrize("case", STRUCTURAL)
def test_structure_is_checked_even_without_validation(case: str) -> None:
    make, type_, message = BAD[case]
    made = make()
    with pytest.raises(InputError, match=message):
        read(made, type_, "none")
    assert sorted(made.released) == ONCE


def test_full_validation_looks_at_what_is_not_read() -> None:
    def unread(*, null: bool) -> Made:
        bitmap = b"\x01" if null else None
        return Made("u", [bitmap, i32(0, 1, 3), b"a\xff\xfe"], 2, null_count=int(null))

    [batch] = _core.ArrowReader(unread(null=False), "default")
    assert batch.decode("c", "string", "str", 0, 1) == ["a"]
    with pytest.raises(InputError, match="not UTF-8"):
        _core.ArrowReader(unread(null=False), "full")
    # what a null row holds is not text
    assert read(unread(null=True), "string", "full") == ["a", None]
    lying = Made("l", [b"\x01", i64(1, 2)], 2, null_count=0)
    with pytest.raises(InputError, match="expected 0 nulls but found 1"):
        _core.ArrowReader(lying, "full")
    with pytest.raises(InputError, match="expected 'none', 'default' or 'full' but found 'some'"):
        _core.ArrowReader(unread(null=False), "some")


def test_nothing_is_released_early_or_left_behind() -> None:
    made = Made("u", [None, i32(0, 1, 3), b"abb"], 2)
    reader = _core.ArrowReader(made)
    [batch] = reader
    del reader
    gc.collect()
    assert "array" not in made.released
    assert batch.decode("c", "string", "str") == ["a", "bb"]
    del batch
    gc.collect()
    assert sorted(made.released) == ONCE


def test_capsules_are_taken_once() -> None:
    table = pa.table({"c": [1.0]})
    capsule = table.__arrow_c_stream__()
    assert len(list(_core.ArrowReader(capsule))) == 1
    with pytest.raises(InputError, match="released"):
        _core.ArrowReader(capsule)
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    assert len(list(_core.ArrowReader(reader))) == 1

    class Wrong:
        def __init__(self, answer: object) -> None:
            self.answer = answer

        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return self.answer

    class WrongPair:
        def __arrow_c_array__(self, requested_schema: object = None) -> object:
            return (1, 2, 3)

    class Raises:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            raise KeyError("theirs")

    for bad in (Wrong(None), Wrong(table.schema.__arrow_c_schema__()), WrongPair()):
        with pytest.raises(InputError, match="expected a"):
            _core.ArrowReader(bad)
    with pytest.raises(KeyError, match="theirs"):
        _core.ArrowReader(Raises())
    with pytest.raises(InputError, match="__arrow_c_stream__ or __arrow_c_array__"):
        _core.ArrowReader(3)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1]]),
        pa.array([{"x": 1}]),
        pa.array([[(1, 2)]], pa.map_(pa.int8(), pa.int8())),
        pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array([1.0])),
        pa.array([b"x"]),
        pa.array([b"xy"], pa.binary(2)),
        pa.array([1], pa.duration("us")),
        pa.array([1], pa.time64("us")),
        pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1.0])]),
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())),
        pa.array([[1]], pa.list_(pa.int8(), 1)),
        pa.array([[1]], pa.large_list(pa.int8())),
        pa.array([b"x"], pa.binary_view()),
    ],
    ids=lambda array: str(array.type),
)
def test_unsupported_types(array: pa.Array) -> None:
    [batch] = _core.ArrowReader(pa.table({"c": array, "ok": [1.0]}))
    assert batch.decode("ok", "float64", "f64").tolist() == [1.0]
    for type_ in ("int8", "float64", "string"):
        with pytest.raises(InputError, match=f"column 'c': expected {type_} but found .*, which is not supported"):
            batch.decode("c", type_, "str" if type_ == "string" else "f64")


def dense(values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """The same values behind offsets that are and are not multiples of eight."""
    for lead in (0, 1, 3, 8, 13):
        for tail in (0, 5):
            padded = pa.concat_arrays([values.slice(0, 1)] * lead + [values] + [values.slice(0, 1)] * tail)
            yield f"{lead}+{tail}", padded.slice(lead, len(values))


TYPES = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.large_string(), pa.string_view()),
    *(pa.date32(), pa.timestamp("ms"), pa.timestamp("ns", "UTC"), pa.decimal128(5, 1), pa.decimal256(50, 1)),
    *(pa.decimal32(5, 1), pa.decimal64(5, 1)),
]


@pytest.mark.parametrize("type_", TYPES, ids=str)
@pytest.mark.parametrize("with_nulls", [False, True])
def test_slices_of_every_type(type_: pa.DataType, with_nulls: bool) -> None:
    rng = np.random.default_rng(0)
    raw: list[Any] = rng.integers(0, 100, 37).tolist()
    if pa.types.is_boolean(type_):
        raw = [value % 2 == 0 for value in raw]
    elif "string" in str(type_):
        raw = ["é" * (value % 7) + "a long tail of text" * (value % 2) for value in raw]
    expected = [None if with_nulls and index % 5 == 2 else value for index, value in enumerate(raw)]
    numeric = pa.types.is_decimal(type_)
    given = [None if value is None else decimal.Decimal(value) for value in expected] if numeric else expected
    array = pa.array(given, type_)
    logical = {
        "large_string": "string",
        "string_view": "string",
        "double": "float64",
        "float": "float32",
        "date32[day]": "date32",
    }
    name = "float64" if numeric else logical.get(str(type_), str(type_).replace("tz=", ""))
    for label, part in dense(array):
        for variant in ("plain", "dictionary"):
            if variant == "dictionary" and (numeric or str(type_) == "string_view"):
                continue
            column = part if variant == "plain" else part.dictionary_encode()
            for validate in LEVELS:
                [batch] = _core.ArrowReader(pa.record_batch({"c": column}), validate)
                if name == "string":
                    assert batch.decode("c", name, "str") == expected, label
                else:
                    wanted = [float("nan") if value is None else float(value) for value in expected]
                    assert np.array_equal(batch.decode("c", name, "f64"), wanted, equal_nan=True), label
                # any part of a batch can be asked for
                if len(expected) > 20:
                    tail = batch.decode("c", name, "str" if name == "string" else "f64", 17, 3)
                    assert len(tail) == 3
