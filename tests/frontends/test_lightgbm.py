"""LightGBM: margins bit for bit, probabilities within 4 ULP, labels equal, for every kind and awkward input."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import mlcore
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from examples_lightgbm import (
    BOOSTERS,
    CLASSIFIERS,
    COLUMNS,
    RANKERS,
    REGRESSORS,
    booster,
    classifier,
    fit,
    frame,
    frame_target,
    numbers,
    reloaded,
    signal,
)
from mlcore.frontends import load_all
from mlcore.frontends._lightgbm_link import Objective, _probe_text, label_cut, library_link, objective_of
from mlcore.frontends._lightgbm_text import ZERO_BAND, atof, parse_model
from mlcore.frontends.context import Context, Frame, Part, Refused
from mlcore.frontends.reference import reference
from mlcore.frontends.registry import entry_for
from mlcore.model import Model

ARRAY_MODELS: dict[str, Callable[[], Any]] = {
    **{f"Booster {name}": make for name, make in BOOSTERS.items()},
    **{f"LGBMClassifier {name}": make for name, make in CLASSIFIERS.items()},
    **{f"LGBMRegressor {name}": make for name, make in REGRESSORS.items() if "frame" not in name},
    **{f"LGBMRanker {name}": make for name, make in RANKERS.items()},
}


def awkward(model: Any, rows: int = 500, seed: int = 5) -> np.ndarray:
    """Values at and beside every threshold, and everything that LightGBM treats specially."""
    text = parse_model(getattr(model, "_Booster", model).model_to_string(num_iteration=-1))
    cuts = [float(cut) for tree in text.trees for cut in tree.get("threshold", "").split()]
    edge = np.nextafter(ZERO_BAND, 1.0)
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, -1e-36, ZERO_BAND, -ZERO_BAND, edge, -edge, 5e-324, 1e300]
    special += [
        -1e300,
        -0.5,
        -1.0,
        -0.999,
        3.7,
        31.0,
        32.0,
        33.0,
        64.0,
        2.0**31 - 1,
        2.0**31,
        2.0**32,
        -(2.0**31),
        1e10,
    ]
    pool = np.concatenate([cuts, np.nextafter(cuts, np.inf), np.nextafter(cuts, -np.inf), special * 2])
    rng = np.random.default_rng(seed)
    table = numbers(seed, rows)
    chosen = rng.random(table.shape) < 0.7
    table[chosen] = rng.choice(pool, int(chosen.sum()))
    return table


def distance(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest distance in units in the last place; NaN equals NaN only."""
    assert np.array_equal(np.isnan(expected), np.isnan(found))
    same = (expected == found) | np.isnan(expected)
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.where(same, 0.0, np.abs(expected - found) / np.spacing(np.abs(expected))).max(initial=0.0))


def assert_same(model: Any, compiled: Model, data: Any) -> None:
    """Every method of ``compiled`` against the original on ``data``."""
    assert "decision_function" in compiled.methods
    for method in compiled.methods:
        expected = np.asarray(reference(model, method, data))
        found = np.asarray(compiled.call(method, data))
        assert found.shape == expected.shape, method
        assert found.dtype == expected.dtype, method
        labels = method == "predict" and hasattr(model, "classes_") and not callable(model.objective)
        if labels:
            assert (expected == found).all()
        elif method == "decision_function":
            nan = np.isnan(expected)
            assert np.array_equal(nan, np.isnan(found))
            assert expected[~nan].tobytes() == found[~nan].tobytes()
        elif method == "predict_proba":
            # 1 - p is as far off as p, in units of 1
            assert np.array_equal(np.isnan(expected), np.isnan(found))
            assert np.nanmax(np.abs(expected - found), initial=0.0) <= 4 * np.finfo(float).eps
        else:
            assert distance(expected, found) <= 4


def build(model: Any, kinds: list[str], *, names: list[str] | None = None, sparse: bool = False) -> Model:
    """The front end alone, on a frame of our choice."""
    load_all()
    ctx = Context()
    columns = [ctx.add_column(names[index] if names else f"x{index}", kind) for index, kind in enumerate(kinds)]
    entry = entry_for(model)
    assert entry is not None
    outputs = entry.compile(model, Frame(ctx, [Part(column=column) for column in columns], names, sparse=sparse), ctx)
    for method in ("predict", "decision_function"):
        output = outputs[method]
        ctx.builder.add_output(method, -1, output.value.id, "float64", output.vector, [], None)
    return Model(ctx.builder.finish())


@pytest.mark.parametrize("name", ARRAY_MODELS)
def test_every_kind_on_awkward_rows(name: str) -> None:
    model = ARRAY_MODELS[name]()
    compiled = mlcore.compile(model, sample=numbers(2))
    assert compiled.parity is not None
    assert all(method.mismatches == 0 for method in compiled.parity.methods.values())
    assert_same(model, compiled, awkward(model))


@pytest.mark.parametrize("name", ["Booster linear trees", "Booster categories", "LGBMClassifier multiclass"])
def test_same_bits_for_every_batch_size(name: str) -> None:
    model = ARRAY_MODELS[name]()
    compiled = mlcore.compile(model)
    table = awkward(model, 130)
    whole = compiled.decision_function(table).tobytes()
    for size in (1, 2, 3, 7, 64, 129):
        pieces = [compiled.decision_function(table[start : start + size]) for start in range(0, len(table), size)]
        assert np.concatenate(pieces).tobytes() == whole


@pytest.mark.parametrize("seed", range(max(1, int(10 * float(os.environ.get("MLCORE_TEST_SCALE", "1"))))))
def test_random_models(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = numbers(seed) * rng.choice([1.0, 1.0, 1e-35, 3e-35])
    X = np.nan_to_num(X) if rng.random() < 0.3 else X
    parameters = {
        "num_leaves": int(rng.integers(2, 64)),
        "min_data_in_leaf": int(rng.integers(1, 20)),
        "learning_rate": float(rng.choice([0.05, 0.3, 1.0])),
        "max_bin": int(rng.choice([3, 15, 255])),
        "boosting": str(rng.choice(["gbdt", "dart", "rf"])),
        "boost_from_average": bool(rng.random() < 0.7),
        "extra_trees": bool(rng.random() < 0.3),
        "max_cat_to_onehot": int(rng.choice([4, 64])),
        "linear_tree": seed % 4 == 0,
        "zero_as_missing": seed % 4 == 1,
        "use_missing": seed % 4 != 2,
    }
    # LightGBM refuses linear leaves for objectives that renew their leaf values
    objective = str(rng.choice(["regression", "binary", "multiclass", "poisson", "cross_entropy", "multiclassova"]))
    model = booster(objective, int(rng.integers(1, 20)), [3, 4] if rng.random() < 0.5 else "auto", X, **parameters)
    sparse = bool(rng.random() < 0.3)
    compiled = build(model, ["float64"] * COLUMNS, sparse=sparse)
    rows = awkward(model, seed=seed)
    data = scipy.sparse.csr_matrix(rows) if sparse else rows
    assert distance(model.predict(data, raw_score=True), compiled.decision_function(rows)) == 0
    assert distance(model.predict(data), compiled.predict(rows)) <= 4


def test_boosting_kinds_use_what_they_say() -> None:
    # the cases above must not silently train something simpler
    text = {name: BOOSTERS[name]().model_to_string(num_iteration=-1) for name in BOOSTERS}
    assert "is_linear=1" in text["linear trees"]
    assert "cat_threshold" in text["categories"]
    assert "average_output" in text["rf"]
    assert "objective=" not in text["custom objective"]
    decisions = {
        name: {int(value) for tree in parse_model(text[name]).trees for value in tree.get("decision_type", "").split()}
        for name in text
    }
    missing = {name: {(value >> 2) & 3 for value in values if not value & 1} for name, values in decisions.items()}
    assert missing["no missing values"] == {0}
    assert missing["zero_as_missing"] == {1}
    assert 2 in missing["regression"]
    assert {value & 2 for value in decisions["regression"]} == {0, 2}
    stopped = BOOSTERS["early stopping"]()
    assert stopped.best_iteration < stopped.num_trees()
    assert len(parse_model(text["one leaf"]).trees[0]["leaf_value"].split()) == 1


def test_random_forest_margin_is_the_sum_and_predict_the_mean() -> None:
    model = booster("regression", boosting="rf", rounds=7)
    compiled = mlcore.compile(model)
    rows = numbers(3)
    assert compiled.decision_function(rows).tobytes() == model.predict(rows, raw_score=True).tobytes()
    assert compiled.predict(rows).tobytes() == (compiled.decision_function(rows) / 7.0).tobytes()


# -- thresholds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0.0, -0.0, 1e-36, -1e-36, ZERO_BAND, -ZERO_BAND, 1e-35, -1e-35, 2e-35, -2e-35])
@pytest.mark.parametrize("decision", [0, 2, 4, 6, 8, 10])
@pytest.mark.parametrize("sparse", [False, True])
def test_cuts_inside_the_zero_band(cut: float, decision: int, sparse: bool) -> None:
    model = booster(X=np.nan_to_num(numbers())[:, :1].repeat(COLUMNS, axis=1), rounds=1, num_leaves=2)
    lines = model.model_to_string(num_iteration=-1).split("\n")
    lines = [f"threshold={cut!r}" if line.startswith("threshold=") else line for line in lines]
    lines = [f"decision_type={decision}" if line.startswith("decision_type=") else line for line in lines]
    text = "\n".join(line for line in lines if not line.startswith("tree_sizes="))
    model = lgb.Booster(model_str=text)
    edges = [0.0, 5e-324, 1e-36, 1e-35, ZERO_BAND, 2e-35, 1.0, np.inf]
    near = [value for edge in edges for value in (edge, np.nextafter(edge, np.inf), np.nextafter(edge, -np.inf))]
    column = np.asarray([*near, *(-value for value in near), np.nan])
    table = np.repeat(column[:, None], COLUMNS, axis=1)
    original = scipy.sparse.csr_matrix(table) if sparse else table
    compiled = build(model, ["float64"] * COLUMNS, sparse=sparse)
    assert compiled.decision_function(table).tobytes() == model.predict(original, raw_score=True).tobytes()


def test_forced_splits(tmp_path: Path) -> None:
    forced = {"feature": 0, "threshold": 0.0, "left": {"feature": 1, "threshold": -0.25}}
    path = tmp_path / "forced.json"
    path.write_text(json.dumps(forced))
    model = booster(forcedsplits_filename=str(path))
    first = parse_model(model.model_to_string()).trees[0]
    assert first["split_feature"].split()[:2] == ["0", "1"]
    assert_same(model, mlcore.compile(model), awkward(model))


@pytest.mark.parametrize("parameters", [{}, {"zero_as_missing": True}, {"linear_tree": True}, {"use_missing": False}])
def test_sparse_rows(parameters: dict[str, Any]) -> None:
    X = numbers()
    settings = {"objective": "regression", "verbose": -1, "num_threads": 1, "num_leaves": 8, **parameters}
    dense = bool(parameters.get("linear_tree"))
    data = lgb.Dataset(X if dense else scipy.sparse.csr_matrix(X), signal(X), params=settings)
    model = lgb.train(settings, data, 8)
    table = awkward(model)
    compiled = build(model, ["float64"] * COLUMNS, sparse=True)
    expected = model.predict(scipy.sparse.csr_matrix(table), raw_score=True)
    assert distance(expected, compiled.decision_function(table)) == 0
    assert distance(model.predict(table), mlcore.compile(model).predict(table)) == 0


def test_pipeline_with_a_sparse_step() -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    X = np.nan_to_num(numbers())[:, 3:]
    pipe = make_pipeline(OneHotEncoder(handle_unknown="ignore"), fit("LGBMClassifier", X, (X[:, 0] > 9).astype(int)))
    pipe.fit(X, (X[:, 0] > 9).astype(int))
    compiled = mlcore.compile(pipe, sample=X)
    assert compiled.decision_function(X).tobytes() == pipe.predict(X, raw_score=True).tobytes()
    assert (compiled.predict(X) == pipe.predict(X)).all()


def test_float32_input_compares_in_double() -> None:
    model = booster()
    with np.errstate(over="ignore"):
        table = awkward(model).astype(np.float32)
    compiled = mlcore.compile(model, sample=table)
    assert distance(model.predict(table), compiled.predict(table)) == 0


def test_integer_arrays_go_through_float32() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(-(2**40), 2**40, size=(400, 3))
    y = X[:, 0] / 2.0**38 + rng.normal(size=400)
    model = fit("LGBMRegressor", X, y, n_estimators=20)
    text = parse_model(model.booster_.model_to_string())
    cuts = np.asarray([float(cut) for tree in text.trees for cut in tree["threshold"].split()]).astype(np.int64)
    rows = rng.choice(np.concatenate([cuts + step for step in (0, 1, -1, 999, -999, 40_000)]), size=(500, 3))
    compiled = mlcore.compile(model, sample=X)
    expected = model.predict(rows)
    assert compiled.predict(rows).tobytes() == expected.tobytes()
    assert (expected != model.predict(rows.astype(np.float64))).any()

    table = pd.DataFrame(X, columns=list("abc"))
    model = fit("LGBMRegressor", table, y, n_estimators=20)
    compiled = mlcore.compile(model, sample=table)
    rows_frame = pd.DataFrame(rows, columns=list("abc"))
    assert compiled.predict(rows_frame).tobytes() == model.predict(rows_frame).tobytes()


def test_integers_of_a_step_before_go_through_float32() -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    X = np.nan_to_num(numbers())[:, 3:]
    encoder = OrdinalEncoder(dtype=np.int64, handle_unknown="use_encoded_value", unknown_value=2**24 + 1)
    pipe = make_pipeline(encoder, fit("LGBMRegressor", X, signal(numbers()))).fit(X, signal(numbers()))
    compiled = mlcore.compile(pipe, sample=X)
    rows = X + np.random.default_rng(0).integers(0, 2, X.shape) * 1000.0
    assert compiled.predict(rows).tobytes() == pipe.predict(rows).tobytes()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "bool", "float32"])
def test_narrow_arrays(dtype: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2 if dtype == "bool" else 100, size=(300, 4)).astype(dtype)
    model = fit("LGBMRegressor", X, X.astype(float).sum(axis=1))
    compiled = mlcore.compile(model, sample=X)
    assert compiled.predict(X).tobytes() == model.predict(X).tobytes()


# -- categories -----------------------------------------------------------------------------------------------------


def dirty_frame(seed: int, rows: int = 300) -> pd.DataFrame:
    """Unseen and missing categories, other category orders, a column that is all missing."""
    rng = np.random.default_rng(seed)
    table = frame(seed, rows)
    table["city"] = pd.Categorical(rng.choice(["Bonn", "Rīga", "Oslo", "Paris", "", None], rows))
    table["size"] = pd.Categorical(rng.choice(["l", "m", "s", "xxl", None], rows), ordered=True)
    table["code"] = pd.Categorical(rng.choice([5, 10, 20, 30, 2**40], rows))
    return table


@pytest.mark.parametrize("kind", ["estimator", "booster", "reloaded", "linear", "zero_as_missing"])
def test_pandas_categories(kind: str) -> None:
    table = frame()
    y = frame_target(table)
    extra = {"linear": {"linear_tree": True}, "zero_as_missing": {"zero_as_missing": True}}.get(kind, {})
    model = fit("LGBMRegressor", table, y, n_estimators=20, min_child_samples=2, verbose=-1, **extra)
    if kind == "booster":
        model = model.booster_
    elif kind == "reloaded":
        model = reloaded(model.booster_)
    compiled = mlcore.compile(model, sample=table)
    for data in (table, dirty_frame(3), dirty_frame(4)):
        assert_same(model, compiled, data)
    assert "cat_threshold" in getattr(model, "_Booster", model).model_to_string() or kind == "linear"


def test_category_columns_given_by_number_among_pandas_categories() -> None:
    table = frame()
    settings = {"objective": "regression", "verbose": -1, "num_threads": 1, "min_data_per_group": 5, "cat_smooth": 1.0}
    data = lgb.Dataset(table, frame_target(table), categorical_feature=["count", "city"], params=settings)
    model = lgb.train(settings, data, 8)
    compiled = mlcore.compile(model, sample=table)
    assert_same(model, compiled, dirty_frame(3))


def test_categories_that_cannot_be_placed_are_refused() -> None:
    table = pd.DataFrame({"a": pd.Categorical([1, 2, 3] * 50, ordered=True), "b": [1, 2, 0, 2, 0, 1] * 25})
    model = fit("LGBMRegressor", table, np.arange(150.0))
    problems = mlcore.check(model, sample=table)
    assert len(problems) == 1
    assert "pandas categoricals" in str(problems[0])


def test_types_follow_from_the_categories_without_a_sample() -> None:
    model = fit("LGBMRegressor", frame(), frame_target(frame()))
    compiled = mlcore.compile(model)
    assert [column["type"] for column in compiled.schema] == [
        "float64", "string", "string", "int64", "float64", "float64", "bool",
    ]  # fmt: skip
    assert compiled.predict(frame(3)).tobytes() == model.predict(frame(3)).tobytes()


def test_a_column_without_any_category() -> None:
    table = frame()
    table["city"] = pd.Categorical([None] * len(table))
    model = fit("LGBMRegressor", table, np.nan_to_num(table["amount"]))
    compiled = mlcore.compile(model, sample=table)
    assert_same(model, compiled, table)


# -- links and labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0.7", "0.123456789", "1e-05", "3.33333e-06", "0.3333333333333333", "12.5", "1e+20"])
def test_parameters_are_read_as_the_library_reads_them(text: str) -> None:
    probe = lgb.Booster(model_str=_probe_text(f"binary sigmoid:{text}"))
    unit = lgb.Booster(model_str=_probe_text("binary sigmoid:1"))
    margins = np.concatenate([np.random.default_rng(0).normal(size=500) * scale for scale in (1e-3, 1.0, 30.0)])
    expected = probe.predict(margins[:, None])
    assert unit.predict((atof(text) * margins)[:, None]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("scale", [0.1234567890123, 1.0 / 3.0, 0.7, 1.0])
@pytest.mark.parametrize("change", [lambda model: model, reloaded], ids=["live", "reloaded"])
def test_exact_scale_of_live_and_reloaded_boosters(scale: float, change: Callable[[Any], Any]) -> None:
    model = change(booster("binary", sigmoid=scale))
    text = parse_model(model.model_to_string(num_iteration=-1))
    found = objective_of(text, model).scale
    rows = numbers(4)
    raw = model.predict(rows, raw_score=True)
    unit = lgb.Booster(model_str=_probe_text("binary sigmoid:1"))
    assert unit.predict((found * raw)[:, None]).tobytes() == model.predict(rows).tobytes()


@pytest.mark.parametrize("name", ["binary", "cross_entropy", "cross_entropy_lambda", "poisson", "regression"])
@pytest.mark.parametrize("scale", [1.0, 0.37, 1e-5])
def test_label_cut_is_where_the_library_changes_its_mind(name: str, scale: float) -> None:
    links = {"binary": "sigmoid", "cross_entropy": "sigmoid", "cross_entropy_lambda": "log1p_exp", "poisson": "exp"}
    objective = Objective(name, links.get(name, "identity"), scale if name == "binary" else 1.0)
    link = library_link(booster(), objective)
    cut = label_cut(link, objective.scale)
    below = [cut, np.nextafter(cut, -np.inf), cut - 1e-9, cut - 1.0, -1e300, -np.inf]
    above = [np.nextafter(cut, np.inf), cut + 1e-9, cut + 1.0, 1e300, np.inf]
    p = link(np.asarray(below + above))
    columns = np.vstack((1.0 - p, p)).T
    assert columns.argmax(axis=1).tolist() == [0] * len(below) + [1] * len(above)


@pytest.mark.parametrize("parameters", [{}, {"objective": "cross_entropy"}, {"objective": "regression"}])
def test_no_label_flips_beside_the_cut(parameters: dict[str, Any]) -> None:
    model = classifier(("no", "yes"), n_estimators=1, num_leaves=31, min_child_samples=1, **parameters)
    inner = model.booster_
    text = parse_model(inner.model_to_string())
    link = library_link(inner, objective_of(text, inner))
    cut = label_cut(link)
    leaves = int(text.trees[0]["num_leaves"])
    assert leaves >= 20
    value = cut
    for _ in range(leaves // 2):
        value = np.nextafter(value, -np.inf)
    for leaf in range(leaves):
        inner.set_leaf_output(0, leaf, value)
        value = np.nextafter(value, np.inf)
    compiled = mlcore.compile(model, sample=numbers())
    rows = np.vstack([numbers(seed) for seed in range(5)])
    expected = model.predict(rows)
    assert set(expected) == {"no", "yes"}
    assert (compiled.predict(rows) == expected).all()


def test_ties_between_classes_take_the_first() -> None:
    model = classifier(("a", "b", "c"), n_estimators=1, num_leaves=2)
    inner = model.booster_
    text = parse_model(inner.model_to_string())
    for tree, entry in enumerate(text.trees):
        for leaf in range(int(entry["num_leaves"])):
            inner.set_leaf_output(tree, leaf, [0.3, 40.0, 0.3][tree] if leaf else 0.25)
    for objective in (None, "multiclassova"):
        compiled = mlcore.compile(model, sample=numbers())
        assert (compiled.predict(numbers(1)) == model.predict(numbers(1))).all()
        assert objective is None or (model.predict_proba(numbers(1)).max(axis=1) == 1.0).any()
        model = classifier(("a", "b", "c"), n_estimators=1, num_leaves=2, objective="multiclassova")
        for tree in range(3):
            for leaf in range(int(parse_model(model.booster_.model_to_string()).trees[tree]["num_leaves"])):
                model.booster_.set_leaf_output(tree, leaf, [38.0, 45.0, 60.0][tree])


@pytest.mark.parametrize("labels", [("no", "yes"), ("a", "b", "c")])
def test_labels_keep_their_dtype(labels: tuple[str, ...]) -> None:
    X = numbers()
    y = np.asarray(labels, dtype=object)[np.digitize(signal(X), [0.0, 1.0][: len(labels) - 1])]
    for given in (y, y.astype(str)):
        model = fit("LGBMClassifier", X, given)
        found = mlcore.compile(model, sample=X).predict(X)
        assert found.dtype == model.predict(X).dtype
        assert (found == model.predict(X)).all()


def test_two_classes_with_a_multiclass_objective() -> None:
    X = numbers()
    model = lgb.LGBMClassifier(objective="multiclass", num_class=2, n_estimators=5, verbose=-1, n_jobs=1)
    model.fit(X, signal(X) > 0)
    compiled = mlcore.compile(model, sample=X)
    assert_same(model, compiled, awkward(model))


# -- refusals -------------------------------------------------------------------------------------------------------


def problems_of(model: Any, sample: Any = None) -> str:
    with pytest.raises(mlcore.UnsupportedError) as caught:
        mlcore.compile(model, sample=sample)
    return str(caught.value)


def test_early_stop_of_predictions_is_refused_where_it_acts() -> None:
    X = numbers()
    model = classifier(pred_early_stop=True)
    assert "pred_early_stop" in problems_of(model, X)
    harmless = fit("LGBMRegressor", X, signal(X), pred_early_stop=True)
    assert_same(harmless, mlcore.compile(harmless, sample=X), awkward(harmless))


def test_not_fitted() -> None:
    with pytest.raises(mlcore.InputError, match="not fitted"):
        mlcore.compile(lgb.LGBMClassifier(), sample=numbers())


def test_wrong_width() -> None:
    assert f"expected {COLUMNS} columns but found 3" in problems_of(booster(), numbers()[:, :3])


def test_one_class() -> None:
    X = numbers()
    model = fit("LGBMClassifier", X, np.zeros(len(X), dtype=int))
    assert "two classes" in problems_of(model, X)


def test_columns_that_are_not_numbers() -> None:
    X = pd.DataFrame(numbers(), columns=list("abcde"))
    model = fit("LGBMRegressor", X, signal(X.to_numpy()))
    with pytest.raises(Refused, match=r"column is timestamp\[us\]"):
        build(model, ["float64", "timestamp[us]", *["float64"] * 3], names=list("abcde"))
    assert "string" in problems_of(model, X.assign(b="text"))


def test_arrays_of_uint64_are_refused() -> None:
    X = np.random.default_rng(0).integers(0, 2**63, size=(300, 2)).astype(np.uint64)
    assert "uint64" in problems_of(fit("LGBMRegressor", X, X[:, 0] / 2.0**60), X)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version=v4", "version=v9", "version v4"),
        ("num_class=1", "num_class=2", "2 classes"),
        ("objective=regression", "objective=huber alpha:0.9", "alpha"),
        ("objective=regression", "objective=unheard", "unheard"),
        ("left_child=1", "left_child=0", "children after their parents"),
        ("split_feature=", "split_feature=7 ", "split_feature"),
    ],
)
def test_texts_that_are_not_understood(old: str, new: str, message: str) -> None:
    class Fake:
        pandas_categorical = None
        best_iteration = -1

        def model_to_string(self, num_iteration: int) -> str:
            text = booster(rounds=1).model_to_string(num_iteration=num_iteration)
            assert old in text
            return str(text.replace(old, new, 1))

    from mlcore.frontends.lightgbm import _compile_booster

    ctx = Context()
    parts = [Part(column=ctx.add_column(f"x{index}", "float64")) for index in range(COLUMNS)]
    with pytest.raises(Refused, match=message):
        _compile_booster(Fake(), Frame(ctx, parts), ctx)
