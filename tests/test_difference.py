"""What `mlcore diff` says: in the words of columns, categories and splits, and nothing where nothing changed."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import mlcore
import numpy as np
import pandas as pd
import pytest
from cases import MODELS, case
from holding import quiet
from mlcore.difference import diff
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeRegressor

FRAME = pd.DataFrame(
    {
        "age": [20.0, 30.0, 40.0, 50.0, 60.0, 70.0] * 5,
        "city": pd.Series((["Oslo"] * 4 + ["Bern", "Lima"]) * 5, dtype=object),
    }
)
OTHER = FRAME.assign(age=FRAME["age"] + np.arange(30) / 7)
CITIES = FRAME.assign(city=pd.Series((["Oslo"] * 3 + ["Bern", "Rome", "Oslo"]) * 5, dtype=object))
Y = np.arange(30.0) % 6


def changes(estimator: Any, first: pd.DataFrame, second: pd.DataFrame) -> list[str]:
    with quiet():
        a = mlcore.compile(estimator.fit(first, Y), first)
        b = mlcore.compile(estimator.fit(second, Y), second)
    assert diff(a, a) == diff(b, b) == []
    return diff(a, b)


def test_numbers_are_named_by_their_column() -> None:
    scaler = ColumnTransformer([("s", StandardScaler(), ["age"])])
    first, *_ = changes(scaler, FRAME, OTHER)
    assert first == "columntransformer / s: arith sub value of 'age': 45.0 -> 47.07142857142857"


def test_categories_that_came_and_went() -> None:
    encoder = ColumnTransformer([("c", OneHotEncoder(handle_unknown="ignore"), ["city"])])
    found = changes(encoder, FRAME, CITIES)
    assert "columntransformer / c: encode of 'city': categories lost 1: 'Lima'" in found
    assert "columntransformer / c: encode of 'city': categories gained 1: 'Rome'" in found
    assert "output transform: names lost 1: 'c__city_Lima'" in found


def test_categories_that_joined_a_group() -> None:
    def encoder(limit: int) -> Any:
        rare = OneHotEncoder(min_frequency=limit, handle_unknown="infrequent_if_exist")
        return mlcore.compile(ColumnTransformer([("c", rare, ["city"])]).fit(FRAME), FRAME)

    (line,) = [line for line in diff(encoder(1), encoder(6)) if "encode" in line and "categories" in line]
    assert line.endswith("categories 'Bern' joined a group of 2; 'Lima' joined a group of 2")
    (line,) = [line for line in diff(encoder(6), encoder(1)) if "encode" in line and "categories" in line]
    assert line.endswith("'Bern' left a group; 'Lima' left a group")


def test_codes_of_the_same_categories() -> None:
    def encoder(order: list[str]) -> mlcore.Model:
        ordinal = OrdinalEncoder(categories=[order])
        return mlcore.compile(ColumnTransformer([("c", ordinal, ["city"])]).fit(FRAME), FRAME)

    assert diff(encoder(["Bern", "Lima", "Oslo"]), encoder(["Lima", "Bern", "Oslo"])) == [
        "columntransformer / c: encode of 'city': codes of 'Bern' 0 -> 1, 'Lima' 1 -> 0",
        "columntransformer / c: table of 'city' values of 'Bern': 0.0 -> 1.0",
        "columntransformer / c: table of 'city' values of 'Lima': 1.0 -> 0.0",
    ]


def test_target_encodings_are_named_by_category() -> None:
    encoder = ColumnTransformer([("c", TargetEncoder(cv=2, random_state=0), ["city"])])
    found = changes(encoder, FRAME, CITIES)
    assert any("table of 'city' values of 'Bern[3]': 0.0 -> 1.0" in line for line in found)


def test_bin_edges_are_named_by_column() -> None:
    bins = KBinsDiscretizer(2, encode="ordinal", strategy="uniform")
    found = changes(ColumnTransformer([("b", bins, ["age"])]), FRAME, OTHER)
    assert found == ["columntransformer / b: bin edges of 'age': 45.0 -> 47.07142857142857"]


def test_weights_follow_the_column_that_is_still_there() -> None:
    features = ColumnTransformer([("c", OneHotEncoder(handle_unknown="ignore"), ["city"])], sparse_threshold=0.0)
    found = changes(make_pipeline(features, LinearRegression()), FRAME, CITIES)
    assert any("dot weights of 'city=Oslo'" in line for line in found)
    assert not any("city=Lima'" in line and "weights" in line for line in found)


def test_splits_are_shown_in_the_words_of_the_columns() -> None:
    tree = make_pipeline(ColumnTransformer([("s", "passthrough", ["age"])]), DecisionTreeRegressor(max_depth=1))
    found = changes(tree, FRAME, OTHER.assign(age=OTHER["age"].round(0)))
    assert any("tree 0, node 0: age <= " in line and " -> age <= " in line for line in found)


def test_trees_that_were_added() -> None:
    def booster(rounds: int) -> mlcore.Model:
        fitted = lgb.LGBMRegressor(n_estimators=rounds, min_child_samples=2, verbose=-1, n_jobs=1)
        return mlcore.compile(fitted.fit(FRAME[["age"]], Y), FRAME[["age"]])

    found = diff(booster(3), booster(5))
    assert found == ["lgbmregressor: trees: 3 -> 5 trees"]


def test_columns_that_came_and_went() -> None:
    scaler = StandardScaler()
    a = mlcore.compile(scaler.fit(FRAME[["age"]]), FRAME[["age"]])
    renamed = FRAME[["age"]].rename(columns={"age": "years"})
    found = diff(a, mlcore.compile(scaler.fit(renamed), renamed))
    assert found[:2] == ["input 'age' is gone", "input 'years' is new (float64)"]


def test_golden_rows_are_no_difference() -> None:
    scaler = StandardScaler().fit(FRAME[["age"]])
    one = mlcore.compile(scaler, FRAME[["age"]])
    other = mlcore.compile(scaler, FRAME[["age"]], keep_sample=True)
    assert one.to_bytes() != other.to_bytes()
    assert diff(one, other) == []


def test_wiring_is_not_overlooked() -> None:
    """The same steps and numbers over other columns: nothing to name, but not the same."""
    X = np.column_stack([Y, Y])

    def swapped(columns: list[int]) -> mlcore.Model:
        return mlcore.compile(ColumnTransformer([("p", "passthrough", columns)]).fit(X), X)

    assert diff(swapped([0, 1]), swapped([1, 0]))


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model(name: str) -> None:
    """A model does not differ from itself, and every line about another one is short enough to read."""
    found = case(name, "numbers" if MODELS[name].takes_gaps and not MODELS[name].native else "scalers")
    with quiet():
        model = mlcore.compile(found.estimator, found.train)
        other = case("hist" if name != "hist" else "forest", "scalers")
        foreign = mlcore.compile(other.estimator, other.train)
    assert diff(model, mlcore.Model.from_bytes(model.to_bytes())) == []
    lines = diff(model, foreign)
    assert lines
    assert all(len(line) < 500 for line in lines), max(lines, key=len)
