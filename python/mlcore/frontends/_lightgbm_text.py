"""LightGBM's text model: the parser, and the constants of a ``trees`` op built from it.

The text that a live booster prints is exact for everything that predictions read (``%.17g`` for thresholds, leaf
values and linear coefficients), with one exception, the ``sigmoid`` of the objective (``%g``).
Source: LightGBM 4.7 ``src/io/tree.cpp`` (``Tree::ToString``), ``src/boosting/gbdt_model_text.cpp``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ZERO_BAND", "Forest", "TextModel", "atof", "build_forest", "parse_model"]

# meta.h: kZeroThreshold = 1e-35f, a double with a float's value
ZERO_BAND = float(np.float32(1e-35))

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_NONE, _MISSING_ZERO, _MISSING_NAN = 0, 1, 2
_MAX_WORDS = 2**19  # the op's limit: 2**24 categories


@dataclass(frozen=True)
class TextModel:
    """A parsed text model.

    Attributes
    ----------
    header : dict of str to str
        Lines before the first tree; a line without ``=`` maps to an empty string.
    trees : list of dict
        The lines of every tree, in order.
    parameters : dict of str to str
        The ``parameters:`` section.
    """

    header: dict[str, str]
    trees: list[dict[str, str]]
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Trees per iteration, which is the number of raw outputs."""
        return int(self.header["num_tree_per_iteration"])

    @property
    def features(self) -> int:
        return int(self.header["max_feature_idx"]) + 1

    @property
    def objective(self) -> list[str]:
        """Name of the objective and its options (``["binary", "sigmoid:1"]``); empty for a custom one."""
        return self.header.get("objective", "").split()

    @property
    def averages(self) -> bool:
        """Whether predictions divide by the number of iterations (``boosting=rf``)."""
        return "average_output" in self.header

    @property
    def categorical_features(self) -> set[int]:
        """Features split by category, as far as the text says."""
        listed = self.parameters.get("categorical_feature", "")
        out = {int(index) for index in listed.split(",") if index.strip().isdigit()}
        for index, text in enumerate(self.header.get("feature_infos", "").split(" ")):
            if text != "none" and not text.startswith("["):
                out.add(index)
        return out

    def codes_below(self, feature: int, count: int) -> bool:
        """Whether a feature can hold the codes -1 to ``count - 1``, by the values that training saw."""
        infos = self.header.get("feature_infos", "").split(" ")
        text = infos[feature].strip("[]") if feature < len(infos) else "none"
        if text in ("none", ""):
            return True
        seen = [float(part) for part in text.split(":")]
        return all(value.is_integer() and -1 <= value < count for value in seen)


@dataclass(frozen=True)
class Forest:
    """Attributes and constants of one ``trees`` op."""

    attributes: dict[str, bool | int | str]
    constants: dict[str, npt.NDArray[Any]]
    leaf_ids: npt.NDArray[np.int32]  # per node: of a leaf, its number in its tree

    def leaves(self) -> Forest:
        """The op that gives the numbers of the leaves; what a linear leaf computes has no part in them."""
        constants = {name: array for name, array in self.constants.items() if not name.startswith("linear_")}
        attributes = {name: value for name, value in self.attributes.items() if name != "linear_tiny"}
        return Forest(attributes | {"result": "leaf"}, constants | {"leaf_id": self.leaf_ids}, self.leaf_ids)


def parse_model(text: str) -> TextModel:
    """Parse what ``Booster.model_to_string(num_iteration=-1)`` returns.

    Raises
    ------
    ValueError
        If the text does not have the structure of a LightGBM model of version 4.
    """
    header: dict[str, str] = {}
    trees: list[dict[str, str]] = []
    parameters: dict[str, str] = {}
    section = header
    # not splitlines: a feature name may hold characters that Python counts as line ends
    for line in text.split("\n"):
        if line.startswith("Tree="):
            trees.append({})
            section = trees[-1]
        elif line == "end of trees":
            section = {}
        elif line == "parameters:":
            section = parameters
        elif line == "end of parameters":
            break
        elif section is parameters:
            key, found, value = line.strip("[]").partition(": ")
            if found:
                parameters[key] = value
        elif line:
            key, _, value = line.partition("=")
            section[key] = value
    if header.get("version") != "v4":
        raise ValueError(f"expected a LightGBM model text of version v4 but found {header.get('version')!r}")
    for name in ("num_class", "num_tree_per_iteration", "max_feature_idx"):
        if name not in header:
            raise ValueError(f"expected {name} in the LightGBM model text but it is not there")
    return TextModel(header, trees, parameters)


def _floats(text: str) -> npt.NDArray[np.float64]:
    # Python's float() rounds correctly, as LightGBM's own reader does
    return np.asarray([float(token) for token in text.split()], dtype=np.float64)


def _ints(text: str) -> npt.NDArray[np.int64]:
    return np.asarray([int(token) for token in text.split()], dtype=np.int64)


def _expect_length(name: str, array: npt.NDArray[Any], length: int, tree: int) -> None:
    if len(array) != length:
        raise ValueError(f"expected {length} values of {name} in tree {tree} but found {len(array)}")


def _fold_zero_band(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Thresholds t' with ``x <= t'`` iff ``z(x) <= t``, where z turns ``|x| <= ZERO_BAND`` into 0.

    LightGBM drops such values when it reads a dense row (``RowPairFunctionFromDenseMatrix``), so -1e-35 itself,
    a common threshold, compares as 0.
    """
    below = np.nextafter(-ZERO_BAND, -np.inf)
    out = np.where((threshold >= -ZERO_BAND) & (threshold < 0.0), below, threshold)
    return np.where((threshold >= 0.0) & (threshold < ZERO_BAND), ZERO_BAND, out)


def _missing_codes(
    decision: npt.NDArray[np.int64], threshold: npt.NDArray[np.float64], tree: int
) -> npt.NDArray[np.uint8]:
    """Missing-value codes of numeric splits (``Tree::NumericalDecision``)."""
    kind = (decision >> 2) & 3
    if np.any(kind > _MISSING_NAN):
        raise ValueError(f"expected a missing type of None, Zero or NaN in tree {tree} but found code 3")
    left = (decision & _DEFAULT_LEFT) > 0
    # without a missing type NaN counts as 0.0
    codes = np.where(kind == _MISSING_NONE, threshold >= 0.0, left).astype(np.uint8)
    return (codes + np.where(kind == _MISSING_ZERO, 4, 0)).astype(np.uint8)


class _Builder:
    def __init__(self, features: int, dense: bool) -> None:
        self.features = features
        self.dense = dense
        self.nodes = 0
        self.leaves = 0
        self.words = 0
        self.columns: dict[str, list[npt.NDArray[Any]]] = {}

    def put(self, name: str, values: npt.ArrayLike, dtype: type) -> None:
        self.columns.setdefault(name, []).append(np.asarray(values, dtype=dtype))

    def joined(self, name: str, dtype: type) -> npt.NDArray[Any]:
        return np.concatenate([np.zeros(0, dtype=dtype), *self.columns.get(name, [])]).astype(dtype, copy=False)

    def add(self, tree: dict[str, str], number: int) -> None:
        leaves = int(tree["num_leaves"])
        inner = leaves - 1
        values = _floats(tree["leaf_value"])
        _expect_length("leaf_value", values, leaves, number)
        total = inner + leaves
        feature = np.full(total, -1, dtype=np.int64)
        threshold = np.zeros(total)
        left = np.full(total, -1, dtype=np.int64)
        right = np.full(total, -1, dtype=np.int64)
        missing = np.zeros(total, dtype=np.uint8)
        leaf = np.zeros(total, dtype=np.int64)
        offset = np.zeros(total, dtype=np.int64)
        words = np.zeros(total, dtype=np.int64)
        number_of_leaf = np.zeros(total, dtype=np.int64)
        number_of_leaf[inner:] = np.arange(leaves)
        leaf[inner:] = self.leaves + number_of_leaf[inner:]
        if inner:
            split = _ints(tree["split_feature"])
            cut = _floats(tree["threshold"])
            decision = _ints(tree["decision_type"])
            children = [_ints(tree["left_child"]), _ints(tree["right_child"])]
            for name, array in zip(
                ("split_feature", "threshold", "decision_type", "left_child", "right_child"),
                (split, cut, decision, *children),
                strict=True,
            ):
                _expect_length(name, array, inner, number)
            if np.any((split < 0) | (split >= self.features)):
                raise ValueError(f"expected features below {self.features} in tree {number}")
            for child in children:
                if np.any((child >= 0) & (child <= np.arange(inner))) or np.any(child < -leaves):
                    raise ValueError(f"expected children after their parents in tree {number}")
            feature[:inner] = split
            # a negative child is the complement of a leaf number
            left[:inner], right[:inner] = (np.where(child >= 0, child, inner + ~child) for child in children)
            categorical = (decision & _CATEGORICAL) > 0
            numeric = ~categorical
            folded = _fold_zero_band(cut) if self.dense else cut
            keep = ((decision >> 2) & 3) == _MISSING_ZERO
            threshold[:inner] = np.where(numeric, np.where(keep, cut, folded), 0.0)
            missing[:inner] = np.where(numeric, _missing_codes(np.where(numeric, decision, 0), cut, number), 0)
            if np.any(categorical):
                self._add_categories(tree, number, np.flatnonzero(categorical), cut, offset, words)
        self.put("feature", feature, np.int32)
        self.put("threshold", threshold, np.float64)
        self.put("left", left, np.int32)
        self.put("right", right, np.int32)
        self.put("missing", missing, np.uint8)
        self.put("leaf", leaf, np.int32)
        self.put("leaf_id", number_of_leaf, np.int32)
        self.put("category_offset", offset, np.int32)
        self.put("category_words", words, np.int32)
        self.put("leaf_values", values, np.float64)
        self._add_linear(tree, number, values)
        self.nodes += total
        self.leaves += leaves
        self.put("tree_offsets", [self.nodes], np.int64)

    def _add_categories(
        self,
        tree: dict[str, str],
        number: int,
        nodes: npt.NDArray[Any],
        cut: npt.NDArray[np.float64],
        offset: npt.NDArray[np.int64],
        words: npt.NDArray[np.int64],
    ) -> None:
        count = int(tree["num_cat"])
        boundaries = _ints(tree["cat_boundaries"])
        bits = _ints(tree["cat_threshold"])
        _expect_length("cat_boundaries", boundaries, count + 1, number)
        _expect_length("cat_threshold", bits, int(boundaries[-1]), number)
        which = cut[nodes].astype(np.int64)
        if np.any((which < 0) | (which >= count)) or boundaries[0] != 0 or np.any(np.diff(boundaries) < 0):
            raise ValueError(f"expected category sets below {count} in tree {number}")
        # every node gets words of its own; an empty set still has to read as a category split
        sets = [bits[boundaries[index] : boundaries[index + 1]] for index in which]
        sets = [words_of if len(words_of) else np.zeros(1, dtype=np.int64) for words_of in sets]
        sizes = np.asarray([len(words_of) for words_of in sets], dtype=np.int64)
        if np.any(sizes > _MAX_WORDS):
            raise ValueError(f"categories of {32 * _MAX_WORDS} and beyond are not supported (tree {number})")
        offset[nodes] = self.words + np.cumsum(sizes) - sizes
        words[nodes] = sizes
        self.put("category_bits", np.concatenate(sets), np.uint32)
        self.words += int(sizes.sum())

    def _add_linear(self, tree: dict[str, str], number: int, values: npt.NDArray[np.float64]) -> None:
        leaves = len(values)
        if tree.get("is_linear", "0") != "1":
            self.put("linear_size", np.zeros(leaves), np.int64)
            self.put("linear_const", values, np.float64)
            return
        sizes = _ints(tree["num_features"])
        const = _floats(tree["leaf_const"])
        features = _ints(tree["leaf_features"])
        coefficients = _floats(tree["leaf_coeff"])
        _expect_length("num_features", sizes, leaves, number)
        _expect_length("leaf_const", const, leaves, number)
        _expect_length("leaf_features", features, int(sizes.sum()), number)
        _expect_length("leaf_coeff", coefficients, int(sizes.sum()), number)
        if np.any((features < 0) | (features >= self.features)):
            raise ValueError(f"expected linear features below {self.features} in tree {number}")
        self.put("linear_size", sizes, np.int64)
        self.put("linear_const", const, np.float64)
        self.put("linear_feature", features, np.int32)
        self.put("linear_coef", coefficients, np.float64)


def build_forest(trees: Sequence[dict[str, str]], *, outputs: int, features: int, dense: bool) -> Forest:
    """Build the ``trees`` op that sums ``trees`` in double, from 0, in order, round robin over ``outputs``.

    Parameters
    ----------
    trees : sequence of dict
        At least one; from `TextModel.trees`.
    outputs, features : int
    dense : bool
        Whether LightGBM reads rows from a dense matrix, where it zeroes ``|x| <= 1e-35`` first.

    Raises
    ------
    ValueError
        If a tree is not consistent.
    """
    builder = _Builder(features, dense)
    for number, tree in enumerate(trees):
        builder.add(tree, number)
    constants: dict[str, npt.NDArray[Any]] = {
        "tree_offsets": np.concatenate([[0], builder.joined("tree_offsets", np.int64)]).astype(np.int64),
        "tree_output": (np.arange(len(trees)) % outputs).astype(np.int32),
        "base": np.zeros(outputs),
    }
    for name, dtype in (("feature", np.int32), ("threshold", np.float64), ("left", np.int32), ("right", np.int32)):
        constants[name] = builder.joined(name, dtype)
    constants["missing"] = builder.joined("missing", np.uint8)
    constants["leaf"] = builder.joined("leaf", np.int32)
    constants["leaf_values"] = builder.joined("leaf_values", np.float64)
    categorical = builder.words > 0
    if categorical:
        constants["category_offset"] = builder.joined("category_offset", np.int32)
        constants["category_words"] = builder.joined("category_words", np.int32)
        constants["category_bits"] = builder.joined("category_bits", np.uint32)
    attributes: dict[str, bool | int | str] = {
        "outputs": outputs,
        "compare": "le",
        "categories": "left" if categorical else "none",
        "category_rule": "lightgbm" if categorical else "none",
        "vector_leaf": False,
        "result": "sum",
    }
    # a linear tree without a single coefficient still answers leaf_const, not leaf_value
    if any(tree.get("is_linear", "0") == "1" for tree in trees):
        sizes = builder.joined("linear_size", np.int64)
        constants["linear_offsets"] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        constants["linear_feature"] = builder.joined("linear_feature", np.int32)
        constants["linear_coef"] = builder.joined("linear_coef", np.float64)
        constants["linear_const"] = builder.joined("linear_const", np.float64)
        attributes["linear_tiny"] = "zero" if dense else "keep"
    return Forest(attributes, constants, builder.joined("leaf_id", np.int32))


def _power(base: float, exponent: int) -> float:
    # Common::Pow, in its own order of multiplications
    if exponent == 0:
        return 1.0
    if exponent % 2 == 0:
        return _power(base * base, exponent // 2)
    if exponent % 3 == 0:
        return _power(base * base * base, exponent // 3)
    return base * _power(base, exponent - 1)


def atof(text: str) -> float:
    """``Common::Atof`` of LightGBM, which reads parameters; it does not round correctly beyond 15 digits."""
    mantissa, _, exponent = text.strip().lower().partition("e")
    sign = -1.0 if mantissa.startswith("-") else 1.0
    whole, _, fraction = mantissa.lstrip("+-").partition(".")
    value = 0.0
    for digit in whole:
        value = value * 10.0 + int(digit)
    if "." in mantissa:
        right = 0.0
        for digit in fraction:
            right = int(digit) + right * 10.0
        value += right / _power(10.0, len(fraction))
    scale = 1.0
    left = min(abs(int(exponent)), 308) if exponent else 0
    for step, factor in ((50, 1e50), (8, 1e8), (1, 10.0)):
        while left >= step:
            scale *= factor
            left -= step
    return sign * (value / scale if exponent.startswith("-") else value * scale)
