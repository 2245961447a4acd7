"""Ops of structure, arithmetic, missing values and bins against their NumPy definition (docs/design/0001)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mlcore.errors import InputError, ProgramError
from op_graph import FLOATS, NUMPY, ROWS, Graph, assert_same, edges, run_one, sample
from sklearn.isotonic import IsotonicRegression
from sklearn.preprocessing import normalize

# -- structure --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("target", ["f64", "f32"])
def test_cast(source: Any, target: str) -> None:
    if source is np.int64:
        rng = np.random.default_rng(1)
        values = rng.integers(-(2**63), 2**63 - 1, size=(ROWS, 2), dtype=np.int64)
        values[:5, 0] = [2**53 + 1, -(2**53) - 1, 2**24 + 1, 2**63 - 1, -(2**63)]
    else:
        values = sample(source, 2)
    assert_same(run_one("cast", values, {"dtype": target}), values.astype(NUMPY[target]))


def test_cast_of_codes() -> None:
    graph = Graph()
    codes = graph.node(
        "encode",
        [graph.column(np.array(["b", "a", "z"] * 100, dtype=object))],
        {"unknown": "code"},
        {"keys": ["a", "b"]},
    )
    assert_same(graph.run(graph.node("cast", [codes], {"dtype": "i64"})), np.array([[1], [0], [-1]] * 100))
    for source, target in (("i64", "f64"), ("f64", "i64")):
        graph = Graph()
        value = graph.node("broadcast", [], None, {"value": np.ones(1, dtype=NUMPY[source])})
        if target == "i64":
            with pytest.raises(ProgramError, match="expected input 0 of type i32 or i64 but found f64"):
                graph.node("cast", [value], {"dtype": target})
        else:
            assert graph.node("cast", [value], {"dtype": target})[1:] == (target, 1)


@pytest.mark.parametrize("dtype", [*FLOATS, np.int64, object])
def test_concat_and_select(dtype: Any) -> None:
    if dtype is object:
        values = np.random.default_rng(2).choice(np.array(["", "a", "grün", None], dtype=object), size=(ROWS, 3))
    else:
        values = sample(np.float32, 3).astype(dtype) if dtype is not np.int64 else np.arange(ROWS * 3).reshape(-1, 3)
    graph = Graph()
    block = graph.block(values)
    picked = graph.node("select", [block], None, {"indices": np.array([2, 0, 2])})
    # the block is read twice, so neither concat can be laid over its inputs
    both = graph.node("concat", [block, picked, block])
    assert both[2] == 9
    assert_same(graph.run(both), values[:, [0, 1, 2, 2, 0, 2, 0, 1, 2]])


@pytest.mark.parametrize("dtype", [*FLOATS, np.int64])
def test_broadcast(dtype: Any) -> None:
    value = np.array([1, 0, 7], dtype=dtype)
    graph = Graph()
    column = graph.column(np.arange(ROWS))
    tail = graph.node("broadcast", [], None, {"value": value})
    if dtype is np.int64:
        tail = graph.node("concat", [column, tail])
        assert_same(graph.run(tail), np.column_stack([np.arange(ROWS), np.tile(value, (ROWS, 1))]))
    else:
        assert_same(graph.run(tail), np.tile(value, (ROWS, 1)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("nan", ["allow", "forbid"])
@pytest.mark.parametrize("inf", ["allow", "forbid"])
def test_check(dtype: Any, nan: str, inf: str) -> None:
    info = np.finfo(dtype)
    clean = np.tile(np.array([info.max, -info.max, 0.0, -0.0, info.smallest_subnormal], dtype=dtype), (ROWS, 1))
    attrs = {"nan": nan, "inf": inf}
    assert_same(run_one("check", clean, attrs), clean)
    wanted = {("forbid", "forbid"): "finite numbers", ("forbid", "allow"): "no missing values"}.get(
        (nan, inf), "no infinity"
    )
    for bad, text, refused in ((np.nan, r"a missing value \(NaN\)", nan), (np.inf, "inf", inf), (-np.inf, "-inf", inf)):
        values = clean.copy()
        values[700, 3] = values[700, 1] = values[900, 0] = bad
        if refused == "allow":
            assert_same(run_one("check", values, attrs), values)
            continue
        graph = Graph()
        model = graph.model(graph.node("check", [graph.block(values)], attrs))
        message = rf"^step 'here / check': expected {wanted} in column 'c1' but found {text} \(row 700\)$"
        with pytest.raises(InputError, match=message):
            model.run([graph.batch(0, ROWS)], [0])


@pytest.mark.parametrize(
    ("nan", "null", "refused"), [("allow", None, ""), ("forbid", None, "nan null"), ("forbid", "allow", "nan")]
)
def test_check_of_strings(nan: str, null: str | None, refused: str) -> None:
    attrs = {"nan": nan, "inf": "allow"} | ({} if null is None else {"null": null})
    for name, value in (("none", None), ("nan", float("nan")), ("text", "nan")):
        values = np.array(["a"] * 600 + [value], dtype=object)
        graph = Graph()
        checked = graph.node("check", [graph.column(values, distinguishes=True)], attrs)
        flag = graph.node("is_missing", [checked], {"match": "missing", "dtype": "f64"})
        model = graph.model(flag)
        if name in refused:
            with pytest.raises(
                InputError,
                match=r"expected no missing values in column 'c0' but found a missing value \(NaN\) \(row 600\)",
            ):
                model.run([graph.batch(0, 601)], [0])
        else:
            assert model.run([graph.batch(0, 601)], [0])[0][600, 0] == float(name != "text")


# -- arithmetic -------------------------------------------------------------------------------------------------------

ARITH: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, v: x + v,
    "sub": lambda x, v: x - v,
    "mul": lambda x, v: x * v,
    "div": lambda x, v: x / v,
    "rsub": lambda x, v: v - x,
    "rdiv": lambda x, v: v / x,
}


@pytest.mark.parametrize("fn", ARITH)
@pytest.mark.parametrize(
    ("dtype", "constant"), [(np.float64, np.float64), (np.float32, np.float64), (np.float32, np.float32)]
)
def test_arith(fn: str, dtype: Any, constant: Any) -> None:
    edge = edges(constant)
    values = sample(dtype, len(edge), rows=700)
    expected = ARITH[fn](values.astype(constant), edge).astype(dtype)
    assert_same(run_one("arith", values, {"fn": fn}, {"value": edge}), expected)
    for single in (constant(0.1), constant(-3)):
        expected = ARITH[fn](values.astype(constant), single).astype(dtype)
        assert_same(run_one("arith", values, {"fn": fn}, {"value": np.array([single])}), expected)


def test_arith_rounds_once_like_numpy_in_place() -> None:
    values = sample(np.float32, 4)
    mean = np.array([0.1, 1 / 3, 1e-9, 12345.678])
    expected = values.copy()
    expected -= mean
    assert_same(run_one("arith", values, {"fn": "sub"}, {"value": mean}), expected)
    expected /= mean
    graph = Graph()
    centred = graph.node("arith", [graph.block(values)], {"fn": "sub"}, {"value": mean})
    assert_same(graph.run(graph.node("arith", [centred], {"fn": "div"}, {"value": mean})), expected)


COMBINE = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": np.minimum,
    "max": np.maximum,
}


@pytest.mark.parametrize("fn", COMBINE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_combine(fn: str, dtype: Any) -> None:
    edge = edges(dtype)
    left, right = (grid.reshape(-1, 7) for grid in np.meshgrid(np.tile(edge, 7), edge))
    for other in (right, right[:, :1]):
        graph = Graph()
        found = graph.run(graph.node("combine", [graph.block(left), graph.block(other)], {"fn": fn}))
        expected = COMBINE[fn](left, other)
        if fn in ("min", "max"):
            # which of 0.0 and -0.0 NumPy gives depends on its SIMD path; ours is the second
            zeros = (left == 0) & (other == 0)
            expected = np.where(zeros, np.broadcast_to(other, left.shape), expected)
        assert_same(found, expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_clip(dtype: Any) -> None:
    edge = edges(dtype)
    bounds = edge[~np.isnan(edge)]
    values = np.tile(edge[:, None], (1, len(bounds)))
    one = np.ones_like(bounds)
    for lo, hi in ((bounds, np.roll(bounds, 5)), (-0.0 * one, one), (0.0 * one, bounds), (bounds, 0.0 * one)):
        # per column: with arrays of bounds the sign of a zero depends on NumPy's memory layout
        expected = np.column_stack([np.clip(values[:, i], lo[i], hi[i]) for i in range(len(bounds))])
        assert_same(run_one("clip", values, None, {"lo": lo, "hi": hi}), expected)
    expected = np.clip(values, dtype(-0.0), dtype(1))
    lo, hi = np.array([-0.0], dtype=dtype), np.array([1], dtype=dtype)
    assert_same(run_one("clip", values, None, {"lo": lo, "hi": hi}), expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("threshold", [0.0, -0.0, 0.1, 1.0, np.inf, -np.inf, 16777216.5])
def test_binarize(dtype: Any, threshold: float) -> None:
    values = sample(dtype, 3)
    expected = (values.astype(np.float64) > threshold).astype(dtype)
    assert_same(run_one("binarize", values, None, {"threshold": np.array([threshold])}), expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_poly(dtype: Any) -> None:
    values = sample(dtype, 4)
    rng = np.random.default_rng(3)
    terms = [[], [0], [3], [0, 0], [0, 0, 1], [0, 0, 1, 2], [2, 1, 0], [0, 0], [3] * 12, [3] * 9]
    terms += [list(rng.integers(0, 4, size=rng.integers(0, 6))) for _ in range(60)]
    expected = []
    for term in terms:
        product = np.ones(len(values), dtype=dtype) if not term else values[:, term[0]].copy()
        for factor in term[1:]:
            product *= values[:, factor]
        expected.append(product)
    offsets = np.cumsum([0, *map(len, terms)])
    factors = np.array([factor for term in terms for factor in term], dtype=np.int64)
    found = run_one("poly", values, None, {"offsets": offsets, "factors": factors})
    assert_same(found, np.column_stack(expected))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_normalize(dtype: Any, norm: str) -> None:
    eps = np.finfo(dtype).eps
    values = np.random.default_rng(4).normal(size=(ROWS, 5)).astype(dtype)
    values[0] = 0
    values[1] = [10 * eps, 0, 0, 0, 0]
    values[2] = [np.nextafter(dtype(10 * eps), dtype(0)), 0, 0, 0, 0]
    values[3] = -0.0
    values[4] = np.finfo(dtype).max
    expected = normalize(values, norm=norm)
    found = run_one("normalize", values, {"norm": norm})
    if norm == "max":
        assert_same(found, expected)
    else:
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=1e-12 if dtype is np.float64 else 1e-6)
    assert_same(found[:4], expected[:4])
    missing = np.array([[np.nan, 1, 2], [3, np.nan, 4]] * 10, dtype=dtype)
    assert np.isnan(run_one("normalize", missing, {"norm": norm})).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("zero", ["keep", "uniform", "divide"])
@pytest.mark.parametrize("order", [None, "sequential", "pairwise"])
@pytest.mark.parametrize("width", [1, 2, 7, 8, 9, 21, 128, 137, 300])
def test_row_normalize(dtype: Any, zero: str, order: str | None, width: int) -> None:
    values = np.random.default_rng(width).random((40, width)).astype(dtype)
    values[3] = 0
    values[4] = -0.0
    values[5, 0] = np.nan
    values[6, -1] = np.inf
    if order == "pairwise":
        total = values.sum(axis=1)
    else:
        total = np.zeros(len(values), dtype=dtype)
        for column in values.T:
            total += column
    expected = values / total[:, None]
    if zero == "keep":
        expected[total == 0] = values[total == 0]
    if zero == "uniform":
        expected[total == 0] = dtype(1) / dtype(width)
    attrs = {"zero": zero} | ({} if order is None else {"order": order})
    assert_same(run_one("row_normalize", values, attrs), expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("divisor", [None, 3.0])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_weighted_sum(dtype: Any, divisor: float | None, count: int) -> None:
    stack = [sample(dtype, 2, seed=seed) for seed in range(count)]
    stack[0][:2] = -0.0
    weights = np.linspace(-1, 2, count).astype(dtype)
    graph = Graph()
    constants = {"weights": weights.astype(np.float64)} | ({} if divisor is None else {"divisor": np.array([divisor])})
    found = graph.run(graph.node("weighted_sum", [graph.block(values) for values in stack], None, constants))
    expected = np.multiply(np.array(stack), weights[:, None, None]).sum(axis=0)
    assert_same(found, expected if divisor is None else expected / dtype(divisor))


def test_weighted_sum_is_the_mean() -> None:
    stack = [sample(np.float32, 3, seed=seed) for seed in range(5)]
    graph = Graph()
    blocks = [graph.block(values) for values in stack]
    node = graph.node("weighted_sum", blocks, None, {"weights": np.ones(5), "divisor": np.array([5.0])})
    assert_same(graph.run(node), np.mean(np.array(stack), axis=0))


# -- missing values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_fill_and_is_missing_of_numbers(dtype: Any) -> None:
    values = sample(dtype, 3)
    fill = np.array([7, np.nan, -0.0], dtype=dtype)
    assert_same(
        run_one("fill", values, {"match": "missing"}, {"value": fill}), np.where(np.isnan(values), fill, values)
    )
    for wanted in (dtype(0), dtype(-0.0), dtype(0.1), dtype(np.inf)):
        constants = {"match_value": np.array([wanted], dtype=dtype)}
        found = run_one("fill", values, {"match": "value"}, {"value": fill, **constants})
        assert_same(found, np.where(values == wanted, fill, values))
        for out in ("f64", "f32"):
            found = run_one("is_missing", values, {"match": "value", "dtype": out}, constants)
            assert_same(found, (values == wanted).astype(NUMPY[out]))
    for out in ("f64", "f32"):
        assert_same(
            run_one("is_missing", values, {"match": "missing", "dtype": out}), np.isnan(values).astype(NUMPY[out])
        )


def test_fill_and_is_missing_of_integers() -> None:
    values = np.random.default_rng(5).integers(-2, 3, size=(ROWS, 2))
    constants = {"match_value": np.array([-1])}
    found = run_one("fill", values, {"match": "value"}, {"value": np.array([5, 6]), **constants})
    assert_same(found, np.where(values == -1, np.array([5, 6]), values))
    assert_same(
        run_one("is_missing", values, {"match": "value", "dtype": "f32"}, constants), (values == -1).astype(np.float32)
    )
    assert_same(run_one("fill", values, {"match": "missing"}, {"value": np.array([5, 6])}), values)
    assert not run_one("is_missing", values, {"match": "missing", "dtype": "f64"}).any()


@pytest.mark.parametrize(
    ("match", "filled"),
    [("missing", {"none", "nan", "null"}), ("none", {"none", "null"}), ("nan", {"nan", "null"}), ("value", {"?"})],
)
def test_fill_and_is_missing_of_strings(match: str, filled: set[str]) -> None:
    kinds = {"none": None, "nan": float("nan"), "?": "?", "": "", "??": "??", "long": "x" * 1000}
    names = list(kinds) * 100
    constants: dict[str, Any] = {"match_value": ["?"]} if match == "value" else {}
    for fill in ("", "grün"):
        graph = Graph()
        column = graph.column(np.array([kinds[name] for name in names], dtype=object), distinguishes=True)
        found = graph.run(graph.node("fill", [column], {"match": match}, {"value": [fill], **constants}))
        for name, value in zip(names, found[:, 0], strict=True):
            expected = fill if name in filled else kinds[name]
            assert value == expected or (value != value and expected != expected)
    graph = Graph()
    column = graph.column(np.array([kinds[name] for name in names], dtype=object), distinguishes=True)
    found = graph.run(graph.node("is_missing", [column], {"match": match, "dtype": "f64"}, constants))
    assert_same(found[:, 0], np.array([float(name in filled) for name in names]))


# -- bins -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("out", ["f64", "f32", "i32"])
def test_bin(dtype: Any, side: str, out: str) -> None:
    rng = np.random.default_rng(6)
    counts = [0, 1, 2, 3, 5, 11, 12, 13, 16, 31, 64, 255, 1000]
    cuts = [np.sort(rng.choice(sample(np.float64, 1, seed=count).ravel(), count)) for count in counts]
    cuts = [cut[~np.isnan(cut)] for cut in cuts]
    values = np.column_stack(
        [np.concatenate([edges(dtype), rng.choice(np.append(cut, 0.5), 900).astype(dtype)]) for cut in cuts]
    )
    expected = np.column_stack([np.searchsorted(cut, values[:, i], side=side) for i, cut in enumerate(cuts)])
    constants = {"offsets": np.cumsum([0, *map(len, cuts)]), "edges": np.concatenate(cuts)}
    assert_same(run_one("bin", values, {"side": side, "dtype": out}, constants), expected.astype(NUMPY[out]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_interp(dtype: Any, count: int) -> None:
    rng = np.random.default_rng(count)
    x = np.sort(rng.normal(size=count))
    y = rng.normal(size=count)
    values = np.concatenate([edges(dtype), x.astype(dtype), rng.normal(size=600).astype(dtype)])[:, None]
    found = run_one("interp", values, None, {"x": x, "y": y})
    assert_same(found, np.interp(values, x, y).astype(dtype))
    if count > 2:
        x[0], x[-1], x[1] = -np.inf, np.inf, x[2]
        assert_same(run_one("interp", values, None, {"x": x, "y": y}), np.interp(values, x, y).astype(dtype))


def test_interp_of_float32_points_is_isotonic_regression() -> None:
    rng = np.random.default_rng(7)
    X = rng.normal(size=300).astype(np.float32)
    model = IsotonicRegression(out_of_bounds="clip").fit(X, X + rng.normal(size=300).astype(np.float32))
    x, y = model.X_thresholds_, model.y_thresholds_
    assert x.dtype == y.dtype == np.float32
    values = np.concatenate([x, np.nextafter(x, np.float32(9)), rng.normal(size=900).astype(np.float32) * 2])
    assert_same(run_one("interp", values[:, None], None, {"x": x, "y": y})[:, 0], model.predict(values))
