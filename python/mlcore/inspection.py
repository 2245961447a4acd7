"""What a model holds, and what differs between two: texts that people read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mlcore import _core
    from mlcore.model import Model

__all__ = ["diff", "facts", "summary"]

_SHOWN = 6  # items of a list before it is cut


def facts(model: Model) -> dict[str, Any]:
    """Everything `summary` says, as plain data (for ``mlcore inspect --json``).

    Parameters
    ----------
    model : Model

    Returns
    -------
    dict
        ``inputs``, ``ignored``, ``outputs``, ``steps``, ``ops``, ``trees``, ``exact``, ``size``, ``digest``,
        ``golden_rows``, ``provenance``.
    """
    nodes = model.core.nodes
    data = model.to_bytes()
    outputs = []
    for output in model.core.outputs:
        width = nodes[output["value"]]["width"]
        outputs.append(
            {
                "method": output["method"] + (f"[{output['index']}]" if output["index"] >= 0 else ""),
                "dtype": output["dtype"],
                "shape": "(n,)" if output["vector"] else f"(n, {width})",
                "names": output["names"],
                "inexact": _inexact_steps(nodes, output["value"]),
            }
        )
    return {
        "inputs": [column for column in model.schema if column["used"]],
        "ignored": [column["name"] for column in model.schema if not column["used"]],
        "outputs": outputs,
        "steps": list(dict.fromkeys(node["path"] for node in nodes if node["op"] != "column")),
        "ops": dict(Counter(node["op"] for node in nodes).most_common()),
        "trees": _trees(model.core),
        "size": len(data),
        "digest": hashlib.sha256(data).hexdigest(),
        "golden_rows": model.core.golden_rows,
        "provenance": model.provenance,
    }


def summary(model: Model) -> str:
    """The text of ``print(model)`` and of ``mlcore inspect``.

    Examples
    --------
    >>> import mlcore
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> print(str(mlcore.compile(MinMaxScaler().fit([[0.0], [2.0]]))).splitlines()[0])
    mlcore model of sklearn.preprocessing._data.MinMaxScaler
    """
    found = facts(model)
    provenance = found["provenance"]
    lines = [f"mlcore model of {provenance.get('estimator', 'unknown origin')}"]

    def add(label: str, text: str) -> None:
        lines.append(f"  {label:<9}{text}")

    inputs = [f"{c['name']} {c['type']}" for c in found["inputs"]]
    add("inputs", f"{len(inputs)} columns")
    lines += [f"           {line}" for line in _wrap(inputs)]
    if found["ignored"]:
        add("ignored", ", ".join(_cut(found["ignored"])))
    for index, output in enumerate(found["outputs"]):
        exact = "bit-exact" if not output["inexact"] else "within tolerance: " + ", ".join(output["inexact"])
        shape = f"{output['shape']} {output['dtype']}"
        add("outputs" if index == 0 else "", f"{output['method']:<18}{shape:<18}{exact}")
    for index, step in enumerate(_cut(found["steps"], 12)):
        add("steps" if index == 0 else "", step)
    add("ops", ", ".join(f"{count} {op}" for op, count in found["ops"].items()))
    trees = found["trees"]
    if trees["trees"]:
        add(
            "trees",
            f"{trees['trees']:,} trees, {trees['splits']:,} splits, {trees['leaves']:,} leaves, "
            f"depth up to {trees['depth']}",
        )
    add("size", f"{_bytes(found['size'])}, {found['golden_rows']} golden rows")
    add("digest", found["digest"][:16])
    libraries = [f"{k.removeprefix('library.')} {v}" for k, v in provenance.items() if k.startswith("library.")]
    add("made by", ", ".join([provenance.get("created_by", "unknown"), *libraries]))
    if model.parity is not None:
        lines += [f"  {line}" for line in str(model.parity).splitlines()]
    return "\n".join(lines)


def diff(old: Model, new: Model) -> list[str]:
    """What changed from one model to another: schema, steps, thresholds, categories, trees.

    Parameters
    ----------
    old, new : Model

    Returns
    -------
    list of str
        One line per change; empty if the two compute the same.

    Examples
    --------
    >>> import mlcore
    >>> from sklearn.preprocessing import StandardScaler
    >>> a = mlcore.compile(StandardScaler().fit([[0.0], [2.0]]))
    >>> b = mlcore.compile(StandardScaler().fit([[0.0], [4.0]]))
    >>> mlcore.inspection.diff(a, b)[0]
    'standardscaler: arith sub value: 1 of 1 numbers changed; first at 0: 1.0 -> 2.0'
    """
    return [*_schema_changes(old, new), *_node_changes(old.core, new.core), *_output_changes(old.core, new.core)]


# -- parts of a diff --------------------------------------------------------------------------------------------


def _schema_changes(old: Model, new: Model) -> Iterator[str]:
    before = {column["name"]: column for column in old.schema}
    after = {column["name"]: column for column in new.schema}
    for name in before.keys() - after.keys():
        yield f"input {name!r} is gone"
    for name in after.keys() - before.keys():
        yield f"input {name!r} is new ({after[name]['type']})"
    for name in before:
        if name in after and before[name] != after[name]:
            changed = [
                f"{k} {before[name][k]} -> {after[name][k]}" for k in before[name] if before[name][k] != after[name][k]
            ]
            yield f"input {name!r}: {', '.join(changed)}"
    common = [name for name in before if name in after]
    if common != [name for name in after if name in before]:
        yield "the order of the input columns changed"


def _keyed(core: _core.Model) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Nodes by where they come from, so that the same step of two models meets."""
    seen: Counter[tuple[str, str]] = Counter()
    out = {}
    for node in core.nodes:
        kind = (node["path"], _title(node))
        out[(*kind, seen[kind])] = node
        seen[kind] += 1
    return out


def _title(node: dict[str, Any]) -> str:
    function = node["attributes"].get("fn")
    return f"{node['op']} {function}" if function else node["op"]


def _node_changes(old: _core.Model, new: _core.Model) -> Iterator[str]:
    before, after = _keyed(old), _keyed(new)
    for path in dict.fromkeys(key[0] for key in [*before, *after]):
        gone = [key[1] for key in before if key[0] == path and key not in after]
        added = [key[1] for key in after if key[0] == path and key not in before]
        if gone:
            yield f"{path}: no longer does {', '.join(_cut(gone))}"
        if added:
            yield f"{path}: now also does {', '.join(_cut(added))}"
        for key, node in before.items():
            if key[0] == path and key in after:
                yield from _one_node(old, node, new, after[key])


def _one_node(old: _core.Model, a: dict[str, Any], new: _core.Model, b: dict[str, Any]) -> Iterator[str]:
    where = f"{a['path']}: {_title(a)}"
    for name in sorted(a["attributes"].keys() | b["attributes"].keys()):
        first, second = a["attributes"].get(name), b["attributes"].get(name)
        if first != second:
            yield f"{where}: {name} {first} -> {second}"
    for name in sorted(a["constants"].keys() | b["constants"].keys()):
        if name not in a["constants"] or name not in b["constants"]:
            yield f"{where}: {name} {'appeared' if name in b['constants'] else 'is gone'}"
            continue
        change = _constant_change(old.constant(a["constants"][name]), new.constant(b["constants"][name]))
        if change:
            yield f"{where} {name}: {change}"


def _constant_change(a: Any, b: Any) -> str | None:
    if isinstance(a, list):
        if a == b:
            return None
        gone, added = sorted(set(a) - set(b)), sorted(set(b) - set(a))
        parts = []
        if gone:
            parts.append(f"lost {len(gone)}: {', '.join(_cut([repr(x) for x in gone]))}")
        if added:
            parts.append(f"gained {len(added)}: {', '.join(_cut([repr(x) for x in added]))}")
        return "; ".join(parts) or "the order changed"
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{_shape(a)} -> {_shape(b)}"
    different = np.flatnonzero(np.ravel((a != b) & ~((a != a) & (b != b))))
    if len(different) == 0:
        return None
    at = int(different[0])
    first, second = np.ravel(a)[at].item(), np.ravel(b)[at].item()
    return f"{len(different):,} of {a.size:,} numbers changed; first at {at}: {first!r} -> {second!r}"


def _shape(array: Any) -> str:
    return f"{array.dtype}[{', '.join(str(n) for n in array.shape)}]"


def _output_changes(old: _core.Model, new: _core.Model) -> Iterator[str]:
    before = {(o["method"], o["index"]): o for o in old.outputs}
    after = {(o["method"], o["index"]): o for o in new.outputs}
    for key in before.keys() - after.keys():
        yield f"output {key[0]} is gone"
    for key in after.keys() - before.keys():
        yield f"output {key[0]} is new"
    for key, first in before.items():
        second = after.get(key)
        if second is None:
            continue
        for field in ("dtype", "vector", "labels", "names"):
            if _plain(first[field]) != _plain(second[field]):
                change = f"{_plain(first[field])} -> {_plain(second[field])}"
                yield f"output {key[0]}: {field} {change if len(change) < 200 else 'changed'}"


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


# -- helpers ----------------------------------------------------------------------------------------------------


def _inexact_steps(nodes: list[dict[str, Any]], value: int) -> list[str]:
    wanted = {value}
    for node in range(value, -1, -1):
        if node in wanted:
            inputs = nodes[node]["inputs"]
            wanted.update(inputs[:1] if nodes[node]["op"] == "guard" else inputs)
    return list(dict.fromkeys(_title(nodes[node]) for node in sorted(wanted) if not nodes[node]["exact"]))


def _trees(core: _core.Model) -> dict[str, int]:
    total = {"trees": 0, "splits": 0, "leaves": 0, "depth": 0}
    for node in core.nodes:
        if node["op"] != "trees":
            continue
        feature, offsets, left, right = (
            core.constant(node["constants"][name]) for name in ("feature", "tree_offsets", "left", "right")
        )
        total["trees"] += len(offsets) - 1
        total["splits"] += int((feature >= 0).sum())
        total["leaves"] += int((feature < 0).sum())
        start = np.repeat(offsets[:-1], np.diff(offsets))
        level = offsets[:-1][feature[offsets[:-1]] >= 0]
        depth = 0
        while len(level):
            depth += 1
            children = np.concatenate([left[level] + start[level], right[level] + start[level]])
            level = children[feature[children] >= 0]
        total["depth"] = max(total["depth"], depth)
    return total


def _bytes(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < 1024**2 else f"{size / 1024**2:.1f} MiB"


def _cut(items: list[str], shown: int = _SHOWN) -> list[str]:
    return items if len(items) <= shown else [*items[:shown], f"... {len(items) - shown} more"]


def _wrap(items: list[str], width: int = 100) -> list[str]:
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + len(item) + 2 <= width:
            lines[-1] += ", " + item
        else:
            lines.append(item)
    return lines
