"""Write the seed corpus of fuzz_artifact: good models of many shapes, and the attacks on them.

Usage: python tests/fuzz/make_corpus.py DIRECTORY

The corpus is the same on every run. `fuzz_artifact DIRECTORY/*` replays it, `fuzz_artifact DIRECTORY` explores on
from it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "attacks"))

import forge
from attacks import ATTACKS
from mlcore import _core

LARGEST = 20_000  # bytes: larger inputs make a fuzzer slow and say nothing new

Values = dict[str, Any]


def chain(*steps: tuple[str, Values, Values], column: str = "float64") -> _core.Model:
    """Build a model of one column and ops that follow one another."""
    builder = _core.ProgramBuilder()
    builder.set_column(0, "x", column, True, False)
    dtype = "str" if column == "string" else "f64"
    value, kind, _ = builder.add("column", "column", [], {"column": 0, "dtype": dtype}, {})
    for op, attributes, constants in steps:
        value, kind, _ = builder.add(op, op, [value], attributes, constants)
    dtypes = {"f64": "float64", "f32": "float32", "i64": "int64", "i32": "int32", "str": "object"}
    builder.add_output("transform", -1, value, dtypes[kind], False, [], None)
    return builder.finish()


def models() -> Iterator[tuple[str, _core.Model]]:
    """Give models that reach every op from one column."""
    none: Values = {}
    yield "sample", forge.sample()
    for fn in ("abs", "sqrt", "sign", "rint", "exp", "log", "log1p", "tanh", "expit", "cbrt"):
        yield f"unary-{fn}", chain(("unary", {"fn": fn}, none))
    for fn in ("add", "sub", "mul", "div", "rsub", "rdiv"):
        yield f"arith-{fn}", chain(("arith", {"fn": fn}, {"value": np.array([3.0])}))
    for column in ("bool", "int8", "int64", "uint64", "float16", "float32", "date32", "timestamp[ms, Europe/Paris]"):
        yield f"column-{column.split('[')[0]}", chain(column=column)
    yield "string", chain(column="string")
    yield "cast", chain(("cast", {"dtype": "f32"}, none))
    yield "select", chain(("select", none, {"indices": np.array([0, 0, 0])}))
    yield "check", chain(("check", {"nan": "forbid", "inf": "forbid"}, none))
    bounds = {"low": np.array([-1.0]), "high": np.array([1.0]), "missing": np.array([1], np.uint8)}
    yield "range", chain(("range", none, bounds))
    yield "clip", chain(("clip", none, {"lo": np.array([-1.0]), "hi": np.array([1.0])}))
    yield "binarize", chain(("binarize", none, {"threshold": np.array([0.5])}))
    yield "poly", chain(("poly", none, {"offsets": np.array([0, 0, 1, 3]), "factors": np.array([0, 0, 0])}))
    for norm in ("l1", "l2", "max"):
        yield f"normalize-{norm}", chain(("normalize", {"norm": norm}, none))
    yield "row-normalize", chain(("row_normalize", {"zero": "uniform"}, none))
    yield "fill-value", chain(("fill", {"match": "value"}, {"value": np.array([1.0]), "match_value": np.array([-1.0])}))
    yield "fill-text", chain(("fill", {"match": "missing"}, {"value": ["none"]}), column="string")
    yield "is-missing", chain(("is_missing", {"match": "missing", "dtype": "f32"}, none))
    edges = {"offsets": np.array([0, 3]), "edges": np.array([-1.0, 0.0, 1.0])}
    for side in ("left", "right"):
        yield f"bin-{side}", chain(("bin", {"side": side, "dtype": "i32"}, edges))
    codes = ("encode", {"unknown": "code", "null_code": 1}, {"keys": ["a", "b"], "codes": np.array([1, 0], np.int32)})
    yield "encode-text", chain(codes, column="string")
    yield "encode-number", chain(("encode", {"unknown": "error"}, {"keys": np.array([0.0, 1.0])}))
    yield "one-hot", chain(codes, ("one_hot", {"width": 2, "dtype": "f32"}, none), column="string")
    yield "table-text", chain(codes, ("table", none, {"values": ["x", "y"], "default": ["z"]}), column="string")
    yield (
        "dot",
        chain(("dot", {"accumulate": "blocked"}, {"weights": np.array([[1.0], [2.0]]), "bias": np.array([0.5, 1.0])})),
    )
    yield "argmax", chain(("select", none, {"indices": np.array([0, 0])}), ("argmax", none, none))
    yield "threshold", chain(("threshold", {"compare": "ge"}, {"cut": np.array([0.5])}))
    yield "complement", chain(("complement", none, none))
    knots = {"x": np.array([0.0, 1.0, 2.0]), "y": np.array([1.0, 0.0, 4.0])}
    yield "interp", chain(("interp", none, knots))
    single = ("cast", {"dtype": "f32"}, none)
    for fn in ("xgb_sigmoid", "xgb_softmax", "xgb_exp", "xgb_hinge", "sk_expit"):
        yield f"link-{fn}", chain(single, ("link", {"fn": fn}, none))
    for fn in ("lgb_sigmoid", "lgb_softmax", "lgb_exp", "lgb_sqrt", "sk_softmax", "sk_exp"):
        yield f"link-{fn}-f64", chain(("link", {"fn": fn}, none))


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    good = forge.Artifact.parse(forge.sample().to_bytes())
    good.header["golden"] = {"rows": 0, "columns": [], "missing": [], "expected": []}
    contents = {name: model.to_bytes() for name, model in models()}
    contents |= {f"attack-{name}": attack(good.copy()) for name, attack in ATTACKS.items()}
    contents = {name: content for name, content in contents.items() if len(content) <= LARGEST}
    for content in contents.values():
        (directory / hashlib.sha1(content).hexdigest()).write_bytes(content)
    print(f"{len(contents)} inputs")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
