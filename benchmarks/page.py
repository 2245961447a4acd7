"""The documentation's page of benchmarks, from the runs kept in results/; docs/generate.py writes it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from duel import CONTESTANTS
from figures import GOALS_WITHOUT_AVX512, contestants_table, figures_plot, figures_table

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"

HEAD = """# Benchmarks

`make bench` measures, `make bench-peers` first installs the libraries that need an environment of their own. Every
contestant runs in a process of its own, started once; they take turns, one running at a time, and a figure is the
median of its turns. Before anything is timed, each output is compared with the original's: *rows off* differ by more
than 1e-5, relative above 1, and the run fails unless mlcore's margins have the original's very bits. Whole tables are
predicted with the stated number of threads, single rows with one, a different row each time.

```text
make bench-peers                        # once
make bench                              # everything: about 12 minutes, and 10 more the first time (fits, compilers)
make bench SELECT="encoded whole-road"  # some works: pipelines, encoded, leaves, deep, unpruned, whole-road, large
make bench RECORD=1                     # keep the run in benchmarks/results/ and renew README's tables
make bench-instructions                 # instructions of the kernels, against those stored
```

## The works

| work | what it is |
|---|---|
{works}

## The physical limits

Measured in the same run, as the best of some rounds: how fast all threads together read memory that no cache holds, and
how long one float32 addition waits for the one before. A batch must at least read its input once (*reading*), and a
row's margin is at least one addition per tree, in order, because another order gives other bits (*additions in order*).
The share says how much of mlcore's time the limit explains: 100 % cannot be passed.

## How each contestant is called

| contestant | what it is | how it is called |
|---|---|---|
{contestants}
"""


def _docs(path: Path, function: str) -> tuple[str, str]:
    tree = ast.parse(path.read_text())
    inner = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return ast.get_docstring(tree) or "", ast.get_docstring(inner) or ""


def _contestants() -> str:
    lines = []
    for name, (module, _) in CONTESTANTS.items():
        if name != "mlcore, AVX2":
            lines.append(f"| {name} | {' | '.join(_docs(HERE / 'contestants' / f'{module}.py', 'prepare'))} |")
    return "\n".join(lines)


def _works() -> str:
    names = ("encoded", "leaves", "deep", "unpruned", "whole-road", "large")
    return "\n".join(f"| {name} | {_docs(HERE / 'works.py', name.replace('-', '_'))[1]} |" for name in names)


def _run(run: dict[str, Any], picture: str) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return "\n".join(
        [
            f"## {run['cpu']}, {run['date']}",
            "",
            f"{run['threads']} threads; {versions}.",
            *([] if run["instruction_set"] == "AVX-512" else [GOALS_WITHOUT_AVX512]),
            *([run["note"]] if "note" in run else []),
            "",
            figures_table(run),
            f"![time of every contestant as a multiple of mlcore's](assets/{picture})",
            "",
            contestants_table(run),
        ]
    )


def _instructions() -> str:
    stored = json.loads((RESULTS / "instructions.json").read_text())
    lines = [
        "## Instructions",
        "",
        "Counted by callgrind, which knows no AVX-512. They do not depend on how busy the machine is, and a system",
        f"test fails when one grows by more than a tenth. Compiled by {stored['compiler']}.",
        "",
        "| kernel, level | per row | per piece |",
        "|---|---:|---:|",
    ]
    for name, one in stored["counts"].items():
        (_, row), (piece, value) = one.items()
        lines.append(f"| {name} | {row:,.1f} | {value:,.2f} {piece.replace('_', ' ')} |")
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Text by path inside docs/: the page and a plot per kept run."""
    parts, out = [HEAD.format(works=_works(), contestants=_contestants())], {}
    for path in sorted(RESULTS.glob("*.json")):
        if path.name not in ("instructions.json", "serving.json", "triton.json") and not path.name.startswith("gpu-"):
            run, picture = json.loads(path.read_text()), f"benchmarks-{path.stem}.svg"
            parts.append(_run(run, picture))
            out[f"assets/{picture}"] = figures_plot(run)
    parts.append(_instructions())
    return {"benchmarks.md": "\n".join(parts)} | out
