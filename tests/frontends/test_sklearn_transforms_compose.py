"""Pipeline, ColumnTransformer and FeatureUnion against the original: selectors, containers, types, sparse results."""

from __future__ import annotations

import warnings
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from agreement import assert_agreement, assert_rows, compiled, dense, same
from examples_sklearn_transforms import labels, mixed, numbers, table, words
from mlcore.errors import UnsupportedError
from mlcore.frontends.reference import reference
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_classif
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor


def flat_table() -> pd.DataFrame:
    """Numbers of several types, no text."""
    X = numbers()
    return pd.DataFrame(
        {
            "double": X[:, 0],
            "single": X[:, 1].astype(np.float32),
            "whole": (X[:, 1]).astype(np.int64),
            "short": (X[:, 3]).astype(np.int8),
            "flag": X[:, 2] > 0,
        }
    )


SELECTORS: dict[str, Any] = {
    "names": ["double", "whole"],
    "indices": [2, 0],
    "negative": [-4, 0],
    "mask": [True, False, True, False, False],
    "numpy-mask": np.array([False, False, True, False, True]),
    "slice": slice(1, 4),
    "name-slice": slice("single", "short"),
    "callable": lambda frame: [name for name in frame.columns if name.startswith("s")],
    "by-type": make_column_selector(dtype_include=np.number),
    "by-pattern": make_column_selector(pattern="^d|^f"),
}


@pytest.mark.parametrize("remainder", ["drop", "passthrough", MinMaxScaler()], ids=["drop", "pass", "estimator"])
@pytest.mark.parametrize("name", SELECTORS)
def test_selectors(name: str, remainder: object) -> None:
    frame = flat_table()
    estimator = ColumnTransformer([("scale", StandardScaler(), SELECTORS[name])], remainder=remainder)
    estimator.fit(frame)
    if dense(estimator.transform(frame)).dtype == object:  # pandas does not mix booleans with numbers
        with pytest.raises(UnsupportedError, match="object"):
            mlcore.compile(estimator, sample=frame)
        return
    assert assert_agreement(estimator, frame) == 60


def test_arrays_select_by_position() -> None:
    X = numbers()
    for columns in ([0, 2], slice(1, 3), [-1], [True, False, False, True], np.array([1, 0])):
        estimator = ColumnTransformer([("a", StandardScaler(), columns)], remainder="passthrough").fit(X)
        assert assert_agreement(estimator, X) == 60
        assert assert_agreement(estimator.fit(X.astype(np.float32)), X.astype(np.float32)) == 60


def test_drop_empty_and_nothing_left() -> None:
    frame = flat_table()
    parts = [("gone", "drop", ["double"]), ("none", StandardScaler(), []), ("kept", "passthrough", ["single", "short"])]
    assert assert_agreement(ColumnTransformer(parts).fit(frame), frame) == 60
    with pytest.raises(UnsupportedError, match="keeps no column"):
        mlcore.compile(ColumnTransformer([("gone", "drop", ["double"])]).fit(frame), sample=frame)


def test_columns_are_found_by_name_wherever_they_are() -> None:
    estimator = mixed()
    frame = table()
    model = compiled(estimator, frame)
    shuffled = frame[["city", "age", "fare"]].assign(more=1)
    assert same(dense(estimator.transform(shuffled)), np.asarray(model.transform(frame)))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
def test_sparse_or_dense_as_decided_while_fitting(threshold: float) -> None:
    frame = table().fillna({"fare": -0.0})
    estimator = ColumnTransformer(
        [("cat", OneHotEncoder(handle_unknown="ignore"), ["city"]), ("num", StandardScaler(), ["age"])],
        remainder="passthrough",
        sparse_threshold=threshold,
    ).fit(frame)
    assert estimator.sparse_output_ == (threshold == 1.0)
    assert assert_agreement(estimator, frame) == 60


@pytest.mark.parametrize(
    "then",
    [
        MaxAbsScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_mean=False, with_std=False),
        RobustScaler(with_centering=False),
        Binarizer(threshold=0.3),
        VarianceThreshold(0.05),
        PolynomialFeatures(2),
        PolynomialFeatures(3),
        PolynomialFeatures((2, 4), interaction_only=True),
        SimpleImputer(strategy="most_frequent"),
        FunctionTransformer(accept_sparse=True, validate=True),
        SelectKBest(k=3),
        FeatureUnion([("a", MaxAbsScaler()), ("b", MaxAbsScaler())], transformer_weights={"a": -2.0}),
        ColumnTransformer([("a", MaxAbsScaler(), [0, 1])], remainder="passthrough"),
    ],
    ids=lambda e: f"{type(e).__name__}",
)
def test_steps_on_a_sparse_matrix(then: object) -> None:
    frame = table()[["age", "city"]]
    frame.loc[:3, "age"] = [0.0, -0.0, 1e-310, -5.0]
    front = ColumnTransformer(
        [("cat", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough", sparse_threshold=1.0
    )
    estimator = make_pipeline(front, then).fit(frame, labels())
    assert assert_agreement(estimator, frame) == 60


@pytest.mark.parametrize("then", [Normalizer(), StandardScaler(), MinMaxScaler(), KBinsDiscretizer(2)])
def test_what_does_not_take_a_sparse_matrix_is_refused(then: object) -> None:
    encoder = OneHotEncoder().fit(words())
    fitted = then.fit(dense(encoder.transform(words())))
    with pytest.raises(UnsupportedError):
        mlcore.compile(Pipeline([("encode", encoder), ("then", fitted)]), sample=words())


def test_nested_containers() -> None:
    frame = table()
    inner = ColumnTransformer([("scale", StandardScaler(), ["age"])], remainder=SimpleImputer(add_indicator=True))
    estimator = ColumnTransformer(
        [
            ("inner", Pipeline([("inner", inner), ("more", PolynomialFeatures())]), ["age", "fare"]),
            ("cat", make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder()), ["city"]),
            ("both", FeatureUnion([("m", MissingIndicator(features="all")), ("p", "passthrough")]), ["fare"]),
        ],
        transformer_weights={"inner": 0.5},
        verbose_feature_names_out=False,
    )
    estimator.fit(frame)
    assert assert_agreement(estimator, frame) == 60


@pytest.mark.parametrize("weight", [2, 0.5, -1.5, np.float64(3.0), np.float32(3.0), 1, 0])
def test_weights(weight: float) -> None:
    for X in (numbers(), numbers(dtype=np.float32)):
        union = FeatureUnion(
            [("a", StandardScaler()), ("b", MinMaxScaler()), ("c", "drop"), ("d", "passthrough")],
            transformer_weights={"a": weight, "d": 1.25},
        ).fit(X)
        assert assert_agreement(union, X) == 60
    frame = table()[["age", "city"]]
    columns = ColumnTransformer(
        [("cat", OneHotEncoder(dtype=np.float32), ["city"]), ("age", "passthrough", ["age"])],
        transformer_weights={"cat": weight},
    ).fit(frame)
    assert assert_agreement(columns, frame) == 60


def test_types_of_stacked_arrays() -> None:
    frame = flat_table()
    for columns in (
        ["single", "short"],
        ["single", "whole"],
        ["short", "whole"],
        ["single", "double"],
        ["flag"],
        ["single"],
    ):
        estimator = ColumnTransformer([("kept", "passthrough", columns)]).fit(frame)
        assert assert_agreement(estimator, frame) == 60
    encoders = [
        ("a", OneHotEncoder(dtype=np.int8, sparse_output=False), ["short"]),
        ("b", OrdinalEncoder(dtype=np.int16), ["whole"]),
    ]
    estimator = ColumnTransformer(encoders).fit(frame)
    assert dense(estimator.transform(frame)).dtype == np.int16
    assert assert_agreement(estimator, frame) == 60
    both = ColumnTransformer([*encoders, ("c", StandardScaler(), ["single"])]).fit(frame)
    assert dense(both.transform(frame)).dtype == np.float32
    assert assert_agreement(make_pipeline(both, StandardScaler()).fit(frame), frame) == 60


def test_float32_among_text_is_computed_in_float64() -> None:
    frame = table()[["city"]].assign(single=numbers(dtype=np.float32)[:, 1])
    front = ColumnTransformer([("keep", "passthrough", ["city", "single"])])
    back = ColumnTransformer([("code", OrdinalEncoder(), [0]), ("scale", StandardScaler(), [1])])
    assert assert_agreement(make_pipeline(front, back).fit(frame), frame) == 60


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("container", ["pandas", "default"])
def test_pandas_output_selects_by_name_and_keeps_types(container: str) -> None:
    frame = table().assign(single=numbers(dtype=np.float32)[:, 1], flag=np.arange(60) % 2 == 0)
    front = ColumnTransformer(
        [
            ("num", SimpleImputer(), ["age", "fare"]),
            ("cat", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["city"]),
        ],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    if container == "default":
        back: Any = ColumnTransformer([("s", StandardScaler(), [0, 1, -2])], remainder="drop")
    else:
        front.set_output(transform="pandas")
        back = make_column_transformer(
            (StandardScaler(), ["single"]),
            (MinMaxScaler(), make_column_selector(pattern="^city")),
            (FunctionTransformer(np.sqrt), ["fare"]),
            remainder="drop",
        )
        back.set_output(transform="pandas")
    estimator = make_pipeline(front, back).fit(frame)
    assert assert_agreement(estimator, frame) == 60


def test_pandas_output_of_selection_and_functions() -> None:
    frame = flat_table().drop(columns="flag")
    estimator = make_pipeline(
        VarianceThreshold(0.0), FunctionTransformer(None, feature_names_out="one-to-one"), StandardScaler()
    ).set_output(transform="pandas")
    assert assert_agreement(estimator.fit(frame), frame) == 60


def test_polars_output() -> None:
    X = numbers()
    estimator = make_pipeline(StandardScaler(), MinMaxScaler()).set_output(transform="polars").fit(X)
    assert assert_agreement(estimator, X) == 60
    single = make_pipeline(StandardScaler(), MinMaxScaler()).set_output(transform="polars").fit(X.astype(np.float32))
    with pytest.raises(UnsupportedError, match="polars"):
        mlcore.compile(single, sample=X.astype(np.float32))


def test_global_output_configuration_is_honoured() -> None:
    import sklearn

    frame = flat_table()[["double", "single"]]
    with sklearn.config_context(transform_output="pandas"):
        estimator = make_pipeline(
            ColumnTransformer([("k", "passthrough", ["double", "single"])], verbose_feature_names_out=False),
            ColumnTransformer([("s", StandardScaler(), ["single"])]),
        ).fit(frame)
        assert dense(estimator.transform(frame)).dtype == np.float32
        assert assert_agreement(estimator, frame) == 60


def test_pipelines_with_a_model_give_features_too() -> None:
    frame = table()
    model = Pipeline(
        [("front", mixed()), ("skip", "passthrough"), ("none", None), ("tree", DecisionTreeClassifier(max_depth=3))]
    )
    model.fit(frame, labels())
    found = compiled(model, frame)
    for method in ("predict", "predict_proba", "transform"):
        assert assert_rows(model, found, frame, method=method) == 60
    expected = list(model[:-1].get_feature_names_out())
    (features,) = [output for output in found.core.outputs if output["method"] == "transform"]
    assert list(features["names"]) == expected


def test_nested_pipelines_delegate_to_the_model() -> None:
    X = numbers()
    inner = Pipeline([("scale", StandardScaler()), ("tree", DecisionTreeRegressor(max_depth=3))])
    for model in (Pipeline([("a", MinMaxScaler()), ("inner", inner)]), Pipeline([("inner", inner)])):
        model.fit(X, X[:, 0])
        found = compiled(model, X)
        for method in ("predict", "transform"):
            assert same(dense(reference(model, method, X)), np.asarray(getattr(found, method)(X)))


def test_pipelines_of_nothing_but_passthrough() -> None:
    X = numbers()
    assert assert_agreement(Pipeline([("a", "passthrough"), ("b", StandardScaler())]).fit(X), X) == 60
    assert assert_agreement(Pipeline([("a", StandardScaler()), ("b", None)]).fit(X), X) == 60


def test_every_problem_is_listed_with_its_path() -> None:
    frame = table()
    estimator = ColumnTransformer(
        [
            ("bad", FunctionTransformer(np.nan_to_num), ["age"]),
            ("worse", make_pipeline(SimpleImputer(), FunctionTransformer(lambda X: X)), ["fare"]),
            ("fine", TargetEncoder(), ["city"]),
        ]
    ).fit(frame, labels())
    problems = mlcore.check(estimator, sample=frame)
    assert [problem.path for problem in problems] == [
        "columntransformer / bad",
        "columntransformer / worse / functiontransformer",
    ]


def test_a_scalar_selector_is_refused() -> None:
    frame = flat_table()
    estimator = ColumnTransformer([("one", "drop", "double")], remainder=StandardScaler()).fit(frame)
    assert assert_agreement(estimator, frame) == 60


def test_sparse_features_reach_xgboost_as_missing() -> None:
    import xgboost as xgb

    frame = table()[["age", "city"]]
    frame.loc[::4, "age"] = 0.0
    front = ColumnTransformer(
        [("cat", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough", sparse_threshold=1.0
    )
    model = make_pipeline(front, xgb.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1)).fit(frame, labels())
    assert dense(front.fit_transform(frame)).shape[1] == 5
    assert assert_agreement(model, frame, method="predict") == 60
    found = compiled(model, frame)
    assert assert_rows(model, found, frame, method="decision_function") == 60


@pytest.mark.parametrize(
    "then", [StandardScaler(with_mean=False), MaxAbsScaler(clip=True)], ids=lambda e: type(e).__name__
)
def test_entries_that_underflow_stay_entries(then: object) -> None:
    import xgboost as xgb

    frame = table()[["age", "city"]]
    frame.loc[::4, "age"] = 0.0
    frame.loc[1::8, "age"] = 5e-324
    front = ColumnTransformer(
        [("cat", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough", sparse_threshold=1.0
    )
    booster = xgb.XGBRegressor(n_estimators=8, max_depth=3, n_jobs=1)
    model = make_pipeline(front, then, MaxAbsScaler(), booster).fit(frame, np.arange(60) % 8)
    scaled = model[:-1].transform(frame)
    assert (scaled.data == 0).any()
    assert assert_agreement(model, frame, method="predict") == 60
    hidden = make_pipeline(front, PolynomialFeatures(), booster).fit(frame, np.arange(60) % 8)
    with pytest.raises(UnsupportedError, match="may store zeros"):
        mlcore.compile(hidden, sample=frame)


def test_every_container_gives_the_same_bits() -> None:
    import polars as pl
    import pyarrow as pa

    frame = table()
    frame.loc[3, "city"] = "never seen"
    model = compiled(mixed(), table())
    expected = np.asarray(model.transform(frame))
    assert same(dense(mixed().transform(frame)), expected)
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    for container in (
        arrow,
        pa.concat_tables([arrow.slice(0, 7), arrow.slice(7)]),
        pl.from_arrow(arrow),
        pl.from_arrow(arrow).with_columns(pl.col("city").cast(pl.Categorical)),
        frame.astype({"city": "category"}),
        {name: frame[name].tolist() for name in frame},
        frame.to_dict("records"),
    ):
        assert same(expected, np.asarray(model.transform(container)))


def test_integers_with_missing_values_in_the_sample_are_floats() -> None:
    import polars as pl

    sample = pl.DataFrame({"whole": [1, None, 3, 4] * 10, "real": [1.5, 2.0, 3.0, 4.0] * 10})
    for step in ("passthrough", SimpleImputer(strategy="most_frequent"), StandardScaler()):
        for frame in (sample, sample.to_pandas()):
            estimator = ColumnTransformer([("first", step, ["whole"])], remainder="passthrough").fit(frame)
            model = compiled(estimator, frame)
            assert same(dense(estimator.transform(frame)), np.asarray(model.transform(frame)))


def test_without_a_sample_a_mixed_table_compiles() -> None:
    frame = table()
    estimator = mixed()
    assert assert_rows(estimator, mlcore.compile(estimator), frame) == 60


def test_a_row_is_named_as_the_original_names_its_features() -> None:
    frame, estimator = table(), mixed()
    row = compiled(estimator, frame).row(frame.iloc[1].to_dict())
    assert list(row) == list(estimator.get_feature_names_out())
    assert np.array_equal(list(row.values()), dense(estimator.transform(frame.iloc[1:2]))[0], equal_nan=True)


def test_weights_of_a_data_frame_keep_the_type_of_each_column() -> None:
    frame = flat_table()[["double", "single"]]
    union = FeatureUnion([("p", "passthrough"), ("s", StandardScaler())], transformer_weights={"p": 1.5})
    estimator = make_pipeline(union.set_output(transform="pandas"), StandardScaler()).fit(frame)
    assert assert_agreement(estimator, frame) == 60


def test_pandas_output_without_names_is_found_by_its_made_up_names() -> None:
    frame = flat_table()[["double", "single"]]
    squared = make_pipeline(MinMaxScaler(), FunctionTransformer(np.square))
    front = ColumnTransformer([("f", squared, ["double"]), ("g", MinMaxScaler(), ["single"])])
    back = ColumnTransformer([("s", StandardScaler(), ["tmp_col_name_1_0", "tmp_col_name_0_0"])])
    assert assert_agreement(make_pipeline(front.set_output(transform="pandas"), back).fit(frame), frame) == 60


def test_integer_results_are_selected_and_passed_on() -> None:
    frame = flat_table()
    codes = make_column_transformer((OrdinalEncoder(dtype=np.int64), ["whole", "flag"]))
    for step in (
        VarianceThreshold(),
        FunctionTransformer(validate=True),
        FunctionTransformer(np.sqrt),
        StandardScaler(),
    ):
        assert assert_agreement(make_pipeline(codes, step).fit(frame), frame) == 60


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "nothing",
    [
        MissingIndicator(error_on_new=False),
        OneHotEncoder(drop="first", dtype=np.float32, handle_unknown="ignore"),
        make_pipeline(SelectKBest(f_classif, k=0), "passthrough"),
    ],
    ids=["indicator", "encoder", "selector"],
)
@pytest.mark.parametrize("weights", [None, {"nothing": 0.5}], ids=["plain", "weighted"])
def test_an_array_without_columns_still_has_a_type(nothing: Any, dtype: Any, weights: Any) -> None:
    frame = pd.DataFrame({"same": np.zeros(60, dtype), "bins": np.arange(60.0, dtype=np.float32) % 7})
    bins = KBinsDiscretizer(3, encode="onehot", dtype=np.float32, strategy="uniform")
    parts = [("nothing", nothing, ["same"]), ("bins", bins, ["bins"])]
    estimator = ColumnTransformer(parts, transformer_weights=weights, sparse_threshold=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(frame, np.arange(60) % 2)
        assert estimator.transform(frame).shape == (60, 3)
        assert assert_agreement(estimator, frame) == 60
