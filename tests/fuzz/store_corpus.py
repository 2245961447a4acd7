"""Rewrites tests/fuzz/corpus: few small artifacts that together show every op with every option of the examples.

Run after an op or an option was added: PYTHONPATH=python python tests/fuzz/store_corpus.py
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "attacks"), str(HERE.parent / "frontends")]

import examples_lightgbm  # noqa: E402
import examples_sklearn_models  # noqa: E402
import examples_sklearn_transforms  # noqa: E402
import examples_xgboost  # noqa: E402
import forge  # noqa: E402
import make_corpus  # noqa: E402
import mlcore  # noqa: E402

CORPUS = HERE / "corpus"
MAX_BYTES = 30_000


def makers() -> Iterator[Any]:
    """Every fitted example of the front ends."""
    for module in (examples_sklearn_transforms, examples_sklearn_models, examples_xgboost, examples_lightgbm):
        examples = module.FITTED_EXAMPLES
        for group in examples.values() if isinstance(examples, dict) else [examples]:
            yield from group


def without_golden(content: bytes) -> bytes:
    """The same model without golden rows, whose replay would refuse most mutants before they run."""
    artifact = forge.Artifact.parse(content)
    dropped = {index for key in ("columns", "missing", "expected") for index in artifact.header["golden"][key]} - {-1}
    artifact.header["golden"] = {"rows": 0, "columns": [], "missing": [], "expected": []}
    number = {old: new for new, old in enumerate(i for i in range(len(artifact.slabs)) if i not in dropped)}
    for node in artifact.header["nodes"]:
        node["constants"] = {name: number[index] for name, index in node["constants"].items()}
    for output in artifact.header["outputs"]:
        output["names"] = number.get(output["names"], output["names"])
        output["labels"] = number.get(output["labels"], output["labels"])
    artifact.slabs = [slab for index, slab in enumerate(artifact.slabs) if index not in dropped]
    return artifact.content()


def traits(content: bytes) -> set[str]:
    """What an artifact has that others may not: ops, their options, the constants they are given, column types."""
    header = forge.Artifact.parse(content).header
    found = {f"column {column['type'].split(',')[0]}" for column in header["schema"]}
    for node in header["nodes"]:
        found.add(node["op"])
        for name, value in node["attributes"].items():
            found.add(f"{node['op']} {name}={value}" if isinstance(value, str | bool) else f"{node['op']} {name}")
        for name, index in node["constants"].items():
            found.add(f"{node['op']} {name} {header['constants'][index]['dtype']}")
    return found


def main() -> None:
    """Compile every example, keep the small ones that add a trait, smallest first."""
    candidates = [forge.sample().to_bytes()]
    candidates.append(without_golden(candidates[0]))
    # no front end writes a range
    candidates += [model.to_bytes() for name, model in make_corpus.models() if name == "range"]
    for make in makers():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            candidates.append(without_golden(mlcore.compile(make()).to_bytes()))
    candidates[1:] = sorted((c for c in candidates[1:] if len(c) <= MAX_BYTES), key=len)
    every = set[str]().union(*map(traits, candidates))
    kept: list[bytes] = []
    while missing := every - set[str]().union(*map(traits, kept)):
        kept.append(max(candidates, key=lambda content: len(missing & traits(content)) / (2_000 + len(content))))
    kept = sorted({*kept, candidates[0]})
    CORPUS.mkdir(exist_ok=True)
    for old in CORPUS.glob("*.mlc"):
        old.unlink()
    for content in kept:
        (CORPUS / f"{hashlib.sha256(content).hexdigest()[:12]}.mlc").write_bytes(content)
    print(json.dumps({"files": len(kept), "bytes": sum(map(len, kept)), "traits": len(every)}))


if __name__ == "__main__":
    main()
