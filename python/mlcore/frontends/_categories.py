"""A column's categories as an encoder learned them, and the `encode` node that finds them."""

from __future__ import annotations

import datetime
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._arrays import check
from mlcore.frontends._dtypes import kind_dtype
from mlcore.frontends.context import Context, Frame, RawColumn, Value

__all__ = ["Categories", "encode", "read_categories"]

_EXACT = 2**53  # integers below this are exact in a double, and no larger one rounds to them
_EPOCH = datetime.date(1970, 1, 1)


@dataclass
class Categories:
    """Categories by kind: ``positions[i]`` is where ``keys[i]`` stands among the encoder's categories.

    ``kind`` is ``"text"``, ``"number"``, ``"datetime64[unit]"``, ``"instant"`` (nanoseconds UTC), ``"date"``
    (days), or None when only missing values were learned. ``none`` and ``nan`` are positions of those categories.
    ``logical`` is the schema type of a column of numbers that nothing else decides.
    """

    kind: str | None
    keys: list[Any]
    positions: list[int]
    none: int | None
    nan: int | None
    logical: str = "float64"


def read_categories(categories: npt.NDArray[Any], label: str, ctx: Context) -> Categories:
    """Sort an entry of ``categories_`` into keys, None and NaN; refuses kinds that no column type holds."""
    array = np.asarray(categories)
    if array.dtype.kind == "M":
        known = np.flatnonzero(~np.isnat(array))  # NaT is equal to nothing, so the original never finds it
        unit = np.datetime_data(array.dtype)[0]
        keys = array[known].astype(np.int64).tolist()
        return Categories(f"datetime64[{unit}]", keys, known.tolist(), None, None)
    if array.dtype.kind not in "OUbiuf":
        ctx.refuse(f"categories of dtype {array.dtype}", parameter="categories", column=label)
    logical = {"b": "bool", "i": "int64", "u": "int64"}.get(array.dtype.kind, "float64")
    found = Categories(None, [], [], None, None, "float32" if array.dtype == np.float32 else logical)
    kinds = set()
    for position, category in enumerate(array.tolist()):
        if category is None:
            found.none = position
        elif isinstance(category, float) and math.isnan(category):
            found.nan = position
        else:
            kind, key = _key(category, label, ctx)
            kinds.add(kind)
            found.keys.append(key)
            found.positions.append(position)
    if len(kinds) > 1:
        ctx.refuse(f"categories of several types: {sorted(kinds)}", parameter="categories", column=label)
    found.kind = next(iter(kinds), None)
    return found


def _key(category: Any, label: str, ctx: Context) -> tuple[str, Any]:
    if isinstance(category, str):
        return "text", str(category)
    if isinstance(category, datetime.datetime):
        if category.tzinfo is not None and hasattr(category, "as_unit"):  # pandas.Timestamp: ticks since 1970 in UTC
            return "instant", int(category.as_unit("ns").value)
    elif isinstance(category, datetime.date):
        return "date", (category - _EPOCH).days
    elif isinstance(category, (bool, np.bool_, numbers.Integral)):
        return "number", int(category)
    elif isinstance(category, (float, np.floating)):
        return "number", float(category)
    return ctx.refuse(f"a category of type {type(category).__name__}", parameter="categories", column=label)


def encode(
    frame: Frame,
    index: int,
    found: Categories,
    codes: Sequence[int],
    unknown: int | None,
    ctx: Context,
) -> Value:
    """The column's codes (i32): ``codes[position]`` for a category, ``unknown`` for others (None: an error)."""
    value, keys, kept = _keyed_column(frame, index, found, ctx, forgiving=unknown is not None)
    attrs: dict[str, bool | int | str] = {"unknown": "error" if unknown is None else "code"}
    if unknown is not None:
        attrs["unknown_code"] = int(unknown)
    none = None if found.none is None else int(codes[found.none])
    nan = None if found.nan is None else int(codes[found.nan])
    if value.dtype == "str":
        attrs["by_kind"] = True
        if none is not None:
            attrs["none_code"] = none
        if nan is not None:
            attrs["nan_code"] = nan
        if none is not None and nan is not None:
            _tell_apart(frame, index, ctx)
        elif none is not None or nan is not None:
            attrs["null_code"] = none if none is not None else nan  # type: ignore[assignment]
    elif none is not None and nan is not None:
        ctx.refuse(
            "None and NaN were learned as different categories of a numeric column, whose missing values are one",
            column=frame.label(index),
            alternative="impute the column first",
        )
    elif none is not None or nan is not None:
        attrs["null_code"] = none if none is not None else nan  # type: ignore[assignment]
    numbered = np.asarray([codes[position] for position in kept], dtype=np.int32)
    return ctx.node("encode", [value], attrs=attrs, constants={"keys": keys, "codes": numbered})


def _tell_apart(frame: Frame, index: int, ctx: Context) -> None:
    part, _ = frame.part_at(index)
    if part.column is not None:
        part.column.distinguishes_missing = True
        ctx.declare(part.column)


def _keyed_column(
    frame: Frame, index: int, found: Categories, ctx: Context, *, forgiving: bool
) -> tuple[Value, Any, list[int]]:
    """The column as a block that `encode` takes, the keys in the block's type, and their positions."""
    part, _ = frame.part_at(index)
    own = part.column.logical if part.column is not None else part.value.dtype  # type: ignore[union-attr]
    kind = found.kind
    if kind is None and own is None:
        kind = "text"
    if kind == "text" or (kind is None and own in ("str", "string")):
        if own not in (None, "str", "string"):
            ctx.refuse(f"categories are strings but the column is {own}", column=frame.label(index))
        return frame.column(index, "str"), list(found.keys), found.positions
    if own in ("str", "string"):
        ctx.refuse(f"categories are of kind {kind} but the column holds strings", column=frame.label(index))
    if kind is not None and kind not in ("number", "text"):
        return _time_column(frame, index, found, kind, part.column, ctx)
    if own is not None and own.startswith(("timestamp", "date")):
        ctx.refuse(f"categories are numbers but the column is {own}", column=frame.label(index))
    if part.column is not None and own is None:
        # columns of an array have one type, of which the other columns may say more
        own = part.column.logical = "float64" if frame.names is None and found.logical != "bool" else found.logical
    return _number_column(frame, index, found, own, ctx, forgiving=forgiving)


def _number_column(
    frame: Frame, index: int, found: Categories, own: str | None, ctx: Context, *, forgiving: bool
) -> tuple[Value, Any, list[int]]:
    integers = own in ("i64", "int64")
    if any(isinstance(key, int) and abs(key) >= _EXACT for key in found.keys):
        if not integers:
            ctx.refuse("integer categories from 2^53 on are not exact in a float column", column=frame.label(index))
        kept = [
            (key, position)
            for key, position in zip(found.keys, found.positions, strict=True)
            if float(key).is_integer() and abs(key) < 2**63
        ]
        keys = np.asarray([int(key) for key, _ in kept], dtype=np.int64)
        return frame.column(index, "i64"), keys, [position for _, position in kept]
    value = frame.column(index, "f32" if own == "f32" else "f64")
    # a data frame is checked column by column, an array as a whole; one of objects is not searched for infinity
    dtype = frame.array_dtype() if frame.names is None else kind_dtype(frame.kinds()[index])
    if forgiving and dtype.kind != "O":
        value = check(ctx, value, nan=True)  # an unknown infinity is an error all the same
    return value, np.asarray(found.keys, dtype=np.float64), found.positions


def _time_column(
    frame: Frame, index: int, found: Categories, kind: str, column: RawColumn | None, ctx: Context
) -> tuple[Value, Any, list[int]]:
    """Dates and timestamps, compared as ticks of the schema's unit; a category between two ticks is never met."""
    if column is None:
        ctx.refuse("times that a step before computed", column=frame.label(index))
    if kind == "date":
        column.logical = column.logical or "date32"
        unit, source = ("D" if column.logical == "date32" else "ms"), "D"
        fits = column.logical in ("date32", "date64")
    else:
        source = "ns" if kind == "instant" else kind[len("datetime64[") : -1]
        if column.logical is None:
            column.logical = f"timestamp[{'s' if source == 'D' else source}{', UTC' if kind == 'instant' else ''}]"
        zoned = "," in column.logical
        unit = column.logical[len("timestamp[") :].rstrip("]").split(",")[0]
        fits = column.logical.startswith("timestamp") and zoned == (kind == "instant")
    if not fits:
        ctx.refuse(f"categories are of kind {kind} but the column is {column.logical}", column=column.name)
    times = np.asarray(found.keys, dtype=np.int64).astype(f"datetime64[{source}]")
    ticks = times.astype(f"datetime64[{unit}]")
    same = ticks.astype(f"datetime64[{source}]") == times
    keys = ticks.astype(np.int64)[same]
    kept = [position for position, keep in zip(found.positions, same.tolist(), strict=True) if keep]
    if (np.abs(keys) >= _EXACT).any():
        return frame.column(index, "i64"), keys, kept
    # as float64, in which a missing time is a NaN and no other tick rounds to a key
    return frame.column(index, "f64"), keys.astype(np.float64), kept
