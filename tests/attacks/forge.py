"""A second reader and writer of the .mlc format, in Python, from docs/artifact-format.md alone.

The reader shows that the document is enough. The writer builds what the real one never would: files that are
well formed on the outside, with a digest that fits, and hostile inside.
"""

from __future__ import annotations

import copy
import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from mlcore import _core

ALIGNMENT = 64
DIGEST = 32
NUMPY = {"f64": "<f8", "f32": "<f4", "i64": "<i8", "i32": "<i4", "u32": "<u4", "u8": "|u1"}
Array = npt.NDArray[Any]


def reseal(content: bytes) -> bytes:
    """Append the digest."""
    return content + hashlib.sha256(content).digest()


def frame(header: bytes, data: bytes) -> bytes:
    """Build a whole file around any header and data."""
    header += b" " * (-(8 + len(header)) % ALIGNMENT)
    return reseal(struct.pack("<Q", len(header)) + header + data)


def escape(text: str) -> str:
    """Spell a string the one way the format knows."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif ord(char) < 0x20:
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


def dump(value: Any) -> str:
    """Spell a header value; the order of keys is the dict's."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list):
        return "[" + ",".join(dump(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{escape(key)}:{dump(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def array_slab(values: Array) -> tuple[str, list[int], bytes]:
    """Give dtype, shape and bytes of an array."""
    names = {np.dtype(text): name for name, text in NUMPY.items()}
    return names[values.dtype], list(values.shape), np.ascontiguousarray(values).tobytes()


def text_slab(values: list[str]) -> tuple[str, list[int], bytes]:
    """Give dtype, shape and bytes of a list of strings."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)]).astype("<i8")
    return "str", [len(values)], offsets.tobytes() + b"".join(encoded)


@dataclass
class Artifact:
    """A file in parts: the header as a dict, without the constants' places, and the content of each slab."""

    header: dict[str, Any]
    slabs: list[tuple[str, list[int], bytes]] = field(default_factory=list)

    @staticmethod
    def parse(content: bytes) -> Artifact:
        """Read a good file."""
        (length,) = struct.unpack_from("<Q", content)
        assert hashlib.sha256(content[:-DIGEST]).digest() == content[-DIGEST:]
        header = json.loads(content[8 : 8 + length])
        data = content[8 + length : -DIGEST]
        slabs = []
        for slab in header["constants"]:
            slabs.append((slab["dtype"], slab["shape"], data[slab["offset"] : slab["offset"] + slab["bytes"]]))
        return Artifact(header, slabs)

    def content(self) -> bytes:
        """Write the file: slabs placed one after the other, header spelled canonically."""
        constants = []
        data = b""
        for dtype, shape, content in self.slabs:
            constants.append({"dtype": dtype, "shape": shape, "offset": len(data), "bytes": len(content)})
            data += content + b"\0" * (-len(content) % ALIGNMENT)
        header = {key: constants if key == "constants" else value for key, value in self.header.items()}
        return frame(dump(header).encode("utf-8", "surrogatepass"), data)

    def copy(self) -> Artifact:
        return copy.deepcopy(self)

    def node(self, op: str) -> dict[str, Any]:
        """Find the first node of an op."""
        found: dict[str, Any] = next(node for node in self.header["nodes"] if node["op"] == op)
        return found

    def array(self, op: str, constant: str) -> Array:
        """Give a writable copy of a node's constant."""
        dtype, shape, content = self.slabs[self.node(op)["constants"][constant]]
        return np.frombuffer(content, NUMPY[dtype]).reshape(shape).copy()

    def set_slab(self, op: str, constant: str, slab: tuple[str, list[int], bytes]) -> None:
        self.slabs[self.node(op)["constants"][constant]] = slab

    def set_array(self, op: str, constant: str, values: Array) -> None:
        self.set_slab(op, constant, array_slab(values))

    def set_item(self, op: str, constant: str, index: Any, value: Any) -> None:
        """Change elements of a node's constant."""
        values = self.array(op, constant)
        values[index] = value
        self.set_array(op, constant, values)


def forest() -> dict[str, Array]:
    """Two trees over three features, one with a categorical split."""
    return {
        "tree_offsets": np.array([0, 5, 8]),
        "tree_output": np.array([0, 0], np.int32),
        "feature": np.array([0, 1, -1, -1, -1, 2, -1, -1], np.int32),
        "threshold": np.array([0.5, 1.5, 0, 0, 0, 0, 0, 0]),
        "left": np.array([1, 3, -1, -1, -1, 1, -1, -1], np.int32),
        "right": np.array([2, 4, -1, -1, -1, 2, -1, -1], np.int32),
        "missing": np.array([1, 0, 0, 0, 0, 1, 0, 0], np.uint8),
        "category_offset": np.array([0, 0, 0, 0, 0, 0, 0, 0], np.int32),
        "category_words": np.array([0, 0, 0, 0, 0, 1, 0, 0], np.int32),
        "category_bits": np.array([0b101], np.uint32),
        "leaf": np.array([0, 0, 0, 1, 2, 0, 3, 4], np.int32),
        "leaf_values": np.array([0.25, -1.0, 2.0, 0.125, -0.5]),
        "base": np.array([0.5]),
    }


def sample() -> _core.Model:
    """Build a model that uses most kinds of ops: numbers, text, bins, categories, trees, labels."""
    builder = _core.ProgramBuilder()
    builder.set_column(0, "amount", "float64", True, False)
    builder.set_column(1, "color", "string", True, False)
    builder.set_column(2, "visits", "int32", False, False)

    def add(op: str, inputs: list[int], attributes: dict[str, Any], constants: dict[str, Any] | None = None) -> int:
        return builder.add(op, f"pipeline / {op}", inputs, attributes, constants or {})[0]

    amount = add("column", [], {"column": 0, "dtype": "f64"})
    color = add("column", [], {"column": 1, "dtype": "str"})
    visits = add("column", [], {"column": 2, "dtype": "f64"})
    filled = add("fill", [amount], {"match": "missing"}, {"value": np.array([0.75])})
    scaled = add("arith", [filled], {"fn": "mul"}, {"value": np.array([2.0])})
    bins = add(
        "bin",
        [visits],
        {"side": "right", "dtype": "f64"},
        {"offsets": np.array([0, 3]), "edges": np.array([1.0, 2.0, 3.0])},
    )
    code = add("encode", [color], {"unknown": "code"}, {"keys": ["red", "green", "blue"]})
    category = add("table", [code], {}, {"values": np.array([0.0, 1.0, 2.0]), "default": np.array([np.nan])})
    hot = add("one_hot", [code], {"width": 3, "dtype": "f64"})
    wide = add("concat", [scaled, bins, category, hot], {})
    features = add("select", [wide], {}, {"indices": np.array([0, 1, 2])})
    trees = add(
        "trees",
        [features],
        {
            "outputs": 1,
            "compare": "lt",
            "categories": "left",
            "category_rule": "lightgbm",
            "vector_leaf": False,
            "result": "sum",
        },
        dict(forest()),
    )
    label = add("threshold", [trees], {"compare": "gt"}, {"cut": np.array([0.25])})
    both = add("dot", [hot], {"accumulate": "sequential"}, {"weights": np.array([[1.0, 2.0, 3.0]])})
    builder.add_output("predict", -1, label, "<U3", True, ["class"], ["no", "yes"])
    builder.add_output("decision_function", -1, trees, "float64", True, ["margin"], None)
    builder.add_output("transform", 0, wide, "float64", False, ["a", "b", "c", "d", "e", "f"], None)
    builder.add_output("transform", 1, both, "float64", False, ["dot"], None)
    builder.set_provenance({"library": "a sample", "note": 'tab \t quote " é'})
    return builder.finish().with_golden(rows())


def rows() -> _core.Batch:
    """Three rows for the sample: usual, missing, unknown."""
    builder = _core.BatchBuilder(3)
    builder.add_array("amount", np.array([0.1, np.nan, 1e300]))
    builder.add_objects("color", np.array(["red", None, "mauve"], object), "string")
    builder.add_array("visits", np.array([0, 2, 9], np.int32))
    (batch,) = builder.finish()
    return batch
