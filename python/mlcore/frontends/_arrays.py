"""What scikit-learn does to X before its own arithmetic, as nodes: dtype choice, finiteness checks, scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._dtypes import kind_dtype
from mlcore.frontends.context import Context, Frame, Part, Value

__all__ = ["absent_zeros", "arith", "check", "factor", "float_block", "numeric_dtype", "present", "wide_integers"]

Array = npt.NDArray[Any]


def numeric_dtype(frame: Frame, ctx: Context) -> np.dtype[Any]:
    """dtype of the array that ``check_array`` gives a numeric step; refuses text, times and float16 arithmetic."""
    for index, kind in enumerate(frame.kinds()):
        if kind in ("str", "string"):
            ctx.refuse(
                "expected a numeric column but found strings",
                column=frame.label(index),
                alternative="encode the column first",
            )
        if kind is not None and kind.startswith("date"):
            ctx.refuse(
                f"expected a numeric column but found {kind}",
                column=frame.label(index),
                alternative="turn dates into numbers before fitting",
            )
    times = {kind for kind in frame.kinds() if _is_time(kind)}
    if (times and set(frame.kinds()) != times) or len(times) > 1:
        ctx.refuse(
            "expected numeric columns but found times beside other types",
            column=next(frame.label(index) for index, kind in enumerate(frame.kinds()) if _is_time(kind)),
            alternative="give the time columns a step of their own",
        )
    if times:
        return np.dtype(np.float64)
    dtype = frame.array_dtype()
    if dtype.kind == "O":
        return np.dtype(np.float64)
    if dtype == np.float16:
        ctx.refuse("arithmetic in float16 is not supported", alternative="fit on float32 or float64")
    return dtype


def _is_time(kind: str | None) -> bool:
    return kind is not None and kind.startswith(("timestamp", "datetime64"))


def check(ctx: Context, value: Value, *, nan: bool = False, inf: bool = False) -> Value:
    """Forbid NaN and infinity unless allowed, as ``ensure_all_finite`` does."""
    if (nan and inf) or value.dtype not in ("f64", "f32"):
        return value
    return ctx.node("check", [value], attrs={"nan": "allow" if nan else "forbid", "inf": "allow" if inf else "forbid"})


def present(frame: Frame, ctx: Context) -> Frame:
    """Refuse missing values in integer, boolean and time columns of the table.

    One missing value makes floats or objects of the whole column in the original, and with it other numbers of the
    other columns; where that matters the batch is refused. 64-bit integers are read exactly, and so is all that
    stands beside them in an array of integers.
    """
    whole = frame.array_dtype().kind in "iu"
    parts = []
    for part in frame.parts:
        kind = None if part.column is None else part.column.logical
        if part.column is not None and _is_time(kind):
            # the original reads a missing time as the smallest int64, and goes on
            parts.append(Part(value=ctx.raw_value(part.column, "i64"), dtype=part.dtype or kind))
            continue
        if part.column is None or kind is None or kind_dtype(kind).kind not in "iub":
            parts.append(part)
            continue
        if kind == "int64" or whole:
            value = ctx.raw_value(part.column, "i64")
        else:
            value = check(ctx, ctx.raw_value(part.column, "f64"), inf=True)
        dtype = part.dtype if part.dtype is not None else kind
        parts.append(Part(value=value, dtype=None if dtype == "int64" and kind == "int64" else dtype))
    return Frame(ctx, parts, frame.names, sparse=frame.sparse, explicit_zeros=frame.explicit_zeros, empty=frame.empty)


def wide_integers(frame: Frame) -> bool:
    """Whether every column is of integers or booleans, which are read without rounding as 64-bit integers."""
    return all(
        part.value.dtype == "i64"
        if part.value is not None
        else part.column is not None
        and part.column.logical is not None
        and kind_dtype(part.column.logical).kind in "iub"
        for part in frame.parts
    )


def float_block(frame: Frame, ctx: Context, *, nan: bool = False, inf: bool = False) -> Value:
    """``check_array(X, dtype=FLOAT_DTYPES)``: float32 stays, all else becomes float64; sparse input too."""
    dtype = numeric_dtype(frame, ctx)
    if dtype == np.float32 or any(_is_time(kind) for kind in frame.kinds()):
        frame = present(frame, ctx)
    if dtype == np.float32:
        return check(ctx, frame.block("f32"), nan=nan, inf=inf)
    return check(ctx, frame.block("f64"), nan=nan, inf=inf)


def _typed(value: Value, array: Array) -> Array:
    """A constant in the dtype in which NumPy's in-place operators read it beside this block."""
    return np.ascontiguousarray(array, dtype=np.float32 if value.dtype == "f32" and array.dtype == np.float32 else "f8")


def arith(ctx: Context, value: Value, fn: str, constant: Array | float) -> Value:
    """``X op= constant`` with a constant per column, or one for all."""
    array = np.atleast_1d(np.asarray(constant))
    return ctx.node("arith", [value], attrs={"fn": fn}, constants={"value": _typed(value, array)})


def absent_zeros(ctx: Context, value: Value) -> Value:
    """Make every zero positive, as ``toarray`` does for absent entries and for stored zeros."""
    return arith(ctx, value, "add", np.zeros(1, dtype=np.float32))


def factor(ctx: Context, frame: Frame, value: Value, constant: Array) -> tuple[Value, Value | None]:
    """Stored entries of a sparse matrix times a constant per column.

    The second value is None if every product is an entry that is not zero; else the products, NaN where the matrix
    has no entry. A product of non-zero numbers is zero only by underflow, which a factor of at least 1 excludes.
    """
    array = np.asarray(constant)
    if not np.isfinite(array).all() or (array == 0).any():
        ctx.refuse("scaling a sparse matrix by zero or a non-finite factor changes which entries are stored")
    scaled = arith(ctx, value, "mul", array)
    if not frame.explicit_zeros and (np.abs(array) >= 1).all():
        return scaled, None
    held = frame.absent
    if held is None:
        dtype = np.float32 if value.dtype == "f32" else np.float64
        marks = {"value": np.full(value.width, np.nan, dtype), "match_value": np.zeros(1, dtype)}
        held = ctx.node("fill", [value], attrs={"match": "value"}, constants=marks)
    return absent_zeros(ctx, scaled), arith(ctx, held, "mul", array)
