"""Input rows at, beside and away from everything a model can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.parity.graph import ColumnFacts, Graph

__all__ = ["Specials", "Table", "base_table", "boundary_table", "special_values"]

Array = npt.NDArray[Any]

_INTEGER_RANGE = {
    "bool": (0, 1),
    **{
        f"{sign}int{bits}": (0 if sign else -(2 ** (bits - 1)), 2**bits - 1 if sign else 2 ** (bits - 1) - 1)
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
# int64 values beyond this are not exact as float64, which NumPy would round on the way into an array
_EXACT = 2**53

_MAX_CATEGORIES = 2_000
_UNSEEN = "mlcore: no such category"


@dataclass
class Table:
    """Columns of generated values. A string column is an object array, a numeric one a float64 or int64 array."""

    schema: Sequence[dict[str, Any]]
    columns: list[Array]
    boundaries: int = 0
    boundaries_checked: int = 0

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0]) if self.columns else 0

    def take(self, rows: Any) -> Table:
        """Some of the rows."""
        return Table(self.schema, [column[rows] for column in self.columns], self.boundaries, self.boundaries_checked)

    def with_value(self, column: int, value: Any) -> Table:
        """This table with one value in the whole of one column."""
        columns = list(self.columns)
        columns[column] = _special_column(self.schema[column]["type"], self.columns[column], value)
        return Table(self.schema, columns)


@dataclass
class Specials:
    """Special values of a column that the original accepts, to be mixed into ordinary rows."""

    accepted: list[Any] = field(default_factory=list)


def _is_integer(logical: str) -> bool:
    return logical in _INTEGER_RANGE or logical.startswith(("timestamp", "date"))


def _special_column(logical: str, column: Array, value: Any) -> Array:
    if logical == "string":
        return np.full(len(column), value, dtype=object)
    if value is None:
        value = np.nan
    out = column.astype(np.float64 if isinstance(value, float) and not float(value).is_integer() else column.dtype)
    out[:] = value
    return out


def special_values(column: dict[str, Any]) -> list[tuple[str, Any]]:
    """Named values that the original may refuse in a column."""
    logical = column["type"]
    if logical == "string":
        specials: list[tuple[str, Any]] = [("NaN", np.nan), ("None", None), ("unseen", _UNSEEN), ("empty", "")]
        return specials
    if logical == "bool" or logical.startswith(("timestamp", "date")):
        return []
    if _is_integer(logical):
        low, high = _INTEGER_RANGE[logical]
        return [("missing", None), ("smallest", max(low, -_EXACT)), ("largest", min(high, _EXACT))]
    largest = float(np.finfo(np.float32 if logical == "float32" else np.float64).max)
    return [("missing", None), ("inf", np.inf), ("-inf", -np.inf), ("largest", largest), ("unseen", 123456.75)]


def _numbers(facts: ColumnFacts | None) -> Array:
    return np.array(sorted(v for v in (facts.numbers if facts else ()) if np.isfinite(v)), dtype=np.float64)


def _neighbours(logical: str, value: float) -> list[float]:
    if _is_integer(logical):
        return [np.floor(value), np.floor(value) + 1, np.floor(value) - 1]
    if logical in ("float32", "float16"):
        single = np.float32(value)
        return [
            float(single),
            float(np.nextafter(single, np.float32(-np.inf))),
            float(np.nextafter(single, np.float32(np.inf))),
        ]
    near = [value, float(np.nextafter(value, -np.inf)), float(np.nextafter(value, np.inf))]
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if float(single) == value:
        near += [float(np.nextafter(single, np.float32(-np.inf))), float(np.nextafter(single, np.float32(np.inf)))]
    return near


def _fit(logical: str, values: Array) -> Array:
    """Values moved into the range of the column's type."""
    if _is_integer(logical):
        low, high = _INTEGER_RANGE.get(logical, (-_EXACT, _EXACT))
        return np.clip(np.round(np.nan_to_num(values)), max(low, -_EXACT), min(high, _EXACT)).astype(np.int64)
    if logical == "float16":
        return np.clip(values, -65504, 65504).astype(np.float16).astype(np.float64)
    if logical == "float32":
        limit = float(np.finfo(np.float32).max)
        return np.clip(values, -limit, limit).astype(np.float32).astype(np.float64)
    return values


def _draw(column: dict[str, Any], facts: ColumnFacts | None, rows: int, rng: np.random.Generator) -> Array:
    logical = column["type"]
    if logical == "string":
        known: list[Any] = sorted(facts.categories) if facts else []
        known = known or (facts.missing if facts else []) or ["a", "b", "c"]
        return np.array(known, dtype=object)[rng.integers(0, len(known), rows)]
    numbers = _numbers(facts)
    if len(numbers) == 0:
        if facts is not None and facts.closed and facts.missing:
            return np.full(rows, np.nan)
        if logical.startswith(("timestamp", "date")):
            return rng.integers(0, 2_000_000_000, rows)
        scale = rng.choice([1.0, 100.0], rows)
        return _fit(logical, rng.normal(size=rows) * scale)
    if facts is not None and facts.closed:
        return _fit(logical, numbers[rng.integers(0, len(numbers), rows)])
    low, high = float(numbers[0]), float(numbers[-1])
    spread = max(high - low, abs(high) * 0.1, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        between = rng.uniform(-0.25, 1.25, rows) * spread + low
    between = np.where(np.isfinite(between), between, low)
    at = numbers[rng.integers(0, len(numbers), rows)]
    pick = rng.integers(0, 4, rows)
    values = np.where(pick == 0, at, np.where(pick == 1, np.nextafter(at, np.inf), between))
    values[rng.integers(0, 50, rows) == 0] = 0.0
    values[rng.integers(0, 50, rows) == 0] = -0.0
    return _fit(logical, values)


def base_table(
    facts: dict[int, ColumnFacts], schema: Sequence[dict[str, Any]], rows: int, rng: np.random.Generator
) -> Table:
    """Random ordinary rows: learned categories, numbers around the split values, nothing missing."""
    return Table(schema, [_draw(column, facts.get(index), rows, rng) for index, column in enumerate(schema)])


class _Assignments:
    """Values to write into a table: (row, column, number) and (row, column, category)."""

    def __init__(self) -> None:
        self.row = 0
        self.numbers: dict[int, tuple[list[int], list[float]]] = {}
        self.texts: list[tuple[int, int, str]] = []

    def number(self, column: int, value: float) -> None:
        rows, values = self.numbers.setdefault(column, ([], []))
        rows.append(self.row)
        values.append(value)

    def write(self, table: Table) -> None:
        for column, (rows, values) in self.numbers.items():
            logical = table.schema[column]["type"]
            if logical != "string":
                target = table.columns[column]
                target[np.asarray(rows)] = _fit(logical, np.asarray(values)).astype(target.dtype)
        for row, column, name in self.texts:
            table.columns[column][row] = name


def _mix_in(table: Table, specials: Sequence[Specials], rng: np.random.Generator) -> None:
    """Write each accepted special value into one row of forty."""
    for index, special in enumerate(specials):
        for value in special.accepted:
            chosen = rng.integers(0, 40, table.rows) == 0
            target = table.columns[index]
            if value is None and target.dtype.kind != "O":
                target = target.astype(np.float64)
                value = np.nan
            target[chosen] = value
            table.columns[index] = target


def boundary_table(
    graph: Graph,
    facts: dict[int, ColumnFacts],
    schema: Sequence[dict[str, Any]],
    specials: Sequence[Specials],
    cap: int,
    rng: np.random.Generator,
) -> Table:
    """Rows that visit the boundaries, each split reached along its own path, with accepted special values mixed in."""
    per_boundary = 5  # a value and up to four neighbours
    paths, boundaries = graph.tree_paths(cap // (2 * per_boundary), rng)
    checked = len(paths)
    plan = _Assignments()
    for path in paths:
        for value in _neighbours(schema[path.column]["type"], path.cut):
            for column, assigned in path.assignments.items():
                plan.number(column, assigned)
            plan.number(path.column, value)
            plan.row += 1
    for index, column_facts in facts.items():
        singles, names = _numbers(column_facts), sorted(column_facts.categories)
        boundaries += len(singles) + len(names)
        room = max(0, (cap - plan.row) // (2 * per_boundary))
        if len(singles) > room:
            singles = rng.choice(singles, room, replace=False)
        if len(names) > min(room, _MAX_CATEGORIES):
            names = [names[i] for i in rng.choice(len(names), min(room, _MAX_CATEGORIES), replace=False)]
        checked += len(singles) + len(names)
        for number in singles:
            for value in _neighbours(schema[index]["type"], float(number)):
                plan.number(index, value)
                plan.row += 1
        for name in names:
            plan.texts.append((plan.row, index, name))
            plan.row += 1
    table = base_table(facts, schema, plan.row + 512, rng)
    plan.write(table)
    _mix_in(table, specials, rng)
    table.boundaries, table.boundaries_checked = boundaries, checked
    return table
