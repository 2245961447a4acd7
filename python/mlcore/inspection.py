"""What a model holds: a text that people read."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mlcore import _core
    from mlcore.model import Model

__all__ = ["facts", "plan", "step_title", "summary"]

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


# what a step does with what the notes on it are about
_DOES = {"trees": ("splits on", "feature"), "dot": ("adds a weight per code of", "column")}


def plan(model: Model) -> str:
    """Which steps need not run: the text of ``mlcore inspect --plan``.

    Steps between a column and a forest are folded into the splits where that gives the same bits
    (``docs/design/0006-pull-back.md``): a number is compared with a cut of the column itself, a category is looked
    up in a set of the column's codes, and the steps do not run. A dot product takes codes for one-hot columns.

    Examples
    --------
    >>> import mlcore
    >>> from mlcore.inspection import plan
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> tree = make_pipeline(StandardScaler(), DecisionTreeRegressor()).fit([[0.0], [2.0]], [1.0, 5.0])
    >>> print(plan(mlcore.compile(tree)))
    pipeline / decisiontreeregressor: splits on 1 feature
      column 'x0'  arith sub, arith div, cast  1 feature  1 cut
    """
    lines: list[str] = []
    notes = model.core.fold_notes
    for step in dict.fromkeys(note["step"] for note in notes):
        own = [note for note in notes if note["step"] == step]
        if not own[0]["origin"]:
            lines.append(f"{step}: {own[0]['outcome']}")
            continue
        does, noun = _DOES[own[0]["op"]]
        lines.append(f"{step}: {does} {_count(len(own), noun)}")
        groups: dict[tuple[str, str], list[str]] = {}
        for note in own:
            groups.setdefault((note["origin"], note["steps"] or "as it is"), []).append(note["outcome"])
        table = [
            (origin, steps, _count(len(outcomes), noun), _outcomes(outcomes))
            for (origin, steps), outcomes in groups.items()
        ]
        widths = [max(len(row[column]) for row in table) for column in range(3)]
        for row in table:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            lines.append("  " + "  ".join([*cells, row[3]]))
    return "\n".join(lines) if lines else "nothing to save: every step runs as it is"


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
        # the node that gives leaves has the trees of the one whose leaves are summed
        if node["op"] != "trees" or node["attributes"].get("result") == "leaf":
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


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _outcomes(outcomes: list[str]) -> str:
    """Features of one origin and the same steps end alike but for their counts: "3 cuts", "1 set of 40 codes"."""
    total = sum(int(text.partition(" ")[0]) for text in outcomes)
    noun, _, rest = outcomes[0].partition(" ")[2].partition(" ")
    comma = "," if noun.endswith(",") else ""
    return f"{_count(total, noun.rstrip(',').removesuffix('s'))}{comma} {rest}".rstrip()


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
