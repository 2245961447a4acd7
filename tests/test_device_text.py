"""Strings and dictionaries in a device's memory: the CPU's codes, and its messages for what is no category or text."""

from __future__ import annotations

import threading
import zlib
from itertools import pairwise
from typing import Any

import emulated
import mlcore
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost as xgb
from arrow_devices import ArrowOnDevice, ArrowStreamOnDevice, answer, assert_same, on_device, slices
from cases import scale
from emulated import to_device
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

emulated_only = pytest.mark.skipif(emulated.REAL, reason="of the emulated device")
CITIES = ["", "Oslo", "København", "Reykjavík is farther than sixteen bytes", "東京", "nul\0byte", "a" * 17, "a" * 300]


def _frame(rows: int = 900, missing: float = 0.1) -> pd.DataFrame:
    dice = np.random.default_rng(rows)
    return pd.DataFrame({
        "city": pd.Series(np.where(dice.random(rows) < missing, None, dice.choice(CITIES, rows)), dtype=object),
        "amount": np.where(dice.random(rows) < 0.2, np.nan, dice.normal(size=rows)),
        "kind": dice.choice(["x", "y", "zebra"], rows),
    })  # fmt: skip


MODELS = {
    "one_hot": OneHotEncoder(handle_unknown="ignore"),
    "refuses": OneHotEncoder(),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    "imputed": make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
    "constant": make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OrdinalEncoder()),
    "indicator": make_union(
        MissingIndicator(missing_values=None, features="all"),
        make_pipeline(SimpleImputer(missing_values=None, strategy="most_frequent"), OrdinalEncoder()),
    ),
}


@pytest.fixture(scope="module", params=[*MODELS])
def features(request: pytest.FixtureRequest) -> tuple[mlcore.Model, mlcore.Model]:
    frame = _frame()
    transformer = ColumnTransformer(
        [
            ("city", MODELS[request.param], ["city"]),
            ("kind", OrdinalEncoder(), ["kind"]),
            ("amount", make_pipeline(SimpleImputer(), StandardScaler()), ["amount"]),
        ],
        sparse_threshold=0,
    )
    model = mlcore.compile(transformer.fit(frame), frame)
    return model, on_device(model)


def _text(values: Any, kind: str) -> pa.Array:
    array = pa.array(values, pa.string())
    if kind == "string":
        return array
    if kind == "large_string":
        return array.cast(pa.large_string())
    index = pa.type_for_alias(kind)
    return array.dictionary_encode().cast(pa.dictionary(index, pa.string()))


TEXTS = ["string", "large_string", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def _batch(frame: pd.DataFrame, text: str) -> pa.RecordBatch:
    columns = [_text(frame["city"], text), pa.array(frame["amount"], from_pandas=True), _text(frame["kind"], text)]
    return pa.RecordBatch.from_arrays(columns, ["city", "amount", "kind"])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_text(features: tuple[mlcore.Model, mlcore.Model], text: str, missing: float) -> None:
    for part in slices(_batch(_frame(700, missing), text)):
        assert_same(*features, part)


def test_text_of_several_columns_in_one_step() -> None:
    frame = _frame()
    step = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", drop="first"))
    transformer = ColumnTransformer([("text", step, ["city", "kind"])], remainder="passthrough", sparse_threshold=0)
    model = mlcore.compile(transformer.fit(frame), frame)
    other = on_device(model)
    frame.loc[:50, "kind"] = None
    for text in ("string", "int16"):
        for part in slices(_batch(frame, text)):
            assert_same(model, other, part)


@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(handle_unknown="ignore"), OneHotEncoder(), OrdinalEncoder()], ids=str
)
def test_a_column_that_the_model_does_not_look_at(encoder: Any) -> None:
    """It is refused as on the CPU."""
    dice = np.random.default_rng(0)
    frame = pd.DataFrame({"a": dice.choice(list("xyz"), 600), "b": dice.choice(["u", "v"], 600)})
    step = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
    features = ColumnTransformer([("text", step, ["a", "b"])], sparse_threshold=0)
    tree = make_pipeline(features, DecisionTreeClassifier(max_depth=1)).fit(frame, frame["a"] == "x")
    model = mlcore.compile(tree, frame)
    other = on_device(model)
    good = pa.array(["u"] * 550)
    for text in ("string", "uint8"):
        messages = []
        for last in (pa.array(["v"]), pa.array(["q"]), pa.array([None], pa.string()), _raw([b"\xff"], pa.string())):
            b = pa.concat_arrays([good, last])
            b = b if text == "string" else b.dictionary_encode()
            batch = pa.RecordBatch.from_arrays([_text(frame["a"][:551], text), b], ["a", "b"])
            messages.append(str(assert_same(model, other, batch, "predict_proba")))
        assert "row 550: expected string but found bytes that are not UTF-8" in messages[-1]


@pytest.mark.parametrize("text", ["string", "int8"])
@pytest.mark.parametrize("value", ["unknown", "Osl", "Oslo\0", "a" * 16, "a" * 18, "a" * 299 + "b", None])
def test_text_that_no_step_knows(features: tuple[mlcore.Model, mlcore.Model], text: str, value: str | None) -> None:
    frame = _frame(600, 0.0)
    frame.loc[577, "city"] = value
    assert_same(*features, _batch(frame, text))
    frame.loc[:, "kind"] = value
    assert_same(*features, _batch(frame, text))


ANY_TEXT = st.lists(st.none() | st.sampled_from(CITIES) | st.text(max_size=40), min_size=1, max_size=40)


@given(values=ANY_TEXT, at=st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_any_text(one_hot: tuple[mlcore.Model, mlcore.Model], values: list[str | None], at: int) -> None:
    for text in ("string", "large_string", "int16"):
        column = _text(values, text)
        assert_same(*one_hot, pa.RecordBatch.from_arrays([column], ["city"]).slice(min(at, len(values) - 1)))


@pytest.fixture(scope="module")
def one_hot() -> tuple[mlcore.Model, mlcore.Model]:
    frame = _frame()[["city"]]
    model = mlcore.compile(OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(frame), frame)
    return model, on_device(model)


def _raw(values: list[bytes], kind: pa.DataType) -> pa.Array:
    """Strings of any bytes."""
    blob = pa.array(values, pa.binary() if kind == pa.string() else pa.large_binary())
    return pa.Array.from_buffers(kind, len(values), blob.buffers())


@pytest.mark.parametrize("bad", [b"\xff", b"Osl\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe6\x9d"])
def test_bytes_that_are_no_text(one_hot: tuple[mlcore.Model, mlcore.Model], bad: bytes) -> None:
    for kind in (pa.string(), pa.large_string()):
        column = _raw([b"Oslo", b"", b"Oslo" + bad, "東京".encode()], kind)
        message = assert_same(*one_hot, pa.RecordBatch.from_arrays([column], ["city"]))
        assert "row 2: expected string but found bytes that are not UTF-8" in message
    # in a dictionary it counts where a row has it
    entries = pa.array([0, 2, 0], pa.int8())
    for indices in (entries, pa.array([0, None, 2], pa.int8())):
        column = pa.DictionaryArray.from_arrays(indices, _raw([b"Oslo", bad, "東京".encode()], pa.string()))
        assert "UTF-8" not in str(assert_same(*one_hot, pa.RecordBatch.from_arrays([column], ["city"])))
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), _raw([b"Oslo", bad], pa.string()))
    assert "row 1" in str(assert_same(*one_hot, pa.RecordBatch.from_arrays([column], ["city"])))


@pytest.mark.parametrize(
    ("index", "bad"),
    [*((index, bad) for index in ("int8", "uint8", "int64", "uint64") for bad in (3, 100)),
     ("int8", -1), ("int8", -128), ("int64", -1), ("int64", -(2**63)), ("uint8", 255), ("uint64", 2**63)],
)  # fmt: skip
def test_indices_beyond_a_dictionary(one_hot: tuple[mlcore.Model, mlcore.Model], index: str, bad: int) -> None:
    indices = pa.array(np.array([0, 1, bad], index))
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["Oslo", "", "x"]), safe=False)
    message = assert_same(*one_hot, pa.RecordBatch.from_arrays([column], ["city"]))
    assert "row 2: expected a dictionary index below 3 but found" in message


@pytest.mark.parametrize("offsets", [[0, 4, 2, 8], [0, 4, 2**31 - 1, 8], [-5, 4, 6, 8], [2, 1, 3, 8], [0, -1, 5, 8]])
def test_offsets_that_lead_elsewhere(one_hot: tuple[mlcore.Model, mlcore.Model], offsets: list[int]) -> None:
    for kind, wide in ((pa.string(), np.int32), (pa.large_string(), np.int64)):
        memory = np.zeros(4, wide)  # pyarrow looks at once
        buffers = [None, pa.py_buffer(memory), pa.py_buffer(b"Oslo" * 2)]
        batch = pa.RecordBatch.from_arrays([pa.Array.from_buffers(kind, 3, buffers)], ["city"])
        memory[:] = offsets
        message = assert_same(*one_hot, batch)
        assert "expected string offsets in order between" in message
        # of rows that are missing they may be anything
        memory[:] = 0
        column = pa.Array.from_buffers(kind, 3, [pa.py_buffer(bytes([0])), *buffers[1:]], null_count=3)
        batch = pa.RecordBatch.from_arrays([column], ["city"])
        memory[:] = offsets
        assert_same(*one_hot, batch)


def test_a_dictionary_with_a_missing_entry(one_hot: tuple[mlcore.Model, mlcore.Model]) -> None:
    column = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, None, 2], pa.int32()), pa.array(["Oslo", None, "none such"])
    )
    assert_same(*one_hot, pa.RecordBatch.from_arrays([column], ["city"]))
    empty = pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int32()), pa.array([], pa.string()))
    assert_same(*one_hot, pa.RecordBatch.from_arrays([empty], ["city"]))


def test_a_null_that_does_not_say_which_it_is() -> None:
    frame = pd.DataFrame({"city": pd.Series(["a", None, float("nan"), "b"], dtype=object)})
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = mlcore.compile(encoder.fit(frame), frame)
    other = on_device(model)
    for text in ("string", "int8"):
        for values in (["b", "a"], ["b", "x", None]):
            batch = pa.RecordBatch.from_arrays([_text(values, text)], ["city"])
            assert ("row 2: expected None or NaN" in str(assert_same(model, other, batch))) == (None in values)


def test_a_dictionary_of_many_entries() -> None:
    names = np.array([f"user {at}" for at in range(50_000)])
    frame = pd.DataFrame({"user": names})
    model = mlcore.compile(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(frame), frame[:50])
    other = on_device(model)
    dice = np.random.default_rng(0)
    wanted = pa.array(np.r_[names[dice.integers(0, 50_000, 20_000)], ["nobody", "user", "user 50000"]])
    for column in (wanted, wanted.dictionary_encode(), pa.array(names).dictionary_encode().slice(40_000)):
        assert_same(model, other, pa.RecordBatch.from_arrays([column], ["user"]))


@pytest.mark.parametrize("sizes", [[], [0], [700], [3, 0, 600, 40]])
def test_a_stream_of_tables(features: tuple[mlcore.Model, mlcore.Model], sizes: list[int]) -> None:
    model, other = features
    whole = _batch(_frame(sum(sizes), 0.0), "string")
    ends = np.cumsum([0, *sizes]).tolist()
    batches = [ArrowOnDevice(whole.slice(start, end - start)) for start, end in pairwise(ends)]
    stream = ArrowStreamOnDevice(batches, whole.schema)
    assert answer(other, "transform", stream) == answer(model, "transform", whole)
    assert stream.released == 1
    assert all(batch.given == batch.released == 1 for batch in batches)


def test_columns_in_a_mapping(features: tuple[mlcore.Model, mlcore.Model]) -> None:
    frame = _frame(300, 0.0)
    frame["amount"] = 1.5
    model, other = features
    expected = answer(model, "transform", frame)
    columns = {
        "kind": ArrowOnDevice(_text(frame["kind"], "int8")),
        "amount": to_device(frame["amount"].to_numpy()),
        "city": ArrowOnDevice(_text(frame["city"], "string")),
    }
    assert answer(other, "transform", columns) == expected
    columns["amount"] = ArrowOnDevice(pa.array(frame["amount"]).slice(1))
    assert answer(other, "transform", columns) == "column 'amount': expected 300 rows but found 299"
    columns["amount"] = frame["amount"].to_numpy()
    assert "column 'amount': expected an array in a GPU's memory, as the others" in answer(other, "transform", columns)
    for column in (columns["kind"], columns["city"]):
        assert column.given == column.released == 3


def test_string_views_are_refused(one_hot: tuple[mlcore.Model, mlcore.Model]) -> None:
    shown = ArrowOnDevice(pa.RecordBatch.from_arrays([pa.array(["a"], pa.string_view())], ["city"]))
    assert answer(one_hot[1], "transform", shown) == (
        "column 'city': expected string but found string_view, which is not read in a device's memory"
    )
    assert shown.given == shown.released == 1


def test_two_threads_at_once(features: tuple[mlcore.Model, mlcore.Model]) -> None:
    model, other = features
    batches = [_batch(_frame(rows, 0.0), text) for rows, text in ((700, "string"), (1_300, "int16"))]
    expected = [answer(model, "transform", batch) for batch in batches]
    found: list[list[Any]] = [[], []]

    def work(at: int) -> None:
        for _ in range(20):
            found[at].append(answer(other, "transform", ArrowOnDevice(batches[at])))

    threads = [threading.Thread(target=work, args=(at,)) for at in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[one] * 20 for one in expected]


@emulated_only
def test_a_warm_call_allocates_nothing(
    features: tuple[mlcore.Model, mlcore.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("int8", "string"):
        shown = ArrowOnDevice(_batch(_frame(600, 0.0), text))
        expected = answer(features[1], "transform", shown)
        monkeypatch.setenv("MLCORE_EMULATED_BYTES", "0")
        assert answer(features[1], "transform", shown) == expected
        monkeypatch.delenv("MLCORE_EMULATED_BYTES")


# -- scale ------------------------------------------------------------------------------------------------------


def test_many_rows() -> None:
    """MLCORE_TEST_SCALE=40: 10^8 rows in one call."""
    part = 100_000
    parts = scale(25)
    frame = _frame(part)[["amount", "city"]]
    text = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    features = ColumnTransformer([("city", text, ["city"])], remainder="passthrough")
    trees = xgb.XGBRegressor(n_estimators=5, max_depth=4, n_jobs=1).fit(
        features.fit_transform(frame[:5_000]), np.nan_to_num(frame["amount"][:5_000])
    )
    model = mlcore.compile(make_pipeline(features, trees), frame[:100])
    other = on_device(model)
    other_part = frame.sample(frac=1.0, random_state=1)
    columns = [
        pa.concat_arrays([make(one) for one in (frame, other_part)] * (parts // 2) + [make(frame)] * (parts % 2))
        for make in (lambda one: pa.array(one["amount"], from_pandas=True), lambda one: _codes(one["city"]))
    ]
    batch = pa.RecordBatch.from_arrays(columns, ["amount", "city"])
    assert batch.num_rows == parts * part
    found = other.call("predict", ArrowOnDevice(batch)).to_host()  # type: ignore[union-attr]
    for start in range(0, batch.num_rows, part):
        expected = model.call("predict", batch.slice(start, part))
        assert zlib.crc32(found[start : start + part]) == zlib.crc32(expected), start


def _codes(city: pd.Series) -> pa.Array:
    """The same dictionary for every part."""
    indices = pd.Categorical(city, categories=CITIES).codes
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), pa.array(CITIES))
