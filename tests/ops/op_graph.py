"""What the tests of ops share: a program under construction with its table, edge values, and equality of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from mlcore import _core

Array = npt.NDArray[Any]
Value = tuple[int, str, int]

FLOATS = [np.float64, np.float32]
LOGICAL = {"f": {8: ("float64", "f64"), 4: ("float32", "f32")}, "i": {8: ("int64", "i64")}}
NUMPY = {"f64": "float64", "f32": "float32", "i64": "int64", "i32": "int32", "str": "object"}
# a model chunks at 512 rows at most, so 1300 rows are three chunks
ROWS = 1300
BATCHES = (1, 7, 600, ROWS)


class Graph:
    """A program under construction together with the table it reads."""

    def __init__(self) -> None:
        self.builder = _core.ProgramBuilder()
        self.columns: list[Array] = []

    def column(self, values: Array, *, distinguishes: bool = False) -> Value:
        """One more column of the table; objects are strings with None and NaN for what is missing."""
        index = len(self.columns)
        self.columns.append(values)
        logical, dtype = (
            ("string", "str") if values.dtype == object else LOGICAL[values.dtype.kind][values.dtype.itemsize]
        )
        self.builder.set_column(index, f"c{index}", logical, True, distinguishes)
        return self.node("column", [], {"column": index, "dtype": dtype})

    def block(self, values: Array) -> Value:
        """Columns side by side."""
        parts = [self.column(np.ascontiguousarray(values[:, i])) for i in range(values.shape[1])]
        return self.node("concat", parts)

    def node(self, op: str, inputs: Sequence[Value], attrs: Any = None, constants: Any = None) -> Value:
        added: Value = self.builder.add(
            op, f"here / {op}", [value[0] for value in inputs], attrs or {}, constants or {}
        )
        return added

    def model(self, value: Value) -> _core.Model:
        self.builder.add_output("transform", -1, value[0], NUMPY[value[1]], False, [], None)
        return self.builder.finish()

    def batch(self, first: int, last: int) -> _core.Batch:
        builder = _core.BatchBuilder(last - first)
        for index, values in enumerate(self.columns):
            if values.dtype == object:
                builder.add_objects(f"c{index}", list(values[first:last]), "string")
            else:
                builder.add_array(f"c{index}", values[first:last])
        (batch,) = builder.finish()
        return batch

    def run(self, value: Value) -> Array:
        """The value for all rows; batches of every size must give the same bytes."""
        model = self.model(value)
        rows = len(self.columns[0])
        results = []
        for size in BATCHES:
            cuts = range(0, rows, size)
            # a row at a time is slow from here: the first rows will do
            cuts = cuts[:150] if size == 1 else cuts
            parts = [model.run([self.batch(first, min(first + size, rows))], [0])[0] for first in cuts]
            results.append(np.concatenate(parts))
        whole: Array = results[-1]
        for part in results[:-1]:
            assert_same(part, whole[: len(part)])
        return whole


def run_one(op: str, values: Array, attrs: Any = None, constants: Any = None) -> Array:
    """One op over one block."""
    graph = Graph()
    return graph.run(graph.node(op, [graph.block(values)], attrs, constants))


def assert_same(found: Array, expected: Array) -> None:
    """Equal bytes, except that any NaN equals any NaN."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if found.dtype.kind == "f":
        same = (found == expected) & (np.signbit(found) == np.signbit(expected)) | np.isnan(found) & np.isnan(expected)
    else:
        same = (found == expected) | (found != found) & (expected != expected)
    where = np.argwhere(~np.asarray(same, dtype=bool))
    assert len(where) == 0, (
        f"{len(where)} differ; first at {where[0]}: {found[tuple(where[0])]!r} for {expected[tuple(where[0])]!r}"
    )


def edges(dtype: type[np.floating[Any]]) -> Array:
    info = np.finfo(dtype)
    positive = [
        0.0,
        0.1,
        0.5,
        1.0,
        1.5,
        2.0,
        2.5,
        3.0,
        1e-3,
        1e3,
        16777217.0,
        info.tiny,
        info.smallest_subnormal,
        info.max,
        info.eps,
    ]
    special = [np.nan, np.inf, -np.inf, np.nextafter(dtype(1), dtype(2)), np.nextafter(dtype(1), dtype(0))]
    return np.array([*positive, *(-x for x in positive), *special], dtype=dtype)


def sample(dtype: type[np.floating[Any]], width: int, *, seed: int = 0, rows: int = ROWS) -> Array:
    """Edge values, values near 1 and values of every exponent, mixed."""
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        scale = np.ldexp(1.0, rng.integers(-60, 60, size=(rows, width)))
        values = np.where(
            rng.random((rows, width)) < 0.5, rng.normal(size=(rows, width)), rng.normal(size=(rows, width)) * scale
        )
    edge = edges(dtype)
    return np.where(rng.random((rows, width)) < 0.3, rng.choice(edge, size=(rows, width)), values.astype(dtype))
