"""Pull-back: a folded forest gives the bits, and the refusals, of the program as the file has it."""

from __future__ import annotations

import random
import time
from typing import Any

import mlcore
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from cases import scale
from holding import quiet
from mlcore import _core
from mlcore.containers import batches
from mlcore.errors import MlcoreError, UnsupportedError
from random_pipelines import random_case
from test_trees import CASES, Shape, draw

Array = npt.NDArray[Any]
ODD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e-36, 1e308, -1e308, 3.5e38, -3.5e38, 1e-46]


def outcome(model: _core.Model, batch: list[_core.Batch], outputs: list[int], *, folded: bool) -> list[bytes] | str:
    try:
        return [block.tobytes() for block in model.run(batch, outputs, folded=folded)]
    except MlcoreError as error:
        return f"{type(error).__name__}: {error}"


def assert_same(model: _core.Model, batch: list[_core.Batch]) -> None:
    for output in range(len(model.outputs)):
        expected = outcome(model, batch, [output], folded=False)
        assert outcome(model, batch, [output], folded=True) == expected


def around(cuts: Array, dtype: type[np.floating[Any]]) -> Array:
    """The cuts and one unit in the last place to both sides."""
    with np.errstate(over="ignore", under="ignore"):
        at = cuts.astype(dtype)
        return np.concatenate([at, np.nextafter(at, dtype(np.inf)), np.nextafter(at, dtype(-np.inf))])


# -- random programs: any chain of ops, any forest ---------------------------------------------------------------


class Programs:
    """Random chains of ops from float and string columns to the features of a random forest."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = _core.ProgramBuilder()
        self.columns: list[type[np.floating[Any]] | None] = []  # None: strings

    def node(self, op: str, inputs: list[tuple[int, str, int]], attrs: Any = None, constants: Any = None) -> Any:
        return self.builder.add(op, f"here / {op}", [value[0] for value in inputs], attrs or {}, constants or {})

    def floats(self, dtype: str, count: int) -> Array:
        values = self.rng.choice([*self.rng.normal(size=8), 2.0, -3.0, 0.1, 1e-3, -1e4, 1e30, *ODD[3:]], count)
        with np.errstate(over="ignore", under="ignore"):
            return values.astype({"f64": np.float64, "f32": np.float32}[dtype])

    def raw(self) -> tuple[int, str, int]:
        index = len(self.columns)
        kind = self.rng.choice(["float64", "float32", "string"], p=[0.45, 0.35, 0.2])
        self.columns.append({"float64": np.float64, "float32": np.float32, "string": None}[kind])
        self.builder.set_column(index, f"c{index}", kind, True, False)
        dtype = {"float64": "f64", "float32": "f32", "string": "str"}[kind]
        return self.node("column", [], {"column": index, "dtype": dtype})

    def step(self, value: tuple[int, str, int]) -> tuple[int, str, int]:
        _, dtype, width = value
        rng = self.rng
        if dtype == "str":
            keys = [f"k{i}" for i in range(int(rng.integers(1, 40)))]
            attrs = {
                "unknown": rng.choice(["code", "error"], p=[0.9, 0.1]),
                "null_code": int(rng.integers(-1, len(keys))),
            }
            return self.node("encode", [value], attrs, {"keys": keys})
        if dtype == "i32":
            if rng.random() < 0.5:
                return self.node("one_hot", [value], {"width": 41, "dtype": rng.choice(["f64", "f32"])})
            table = self.floats(rng.choice(["f64", "f32"]), 41 * 2).reshape(41, 2)
            return self.node("table", [value], None, {"values": table, "default": table[0]})
        choice = int(rng.integers(10))
        if choice == 0:
            return self.node("cast", [value], {"dtype": rng.choice(["f64", "f32"])})
        if choice <= 3:
            kind = "f64" if dtype == "f64" or rng.random() < 0.3 else "f32"
            fn = rng.choice(["add", "sub", "mul", "div", "rsub", "rdiv"])
            return self.node("arith", [value], {"fn": fn}, {"value": self.floats(kind, int(rng.choice([1, width])))})
        if choice == 4:
            return self.node("fill", [value], {"match": "missing"}, {"value": self.floats(dtype, width)})
        if choice == 5:
            low = self.floats(dtype, width)
            return self.node("clip", [value], None, {"lo": low, "hi": low + low.dtype.type(2)})
        if choice == 6:
            fn = rng.choice(["negative", "sign", "floor", "rint", "abs", "square"])
            return self.node("unary", [value], {"fn": fn})
        if choice == 7:
            edges = np.sort(self.floats("f64", 6 * width).reshape(width, 6), axis=1).ravel()
            attrs = {"side": rng.choice(["left", "right"]), "dtype": rng.choice(["f64", "f32"])}
            return self.node("bin", [value], attrs, {"offsets": np.arange(width + 1) * 6, "edges": edges})
        if choice == 8:
            return self.node(
                "check",
                [value],
                {"nan": rng.choice(["allow", "allow", "forbid"]), "inf": rng.choice(["allow", "forbid"])},
            )
        return self.node("binarize", [value], None, {"threshold": self.floats("f64", 1)})

    def build(self, shape: Shape) -> _core.Model:
        parts = []
        for _ in range(int(self.rng.integers(2, 6))):
            value = self.raw()
            for _ in range(int(self.rng.integers(2 if value[1] == "str" else 0, 6))):
                value = self.step(value)
            if value[1] == "i32":
                value = self.node("one_hot", [value], {"width": 41, "dtype": "f64"})
            wanted = {np.float64: "f64", np.float32: "f32"}[shape.block]
            parts.append(value if value[1] == wanted else self.node("cast", [value], {"dtype": wanted}))
        block = self.node("concat", parts)
        if self.rng.random() < 0.5:
            block = self.node("check", [block], {"nan": "allow", "inf": "forbid"})
        forest = draw(Shape(**{**shape.__dict__, "width": block[2]}), self.rng)
        value = self.node("trees", [block], forest.attributes, forest.constants)
        numpy_dtype = {"f64": "float64", "f32": "float32", "i64": "int64"}[value[1]]
        self.builder.add_output("predict", -1, value[0], numpy_dtype, False, [], None)
        self.builder.add_output(
            "transform", -1, block[0], {"f64": "float64", "f32": "float32"}[block[1]], False, [], None
        )
        return self.builder.finish()

    def batch(self, rows: int, cuts: dict[int, Array], odd: float) -> list[_core.Batch]:
        builder = _core.BatchBuilder(rows)
        for index, dtype in enumerate(self.columns):
            if dtype is None:
                words = [f"k{i}" for i in range(44)] + [None]
                builder.add_objects(f"c{index}", [words[i] for i in self.rng.integers(0, len(words), rows)], "string")
                continue
            pool = around(np.concatenate([cuts.get(index, np.zeros(1)), self.rng.normal(size=20)]), dtype)
            pool = np.where(np.isfinite(pool), pool, dtype(1))
            values = self.rng.choice(pool, rows)
            with np.errstate(over="ignore", under="ignore"):
                odd_values = self.rng.choice(np.array(ODD), rows).astype(dtype)
            builder.add_array(f"c{index}", np.where(self.rng.random(rows) < odd, odd_values, values))
        (batch,) = builder.finish()
        return [batch]


SHAPES = {
    name: shape for name, shape in CASES.items() if not shape.linear and 1 <= shape.depth <= 8 and shape.trees > 0
}


@pytest.mark.parametrize("name", SHAPES)
def test_random_programs(name: str) -> None:
    folded = kinds = 0
    for seed in range(scale(12)):
        programs = Programs(seed)
        model = programs.build(SHAPES[name])
        notes = model.fold_notes
        changed = not any(note["outcome"].startswith("not folded") for note in notes)
        folded += changed
        kinds |= sum(
            {"cuts": 1, "cut": 1, "set": 2, "sets": 2}.get(note["outcome"].split(" ")[1].rstrip(","), 0)
            for note in notes
            if changed
        )
        cuts: dict[int, Array] = {}
        for note in notes:
            if note["column"] >= 0:
                cuts[note["column"]] = np.concatenate([cuts.get(note["column"], np.zeros(0)), note["cuts"]])
        for odd, rows in ((0.0, 600), (0.05, 70), (0.3, 1), (0.3, 2)):
            for _ in range(1 if rows > 2 else 20):
                assert_same(model, programs.batch(rows, cuts, odd))
    if SHAPES[name].rule == "none" and max(SHAPES[name].missing) < 4:
        assert folded > 0
        assert kinds > 0


def test_looking_costs_little() -> None:
    """Neither deep chains of checks nor codes beyond all bounds make a file slow to load, or large in memory."""
    programs = Programs(0)
    programs.builder.set_column(0, "c0", "float64", True, False)
    value = programs.node("column", [], {"column": 0, "dtype": "f64"})
    for _ in range(20_000):
        value = programs.node("check", [value], {"nan": "allow", "inf": "forbid"})
    value = programs.node("arith", [value], {"fn": "sub"}, {"value": np.array([0.5])})
    keys, codes = np.array([1.0, 2.0]), np.array([0, 2**31 - 1], np.int32)
    code = programs.node("encode", [value], {"unknown": "code"}, {"keys": keys, "codes": codes})
    block = programs.node("concat", [value, programs.node("cast", [code], {"dtype": "f64"})])
    forest = draw(Shape(width=2), np.random.default_rng(0))
    result = programs.node("trees", [block], forest.attributes, forest.constants)
    programs.builder.add_output("predict", -1, result[0], "float64", False, [], None)
    start = time.perf_counter()
    model = programs.builder.finish()
    assert time.perf_counter() - start < 10
    programs.columns = [np.float64]
    assert_same(model, programs.batch(100, {}, 0.2))


# -- real pipelines -----------------------------------------------------------------------------------------------


def pipeline(model: Any, **encoder: Any) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

    return make_pipeline(
        ColumnTransformer(
            [
                ("scaled", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["a", "b"]),
                (
                    "binned",
                    make_pipeline(
                        SimpleImputer(), KBinsDiscretizer(5, encode="ordinal", quantile_method="averaged_inverted_cdf")
                    ),
                    ["c"],
                ),
                ("hot", OneHotEncoder(handle_unknown="ignore", min_frequency=2, sparse_output=False), ["s", "t"]),
                ("ordinal", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["s"]),
                ("target", TargetEncoder(random_state=0), ["t"]),
            ]
        ),
        model,
    )


def table(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    data: dict[str, Any] = {
        name: np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows) * 10) for name in "abc"
    }
    for name, count in (("s", 12), ("t", 300)):
        data[name] = np.array([f"{name}{i}" for i in range(count)], dtype=object)[rng.integers(0, count, rows)]
    return pd.DataFrame(data)


def models() -> dict[str, Any]:
    import lightgbm as lgb
    import xgboost as xgb
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier

    return {
        "xgboost": xgb.XGBClassifier(n_estimators=30, max_depth=5, n_jobs=1),
        "lightgbm": lgb.LGBMClassifier(n_estimators=30, n_jobs=1, verbose=-1),
        "forest": RandomForestClassifier(n_estimators=15, random_state=0),
        "boosting": GradientBoostingClassifier(n_estimators=20, random_state=0),
        "hist": HistGradientBoostingClassifier(max_iter=20, random_state=0),
    }


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "forest", "boosting", "hist"])
def test_pipelines_at_every_cut(name: str) -> None:
    """Each raw column at, and one unit beside, every cut that the forest makes in it."""
    X = table(1_500, 0)
    rng = np.random.default_rng(1)
    y = (np.nan_to_num(X["a"]) + X["t"].str[1:].astype(int) / 20 + rng.normal(size=len(X)) * 4 > 7).astype(int)
    model = mlcore.compile(pipeline(models()[name]).fit(X, y), X.head(50)).core
    notes = model.fold_notes
    assert not [note for note in notes if note["outcome"].startswith("not folded")]
    assert {note["steps"].split(", ")[0] for note in notes} >= {"fill", "one_hot", "table"}
    total = 0
    for note in notes:
        if note["column"] < 0:
            continue
        values = around(note["cuts"], np.float64)
        total += len(values)
        rows = X.sample(len(values), random_state=2, replace=True).reset_index(drop=True)
        rows[model.schema[note["column"]]["name"]] = values
        rows.loc[rng.random(len(rows)) < 0.1, "s"] = "unseen"
        assert_same(model, batches(rows, model.schema))
    assert total > 100
    for value in (np.inf, -np.inf, np.nan, 1e300):
        rows = X.head(3).copy()
        rows.loc[1, "b"] = value
        assert_same(model, batches(rows, model.schema))


def test_a_later_reader_of_the_features_keeps_them() -> None:
    from sklearn.ensemble import RandomForestClassifier, VotingClassifier
    from sklearn.linear_model import LogisticRegression

    X = table(300, 0)
    y = (np.nan_to_num(X["a"]) > 0).astype(int)
    both = VotingClassifier(
        [("l", LogisticRegression()), ("f", RandomForestClassifier(5, random_state=0))], voting="soft"
    )
    model = mlcore.compile(pipeline(both).fit(X, y), X.head(50))
    notes = [note for note in model.core.fold_notes if note["op"] == "trees"]
    assert ["reads the features too" in note["outcome"] for note in notes] == [True]


def test_random_pipelines() -> None:
    """Whatever the generator of dirty tables and pipelines makes."""
    found = 0
    for seed in range(scale(80)):
        with quiet():
            try:
                case = random_case(random.Random(seed))
                estimator = case.estimator.fit(case.train, case.y)
                model = mlcore.compile(estimator, case.train)
            except UnsupportedError:
                continue
            except Exception:  # the original cannot learn from this table
                continue
            notes = model.core.fold_notes
            if not notes or any(note["outcome"].startswith("not folded") for note in notes):
                continue
            found += 1
            for data in (case.train, case.test):
                try:
                    batch = batches(data, model.core.schema)
                except MlcoreError:
                    continue
                assert_same(model.core, batch)
    assert found >= 5
