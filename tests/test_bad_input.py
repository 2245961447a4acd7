"""Bad input, line by line of docs/guarantees.md: one documented error or result each, end to end, nothing half done.

What containers, files and the command line refuse by themselves is in test_containers, attacks and test_cli.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm as lgb
import mlcore
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xgboost as xgb
from cases import case, edge_rows, table
from holding import arrays, bits
from mlcore.cli import main
from mlcore.errors import ArtifactError, ArtifactIOError, InputError, UnsupportedError
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

FRAME = pd.DataFrame({"number": np.arange(30.0), "letter": pd.Series(["a", "b", "c"] * 10, dtype=object)})
HUGE = "x" * 10_000_000
SURROGATE = "\ud800"

ENCODERS: dict[str, Any] = {
    "error": OrdinalEncoder(),
    "hot error": OneHotEncoder(),
    "ignore": OneHotEncoder(handle_unknown="ignore"),
    "infrequent": OneHotEncoder(max_categories=2, handle_unknown="infrequent_if_exist"),
    "value": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-7),
}


def _compiled(encoder: str) -> mlcore.Model:
    features = ColumnTransformer(
        [("letter", ENCODERS[encoder], ["letter"]), ("number", StandardScaler(), ["number"])], sparse_threshold=0.0
    )
    tree = DecisionTreeRegressor(max_depth=3, random_state=0)
    target = FRAME["number"] + 100 * (FRAME["letter"] == "b")  # a column that no split reads is not looked at
    return mlcore.compile(make_pipeline(features, tree).fit(FRAME, target), FRAME)


MODELS = {name: _compiled(name) for name in ENCODERS}

CONTAINERS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "polars": lambda frame: pl.from_arrow(pa.Table.from_pandas(frame, preserve_index=False)),
    "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "columns": lambda frame: {name: series.tolist() for name, series in frame.items()},
    "rows": lambda frame: frame.to_dict("records"),
}


# -- columns ----------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], list[str]]] = {
    "missing": (lambda f: f.drop(columns="number"), ["'number'"]),
    "extra": (lambda f: f.assign(more=1), ["'more'"]),
    "renamed": (lambda f: f.rename(columns={"number": "Number"}), ["'number'", "'Number'"]),
    "text for numbers": (lambda f: f.assign(number="1.5"), ["'number'", "expected float64"]),
    "numbers for text": (lambda f: f.assign(letter=1.5), ["'letter'", "expected string"]),
    "truth for text": (lambda f: f.assign(letter=True), ["'letter'", "expected string"]),
    "times for numbers": (lambda f: f.assign(number=pd.Timestamp("2024-01-01")), ["'number'", "expected float64"]),
    "another schema": (lambda f: table(3).drop(columns="when"), ["'number'", "'letter'", "'amount'", "'job'"]),
    "all at once": (
        lambda f: f.drop(columns="number").assign(letter=2, more=1),
        ["'number'", "'letter'", "'more'"],
    ),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_columns_are_listed(wrong: str, container: str) -> None:
    change, words = WRONG[wrong]
    for method, model in itertools.product(("predict", "transform"), MODELS.values()):
        with pytest.raises(InputError) as caught:
            model.call(method, CONTAINERS[container](change(FRAME.head(3))))
        assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("container", CONTAINERS)
def test_order_of_columns_does_not_matter(container: str) -> None:
    for model in MODELS.values():
        swapped = CONTAINERS[container](FRAME[["letter", "number"]])
        assert bits(model.transform(swapped)) == bits(model.transform(FRAME))


def test_rows_have_the_same_errors() -> None:
    model = MODELS["error"]
    for row, words in [
        ({"number": 1.0}, ["'letter'"]),
        ({"number": 1.0, "letter": "a", "more": 1}, ["'more'"]),
        ({"number": "1.0", "letter": "a"}, ["'number'", "expected float64"]),
        ({"number": 1.0, "letter": 3}, ["'letter'", "expected string"]),
        ({}, ["'number'", "'letter'"]),
    ]:
        with pytest.raises(InputError) as caught:
            model.row(row)
        assert [word for word in words if word not in str(caught.value)] == []
    assert model.row({"letter": "b", "number": 2.0}, "predict") == model.predict(FRAME.iloc[[1]].assign(number=2.0))[0]


# -- values -----------------------------------------------------------------------------------------------------

ODD_TEXT = {"unseen": "Atlantis", "empty": "", "none": None, "nan": float("nan"), "huge": HUGE}
SHOWN = {
    "unseen": "'Atlantis'",
    "empty": "''",
    "none": "missing value (None)",
    "nan": "missing value (NaN)",
    "huge": "(10000000 bytes)",
}


@pytest.mark.parametrize("container", ["pandas", "columns", "rows"])
@pytest.mark.parametrize("odd", ODD_TEXT)
def test_unseen_text(odd: str, container: str) -> None:
    letters = pd.Series(["a", ODD_TEXT[odd], "c"], dtype=object)
    data = CONTAINERS[container](FRAME.head(3).assign(letter=letters))
    shown = SHOWN[odd] if container == "pandas" else SHOWN[odd].replace("None", "null")
    for name in ("error", "hot error"):
        with pytest.raises(InputError, match=re.escape(shown)) as caught:
            MODELS[name].predict(data)
        for word in ("columntransformer / letter", "'letter'", "row 1"):
            assert word in str(caught.value)
        assert len(str(caught.value)) < 400
    expected = {"ignore": [0, 0, 0], "value": [-7]}
    for name, wanted in expected.items():
        assert MODELS[name].transform(data)[1, : len(wanted)].tolist() == wanted
    rare = MODELS["infrequent"]
    seen = rare.transform(data)[:, :-1]
    # an unseen category is one of the infrequent ones
    infrequent = rare.transform(FRAME)[:, :-1][:3]
    assert any(seen[1].tolist() == row.tolist() for row in infrequent)
    assert np.flatnonzero(seen[1]).tolist() == [len(seen[1]) - 1]


@pytest.mark.parametrize("odd", ODD_TEXT)
def test_unseen_text_in_a_row(odd: str) -> None:
    row = {"number": 1.0, "letter": ODD_TEXT[odd]}
    with pytest.raises(InputError, match=re.escape(SHOWN[odd].replace("None", "null"))):
        MODELS["error"].row(row)
    assert next(iter(MODELS["value"].row(row, "transform").values())) == -7


@pytest.mark.parametrize("encoder", ["error", "ignore"])
def test_text_that_is_no_utf8(encoder: str) -> None:
    model = MODELS[encoder]
    for text, words in [(SURROGATE, "surrogate"), (b"\xff", "bytes"), (b"a", "bytes")]:
        objects = pd.Series(["a", text], dtype=object)
        for data in ({"number": [1.0, 2.0], "letter": ["a", text]}, FRAME.head(2).assign(letter=objects)):
            with pytest.raises(InputError, match=rf"'letter'.*{words}.*row 1"):
                model.predict(data)
        with pytest.raises(InputError, match=rf"'letter'.*{words}"):
            model.row({"number": 1.0, "letter": text})
    offsets = np.array([0, 1, 3], dtype=np.int32)
    broken = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(offsets), pa.py_buffer(b"a\xff\xfe")])
    for column in (broken, pa.DictionaryArray.from_arrays(pa.array([0, 1]), broken), pa.chunked_array([broken])):
        with pytest.raises(InputError, match=r"'letter', row 1: .*not UTF-8"):
            model.predict(pa.table({"number": [1.0, 2.0], "letter": column}))
    with pytest.raises(InputError, match=r"'letter'.*binary"):
        model.predict(pa.table({"number": [1.0], "letter": pa.array([b"a"])}))
    with pytest.raises(InputError, match="surrogate in the name"):
        model.predict({"number": [1.0], "letter": ["a"], SURROGATE: [1]})


def test_text_that_is_no_utf8_in_the_original() -> None:
    letters = np.array([["a"], [SURROGATE]] * 5, dtype=object)
    for sample in (None, letters[::2]):
        with pytest.raises(UnsupportedError, match="lone surrogate"):
            mlcore.compile(OneHotEncoder().fit(letters), sample)
    with pytest.raises(UnsupportedError, match="lone surrogate"):
        mlcore.compile(DecisionTreeClassifier().fit(np.arange(10.0)[:, None], letters[:, 0]))
    with pytest.raises(InputError, match="surrogate in the name"):
        mlcore.compile(StandardScaler().fit([[1.0], [2.0]]), {SURROGATE: [1.0]})


def test_long_text_that_was_learned(tmp_path: Path) -> None:
    letters = np.array([["a"], [HUGE], [HUGE[:-1]]] * 2, dtype=object)
    encoder = OrdinalEncoder().fit(letters)
    model = mlcore.compile(encoder)
    model.save(tmp_path / "long.mlc")
    assert bits(mlcore.load(tmp_path / "long.mlc").transform(letters)) == bits(encoder.transform(letters))


@pytest.mark.parametrize("value", [np.nan, None, np.inf, -np.inf])
def test_odd_numbers_where_the_original_refuses_them(value: float | None) -> None:
    model = mlcore.compile(LinearRegression().fit(FRAME[["number"]], FRAME["number"]), FRAME[["number"]])
    shown = "missing value" if value is None or value != value else "inf"
    for data in (
        {"number": [1.0, value]},
        [{"number": 1.0}, {"number": value}],
        pa.table({"number": pa.array([1.0, value])}),
    ):
        with pytest.raises(InputError, match=rf"linearregression.*'number'.*{shown}.*row 1"):
            model.predict(data)
    with pytest.raises(InputError, match=rf"'number'.*{shown}"):
        model.row({"number": value})


def test_odd_numbers_where_the_original_takes_them() -> None:
    booster = xgb.XGBRegressor(n_estimators=4, n_jobs=1).fit(FRAME[["number"]], FRAME["number"])
    model = mlcore.compile(booster, FRAME[["number"]])
    assert model.row({"number": None}) == booster.predict(pd.DataFrame({"number": [np.nan]}))[0]
    for odd in (np.inf, -np.inf, 1e300):
        assert model.row({"number": odd}) == booster.predict(pd.DataFrame({"number": [odd]}))[0]
    hist = case("hist", "numbers")
    compiled = mlcore.compile(hist.estimator, hist.train)
    rows = edge_rows()[:17]
    assert np.isinf(rows["amount"]).any()
    assert bits(compiled.predict_proba(rows)) == bits(hist.estimator.predict_proba(rows)) or not all(
        method.exact for method in compiled.parity.methods.values()
    )
    assert bits(compiled.decision_function(rows)) == bits(hist.estimator.decision_function(rows))


def test_values_of_dropped_features_are_refused_as_by_the_original() -> None:
    features = ColumnTransformer([("letter", OrdinalEncoder(), ["letter"]), ("number", "passthrough", ["number"])])
    kept = ColumnTransformer([("kept", VarianceThreshold(), [1])])
    pipeline = make_pipeline(features, kept, DecisionTreeRegressor(max_depth=2)).fit(FRAME, FRAME["number"])
    model = mlcore.compile(pipeline, FRAME)
    unseen = FRAME.head(1).assign(letter="z")
    with pytest.raises(ValueError, match="unknown categories"):
        pipeline.predict(unseen)
    for method in model.methods:
        with pytest.raises(InputError, match=r"'letter'.*'z'"):
            model.call(method, unseen)
    with pytest.raises(InputError, match="'z'"):
        model.row({"number": 1.0, "letter": "z"})


# -- empty tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [("xgb three", "sparse"), ("forest squared", "bins"), ("lgb categories", ""), ("", "gaps")]
)
def test_empty_tables(name: tuple[str, str]) -> None:
    found = case(*name)
    model = mlcore.compile(found.estimator, found.train)
    none = found.train.iloc[:0]
    plain = none.astype({column: object for column in none if isinstance(none[column].dtype, pd.CategoricalDtype)})
    empties = [none, pa.Table.from_pandas(plain, preserve_index=False), [], {column: [] for column in none}]
    empties.append(pa.RecordBatchReader.from_batches(pa.Schema.from_pandas(found.train, preserve_index=False), []))
    for method in model.methods:
        for empty in empties if method == "predict" else empties[:-1]:
            for one, full in zip(
                arrays(model.call(method, empty)), arrays(model.call(method, found.train)), strict=True
            ):
                assert one.shape == (0, *full.shape[1:])
                assert one.dtype == full.dtype


def test_no_columns_at_all() -> None:
    for data in (pd.DataFrame(index=range(3)), {}, [{}]):
        with pytest.raises(InputError, match="'number'"):
            MODELS["error"].predict(data)


# -- what is compiled -------------------------------------------------------------------------------------------

NUMBER = FRAME[["number"]]
UNFIT: dict[str, Any] = {
    "scaler": StandardScaler(),
    "xgboost": xgb.XGBClassifier(),
    "xgboost booster": xgb.Booster(),
    "lightgbm": lgb.LGBMRegressor(),
    "pipeline": make_pipeline(StandardScaler(), LinearRegression()),
    "last step": make_pipeline(StandardScaler().fit(NUMBER), LinearRegression()),
    "first step": Pipeline([("scale", StandardScaler()), ("fit", LinearRegression().fit(NUMBER, FRAME["number"]))]),
    "columns": ColumnTransformer([("scale", StandardScaler(), ["number"])]),
    "union": FeatureUnion([("scale", StandardScaler())]),
    "deep": make_pipeline(FeatureUnion([("a", StandardScaler())]), LinearRegression().fit(NUMBER, FRAME["number"])),
}


@pytest.mark.parametrize("sample", [None, NUMBER], ids=["bare", "sample"])
@pytest.mark.parametrize("name", UNFIT)
def test_what_is_not_fitted(name: str, sample: Any) -> None:
    for function in (mlcore.compile, mlcore.check):
        with pytest.raises(InputError, match=r"expected a (fitted|trained)"):
            function(UNFIT[name], sample)


@pytest.mark.parametrize("thing", [None, "pipeline.joblib", 42, object(), [], np.zeros(3), StandardScaler, FRAME])
def test_what_is_no_estimator(thing: Any) -> None:
    with pytest.raises(InputError, match="expected a fitted estimator but found"):
        mlcore.compile(thing)


@pytest.mark.parametrize(
    ("sample", "error", "words"),
    [
        (NUMBER.iloc[:0], InputError, "the original itself fails on the sample"),
        (NUMBER.assign(number=np.nan), InputError, "the original itself fails on the sample"),
        (NUMBER.assign(number=np.inf), InputError, "the original itself fails on the sample"),
        (NUMBER.assign(number="a"), UnsupportedError, "expected a numeric column but found strings"),
        (FRAME, InputError, r"missing \[\], extra \['letter'\]"),
        (FRAME[["letter"]], InputError, r"missing \['number'\], extra \['letter'\]"),
        ([], InputError, r"missing \['number'\]"),
        ("data.csv", InputError, "expected a table"),
        (3, InputError, "expected a table"),
        (pd.DataFrame(np.zeros((2, 2)), columns=["number", "number"]), InputError, "repeated names"),
    ],
)
def test_samples_on_which_the_original_fails(sample: Any, error: type[Exception], words: str) -> None:
    model = LinearRegression().fit(NUMBER, FRAME["number"])
    with pytest.raises(error, match=words):
        mlcore.compile(model, sample)


# -- nothing half written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["unfit", "unsupported", "sample"])
def test_a_compile_that_fails_keeps_the_old_file(bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sklearn.neighbors import KNeighborsRegressor

    good = LinearRegression().fit(NUMBER, FRAME["number"])
    estimators = {"unfit": LinearRegression(), "unsupported": KNeighborsRegressor().fit(NUMBER, FRAME["number"])}
    joblib.dump(estimators.get(bad, good), tmp_path / "pipe.joblib")
    (tmp_path / "sample.csv").write_text("number\nnan\n1.0\n" if bad == "sample" else "number\n1.0\n2.0\n")
    (tmp_path / "out.mlc").write_bytes(b"old")
    sample = ["--sample", str(tmp_path / "sample.csv")]
    assert main(["compile", str(tmp_path / "pipe.joblib"), *sample, "-o", str(tmp_path / "out.mlc")]) == 1
    assert capsys.readouterr().err
    assert (tmp_path / "out.mlc").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mlc", "pipe.joblib", "sample.csv"]


def test_saves_that_fail_keep_the_old_file(tmp_path: Path) -> None:
    """Through the public face; what the operating system can refuse is in attacks/test_artifact."""
    model = MODELS["error"]
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "folder", tmp_path / "none" / "model.mlc", Path("/proc/model.mlc")):
        with pytest.raises(ArtifactIOError):
            model.save(target)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_files_that_are_none(tmp_path: Path) -> None:
    joblib.dump(UNFIT["scaler"], tmp_path / "pipe.mlc")
    FRAME.to_csv(tmp_path / "data.mlc")
    (tmp_path / "empty.mlc").write_bytes(b"")
    whole = MODELS["error"].to_bytes()
    (tmp_path / "half.mlc").write_bytes(whole[: len(whole) // 2])
    for path in [*sorted(tmp_path.iterdir()), tmp_path]:
        with pytest.raises(ArtifactError):
            mlcore.load(path)
    with pytest.raises(ArtifactIOError):
        mlcore.load(tmp_path / "missing.mlc")
    with pytest.raises(ArtifactError):
        mlcore.Model.from_bytes(b"")


def test_a_step_names_the_row_of_a_stream_not_of_its_batch() -> None:
    X = np.random.default_rng(2).normal(size=(40, 2))
    model = mlcore.compile(make_pipeline(StandardScaler(), LinearRegression()).fit(X, X[:, 0]), X)
    X[25, 1] = np.inf
    table = pa.table({"x0": X[:, 0], "x1": X[:, 1]})
    stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7))
    for data in (X, table, stream):
        with pytest.raises(InputError, match=r"in column 'x1' but found inf \(row 25\)"):
            model.predict(data)
