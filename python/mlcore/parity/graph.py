"""Reads a finished program: which input values a model can tell apart, and which outputs are exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore import _core

__all__ = ["ColumnFacts", "Graph", "TreePath"]

Array = npt.NDArray[Any]

# steps after which a tiny difference in the input can become another answer
_DISCONTINUOUS = {"trees", "threshold", "argmax", "bin", "binarize", "encode", "vote"}

_INVERSE_ARITH: dict[str, Callable[[float, float], float]] = {
    "add": lambda y, c: y - c,
    "sub": lambda y, c: y + c,
    "mul": lambda y, c: y / c if c else y,
    "div": lambda y, c: y * c,
    "rsub": lambda y, c: c - y,
    "rdiv": lambda y, c: c / y if y else y,
}
_INVERSE_UNARY: dict[str, Callable[[Any], Any]] = {
    "exp": np.log,
    "exp2": np.log2,
    "expm1": np.log1p,
    "log": np.exp,
    "log2": np.exp2,
    "log10": lambda y: np.power(10.0, y),
    "log1p": np.expm1,
    "sqrt": np.square,
    "negative": np.negative,
    "abs": lambda y: y,
    "cbrt": lambda y: y**3,
}


@dataclass
class ColumnFacts:
    """What the program can tell apart in one input column; ``closed``: it refuses values that it did not learn.

    ``missing`` holds the missing values (None, NaN) that a closed column's encoder learned.
    """

    numbers: set[float] = field(default_factory=set)
    categories: set[str] = field(default_factory=set)
    closed: bool = False
    missing: list[Any] = field(default_factory=list)


@dataclass
class TreePath:
    """Assignments that lead to a split: input column -> value, and the split's own column and value."""

    assignments: dict[int, float]
    column: int
    cut: float


class Graph:
    """A program's nodes, with the questions that the proof asks."""

    def __init__(self, core: _core.Model) -> None:
        self.core = core
        self.nodes = core.nodes

    # -- exactness ----------------------------------------------------------------------------------------------

    def ancestors(self, value: int) -> list[int]:
        """Ids of the nodes that a value depends on, itself included, ascending."""
        wanted = {value}
        for node in range(value, -1, -1):
            if node in wanted:
                inputs = self.nodes[node]["inputs"]
                # what else a guard runs has no part in its value
                wanted.update(inputs[:1] if self.nodes[node]["op"] == "guard" else inputs)
        return sorted(wanted)

    def inexact(self, value: int) -> list[int]:
        """Nodes above a value that are within a tolerance only."""
        return [node for node in self.ancestors(value) if not self.nodes[node]["exact"]]

    def cancels(self, value: int) -> bool:
        """Whether a sum follows an inexact node on the way to ``value``: it may be small where its terms are large."""
        tainted: set[int] = set()
        for node in self.ancestors(value):
            facts = self.nodes[node]
            from_above = any(parent in tainted for parent in facts["inputs"])
            adds = facts["op"] in ("arith", "combine") and facts["attributes"]["fn"] in ("add", "sub", "rsub")
            if from_above and (adds or facts["op"] == "weighted_sum"):
                return True
            if from_above or not facts["exact"]:
                tainted.add(node)
        return False

    def can_flip(self, value: int) -> bool:
        """Whether an inexact node sits before a discontinuous one on the way to ``value``."""
        tainted: set[int] = set()
        for node in self.ancestors(value):
            from_above = any(parent in tainted for parent in self.nodes[node]["inputs"])
            if from_above and self.nodes[node]["op"] in _DISCONTINUOUS:
                return True
            if from_above or not self.nodes[node]["exact"]:
                tainted.add(node)
        return False

    # -- boundaries ---------------------------------------------------------------------------------------------

    def trace(self, value: int, column: int) -> tuple[int, list[Callable[[float], float]]] | None:
        """The input column that a block's column comes from, and the steps that lead a value back to it."""
        back: list[Callable[[float], float]] = []
        while True:
            node = self.nodes[value]
            op, inputs = node["op"], node["inputs"]
            if op == "column":
                return int(node["attributes"]["column"]), back
            if op in ("cast", "check", "guard", "fill", "clip"):
                value = inputs[0]
            elif op == "concat":
                for candidate in inputs:
                    width = self.nodes[candidate]["width"]
                    if column < width:
                        value = candidate
                        break
                    column -= width
            elif op == "select":
                column = int(self._constant(node, "indices")[column])
                value = inputs[0]
            elif op == "arith":
                constants = np.ravel(self._constant(node, "value"))
                constant = float(constants[column if constants.size > 1 else 0])
                invert = _INVERSE_ARITH[node["attributes"]["fn"]]
                back.append(lambda y, invert=invert, constant=constant: invert(y, constant))  # type: ignore[misc]
                value = inputs[0]
            elif op == "unary" and node["attributes"]["fn"] in _INVERSE_UNARY:
                function = _INVERSE_UNARY[node["attributes"]["fn"]]
                back.append(lambda y, function=function: float(function(y)))  # type: ignore[misc]
                value = inputs[0]
            else:
                return None

    def facts(self) -> dict[int, ColumnFacts]:
        """Per input column: split values, bin edges and categories that some node compares it with."""
        found: dict[int, ColumnFacts] = {}
        for node in self.nodes:
            op, inputs = node["op"], node["inputs"]
            if op == "encode":
                keys = self._constant(node, "keys")
                traced = self.trace(inputs[0], 0)
                if traced is None:
                    continue
                facts = found.setdefault(traced[0], ColumnFacts())
                if isinstance(keys, list):
                    facts.categories.update(keys)
                else:
                    facts.numbers.update(self._back(float(key), traced[1]) for key in np.ravel(keys))
                if node["attributes"]["unknown"] == "error":
                    facts.closed = True
                    facts.missing += _learned_missing(node["attributes"])
            elif op == "bin":
                offsets, edges = self._constant(node, "offsets"), self._constant(node, "edges")
                for column in range(self.nodes[inputs[0]]["width"]):
                    self._add(found, inputs[0], column, edges[int(offsets[column]) : int(offsets[column + 1])])
            elif op in ("binarize", "threshold", "clip"):
                names = {"binarize": ["threshold"], "threshold": ["cut"], "clip": ["lo", "hi"]}[op]
                for name in names:
                    values = np.ravel(self._constant(node, name))
                    for column in range(min(self.nodes[inputs[0]]["width"], 1024)):
                        self._add(found, inputs[0], column, [values[column if values.size > 1 else 0]])
            elif op == "trees":
                feature = self._constant(node, "feature")
                threshold = self._constant(node, "threshold")
                words = self._constant(node, "category_words") if "category_words" in node["constants"] else None
                for column in np.unique(feature[feature >= 0]):
                    here = feature == column
                    if words is not None:
                        self._add(found, inputs[0], int(column), np.arange(int(words[here].max(initial=0)) * 32))
                        here &= words == 0
                    self._add(found, inputs[0], int(column), np.unique(threshold[here]))
        return found

    def forests(self) -> list[dict[str, Any]]:
        """Nodes of forests; the one that gives leaves splits as the one whose leaves are summed."""
        forests = [node for node in self.nodes if node["op"] == "trees"]
        return [node for node in forests if node["attributes"].get("result") != "leaf"]

    def trees(self) -> int:
        """How many trees there are."""
        return sum(len(self._constant(node, "tree_offsets")) - 1 for node in self.forests())

    def tree_paths(self, limit: int, rng: np.random.Generator) -> tuple[list[TreePath], int]:
        """Paths to the splits of all trees (a random ``limit`` of them if there are more), and how many there are."""
        forests: list[tuple[dict[str, Any], Array]] = []
        for node in self.forests():
            feature = self._constant(node, "feature")
            internal = np.flatnonzero(feature >= 0)
            # a split on a feature that no raw number leads to (a category's code) is visited by the categories
            reachable = {
                int(f): self.trace(node["inputs"][0], int(f)) is not None for f in np.unique(feature[internal])
            }
            internal = internal[np.array([reachable[int(f)] for f in feature[internal]], dtype=bool)]
            data = {name: self._constant(node, name) for name in ("tree_offsets", "left", "right", "threshold")}
            data |= {"feature": feature, "value": node["inputs"][0], "compare": node["attributes"]["compare"]}
            data["parent"] = self._parents(data)
            forests.append((data, internal))
        ends = np.cumsum([len(internal) for _, internal in forests], dtype=np.int64)
        total = int(ends[-1]) if forests else 0
        chosen = np.arange(total) if total <= limit else np.sort(rng.choice(total, limit, replace=False))
        traces: dict[tuple[int, int], tuple[int, list[Callable[[float], float]]] | None] = {}

        def origin(value: int, feature: int) -> tuple[int, list[Callable[[float], float]]] | None:
            if (value, feature) not in traces:
                traces[value, feature] = self.trace(value, feature)
            return traces[value, feature]

        paths = []
        for number in chosen:
            forest = int(np.searchsorted(ends, number, side="right"))
            data, internal = forests[forest]
            index = int(internal[number - ends[forest]])  # counted from the end: the same
            own = origin(data["value"], int(data["feature"][index]))
            assert own is not None
            bounds: dict[int, tuple[float, float]] = {}
            child = index
            while (parent := int(data["parent"][child])) >= 0:
                column, cut = int(data["feature"][parent]), float(data["threshold"][parent])
                start = int(data["tree_offsets"][np.searchsorted(data["tree_offsets"], parent, side="right") - 1])
                low, high = bounds.get(column, (-np.inf, np.inf))
                went_left = int(data["left"][parent]) + start == child
                bounds[column] = (low, min(high, cut)) if went_left else (max(low, cut), high)
                child = parent
            assignments = {}
            for column, (low, high) in bounds.items():
                traced = origin(data["value"], column)
                if traced is not None:
                    assignments[traced[0]] = self._back(_between(low, high), traced[1])
            paths.append(TreePath(assignments, own[0], self._back(float(data["threshold"][index]), own[1])))
        return paths, total

    # -- inside -------------------------------------------------------------------------------------------------

    def _constant(self, node: dict[str, Any], name: str) -> Any:
        return self.core.constant(node["constants"][name])

    @staticmethod
    def _back(value: float, steps: list[Callable[[float], float]]) -> float:
        with np.errstate(all="ignore"):
            for step in steps:
                value = step(value)
        return value

    def _add(self, found: dict[int, ColumnFacts], value: int, column: int, numbers: Any) -> None:
        traced = self.trace(value, column)
        if traced is not None:
            facts = found.setdefault(traced[0], ColumnFacts())
            facts.numbers.update(self._back(float(number), traced[1]) for number in numbers)

    @staticmethod
    def _parents(data: dict[str, Any]) -> Array:
        offsets = data["tree_offsets"]
        start = np.repeat(offsets[:-1], np.diff(offsets))
        parent = np.full(len(data["feature"]), -1, dtype=np.int64)
        internal = np.flatnonzero(data["feature"] >= 0)
        parent[data["left"][internal] + start[internal]] = internal
        parent[data["right"][internal] + start[internal]] = internal
        return parent


def _learned_missing(attributes: dict[str, Any]) -> list[Any]:
    any_kind = "null_code" in attributes and not attributes.get("by_kind", False)
    kinds = [("none_code", None), ("nan_code", np.nan)]
    return [value for name, value in kinds if any_kind or name in attributes]


def _between(low: float, high: float) -> float:
    if np.isinf(low) and np.isinf(high):
        return 0.0
    if np.isinf(low):
        return high - 1.0 - abs(high) * 1e-3
    if np.isinf(high):
        return low + 1.0 + abs(low) * 1e-3
    return (low + high) / 2
