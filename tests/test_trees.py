"""`trees` against a walk in plain Python that says what docs/design/0001 and kernels/forest.h mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mlcore import _core
from mlcore.errors import ProgramError

ZERO = float(np.float32(1e-35))
MAX_CATEGORY = 1 << 24
Array = npt.NDArray[Any]


@dataclass
class Forest:
    """Attributes and constants of a `trees` node."""

    attributes: dict[str, Any]
    constants: dict[str, Array]
    width: int
    block: type[np.floating[Any]]
    trees: int = field(init=False)

    def __post_init__(self) -> None:
        self.trees = len(self.constants["tree_offsets"]) - 1


def build(forest: Forest, *, columns: int | None = None) -> _core.Model:
    """Build a model of `columns` float columns (one per feature) whose decision_function is the forest's value."""
    builder = _core.ProgramBuilder()
    single = forest.block is np.float32
    count = forest.width if columns is None else columns
    inputs = []
    for i in range(count):
        builder.set_column(i, f"x{i}", "float32" if single else "float64", True, False)
        inputs.append(builder.add("column", "m", [], {"column": i, "dtype": "f32" if single else "f64"}, {})[0])
    value = builder.add("concat", "m", inputs, {}, {})[0]
    if count != forest.width:
        value = builder.add("select", "m", [value], {}, {"indices": np.arange(forest.width) % count})[0]
    result, dtype, width = builder.add("trees", "m", [value], forest.attributes, forest.constants)
    names = [f"y{i}" for i in range(width)]
    numpy_dtype = {"f64": "float64", "f32": "float32", "i64": "int64"}[dtype]
    builder.add_output("decision_function", -1, result, numpy_dtype, False, names, None)
    return builder.finish()


def run(model: _core.Model, X: Array) -> Array:
    batch = _core.matrix_batch(X, [f"x{i}" for i in range(X.shape[1])])
    return np.asarray(model.run([batch], [0])[0])


def goes_left(forest: Forest, node: int, x: float) -> bool:
    """Decide one split, as the tables in kernels/forest.h say."""
    c, a = forest.constants, forest.attributes
    missing = int(c["missing"][node])
    words = int(c["category_words"][node]) if "category_words" in c else 0
    if words == 0:
        if missing == 2 and math.isnan(x):
            x = 0.0
        if math.isnan(x) or (missing >= 4 and abs(x) <= ZERO):
            return missing in (1, 5)
        threshold = float(c["threshold"][node])
        return x < threshold if a["compare"] == "lt" else x <= threshold
    start = int(c["category_offset"][node])
    rule = a["category_rule"]
    if rule == "sklearn":
        words //= 2

    def member(category: int, first: int) -> bool:
        return category < 32 * words and bool(int(c["category_bits"][first + category // 32]) >> (category % 32) & 1)

    if rule == "lightgbm":
        if math.isnan(x) or not math.isfinite(x) or math.trunc(x) < 0:
            return False
        return member(math.trunc(x), start)
    if math.isnan(x):
        return missing == 1
    if rule == "xgboost":
        return x < 0 or x >= MAX_CATEGORY or not member(math.trunc(x), start)
    if x < 0 or not math.isfinite(x):
        return missing == 1
    category = math.trunc(x)
    if member(category, start):
        return True
    return missing == 1 if not member(category, start + words) else False


def leaf_value(forest: Forest, leaf: int, row: Array) -> Any:
    c = forest.constants
    value = c["leaf_values"][leaf]
    if "linear_offsets" not in c:
        return value
    total = np.float64(c["linear_const"][leaf])
    for i in range(int(c["linear_offsets"][leaf]), int(c["linear_offsets"][leaf + 1])):
        x = np.float64(row[int(c["linear_feature"][i])])
        if np.isnan(x):
            return value
        if abs(x) <= ZERO and forest.attributes.get("linear_tiny", "zero") == "zero":
            x = np.float64(0)
        total = total + c["linear_coef"][i] * x
    return total


def expected(forest: Forest, X: Array) -> Array:
    """Walk every row through every tree."""
    c, a = forest.constants, forest.attributes
    ids = a.get("result") == "leaf"
    dtype = c["leaf_values"].dtype
    out = np.empty((len(X), forest.trees), np.int64) if ids else np.empty((len(X), a["outputs"]), dtype)
    for r, row in enumerate(X):
        total = c["base"].copy()
        for t in range(forest.trees):
            first = int(c["tree_offsets"][t])
            node = 0
            while c["feature"][first + node] >= 0:
                left = goes_left(forest, first + node, float(row[c["feature"][first + node]]))
                node = int(c["left" if left else "right"][first + node])
            if ids:
                out[r, t] = c["leaf_id"][first + node] if "leaf_id" in c else node
            elif a["vector_leaf"]:
                total += leaf_value(forest, int(c["leaf"][first + node]), row)
            else:
                total[c["tree_output"][t]] += leaf_value(forest, int(c["leaf"][first + node]), row)
        if not ids:
            out[r] = total / c["divisor"] if "divisor" in c else total
    return out


def special_values(dtype: type[np.floating[Any]]) -> Array:
    """Numbers whose order or sign is easily got wrong, with their neighbours."""
    info = np.finfo(dtype)
    points = [0.0, -0.0, info.tiny, -info.tiny, info.smallest_subnormal, -info.smallest_subnormal, info.max, info.min]
    points += [1.0, -1.0, 0.1, 1e-35, -1e-35, ZERO, -ZERO, 3.0, 2.5, 1e30, -1e30]
    base = np.array(points, dtype)
    with np.errstate(over="ignore", under="ignore"):
        return np.concatenate([base, np.nextafter(base, dtype(np.inf)), np.nextafter(base, dtype(-np.inf))])


@dataclass
class Shape:
    """What kind of forest to draw."""

    block: type[np.floating[Any]] = np.float64
    threshold: type[np.floating[Any]] = np.float64
    leaf: type[np.floating[Any]] = np.float64
    compare: str = "le"
    trees: int = 13
    depth: int = 6
    outputs: int = 1
    width: int = 5
    missing: tuple[int, ...] = (0, 1)
    rule: str = "none"
    vector: bool = False
    divisor: bool = False
    linear: bool = False
    chain: bool = False
    ids: bool = False
    tiny: str = "zero"


def draw(shape: Shape, rng: np.random.Generator) -> Forest:
    """Draw a forest; nodes are numbered breadth first, so children follow their parents."""
    thresholds = np.concatenate([special_values(shape.threshold), rng.normal(size=30).astype(shape.threshold)])
    if shape.threshold is not shape.block:
        narrow = special_values(shape.block).astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            beside = [np.nextafter(narrow, np.inf), np.nextafter(narrow, -np.inf)]
        thresholds = np.concatenate([thresholds, narrow, *beside, [1e300, -1e300, 5e-324, -5e-324]])
    thresholds = np.concatenate([thresholds, np.array([np.inf, -np.inf], shape.threshold)])
    keys = ("feature", "threshold", "left", "right", "missing", "category_offset", "category_words", "leaf", "leaf_id")
    nodes: dict[str, list[Any]] = {key: [] for key in keys}
    bits: list[Array] = []
    words_used = leaves = 0
    offsets = [0]
    for _ in range(shape.trees):
        depth_of = [0]
        chain_end = 0
        for at, depth in enumerate(depth_of):
            if shape.chain:
                split = at == chain_end and depth < shape.depth
            else:
                split = depth < shape.depth and (depth == 0 or rng.random() < 0.8)
            row: dict[str, Any] = dict.fromkeys(keys, 0)
            row["leaf_id"] = int(rng.integers(1000))
            if split:
                row["feature"] = int(rng.integers(shape.width))
                row["threshold"] = rng.choice(thresholds)
                row["missing"] = int(rng.choice(shape.missing))
                row["left"], row["right"] = len(depth_of), len(depth_of) + 1
                chain_end = int(rng.integers(row["left"], row["right"] + 1))
                depth_of += [depth + 1] * 2
                if shape.rule != "none" and rng.random() < 0.5:
                    count = int(rng.integers(1, 4)) * (2 if shape.rule == "sklearn" else 1)
                    row["missing"] = int(rng.integers(2))
                    row["category_offset"], row["category_words"] = words_used, count
                    bits.append(rng.integers(0, 2**32, count, dtype=np.uint32))
                    words_used += count
            else:
                row["feature"] = row["left"] = row["right"] = -1
                row["leaf"] = leaves
                leaves += 1
            for key in keys:
                nodes[key].append(row[key])
        offsets.append(offsets[-1] + len(depth_of))
    dtypes = {"threshold": shape.threshold, "missing": np.uint8}
    constants = {key: np.array(nodes[key], dtypes.get(key, np.int32)) for key in keys}
    leaf_shape = (leaves, shape.outputs) if shape.vector else (leaves,)
    constants["leaf_values"] = rng.normal(size=leaf_shape).astype(shape.leaf)
    constants["base"] = rng.normal(size=shape.outputs).astype(shape.leaf)
    constants["tree_offsets"] = np.array(offsets, np.int64)
    constants["tree_output"] = rng.integers(0, shape.outputs, shape.trees).astype(np.int32)
    if shape.divisor:
        constants["divisor"] = np.array([shape.trees], shape.leaf)
    if shape.rule == "none":
        del constants["category_offset"], constants["category_words"]
    else:
        constants["category_bits"] = np.concatenate([*bits, np.zeros(1, np.uint32)])
    if shape.linear:
        sizes = rng.integers(0, 4, leaves)
        constants["linear_offsets"] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        constants["linear_feature"] = rng.integers(0, shape.width, sizes.sum()).astype(np.int32)
        constants["linear_coef"] = rng.normal(size=sizes.sum()) * rng.choice([1.0, 1e36], sizes.sum())
        constants["linear_const"] = rng.normal(size=leaves)
    attributes = {
        "outputs": shape.outputs,
        "compare": shape.compare,
        "categories": {"none": "none", "xgboost": "right"}.get(shape.rule, "left"),
        "category_rule": shape.rule,
        "vector_leaf": shape.vector,
        "result": "leaf" if shape.ids else "sum",
    }
    if shape.linear:
        attributes["linear_tiny"] = shape.tiny
    return Forest(attributes, constants, shape.width, shape.block)


def rows_for(forest: Forest, rng: np.random.Generator, count: int) -> Array:
    """Rows at, beside and away from the thresholds, with missing values, infinities and odd categories."""
    dtype = forest.block
    with np.errstate(over="ignore", under="ignore"):
        cuts = forest.constants["threshold"].astype(dtype)
        beside = [np.nextafter(cuts, dtype(np.inf)), np.nextafter(cuts, dtype(-np.inf))]
        odd = np.array([np.nan, np.inf, -np.inf, -1.0, -0.5, 95.5, 96.0, 2.0**24, 2.0**24 - 1, 2.0**31, -(2.0**31)])
        pool = np.concatenate(
            [cuts, *beside, special_values(dtype), odd.astype(dtype), rng.normal(size=40).astype(dtype)]
        )
    pool = np.concatenate([pool, np.arange(100, dtype=dtype), np.full(20, np.nan, dtype)])
    return rng.choice(pool, (count, forest.width)).astype(dtype)


CASES = {
    "f64": Shape(),
    "f64 lt": Shape(compare="lt"),
    "xgboost": Shape(block=np.float32, threshold=np.float32, leaf=np.float32, compare="lt", outputs=3, trees=21),
    "f32 le": Shape(block=np.float32, threshold=np.float32),
    "sklearn trees": Shape(block=np.float32, divisor=True),
    "f64 on f32, lt": Shape(block=np.float32, compare="lt"),
    "lightgbm": Shape(missing=(0, 1, 2, 4, 5), outputs=2),
    "lightgbm on f32": Shape(block=np.float32, missing=(0, 1, 2, 4, 5), compare="lt"),
    "xgboost categories": Shape(block=np.float32, threshold=np.float32, leaf=np.float32, compare="lt", rule="xgboost"),
    "lightgbm categories": Shape(rule="lightgbm", missing=(0, 1, 2, 4, 5)),
    "sklearn categories": Shape(rule="sklearn"),
    "vector leaves": Shape(block=np.float32, vector=True, outputs=4, divisor=True),
    "vector leaves f32": Shape(block=np.float32, threshold=np.float32, leaf=np.float32, vector=True, outputs=2),
    "linear leaves": Shape(linear=True, missing=(0, 1, 2), outputs=2),
    "linear leaves keep": Shape(linear=True, tiny="keep"),
    "linear leaves f32": Shape(block=np.float32, linear=True),
    "chains": Shape(chain=True, depth=40),
    "stumps": Shape(depth=1, trees=70),
    "leaf only": Shape(depth=0, trees=3),
    "no trees": Shape(trees=0),
    "many trees": Shape(trees=150, depth=3, block=np.float32),
    "leaf ids": Shape(ids=True, rule="lightgbm"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_reference_walk(name: str, seed: int) -> None:
    rng = np.random.default_rng([seed, len(name)])
    forest = draw(CASES[name], rng)
    X = rows_for(forest, rng, 150 if CASES[name].trees > 60 else 400)
    with np.errstate(all="ignore"):
        want = expected(forest, X)
    model = build(forest)
    got = run(model, X)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    assert got.tobytes() == want.tobytes()
    for size in (1, 2, 3, 5, 9, 64):
        assert run(model, X[:size]).tobytes() == want[:size].tobytes()


def test_leaf_ids_default_to_node_numbers() -> None:
    rng = np.random.default_rng(7)
    forest = draw(Shape(ids=True), rng)
    del forest.constants["leaf_id"]
    X = rows_for(forest, rng, 50)
    np.testing.assert_array_equal(run(build(forest), X), expected(forest, X))


def test_more_than_one_tile_and_chunk() -> None:
    rng = np.random.default_rng(3)
    forest = draw(Shape(block=np.float32, trees=5, depth=4), rng)
    X = rows_for(forest, rng, 5000)
    model = build(forest)
    whole = run(model, X)
    assert whole[:300].tobytes() == expected(forest, X[:300]).tobytes()
    pieces = [run(model, X[i : i + 777]) for i in range(0, len(X), 777)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def big_tree(nodes: int, width: int, rng: np.random.Generator) -> Forest:
    """One balanced tree, heap numbered."""
    inner = nodes // 2
    index = np.arange(nodes)
    leaf = index >= inner
    constants = {
        "tree_offsets": np.array([0, nodes], np.int64),
        "tree_output": np.zeros(1, np.int32),
        "feature": np.where(leaf, -1, rng.integers(0, width, nodes)).astype(np.int32),
        "threshold": rng.normal(size=nodes).astype(np.float32),
        "left": np.where(leaf, -1, 2 * index + 1).astype(np.int32),
        "right": np.where(leaf, -1, 2 * index + 2).astype(np.int32),
        "missing": np.zeros(nodes, np.uint8),
        "leaf": np.where(leaf, index - inner, 0).astype(np.int32),
        "leaf_values": np.arange(nodes - inner, dtype=np.float32),
        "base": np.zeros(1, np.float32),
    }
    attributes = {"outputs": 1, "compare": "lt", "categories": "none", "category_rule": "none"}
    return Forest({**attributes, "vector_leaf": False, "result": "sum"}, constants, width, np.float32)


def test_more_nodes_than_16_bits() -> None:
    rng = np.random.default_rng(5)
    forest = big_tree(2**17 - 1, 6, rng)
    X = rng.normal(size=(300, 6)).astype(np.float32)
    np.testing.assert_array_equal(run(build(forest), X), expected(forest, X))


def test_more_columns_than_16_bits() -> None:
    rng = np.random.default_rng(6)
    forest = big_tree(2**16 - 1, 40_000, rng)
    forest.constants["feature"][: 2**15 - 1] = rng.permutation(40_000)[: 2**15 - 1]
    X = rng.normal(size=(40, 3)).astype(np.float32)
    wide = X[:, np.arange(40_000) % 3]
    np.testing.assert_array_equal(run(build(forest, columns=3), X), expected(forest, wide))


def deep_chain(depth: int, trees: int = 1) -> Forest:
    """Trees whose even nodes go on to the right; a row leaves at the first threshold that is not below it."""
    nodes = 2 * depth + 1
    index = np.arange(nodes)
    inner = (index % 2 == 0) & (index < 2 * depth)
    constants = {
        "tree_offsets": np.arange(trees + 1) * nodes,
        "tree_output": np.zeros(trees, np.int32),
        "feature": np.tile(np.where(inner, 0, -1), trees).astype(np.int32),
        "threshold": np.tile(index, trees).astype(np.float64),
        "left": np.tile(np.where(inner, index + 1, -1), trees).astype(np.int32),
        "right": np.tile(np.where(inner, index + 2, -1), trees).astype(np.int32),
        "missing": np.zeros(nodes * trees, np.uint8),
        "leaf": np.tile(index, trees).astype(np.int32),
        "leaf_values": index.astype(np.float64),
        "base": np.zeros(1),
    }
    attributes = {"outputs": 1, "compare": "le", "categories": "none", "category_rule": "none"}
    return Forest({**attributes, "vector_leaf": False, "result": "sum"}, constants, 1, np.float64)


@pytest.mark.parametrize("trees", [1, 11])
def test_every_row_reaches_the_end_of_a_chain(trees: int) -> None:
    depth = 300
    X = np.concatenate([np.arange(-1.0, 610.0), [1e9, -1e9]])[:, None]
    want = trees * np.where(X < 0, 1, np.where(X > 598, 600, 2 * np.ceil(X / 2) + 1))
    model = build(deep_chain(depth, trees))
    np.testing.assert_array_equal(run(model, X), want)
    np.testing.assert_array_equal([run(model, row[None])[0] for row in X], want)


def test_depth_limit() -> None:
    X = np.array([[-1.0], [100.5], [1e9]] * 5)
    np.testing.assert_array_equal(run(build(deep_chain(100_000)), X).ravel(), [1.0, 103.0, 200_000.0] * 5)
    with pytest.raises(ProgramError, match="expected a depth of at most 100000"):
        build(deep_chain(100_001))


class Damage:
    """A forest of the kind named, and handles to write nonsense into it."""

    def __init__(self, rule: str) -> None:
        shape = Shape(trees=4, depth=3, outputs=2, rule=rule, linear=True, divisor=True)
        self.forest = draw(shape, np.random.default_rng(11))
        self.c, self.a = self.forest.constants, self.forest.attributes
        self.node = int(np.flatnonzero(self.c["feature"] >= 0)[1])
        self.leaf = int(np.flatnonzero(self.c["feature"] < 0)[0])
        self.split = int(np.flatnonzero((self.c["category_words"] > 0) & (self.c["feature"] >= 0))[0])
        offsets = self.c["tree_offsets"]
        self.first = int(offsets[np.searchsorted(offsets, self.node, "right") - 1])

    def put(self, key: str, where: int, value: Any) -> None:
        self.c[key][where] = value

    def unroot(self) -> None:
        for key, value in (("feature", -1), ("left", -1), ("right", -1), ("category_words", 0)):
            self.put(key, self.first, value)

    def share_bitsets(self) -> None:
        self.c["category_bits"] = self.c["category_bits"][: int(self.c["category_words"].max())]
        self.c["category_offset"][:] = 0

    def narrow(self, *keys: str) -> None:
        for key in keys:
            with np.errstate(over="ignore"):
                self.c[key] = self.c[key].astype(np.float32)


HOSTILE: dict[str, tuple[Callable[[Damage], object], str]] = {
    "child out of the tree": (lambda d: d.put("right", d.node, 10_000), "expected a child above the node"),
    "child negative": (lambda d: d.put("left", d.node, -5), "expected a child above the node"),
    "child is the node": (lambda d: d.put("left", d.node, d.node - d.first), "expected a child above the node"),
    "two parents": (lambda d: d.put("left", d.node, d.c["right"][d.node]), "expected one parent .* found a second"),
    "no parent": (Damage.unroot, "expected one parent of each node but found none"),
    "leaf with children": (lambda d: d.put("left", d.leaf, 1), "expected children -1 and -1 of a leaf"),
    "feature too large": (lambda d: d.put("feature", d.node, 5), "expected a feature below 5 but found 5"),
    "feature below -1": (lambda d: d.put("feature", d.leaf, -2), "expected a feature of -1 or more"),
    "leaf row too large": (lambda d: d.put("leaf", d.leaf, 10_000), "expected a row of 'leaf_values' below"),
    "leaf row negative": (lambda d: d.put("leaf", d.leaf, -1), "expected a row of 'leaf_values' below"),
    "NaN threshold": (lambda d: d.put("threshold", d.node, np.nan), "expected a threshold that is a number"),
    "missing 3": (lambda d: d.put("missing", d.node, 3), "expected missing 0, 1, 2, 4 or 5 but found 3"),
    "missing 2 of categories": (lambda d: d.put("missing", d.split, 2), "expected missing 0 or 1 of a category split"),
    "tree_output too large": (lambda d: d.put("tree_output", 0, 2), r"expected 'tree_output' in \[0, 2\) but found 2"),
    "tree_output negative": (lambda d: d.put("tree_output", 0, -1), r"expected 'tree_output' in \[0, 2\)"),
    "offsets descend": (lambda d: d.put("tree_offsets", 1, 1000), "expected ascending 'tree_offsets'"),
    "empty tree": (lambda d: d.put("tree_offsets", 1, d.c["tree_offsets"][2]), "expected ascending 'tree_offsets'"),
    "offsets start late": (lambda d: d.put("tree_offsets", 0, 1), "expected 'tree_offsets' from 0"),
    "offsets end late": (lambda d: d.put("tree_offsets", -1, 1000), "expected 'tree_offsets' from 0"),
    "offsets overflow": (lambda d: d.put("tree_offsets", 1, -(2**62)), "expected ascending 'tree_offsets'"),
    "no offsets": (
        lambda d: d.c.update(tree_offsets=np.zeros(0, np.int64), tree_output=np.zeros(0, np.int32)),
        "expected at least 1 element in constant 'tree_offsets'",
    ),
    "bitset beyond the pool": (lambda d: d.put("category_offset", d.split, 1000), "of 'category_bits' but found them"),
    "bitset before the pool": (lambda d: d.put("category_offset", d.split, -1), "of 'category_bits' but found them"),
    "bitset too long": (lambda d: d.put("category_words", d.split, 2**19), "of 'category_bits' but found them"),
    "too many categories": (
        lambda d: d.put("category_words", d.split, 2**19 + 1),
        "expected at most 16777216 categories",
    ),
    "negative words": (lambda d: d.put("category_words", d.split, -1), "expected category words of 0 or more"),
    "sklearn: half a set": (lambda d: d.put("category_words", d.split, 3), "in whole words"),
    "shared bitsets": (Damage.share_bitsets, "expected bitsets of their own"),
    "no rule": (lambda d: d.a.update(category_rule="none", categories="none"), "without a category rule"),
    "side against the rule": (lambda d: d.a.update(categories="left"), "expected attribute 'categories' to be 'right'"),
    "category words in a leaf": (lambda d: d.put("category_words", d.leaf, 1), "category words in a leaf"),
    "linear offsets descend": (lambda d: d.put("linear_offsets", 1, 1000), "expected ascending 'linear_offsets'"),
    "linear offsets end late": (lambda d: d.put("linear_offsets", -1, 1000), "expected 'linear_offsets' from 0"),
    "linear feature too large": (lambda d: d.put("linear_feature", 0, 5), "expected features of 'linear_feature' in"),
    "linear coefficients short": (
        lambda d: d.c.update(linear_coef=d.c["linear_coef"][:-1]),
        "in constant 'linear_coef'",
    ),
    "linear on float32 leaves": (
        lambda d: d.narrow("leaf_values", "base", "divisor"),
        "expected f64 scalar 'leaf_values' beside linear leaves",
    ),
    "vector leaves, wrong width": (
        lambda d: d.a.update(vector_leaf=True),
        r"expected constant 'leaf_values' of shape \[n, 2\]",
    ),
    "matrix of scalar leaves": (
        lambda d: d.c.update(leaf_values=d.c["leaf_values"][:, None]),
        "expected constant 'leaf_values' with 1 axis",
    ),
    "base of another type": (lambda d: d.narrow("base"), "expected constant 'base' of type f64"),
    "base too short": (lambda d: d.c.update(base=np.zeros(1)), "expected 2 elements in constant 'base' but found 1"),
    "no outputs": (lambda d: d.a.update(outputs=0), "expected at least 1 output but found 0"),
    "left too short": (lambda d: d.c.update(left=d.c["left"][:-1]), "in constant 'left'"),
    "unknown constant": (lambda d: d.c.update(weights=np.zeros(1)), "expected no constant"),
    "unknown attribute": (lambda d: d.a.update(speed="high"), "expected no attribute"),
    "narrow threshold": (lambda d: d.narrow("threshold"), "expected constant 'threshold' of type"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arrays_are_refused(name: str) -> None:
    damage = Damage("sklearn" if name.startswith("sklearn") else "xgboost")
    build(damage.forest)
    spoil, message = HOSTILE[name]
    spoil(damage)
    with pytest.raises(ProgramError, match=message):
        build(damage.forest)


@pytest.mark.parametrize("seed", range(5))
def test_random_damage_never_crashes(seed: int) -> None:
    """A forest with random numbers written into it is refused or computes what the reference computes."""
    rng = np.random.default_rng(seed)
    refused = 0
    for _ in range(60):
        forest = draw(Shape(trees=3, depth=3, rule="lightgbm", missing=(0, 1, 2)), rng)
        arrays = ["tree_offsets", "feature", "left", "right", "missing", "category_offset", "category_words", "leaf"]
        for key in rng.choice(arrays, 2):
            values = forest.constants[key]
            values[rng.integers(len(values))] = rng.integers(0, 8) if values.dtype == np.uint8 else rng.integers(-3, 40)
        X = rows_for(forest, rng, 20)
        try:
            model = build(forest)
        except ProgramError:
            refused += 1
            continue
        assert run(model, X).tobytes() == expected(forest, X).tobytes()
    assert 0 < refused < 60


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trees_larger_than_the_cache(dtype: type[np.floating[Any]]) -> None:
    """They are walked in chunks of thousands of rows; every size of batch gives the same bits."""
    rng = np.random.default_rng(0)
    depth, trees, width = 14, 2, 6
    nodes, inner = 2 ** (depth + 1) - 1, 2**depth - 1
    at = np.arange(nodes)
    feature = np.where(at < inner, rng.integers(0, width, (trees, nodes)), -1).astype(np.int32)
    threshold = rng.normal(size=(trees, nodes)).astype(dtype)
    left = np.tile(np.where(at < inner, 2 * at + 1, -1), trees).astype(np.int32)
    leaf = np.where(at >= inner, at - inner, 0) + np.arange(trees)[:, None] * (inner + 1)
    values = rng.normal(size=trees * (inner + 1))
    constants = {
        "tree_offsets": np.arange(trees + 1) * nodes,
        "tree_output": np.zeros(trees, np.int32),
        "feature": feature.ravel(),
        "threshold": threshold.ravel(),
        "left": left,
        "right": np.where(left >= 0, left + 1, -1).astype(np.int32),
        "missing": np.zeros(trees * nodes, np.uint8),
        "leaf": leaf.ravel().astype(np.int32),
        "leaf_values": values,
        "base": np.zeros(1),
    }
    attributes = {"outputs": 1, "compare": "le", "vector_leaf": False, "result": "sum"}
    model = build(Forest(attributes, constants, width, dtype))
    X = rng.normal(size=(9_000, width)).astype(dtype)
    X[rng.random(X.shape) < 0.02] = np.nan
    expected = np.zeros(len(X))
    for tree in range(trees):
        place = np.zeros(len(X), np.int64)
        for _ in range(depth):
            goes_left = X[np.arange(len(X)), feature[tree, place]] <= threshold[tree, place]
            place = 2 * place + np.where(goes_left, 1, 2)
        expected += values[leaf[tree, place]]
    for threads in (1, 3):
        model.threads = threads
        for rows in (1, 5, 511, 513, 1_300, 9_000):
            assert run(model, X[:rows]).ravel().tobytes() == expected[:rows].tobytes()
