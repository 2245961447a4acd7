"""TransformedTargetRegressor (sklearn.compose): a regressor whose predictions are transformed back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._arrays import arith, check
from mlcore.frontends._sklearn_models import as_float, nested_outputs, number_output, spec
from mlcore.frontends.context import Context, Frame, Output, Outputs, Value
from mlcore.frontends.reference import reference
from mlcore.frontends.registry import Entry, entry_for, register

__all__: list[str] = []

Array = npt.NDArray[Any]

# NumPy's name of a ufunc -> the `unary` op's
_UFUNCS = {
    "absolute": "abs",
    "fabs": "abs",
    "cbrt": "cbrt",
    "ceil": "ceil",
    "exp": "exp",
    "exp2": "exp2",
    "expm1": "expm1",
    "floor": "floor",
    "log": "log",
    "log10": "log10",
    "log1p": "log1p",
    "log2": "log2",
    "negative": "negative",
    "reciprocal": "reciprocal",
    "rint": "rint",
    "sign": "sign",
    "sqrt": "sqrt",
    "square": "square",
    "tanh": "tanh",
    "trunc": "trunc",
}
_LISTED = f"NumPy's {', '.join(sorted({*_UFUNCS, 'positive'}))} and scipy.special.expit"


def _function(function: Any, kwargs: Any, value: Value, ctx: Context) -> Value:
    if function is None:
        return value
    if kwargs:
        ctx.refuse("arguments of the inverse function are not supported", parameter="inv_kw_args")
    name = getattr(function, "__name__", type(function).__name__)
    if function is np.positive:
        return value
    if name == "expit" and function is getattr(sys.modules.get("scipy.special"), "expit", None):
        return ctx.node("unary", [value], attrs={"fn": "expit"})
    if not isinstance(function, np.ufunc) or name not in _UFUNCS or getattr(np, name, None) is not function:
        ctx.refuse(
            f"the inverse function {name} is not supported",
            parameter="inverse_func",
            alternative=f"one of {_LISTED}",
        )
    return ctx.node("unary", [value], attrs={"fn": _UFUNCS[name]})


def _invert_function(transformer: Any, value: Value, ctx: Context) -> Value:
    if transformer.validate:
        value = check(ctx, value)
    return _function(transformer.inverse_func, transformer.inv_kw_args, value, ctx)


def _invert_standard(transformer: Any, value: Value, ctx: Context) -> Value:
    value = check(ctx, value, nan=True)
    dtype = np.float32 if value.dtype == "f32" else np.float64
    if transformer.with_std:
        value = arith(ctx, value, "mul", np.asarray(transformer.scale_).astype(dtype))
    if transformer.with_mean:
        value = arith(ctx, value, "add", np.asarray(transformer.mean_).astype(dtype))
    return value


def _invert_min_max(transformer: Any, value: Value, ctx: Context) -> Value:
    value = arith(ctx, check(ctx, value, nan=True), "sub", transformer.min_)
    return arith(ctx, value, "div", transformer.scale_)


def _invert_max_abs(transformer: Any, value: Value, ctx: Context) -> Value:
    return arith(ctx, check(ctx, value, nan=True), "mul", transformer.scale_)


def _invert_robust(transformer: Any, value: Value, ctx: Context) -> Value:
    value = check(ctx, value, nan=True)
    if transformer.with_scaling:
        value = arith(ctx, value, "mul", transformer.scale_)
    if transformer.with_centering:
        value = arith(ctx, value, "add", transformer.center_)
    return value


def _invert_pipeline(transformer: Any, value: Value, ctx: Context) -> Value:
    for _, step in reversed(transformer.steps):
        if step is not None and not isinstance(step, str):
            value = _invert(step, value, ctx)
    return value


_INVERSES: dict[str, Callable[[Any, Value, Context], Value]] = {
    "sklearn.preprocessing.FunctionTransformer": _invert_function,
    "sklearn.preprocessing.StandardScaler": _invert_standard,
    "sklearn.preprocessing.MinMaxScaler": _invert_min_max,
    "sklearn.preprocessing.MaxAbsScaler": _invert_max_abs,
    "sklearn.preprocessing.RobustScaler": _invert_robust,
    "sklearn.pipeline.Pipeline": _invert_pipeline,
}


def _invert(transformer: Any, value: Value, ctx: Context) -> Value:
    entry = entry_for(transformer)
    invert = _INVERSES.get(entry.cls) if entry is not None else None
    if invert is None:
        names = ", ".join(sorted(path.rpartition(".")[2] for path in _INVERSES))
        ctx.refuse(
            f"the inverse of {type(transformer).__name__} is not supported",
            parameter="transformer",
            alternative=f"one of {names}",
        )
    return invert(transformer, value, ctx)


def _regressor(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    outputs = nested_outputs(ctx, estimator.regressor_, frame, "regressor")
    if outputs is None:
        zero = ctx.node("broadcast", [], constants={"value": np.zeros(1)})
        return {"predict": number_output(zero, vector=True)}
    predicted = outputs["predict"]
    if isinstance(predicted, list):
        ctx.refuse("a regressor that returns a list of arrays is not supported", parameter="regressor")
    if np.dtype(predicted.dtype).kind != "f":
        ctx.refuse(f"a regressor that predicts {predicted.dtype} is not supported", parameter="regressor")
    value = _invert(estimator.transformer_, as_float(ctx, predicted), ctx)
    vector = estimator._training_dim == 1 and value.width == 1
    result: Outputs = {"predict": number_output(value, vector=vector)}
    margin = outputs.get("decision_function")
    if isinstance(margin, Output):
        result["decision_function"] = margin
    return result


def _reference(estimator: Any, method: str, X: Any) -> Any:
    if method == "decision_function":
        return reference(estimator.regressor_, method, X)
    return getattr(estimator, method)(X)


register(
    Entry(
        "sklearn.compose.TransformedTargetRegressor",
        "meta",
        _regressor,
        parameters={
            "regressor": "honoured: every supported regressor",
            "transformer": "honoured: FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler "
            "and pipelines of them; others are refused",
            "func": "training",
            "inverse_func": f"honoured: None and {_LISTED}; others are refused",
            "check_inverse": "training",
        },
        attributes=spec(used="regressor_ transformer_ _training_dim", derived="feature_names_in_ n_features_in_"),
        reference=_reference,
        tolerance="as the regressor's predictions; inverse functions such as exp add 4 ULP",
        notes="decision_function is the regressor's own, before the target is transformed back",
    )
)
