"""An XGBoost booster as plain arrays, read from the bytes that the library itself writes.

The UBJSON form is read, not the JSON text: it stores every float32 as its four bytes, so nothing is parsed from
decimal digits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BoosterModel", "Categories", "Forest", "Malformed", "build_forest", "read_booster", "read_ubjson"]

Array = npt.NDArray[Any]

_SCALARS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
# Value::ValueKind of the library's json.h for the integer arrays; floating point categories are refused there too
_CATEGORICAL = 1


class Malformed(ValueError):
    """The model holds something that this reader does not know; the text says what."""


# -- UBJSON ---------------------------------------------------------------------------------------------------------


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        start, self.position = self.position, self.position + count
        if count < 0 or self.position > len(self.data):
            raise Malformed("the model's bytes end early")
        return self.data[start : self.position]

    def peek(self) -> bytes:
        return self.data[self.position : self.position + 1]

    def length(self) -> int:
        if self.take(1) != b"L":
            raise Malformed("expected a 64-bit length in the model's bytes")
        return int(struct.unpack(">q", self.take(8))[0])

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8")

    def value(self) -> Any:
        marker = self.take(1)
        if marker in _SCALARS:
            form = _SCALARS[marker]
            return struct.unpack(form, self.take(struct.calcsize(form)))[0]
        if marker == b"{":
            out: dict[str, Any] = {}
            while self.peek() != b"}":
                key = self.text()
                out[key] = self.value()
            self.take(1)
            return out
        if marker == b"[":
            return self.array()
        if marker == b"S":
            return self.text()
        if marker in b"TFZ":
            return {b"T": True, b"F": False, b"Z": None}[marker]
        raise Malformed(f"unknown marker {marker!r} in the model's bytes")

    def array(self) -> Any:
        if self.peek() == b"$":
            self.take(1)
            form = _SCALARS.get(kind := self.take(1))
            if form is None or self.take(1) != b"#":
                raise Malformed(f"unknown array type {kind!r} in the model's bytes")
            dtype = np.dtype({">b": "i1", ">B": "u1"}.get(form, form.replace("h", "i2").replace("q", "i8")))
            if form in (">i", ">f", ">d"):
                dtype = np.dtype({">i": ">i4", ">f": ">f4", ">d": ">f8"}[form])
            count = self.length()
            return np.frombuffer(self.take(count * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))
        if self.peek() == b"#":
            self.take(1)
            return [self.value() for _ in range(self.length())]
        items = []
        while self.peek() != b"]":
            items.append(self.value())
        self.take(1)
        return items


def read_ubjson(data: bytes) -> Any:
    """The document in ``data``; typed arrays become ndarrays of the native byte order."""
    return _Reader(data).value()


# -- the booster ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Categories:
    """Categories of one feature in code order: list of str, or an integer array."""

    values: list[str] | Array


@dataclass(frozen=True)
class BoosterModel:
    """A booster's prediction-time state.

    Attributes
    ----------
    version : tuple of int
        The library that holds the booster in memory: it writes the bytes with its own version.
    kind : str
        ``"gbtree"`` or ``"gblinear"``; DART is ``"gbtree"`` with `tree_weights`.
    objective : dict
        ``{"name": ..., <parameters>}`` as the library saves it.
    outputs : int
        Columns of the margin.
    rounds : list of int
        First tree of every boosting round, and the number of trees.
    tree_weights : float32 ndarray or None
        DART weight per tree.
    categories : list of Categories or None
        Per feature; all None when the model stores none.
    weights : float32 ndarray or None
        gblinear: (features + 1, outputs), the bias last.
    raw : dict
        The document.
    """

    version: tuple[int, int, int]
    kind: str
    objective: dict[str, Any]
    features: int
    outputs: int
    feature_names: list[str] | None
    feature_types: list[str] | None
    best_iteration: int | None
    rounds: list[int]
    trees: list[dict[str, Any]]
    tree_output: list[int]
    tree_weights: Array | None
    categories: list[Categories | None]
    weights: Array | None
    raw: dict[str, Any]


def read_booster(booster: Any) -> BoosterModel:
    """Everything that prediction needs, from ``booster.save_raw("ubj")``.

    Raises
    ------
    Malformed
        If the document holds something unknown.
    """
    try:
        data = bytes(booster.save_raw("ubj"))
    except ValueError as error:  # XGBoostError is one
        raise Malformed("XGBoost itself cannot save the booster; it may not be trained") from error
    try:
        return _booster_model(read_ubjson(data))
    except KeyError as error:
        raise Malformed(f"the model has no {error}, which XGBoost 3.0 and later write") from error


def _booster_model(raw: dict[str, Any]) -> BoosterModel:
    learner = raw["learner"]
    parameters = learner["learner_model_param"]
    gradient_booster = learner["gradient_booster"]
    name = gradient_booster["name"]
    features = int(parameters["num_feature"])
    outputs = max(int(parameters["num_class"]), int(parameters.get("num_target", "1")), 1)
    best = learner["attributes"].get("best_iteration")
    rounds: list[int] = [0]
    trees: list[dict[str, Any]] = []
    tree_output: list[int] = []
    tree_weights = weights = None
    categories: list[Categories | None] = [None] * features
    if name == "gblinear":
        weights = np.asarray(gradient_booster["model"]["weights"], dtype=np.float32)
        if weights.size != (features + 1) * outputs:
            raise Malformed(f"expected {(features + 1) * outputs} linear weights but found {weights.size}")
        weights = weights.reshape(features + 1, outputs)
    elif name in ("gbtree", "dart"):
        holder = gradient_booster["gbtree"] if name == "dart" else gradient_booster
        model = holder["model"]
        trees = sorted(model["trees"], key=lambda tree: int(tree["id"]))
        tree_output = [int(output) for output in model["tree_info"]]
        if "iteration_indptr" not in model:
            raise Malformed("the model does not say which trees belong to which round")
        rounds = [int(first) for first in model["iteration_indptr"]]
        if "weight_drop" in gradient_booster:
            tree_weights = np.asarray(gradient_booster["weight_drop"], dtype=np.float32)
        if not len(trees) == len(tree_output) == rounds[-1] or (
            tree_weights is not None and tree_weights.size != len(trees)
        ):
            raise Malformed("trees, rounds and tree weights of the model disagree in number")
        stored = model.get("cats", {}).get("enc", [])
        if stored:
            categories = [_categories(column) for column in stored]
    else:
        raise Malformed(f"unknown booster {name!r}")
    return BoosterModel(
        version=tuple(int(part) for part in raw["version"]),  # type: ignore[arg-type]
        kind="gblinear" if name == "gblinear" else "gbtree",
        objective=learner["objective"],
        features=features,
        outputs=outputs,
        feature_names=list(learner["feature_names"]) or None,
        feature_types=list(learner["feature_types"]) or None,
        best_iteration=None if best is None else int(best),
        rounds=rounds,
        trees=trees,
        tree_output=tree_output,
        tree_weights=tree_weights,
        categories=categories,
        weights=weights,
        raw=raw,
    )


def _categories(column: dict[str, Any]) -> Categories | None:
    values = np.asarray(column["values"])
    if "offsets" not in column:
        return Categories(values) if values.size else None
    offsets = [int(offset) for offset in column["offsets"]]
    if len(offsets) <= 1:
        return None
    data = values.astype(np.int8).tobytes()
    # the pandas path of XGBoost < 3.4 counts characters where it stores bytes, so that such names are cut apart
    if not data.isascii():
        raise Malformed("categories with characters outside ASCII, which XGBoost before 3.4 stores wrongly from pandas")
    return Categories([data[start:end].decode("ascii") for start, end in pairwise(offsets)])


# -- trees ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Forest:
    """Trees as the constants of the ``trees`` op, named alike."""

    constants: dict[str, Array]
    vector_leaf: bool
    ids: Array  # per node: the library's number

    def attributes(self, outputs: int, result: str = "sum") -> dict[str, bool | int | str]:
        """The attributes beside them."""
        categorical = "category_bits" in self.constants
        return {
            "outputs": outputs,
            "compare": "lt",
            "categories": "right" if categorical else "none",
            "category_rule": "xgboost" if categorical else "none",
            "vector_leaf": self.vector_leaf,
            "result": result,
        }


def build_forest(model: BoosterModel, first: int, last: int, scaled: Any) -> Forest:
    """Trees ``first`` to ``last`` (half open) laid out for the ``trees`` op.

    Parameters
    ----------
    scaled : callable
        ``scaled(tree, leaves)`` gives the float32 leaf values as the library adds them.

    Raises
    ------
    Malformed
        If a tree is not one that the library could have predicted with.
    """
    chunks: dict[str, list[Array]] = {}
    offsets = [0]
    bits: list[Array] = []
    words = leaves = 0
    vector_leaf = int(model.trees[first]["tree_param"]["size_leaf_vector"]) > 1
    for position in range(first, last):
        tree = model.trees[position]
        if (int(tree["tree_param"]["size_leaf_vector"]) > 1) != vector_leaf:
            raise Malformed("the model mixes trees with scalar and with vector leaves")
        left, right, kept = _structure(tree)
        inner = left >= 0
        leaf_values = _leaf_values(tree, kept, inner, model.outputs if vector_leaf else 1)
        leaf_row = np.full(len(kept), -1, dtype=np.int32)
        leaf_row[~inner] = leaves + np.arange(np.count_nonzero(~inner))
        leaves += len(leaf_values)
        feature = np.asarray(tree["split_indices"]).astype(np.int64)[kept]
        if inner.any() and not 0 <= feature[inner].min() <= feature[inner].max() < model.features:
            raise Malformed(f"a split reads a feature outside the {model.features} of the model")
        categorical = inner & (np.asarray(tree.get("split_type", np.zeros(0)), dtype=np.int64)[kept] == _CATEGORICAL)
        threshold = np.where(inner & ~categorical, np.asarray(tree["split_conditions"], np.float32)[kept], 0)
        offset, count, tree_bits = _bitsets(tree, kept, categorical, words)
        bits.append(tree_bits)
        words += len(tree_bits)
        offsets.append(offsets[-1] + len(kept))
        for name, array, dtype in (
            ("feature", np.where(inner, feature, -1), np.int32),
            ("threshold", threshold, np.float32),
            ("left", left, np.int32),
            ("right", right, np.int32),
            ("missing", inner & (np.asarray(tree["default_left"])[kept] == 1), np.uint8),
            ("category_offset", offset, np.int32),
            ("category_words", count, np.int32),
            ("leaf", leaf_row, np.int32),
            ("ids", kept, np.int32),
            ("leaf_values", scaled(position, leaf_values), np.float32),
        ):
            chunks.setdefault(name, []).append(np.asarray(array, dtype=dtype))
    constants = {name: np.concatenate(arrays) for name, arrays in chunks.items()}
    ids = constants.pop("ids")
    constants["tree_offsets"] = np.asarray(offsets, dtype=np.int64)
    constants["category_bits"] = np.concatenate(bits).astype(np.uint32)
    if vector_leaf:
        constants["tree_output"] = np.zeros(last - first, dtype=np.int32)
    else:
        constants["leaf_values"] = constants["leaf_values"].reshape(-1)
        constants["tree_output"] = np.asarray(model.tree_output[first:last], dtype=np.int32)
    if not words:
        for name in ("category_offset", "category_words", "category_bits"):
            del constants[name]
    if not np.isfinite(constants["leaf_values"]).all():
        raise Malformed("a leaf value is not finite")
    return Forest(constants, vector_leaf, ids)


def _structure(tree: dict[str, Any]) -> tuple[Array, Array, Array]:
    """Children per kept node (-1 for leaves) and the library's ids of the kept nodes, parents before children."""
    left = np.asarray(tree["left_children"], dtype=np.int64)
    right = np.asarray(tree["right_children"], dtype=np.int64)
    count = len(left)
    inner = left >= 0
    ids = np.flatnonzero(inner)
    # the predictor goes to `left + 1` without looking at `right`
    if (right[ids] != left[ids] + 1).any() or (right[ids] >= count).any():
        raise Malformed("a tree whose children are not neighbours")
    reached = 1 + 2 * len(ids)
    if reached == count and (left[ids] > ids).all():
        if len(np.unique(left[ids])) != len(ids):
            raise Malformed("a tree in which a node has two parents")
        return np.where(inner, left, -1), np.where(inner, right, -1), np.arange(count)
    # pruned trees keep deleted nodes: number the reachable ones again
    kept = [0]
    for node in kept:
        if left[node] >= 0:
            kept += [int(left[node]), int(right[node])]
        if len(kept) > count:
            raise Malformed("a tree in which a node has two parents")
    order = np.asarray(kept, dtype=np.int64)
    renumbered = np.full(count, -1, dtype=np.int64)
    renumbered[order] = np.arange(len(order))
    inner = left[order] >= 0
    return np.where(inner, renumbered[left[order]], -1), np.where(inner, renumbered[right[order]], -1), order


def _leaf_values(tree: dict[str, Any], kept: Array, inner: Array, width: int) -> Array:
    leaf_ids = kept[~inner]
    if int(tree["tree_param"]["size_leaf_vector"]) <= 1:
        return np.asarray(tree["split_conditions"], dtype=np.float32)[leaf_ids].reshape(-1, 1)
    if "leaf_weights" in tree:
        # 3.2 and later: the right child of a leaf is its row
        rows = np.asarray(tree["right_children"], dtype=np.int64)[leaf_ids]
        return np.asarray(tree["leaf_weights"], dtype=np.float32).reshape(-1, width)[rows]
    return np.asarray(tree["base_weights"], dtype=np.float32).reshape(-1, width)[leaf_ids]


def _bitsets(tree: dict[str, Any], kept: Array, categorical: Array, start: int) -> tuple[Array, Array, Array]:
    """First word and word count per node, and the words: bit b of word i is category 32 i + b."""
    offset = np.zeros(len(kept), dtype=np.int32)
    count = np.zeros(len(kept), dtype=np.int32)
    words: list[Array] = []
    if categorical.any():
        nodes = np.asarray(tree["categories_nodes"], dtype=np.int64)
        segments = np.asarray(tree["categories_segments"], dtype=np.int64)
        sizes = np.asarray(tree["categories_sizes"], dtype=np.int64)
        values = np.asarray(tree["categories"], dtype=np.int64)
        place = {int(node): position for position, node in enumerate(nodes)}
        for index in np.flatnonzero(categorical):
            position = place[int(kept[index])]
            chosen = values[segments[position] : segments[position] + sizes[position]]
            if not chosen.size or chosen.min() < 0:
                raise Malformed("a categorical split without categories")
            bitset = np.zeros(int(chosen.max()) // 32 + 1, dtype=np.uint32)
            np.bitwise_or.at(bitset, chosen // 32, (1 << (chosen % 32)).astype(np.uint32))
            offset[index], count[index] = start, len(bitset)
            start += len(bitset)
            words.append(bitset)
    return offset, count, np.concatenate(words) if words else np.zeros(0, dtype=np.uint32)
