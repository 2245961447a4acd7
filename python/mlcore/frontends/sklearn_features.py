"""KBinsDiscretizer, PolynomialFeatures and FunctionTransformer."""

from __future__ import annotations

import sys
from itertools import chain, combinations, combinations_with_replacement
from typing import Any

import numpy as np

from mlcore.frontends._arrays import absent_zeros, check, float_block, numeric_dtype, present, wide_integers
from mlcore.frontends._dtypes import DType, kind_dtype
from mlcore.frontends._names import emit, enter, feature_names, output_container
from mlcore.frontends.context import Context, Frame, Part, Value
from mlcore.frontends.registry import Entry, register

_COMMON = {"n_features_in_": "used", "feature_names_in_": "used", "_sklearn_output_config": "used"}


# -- KBinsDiscretizer -------------------------------------------------------------------------------------------


def _bins(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    if frame.sparse:
        ctx.refuse("KBinsDiscretizer does not take a sparse matrix; scikit-learn itself raises")
    dtype = numeric_dtype(frame, ctx) if estimator.dtype is None else np.dtype(estimator.dtype)
    block = "f32" if dtype == np.float32 else "f64"
    value = check(ctx, present(frame, ctx).block(block))
    edges = [np.asarray(edges, dtype=np.float64)[1:-1] for edges in estimator.bin_edges_]
    constants = {
        "offsets": np.cumsum([0] + [len(inner) for inner in edges], dtype=np.int64),
        "edges": np.concatenate([np.empty(0), *edges]),
    }
    if estimator.encode == "ordinal":
        value = ctx.node("bin", [value], attrs={"side": "right", "dtype": block}, constants=constants)
        return emit(estimator, [Part(value=value)], ctx)
    codes = ctx.node("bin", [value], attrs={"side": "right", "dtype": "i32"}, constants=constants)
    columns = []
    for column, count in enumerate(estimator.n_bins_):
        code = codes
        if codes.width > 1:
            code = ctx.node("select", [codes], constants={"indices": np.asarray([column], dtype=np.int64)})
        columns.append(ctx.node("one_hot", [code], attrs={"width": int(count), "dtype": block}))
    value = columns[0] if len(columns) == 1 else ctx.node("concat", columns)
    return emit(estimator, [Part(value=value)], ctx, sparse=estimator.encode == "onehot")


# -- PolynomialFeatures -----------------------------------------------------------------------------------------


def _terms(estimator: Any, sparse: bool) -> list[tuple[int, ...]]:
    """Input columns of every product, in the order in which the original multiplies them.

    Arrays: a term of degree d is a term of degree d - 1 over later columns times its first column, so the last
    column comes first. Sparse matrices: from the first column on.
    """
    pick = combinations if estimator.interaction_only else combinations_with_replacement
    columns = range(estimator.n_features_in_)
    degrees = range(max(1, estimator._min_degree), estimator._max_degree + 1)
    terms = chain.from_iterable(pick(columns, degree) for degree in degrees)
    if estimator.include_bias:
        terms = chain([()], terms)
    return [term if sparse else term[::-1] for term in terms]


def _polynomial(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    if frame.explicit_zeros and estimator._max_degree > 2:
        ctx.refuse(
            "products of three entries of a sparse matrix that may store zeros",
            parameter="degree",
            alternative="make the step before it return an array (sparse_output=False, sparse_threshold=0)",
        )
    terms = _terms(estimator, frame.sparse)
    constants = {
        "offsets": np.cumsum([0] + [len(term) for term in terms], dtype=np.int64),
        "factors": np.asarray(list(chain.from_iterable(terms)), dtype=np.int64),
    }
    value = ctx.node("poly", [float_block(frame, ctx)], constants=constants)
    if frame.sparse:
        # a product with an absent factor is absent, also where the other factors overflow
        zero = np.zeros(value.width, dtype=np.float32 if value.dtype == "f32" else np.float64)
        value = ctx.node("fill", [value], attrs={"match": "missing"}, constants={"value": zero})
        value = absent_zeros(ctx, value)
    # a product of stored entries may underflow to a stored zero
    return emit(estimator, [Part(value=value)], ctx, sparse=frame.sparse, explicit_zeros=estimator._max_degree > 1)


# -- FunctionTransformer ----------------------------------------------------------------------------------------

_UFUNCS: dict[np.ufunc, str] = {
    np.absolute: "abs",
    np.fabs: "abs",
    np.negative: "negative",
    np.square: "square",
    np.sqrt: "sqrt",
    np.reciprocal: "reciprocal",
    np.sign: "sign",
    np.floor: "floor",
    np.ceil: "ceil",
    np.trunc: "trunc",
    np.rint: "rint",
    np.exp: "exp",
    np.exp2: "exp2",
    np.expm1: "expm1",
    np.log: "log",
    np.log2: "log2",
    np.log10: "log10",
    np.log1p: "log1p",
    np.tanh: "tanh",
    np.cbrt: "cbrt",
}
_WHOLE = {np.floor, np.ceil, np.trunc, np.positive}


def _op_of(function: Any, ctx: Context) -> str | None:
    """The `unary` function, None for the identity; refuses everything that is not on the list."""
    if function is None or function is np.positive:
        return None
    if isinstance(function, np.ufunc):
        if function in _UFUNCS:
            return _UFUNCS[function]
        special = sys.modules.get("scipy.special")
        if special is not None and function is special.expit:
            return "expit"
    listed = ", ".join(sorted({ufunc.__name__ for ufunc in _UFUNCS} | {"positive", "scipy.special.expit"}))
    return ctx.refuse(
        f"the function {getattr(function, '__name__', function)!r} is Python code",
        parameter="func",
        alternative=f"None or one of the NumPy ufuncs {listed}",
    )


def _apply(function: Any, name: str | None, value: Value, dtype: DType, ctx: Context) -> tuple[Value, DType]:
    """A ufunc on a block whose array is of ``dtype``, in the dtype that NumPy computes it in."""
    if name is None:
        return value, dtype
    try:
        out = np.dtype(function.resolve_dtypes((dtype, None))[1])
    except TypeError as error:
        ctx.refuse(f"np.{function.__name__} of a column of {dtype}: {error}", parameter="func")
    if out.kind in "iub":
        if function in _WHOLE or (function is np.absolute and dtype.kind in "ub"):
            return value, out
        if function is np.sign:
            wide = value if value.dtype == "f64" else ctx.node("cast", [value], attrs={"dtype": "f64"})
            return ctx.node("unary", [wide], attrs={"fn": name}), out
        ctx.refuse(
            f"np.{function.__name__} of a column of {dtype} is integer arithmetic",
            parameter="func",
            alternative="convert the column to float64 first",
        )
    if out not in (np.dtype(np.float64), np.dtype(np.float32)):
        ctx.refuse(f"np.{function.__name__} of a column of {dtype} is computed in {out}", parameter="func")
    block = "f32" if out == np.float32 else "f64"
    if value.dtype != block:
        value = ctx.node("cast", [value], attrs={"dtype": block})
    return ctx.node("unary", [value], attrs={"fn": name}), out


def _numbers(frame: Frame, ctx: Context) -> tuple[Value, DType]:
    """A frame of one numeric dtype, as a block that holds its values."""
    dtype = numeric_dtype(frame, ctx)
    return present(frame, ctx).block("f32" if dtype == np.float32 else "f64"), dtype


def _function(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    if hasattr(estimator, "n_features_in_") and estimator.validate:
        enter(estimator, frame, ctx)
    if estimator.kw_args:
        ctx.refuse("arguments to the function", parameter="kw_args", alternative="kw_args=None")
    name = _op_of(estimator.func, ctx)
    if frame.sparse and estimator.validate and not estimator.accept_sparse:
        ctx.refuse("a sparse matrix with accept_sparse=False; scikit-learn itself raises", parameter="accept_sparse")
    if frame.sparse and name is not None:
        ctx.refuse("a function on a sparse matrix", parameter="func")
    if estimator.validate:
        return _validated(estimator, frame, name, ctx)
    if name is None:
        return _wrapped(estimator, frame, ctx)
    if frame.names is None:
        value, dtype = _numbers(frame, ctx)
        if frame.array_dtype().kind == "O":
            ctx.refuse("a ufunc on an array of dtype object calls a method of every element", parameter="func")
        value, dtype = _apply(estimator.func, name, value, dtype, ctx)
        return _wrapped(estimator, Frame(ctx, [_part(value, dtype)]), ctx)
    # a data frame: column by column, each in its own dtype
    parts = []
    for index, kind in enumerate(frame.kinds()):
        value, dtype = _numbers(frame.take([index]), ctx)
        if kind_dtype(kind).kind == "O":
            ctx.refuse("a ufunc on a column of dtype object calls a method of every element", parameter="func")
        value, dtype = _apply(estimator.func, name, value, dtype, ctx)
        parts.append(_part(value, dtype))
    return _wrapped(estimator, Frame(ctx, parts, frame.names), ctx)


def _validated(estimator: Any, frame: Frame, name: str | None, ctx: Context) -> Frame:
    dtype = numeric_dtype(frame, ctx)
    if name is None and dtype.kind in "iu" and wide_integers(frame):
        value = frame.block("i64")
    else:
        if name is None and dtype.kind in "iu":
            frame.refuse_rounding()
        value = check(ctx, present(frame, ctx).block("f32" if dtype == np.float32 else "f64"))
    value, dtype = _apply(estimator.func, name, value, dtype, ctx)
    result = Frame(ctx, [_part(value, dtype)], sparse=frame.sparse, explicit_zeros=frame.explicit_zeros)
    return _wrapped(estimator, result, ctx)


def _part(value: Value, dtype: DType) -> Part:
    held = {"f64": "float64", "f32": "float32", "i64": "int64"}[value.dtype]
    return Part(value=value, dtype=None if dtype == held else str(dtype))


def _wrapped(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    """What ``set_output`` makes of the result; it acts only where ``feature_names_out`` is given."""
    if output_container(estimator) == "default":
        if frame.names is not None and callable(estimator.feature_names_out):
            ctx.refuse("a callable that renames the columns of a data frame", parameter="feature_names_out")
        return frame
    if estimator.feature_names_out is None:
        return frame
    if frame.names is not None and output_container(estimator) == "pandas":
        return Frame(ctx, frame.parts, feature_names(estimator, frame.width) or frame.names)
    return emit(estimator, frame.parts, ctx, sparse=frame.sparse, explicit_zeros=frame.explicit_zeros)


register(
    Entry(
        "sklearn.preprocessing.KBinsDiscretizer",
        "transform",
        _bins,
        parameters={
            "n_bins": "training",
            "encode": "honoured",
            "strategy": "training",
            "quantile_method": "training",
            "dtype": "honoured",
            "subsample": "training",
            "random_state": "training",
        },
        attributes={**_COMMON, "bin_edges_": "used", "n_bins_": "used", "_encoder": "derived"},
    )
)
register(
    Entry(
        "sklearn.preprocessing.PolynomialFeatures",
        "transform",
        _polynomial,
        parameters={
            "degree": "honoured",
            "interaction_only": "honoured",
            "include_bias": "honoured",
            "order": "honoured; the layout in memory only",
        },
        attributes={
            **_COMMON,
            "_min_degree": "used",
            "_max_degree": "used",
            "n_output_features_": "derived",
            "_n_out_full": "derived",
        },
        notes="products are taken in the original's order, which differs between arrays and sparse matrices",
    )
)
register(
    Entry(
        "sklearn.preprocessing.FunctionTransformer",
        "transform",
        _function,
        parameters={
            "func": "None and a named list of NumPy ufuncs; anything else is Python code and refused",
            "inverse_func": "training",
            "validate": "honoured",
            "accept_sparse": "honoured",
            "check_inverse": "training",
            "feature_names_out": "honoured; a callable that renames a data frame's columns is refused",
            "kw_args": "refused unless empty",
            "inv_kw_args": "training",
        },
        attributes=_COMMON,
        tolerance="exp, log, tanh and their kin: within 4 ULP of NumPy",
    )
)
