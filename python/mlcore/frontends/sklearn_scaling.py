"""Scalers of scikit-learn: one arithmetic step per column or per row."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlcore.frontends._arrays import arith, check, factor, float_block, numeric_dtype, present
from mlcore.frontends._names import emit, enter
from mlcore.frontends.context import Context, Frame, Part, Value
from mlcore.frontends.registry import Entry, register

_COMMON = {"n_features_in_": "used", "feature_names_in_": "used", "_sklearn_output_config": "used"}


def _one(estimator: Any, value: Value, ctx: Context) -> Frame:
    return emit(estimator, [Part(value=value)], ctx)


def _sparse(estimator: Any, frame: Frame, value: Value, scale: Any, ctx: Context, *, clip: bool = False) -> Frame:
    scaled, absent = factor(ctx, frame, value, scale)
    if clip:
        scaled = _clip(ctx, scaled, -1.0, 1.0)
        absent = None if absent is None else _clip(ctx, absent, -1.0, 1.0)
    if frame.explicit_zeros and frame.absent is None:
        # which entries the matrix stores was lost further up
        return emit(estimator, [Part(value=scaled)], ctx, sparse=True, explicit_zeros=True)
    return emit(estimator, [Part(value=scaled)], ctx, sparse=True, explicit_zeros=absent is not None, absent=absent)


def _standard(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    value = float_block(frame, ctx, nan=True)
    dtype = np.float32 if value.dtype == "f32" else np.float64
    if frame.sparse:
        if estimator.with_mean:
            ctx.refuse("a sparse matrix cannot be centred; scikit-learn itself raises", parameter="with_mean")
        if estimator.scale_ is None:
            return _unscaled(estimator, frame, value, ctx)
        return _sparse(estimator, frame, value, 1 / estimator.scale_, ctx)
    if estimator.with_mean:
        value = arith(ctx, value, "sub", np.asarray(estimator.mean_).astype(dtype))
    if estimator.with_std:
        value = arith(ctx, value, "div", np.asarray(estimator.scale_).astype(dtype))
    return _one(estimator, value, ctx)


def _unscaled(estimator: Any, frame: Frame, value: Value, ctx: Context) -> Frame:
    zeros = frame.explicit_zeros
    return emit(estimator, [Part(value=value)], ctx, sparse=True, explicit_zeros=zeros, absent=frame.absent)


def _refuse_sparse(estimator: Any, frame: Frame, ctx: Context) -> None:
    if frame.sparse:
        ctx.refuse(f"{type(estimator).__name__} does not take a sparse matrix; scikit-learn itself raises")


def _clip(ctx: Context, value: Value, low: float, high: float) -> Value:
    dtype = np.float32 if value.dtype == "f32" else np.float64
    bounds = {"lo": np.asarray([low], dtype=dtype), "hi": np.asarray([high], dtype=dtype)}
    return ctx.node("clip", [value], constants=bounds)


def _min_max(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    _refuse_sparse(estimator, frame, ctx)
    value = float_block(frame, ctx, nan=True)
    value = arith(ctx, value, "mul", estimator.scale_)
    value = arith(ctx, value, "add", estimator.min_)
    if estimator.clip:
        low, high = estimator.feature_range
        value = _clip(ctx, value, low, high)
    return _one(estimator, value, ctx)


def _max_abs(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    value = float_block(frame, ctx, nan=True)
    if frame.sparse:
        return _sparse(estimator, frame, value, 1.0 / estimator.scale_, ctx, clip=estimator.clip)
    value = arith(ctx, value, "div", estimator.scale_)
    return _one(estimator, _clip(ctx, value, -1.0, 1.0) if estimator.clip else value, ctx)


def _robust(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    value = float_block(frame, ctx, nan=True)
    if frame.sparse:
        if estimator.with_scaling:
            return _sparse(estimator, frame, value, 1.0 / estimator.scale_, ctx)
        return _unscaled(estimator, frame, value, ctx)
    if estimator.with_centering:
        value = arith(ctx, value, "sub", estimator.center_)
    if estimator.with_scaling:
        value = arith(ctx, value, "div", estimator.scale_)
    return _one(estimator, value, ctx)


def _normalizer(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    if frame.sparse:
        ctx.refuse(
            "Normalizer treats small norms of a sparse matrix in another way than those of an array",
            alternative="make the step before it return an array (sparse_output=False, sparse_threshold=0)",
        )
    return _one(estimator, ctx.node("normalize", [float_block(frame, ctx)], attrs={"norm": estimator.norm}), ctx)


def _binarizer(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    dtype = numeric_dtype(frame, ctx)
    value = check(ctx, present(frame, ctx).block("f32" if dtype == np.float32 else "f64"))
    threshold = estimator.threshold
    if frame.sparse and threshold < 0:
        ctx.refuse("a sparse matrix with threshold < 0; scikit-learn itself raises", parameter="threshold")
    # NumPy compares float32 with a Python number in float32, with a NumPy float64 in float64
    cut = np.float32(threshold) if value.dtype == "f32" and not hasattr(threshold, "dtype") else threshold
    value = ctx.node("binarize", [value], constants={"threshold": np.asarray([cut], dtype=np.float64)})
    part = Part(value=value, dtype=None if dtype.kind == "f" else str(dtype))
    return emit(estimator, [part], ctx, sparse=frame.sparse)


register(
    Entry(
        "sklearn.preprocessing.StandardScaler",
        "transform",
        _standard,
        parameters={"with_mean": "honoured", "with_std": "honoured", "copy": "training"},
        attributes={
            **_COMMON,
            "mean_": "used",
            "scale_": "used",
            "var_": "derived",
            "n_samples_seen_": "training",
        },
        notes="float32 input is scaled in float32",
    )
)
register(
    Entry(
        "sklearn.preprocessing.MinMaxScaler",
        "transform",
        _min_max,
        parameters={"feature_range": "honoured", "clip": "honoured", "copy": "training"},
        attributes={
            **_COMMON,
            "scale_": "used",
            "min_": "used",
            "data_min_": "derived",
            "data_max_": "derived",
            "data_range_": "derived",
            "n_samples_seen_": "training",
        },
    )
)
register(
    Entry(
        "sklearn.preprocessing.MaxAbsScaler",
        "transform",
        _max_abs,
        parameters={"clip": "honoured", "copy": "training"},
        attributes={**_COMMON, "scale_": "used", "max_abs_": "derived", "n_samples_seen_": "training"},
    )
)
register(
    Entry(
        "sklearn.preprocessing.RobustScaler",
        "transform",
        _robust,
        parameters={
            "with_centering": "honoured",
            "with_scaling": "honoured",
            "quantile_range": "training",
            "unit_variance": "training",
            "copy": "training",
        },
        attributes={**_COMMON, "center_": "used", "scale_": "used"},
    )
)
register(
    Entry(
        "sklearn.preprocessing.Normalizer",
        "transform",
        _normalizer,
        parameters={"norm": "honoured", "copy": "training"},
        attributes=_COMMON,
        tolerance="l1 and l2 norms are sums whose order NumPy leaves open",
    )
)
register(
    Entry(
        "sklearn.preprocessing.Binarizer",
        "transform",
        _binarizer,
        parameters={"threshold": "honoured", "copy": "training"},
        attributes=_COMMON,
    )
)
