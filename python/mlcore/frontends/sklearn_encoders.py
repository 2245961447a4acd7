"""Encoders of scikit-learn: OneHotEncoder, OrdinalEncoder, TargetEncoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._categories import encode, read_categories
from mlcore.frontends._names import emit, enter
from mlcore.frontends.context import Context, Frame, Part, Value
from mlcore.frontends.registry import Entry, register

_COMMON = {"n_features_in_": "used", "feature_names_in_": "used", "_sklearn_output_config": "used"}
_INFREQUENT = {
    "_infrequent_enabled": "used",
    "_infrequent_indices": "used",
    "_default_to_infrequent_mappings": "used",
}


def _number_dtype(dtype: Any, ctx: Context) -> tuple[np.dtype[Any], str | None]:
    """The encoder's output dtype, and its name where a block of float64 stands for it."""
    out = np.dtype(dtype)
    if out.kind not in "fiub" or out.itemsize > 8:
        ctx.refuse(f"output of dtype {out}", parameter="dtype", alternative="np.float64 or np.float32")
    return out, None if out in (np.dtype(np.float64), np.dtype(np.float32)) else str(out)


def _concat(ctx: Context, values: list[Value]) -> Value:
    return values[0] if len(values) == 1 else ctx.node("concat", values)


def _mapping(estimator: Any, column: int) -> tuple[npt.NDArray[np.int64] | None, int]:
    """Category position -> position after infrequent ones are grouped, or None; and the first infrequent category."""
    if not estimator._infrequent_enabled or estimator._infrequent_indices[column] is None:
        return None, -1
    return estimator._default_to_infrequent_mappings[column], int(estimator._infrequent_indices[column][0])


# -- OneHotEncoder ----------------------------------------------------------------------------------------------


def _one_hot(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    dtype, tag = _number_dtype(estimator.dtype, ctx)
    block = "f32" if dtype == np.float32 else "f64"
    values: list[Value] = []
    kept: list[int] = []
    start = 0
    for column, categories in enumerate(estimator.categories_):
        count = len(categories)
        mapping, infrequent = _mapping(estimator, column)
        codes = np.arange(count) if mapping is None else np.asarray(mapping)
        if estimator.handle_unknown == "error":
            unknown = None
        elif mapping is not None and estimator.handle_unknown in ("infrequent_if_exist", "warn"):
            unknown = int(codes[infrequent])
        else:
            unknown = -1
        if estimator._drop_idx_after_grouping is not None:
            drop = estimator._drop_idx_after_grouping[column]
            if drop is not None:
                codes = np.where(codes == drop, -1, codes - (codes > drop))
                if unknown is not None and unknown >= 0:
                    unknown = -1 if unknown == drop else unknown - int(unknown > drop)
        found = read_categories(categories, frame.label(column), ctx)
        code = encode(frame, column, found, codes.tolist(), unknown, ctx)
        width = int(estimator._n_features_outs[column])
        # a column whose only category is dropped gives no feature, but its values are still checked
        values.append(ctx.node("one_hot", [code], attrs={"width": max(width, 1), "dtype": block}))
        kept += range(start, start + width)
        start += max(width, 1)
    value = _concat(ctx, values)
    if kept and len(kept) != start:
        value = ctx.node("select", [value], constants={"indices": np.asarray(kept, dtype=np.int64)})
    parts = [Part(value=value, dtype=tag)] if kept else []
    return emit(estimator, parts, ctx, sparse=bool(estimator.sparse_output), empty=np.dtype(estimator.dtype))


# -- OrdinalEncoder ---------------------------------------------------------------------------------------------


def _ordinal(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    dtype, tag = _number_dtype(estimator.dtype, ctx)
    block = np.float32 if dtype == np.float32 else np.float64
    use_unknown = estimator.handle_unknown == "use_encoded_value"
    values = []
    for column, categories in enumerate(estimator.categories_):
        count = len(categories)
        mapping, _ = _mapping(estimator, column)
        missing = estimator._missing_indices.get(column)
        codes = np.arange(count)
        if mapping is not None:
            # a missing category stands last and is not among the grouped ones
            codes[: len(mapping)] = mapping
        table = np.empty(count + 1, dtype=dtype)
        table[:count] = codes.astype(dtype)
        table[count] = 0
        try:
            if missing is not None:
                table[missing] = estimator.encoded_missing_value
            if use_unknown:
                table[count] = estimator.unknown_value
        except OverflowError as error:
            ctx.refuse(f"a code that {dtype} cannot hold ({error})", parameter="dtype", column=frame.label(column))
        found = read_categories(categories, frame.label(column), ctx)
        code = encode(frame, column, found, range(count), count if use_unknown else None, ctx)
        values.append(ctx.node("table", [code], constants={"values": table.astype(block)}))
    return emit(estimator, [Part(value=_concat(ctx, values), dtype=tag)], ctx)


# -- TargetEncoder ----------------------------------------------------------------------------------------------


def _target(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    per_column = len(estimator.classes_) if estimator.target_type_ == "multiclass" else 1
    means = np.atleast_1d(np.asarray(estimator.target_mean_, dtype=np.float64))
    values = []
    for column, categories in enumerate(estimator.categories_):
        count = len(categories)
        table = np.empty((count + 1, per_column))
        for position in range(per_column):
            table[:count, position] = estimator.encodings_[column * per_column + position]
            table[count, position] = means[position]
        found = read_categories(categories, frame.label(column), ctx)
        code = encode(frame, column, found, range(count), count, ctx)
        values.append(ctx.node("table", [code], constants={"values": table}))
    return emit(estimator, [Part(value=_concat(ctx, values))], ctx)


register(
    Entry(
        "sklearn.preprocessing.OneHotEncoder",
        "transform",
        _one_hot,
        parameters={
            "categories": "honoured; several types in one column are refused",
            "drop": "honoured",
            "sparse_output": "honoured",
            "dtype": "honoured; complex and long double are refused",
            "handle_unknown": "honoured",
            "min_frequency": "honoured",
            "max_categories": "honoured",
            "feature_name_combiner": "honoured",
        },
        attributes={
            **_COMMON,
            **_INFREQUENT,
            "categories_": "used",
            "drop_idx_": "derived",
            "_drop_idx_after_grouping": "used",
            "_n_features_outs": "used",
        },
        notes="handle_unknown='warn' encodes as 'infrequent_if_exist' and warns of nothing",
    )
)
register(
    Entry(
        "sklearn.preprocessing.OrdinalEncoder",
        "transform",
        _ordinal,
        parameters={
            "categories": "honoured; several types in one column are refused",
            "dtype": "honoured; complex and long double are refused",
            "handle_unknown": "honoured",
            "unknown_value": "honoured",
            "encoded_missing_value": "honoured",
            "min_frequency": "honoured",
            "max_categories": "honoured",
        },
        attributes={**_COMMON, **_INFREQUENT, "categories_": "used", "_missing_indices": "used"},
    )
)
register(
    Entry(
        "sklearn.preprocessing.TargetEncoder",
        "transform",
        _target,
        parameters={
            "categories": "honoured; several types in one column are refused",
            "target_type": "training",
            "smooth": "training",
            "cv": "training",
            "shuffle": "training",
            "random_state": "training",
        },
        attributes={
            **_COMMON,
            "_infrequent_enabled": "derived",
            "categories_": "used",
            "target_type_": "used",
            "classes_": "used",
            "target_mean_": "used",
            "encodings_": "used",
        },
        notes="binary, continuous and multiclass targets; unseen categories get the target's mean",
    )
)
