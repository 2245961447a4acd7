"""SimpleImputer and MissingIndicator."""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._arrays import check, numeric_dtype, present
from mlcore.frontends._names import emit, enter
from mlcore.frontends.context import Context, Frame, Part, Value
from mlcore.frontends.registry import Entry, register

_COMMON = {"n_features_in_": "used", "feature_names_in_": "used", "_sklearn_output_config": "used"}
_NUMPY = {"f64": np.float64, "f32": np.float32, "i64": np.int64}


def _is_nan(value: object) -> bool:
    return not isinstance(value, numbers.Integral) and isinstance(value, numbers.Real) and math.isnan(value)


class _Marker:
    """What a step takes for missing: NaN, None, ``pandas.NA`` (then all of them), a number or a string."""

    def __init__(self, missing_values: Any) -> None:
        self.value = missing_values
        pandas = sys.modules.get("pandas")
        self.any = pandas is not None and missing_values is pandas.NA
        self.nan = _is_nan(missing_values)
        self.none = missing_values is None
        self.number = isinstance(missing_values, numbers.Real) and not self.nan
        self.allows_nan = self.nan or self.any

    def query(self, dtype: str) -> tuple[str, dict[str, Any]] | None:
        """``match`` and constants of `fill` and `is_missing` for a block; None when nothing in it can match."""
        if self.number or isinstance(self.value, str):
            constant = self._constant(dtype)
            return None if constant is None else ("value", {"match_value": constant})
        if dtype == "i64":
            return None
        if dtype != "str":
            return "missing", {}
        return ("missing" if self.any else "nan" if self.nan else "none"), {}

    def _constant(self, dtype: str) -> Any:
        if dtype == "str":
            return [self.value] if isinstance(self.value, str) else None
        if not self.number:
            return None
        if dtype == "i64":
            exact = float(self.value).is_integer() and abs(self.value) < 2**63
            return np.asarray([int(self.value)], dtype=np.int64) if exact else None
        if dtype == "f64":
            return np.asarray([self.value], dtype=np.float64)
        # NumPy compares float32 with a Python number in float32, with a wider NumPy scalar in the wider type
        narrow = np.float32(self.value)
        if isinstance(self.value, np.generic) and float(narrow) != float(self.value):
            return None
        return np.asarray([narrow], dtype=np.float32)


@dataclass(frozen=True)
class _Block:
    """Adjacent columns of X, read as one type and checked."""

    value: Value
    columns: list[int]

    def pick(self, ctx: Context, positions: Sequence[int]) -> Value:
        """Some of its columns, by position inside the block."""
        if list(positions) == list(range(self.value.width)):
            return self.value
        return ctx.node("select", [self.value], constants={"indices": np.asarray(positions, dtype=np.int64)})


def _array_dtype(
    frame: Frame, marker: _Marker, fitted: np.dtype[Any] | None, ctx: Context, *, keeps: bool = True
) -> np.dtype[Any]:
    """Find the dtype of the original's X before the step converts it to floats, unless it ``keeps`` integers.

    ``fitted`` is the dtype that an imputer met while fitting.
    """
    if fitted is not None and fitted.kind == "O":
        return fitted
    undecided = [part.column for part in frame.parts if part.column is not None and part.column.logical is None]
    if fitted is not None and len(undecided) == frame.width:
        for column in undecided:
            column.logical = "float64" if frame.names is None else str(fitted)
    dtype = frame.array_dtype()
    if dtype.kind == "O" and not keeps:
        dtype = numeric_dtype(frame, ctx)
    if dtype.kind == "O" and fitted is not None:
        ctx.refuse(f"the step was fitted on {fitted} but is given columns of dtype object")
    if dtype.kind != "O":
        dtype = numeric_dtype(frame, ctx)
        if dtype.kind not in ("iuf" if keeps else "biuf"):
            ctx.refuse(f"columns of dtype {dtype}; scikit-learn itself raises", alternative="cast them to a number")
        if not (marker.any or marker.nan or marker.number):
            ctx.refuse(
                f"missing_values={marker.value!r} on columns of dtype {dtype}; scikit-learn itself raises",
                parameter="missing_values",
            )
    return dtype


def _block_type(frame: Frame, index: int, dtype: np.dtype[Any], text: bool | None, ctx: Context) -> str:
    """Block type that holds every value of one column; ``text`` says what an undecided column holds, if known."""
    part, _ = frame.part_at(index)
    kind = part.column.logical if part.column is not None else part.value.dtype  # type: ignore[union-attr]
    if kind in ("str", "string"):
        return "str"
    if kind is None and dtype.kind == "O" and text is None:
        ctx.refuse(
            "the type of a column is not known",
            column=frame.label(index),
            alternative="pass `sample=` with the column's real type",
        )
    if kind is None and dtype.kind == "O":
        return "str" if text else "f64"
    if kind is not None and kind.startswith(("timestamp", "date")):
        ctx.refuse(f"a column of {kind}", column=frame.label(index))
    if kind == "i64" and dtype.kind in "iuO":
        return "i64"
    return "f32" if dtype == np.float32 else "f64"


def _blocks(
    frame: Frame,
    dtype: np.dtype[Any],
    marker: _Marker,
    ctx: Context,
    texts: Sequence[bool | None],
    unread: Sequence[int] = (),
) -> list[_Block]:
    if dtype != np.float64:
        if any(part.column is not None and part.column.logical == "uint64" for part in frame.parts):
            ctx.refuse("columns of uint64 beside integers", alternative="cast them to int64 or float64")
        # the original keeps integers as they are, and so has no missing value among them
        frame = present(frame, ctx)
    read = [index for index in range(frame.width) if index not in unread]
    types = {index: _block_type(frame, index, dtype, texts[index], ctx) for index in read}
    blocks: list[_Block] = []
    for block_type, run in groupby(read, key=lambda index: types[index]):
        columns = list(run)
        value = frame.take(columns).block(block_type)
        # an object array is searched for NaN only, a float array for infinity too
        value = check(ctx, value, nan=marker.allows_nan, inf=dtype.kind == "O")
        if value.dtype == "str" and not marker.allows_nan:
            null = "allow" if marker.none else "forbid"
            value = ctx.node("check", [value], attrs={"nan": "forbid", "inf": "allow", "null": null})
        blocks.append(_Block(value, columns))
    return blocks


def _mask(ctx: Context, value: Value, marker: _Marker, dtype: str) -> Value:
    """1 where an element is what the marker means, else 0."""
    # where nothing can match, a search that finds nothing still reads the column, and so refuses what the checks refuse
    match, constants = marker.query(value.dtype) or ("nan" if value.dtype == "str" else "missing", {})
    return ctx.node("is_missing", [value], attrs={"match": match, "dtype": dtype}, constants=constants)


def _masks(blocks: Sequence[_Block], columns: Sequence[int], marker: _Marker, dtype: str, ctx: Context) -> Value | None:
    """Masks of some columns, in order; None when there are none."""
    wanted = {int(column) for column in columns}
    values = []
    for block in blocks:
        positions = [position for position, column in enumerate(block.columns) if column in wanted]
        if positions:
            values.append(_mask(ctx, block.pick(ctx, positions), marker, dtype))
    if not values:
        return None
    return values[0] if len(values) == 1 else ctx.node("concat", values)


def _fill_constant(statistics: npt.NDArray[Any], value: Value, estimator: Any, frame: Frame, columns: list[int]) -> Any:
    ctx = frame.ctx
    for statistic, column in zip(statistics, columns, strict=True):
        if isinstance(statistic, str) != (value.dtype == "str"):
            ctx.refuse(
                f"{statistic!r} fills a column of {'strings' if value.dtype == 'str' else 'numbers'}",
                parameter="fill_value",
                column=frame.label(column),
                alternative="impute text and numeric columns in separate steps",
            )
    if value.dtype == "str":
        return [str(statistic) for statistic in statistics]
    return np.asarray([np.asarray(s).astype(estimator._fill_dtype) for s in statistics]).astype(_NUMPY[value.dtype])


def _imputer(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    marker = _Marker(estimator.missing_values)
    statistics = np.asarray(estimator.statistics_)
    fitted = np.dtype(estimator._fit_dtype)
    keeps_integers = isinstance(estimator.strategy, str) and estimator.strategy in ("most_frequent", "constant")
    dtype = _array_dtype(frame, marker, fitted, ctx, keeps=keeps_integers)
    if not keeps_integers and dtype.kind != "O":
        dtype = np.dtype(np.float32 if dtype == np.float32 else np.float64)
    if estimator.strategy == "constant" and not np.can_cast(estimator._fill_dtype, dtype, casting="same_kind"):
        ctx.refuse(
            f"fitted on {estimator._fill_dtype} but the columns are {dtype}, into which scikit-learn does not cast",
            alternative="pass `sample=` with the types the step was fitted on",
        )
    if frame.sparse and marker.number and marker.value == 0:
        ctx.refuse("missing_values=0 on a sparse matrix; scikit-learn itself raises", parameter="missing_values")
    texts = [None if _is_nan(statistic) else isinstance(statistic, str) for statistic in statistics]
    if dtype.kind in "iu" and fitted.kind == "f":
        dtype = np.dtype(np.float64)  # the missing values that it met have made floats of its integers
    dropped = [not estimator.keep_empty_features and _is_nan(statistic) for statistic in statistics]
    # a dropped column of objects is not looked at by the original, and its type may be unknown
    unread = []
    if dtype.kind == "O" and marker.allows_nan and estimator.indicator_ is None:
        unread = [index for index, kind in enumerate(frame.kinds()) if kind is None and dropped[index]]
    blocks = _blocks(frame, dtype, marker, ctx, texts, unread)
    parts = []
    zeros = frame.explicit_zeros
    for block in blocks:
        positions = [position for position, column in enumerate(block.columns) if not dropped[column]]
        if not positions:
            continue
        columns = [block.columns[position] for position in positions]
        value = block.pick(ctx, positions)
        query = marker.query(value.dtype)
        if query is not None:
            match, constants = query
            constant = _fill_constant(statistics[columns], value, estimator, frame, columns)
            zeros = zeros or bool(np.any(np.asarray(constant) == 0))
            value = ctx.node("fill", [value], attrs={"match": match}, constants={"value": constant, **constants})
        parts.append(Part(value=value, dtype=_tag(dtype, value.dtype)))
    if estimator.indicator_ is not None:
        # beside integers the mask is one of integers too
        held = "i64" if dtype.kind in "iu" else "f32" if dtype == np.float32 else "f64"
        mask = _masks(blocks, estimator.indicator_.features_, marker, held, ctx)
        if mask is not None:
            parts.append(Part(value=mask, dtype=_tag(dtype, mask.dtype)))
    return emit(estimator, parts, ctx, sparse=frame.sparse, explicit_zeros=zeros, empty=dtype)


def _tag(dtype: np.dtype[Any], block: str) -> str | None:
    """The dtype note of a part whose block does not say it."""
    return None if block == "str" or _NUMPY[block] == dtype else str(dtype)


def _indicator(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    marker = _Marker(estimator.missing_values)
    if frame.sparse and marker.number and marker.value == 0:
        ctx.refuse("missing_values=0 on a sparse matrix; scikit-learn itself raises", parameter="missing_values")
    dtype = _array_dtype(frame, marker, None, ctx)
    blocks = _blocks(frame, dtype, marker, ctx, [None] * frame.width)
    features = [int(index) for index in estimator.features_]
    others = sorted(set(range(frame.width)) - set(features))
    mask = _masks(blocks, features, marker, "f64", ctx)
    if others and estimator.features == "missing-only" and estimator.error_on_new:
        # a mark in a column that had none while fitting becomes a NaN, which the check refuses
        new = _masks(blocks, others, marker, "f64", ctx)
        assert new is not None
        marks = {"value": np.full(new.width, np.nan), "match_value": np.ones(1)}
        new = check(ctx, ctx.node("fill", [new], attrs={"match": "value"}, constants=marks))
        both = [new] if mask is None else [mask, new]
        first = np.arange(0 if mask is None else mask.width, dtype=np.int64)
        mask = ctx.node("select", [ctx.node("concat", both)], constants={"indices": first}) if first.size else None
    sparse = frame.sparse if estimator.sparse == "auto" else bool(estimator.sparse)
    parts = [] if mask is None else [Part(value=mask, dtype="bool")]
    return emit(estimator, parts, ctx, sparse=sparse, empty=np.dtype(bool))


register(
    Entry(
        "sklearn.impute.SimpleImputer",
        "transform",
        _imputer,
        parameters={
            "missing_values": "honoured",
            "strategy": "honoured",
            "fill_value": "honoured; refused where it is a string in a numeric column or a number in a text column",
            "copy": "training",
            "add_indicator": "honoured",
            "keep_empty_features": "honoured",
        },
        attributes={
            **_COMMON,
            "statistics_": "used",
            "indicator_": "used",
            "_fit_dtype": "used",
            "_fill_dtype": "used",
        },
        notes="all strategies, on numbers and strings",
    )
)
register(
    Entry(
        "sklearn.impute.MissingIndicator",
        "transform",
        _indicator,
        parameters={
            "missing_values": "honoured",
            "features": "honoured",
            "sparse": "honoured",
            "error_on_new": "honoured",
        },
        attributes={**_COMMON, "features_": "used", "_precomputed": "training", "_n_features": "derived"},
    )
)
