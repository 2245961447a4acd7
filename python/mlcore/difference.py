"""What changed from one model to another, in the words of its columns, categories and splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlcore.inspection import step_title

if TYPE_CHECKING:
    from mlcore import _core
    from mlcore.model import Model

__all__ = ["diff"]

Array = npt.NDArray[Any]
Node = dict[str, Any]

_SHOWN = 6  # changes of one kind before the rest is counted

# steps whose output columns are their input's columns, one by one
_COLUMNWISE = {
    "cast", "check", "guard", "fill", "clip", "arith", "unary", "bin", "binarize", "normalize", "row_normalize",
    "is_missing", "combine",
}  # fmt: skip


def diff(old: Model, new: Model) -> list[str]:
    """What changed from one model to another: schema, steps, categories, numbers, splits, outputs.

    Parameters
    ----------
    old, new : Model

    Returns
    -------
    list of str
        One line per change, long runs of one kind cut short; empty if the two compute the same.

    Examples
    --------
    >>> import mlcore
    >>> from mlcore.difference import diff
    >>> from sklearn.preprocessing import StandardScaler
    >>> a = mlcore.compile(StandardScaler().fit([[0.0], [2.0]]))
    >>> b = mlcore.compile(StandardScaler().fit([[0.0], [4.0]]))
    >>> diff(a, b)[0]
    "standardscaler: arith sub value of 'x0': 1.0 -> 2.0"
    """
    before, after = _Side(old.core), _Side(new.core)
    changes = [*_schema_changes(old, new), *_node_changes(before, after), *_output_changes(old.core, new.core)]
    return changes or ([] if _alike(before, after) else ["the steps are wired in another way"])


def _alike(old: _Side, new: _Side) -> bool:
    """Whether two programs are the same, whatever their golden rows and provenance."""
    return len(old.nodes) == len(new.nodes) and all(
        {**a, "constants": list(a["constants"])} == {**b, "constants": list(b["constants"])}
        and all(_content(old.constant(a, name)) == _content(new.constant(b, name)) for name in a["constants"])
        for a, b in zip(old.nodes, new.nodes, strict=True)
    )


def _content(constant: Any) -> Any:
    return constant if isinstance(constant, list) else constant.tobytes()


# -- one of the two ---------------------------------------------------------------------------------------------


class _Side:
    """A program whose values can be named: by input column, and by category behind an encoder."""

    def __init__(self, core: _core.Model) -> None:
        self.core = core
        self.nodes = core.nodes
        self.schema = core.schema
        self._names: dict[int, list[str]] = {}

    def constant(self, node: Node, name: str) -> Any:
        return self.core.constant(node["constants"][name])

    def names(self, value: int) -> list[str]:
        """A name per column of a value."""
        if value not in self._names:
            self._names[value] = self._named(self.nodes[value])
        return self._names[value]

    def _named(self, node: Node) -> list[str]:
        op, inputs = node["op"], node["inputs"]
        if op == "column":
            return [self.schema[int(node["attributes"]["column"])]["name"]]
        if op == "concat":
            return [name for value in inputs for name in self.names(value)]
        if op == "select":
            names = self.names(inputs[0])
            return [names[index] for index in self.constant(node, "indices").tolist()]
        if op == "encode" or (op in _COLUMNWISE and len(self.names(inputs[0])) == node["width"]):
            return self.names(inputs[0])
        if op in ("one_hot", "table") and node["width"] == 1:
            return self.names(inputs[0])
        if op == "one_hot":
            return self._one_hot(node)
        return [f"{step_title(node)}[{index}]" for index in range(node["width"])]

    def _one_hot(self, node: Node) -> list[str]:
        source = self.nodes[node["inputs"][0]]
        column = self.names(node["inputs"][0])[0]
        labels = [f"{column}={code}" for code in range(node["width"])]
        if source["op"] == "encode":
            groups = defaultdict(list)
            for key, code in self.codes(source).items():
                groups[code].append(key)
            for code, keys in groups.items():
                if 0 <= code < len(labels):
                    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
                    labels[code] = f"{column}={keys[0]}{more}"
        return labels

    def codes(self, encode: Node) -> dict[Any, int]:
        """Code of every category that an encoder knows."""
        keys = self.constant(encode, "keys")
        keys = keys if isinstance(keys, list) else keys.tolist()
        codes = self.constant(encode, "codes").tolist() if "codes" in encode["constants"] else range(len(keys))
        return dict(zip(keys, codes, strict=True))


def _cut(items: Sequence[str]) -> list[str]:
    return list(items) if len(items) <= _SHOWN else [*items[:_SHOWN], f"... {len(items) - _SHOWN:,} more"]


# -- schema and outputs -----------------------------------------------------------------------------------------


def _schema_changes(old: Model, new: Model) -> Iterator[str]:
    before = {column["name"]: column for column in old.schema}
    after = {column["name"]: column for column in new.schema}
    for name, column in before.items():
        if name not in after:
            yield f"input {name!r} is gone"
        elif column != after[name]:
            fields = [key for key in column if column[key] != after[name][key]]
            yield f"input {name!r}: {', '.join(f'{key} {column[key]} -> {after[name][key]}' for key in fields)}"
    for name, column in after.items():
        if name not in before:
            yield f"input {name!r} is new ({column['type']})"
    common = [name for name in before if name in after]
    if common != [name for name in after if name in before]:
        yield "the order of the input columns changed"


def _output_changes(old: _core.Model, new: _core.Model) -> Iterator[str]:
    before = {(output["method"], output["index"]): output for output in old.outputs}
    after = {(output["method"], output["index"]): output for output in new.outputs}
    for key, first in before.items():
        if key not in after:
            yield f"output {key[0]} is gone"
            continue
        for field in ("dtype", "vector", "labels", "names"):
            one, other = _plain(first[field]), _plain(after[key][field])
            if one == other:
                continue
            if isinstance(one, list) and isinstance(other, list):
                yield from (f"output {key[0]}: {field} {change}" for change in _set_changes(one, other))
            else:
                yield f"output {key[0]}: {field} {one} -> {other}"
    for key in after:
        if key not in before:
            yield f"output {key[0]} is new"


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _set_changes(one: Sequence[Any], other: Sequence[Any]) -> Iterator[str]:
    """What a list lost and gained; or that its order changed."""
    before, after = set(one), set(other)
    gone = [repr(item) for item in one if item not in after]
    added = [repr(item) for item in other if item not in before]
    if gone:
        yield f"lost {len(gone):,}: {', '.join(_cut(gone))}"
    if added:
        yield f"gained {len(added):,}: {', '.join(_cut(added))}"
    if not gone and not added and list(one) != list(other):
        yield "changed order"


# -- nodes ------------------------------------------------------------------------------------------------------


def _keyed(side: _Side) -> dict[tuple[str, str, str, int], Node]:
    """Nodes by where they come from and which columns they read, so that the same step of two models meets."""
    seen: Counter[tuple[str, str, str]] = Counter()
    out = {}
    for index, node in enumerate(side.nodes):
        column = side.names(index)[0].partition("=")[0] if node["op"] in ("encode", "one_hot", "table") else ""
        kind = (node["path"], step_title(node), column)
        out[(*kind, seen[kind])] = node
        seen[kind] += 1
    return out


def _node_changes(old: _Side, new: _Side) -> Iterator[str]:
    before, after = _keyed(old), _keyed(new)
    for path in dict.fromkeys(key[0] for key in [*before, *after]):
        gone = [key for key in before if key[0] == path and key not in after]
        added = [key for key in after if key[0] == path and key not in before]
        if gone:
            yield f"{path}: no longer does {', '.join(_cut([_step_name(key) for key in gone]))}"
        if added:
            yield f"{path}: now also does {', '.join(_cut([_step_name(key) for key in added]))}"
        for key, node in before.items():
            if key[0] == path and key in after:
                for change in _one_node(old, node, new, after[key]):
                    yield f"{path}: {change}"


def _step_name(key: tuple[str, str, str, int]) -> str:
    return f"{key[1]} of {key[2]!r}" if key[2] else key[1]


def _one_node(old: _Side, a: Node, new: _Side, b: Node) -> Iterator[str]:
    if a["op"] == "trees":
        yield from _tree_changes(old, a, new, b)
        return
    column = f" of {old.names(a['inputs'][0])[0]!r}" if a["op"] in ("encode", "one_hot", "table") else ""
    title = step_title(a) + column
    for name in sorted(a["attributes"].keys() | b["attributes"].keys()):
        first, second = a["attributes"].get(name), b["attributes"].get(name)
        if first != second:
            yield f"{title}: {name} {first} -> {second}"
    if a["op"] == "encode":
        yield from (f"{title}: {change}" for change in _category_changes(old.codes(a), new.codes(b)))
        return
    for name in sorted(a["constants"].keys() | b["constants"].keys()):
        if name not in a["constants"] or name not in b["constants"]:
            yield f"{title}: {name} {'appeared' if name in b['constants'] else 'is gone'}"
            continue
        one, other = old.constant(a, name), new.constant(b, name)
        labels = (_labels(old, a, name, one), _labels(new, b, name, other))
        yield from (f"{title} {name}{change}" for change in _number_changes(one, other, *labels))


def _category_changes(old: dict[Any, int], new: dict[Any, int]) -> Iterator[str]:
    yield from (f"categories {change}" for change in _set_changes(list(old), list(new)) if change != "changed order")
    common = [key for key in old if key in new]
    mates = [_mates(common, codes) for codes in (old, new)]
    moved = []
    for key in common:
        before, after = mates[0][old[key]], mates[1][new[key]]
        if (before == 1) != (after == 1):
            moved.append(f"{key!r} {'left a group' if after == 1 else f'joined a group of {after:,}'}")
    if moved:
        yield f"categories {'; '.join(_cut(moved))}"
    elif old.keys() == new.keys() and old != new:
        changed = [f"{key!r} {old[key]} -> {new[key]}" for key in common if old[key] != new[key]]
        yield f"codes of {', '.join(_cut(changed))}"


def _mates(keys: Sequence[Any], codes: dict[Any, int]) -> Counter[int]:
    return Counter(codes[key] for key in keys)


def _labels(side: _Side, node: Node, name: str, array: Any) -> list[str] | None:
    """A name per number of a constant; None where its numbers belong to no column."""
    if isinstance(array, list) or node["op"] == "concat" or not node["inputs"]:
        return None
    source = side.nodes[node["inputs"][0]]
    if node["op"] == "table" and name == "values" and source["op"] == "encode":
        by_code = {code: key for key, code in reversed(side.codes(source).items())}
        per = array.size // max(len(array), 1)
        names = [str(by_code.get(code, "any other")) for code in range(len(array))]
        return names if per == 1 else [f"{name}[{place}]" for name in names for place in range(per)]
    columns = side.names(node["inputs"][0])
    if node["op"] == "bin" and name == "edges":
        counts = np.diff(side.constant(node, "offsets"))
        return [label for label, count in zip(columns, counts.tolist(), strict=True) for _ in range(count)]
    named = bool(array.ndim) and array.shape[-1] == len(columns)
    return columns * (array.size // len(columns)) if named else None


def _number_changes(a: Any, b: Any, labels: list[str] | None, others: list[str] | None) -> Iterator[str]:
    if isinstance(a, list):
        yield from (f" {change}" for change in _set_changes(a, b))
        return
    if labels is not None and others is not None and labels != others and len(set(labels)) == a.size:
        # the columns themselves changed, which is said elsewhere: compare those that are still there
        here = {label: index for index, label in enumerate(others)}
        places = [index for index, label in enumerate(labels) if label in here]
        kept = [labels[index] for index in places]
        a, b = np.ravel(a)[places], np.ravel(b)[[here[label] for label in kept]]
        labels = kept
    if a.shape != b.shape:
        yield f": {'x'.join(map(str, a.shape))} -> {'x'.join(map(str, b.shape))} numbers"
        return
    a, b = np.ravel(a), np.ravel(b)
    places = np.flatnonzero((a != b) & ~((a != a) & (b != b))).tolist()
    for place in places[:_SHOWN]:
        where = f" of {labels[place]!r}" if labels is not None else f"[{place}]" if len(a) > 1 else ""
        yield f"{where}: {a[place].item()!r} -> {b[place].item()!r}"
    if len(places) > _SHOWN:
        yield f": ... {len(places) - _SHOWN:,} more of {len(a):,} numbers changed"


# -- trees ------------------------------------------------------------------------------------------------------

_MISSING = {1: " or missing", 2: ", missing as 0", 5: " or zero or missing"}


class _Forest:
    """A `trees` node; its features have names, so that forests over other columns can be compared."""

    def __init__(self, side: _Side, node: Node) -> None:
        self.arrays = {name: side.constant(node, name) for name in node["constants"]}
        self.names = side.names(node["inputs"][0])
        self.sign = "<" if node["attributes"]["compare"] == "lt" else "<="
        self.trees = len(self.arrays["tree_offsets"]) - 1

    def nodes(self, tree: int) -> range:
        """Where the nodes of a tree are."""
        return range(*self.arrays["tree_offsets"][tree : tree + 2].tolist())

    def same(self, index: int, other: _Forest, place: int) -> bool:
        """Whether a node says the same as one of another forest."""
        return self.text(index, cut=False) == other.text(place, cut=False) and all(
            self.arrays[name][index] == other.arrays[name][place] for name in ("left", "right")
        )

    def text(self, index: int, *, cut: bool = True) -> str:
        """A node in the words of its columns."""
        feature = int(self.arrays["feature"][index])
        if feature < 0:
            return self._leaf(int(self.arrays["leaf"][index]))
        name, missing = self.names[feature], _MISSING.get(int(self.arrays["missing"][index]), "")
        words = int(self.arrays["category_words"][index]) if "category_words" in self.arrays else 0
        if not words:
            return f"{name} {self.sign} {self.arrays['threshold'][index].item()}{missing}"
        first = int(self.arrays["category_offset"][index])
        bits = self.arrays["category_bits"][first : first + words].astype("<u4").view(np.uint8)
        held = [str(code) for code in np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist()]
        return f"{name} in {{{', '.join(_cut(held) if cut else held)}}}{missing}"

    def _leaf(self, leaf: int) -> str:
        text = f"leaf {_plain(self.arrays['leaf_values'][leaf])}"
        if "linear_offsets" not in self.arrays:
            return text
        run = slice(*self.arrays["linear_offsets"][leaf : leaf + 2].tolist())
        names = [self.names[column] for column in self.arrays["linear_feature"][run].tolist()]
        terms = [f"{c} {name}" for c, name in zip(self.arrays["linear_coef"][run].tolist(), names, strict=True)]
        return f"{text}, linear {' + '.join([str(self.arrays['linear_const'][leaf].item()), *terms])}"

    def digests(self, ids: dict[str, int]) -> list[bytes]:
        """Bytes per tree that are equal where two trees say the same."""
        arrays = self.arrays
        inner = arrays["feature"] >= 0
        wide = np.array([ids.setdefault(name, len(ids)) for name in self.names])
        columns = [np.where(inner, wide[arrays["feature"]], -1), np.where(inner, arrays["threshold"], 0).astype("f8")]
        columns += [arrays["left"], arrays["right"], np.where(inner, arrays["missing"], 0)]
        values = arrays["leaf_values"][np.where(inner, 0, arrays["leaf"])]
        columns.append(np.where(inner if values.ndim == 1 else inner[:, None], 0, values))
        special = np.zeros(len(inner), dtype=bool)
        if "category_words" in arrays:
            special |= arrays["category_words"] > 0
        if "linear_offsets" in arrays:
            special |= ~inner
        out = []
        for tree in range(self.trees):
            run = self.nodes(tree)
            odd = np.flatnonzero(special[run.start : run.stop]).tolist()
            texts = "".join(self.text(run.start + place, cut=False) for place in odd)
            out.append(b"".join(column[run.start : run.stop].tobytes() for column in columns) + texts.encode())
        return out


def _tree_changes(old: _Side, a: Node, new: _Side, b: Node) -> Iterator[str]:
    for name in sorted(a["attributes"].keys() | b["attributes"].keys()):
        first, second = a["attributes"].get(name), b["attributes"].get(name)
        if first != second:
            yield f"trees: {name} {first} -> {second}"
    for name in ("base", "divisor"):
        if name in a["constants"] and name in b["constants"]:
            changes = _number_changes(old.constant(a, name), new.constant(b, name), None, None)
            yield from (f"trees {name}{change}" for change in changes)
    one, other = _Forest(old, a), _Forest(new, b)
    if one.trees != other.trees:
        yield f"trees: {one.trees:,} -> {other.trees:,} trees"
    ids: dict[str, int] = {}
    pairs = enumerate(zip(one.digests(ids), other.digests(ids), strict=False))
    changed = [tree for tree, (first, second) in pairs if first != second]
    if changed:
        yield f"trees: {len(changed):,} of the first {min(one.trees, other.trees):,} trees changed"
    for tree in changed[:_SHOWN]:
        first, second = one.nodes(tree), other.nodes(tree)
        size = f", {len(first)} -> {len(second)} nodes" if len(first) != len(second) else ""
        places = (pair for pair in zip(first, second, strict=False) if not one.same(pair[0], other, pair[1]))
        place = next(places, None)
        what = "" if place is None else f", node {place[0] - first[0]}: {one.text(place[0])} -> {other.text(place[1])}"
        yield f"tree {tree}{size}{what}"
