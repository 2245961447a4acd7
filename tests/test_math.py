"""The core's own exp, log and kin, the inverse links and dot products, against longdouble and the libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.special
from mlcore import _core
from mlcore.errors import ProgramError
from sklearn.utils.extmath import softmax

Array = npt.NDArray[Any]
LONG = np.longdouble

pytestmark = pytest.mark.skipif(
    np.finfo(LONG).nmant < 63, reason="needs a longdouble wider than double as the reference"
)


def run_op(op: str, X: Array, attributes: dict[str, Any], constants: dict[str, Array] | None = None) -> Array:
    """Run one op on the columns of `X`, in its dtype."""
    single = X.dtype == np.float32
    builder = _core.ProgramBuilder()
    inputs = []
    for i in range(X.shape[1]):
        builder.set_column(i, f"x{i}", "float32" if single else "float64", True, False)
        inputs.append(builder.add("column", "m", [], {"column": i, "dtype": "f32" if single else "f64"}, {})[0])
    value = builder.add("concat", "m", inputs, {}, {})[0]
    result, _, width = builder.add(op, "m", [value], attributes, constants or {})
    builder.add_output("transform", -1, result, X.dtype.name, False, [f"y{i}" for i in range(width)], None)
    model = builder.finish()
    return np.asarray(model.run([_core.matrix_batch(X, [f"x{i}" for i in range(X.shape[1])])], [0])[0])


def unary(fn: str, x: Array) -> Array:
    return run_op("unary", x.reshape(-1, 1), {"fn": fn})[:, 0]


def distance(got: Array, want: Array) -> float:
    """Largest distance in ULP of `got`'s type from `want`, which may be wider; NaN, infinity and zero must agree."""
    rounded = want.astype(got.dtype)
    special = ~np.isfinite(rounded) | ~np.isfinite(got)
    same = (np.isnan(rounded) & np.isnan(got)) | (rounded == got)
    assert same[special].all()
    signed = ~np.isnan(rounded)
    np.testing.assert_array_equal(np.signbit(got[signed]), np.signbit(rounded[signed]))
    ulp = np.spacing(np.abs(rounded[~special])).astype(LONG)
    error = np.abs(got[~special].astype(LONG) - want[~special].astype(LONG)) / ulp
    return float(error.max(initial=0))


def arguments(dtype: type[np.floating[Any]], count: int) -> Array:
    """Numbers of every size and sign, many near the edges of the functions."""
    rng = np.random.default_rng(42)
    info = np.finfo(dtype)
    integer: type[np.unsignedinteger[Any]] = np.uint64 if dtype is np.float64 else np.uint32
    edges = [0, 1, 2, 8, 10, 27, 100, 1000, 1024, 22, 0.5, 0.25, 1e-300, 1e300, info.max, info.tiny]
    edges += [709.782712893384, 745.1332191019411, 708.4, 1023.9999999999999, 1074, 1075, 1022, 88.722839, 103.972, 149]
    edges += [info.smallest_subnormal, np.inf, np.nan, 0.29, 0.41, 0.34657359, 1.4142135623730951, 2.0**-28, 2.0**-54]
    with np.errstate(over="ignore", under="ignore"):
        base = np.array(edges, dtype)
        base = np.concatenate([base, np.nextafter(base, dtype(np.inf)), np.nextafter(base, dtype(-np.inf))])
        parts = [
            rng.uniform(-1, 1, count),
            rng.uniform(-40, 40, count),
            rng.uniform(-760, 760, count),
            1 + np.exp2(rng.uniform(-30, 0, count)) * rng.choice([-1, 1], count),
            np.exp2(rng.uniform(-60, 10, count)) * rng.choice([-1, 1], count),
            rng.integers(0, np.iinfo(integer).max, count, integer).view(dtype),
        ]
        return np.concatenate([base, -base, *(part.astype(dtype) for part in parts)])


def true_tanh(x: Array) -> Array:
    # longdouble tanh loses bits on some platforms; expm1 does not
    small = np.minimum(np.abs(x), LONG(40))
    t = np.expm1(2 * small)
    return np.copysign(np.where(np.isnan(x), x, t / (t + 2)), x)


TRUE: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "tanh": true_tanh,
    "cbrt": np.cbrt,
}


@pytest.mark.parametrize("fn", TRUE)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_within_one_ulp_of_the_truth(fn: str, dtype: type[np.floating[Any]]) -> None:
    x = arguments(dtype, 150_000)
    with np.errstate(all="ignore"):
        want = TRUE[fn](x.astype(LONG))
        error = distance(unary(fn, x), want)
    # float64: 0.75 where a subnormal result rounds twice, 5/6 where a root steps below a power of two
    assert error <= (0.84 if dtype is np.float64 else 0.5001)


@pytest.mark.parametrize("fn", TRUE)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_within_four_ulp_of_numpy(fn: str, dtype: type[np.floating[Any]]) -> None:
    x = arguments(dtype, 20_000)
    with np.errstate(all="ignore"):
        assert distance(unary(fn, x), getattr(np, fn)(x)) <= 4


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_expit_within_four_ulp_of_scipy(dtype: type[np.floating[Any]]) -> None:
    x = arguments(dtype, 50_000)
    with np.errstate(all="ignore"):
        assert distance(unary("expit", x), scipy.special.expit(x)) <= 4


EXACT = ["abs", "negative", "square", "sqrt", "reciprocal", "sign", "floor", "ceil", "trunc", "rint"]


@pytest.mark.parametrize("fn", EXACT)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_exact_functions_are_numpys(fn: str, dtype: type[np.floating[Any]]) -> None:
    halves = np.arange(-40, 40, 0.5).astype(dtype)
    large = (np.arange(-9, 9) * 0.5 + 2.0 ** (np.finfo(dtype).nmant)).astype(dtype)
    x = np.concatenate([arguments(dtype, 20_000), halves, large, -large, large / 2, large / 4])
    with np.errstate(all="ignore"):
        want = getattr(np, fn)(x)
        assert distance(unary(fn, x), want) == 0


def test_same_bits_alone_and_in_a_batch() -> None:
    x = arguments(np.float64, 40)
    for fn in [*TRUE, "expit"]:
        batch = unary(fn, x)
        alone = np.array([unary(fn, x[i : i + 1])[0] for i in range(0, len(x), 7)])
        assert alone.tobytes() == batch[::7].tobytes()


def scores(dtype: type[np.floating[Any]], width: int) -> Array:
    rng = np.random.default_rng(width)
    x = rng.normal(scale=4, size=(4000, width))
    x[:400] *= 30
    x[400:500] = rng.choice([0.0, -0.0, 88.7, -88.7, 89.0, -103.9, 710.0, -745.5, 1e-30, 1e4, -1e4], (100, width))
    return x.astype(dtype)


def exp32(x: Array) -> Array:
    """A float32 exp rounded once, as good libraries have it to within an ULP."""
    return np.exp(x.astype(np.float64)).astype(np.float32)


def xgb_sigmoid(x: Array) -> Array:
    return np.float32(1) / (exp32(np.minimum(-x, np.float32(88.7))) + np.float32(1) + np.float32(1e-16))


def xgb_softmax(x: Array) -> Array:
    e = exp32(x - x.max(axis=1, keepdims=True))
    return e / np.cumsum(e.astype(np.float64), axis=1)[:, -1:].astype(np.float32)


def lgb_softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / np.cumsum(e, axis=1)[:, -1:]


LINKS: dict[str, tuple[type[np.floating[Any]], int, Callable[[Array], Array], float]] = {
    "xgb_sigmoid": (np.float32, 1, xgb_sigmoid, 0),
    "xgb_softmax": (np.float32, 5, xgb_softmax, 0),
    "xgb_exp": (np.float32, 1, exp32, 0),
    "xgb_hinge": (np.float32, 2, lambda x: (x > 0).astype(np.float32), 0),
    "lgb_sigmoid": (np.float64, 1, lambda x: 1 / (1 + np.exp(-x)), 4),
    "lgb_softmax": (np.float64, 5, lgb_softmax, 4),
    "lgb_exp": (np.float64, 1, np.exp, 1),
    "lgb_sqrt": (np.float64, 1, lambda x: np.sign(x) * x * x, 0),
    "lgb_xentlambda": (np.float64, 1, lambda x: np.log1p(np.exp(x)), 4),
    "sk_expit": (np.float64, 1, scipy.special.expit, 4),
    "sk_softmax": (np.float64, 5, softmax, 4),
    "sk_exp": (np.float64, 1, np.exp, 1),
}


@pytest.mark.parametrize("fn", LINKS)
def test_links_keep_the_library_formula(fn: str) -> None:
    dtype, width, formula, bound = LINKS[fn]
    x = scores(dtype, width)
    with np.errstate(all="ignore"):
        assert distance(run_op("link", x, {"fn": fn}), formula(x)) <= bound


@pytest.mark.parametrize("width", [2, 7, 8, 9, 20, 130, 300])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sklearn_softmax_of_any_width(width: int, dtype: type[np.floating[Any]]) -> None:
    x = np.random.default_rng(width).normal(scale=3, size=(200, width)).astype(dtype)
    assert distance(run_op("link", x, {"fn": "sk_softmax"}), softmax(x)) <= 4


@pytest.mark.parametrize("fn", ["lgb_sigmoid", "sk_expit"])
def test_scale_of_a_sigmoid(fn: str) -> None:
    x = scores(np.float64, 1)
    with np.errstate(all="ignore"):
        want = 1 / (1 + np.exp(-1.7 * x))
        assert distance(run_op("link", x, {"fn": fn}, {"scale": np.array([1.7])}), want) <= 4


def test_links_refuse_another_type_and_a_scale_they_have_not() -> None:
    with pytest.raises(ProgramError, match="expected an input of type f32 for function xgb_sigmoid but found f64"):
        run_op("link", scores(np.float64, 1), {"fn": "xgb_sigmoid"})
    with pytest.raises(ProgramError, match="expected an input of type f64 for function lgb_exp but found f32"):
        run_op("link", scores(np.float32, 1), {"fn": "lgb_exp"})
    with pytest.raises(ProgramError, match="expected no constant"):
        run_op("link", scores(np.float64, 1), {"fn": "lgb_exp"}, {"scale": np.ones(1)})
    with pytest.raises(ProgramError, match="expected a number in constant 'scale' but found nan"):
        run_op("link", scores(np.float64, 1), {"fn": "lgb_sigmoid"}, {"scale": np.array([np.nan])})


def blocked(x: Array, weights: Array, bias: Array | None) -> Array:
    """The order of sums that ops/dot.cc documents."""
    rows, width = x.shape
    padded = -(-width // 8) * 8
    out = np.empty((rows, len(weights)))
    for k, w in enumerate(weights):
        products = np.zeros((rows, padded))
        products[:, :width] = x.astype(np.float64) * w.astype(np.float64)
        total = np.zeros(rows)
        for g in range(0, padded, 8):
            p = products[:, g : g + 8].T
            total = total + (((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7])))
        out[:, k] = total if bias is None else total + np.float64(bias[k])
    return out.astype(x.dtype)


def sequential(x: Array, weights: Array, bias: Array | None, skip: bool) -> Array:
    out = np.zeros((len(x), len(weights)), x.dtype)
    for k, w in enumerate(weights):
        total = np.full(len(x), 0 if bias is None else bias[k], x.dtype)
        for j in range(x.shape[1]):
            step = total + x[:, j] * w[j]
            total = np.where(np.isnan(x[:, j]), total, step) if skip else step
        out[:, k] = total
    return out


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 33])
@pytest.mark.parametrize("with_bias", [False, True])
def test_dot_sums_in_the_documented_order(dtype: type[np.floating[Any]], width: int, with_bias: bool) -> None:
    rng = np.random.default_rng(width)
    x = rng.normal(size=(150, width)).astype(dtype)
    weights = rng.normal(size=(3, width)).astype(dtype)
    bias = rng.normal(size=3).astype(dtype) if with_bias else None
    constants = {"weights": weights} if bias is None else {"weights": weights, "bias": bias}
    got = run_op("dot", x, {"accumulate": "blocked"}, constants)
    assert got.tobytes() == blocked(x, weights, bias).tobytes()
    bound = (1e-12 if dtype is np.float64 else 1e-5) * (np.abs(x) @ np.abs(weights).T + 1)
    assert (np.abs(got - (x @ weights.T + (0 if bias is None else bias))) <= bound).all()
    for size in (1, 2, 65):
        assert run_op("dot", x[:size], {"accumulate": "blocked"}, constants).tobytes() == got[:size].tobytes()
    in_order = run_op("dot", x, {"accumulate": "sequential"}, constants)
    assert in_order.tobytes() == sequential(x, weights, bias, False).tobytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_dot_leaves_missing_values_out(dtype: type[np.floating[Any]]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 11)).astype(dtype)
    x[rng.random(x.shape) < 0.3] = np.nan
    weights = rng.normal(size=(2, 11)).astype(dtype)
    bias = np.array([0.5, -0.0], dtype)
    constants = {"weights": weights, "bias": bias}
    got = run_op("dot", x, {"accumulate": "sequential", "skip_missing": True}, constants)
    assert got.tobytes() == sequential(x, weights, bias, True).tobytes()
    got = run_op("dot", x, {"accumulate": "blocked", "skip_missing": True}, constants)
    assert got.tobytes() == blocked(np.nan_to_num(x), weights, bias).tobytes()
    plain = run_op("dot", x, {"accumulate": "blocked"}, constants)
    np.testing.assert_array_equal(np.isnan(plain[:, 0]), np.isnan(x).any(axis=1))


def test_dot_refuses_weights_of_another_shape() -> None:
    x = np.ones((2, 3))
    for weights in (np.ones(3), np.ones((2, 4)), np.ones((0, 3)), np.ones((3, 2))):
        with pytest.raises(ProgramError, match=r"expected constant 'weights' of shape \[k, 3\]"):
            run_op("dot", x, {"accumulate": "blocked"}, {"weights": weights})
    with pytest.raises(ProgramError, match="expected 2 elements in constant 'bias' but found 3"):
        run_op("dot", x, {"accumulate": "blocked"}, {"weights": np.ones((2, 3)), "bias": np.ones(3)})
    with pytest.raises(ProgramError, match="expected constant 'weights' of type f64 but found f32"):
        run_op("dot", x, {"accumulate": "blocked"}, {"weights": np.ones((2, 3), np.float32)})
