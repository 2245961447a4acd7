"""What a model holds: a text that people read."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mlcore import _core
    from mlcore.model import Model

__all__ = ["facts", "step_title", "summary"]

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


# -- helpers ----------------------------------------------------------------------------------------------------


def _inexact_steps(nodes: list[dict[str, Any]], value: int) -> list[str]:
    wanted = {value}
    for node in range(value, -1, -1):
        if node in wanted:
            inputs = nodes[node]["inputs"]
            wanted.update(inputs[:1] if nodes[node]["op"] == "guard" else inputs)
    return list(dict.fromkeys(step_title(nodes[node]) for node in sorted(wanted) if not nodes[node]["exact"]))


def step_title(node: dict[str, Any]) -> str:
    """An op with the function it applies."""
    function = node["attributes"].get("fn")
    return f"{node['op']} {function}" if function else str(node["op"])


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
