"""The contract of the calls: shapes, dtypes, rows, names, types accepted, errors."""

from __future__ import annotations

import math
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from mlcore.errors import InputError, ParityError, UnsupportedError
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

RNG = np.random.default_rng(1)
X = RNG.normal(size=(120, 3))
FRAME = pd.DataFrame(
    {"age": RNG.integers(18, 90, 120), "income": RNG.normal(size=120), "job": RNG.choice(["a", "b"], 120)}
)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)],
        np.array(["no", "yes"], dtype=object)[(X[:, 0] > 0).astype(int)],
        (X[:, 0] > 0),
        (X[:, 0] > 0).astype(np.int32) * 7,
        np.digitize(X[:, 0], [-0.5, 0.5]),
        np.digitize(X[:, 0], [-0.5, 0.5]).astype(float),
    ],
    ids=["str", "object", "bool", "int32", "three", "float"],
)
def test_labels_keep_their_dtype(labels: np.ndarray) -> None:
    tree = DecisionTreeClassifier(max_depth=3).fit(X, labels)
    model = mlcore.compile(tree)
    expected, found = tree.predict(X), model.predict(X)
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()
    assert model.predict_proba(X).tobytes() == tree.predict_proba(X).tobytes()
    row = model.row({f"x{i}": float(v) for i, v in enumerate(X[5])})
    assert list(row) == [str(label) for label in tree.classes_]
    assert list(row.values()) == tree.predict_proba(X[5:6])[0].tolist()
    assert model.row({f"x{i}": float(v) for i, v in enumerate(X[5])}, "predict") == expected[5]


def test_multi_output_classifier_gives_a_list() -> None:
    y = np.column_stack([X[:, 0] > 0, np.digitize(X[:, 1], [-1, 1])])
    forest = RandomForestClassifier(5, max_depth=3, n_jobs=1, random_state=0).fit(X, y)
    model = mlcore.compile(forest)
    expected, found = forest.predict_proba(X), model.predict_proba(X)
    assert isinstance(found, list)
    assert [a.tobytes() for a in found] == [a.tobytes() for a in expected]
    assert model.predict(X).tolist() == forest.predict(X).tolist()
    assert len(model.row(dict(zip(model.columns, X[0], strict=True)))) == 2


def test_multi_output_regressor_row_is_a_dict() -> None:
    forest = RandomForestRegressor(5, max_depth=3, n_jobs=1, random_state=0).fit(X, X[:, :2])
    model = mlcore.compile(forest)
    assert model.predict(X).shape == (120, 2)
    row = model.row(dict(zip(model.columns, X[0].tolist(), strict=True)))
    assert list(row.values()) == forest.predict(X[:1])[0].tolist()


def test_regressor_row_is_a_float() -> None:
    tree = DecisionTreeRegressor(max_depth=3).fit(X, X[:, 0])
    model = mlcore.compile(tree)
    row = model.row({"x0": 0.5, "x1": 0.0, "x2": 1.0})
    assert type(row) is float
    assert row == tree.predict([[0.5, 0.0, 1.0]])[0]


def test_transform_names_follow_the_original() -> None:
    pipeline = make_pipeline(OneHotEncoder(sparse_output=False), StandardScaler()).fit(FRAME[["job"]])
    model = mlcore.compile(pipeline, FRAME[["job"]])
    assert model.feature_names_out == list(pipeline.get_feature_names_out())
    assert model.transform(FRAME[["job"]]).tobytes() == pipeline.transform(FRAME[["job"]]).tobytes()
    assert list(model.row({"job": "a"})) == model.feature_names_out


def test_bare_arrays_call_columns_x0_x1() -> None:
    model = mlcore.compile(StandardScaler().fit(X))
    assert model.columns == ["x0", "x1", "x2"]


def _typed() -> tuple[mlcore.Model, pd.DataFrame]:
    frame = FRAME.assign(age=FRAME["age"].astype("int32"), income=FRAME["income"].astype("float32"))
    features = ColumnTransformer([("n", StandardScaler(), ["age", "income"]), ("j", OrdinalEncoder(), ["job"])])
    fitted = make_pipeline(features, DecisionTreeRegressor(max_depth=3)).fit(frame, np.arange(120.0))
    return mlcore.compile(fitted, frame), frame


@pytest.mark.parametrize(
    ("column", "dtype", "accepted"),
    [
        ("age", "int8", True),
        ("age", "int16", True),
        ("age", "int32", True),
        ("age", "uint8", True),
        ("age", "uint16", True),
        ("age", "int64", False),
        ("age", "float64", False),
        ("age", "str", False),
        ("income", "float32", True),
        ("income", "float64", False),
        ("income", "str", False),
        ("income", "bool", False),
    ],
)
def test_types_are_accepted_when_lossless(column: str, dtype: str, accepted: bool) -> None:
    model, frame = _typed()
    changed = frame.assign(**{column: frame[column].round().astype(dtype)})
    if accepted:
        assert len(model.predict(changed)) == len(changed)
        return
    with pytest.raises(InputError, match=column):
        model.predict(changed)


def test_integers_are_floats_when_no_value_changes() -> None:
    model = mlcore.compile(StandardScaler().fit(X))
    exact = {"x0": np.array([2**53]), "x1": np.array([1]), "x2": np.array([0])}
    assert math.isfinite(model.transform(exact)[0, 0])
    with pytest.raises(InputError, match="x0"):
        model.transform(exact | {"x0": np.array([2**53 + 1])})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop(columns="income"), ["income"]),
        (lambda f: f.assign(extra=1), ["extra"]),
        (lambda f: f.drop(columns=["income", "age"]).assign(extra=1), ["income", "age", "extra"]),
        (lambda f: f.assign(job=1.5), ["job", "string"]),
        (lambda f: f.rename(columns={"age": "Age"}), ["age", "Age"]),
    ],
    ids=["missing", "extra", "both", "mistyped", "renamed"],
)
def test_column_errors_list_everything(change, words: list[str]) -> None:
    model, frame = _typed()
    with pytest.raises(InputError) as caught:
        model.predict(change(frame))
    for word in words:
        assert word in str(caught.value)


def test_reordered_columns_give_the_same_bytes() -> None:
    model, frame = _typed()
    assert model.predict(frame[["job", "age", "income"]]).tobytes() == model.predict(frame).tobytes()


@pytest.mark.parametrize("rows", [0, 1])
def test_small_tables(rows: int) -> None:
    model, frame = _typed()
    for method in model.methods:
        answer = np.asarray(model.call(method, frame.iloc[:rows]))
        assert len(answer) == rows
        assert answer.dtype == np.asarray(model.call(method, frame)).dtype


def test_unknown_method_names_the_known_ones() -> None:
    model = mlcore.compile(StandardScaler().fit(X))
    with pytest.raises(InputError, match="transform"):
        model.predict_proba(X)


def test_not_fitted() -> None:
    for estimator in (StandardScaler(), make_pipeline(StandardScaler(), LinearRegression()), StandardScaler):
        with pytest.raises(InputError, match="fit"):
            mlcore.compile(estimator)


def test_a_sample_on_which_the_original_fails() -> None:
    regression = LinearRegression().fit(X, X[:, 0])
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(InputError, match="the original itself fails on the sample"):
        mlcore.compile(regression, bad)


def test_all_problems_in_one_pass() -> None:
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import QuantileTransformer

    features = ColumnTransformer([("p", PCA(1), [0, 1]), ("q", QuantileTransformer(n_quantiles=10), [2])])
    pipeline = make_pipeline(features, KNeighborsClassifier()).fit(X, X[:, 0] > 0)
    with pytest.raises(UnsupportedError) as caught:
        mlcore.compile(pipeline)
    assert len(caught.value.problems) == 3
    paths = [problem.path for problem in caught.value.problems]
    assert paths == [
        "pipeline / columntransformer / p",
        "pipeline / columntransformer / q",
        "pipeline / kneighborsclassifier",
    ]
    assert mlcore.check(pipeline) == caught.value.problems


def test_strict_refuses_tolerances_by_name() -> None:
    logistic = LogisticRegression().fit(X, X[:, 0] > 0)
    with pytest.raises(UnsupportedError, match="dot"):
        mlcore.compile(logistic, strict=True)
    mlcore.compile(DecisionTreeRegressor().fit(X, X[:, 0]), strict=True)


def test_sample_is_not_stored_unless_asked() -> None:
    secret = FRAME[["job"]].assign(job="the secret name")
    secret.iloc[::2, 0] = "another"
    encoder = OneHotEncoder(handle_unknown="ignore").fit(FRAME[["job"]])
    assert b"the secret name" not in mlcore.compile(encoder, secret).to_bytes()
    kept = mlcore.compile(encoder, secret, keep_sample=True)
    assert b"the secret name" in kept.to_bytes()


def test_the_same_model_gives_the_same_bytes() -> None:
    tree = DecisionTreeRegressor(max_depth=3, random_state=0).fit(X, X[:, 0])
    assert mlcore.compile(tree, X).to_bytes() == mlcore.compile(tree, X).to_bytes()


def test_a_lying_original_is_caught() -> None:
    """The proof really compares: an estimator whose predict is not what its attributes say is refused."""
    scaler = StandardScaler().fit(X)
    scaler.transform = lambda data: np.asarray(data) * 2.0  # type: ignore[method-assign]
    with pytest.raises(ParityError, match="differ"):
        mlcore.compile(scaler)


def test_provenance_travels() -> None:
    model = mlcore.compile(StandardScaler().fit(X), provenance={"training_data": "sha256:abc"})
    again = mlcore.Model.from_bytes(model.to_bytes())
    assert again.provenance["user.training_data"] == "sha256:abc"
    assert again.provenance["library.sklearn"]
    assert "with_mean" in again.provenance["parameters"]


@pytest.mark.parametrize("learned", [None, np.nan])
def test_the_none_of_plain_python_is_the_missing_value_that_was_learned(learned: Any) -> None:
    frame = pd.DataFrame({"job": pd.Series(["a", "b", learned] * 5, dtype=object)})
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(frame)
    model = mlcore.compile(encoder, frame)
    expected = encoder.transform(frame.iloc[2:3])
    assert expected.tolist() == [[0.0, 0.0, 1.0]]
    assert list(model.row({"job": None}).values()) == expected[0].tolist()
    for table in ([{"job": None}], {"job": [None]}, [[None]], [(None,)]):
        assert model.transform(table).tobytes() == expected.tobytes()
    # an array of objects means what it holds, as for the original
    for other in (None, np.nan):
        table = pd.DataFrame({"job": pd.Series([other], dtype=object)})
        assert model.transform(table).tobytes() == encoder.transform(table).tobytes()


def test_none_stays_none_where_both_missing_values_were_learned() -> None:
    frame = pd.DataFrame({"job": pd.Series(["a", None, np.nan] * 5, dtype=object)})
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(frame)
    model = mlcore.compile(encoder, frame)
    for value in (None, np.nan):
        expected = encoder.transform(pd.DataFrame({"job": pd.Series([value], dtype=object)}))
        assert expected.sum() == 1.0
        assert list(model.row({"job": value}).values()) == expected[0].tolist()
        assert model.transform([{"job": value}]).tobytes() == expected.tobytes()
