"""Hostile artifacts by name: each has a digest that fits, and each must be refused.

An attack takes a good artifact without golden rows (so that nothing but the checks can catch it) and gives the
bytes of a bad one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from forge import Artifact, dump, frame, reseal, text_slab

Attack = Callable[[Artifact], bytes]
ATTACKS: dict[str, Attack] = {}


def attack(name: str) -> Callable[[Attack], Attack]:
    """Register an attack."""

    def register(function: Attack) -> Attack:
        assert name not in ATTACKS
        ATTACKS[name] = function
        return function

    return register


def edit(name: str, change: Callable[[Artifact], Any]) -> None:
    """Register an attack that changes the parts of a good file."""

    def build(good: Artifact) -> bytes:
        change(good)
        return good.content()

    attack(name)(build)


def raw(name: str, change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> None:
    """Register an attack that changes the text of the header, or the data behind it."""

    def build(good: Artifact) -> bytes:
        content = good.content()
        (length,) = struct.unpack_from("<Q", content)
        return frame(*change(content[8 : 8 + length].rstrip(b" "), content[8 + length : -32]))

    attack(name)(build)


def replace(name: str, old: str, new: str | bytes) -> None:
    """Register an attack that replaces text of the header."""
    found = new if isinstance(new, bytes) else new.encode()

    def change(header: bytes, data: bytes) -> tuple[bytes, bytes]:
        assert old.encode() in header, f"the sample has no {old}"
        return header.replace(old.encode(), found, 1), data

    raw(name, change)


# -- two readings of one file ---------------------------------------------------------------------

replace("key twice", '"nullable":true', '"nullable":false,"nullable":true')
replace("key twice, same value", '"version":1', '"version":1,"version":1')
replace("attribute twice", '"match":"missing"', '"match":"missing","match":"missing"')
replace("unknown key", '"nullable":true', '"nullable":true,"on_load":"import os"')
replace("unknown section", '"provenance":', '"plugins":["/tmp/x.so"],"provenance":')
replace("missing key", '"nullable":true,', "")
replace("keys in another order", '"name":"amount","type":"float64"', '"type":"float64","name":"amount"')
replace("white space", '"schema":[', '"schema": [')
replace("escaped letter", '"amount"', '"\\u0061mount"')
replace("other escape of a tab", "\\u0009", "\\t")
replace("upper-case escape", "\\u0009", "\\U0009")
replace("minus zero", '"column":0', '"column":-0')
replace("leading zero", '"column":0', '"column":00')
replace("exponent", '"column":0', '"column":0e0')
replace("float for an integer", '"rows":0', '"rows":0.0')
replace("NaN", '"column":0', '"column":NaN')
replace("comment", '"nodes":[', '/* */"nodes":[')
replace("trailing comma", '"inputs":[0]', '"inputs":[0,]')
replace("single quotes", '"amount"', "'amount'")
raw("text behind the header", lambda header, data: (header + b"{}", data))
raw("byte order mark", lambda header, data: (b"\xef\xbb\xbf" + header, data))
raw("header in UTF-16", lambda header, data: (header.decode().encode("utf-16-le"), data))
raw("64 spaces more", lambda header, data: (header + b" " * 64, data))
raw("line break instead of spaces", lambda header, data: (header + b"\n", data))
raw("data behind the last slab", lambda header, data: (header, data + b"PK\x05\x06" + bytes(60)))
raw("zeros behind the last slab", lambda header, data: (header, data + bytes(64)))
raw("a byte in the padding", lambda header, data: (header, data[:63] + b"x" + data[64:]))
raw("data cut", lambda header, data: (header, data[:-64]))
raw("no data", lambda header, data: (header, b""))
raw("data shifted", lambda header, data: (header, data[64:] + data[:64]))


@attack("content before the file")
def _(good: Artifact) -> bytes:
    return reseal(b"#!/bin/sh\n" + bytes(54) + good.content()[:-32])


@attack("two files in one")
def _(good: Artifact) -> bytes:
    return good.content() + good.content()


@attack("unaligned header")
def _(good: Artifact) -> bytes:
    content = good.content()
    (length,) = struct.unpack_from("<Q", content)
    return reseal(struct.pack("<Q", length - 1) + content[8:-32])


# -- text ---------------------------------------------------------------------

for label, bad in {
    "lone continuation": b"\x80",
    "overlong slash": b"\xc0\xaf",
    "surrogate": b"\xed\xa0\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "cut sequence": b"\xe8\xaa",
}.items():
    replace(f"header text, {label}", "amount", bad)
    raw(
        f"category, {label}",
        lambda header, data, bad=bad: (header, data.replace(b"redgreenblue", (bad + b"redgreenblue")[:12], 1)),
    )
replace("escaped NUL in a name", "amount", "amo\\u0000nt")
replace("lone escaped surrogate", "amount", "amo\\udc00nt")
replace("raw control character", "amount", "amo\nnt")
edit("two columns of one name", lambda a: a.header["schema"][1].update(name="amount"))


# -- counts, sizes, places ---------------------------------------------------------------------

for value in (2**63 - 1, 2**63, 2**64 - 1, -1, -(2**63), 10**30, 2**32):
    replace(f"slab offset {value}", '"offset":64,', f'"offset":{value},')
    replace(f"slab bytes {value}", '"offset":64,"bytes":8', f'"offset":64,"bytes":{value}')
    replace(f"slab shape {value}", '"shape":[1],"offset":64', f'"shape":[{value}],"offset":64')
    replace(f"golden rows {value}", '"rows":0', f'"rows":{value}')
    replace(f"input {value}", '"inputs":[0]', f'"inputs":[{value}]')
    replace(f"column {value}", '"column":0', f'"column":{value}')
    replace(f"constant {value}", '"constants":{"value":0}', f'"constants":{{"value":{value}}}')
    replace(f"labels {value}", '"labels":23', f'"labels":{value}')
    replace(f"output value {value}", '"value":12', f'"value":{value}')
replace("shape whose product wraps", '"shape":[1],"offset":64', '"shape":[4194305,4194305,211106198978564],"offset":64')
replace("shape of 1000 dimensions", '"shape":[1],"offset":64', '"shape":[' + "1," * 999 + '1],"offset":64')
replace("slabs that overlap", '"offset":64,', '"offset":0,')
replace("a hole between slabs", '"offset":64,', '"offset":128,')
replace("unknown element type", '"dtype":"u32"', '"dtype":"object"')
edit(
    "text offsets that fall",
    lambda a: a.set_slab("encode", "keys", ("str", [2], struct.pack("<3q", 0, 4, 2) + b"abcd")),
)
edit("text offsets beyond", lambda a: a.set_slab("encode", "keys", ("str", [1], struct.pack("<2q", 0, 2**40))))
edit("text offset negative", lambda a: a.set_slab("encode", "keys", ("str", [1], struct.pack("<2q", -8, 0))))
edit(
    "text longer than its offsets",
    lambda a: a.set_slab("encode", "keys", ("str", [1], struct.pack("<2q", 0, 1) + b"ab")),
)


@attack("header length 2^64 - 1")
def _(good: Artifact) -> bytes:
    return reseal(b"\xff" * 8 + good.content()[8:-32])


@attack("header length 2^63")
def _(good: Artifact) -> bytes:
    return reseal(struct.pack("<Q", 2**63) + good.content()[8:-32])


@attack("header length 0")
def _(good: Artifact) -> bytes:
    return reseal(bytes(8) + good.content()[8:-32])


@attack("nothing but a digest")
def _(good: Artifact) -> bytes:
    return reseal(b"")


# -- nesting ---------------------------------------------------------------------

for count in (10, 64, 100_000, 1_000_000):
    replace(f"{count} arrays in one another", '"inputs":[0]', '"inputs":' + "[" * count + "]" * count)
    replace(f"{count} objects in one another", '"column":0', '"column":' + '{"a":' * count + "0" + "}" * count)
replace("a million open brackets", '"inputs":[0]', '"inputs":' + "[" * 1_000_000)


# -- the graph ---------------------------------------------------------------------


def node(a: Artifact, op: str) -> dict[str, Any]:
    return a.node(op)


edit("a node that reads itself", lambda a: node(a, "fill").update(inputs=[3]))
edit("two nodes that read each other", lambda a: node(a, "fill").update(inputs=[4]))
edit("a node that reads a later one", lambda a: node(a, "fill").update(inputs=[12]))
edit("too few inputs", lambda a: node(a, "trees").update(inputs=[]))
edit("too many inputs", lambda a: node(a, "trees").update(inputs=[10, 10]))
edit("unknown op", lambda a: node(a, "fill").update(op="eval"))
edit("op by path", lambda a: node(a, "fill").update(op="/lib/x86_64-linux-gnu/libc.so.6"))
edit("unknown attribute", lambda a: node(a, "fill")["attributes"].update(zzz=1))
edit("missing attribute", lambda a: node(a, "fill")["attributes"].clear())
edit("attribute of another type", lambda a: node(a, "fill")["attributes"].update(match=True))
edit("unused constant", lambda a: node(a, "fill")["constants"].update(zzz=0))
edit("missing constant", lambda a: node(a, "fill")["constants"].clear())
edit("constant of another type", lambda a: a.set_array("fill", "value", np.array([1], np.int64)))
edit("constant of another size", lambda a: a.set_array("fill", "value", np.array([1.0, 2.0])))
edit("a column that is not there", lambda a: node(a, "column")["attributes"].update(column=3))
edit("a text column as number", lambda a: node(a, "column")["attributes"].update(column=1))
edit("no outputs", lambda a: (a.header["outputs"].clear(), a.slabs.__delitem__(slice(-4, None))))
edit("one output twice", lambda a: a.header["outputs"][1].update(method="predict"))
edit("output of another dtype", lambda a: a.header["outputs"][1].update(dtype="<U3"))
edit("output of an unknown dtype", lambda a: a.header["outputs"][1].update(dtype="O8,(2,)f4"))
edit("a matrix as vector", lambda a: a.header["outputs"][2].update(vector=True))
edit("too many names", lambda a: a.slabs.__setitem__(-1, text_slab(["a", "b"])))
edit("positions beyond the labels", lambda a: a.slabs.__setitem__(23, text_slab(["no"])))
edit("names that are numbers", lambda a: a.slabs.__setitem__(-1, a.slabs[0]))

# -- bins, tables, categories ---------------------------------------------------------------------

edit("one-hot of width -1", lambda a: node(a, "one_hot")["attributes"].update(width=-1))
edit("one-hot of width 0", lambda a: node(a, "one_hot")["attributes"].update(width=0))
edit("one-hot narrower than its codes", lambda a: node(a, "one_hot")["attributes"].update(width=2))
edit("one-hot of width 2^62", lambda a: node(a, "one_hot")["attributes"].update(width=2**62))
edit("select beyond the input", lambda a: a.set_item("select", "indices", 0, 6))
edit("select before the input", lambda a: a.set_item("select", "indices", 0, -1))
edit("bin edges that fall", lambda a: a.set_array("bin", "edges", np.array([3.0, 2.0, 1.0])))
edit("bin edges with NaN", lambda a: a.set_array("bin", "edges", np.array([1.0, np.nan, 2.0])))
edit("bin offsets beyond", lambda a: a.set_array("bin", "offsets", np.array([0, 4])))
edit("bin offsets negative", lambda a: a.set_array("bin", "offsets", np.array([-1, 3])))
edit("one category twice", lambda a: a.set_slab("encode", "keys", text_slab(["red", "green", "red"])))
edit("dot of another width", lambda a: a.set_array("dot", "weights", np.array([[1.0, 2.0]])))

# -- trees ---------------------------------------------------------------------

for name, constant, index, value in [
    ("child beyond the tree", "left", 0, 5),
    ("child beyond all nodes", "right", 5, 1000),
    ("child before the tree", "left", 0, -2),
    ("no child", "left", 0, -1),
    ("child is its parent", "left", 1, 1),
    ("cycle", "right", 1, 0),
    ("two parents", "right", 1, 3),
    ("child of a leaf", "left", 2, 3),
    ("feature beyond the input", "feature", 0, 3),
    ("feature negative", "feature", 0, -2),
    ("feature 2^31 - 1", "feature", 0, 2**31 - 1),
    ("threshold NaN", "threshold", 0, np.nan),
    ("leaf beyond the values", "leaf", 2, 5),
    ("leaf negative", "leaf", 2, -1),
    ("missing rule 3", "missing", 0, 3),
    ("missing rule 255", "missing", 0, 255),
    ("trees that end before they begin", "tree_offsets", 1, -1),
    ("trees beyond the nodes", "tree_offsets", 2, 9),
    ("nodes without a tree", "tree_offsets", 2, 7),
    ("first tree not first", "tree_offsets", 0, 1),
    ("empty tree", "tree_offsets", 1, 0),
    ("output beyond", "tree_output", 0, 1),
    ("output negative", "tree_output", 0, -1),
    ("category words beyond the pool", "category_words", 5, 2),
    ("category words negative", "category_words", 5, -1),
    ("category offset beyond the pool", "category_offset", 5, 1),
    ("category offset negative", "category_offset", 5, -1),
    ("category offset 2^31 - 1", "category_offset", 5, 2**31 - 1),
]:
    edit(f"trees, {name}", lambda a, c=constant, i=index, v=value: a.set_item("trees", c, i, v))
for constant in ("feature", "threshold", "left", "right", "missing", "leaf", "category_offset", "category_words"):
    edit(
        f"trees, short {constant}",
        lambda a, c=constant: a.set_array("trees", c, a.array("trees", c)[:-1]),
    )
edit("trees, base of another width", lambda a: a.set_array("trees", "base", np.array([0.0, 0.0])))
edit("trees, no outputs", lambda a: node(a, "trees")["attributes"].update(outputs=0))
edit("trees, -1 outputs", lambda a: node(a, "trees")["attributes"].update(outputs=-1))
edit("trees, 2^40 outputs", lambda a: node(a, "trees")["attributes"].update(outputs=2**40))
edit("trees, no trees", lambda a: a.set_array("trees", "tree_offsets", np.array([0])))


# -- versions ---------------------------------------------------------------------

replace("version 0", '"version":1', '"version":0')
replace("version 2", '"version":1', '"version":2')
replace("version 10^40", '"version":1', f'"version":{10**40}')
replace("version -1", '"version":1', '"version":-1')
replace("version as text", '"version":1', '"version":"1"')
replace("another format", '"format":"mlcore"', '"format":"safetensors"')


# -- small files, big cost ---------------------------------------------------------------------


def many(count: int, item: str) -> str:
    return ",".join([item] * count)


NODE = dump({"op": "", "path": "", "inputs": [], "attributes": {}, "constants": {}})
COLUMN = dump({"name": "", "type": "bool", "nullable": True, "distinguishes_missing": True})
SLAB = dump({"dtype": "u8", "shape": [0], "offset": 0, "bytes": 0})
OUTPUT = dump({"method": "", "index": 0, "value": 0, "dtype": "", "vector": True, "names": 0, "labels": -1})
ATTRIBUTES = dump(
    {"op": "", "path": "", "inputs": [], "attributes": {f"{i:03}": 0 for i in range(250)}, "constants": {}}
)

# names of attacks whose cost is measured
BOMBS: list[str] = []


def bomb(name: str, old: str, new: str) -> None:
    """Register an attack on memory or time."""
    replace(f"bomb, {name}", old, new)
    BOMBS.append(f"bomb, {name}")


bomb("nodes", '"nodes":[', f'"nodes":[{many(240_000, NODE)},')
bomb("columns", '"schema":[', f'"schema":[{many(200_000, COLUMN)},')
bomb("slabs", '"constants":[', f'"constants":[{many(300_000, SLAB)},')
bomb("outputs", '"outputs":[', f'"outputs":[{many(150_000, OUTPUT)},')
bomb("attributes", '"nodes":[', f'"nodes":[{many(7_000, ATTRIBUTES)},')
bomb("inputs of one node", '"inputs":[0]', f'"inputs":[{many(7_000_000, "0")}]')
bomb("inputs, empty arrays", '"inputs":[0]', f'"inputs":[{many(5_000_000, "[]")}]')
bomb("attributes of one node", '"match":"missing"', ",".join(f'"{i}":0' for i in range(1_000_000)))
bomb("golden columns", '"columns":[]', f'"columns":[{many(7_000_000, "0")}]')
bomb("provenance", '"library":', ",".join(f'"{i}":""' for i in range(1_000_000)) + ',"library":')
bomb("header beyond the limit", '"amount"', '"' + "a" * 20_000_000 + '"')
bomb("brackets", '"inputs":[0]', '"inputs":' + "[" * 15_000_000)
bomb("one wide one-hot", '"width":3', '"width":16777215')


@attack("bomb, names")
def _(good: Artifact) -> bytes:
    good.slabs[-1] = text_slab([""] * 3_000_000)
    return good.content()


@attack("bomb, golden rows")
def _(good: Artifact) -> bytes:
    good.header["golden"] = {"rows": 2**40, "columns": [-1, -1, -1], "missing": [-1, -1, -1], "expected": [0, 0, 0, 0]}
    return good.content()


BOMBS += ["bomb, names", "bomb, golden rows"]
