"""The works behind the figures: generated tables and models fitted on them, each written to a folder of plain files.

Contestants live in environments that do not share libraries with this one, so what they read is a model file of its
library, ``X.npy`` or ``table.arrow``, and the original's answer in ``expected.npy``. A folder is written once and used
by later runs: fitting takes minutes, and a model that stays the same makes runs comparable.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

# grows when a generator or model below changes, so that old folders are not used
EDITION = 1


@dataclass(frozen=True)
class Size:
    """How large the works are: rows to predict and to fit on, and by how much the numbers of trees are divided."""

    rows: int = 100_000
    train: int = 20_000
    fewer: int = 1


# what the tests run
SMALL = Size(2_000, 2_000, 25)

# -- generated tables ---------------------------------------------------------------------------------------------

NUMBERS, BINNED = 16, 8
# categories of each string column: the wide ones become ordinal codes, the narrow ones are one-hot
WIDE = (5_000, 2_000, 500, 200)
NARROW = (62, 40, 25, 12, 7, 5)
KINDS = ("customer", "segment", "shop", "city", "code")


def raw_table(rows: int, seed: int, unseen: float = 0.0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """24 numbers with nulls, 10 strings with 5 to 5,000 categories and nulls, and a label.

    Parameters
    ----------
    rows : int
        Number of rows.
    seed : int
        The same seed gives the same rows on every machine.
    unseen : float
        Share of strings that no table without unseen ones holds, as at predict time.

    Returns
    -------
    columns : dict of str to ndarray
        float64 with NaN, and object with None.
    label : ndarray of shape (rows,), int64
    """
    rng = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {}
    signal = np.zeros(rows)
    for i in range(NUMBERS + BINNED):
        values = rng.normal(size=rows) if i % 3 else np.exp(rng.normal(3.0, 1.5, size=rows)).round(2)
        signal += np.sin(values + i) / (1 + i % 5)
        values[rng.random(rows) < (0.02, 0.08, 0.0)[i % 3]] = np.nan
        columns[f"n{i}"] = values
    for i, size in enumerate(WIDE + NARROW):
        code = np.minimum((size * rng.random(rows) ** 2.5).astype(np.int64), size - 1)
        signal += np.sin(code * 0.7 + i)
        names = np.array([f"{KINDS[i % 5]}-{i}-{k:05d}" for k in range(size)])
        values = names[code].astype(object)
        fresh = rng.random(rows) < unseen
        values[fresh] = [f"new-{k}" for k in rng.integers(0, 1_000, int(fresh.sum()))]
        values[rng.random(rows) < (0.03 if i % 2 else 0.01)] = None
        columns[f"s{i}"] = values
    label = (signal + rng.normal(size=rows) > np.median(signal)).astype(np.int64)
    return columns, label


def arrow(columns: dict[str, np.ndarray]) -> Any:
    """As an Arrow table: NaN and None are nulls."""
    import pyarrow as pa

    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


def encoder() -> Any:
    """The features of the whole road: 34 raw columns become 185."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler

    bins = KBinsDiscretizer(n_bins=10, encode="ordinal", strategy="quantile", quantile_method="averaged_inverted_cdf")
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    wide = len(WIDE)
    numbers = [f"n{i}" for i in range(NUMBERS + BINNED)]
    strings = [f"s{i}" for i in range(wide + len(NARROW))]
    return ColumnTransformer(
        [
            ("scaled", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers[:NUMBERS]),
            ("binned", make_pipeline(SimpleImputer(strategy="mean"), bins), numbers[NUMBERS:]),
            ("wide", ordinal, strings[:wide]),
            ("narrow", one_hot, strings[wide:]),
        ]
    )


@cache
def _tables(size: Size) -> tuple[Any, Any, np.ndarray, Any]:
    """The fitted encoder, the training frame, its labels, and the Arrow table to predict."""
    train, label = raw_table(size.train, seed=0)
    frame = arrow(train).to_pandas()
    return encoder().fit(frame), frame, label, arrow(raw_table(size.rows, seed=1, unseen=0.02)[0])


@cache
def _encoded(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, frame, label, table = _tables(size)
    rng = np.random.default_rng(2)
    target = label + 0.3 * rng.normal(size=size.train)
    # some missing values, as a model's matrix has them when nothing imputes
    X, train = (features.transform(t).astype(np.float32) for t in (table.to_pandas(), frame))
    for matrix in (X, train):
        matrix[:, :4][rng.random((len(matrix), 4)) < 0.03] = np.nan
    return train, target, X


def _matrix(columns: int, seed: int, size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(size.train + size.rows, columns)).astype(np.float32)
    y = X[:, 0] + X[:, 1] * X[:, 2] + np.sin(3 * X[:, 3]) + rng.normal(size=len(X))
    return X[: size.train], y[: size.train], X[size.train :]


# -- the works ----------------------------------------------------------------------------------------------------


def _xgboost(folder: Path, trees: int, train: np.ndarray, y: np.ndarray, X: np.ndarray, **params: Any) -> None:
    from xgboost import XGBRegressor

    # 250 bins: what a user gets who wants ranks that fit a byte, and within 3 % of the default of 256
    model = XGBRegressor(n_estimators=trees, max_bin=250, n_jobs=2, **params).fit(train, y)
    model.save_model(folder / "model.ubj")
    np.save(folder / "X.npy", X)
    np.save(folder / "expected.npy", model.get_booster().inplace_predict(X, predict_type="margin"))


def encoded(folder: Path, size: Size) -> None:
    """500 trees of depth 6 over 185 float32 columns, most of them 0 or 1."""
    _xgboost(folder, 500 // size.fewer, *_encoded(size), max_depth=6, learning_rate=0.05)


def leaves(folder: Path, size: Size) -> None:
    """500 LightGBM trees of 64 leaves over the same columns."""
    from lightgbm import LGBMRegressor

    train, y, X = _encoded(size)
    model = LGBMRegressor(n_estimators=500 // size.fewer, num_leaves=64, learning_rate=0.05, n_jobs=2, verbose=-1).fit(
        train, y
    )
    model.booster_.save_model(folder / "model.txt")
    np.save(folder / "X.npy", X)
    np.save(folder / "expected.npy", model.booster_.predict(X, raw_score=True))


def deep(folder: Path, size: Size) -> None:
    """1,000 trees of depth 8 over 60 columns."""
    _xgboost(folder, 1_000 // size.fewer, *_matrix(60, 3, size), max_depth=8, learning_rate=0.05)


def unpruned(folder: Path, size: Size) -> None:
    """A forest of 200 trees grown to the last row."""
    import joblib
    from sklearn.ensemble import RandomForestRegressor

    train, y, X = _matrix(30, 4, size)
    model = RandomForestRegressor(n_estimators=200 // size.fewer, n_jobs=2, random_state=0, max_features=0.5).fit(
        train, y
    )
    # several threads add the trees in the order in which they finish
    model.n_jobs = 1
    np.save(folder / "expected.npy", model.predict(X))
    np.save(folder / "X.npy", X)
    joblib.dump(model, folder / "model.joblib")


def whole_road(folder: Path, size: Size) -> None:
    """34 raw columns in Arrow through 185 features and 200 trees of depth 6 to a probability."""
    import joblib
    import pyarrow.feather
    from sklearn.pipeline import make_pipeline
    from xgboost import XGBClassifier

    features, frame, label, table = _tables(size)
    model = XGBClassifier(n_estimators=200 // size.fewer, max_depth=6, max_bin=250, n_jobs=2).fit(
        features.transform(frame), label
    )
    pipeline = make_pipeline(features, model)
    joblib.dump(pipeline, folder / "model.joblib")
    pyarrow.feather.write_feather(table, folder / "table.arrow", compression="uncompressed")
    encoded = features.transform(table.to_pandas())
    np.save(folder / "expected.npy", pipeline.predict_proba(table.to_pandas())[:, 1])
    np.save(folder / "margin.npy", model.predict(encoded, output_margin=True))
    np.save(folder / "features.npy", encoded.astype(np.float32))


def large(folder: Path, size: Size) -> None:
    """5,000 trees of about 300 leaves: 3 million nodes."""
    train, y, X = _matrix(20, 5, size)
    grown = {"max_depth": 0, "max_leaves": 300, "grow_policy": "lossguide", "min_child_weight": 0, "subsample": 0.6}
    _xgboost(folder, 5_000 // size.fewer, train[:8_000], y[:8_000], X[:2_000], learning_rate=0.02, **grown)


# name: how it is fitted, whose model it is, trees
WORKS: dict[str, tuple[Callable[[Path, Size], None], str, int]] = {
    "encoded": (encoded, "xgboost", 500),
    "leaves": (leaves, "lightgbm", 500),
    "deep": (deep, "xgboost", 1_000),
    "unpruned": (unpruned, "sklearn", 200),
    "whole-road": (whole_road, "pipeline", 200),
    "large": (large, "xgboost", 5_000),
}


def main() -> None:
    """Write the folder of one work, unless it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="few rows and trees, for tests")
    options = parser.parse_args()
    fit, library, trees = WORKS[options.work]
    size, folder = SMALL if options.small else Size(), options.folder
    facts = {
        "name": options.work, "edition": EDITION, "library": library, "trees": trees // size.fewer,
        # what is timed of the large model is loading
        "rows": min(size.rows, 2_000) if options.work == "large" else size.rows,
    }  # fmt: skip
    if (folder / "work.json").exists() and json.loads((folder / "work.json").read_text()) == facts:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fit(folder, size)
    (folder / "work.json").write_text(json.dumps(facts))  # last: a folder without it is not finished


if __name__ == "__main__":
    main()
