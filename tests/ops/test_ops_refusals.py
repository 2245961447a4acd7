"""What an op does not know it refuses: attributes, constants, inputs. Every op, each with a small correct use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from mlcore.errors import ProgramError
from op_graph import Graph, Value

F64, F32, I64 = np.ones(2), np.ones(2, dtype=np.float32), np.ones(2, dtype=np.int64)
ONE = np.ones(1)
OFFSETS = np.array([0, 1, 2])

# op -> inputs, attributes, constants of a correct node
USES: dict[str, tuple[Sequence[str], dict[str, Any], dict[str, Any]]] = {
    "column": ([], {"column": 0, "dtype": "f64"}, {}),
    "cast": (["f64"], {"dtype": "f32"}, {}),
    "concat": (["f64", "f64"], {}, {}),
    "select": (["f64"], {}, {"indices": I64}),
    "check": (["f64"], {"nan": "allow", "inf": "forbid"}, {}),
    "guard": (["f64", "str"], {}, {}),
    "range": (["f64"], {}, {"low": F64, "high": F64, "missing": np.zeros(2, np.uint8)}),
    "broadcast": ([], {}, {"value": F64}),
    "arith": (["f64"], {"fn": "add"}, {"value": F64}),
    "combine": (["f64", "f64"], {"fn": "max"}, {}),
    "clip": (["f64"], {}, {"lo": F64, "hi": F64}),
    "binarize": (["f64"], {}, {"threshold": ONE}),
    "poly": (["f64"], {}, {"offsets": OFFSETS, "factors": I64}),
    "normalize": (["f64"], {"norm": "l2"}, {}),
    "row_normalize": (["f64"], {"zero": "keep"}, {}),
    "weighted_sum": (["f64"], {}, {"weights": ONE}),
    "fill": (["f64"], {"match": "missing"}, {"value": F64}),
    "is_missing": (["f64"], {"match": "missing", "dtype": "f64"}, {}),
    "bin": (["f64"], {"side": "left", "dtype": "i32"}, {"offsets": OFFSETS, "edges": F64}),
    "encode": (["str"], {"unknown": "error"}, {"keys": ["a"]}),
    "one_hot": (["i32"], {"width": 2, "dtype": "f64"}, {}),
    "table": (["i32"], {}, {"values": F64}),
    "complement": (["one"], {}, {}),
    "argmax": (["f64"], {}, {}),
    "threshold": (["f64"], {"compare": "gt"}, {"cut": F64}),
    "interp": (["f64"], {}, {"x": F64, "y": F64}),
    "vote": (["i64"], {"classes": 3}, {}),
}


@pytest.fixture
def graph() -> Graph:
    out = Graph()
    out.column(np.ones(3))
    return out


def value_of(graph: Graph, kind: str) -> Value:
    """A value of the named type: two float columns, or one column of anything else."""
    if kind in ("f64", "f32", "one"):
        constant = {"f64": F64, "f32": F32, "one": ONE}[kind]
        return graph.node("broadcast", [], None, {"value": constant})
    if kind == "str":
        return graph.column(np.array(["a"], dtype=object))
    if kind == "i64":
        return graph.column(np.array([1]))
    return graph.node("encode", [value_of(graph, "str")], {"unknown": "error"}, {"keys": ["a"]})


def add(graph: Graph, op: str, inputs: Sequence[str], attrs: dict[str, Any], constants: dict[str, Any]) -> Value:
    return graph.node(op, [value_of(graph, kind) for kind in inputs], attrs, constants)


def refused(
    graph: Graph, op: str, inputs: Sequence[str], attrs: dict[str, Any], constants: dict[str, Any], text: str
) -> None:
    where = f"op '{op}' of step 'here / {op}': "
    with pytest.raises(ProgramError, match="^" + re.escape(where + text)):
        add(graph, op, inputs, attrs, constants)


@pytest.mark.parametrize("op", USES)
def test_the_correct_use_is_accepted(graph: Graph, op: str) -> None:
    inputs, attrs, constants = USES[op]
    assert add(graph, op, inputs, attrs, constants)[2] >= 1


@pytest.mark.parametrize("op", USES)
def test_an_unknown_attribute_or_constant_is_refused(graph: Graph, op: str) -> None:
    inputs, attrs, constants = USES[op]
    refused(graph, op, inputs, {**attrs, "speed": 1}, constants, "expected no attribute 'speed' here but found one")
    refused(graph, op, inputs, attrs, {**constants, "spare": ONE}, "expected no constant 'spare' here but found one")


@pytest.mark.parametrize("op", USES)
def test_a_lacking_attribute_or_constant_is_refused(graph: Graph, op: str) -> None:
    inputs, attrs, constants = USES[op]
    for name in attrs:
        left = {key: value for key, value in attrs.items() if key != name}
        refused(graph, op, inputs, left, constants, f"expected attribute '{name}' but found none")
    for name in constants:
        left = {key: value for key, value in constants.items() if key != name}
        refused(graph, op, inputs, attrs, left, f"expected constant '{name}' but found none")


@pytest.mark.parametrize("op", USES)
def test_an_attribute_of_another_type_or_value_is_refused(graph: Graph, op: str) -> None:
    inputs, attrs, constants = USES[op]
    for name, value in attrs.items():
        wanted, other = ("a string", "an int") if isinstance(value, str) else ("an int", "a string")
        wrong = 3 if isinstance(value, str) else "3"
        refused(
            graph,
            op,
            inputs,
            {**attrs, name: wrong},
            constants,
            f"expected attribute '{name}' to be {wanted} but found {other}",
        )
        if isinstance(value, str):
            with pytest.raises(ProgramError, match=rf"expected attribute '{name}' to be [a-z0-9_, ]+ but found 'Add'$"):
                add(graph, op, inputs, {**attrs, name: "Add"}, constants)


@pytest.mark.parametrize("op", USES)
def test_a_constant_of_another_type_is_refused(graph: Graph, op: str) -> None:
    inputs, attrs, constants = USES[op]
    for name in constants:
        wrong = {**constants, name: np.ones(2, dtype=np.uint32)}
        with pytest.raises(ProgramError, match=rf"expected constant '{name}' of type [a-z0-9, ]+ but found u32$"):
            add(graph, op, inputs, attrs, wrong)


@pytest.mark.parametrize("op", USES)
def test_another_number_of_inputs_is_refused(graph: Graph, op: str) -> None:
    inputs, attrs, constants = USES[op]
    if op not in ("concat", "guard", "vote", "weighted_sum"):
        counted = "1 input" if len(inputs) == 1 else f"{len(inputs)} inputs"
        refused(graph, op, [*inputs, "f64"], attrs, constants, f"expected {counted} but found {len(inputs) + 1}")
    if inputs:
        with pytest.raises(ProgramError, match=r"expected (at least )?\d inputs? but found 0$"):
            add(graph, op, [], attrs, constants)


# element types that an op takes besides the one in USES
ALSO = {
    "cast": {"f32", "i64", "i32"},
    "concat": {"f32", "i64", "i32", "str"},
    "select": {"f32", "i64", "i32", "str"},
    "fill": {"f32", "i64", "i32", "str"},
    "is_missing": {"f32", "i64", "i32", "str"},
    "check": {"f32", "str"},
    "guard": {"f32", "i64", "i32", "str"},
    "encode": {"f64", "f32", "i64"},
    **{op: {"f32"} for op in ("arith", "combine", "clip", "binarize", "poly", "normalize")},
    **{op: {"f32"} for op in ("row_normalize", "range")},
    **{op: {"f32"} for op in ("weighted_sum", "bin", "complement", "argmax", "threshold", "interp")},
}


@pytest.mark.parametrize("op", [op for op, (inputs, _, _) in USES.items() if inputs])
def test_another_type_of_input_is_refused(graph: Graph, op: str) -> None:
    inputs, attrs, constants = USES[op]
    taken = {"f64" if inputs[0] == "one" else inputs[0]} | ALSO.get(op, set())
    for kind in {"f64", "f32", "i64", "i32", "str"} - taken:
        with pytest.raises(ProgramError, match=rf"expected input 0 of type [a-z0-9, ]+ but found {kind}$"):
            add(graph, op, [kind] * len(inputs), attrs, constants)


@pytest.mark.parametrize("op", ["encode", "one_hot", "table", "complement", "vote"])
def test_a_wider_block_is_refused_where_one_column_is_meant(graph: Graph, op: str) -> None:
    inputs, attrs, constants = USES[op]
    single = value_of(graph, inputs[0])
    wide = graph.node("concat", [single, single])
    with pytest.raises(ProgramError, match=r"expected (an input|input 0) of width 1 but found 2"):
        graph.node(op, [wide], attrs, constants)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "constants", "text"),
    [
        ("column", [], {"column": 1, "dtype": "f64"}, {}, "expected attribute 'column' below 1 but found 1"),
        (
            "column",
            [],
            {"column": 0, "dtype": "str"},
            {},
            "expected column 'c0' to be read as a number because its type is float64 but found str",
        ),
        (
            "column",
            [],
            {"column": 0, "dtype": "i64"},
            {},
            "expected column 'c0' to be read as f64 or f32 because its type is float64 but found i64",
        ),
        ("concat", ["f64", "f32"], {}, {}, "expected input 1 of type f64 but found f32"),
        ("select", ["f64"], {}, {"indices": np.array([0, 2])}, "expected indices below 2 but found 2"),
        (
            "arith",
            ["f64"],
            {"fn": "add"},
            {"value": np.ones(3)},
            "expected 2 elements or 1 in constant 'value' but found 3",
        ),
        ("combine", ["one", "f64"], {"fn": "add"}, {}, "expected input 1 of width 1 or 1 but found 2"),
        ("combine", ["f64", "f32"], {"fn": "add"}, {}, "expected input 1 of type f64 but found f32"),
        ("weighted_sum", ["f64", "one"], {}, {"weights": F64}, "expected input 1 of width 2 but found 1"),
        (
            "weighted_sum",
            ["f32"],
            {},
            {"weights": np.array([0.1])},
            "expected float32 numbers in constant 'weights' because the block is f32 but found 0.1",
        ),
        (
            "weighted_sum",
            ["f32"],
            {},
            {"weights": ONE, "divisor": np.array([1e300])},
            "expected float32 numbers in constant 'divisor'",
        ),
        ("vote", ["i64"], {"classes": 0}, {}, "expected attribute 'classes' from 1 to 16777216 but found 0"),
        ("vote", ["i64"], {"classes": 2}, {"weights": np.array([np.nan])}, "expected finite weights but found nan"),
        (
            "table",
            ["i32"],
            {},
            {"values": np.ones((2, 2, 2))},
            "expected constant 'values' of 1 or 2 dimensions but found 3",
        ),
        (
            "table",
            ["i32"],
            {},
            {"values": np.ones((2, 3)), "default": F64},
            "expected 3 elements in constant 'default' but found 2",
        ),
        (
            "encode",
            ["one"],
            {"unknown": "error"},
            {"keys": np.array([0, np.nan])},
            "expected no NaN in constant 'keys' but found one",
        ),
        (
            "encode",
            ["str"],
            {"unknown": "code", "unknown_code": -2},
            {"keys": ["a"]},
            "expected attribute 'unknown_code' from -1 to 2147483647 but found -2",
        ),
        (
            "threshold",
            ["f64"],
            {"compare": "ge"},
            {"cut": np.array([np.nan])},
            "expected no NaN in constant 'cut' but found one",
        ),
        ("interp", ["f64"], {}, {"x": F32, "y": F32}, "expected constant 'x' of type f64 but found f32"),
        ("interp", ["f32"], {}, {"x": F32, "y": F64}, "expected constant 'y' of type f32 but found f64"),
        (
            "bin",
            ["one"],
            {"side": "left", "dtype": "i32"},
            {"offsets": np.array([0, 2]), "edges": np.array([2.0, 1.0])},
            "expected ascending numbers in constant 'edges' but found 1 after 2",
        ),
    ],
)
def test_refusals(
    graph: Graph, op: str, inputs: list[str], attrs: dict[str, Any], constants: dict[str, Any], text: str
) -> None:
    refused(graph, op, inputs, attrs, constants, text)


def test_a_refused_node_leaves_the_builder_as_it_was(graph: Graph) -> None:
    with pytest.raises(ProgramError):
        add(graph, "arith", ["f64"], {"fn": "pow"}, {"value": F64})
    value = add(graph, "arith", ["f64"], {"fn": "mul"}, {"value": F64})
    assert [node["op"] for node in graph.model(value).nodes] == ["column", "broadcast", "broadcast", "arith"]


def test_equal_keys_are_refused_when_the_model_is_finished(graph: Graph) -> None:
    value = add(graph, "encode", ["one"], {"unknown": "error"}, {"keys": np.array([0.0, 1.0, -0.0])})
    with pytest.raises(ProgramError, match="expected distinct keys but found -0 twice"):
        graph.model(value)
