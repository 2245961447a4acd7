"""Single rows: by name, by position, through a prepared scorer; all give what a table of one row gives."""

from __future__ import annotations

import copy
import datetime
import decimal
import pickle
import threading
from collections import OrderedDict
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from mlcore.errors import InputError
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBRegressor

RNG = np.random.default_rng(3)
NUMBERS = RNG.normal(size=(90, 5))
MISSING = {"none": None, "nan": float("nan"), "NA": pd.NA}


def _frame(rows: int = 90) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "amount": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
            "note": rng.choice(["x", "y"], rows),  # dropped by the pipeline
            "city": pd.Series(rng.choice(["Oslo", "São Paulo", ""], rows), dtype=object),
            "count": rng.integers(-4, 9, rows),
            "flag": rng.random(rows) < 0.5,
            "rate": rng.normal(size=rows).astype(np.float32),
            "when": np.datetime64("2024-02-28", "us") + rng.integers(0, 10**12, rows).astype("timedelta64[us]"),
        }
    )
    frame.loc[::7, "city"] = np.nan
    return frame


FRAME = _frame()


def _table_model() -> mlcore.Model:
    features = ColumnTransformer(
        [
            ("amount", make_pipeline(SimpleImputer(), StandardScaler()), ["amount"]),
            ("city", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]),
            ("rest", "passthrough", ["count", "flag", "rate"]),
        ],
        sparse_threshold=0.0,
    )
    labels = np.array(["no", "yes", "maybe"])[np.arange(len(FRAME)) % 3]
    fitted = make_pipeline(features, RandomForestClassifier(7, max_depth=3, random_state=0)).fit(FRAME, labels)
    return mlcore.compile(fitted, FRAME)


TABLE = _table_model()
LINEAR = mlcore.compile(make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS, NUMBERS[:, 0] > 0))
FLOATS = mlcore.compile(
    XGBRegressor(n_estimators=20, max_depth=4, n_jobs=1).fit(NUMBERS, NUMBERS[:, 0]), NUMBERS.astype(np.float32)
)


def _same(found: Any, expected: Any) -> bool:
    """Equal in type, names and bits."""
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(_same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(_same, found, expected))
    if isinstance(expected, float):
        return type(found) is float and np.float64(found).tobytes() == np.float64(expected).tobytes()
    return type(found) is type(expected) and found == expected


def _by_table(model: mlcore.Model, table: Any, method: str) -> Any:
    """What `row` must give, from the answer for a table of one row."""
    answer = model.call(method, table)
    if isinstance(answer, list):
        return [dict(zip(map(str, range(part.shape[1])), part[0].tolist(), strict=True)) for part in answer]
    values = np.asarray(answer)[0]
    return values.tolist()


def _values(answer: Any) -> Any:
    return list(answer.values()) if isinstance(answer, dict) else answer


@pytest.mark.parametrize("method", [None, *TABLE.methods])
def test_all_ways_agree_on_a_table(method: str | None) -> None:
    columns = TABLE.columns
    assert columns == ["amount", "city", "count", "flag", "rate"]
    shuffled = ["rate", "note", "city", "flag", "amount", "count"]
    scorer, other = TABLE.scorer(method), TABLE.scorer(method, shuffled)
    for index, row in enumerate(FRAME.to_dict("records")):
        expected = TABLE.row(row, method)
        whole = _by_table(TABLE, FRAME.iloc[index : index + 1], method or "predict_proba")
        assert _values(expected) == whole
        values = [row[column] for column in columns]
        for given in (values, tuple(values), np.array(values, dtype=object), pd.Series(values, dtype=object)):
            assert _same(TABLE.row_values(given, method), expected)
            assert _same(scorer(given), expected)
        # the value of a column that is not used may be anything
        for note in ("x", None, object()):
            assert _same(other([{**row, "note": note}[column] for column in shuffled]), expected)


def test_labels_and_lists() -> None:
    for labels in ([3, 9], [True, False], [1.0, 2.0], ["a", "b"]):
        y = np.array(labels)[(NUMBERS[:, 0] > 0).astype(int)]
        tree = DecisionTreeClassifier(max_depth=2).fit(NUMBERS, y)
        model = mlcore.compile(tree)
        for values in NUMBERS[:10]:
            found = model.row_values(values, "predict")
            assert found == tree.predict(values[None])[0]
            assert type(found) is type(labels[0])
            assert list(model.row_values(values)) == [str(label) for label in tree.classes_]
    two = np.column_stack([NUMBERS[:, 0] > 0, NUMBERS[:, 1] > 0])
    forest = RandomForestClassifier(3, max_depth=2, random_state=0).fit(NUMBERS, two)
    model = mlcore.compile(forest)
    found = model.row_values(NUMBERS[0])
    assert [list(part.values()) for part in found] == [part[0].tolist() for part in forest.predict_proba(NUMBERS[:1])]
    targets = RandomForestRegressor(3, max_depth=2, random_state=0).fit(NUMBERS, NUMBERS[:, :2])
    assert list(mlcore.compile(targets).scorer()(NUMBERS[4]).values()) == targets.predict(NUMBERS[4:5])[0].tolist()


def test_text_outputs() -> None:
    frame = FRAME[["city"]].fillna("Oslo")
    model = mlcore.compile(SimpleImputer(strategy="most_frequent").fit(frame), frame)
    assert model.row_values(["São Paulo"]) == "São Paulo"
    assert model.row({"city": "a\0b"}) == "a\0b"


@pytest.mark.parametrize("missing", MISSING)
def test_missing_values(missing: str) -> None:
    value = MISSING[missing]
    row = FRAME.iloc[1].to_dict()
    for column in ("amount", "city"):
        expected = TABLE.row({**row, column: value})
        assert _values(expected) == _by_table(TABLE, [{**row, column: value}], "predict_proba")
        assert _same(TABLE.row_values([{**row, column: value}[name] for name in TABLE.columns]), expected)


# -- arrays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [LINEAR, FLOATS], ids=["float64 columns", "float32 columns"])
@pytest.mark.parametrize(
    "dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", ">f8", ">f4", ">i4"]
)
def test_arrays_are_their_values(model: mlcore.Model, dtype: str) -> None:
    for method in model.methods:
        scorer = model.scorer(method)
        for values in np.abs(np.round(NUMBERS[:20] * 8)):
            array = values.astype(dtype)
            expected = model.row(dict(zip(model.columns, values.tolist(), strict=True)), method)
            assert _same(scorer(array), expected)
            assert _same(model.row_values(array, method), expected)
            assert _same(scorer(list(array)), expected)  # NumPy's scalars
            assert _same(scorer(np.repeat(array, 3)[::3]), expected)
            assert _same(scorer(np.array(array[::-1])[::-1]), expected)
            assert _same(scorer(np.stack([array, array], axis=1)[:, 1]), expected)
            assert _same(scorer(np.frombuffer(b"x" + array.tobytes(), dtype="u1")[1:].view(dtype)), expected)


@pytest.mark.parametrize("order", ["same", "reversed"])
def test_float32_is_exact_in_float64_columns(order: str) -> None:
    columns = LINEAR.columns if order == "same" else LINEAR.columns[::-1]
    scorer = LINEAR.scorer("decision_function", columns)
    for values in NUMBERS.astype(np.float32):
        values[0] = 1e-42  # a denormal
        given = values if order == "same" else values[::-1]
        expected = LINEAR.decision_function(values[None].astype(np.float64))[0]
        assert _same(scorer(given), float(expected))


def test_odd_floats_in_arrays() -> None:
    for odd in (np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324):
        values = NUMBERS[0].astype(np.float32)
        values[2] = odd
        assert _same(FLOATS.row_values(values), float(FLOATS.predict(values[None])[0]))
        assert _same(FLOATS.row_values(values.tolist()), float(FLOATS.predict(values[None])[0]))
    with pytest.raises(InputError, match="'x2'"):
        LINEAR.row_values(np.array([0.0, 0.0, np.nan, 0.0, 0.0]))


def test_a_row_that_was_read_leaves_nothing_behind() -> None:
    scorer = FLOATS.scorer()
    first, second = NUMBERS[0].astype(np.float32), NUMBERS[1].astype(np.float32)
    expected = [FLOATS.row_values(first.tolist()), FLOATS.row_values(second.tolist())]
    for _ in range(3):
        assert scorer(first) == expected[0]
        assert scorer(second.tolist()) == expected[1]
        with pytest.raises(InputError):
            scorer(["x", *second[1:].tolist()])
        assert scorer(second) == expected[1]
    row = FRAME.iloc[0].to_dict()
    expected_row = TABLE.row(row)
    with pytest.raises(InputError):
        TABLE.row({**row, "rate": "x", "city": "Atlantis"})
    assert TABLE.row(row) == expected_row


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(4), "expected a row of 5 values but found 4"),
        (np.zeros(6, np.float32), "expected a row of 5 values but found 6"),
        (np.zeros((1, 5)), "an array of one dimension but found one of 2"),
        (np.array(1.0), "an array of one dimension but found one of 0"),
        (np.zeros(5, bool), "numpy.bool"),
        (np.zeros(5, "c16"), "numpy.complex128"),
        (np.array(["1"] * 5), "numpy.str_"),
        (np.zeros(5, "M8[s]"), "numpy.datetime64"),
        (np.ma.masked_array(np.zeros(5), mask=[0, 0, 1, 0, 0]), "column 'x2'"),
        ([0.0] * 4, "expected a row of 5 values but found 4"),
        ([], "expected a row of 5 values but found 0"),
        ("01234", "expected a row as a sequence of values but found str"),
        (b"01234", "expected a row as a sequence of values but found bytes"),
        ({"x0": 1.0}, "expected a row as a sequence of values but found dict"),
        (None, "expected a row as a sequence of values but found None"),
        (1.5, "expected a row as a sequence of values but found float"),
        ([0.0, "a", 0.0, True, 0.0], "2 problems"),
        ([0.0, 2**53 + 1, 0.0, 0.0, 0.0], "cannot hold exactly"),
        (np.array([0, 2**53 + 1, 0, 0, 0]), "numpy.int64 .*9007199254740993.*, which float64 cannot hold exactly"),
    ],
)
def test_wrong_rows(values: Any, message: str) -> None:
    for call in (LINEAR.row_values, LINEAR.scorer()):
        with pytest.raises(InputError, match=message):
            call(values)


def test_values_that_a_narrow_column_cannot_hold() -> None:
    scorer = FLOATS.scorer()
    with pytest.raises(InputError, match=r"'x1'.*0\.1.*, which float32 cannot hold exactly"):
        scorer(np.array([0.5, 0.1, 0.5, 0.5, 0.5]))
    assert scorer(np.array([0.5, 0.25, 0.5, 0.5, 0.5])) == scorer([0.5, 0.25, 0.5, 0.5, 0.5])
    integers = mlcore.compile(FunctionTransformer().fit(np.ones((3, 2), np.int32)), np.ones((3, 2), np.int32))
    assert [column["type"] for column in integers.schema] == ["int32", "int32"]
    assert integers.row_values(np.array([7, -8])) == {"x0": 7, "x1": -8}
    for bad in (np.array([2**31, 0]), np.array([1.0, 0.0]), [2**31, 0], [1.0, 0.0]):
        with pytest.raises(InputError, match="'x0'"):
            integers.row_values(bad)


def test_wrong_lists_of_columns() -> None:
    with pytest.raises(InputError) as caught:
        TABLE.scorer(columns=["amount", "flag", "flag", "Rate", "note"])
    assert str(caught.value).splitlines() == [
        "the list of columns does not fit the model's columns: 5 problems",
        "  1. column 'flag': expected it once but found it again",
        "  2. column 'Rate': expected a column of the model but found no such",
        "  3. column 'city': expected a place for string but found none",
        "  4. column 'count': expected a place for int64 but found none",
        "  5. column 'rate': expected a place for float32 but found none",
    ]
    with pytest.raises(InputError, match="expected a sequence of column names but found str"):
        TABLE.scorer(columns="amount")
    with pytest.raises(InputError, match=r"expected one of the model's methods .* but found 'score'"):
        TABLE.scorer("score")
    with pytest.raises(InputError, match="expected one of the model's methods"):
        TABLE.row_values([], "score")


# -- the object -----------------------------------------------------------------------------------------------------


def test_what_a_scorer_says_of_itself() -> None:
    scorer = TABLE.scorer("predict", ["rate", "note", "city", "flag", "amount", "count"])
    assert scorer.method == "predict"
    assert scorer.columns == ["rate", "note", "city", "flag", "amount", "count"]
    assert repr(scorer) == "<mlcore scorer of predict; 6 columns>"
    assert TABLE.scorer().columns == TABLE.columns
    with pytest.raises(TypeError):
        pickle.dumps(scorer)
    with pytest.raises(TypeError):
        copy.copy(scorer)
    with pytest.raises(TypeError):
        type(scorer)()
    for arguments, named in (((), {}), (([], []), {}), ((), {"row": []})):
        with pytest.raises(TypeError, match="expected one row as the only argument"):
            scorer(*arguments, **named)


def test_a_scorer_keeps_its_model() -> None:
    model = mlcore.Model.from_bytes(LINEAR.to_bytes())
    scorer = model.scorer()
    expected = model.row_values(NUMBERS[0])
    del model
    assert scorer(NUMBERS[0]) == expected


def test_mappings_that_are_no_plain_dict() -> None:
    row = FRAME.iloc[1].to_dict()
    expected = TABLE.row(row)
    assert TABLE.row(OrderedDict(row)) == expected
    assert TABLE.row(FRAME.iloc[1]) == expected
    assert TABLE.row({"".join(list(key)): value for key, value in reversed(row.items())}) == expected


def test_threads_share_a_scorer() -> None:
    for model, rows in (
        (TABLE, [list(row) for row in FRAME[TABLE.columns].itertuples(index=False)]),
        (LINEAR, list(NUMBERS)),
    ):
        scorer = model.scorer()
        expected = [scorer(row) for row in rows]
        wrong: list[int] = []

        def work(number: int, scorer=scorer, rows=rows, expected=expected, wrong=wrong) -> None:
            for _ in range(10):
                wrong.extend(number for row, answer in zip(rows, expected, strict=True) if scorer(row) != answer)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_a_value_may_call_the_scorer_that_reads_it() -> None:
    scorer = LINEAR.scorer("decision_function")
    inner: list[float] = []

    class Decimal(decimal.Decimal):
        def __float__(self) -> float:
            inner.append(scorer(NUMBERS[1]))
            return super().__float__()

    Decimal.__name__ = Decimal.__qualname__ = "decimal.Decimal"
    expected = scorer([0.5, *NUMBERS[0][1:].tolist()])
    found = scorer([Decimal("0.5"), *NUMBERS[0][1:].tolist()])
    assert found == expected
    assert inner == [scorer(NUMBERS[1])] * len(inner)
    assert inner


def test_columns_that_are_not_used_have_places() -> None:
    pipeline = ColumnTransformer(
        [("when", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["city"])]
    )
    model = mlcore.compile(pipeline.fit(FRAME), FRAME)
    assert model.columns == ["city"]
    everything = [column["name"] for column in model.schema]
    row = FRAME.iloc[2].to_dict() | {"when": datetime.datetime(2024, 1, 1)}
    assert model.scorer(columns=everything)([row[name] for name in everything]) == model.row(row)
