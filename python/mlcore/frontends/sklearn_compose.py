"""Pipeline, ColumnTransformer and FeatureUnion: what holds other steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from mlcore.frontends._arrays import absent_zeros, arith, numeric_dtype, present
from mlcore.frontends._dtypes import DType, kind_dtype, stacked_dtype
from mlcore.frontends._names import emit, feature_names, output_container
from mlcore.frontends.context import Context, Frame, Outputs, Part, Refused
from mlcore.frontends.reference import reference
from mlcore.frontends.registry import Entry, entry_for, register

_CONTAINERS = {"sklearn.compose.ColumnTransformer", "sklearn.pipeline.FeatureUnion"}


# -- Pipeline ---------------------------------------------------------------------------------------------------


def _steps(pipeline: Any) -> list[tuple[str, Any]]:
    return [(name, step) for name, step in pipeline.steps if step is not None and not isinstance(step, str)]


def _is_transform(estimator: Any) -> bool:
    entry = entry_for(estimator)
    if entry is None:
        return not hasattr(estimator, "predict")
    if entry.cls == "sklearn.frozen.FrozenEstimator":
        return _is_transform(estimator.estimator)
    if entry.cls == "sklearn.pipeline.Pipeline":
        steps = _steps(estimator)
        return not steps or _is_transform(steps[-1][1])
    return entry.kind == "transform" or entry.cls in _CONTAINERS


def _pipeline(estimator: Any, frame: Frame, ctx: Context) -> Frame | Outputs:
    steps = _steps(estimator)
    if not steps:
        return frame
    for name, step in steps[:-1]:
        result = ctx.compile(step, frame, name)
        if not isinstance(result, Frame):
            ctx.refuse(f"the step {name!r} before the last one gives no features")
        frame = result
    name, last = steps[-1]
    refusing = list(ctx.refusing)
    result = ctx.compile(last, frame, name)
    if isinstance(result, Frame) or len(steps) == 1:
        return result  # type: ignore[no-any-return]
    outputs = {method: output for method, output in result.items() if method != "transform"}
    # text beside numbers makes no array of one type, though the model may read it
    with contextlib.suppress(Refused):
        features = frame.output(feature_names(estimator[:-1], frame.width))
        outputs["transform"] = replace(features, value=ctx.guard(features.value, refusing))
    return outputs


def _pipeline_reference(estimator: Any, method: str, X: Any) -> Any:
    steps = _steps(estimator)
    if not steps or _is_transform(steps[-1][1]):
        return getattr(estimator, method)(X)
    for _, step in steps[:-1]:
        X = step.transform(X)
    if method == "transform" and len(steps) > 1:
        return X
    return reference(steps[-1][1], method, X)


def _first(steps: Iterable[Any], attribute: str, ask: Callable[[Any], Any]) -> Any:
    """What the first step that knows it says about the input."""
    for step in steps:
        entry = entry_for(step)
        delegate = None if entry is None else getattr(entry, attribute)
        found = ask(step) if delegate is None else delegate(step)
        if found is not None:
            return found
    return None


def _names_of(estimator: Any) -> list[str] | None:
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _width_of(estimator: Any) -> int | None:
    width = getattr(estimator, "n_features_in_", None)
    return None if width is None else int(width)


def _pipeline_names(estimator: Any) -> list[str] | None:
    found: list[str] | None = _first((step for _, step in _steps(estimator)[:1]), "input_names", _names_of)
    return found


def _pipeline_width(estimator: Any) -> int | None:
    found: int | None = _first((step for _, step in _steps(estimator)[:1]), "input_width", _width_of)
    return found


# -- side by side -----------------------------------------------------------------------------------------------


def _array_dtype(frame: Frame) -> DType:
    """Dtype of ``np.asarray`` of one result; pandas does not mix booleans with numbers, NumPy does."""
    if frame.names is None:
        return frame.array_dtype()
    return stacked_dtype([kind_dtype(kind) for kind in frame.kinds()])


def _retyped(parts: Sequence[Part], dtype: DType) -> list[Part]:
    """The same columns as parts of an array of ``dtype``."""
    out = []
    for part in parts:
        own = kind_dtype(part.column.logical if part.column is not None else part.value.dtype)  # type: ignore[union-attr]
        out.append(Part(part.column, part.value, None if own == dtype else str(dtype)))
    return out


def _stack(estimator: Any, frames: Sequence[Frame], sparse: bool, ctx: Context) -> Frame:
    """Results side by side, as ``np.hstack``, ``scipy.sparse.hstack`` or ``pandas.concat`` join them."""
    if not any(frame.parts for frame in frames):
        ctx.refuse(f"{type(estimator).__name__} keeps no column")
    if not sparse and output_container(estimator) != "default" and all(frame.names is not None for frame in frames):
        made_up = "{}_{}" if type(estimator).__name__ == "FeatureUnion" else "tmp_col_name_{}_{}"
        names = [made_up.format(i, j) for i, frame in enumerate(frames) for j in range(frame.width)]
        return emit(estimator, [part for frame in frames for part in frame.parts], ctx, unnamed=names)
    frames = [present(frame, ctx) for frame in frames]
    dtypes = [numeric_dtype(frame, ctx) if sparse else _array_dtype(frame) for frame in frames]
    if any(dtype.kind == "O" for dtype in dtypes):
        common = np.dtype(object)
    elif any(dtype.kind == "M" for dtype in dtypes) and len(set(dtypes)) > 1:
        ctx.refuse("timestamps beside other columns make no array of one type")
    else:
        common = np.result_type(*dtypes)
    if sparse:
        frames = [_sparse_part(frame, dtype, ctx) for frame, dtype in zip(frames, dtypes, strict=True)]
    parts = [part for frame in frames for part in _retyped(frame.parts, common)]
    return emit(estimator, parts, ctx, sparse=sparse, explicit_zeros=any(frame.explicit_zeros for frame in frames))


def _sparse_part(frame: Frame, dtype: DType, ctx: Context) -> Frame:
    """An array that becomes part of a sparse matrix, which keeps neither its zeros nor their sign."""
    if frame.sparse or dtype.kind != "f" or not frame.parts:
        return frame
    return Frame(ctx, [Part(value=absent_zeros(ctx, frame.block("f32" if dtype == np.float32 else "f64")))])


def _weighted(frame: Frame, weight: Any, ctx: Context) -> Frame:
    """``result * weight`` in the dtype that NumPy promotes to."""
    if weight is None:
        return frame
    if not isinstance(weight, (int, float, np.integer, np.floating)) or not np.isfinite(weight):
        ctx.refuse(f"expected a finite number as weight but found {weight!r}", parameter="transformer_weights")
    frame = present(frame, ctx)
    if frame.names is None:
        return _weighted_array(frame, weight, ctx)
    # a data frame is multiplied column by column, in runs of one dtype
    parts: list[Part] = []
    for _, run in groupby(range(frame.width), key=lambda index: frame.kinds()[index]):
        parts += _weighted_array(frame.take(run), weight, ctx).parts
    return Frame(ctx, parts, frame.names)


def _weighted_array(frame: Frame, weight: Any, ctx: Context) -> Frame:
    number = float(weight)
    own = frame.array_dtype()
    if own.kind in "OM":
        ctx.refuse(f"a weight on columns of dtype {own}", parameter="transformer_weights")
    dtype = np.result_type(own, weight)
    if dtype.kind not in "fiu" or dtype == np.float16 or (dtype.kind in "iu" and own.kind != "b"):
        ctx.refuse(f"a weight whose product is of dtype {dtype}", parameter="transformer_weights")
    if not frame.parts:
        return Frame(ctx, [], sparse=frame.sparse, empty=dtype)
    value = frame.block("f32" if dtype == np.float32 else "f64")
    value = arith(ctx, value, "mul", np.asarray([weight]).astype(np.float32 if dtype == np.float32 else np.float64))
    if frame.sparse and number < 1:
        value = absent_zeros(ctx, value)
    parts = [Part(value=value, dtype=None if dtype.kind == "f" else str(dtype))]
    zeros = frame.explicit_zeros or abs(number) < 1
    return Frame(ctx, parts, sparse=frame.sparse, explicit_zeros=zeros)


# -- ColumnTransformer ------------------------------------------------------------------------------------------


def _located(estimator: Any, frame: Frame, ctx: Context) -> list[int]:
    """Position in ``frame`` of every column that the transformer was fitted on; -1 for those not there."""
    learned = getattr(estimator, "feature_names_in_", None)
    if learned is None or frame.names is None:
        if frame.width != estimator.n_features_in_:
            ctx.refuse(f"fitted on {estimator.n_features_in_} columns but given {frame.width}")
        return list(range(frame.width))
    if len(set(frame.names)) != len(frame.names):
        ctx.refuse("the column names are not unique")
    places = {name: index for index, name in enumerate(frame.names)}
    return [places.get(str(name), -1) for name in learned]


def _column_steps(estimator: Any) -> list[tuple[str, Any]]:
    """Those with columns: scikit-learn leaves one that got none as it was, unfitted."""
    used = getattr(estimator, "_transformer_to_input_indices", {})
    fitted = getattr(estimator, "transformers_", [])
    return [(name, step) for name, step, _ in fitted if not isinstance(step, str) and len(used[name])]


def _column_transformer(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    places = _located(estimator, frame, ctx)
    if frame.names is None:
        frame = Frame(
            ctx,
            _retyped(frame.parts, frame.array_dtype()),
            sparse=frame.sparse,
            explicit_zeros=frame.explicit_zeros,
        )
    weights = estimator.transformer_weights or {}
    frames = []
    for name, transformer, columns in estimator.transformers_:
        indices = [places[int(index)] for index in estimator._transformer_to_input_indices[name]]
        if not indices or (isinstance(transformer, str) and transformer == "drop"):
            continue
        if np.isscalar(columns):
            ctx.refuse(
                f"{columns!r} selects a one-dimensional column for {name!r}",
                parameter="transformers",
                alternative=f"[{columns!r}]",
            )
        if -1 in indices:
            lost = [str(estimator.feature_names_in_[int(i)]) for i in estimator._transformer_to_input_indices[name]]
            ctx.refuse(f"columns are missing: {sorted(set(lost) - set(frame.names or ()))}")
        part = frame.take(indices)
        result = part if isinstance(transformer, str) else ctx.compile(transformer, part, name)
        if not isinstance(result, Frame):
            ctx.refuse(f"the transformer {name!r} gives no features")
        frames.append(_weighted(result, weights.get(name), ctx))
    return _stack(estimator, frames, bool(getattr(estimator, "sparse_output_", False)), ctx)


# -- FeatureUnion -----------------------------------------------------------------------------------------------


def _union_parts(estimator: Any) -> list[tuple[str, Any]]:
    return [(name, step) for name, step in estimator.transformer_list if not (isinstance(step, str) and step == "drop")]


def _union_steps(estimator: Any) -> list[tuple[str, Any]]:
    return [(name, step) for name, step in _union_parts(estimator) if not isinstance(step, str)]


def _feature_union(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    weights = estimator.transformer_weights or {}
    frames = []
    for name, step in _union_parts(estimator):
        result = frame if isinstance(step, str) else ctx.compile(step, frame, name)
        if not isinstance(result, Frame):
            ctx.refuse(f"the transformer {name!r} gives no features")
        frames.append(_weighted(result, weights.get(name), ctx))
    return _stack(estimator, frames, any(part.sparse for part in frames), ctx)


def _union_names(estimator: Any) -> list[str] | None:
    found: list[str] | None = _first((step for _, step in _union_steps(estimator)), "input_names", _names_of)
    return found


def _union_width(estimator: Any) -> int | None:
    found: int | None = _first((step for _, step in _union_steps(estimator)), "input_width", _width_of)
    return found


register(
    Entry(
        "sklearn.pipeline.Pipeline",
        "meta",
        _pipeline,
        parameters={
            "steps": "honoured",
            "transform_input": "training",
            "memory": "training",
            "verbose": "training",
        },
        attributes={"_sklearn_output_config": "used"},
        reference=_pipeline_reference,
        input_names=_pipeline_names,
        input_width=_pipeline_width,
        steps=_steps,
        notes="with a model at the end, `transform` gives the features that the model sees",
    )
)
register(
    Entry(
        "sklearn.compose.ColumnTransformer",
        "meta",
        _column_transformer,
        parameters={
            "transformers": "honoured; a scalar selector (a one-dimensional column) is refused",
            "remainder": "honoured",
            "sparse_threshold": "training",
            "n_jobs": "training",
            "transformer_weights": "honoured; refused where the product is not a float array",
            "verbose": "training",
            "verbose_feature_names_out": "honoured",
        },
        attributes={
            "n_features_in_": "used",
            "feature_names_in_": "used",
            "transformers_": "used",
            "sparse_output_": "used",
            "output_indices_": "derived",
            "_transformer_to_input_indices": "used",
            "_columns": "training",
            "_remainder": "training",
            "_transformers_feature_names_out": "derived",
            "_sklearn_output_config": "used",
        },
        steps=_column_steps,
        notes="whether the result is sparse was decided while fitting, and is kept",
    )
)
register(
    Entry(
        "sklearn.pipeline.FeatureUnion",
        "meta",
        _feature_union,
        parameters={
            "transformer_list": "honoured",
            "n_jobs": "training",
            "transformer_weights": "honoured; refused where the product is not a float array",
            "verbose": "training",
            "verbose_feature_names_out": "honoured",
        },
        attributes={"_transformers_feature_names_out": "derived", "_sklearn_output_config": "used"},
        input_names=_union_names,
        input_width=_union_width,
        steps=_union_steps,
    )
)
