"""Writes golden artifacts of the current format version. Each is written once and kept for ever.

Usage: python tests/golden/make.py VERSION [NAME ...]

Each ``<name>.mlc`` has a ``<name>.npz`` beside it: the input columns, and the answer of every method as bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mlcore
import numpy as np

HERE = Path(__file__).resolve().parent
RNG = np.random.default_rng(0)


def table(rows: int = 60) -> dict[str, np.ndarray]:
    """Numbers with missing values, integers, booleans, texts with missing values, times."""
    number = RNG.normal(size=rows)
    number[::9] = np.nan
    text = RNG.choice(np.array(["red", "green", "blue", ""], dtype=object), rows)
    text[::7] = None
    return {
        "number": number,
        "amount": np.round(RNG.lognormal(size=rows), 2),
        "count": RNG.integers(-5, 50, rows),
        "flag": RNG.random(rows) < 0.5,
        "colour": text,
        "size": RNG.choice(np.array(["S", "M", "L"], dtype=object), rows),
        "time": np.datetime64("2026-01-01", "us") + RNG.integers(0, 10**12, rows).astype("timedelta64[us]"),
    }


def models() -> dict[str, tuple[Any, Any]]:
    """Fitted estimators and their input, chosen so that every op occurs."""
    import lightgbm
    import pandas
    import xgboost
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer
    from sklearn.dummy import DummyRegressor
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        IsolationForest,
        RandomForestClassifier,
        RandomForestRegressor,
        VotingClassifier,
    )
    from sklearn.feature_selection import SelectKBest
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, PoissonRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (
        Binarizer,
        FunctionTransformer,
        KBinsDiscretizer,
        MinMaxScaler,
        Normalizer,
        OneHotEncoder,
        OrdinalEncoder,
        PolynomialFeatures,
        StandardScaler,
        TargetEncoder,
    )
    from sklearn.tree import DecisionTreeClassifier

    frame = pandas.DataFrame(table())
    X = RNG.normal(size=(60, 4))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    three = np.digitize(X[:, 0], [-0.5, 0.5])
    impute = SimpleImputer(add_indicator=True)
    features = ColumnTransformer(
        [
            ("numbers", make_pipeline(impute, StandardScaler()), ["number", "amount", "count"]),
            ("bins", KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf"), ["amount"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["colour"]),
            ("order", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["size"]),
            ("flag", "passthrough", ["flag"]),
            ("time", MinMaxScaler(clip=True), ["time"]),
        ],
        sparse_threshold=0.0,
    )
    labels = np.where(frame["amount"] > 1, "high", "low")
    chain = make_pipeline(
        PolynomialFeatures(2), FunctionTransformer(np.tanh), Normalizer(), SelectKBest(k=3), Binarizer(threshold=0.1)
    )
    forest = RandomForestClassifier(4, max_depth=3, n_jobs=1, random_state=0)
    votes = [("a", forest), ("b", LogisticRegression())]
    return {
        "table-xgboost": (
            make_pipeline(features, xgboost.XGBClassifier(n_estimators=5, max_depth=3)).fit(frame, labels == "high"),
            frame,
        ),
        "table-histgradientboosting": (
            make_pipeline(features, HistGradientBoostingClassifier(max_iter=5)).fit(frame, labels),
            frame,
        ),
        "texts-target": (TargetEncoder(random_state=0).fit(frame[["size"]], labels), frame[["size"]]),
        "strings": (SimpleImputer(strategy="most_frequent").fit(frame[["size"]]), frame[["size"]]),
        "chain": (chain.fit(X, y), X),
        "lightgbm": (lightgbm.LGBMClassifier(n_estimators=5, num_leaves=6, verbose=-1).fit(X, three), X),
        "linear-trees": (
            lightgbm.LGBMRegressor(n_estimators=4, num_leaves=4, linear_tree=True, verbose=-1).fit(X, X[:, 0]),
            X,
        ),
        "gradientboosting": (GradientBoostingClassifier(n_estimators=4, init="zero").fit(X, three), X),
        "vote-hard": (VotingClassifier(votes).fit(X, three), X),
        "vote-soft": (VotingClassifier(votes, voting="soft").fit(X, three), X),
        "isotonic": (CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=3).fit(X, y), X),
        "isolation": (IsolationForest(n_estimators=5, random_state=0).fit(X), X),
        "poisson": (PoissonRegressor().fit(X, np.abs(X[:, 0])), X),
        "dummy": (DummyRegressor().fit(X, X[:, 0]), X),
        "dropped-step": (
            make_pipeline(
                ColumnTransformer([("size", OrdinalEncoder(), ["size"]), ("amount", StandardScaler(), ["amount"])]),
                ColumnTransformer([("kept", "passthrough", [1])]),
                DecisionTreeClassifier(max_depth=3, random_state=0),
            ).fit(frame[["size", "amount"]], labels == "high"),
            frame[["size", "amount"]],
        ),
        "linear-start": (GradientBoostingClassifier(n_estimators=3, init=LogisticRegression()).fit(X, y), X),
        "sigmoid": (CalibratedClassifierCV(LogisticRegression(), cv=3).fit(X, three), X),
        "several-targets": (
            RandomForestClassifier(3, max_depth=3, n_jobs=1, random_state=0).fit(X, np.column_stack([y, three])),
            X,
        ),
        "several-numbers": (RandomForestRegressor(3, max_depth=3, n_jobs=1, random_state=0).fit(X, X[:, :2]), X),
    }


def columns_of(data: Any) -> dict[str, np.ndarray]:
    """Input columns as NumPy arrays without objects: texts as fixed-width strings, missing ones marked."""
    if isinstance(data, np.ndarray):
        return {f"x{index}": data[:, index] for index in range(data.shape[1])}
    out = {}
    for name in data.columns:
        values = data[name].to_numpy()
        if values.dtype == object or values.dtype.kind in "OT":
            out[f"{name}?"] = np.array([value is None or value != value for value in values])
            values = np.array(["" if value is None or value != value else value for value in values], dtype="U")
        out[name] = values
    return out


def main() -> None:
    """Write the files of one format version: all, or the named ones."""
    folder = HERE / sys.argv[1]
    folder.mkdir(exist_ok=True)
    for name, (estimator, data) in models().items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        model = mlcore.compile(estimator, data)
        model.save(folder / f"{name}.mlc")
        answers = {}
        for method in model.methods:
            found = model.call(method, data)
            # several targets: one array each
            parts = {f"answer {method} {i}": one for i, one in enumerate(found)} if isinstance(found, list) else {}
            answers |= parts or {f"answer {method}": np.asarray(found)}
        texts = {key: value.astype("U") for key, value in answers.items() if value.dtype == object}
        np.savez_compressed(folder / f"{name}.npz", **(columns_of(data) | answers | texts))
        print(name, (folder / f"{name}.mlc").stat().st_size)


if __name__ == "__main__":
    main()
