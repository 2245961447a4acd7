"""Small models that between them take every kind of column, and a table for them in JSON's and in pandas' terms."""

from __future__ import annotations

import math
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

__all__ = ["MATRIX", "ROWS", "WORDS", "answers", "frame_of", "make_models"]

NAN, INFINITY = math.nan, math.inf
KEYS = [0, 2**53, 2**53 + 1, 2**63 - 1, -(2**63) + 1]

# amount float64, rate float32, visits and key int64, small int8, flag bool, city text;
# amount, rate, visits and city may be missing
ROWS: list[dict[str, Any]] = [
    {"amount": 1.5, "rate": 0.5, "visits": 3, "key": 0, "small": 1, "flag": True, "city": "Oslo"},
    {"amount": None, "rate": None, "visits": None, "key": 2**53, "small": -128, "flag": False, "city": None},
    {"amount": NAN, "rate": NAN, "visits": -9, "key": 2**53 + 1, "small": 127, "flag": True, "city": "São Paulo"},
    {"amount": INFINITY, "rate": -INFINITY, "visits": 0, "key": 2**63 - 1, "small": 0, "flag": False, "city": "Oslo"},
    {
        "amount": -INFINITY,
        "rate": INFINITY,
        "visits": 2**53 + 1,
        "key": -(2**63) + 1,
        "small": 5,
        "flag": True,
        "city": "x",
    },
    {
        "amount": 5e-324,
        "rate": float(np.float32(0.1)),
        "visits": 2**63 - 1,
        "key": 7,
        "small": 9,
        "flag": True,
        "city": "🙂",
    },
    {"amount": -0.0, "rate": -0.0, "visits": 1, "key": -1, "small": 2, "flag": False, "city": 'a"b\\c\n\t\x00\u2028'},
    {"amount": 1.7976931348623157e308, "rate": float(np.finfo(np.float32).max), "visits": 2, "key": 2, "small": 3}
    | {"flag": True, "city": "Oslo "},
    {"amount": 12, "rate": 16777216, "visits": 4, "key": 4, "small": 4, "flag": False, "city": "日本"},
    {
        "amount": 0.1 + 0.2,
        "rate": float(np.float32(1e-45)),
        "visits": 5,
        "key": 5,
        "small": 5,
        "flag": True,
        "city": "oslo",
    },
]
EMPTY = ROWS[0] | {"city": ""}
WORDS = [{"amount": 0.25, "rate": 1.5}, {"amount": -3.0, "rate": -0.5}, {"amount": 1e300, "rate": 0.0}]
MATRIX = np.array([[0.5, -1.25, 3.0, 0.1], [np.nan, np.inf, -np.inf, 1e-45], [0.0, -0.0, 1e38, 2.0]], np.float32)


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The rows of `ROWS`' columns as a table of exact types."""

    def floats(name: str, dtype: Any) -> np.ndarray:
        return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype)

    return pd.DataFrame(
        {
            "amount": floats("amount", np.float64),
            "rate": floats("rate", np.float32),
            "visits": pd.array([row["visits"] for row in rows], dtype="Int64"),
            "key": np.array([row["key"] for row in rows], np.int64),
            "small": np.array([row["small"] for row in rows], np.int8),
            "flag": np.array([row["flag"] for row in rows], bool),
            "city": pd.Series([row["city"] for row in rows], dtype=object),
        }
    )


def _training() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(3)
    rows = 300
    frame = pd.DataFrame(
        {
            "amount": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
            "rate": rng.normal(size=rows).astype(np.float32),
            "visits": rng.integers(-9, 9, rows),
            "key": rng.choice(KEYS, rows),
            "small": rng.integers(0, 100, rows).astype(np.int8),
            "flag": rng.random(rows) < 0.5,
            "city": pd.Series(rng.choice(["Oslo", "São Paulo", ""], rows), dtype=object),
        }
    )
    frame.loc[::11, "city"] = None
    marks = (frame["rate"] > 0) ^ frame["flag"] ^ (frame["key"] > 2**53) ^ (frame["city"] == "Oslo")
    return frame, marks.to_numpy().astype(int)


def _features() -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("city", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]),
            ("key", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["key"]),
            ("visits", StandardScaler(), ["visits"]),
            ("flag", "passthrough", ["flag"]),
            ("numbers", "passthrough", ["amount", "rate", "small"]),
        ],
        sparse_threshold=0.0,
    )


def make_models() -> dict[str, mlcore.Model]:
    frame, marks = _training()
    target = marks * 10.0 + frame["small"] / 7
    classifier = make_pipeline(_features(), xgb.XGBClassifier(n_estimators=8, max_depth=4, n_jobs=1))
    regressor = make_pipeline(_features(), xgb.XGBRegressor(n_estimators=8, max_depth=4, n_jobs=1))
    numbers = frame[["amount", "rate"]].fillna(0.0)
    words = make_pipeline(StandardScaler(), LogisticRegression())
    matrix = np.random.default_rng(4).normal(size=(200, 4)).astype(np.float32)
    bare = xgb.XGBRegressor(n_estimators=6, max_depth=3, n_jobs=1)
    integers = pd.DataFrame({"a": frame["key"], "b": frame["key"][::-1].to_numpy()})
    passed = ColumnTransformer([("p", "passthrough", ["a", "b"])])
    return {
        "mixed": mlcore.compile(classifier.fit(frame, marks), frame),
        "value": mlcore.compile(regressor.fit(frame, target), frame),
        "words": mlcore.compile(words.fit(numbers, np.array(["no", "yes"])[marks]), numbers),
        "bare": mlcore.compile(bare.fit(matrix, matrix[:, 0] - matrix[:, 3]), matrix),
        "integers": mlcore.compile(passed.fit(integers), integers),
    }


def answers(model: mlcore.Model, table: Any) -> dict[str, np.ndarray]:
    """What the model answers in this process, by the name of the output."""
    found: dict[str, np.ndarray] = {}
    for output, tensor in zip(model.core.outputs, model.core.tensors["outputs"], strict=True):
        result = model.call(output["method"], table)
        assert not isinstance(result, list)  # of these models none has several targets
        found[tensor["name"]] = np.asarray(result)
    return found
