"""Every case of `cases` against its library, and against itself in every container, batch size and after a file."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from arrow_devices import assert_same_from_memory
from cases import TRANSFORMS, case, pairs
from emulated import assert_same_on_device
from holding import accepted_rows, arrays, assert_promises, bits, part, quiet
from mlcore.errors import InputError

IDS = [" on ".join(filter(None, pair)) for pair in pairs()]


# -- containers -------------------------------------------------------------------------------------------------


def _arrow(frame: pd.DataFrame, text: Callable[[pa.Array], pa.Array] = lambda column: column) -> pa.Table:
    """Columns by Arrow's own types; ``text`` changes those of strings."""
    columns = {}
    for name, series in frame.items():
        if series.dtype.kind == "O":
            columns[name] = text(pa.array([None if pd.isna(v) else v for v in series], pa.string()))
        elif series.dtype.kind == "M":
            columns[name] = pa.array(series.to_numpy())
        else:
            columns[name] = pa.array(series.to_numpy(), from_pandas=True)
    return pa.table(columns)


def _chunked(frame: pd.DataFrame) -> pa.Table:
    table = _arrow(frame)
    cuts = [0, 1, 3, len(frame) // 2, len(frame)]
    return pa.concat_tables(table.slice(a, b - a) for a, b in itertools.pairwise(cuts))


def _sliced(frame: pd.DataFrame) -> pa.Table:
    table = _arrow(pd.concat([frame.iloc[:3], frame, frame.iloc[:2]]))
    return table.combine_chunks().slice(3, len(frame))


def _rebatched(frame: pd.DataFrame) -> pa.RecordBatchReader:
    table = _arrow(frame)
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7))


def _texts(frame: pd.DataFrame, dtype: Any) -> pd.DataFrame:
    texts = [name for name, series in frame.items() if series.dtype.kind == "O"]
    return frame.assign(**{name: frame[name].astype(dtype) for name in texts})


def _nullable(frame: pd.DataFrame) -> pd.DataFrame:
    """pandas' masked types; NaN in them is missing."""
    kinds = {"f": "Float", "i": "Int", "b": "boolean"}
    out = {}
    for name, series in frame.items():
        kind = series.dtype.kind
        bits = "" if kind == "b" else str(series.dtype.itemsize * 8)
        out[name] = series.astype(kinds[kind] + bits) if kind in kinds else series
    return pd.DataFrame(out)


def _columns(frame: pd.DataFrame) -> dict[str, Any]:
    return {name: series.to_numpy() for name, series in frame.items()}


def _lists(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {name: series.tolist() for name, series in frame.items()}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return frame.to_dict("records")


def _structured(frame: pd.DataFrame) -> np.ndarray:
    out = np.empty(len(frame), dtype=[(name, series.dtype) for name, series in frame.items()])
    for name, series in frame.items():
        out[name] = series.to_numpy()
    return out


# those that can say None, and those that say NaN or null, which a model takes for what it learned
OF_NONE: dict[str, Callable[[pd.DataFrame], Any]] = {
    "arrow": _arrow,
    "arrow chunked": _chunked,
    "arrow sliced": _sliced,
    "arrow batches": _rebatched,
    "arrow dictionary": lambda frame: _arrow(frame, lambda column: column.dictionary_encode()),
    "arrow large": lambda frame: _arrow(frame, lambda column: column.cast(pa.large_string())),
    "arrow view": lambda frame: _arrow(frame, lambda column: column.cast(pa.string_view())),
    "arrow dictionary, sliced": lambda frame: _arrow(
        pd.concat([frame.iloc[5:8], frame]), lambda column: column.dictionary_encode()
    ).slice(3),
    "polars": lambda frame: pl.from_arrow(_arrow(frame)),
    "polars categorical": lambda frame: pl.from_arrow(_arrow(frame)).with_columns(
        pl.col(pl.String).cast(pl.Categorical)
    ),
    "pandas string": lambda frame: _texts(frame, "string"),
    "pandas of arrow": lambda frame: _arrow(frame).to_pandas(types_mapper=pd.ArrowDtype),
    "pandas masked": _nullable,
    "pandas index": lambda frame: frame.set_axis(np.arange(len(frame))[::-1] * 3),
    "pandas reordered": lambda frame: frame[list(frame.columns)[::-1]],
    "columns": _columns,
    "lists": _lists,
    "records": _records,
    "structured": _structured,
}
OF_NAN: dict[str, Callable[[pd.DataFrame], Any]] = {
    **OF_NONE,
    "pandas str": lambda frame: _texts(frame, "str"),
    "pandas category": lambda frame: _texts(frame, "category"),
}


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Pandas categories as the text they hold, which is what other containers have."""
    texts = [name for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)]
    return frame.assign(**{name: frame[name].astype(object) for name in texts})


# -- tests ------------------------------------------------------------------------------------------------------


def _good(model_name: str, transform_name: str, missing: str = "nan") -> tuple[Any, mlcore.Model, pd.DataFrame]:
    """The pair compiled, and the edge rows that both take."""
    found = case(model_name, transform_name, missing)
    with quiet():
        model = mlcore.compile(found.estimator, found.train)
        kept = accepted_rows(found.estimator, model, found.edges)
    assert len(kept) >= 15
    return found.estimator, model, found.edges.iloc[kept]


@pytest.mark.parametrize(("model_name", "transform_name"), pairs(), ids=IDS)
def test_case(model_name: str, transform_name: str, tmp_path: Path) -> None:
    estimator, model, good = _good(model_name, transform_name)
    with quiet():
        assert_promises(estimator, model, good)
        assert_promises(estimator, model, case(model_name, transform_name).train)
    expected = {method: bits(model.call(method, good)) for method in model.methods}
    path = tmp_path / "model.mlc"
    model.save(path)
    copy = mlcore.load(path)
    assert copy.to_bytes() == model.to_bytes()
    for method in model.methods:
        assert bits(copy.call(method, good)) == expected[method]
        for size in (1, 3, 17):
            pieces = [arrays(model.call(method, part(good, slice(i, i + size)))) for i in range(0, len(good), size)]
            assert bits([np.concatenate(column) for column in zip(*pieces, strict=True)]) == expected[method]
    _assert_single_rows(model, good)
    assert_same_from_memory(model, assert_same_on_device(model, good), good)
    for name, convert in OF_NAN.items():
        for method in model.methods:
            assert bits(model.call(method, convert(_plain(good)))) == expected[method], (name, method)


def _assert_single_rows(model: mlcore.Model, good: pd.DataFrame) -> None:
    """`row` gives the numbers of the batch, as Python values."""
    for method in model.methods:
        batch = arrays(model.call(method, good))
        for index, row in enumerate(_records(_plain(good))):
            found = model.row(row, method)
            for answer, array in zip(found if isinstance(found, list) else [found], batch, strict=True):
                values = list(answer.values()) if isinstance(answer, dict) else [answer]
                wanted = np.ravel(array[index]).tolist()
                assert repr(values) == repr(wanted), (method, index)
                assert all(type(value) in (float, int, bool, str) or value is None for value in values)


# imputers of NaN leave a None alone, but take a null for what they impute
@pytest.mark.parametrize("transform_name", [name for name in TRANSFORMS if name not in ("imputers", "nested")])
def test_missing_text_that_is_none(transform_name: str) -> None:
    estimator, model, good = _good("", transform_name, "none")
    with quiet():
        assert_promises(estimator, model, good)
    expected = bits(model.transform(good))
    for name, convert in OF_NONE.items():
        assert bits(model.transform(convert(good))) == expected, name


def test_numbers_of_one_type_come_as_a_matrix() -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeRegressor

    for dtype in (np.float64, np.float32, np.int32):
        X = (np.random.default_rng(3).normal(size=(90, 3)) * 9).astype(dtype)
        model = mlcore.compile(make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=4)).fit(X, X[:, 0]), X)
        expected = bits(model.predict(X))
        frame = pd.DataFrame(X, columns=model.columns)
        spread = np.zeros((180, 9), dtype=dtype)
        spread[::2, ::3] = X
        containers: list[Any] = [
            np.asfortranarray(X), spread[::2, ::3], X[::-1][::-1], X.astype(X.dtype.newbyteorder(">")), X.tolist(),
            frame, frame.set_axis([0, 1, 2], axis=1), pl.DataFrame(frame), pa.table(frame), [tuple(row) for row in X],
        ]  # fmt: skip
        for container in containers:
            assert bits(model.predict(container)) == expected, type(container)
        with pytest.raises(InputError, match="expected 3 columns"):
            model.predict(X[:, :2])


def test_nullable_columns_of_the_original_are_compared() -> None:
    """pandas.NA in a frame that the original returns is NaN here."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    found = case("", "gaps").train[["amount", "count", "flag", "job"]]
    frame = found.assign(count=found["count"].astype("Int64"), flag=found["flag"].astype("boolean"))
    frame["amount"] = frame["amount"].fillna(0.0)
    frame.loc[3, "count"] = pd.NA
    features = ColumnTransformer([("job", OrdinalEncoder(), ["job"])], remainder="passthrough")
    features.set_output(transform="pandas")
    hist = HistGradientBoostingClassifier(max_iter=3)
    estimator = make_pipeline(features, hist).fit(frame, found["flag"])
    model = mlcore.compile(estimator, frame)
    assert_promises(estimator, model, frame)
    assert np.isnan(model.transform(frame)[3]).sum() == 1


def test_lightgbm_columns_with_spaces() -> None:
    """LightGBM writes "my amount" down as "my_amount"; the caller's name counts."""
    import lightgbm as lgb

    found = case("", "gaps").train
    frame = found[["amount", "count"]].rename(columns={"amount": "my amount"})
    booster = lgb.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(frame, found["flag"])
    model = mlcore.compile(booster, frame)
    assert model.columns == ["my amount", "count"]
    assert_promises(booster, model, frame)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "columns", [list(range(33)), [0, 1, 2, 9, 10, 32], [5, 4, 3]], ids=["all", "runs", "backwards"]
)
def test_a_matrix_is_read_as_its_columns_are(dtype: Any, columns: list[int]) -> None:
    """Rows of a matrix are read in one pass where its columns lie side by side: over several chunks and a rest."""
    from sklearn.compose import ColumnTransformer

    X = np.random.default_rng(8).normal(size=(1_100, 33)).astype(dtype)
    X[::7, ::5] = np.nan
    model = mlcore.compile(ColumnTransformer([("same", "passthrough", columns)]).fit(X), X[:20])
    for rows in (1, 2, 15, 16, 17, 511, 512, 513, 1_100):
        for table in (X[-rows:], np.asfortranarray(X[-rows:]), X[::-1][:rows]):
            assert bits(model.transform(table)) == bits(table[:, columns])
