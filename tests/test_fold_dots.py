"""A dot product takes codes for one-hot columns, and gives the bits of the columns written out."""

from __future__ import annotations

import time
from typing import Any

import mlcore
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from cases import scale
from mlcore import _core
from mlcore.errors import MlcoreError
from mlcore.inspection import plan
from test_fold import pipeline, table

Array = npt.NDArray[Any]
ALLOW = {"nan": "allow", "inf": "allow"}
FLOATS: dict[str, type[np.floating[Any]]] = {"f64": np.float64, "f32": np.float32}


def outcome(model: _core.Model, batch: list[_core.Batch], *, folded: bool) -> list[bytes] | str:
    """Bytes of every output, or the refusal; of two NaNs a sum may keep either (their signs differ)."""
    try:
        blocks = model.run(batch, list(range(len(model.outputs))), folded=folded)
    except MlcoreError as error:
        return f"{type(error).__name__}: {error}"
    same_nan = [np.where(block != block, np.nan, block) if block.dtype.kind == "f" else block for block in blocks]
    return [block.tobytes() for block in same_nan]


def assert_same(model: _core.Model, batch: list[_core.Batch]) -> None:
    assert outcome(model, batch, folded=True) == outcome(model, batch, folded=False)


class Dots:
    """Random blocks of numbers and one-hot columns before a dot."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = "f64" if self.rng.random() < 0.6 else "f32"
        self.builder = _core.ProgramBuilder()
        self.kinds: list[int] = []  # by column of the schema: categories, 0 for numbers

    def node(self, op: str, inputs: list[Any], attrs: Any = None, constants: Any = None) -> Any:
        return self.builder.add(op, f"here / {op}", [value[0] for value in inputs], attrs or {}, constants or {})

    def numbers(self) -> Any:
        index, name = len(self.kinds), {"f64": "float64", "f32": "float32"}[self.dtype]
        self.kinds.append(0)
        self.builder.set_column(index, f"c{index}", name, True, False)
        return self.node("column", [], {"column": index, "dtype": self.dtype})

    def one_hot(self) -> Any:
        index, size = len(self.kinds), int(self.rng.integers(1, 25))
        self.kinds.append(size)
        self.builder.set_column(index, f"c{index}", "string", True, False)
        text = self.node("column", [], {"column": index, "dtype": "str"})
        codes = self.node(
            "encode", [text], {"unknown": "code", "null_code": -1}, {"keys": [f"k{i}" for i in range(size)]}
        )
        other = {"f64": "f32", "f32": "f64"}[self.dtype] if self.rng.random() < 0.2 else self.dtype
        hot = self.node("one_hot", [codes], {"width": size, "dtype": other})
        return hot if other == self.dtype else self.node("cast", [hot], {"dtype": self.dtype})

    def block(self, depth: int = 0) -> Any:
        draw = self.rng.random()
        if depth < 2 and draw < 0.3:
            value = self.node("concat", [self.block(depth + 1) for _ in range(int(self.rng.integers(1, 4)))])
        else:
            value = self.numbers() if draw < 0.6 else self.one_hot()
        if self.rng.random() < 0.2:
            forbid = self.rng.choice(["allow", "forbid"])
            value = self.node("check", [value], {"nan": "allow", "inf": forbid})
        return value

    def weights(self, shape: tuple[int, ...], odd: float) -> Array:
        values = self.rng.normal(size=shape) * 10.0 ** self.rng.integers(-6, 7, shape)
        rare = self.rng.choice([0.0, -0.0, 1e-320, 1e30], shape)
        return np.where(self.rng.random(shape) < odd, rare, values).astype(FLOATS[self.dtype])

    def build(self, finite: bool = True) -> _core.Model:
        value = self.node("concat", [self.block() for _ in range(int(self.rng.integers(2, 9)))])
        outputs = int(self.rng.integers(1, 4))
        constants = {"weights": self.weights((outputs, value[2]), 0.2)}
        if not finite:
            constants["weights"][0, 0] = np.inf
        if self.rng.random() < 0.7:
            constants["bias"] = self.weights((outputs,), 0.3)
        attrs = {
            "accumulate": self.rng.choice(["blocked", "sequential"]),
            "skip_missing": bool(self.rng.random() < 0.3),
        }
        out = self.node("dot", [value], attrs, constants)
        self.builder.add_output(
            "predict", -1, out[0], {"f64": "float64", "f32": "float32"}[self.dtype], False, [], None
        )
        return self.builder.finish()

    def batch(self, rows: int) -> list[_core.Batch]:
        builder = _core.BatchBuilder(rows)
        odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308, 5e-324] if self.rng.random() < 0.3 else [np.nan, -0.0, 3.0]
        for index, size in enumerate(self.kinds):
            if size:
                words = [f"k{i}" for i in range(size + 3)] + [None]
                builder.add_objects(f"c{index}", [words[i] for i in self.rng.integers(0, len(words), rows)], "string")
            else:
                values = np.where(self.rng.random(rows) < 0.1, self.rng.choice(odd, rows), self.rng.normal(size=rows))
                with np.errstate(over="ignore", under="ignore"):
                    builder.add_array(f"c{index}", values.astype(FLOATS[self.dtype]))
        (batch,) = builder.finish()
        return [batch]


def test_random_programs() -> None:
    folded = 0
    for seed in range(scale(150)):
        dots = Dots(seed)
        model = dots.build()
        folded += bool(model.fold_notes)
        for rows in (1, 3, 64, 130, 700):
            assert_same(model, dots.batch(rows))
    assert folded > scale(60)


def test_infinite_weights_keep_the_columns() -> None:
    for seed in range(20):
        dots = Dots(seed)
        model = dots.build(finite=False)
        assert not model.fold_notes
        assert_same(model, dots.batch(5))


def test_a_file_cannot_make_loading_deep_or_slow() -> None:
    """Nested checks, and concats that double what hangs below them, are left as they are."""
    for double in (False, True):
        dots = Dots(0)
        dots.dtype = "f64"
        value = dots.node("concat", [dots.one_hot(), dots.numbers()])
        value = value if value[1] == "f64" else dots.node("cast", [value], {"dtype": "f64"})
        for _ in range(13 if double else 5_000):
            value = dots.node("concat", [value, value]) if double else dots.node("check", [value], ALLOW)
        for _ in range(12):
            out = dots.node("dot", [value], {"accumulate": "blocked"}, {"weights": np.ones((1, value[2]))})
        dots.builder.add_output("predict", -1, out[0], "float64", False, [], None)
        start = time.perf_counter()
        model = dots.builder.finish()
        assert time.perf_counter() - start < 10
        assert_same(model, dots.batch(5))


@pytest.mark.parametrize("name", ["logistic", "multinomial", "ridge"])
def test_pipelines(name: str) -> None:
    from sklearn.linear_model import LogisticRegression, Ridge

    X = table(1_500, 0)
    X = X.fillna({"a": 0.0, "b": 0.0, "c": 0.0})
    score = X["a"] + X["t"].str[1:].astype(int) / 20
    y = pd.qcut(score, 4, labels=False) if name == "multinomial" else (score > 7).astype(int)
    last = Ridge() if name == "ridge" else LogisticRegression(max_iter=50)
    model = mlcore.compile(pipeline(last).fit(X, y), X.head(50))
    notes = model.core.fold_notes
    assert {note["op"] for note in notes} == {"dot"}
    assert sorted(note["origin"] for note in notes) == ["codes of column 's'", "codes of column 't'"]
    X.loc[::7, "s"] = "unseen"
    assert_same(model.core, mlcore.containers.batches(X, model.core.schema))
    assert "adds a weight per code of 2 columns" in plan(model)
