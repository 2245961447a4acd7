"""Random pipelines over random dirty tables, drawn from any `random.Random` (Hypothesis has one that shrinks)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectFromModel, SelectKBest, SelectPercentile, VarianceThreshold, f_regression
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    GammaRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
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
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor

__all__ = ["Case", "random_case"]

TRAIN_ROWS = 80
TEST_ROWS = 16

WORDS = ["red", "green", "blue", "", " ", "é", "e\u0301", "日本", "🙂", "a\x00b", "nan", "None", "x" * 70, "Red"]
UNSEEN = ["Atlantis", "red ", "\ufeff", "a\x00", "0", "NaN", "y" * 300]
ODD = [np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, -1e-310, -0.0, 0.0, 1e39, 2.0**53, 1e-46, 0.1]


@dataclass
class Case:
    """An unfitted pipeline, the table it is fitted on, and dirty rows of the same types."""

    estimator: Any
    train: Any
    y: Any
    test: Any

    def __repr__(self) -> str:
        return f"{self.estimator!r}\ntrain:\n{_head(self.train)}\ntest:\n{_head(self.test)}"


def _head(X: Any) -> str:
    if isinstance(X, pd.DataFrame):
        return f"{X.head(4).to_dict('list')} {X.dtypes.to_dict()}"
    return f"{X.dtype}{X.shape} {X[:4]!r}"


def _chance(r: Random, percent: int) -> bool:
    return r.randint(0, 99) < percent


# -- tables -----------------------------------------------------------------------------------------------------


def _floats(r: Random, rng: np.random.Generator) -> np.ndarray:
    rows = TRAIN_ROWS
    return {
        "normal": lambda: rng.normal(size=rows),
        "tail": lambda: np.exp(rng.normal(size=rows) * 4),
        "whole": lambda: rng.integers(-3, 6, rows).astype(float),
        "tenths": lambda: np.round(rng.normal(size=rows), 1),
        "money": lambda: np.round(np.exp(rng.normal(3, 1, rows)), 2),
        "flags": lambda: rng.integers(0, 2, rows).astype(float),
        "zeros": lambda: np.where(rng.random(rows) < 0.6, rng.choice([0.0, -0.0], rows), rng.normal(size=rows)),
        "tiny": lambda: rng.normal(size=rows) * 1e-310,
        "huge": lambda: rng.normal(size=rows) * 1e150,
        "constant": lambda: np.full(rows, r.choice([0.0, -0.0, 1.5, 1e10])),
        "positive": lambda: rng.random(rows) + 1e-3,
    }[
        r.choice(
            [
                "normal",
                "normal",
                "tail",
                "whole",
                "tenths",
                "money",
                "flags",
                "zeros",
                "tiny",
                "huge",
                "constant",
                "positive",
            ]
        )
    ]()


def _words(r: Random, rng: np.random.Generator) -> np.ndarray:
    known = r.sample(WORDS, r.randint(1, 6))
    shares = rng.random(len(known)) + 0.05
    return np.array(known, dtype=object)[rng.choice(len(known), TRAIN_ROWS, p=shares / shares.sum())]


def _gaps(r: Random, rng: np.random.Generator, values: np.ndarray, missing: Any) -> np.ndarray:
    """Some, all or the first of the values missing."""
    kind = r.choice(["none", "none", "some", "some", "all", "first"])
    out = values.copy()
    if kind == "some":
        out[rng.random(len(out)) < 0.2] = missing
    elif kind == "all" and _chance(r, 30):
        out[:] = missing
    elif kind == "first":
        out[0] = missing
    return out


def _float_test(r: Random, rng: np.random.Generator, train: np.ndarray, odd: bool) -> np.ndarray:
    out = train[rng.integers(0, len(train), TEST_ROWS)].copy()
    with np.errstate(all="ignore"):
        for row in range(TEST_ROWS):
            kind = r.randint(0, 9)
            if kind == 0 and odd:
                out[row] = r.choice(ODD)
            elif kind == 1:
                out[row] = np.nextafter(out[row], out.dtype.type(r.choice([np.inf, -np.inf])))
            elif kind == 2:
                out[row] = out[row] * out.dtype.type(1.5) + out.dtype.type(0.25)
            elif kind == 3:
                out[row] = -out[row]
    return out


@dataclass
class _Column:
    kind: str  # number, text, time
    train: Any
    test: Any


def _column(r: Random, rng: np.random.Generator, texts: bool) -> _Column:
    kinds = ["float64"] * 5 + ["float32", "int64", "int8", "uint8", "uint64", "bool", "Int64", "Float64", "boolean"]
    if texts:
        kinds += ["object"] * 6 + ["str", "str", "category", "string", "time", "zoned"]
    kind = r.choice(kinds)
    odd = _chance(r, 60)
    if kind in ("float64", "float32", "Float64"):
        with np.errstate(over="ignore"):
            train = _gaps(r, rng, _floats(r, rng), np.nan).astype("float32" if kind == "float32" else "float64")
        test = _float_test(r, rng, train, odd)
        if kind == "Float64":
            return _Column("number", pd.array(train, dtype=kind), pd.array(test, dtype=kind))
        return _Column("number", train, test)
    if kind in ("int64", "int8", "uint8", "uint64", "Int64"):
        dtype = kind.lower()
        low, high = r.choice([(0, 2), (0, 5), (0, 100), (-5, 6), (-120, 120)])
        low = max(low, 0) if dtype.startswith("u") else low
        train = rng.integers(low, high, TRAIN_ROWS).astype(dtype)
        test = train[rng.integers(0, TRAIN_ROWS, TEST_ROWS)].copy()
        if odd:
            # beside missing values pandas' integers are read as float64, which not every int64 is
            limits = np.iinfo(dtype)
            low, high = (-(2**53), 2**53) if kind == "Int64" else (limits.min, limits.max)
            test[0], test[1], test[2] = low, high, 101
        if kind != "Int64":
            return _Column("number", train, test)
        masks = [rng.random(TRAIN_ROWS) < r.choice([0.0, 0.2]), rng.random(TEST_ROWS) < 0.2]
        nullable = [pd.array(v, dtype="Int64") for v in (train, test)]
        for values, mask in zip(nullable, masks, strict=True):
            values[mask] = pd.NA
        return _Column("number", *nullable)
    if kind in ("bool", "boolean"):
        train = rng.random(TRAIN_ROWS) < r.choice([0.5, 0.1, 0.0])
        test = rng.random(TEST_ROWS) < 0.5
        if kind == "boolean":
            return _Column("number", pd.array(train, dtype=kind), pd.array(test, dtype=kind))
        return _Column("number", train, test)
    if kind in ("time", "zoned"):
        ticks = rng.integers(0, 10**9, TRAIN_ROWS + TEST_ROWS).astype(
            f"datetime64[{r.choice(['s', 'ms', 'us', 'ns'])}]"
        )
        times = pd.DatetimeIndex(ticks)
        if kind == "zoned":
            times = times.tz_localize("UTC").tz_convert("Europe/Amsterdam")
        return _Column("time", times[:TRAIN_ROWS], times[TRAIN_ROWS:])
    train = _words(r, rng)
    pool = list(dict.fromkeys(train.tolist()))
    missing = r.choice([None, np.nan])
    train = _gaps(r, rng, train, missing)
    test = train[rng.integers(0, TRAIN_ROWS, TEST_ROWS)].copy()
    # a column without a single value is taken for numbers
    odd = odd and not pd.isna(train).all()
    for row in range(TEST_ROWS):
        if odd and _chance(r, 25):
            test[row] = r.choice([*UNSEEN, *WORDS, None if kind != "object" else missing, np.nan])
    if kind == "category":
        categories = [word for word in pool if word]
        r.shuffle(categories)
        # a word that is no category is missing
        train, test = (np.array([w if w in categories else missing for w in words], object) for words in (train, test))
        return _Column("text", pd.Categorical(train, categories), pd.Categorical(test, categories))
    if kind == "object":
        return _Column("text", train, test)
    return _Column("text", pd.array(train, dtype=kind), pd.array(test, dtype=kind))


NAMES = ["a", "b b", "c", "ü", "e.1", "x0", "F", "g__h", "0"]


def _series(values: Any) -> pd.Series:
    """Without pandas' own idea of what an object array holds."""
    return pd.Series(values, dtype=values.dtype)


def _table(r: Random, rng: np.random.Generator) -> tuple[list[_Column], Any, Any]:
    container = r.choice(["frame"] * 6 + ["array", "array", "objects", "lists"])
    count = r.randint(1, 6)
    if container in ("array", "lists"):
        dtype = r.choice(["float64", "float64", "float32"]) if container == "array" else "float64"
        with np.errstate(over="ignore"):
            train = np.column_stack([_gaps(r, rng, _floats(r, rng), np.nan) for _ in range(count)]).astype(dtype)
        odd = _chance(r, 60)
        test = np.column_stack([_float_test(r, rng, train[:, index], odd) for index in range(count)])
        columns = [_Column("number", train[:, index], test[:, index]) for index in range(count)]
        return columns, train, test
    if container == "objects":
        columns = []
        while len(columns) < count:
            column = _column(r, rng, True)
            if isinstance(column.train, np.ndarray) and column.train.dtype == object:
                columns.append(column)
        train, test = (
            np.column_stack([getattr(column, part) for column in columns]).astype(object) for part in ("train", "test")
        )
        return columns, train, test
    columns = [_column(r, rng, True) for _ in range(count)]
    if count > 1 and _chance(r, 10):
        columns[-1] = columns[0]
    names = r.sample(NAMES, count)
    train, test = (
        pd.DataFrame({name: _series(getattr(column, part)) for name, column in zip(names, columns, strict=True)})
        for part in ("train", "test")
    )
    if _chance(r, 15):
        test.index = np.arange(TEST_ROWS) * 3 - 5
    for frame in (train, test):
        frame.columns = pd.Index(names, dtype=object)
    return columns, train, test


# -- transforms -------------------------------------------------------------------------------------------------

FUNCTIONS = [
    None, np.log1p, np.sqrt, np.abs, np.square, np.exp, np.sign, np.floor, np.ceil, np.trunc, np.rint, np.negative,
    np.reciprocal, np.tanh, np.cbrt, np.expm1, np.log2, np.log10, np.log, np.exp2,
]  # fmt: skip


def _number_leaf(r: Random) -> Any:
    name = r.choice(
        ["standard", "standard", "minmax", "maxabs", "robust", "normalize", "binarize", "bins", "bins", "poly", "ufunc",
         "ufunc", "impute", "impute", "impute", "indicator", "variance", "kbest", "percentile", "frommodel", "pass"]
    )  # fmt: skip
    makers: dict[str, Callable[[], Any]] = {
        "standard": lambda: StandardScaler(with_mean=_chance(r, 80), with_std=_chance(r, 80)),
        "minmax": lambda: MinMaxScaler(feature_range=r.choice([(0, 1), (-1, 1), (0.1, 7.3)]), clip=_chance(r, 40)),
        "maxabs": lambda: MaxAbsScaler(clip=_chance(r, 40)),
        "robust": lambda: RobustScaler(
            with_centering=_chance(r, 80),
            with_scaling=_chance(r, 80),
            quantile_range=r.choice([(25.0, 75.0), (1.0, 99.0)]),
            unit_variance=_chance(r, 30),
        ),
        "normalize": lambda: Normalizer(norm=r.choice(["l1", "l2", "max"])),
        "binarize": lambda: Binarizer(threshold=r.choice([0.0, 0.5, -1.25])),
        "bins": lambda: KBinsDiscretizer(
            n_bins=r.choice([2, 3, 5]),
            encode=r.choice(["onehot", "onehot-dense", "ordinal"]),
            strategy=r.choice(["uniform", "quantile", "kmeans"]),
            dtype=r.choice([None, None, np.float32, np.float64]),
            quantile_method="averaged_inverted_cdf",
            random_state=0,
        ),
        "poly": lambda: PolynomialFeatures(
            degree=r.choice([1, 2, 3, (2, 3), (0, 2)]),
            interaction_only=_chance(r, 40),
            include_bias=_chance(r, 60),
            order=r.choice(["C", "F"]),
        ),
        "ufunc": lambda: FunctionTransformer(r.choice(FUNCTIONS), validate=_chance(r, 50)),
        "impute": lambda: SimpleImputer(
            missing_values=r.choice([np.nan, np.nan, np.nan, np.nan, 0, -1]),
            strategy=r.choice(["mean", "median", "most_frequent", "constant"]),
            fill_value=r.choice([None, 0, -1, 2.5]),
            add_indicator=_chance(r, 35),
            keep_empty_features=_chance(r, 40),
        ),
        "indicator": lambda: MissingIndicator(
            features=r.choice(["all", "missing-only"]), error_on_new=False, sparse=r.choice([True, False, "auto"])
        ),
        "variance": lambda: VarianceThreshold(r.choice([0.0, 0.1])),
        "kbest": lambda: SelectKBest(f_regression, k=r.choice([1, "all"])),
        "percentile": lambda: SelectPercentile(f_regression, percentile=50),
        "frommodel": lambda: SelectFromModel(DecisionTreeRegressor(max_depth=2, random_state=0)),
        "pass": lambda: r.choice(["passthrough", FunctionTransformer()]),
    }
    return makers[name]()


def _infrequent(r: Random) -> dict[str, Any]:
    return r.choice(
        [{}, {}, {"min_frequency": 0.1}, {"min_frequency": 12}, {"max_categories": 2}, {"max_categories": 3}]
    )


def _category_leaf(r: Random) -> Any:
    name = r.choice(["onehot", "onehot", "onehot", "ordinal", "ordinal", "target", "impute", "indicator", "union"])
    if name == "onehot":
        return OneHotEncoder(
            handle_unknown=r.choice(["error", "ignore", "ignore", "infrequent_if_exist", "warn"]),
            drop=r.choice([None, None, None, "first", "if_binary"]),
            sparse_output=_chance(r, 50),
            dtype=r.choice([np.float64, np.float64, np.float32, np.int32]),
            **_infrequent(r),
        )
    if name == "ordinal":
        unknown: dict[str, Any] = r.choice(
            [{}, {"handle_unknown": "use_encoded_value", "unknown_value": r.choice([-1, np.nan, 99, -2.0])}]
        )
        return OrdinalEncoder(
            encoded_missing_value=r.choice([np.nan, np.nan, -1, -7, 50]),
            dtype=r.choice([np.float64, np.float64, np.float32]),
            **unknown,
            **_infrequent(r),
        )
    if name == "target":
        return TargetEncoder(smooth=r.choice(["auto", 1.0, 0.0]), cv=3, random_state=0, shuffle=_chance(r, 50))
    if name == "impute":
        return SimpleImputer(
            missing_values=r.choice([np.nan, np.nan, None]),
            strategy=r.choice(["most_frequent", "constant"]),
            fill_value=r.choice([None, "gone", ""]),
            add_indicator=_chance(r, 20),
            keep_empty_features=_chance(r, 40),
        )
    if name == "indicator":
        return MissingIndicator(missing_values=r.choice([np.nan, None]), features="all")
    return FeatureUnion([("a", OneHotEncoder(handle_unknown="ignore")), ("b", OrdinalEncoder())])


def _numbers(r: Random, depth: int) -> Any:
    """A transform of numeric columns; text encoders work on numbers too."""
    kind = r.randint(0, 9)
    if depth > 0 and kind <= 3:
        return make_pipeline(*[_numbers(r, depth - 1) for _ in range(r.randint(1, 3))])
    if depth > 0 and kind == 4:
        parts = [(f"u{index}", _numbers(r, depth - 1)) for index in range(r.randint(1, 2))]
        weights = {"u0": r.choice([2, 0.5, -1.0, 0.0])} if _chance(r, 25) else None
        return FeatureUnion(parts, transformer_weights=weights)
    if kind == 5:
        return _category_leaf(r)
    return _number_leaf(r)


def _texts(r: Random, depth: int) -> Any:
    steps: list[Any] = []
    if _chance(r, 35):
        steps.append(SimpleImputer(strategy=r.choice(["most_frequent", "constant"]), fill_value="gone"))
    steps.append(_category_leaf(r))
    if depth > 0 and _chance(r, 30):
        steps.append(_numbers(r, depth - 1))
    return steps[0] if len(steps) == 1 else make_pipeline(*steps)


def _selector(r: Random, X: Any, chosen: list[int]) -> Any:
    width = X.shape[1]
    forms: list[Any] = [chosen, np.array(chosen), [index in chosen for index in range(width)]]
    if chosen == list(range(chosen[0], chosen[-1] + 1)):
        forms.append(slice(chosen[0], chosen[-1] + 1))
    if isinstance(X, pd.DataFrame):
        names = [X.columns[index] for index in chosen]
        forms += [names, names, names, pd.Index(names)]
    return r.choice(forms)


def _by_column(r: Random, columns: list[_Column], X: Any, depth: int) -> ColumnTransformer:
    parts = []
    kinds = {"number": _numbers, "text": _texts, "time": lambda r, _: r.choice([StandardScaler(), MinMaxScaler()])}
    for kind, make in kinds.items():
        indices = [index for index, column in enumerate(columns) if column.kind == kind]
        while indices:
            chosen = [indices.pop(0)]
            while indices and _chance(r, 60):
                chosen.append(indices.pop(0))
            if kind == "time":
                chosen = chosen[:1]
            step = make(r, depth - 1)
            if _chance(r, 8):
                step = r.choice(["drop", "passthrough"])
            elif _chance(r, 12):
                continue
            parts.append((f"{kind}{len(parts)}", step, _selector(r, X, chosen)))
    r.shuffle(parts)
    if isinstance(X, pd.DataFrame) and _chance(r, 10):
        parts = [("n", _numbers(r, depth - 1), make_column_selector(dtype_include="number"))]
    remainder = r.choice(["drop", "drop", "passthrough"])
    if all(column.kind == "number" for column in columns) and _chance(r, 20):
        remainder = _number_leaf(r)
    weights = {parts[0][0]: r.choice([2, 0.5, -1.0])} if parts and _chance(r, 10) else None
    return ColumnTransformer(
        parts,
        remainder=remainder,
        sparse_threshold=r.choice([0.3, 0.3, 0.0, 1.0]),
        transformer_weights=weights,
        verbose_feature_names_out=_chance(r, 80),
    )


def _features(r: Random, columns: list[_Column], X: Any) -> list[Any]:
    """The steps before the model."""
    depth = 3
    numeric = all(column.kind == "number" for column in columns)
    texts = all(column.kind == "text" for column in columns)
    if numeric and _chance(r, 30):
        steps = [_numbers(r, depth - 1)]
    elif texts and _chance(r, 40):
        steps = [_texts(r, depth - 1)]
    else:
        steps = [_by_column(r, columns, X, depth)]
    while _chance(r, 30):
        steps.append(_numbers(r, 1))
    if _chance(r, 12):
        index = r.randrange(len(steps))
        if hasattr(steps[index], "set_output"):
            steps[index].set_output(transform="pandas")
    return steps


# -- models -----------------------------------------------------------------------------------------------------


def _classifiers(r: Random) -> Any:
    makers: list[Callable[[], Any]] = [
        lambda: DecisionTreeClassifier(max_depth=4, random_state=0),
        lambda: RandomForestClassifier(5, max_depth=4, random_state=0, n_jobs=1),
        lambda: ExtraTreesClassifier(5, max_depth=4, random_state=0, n_jobs=1),
        lambda: GradientBoostingClassifier(n_estimators=4, random_state=0, loss="log_loss"),
        lambda: HistGradientBoostingClassifier(max_iter=4, random_state=0, early_stopping=False, min_samples_leaf=3),
        lambda: LogisticRegression(max_iter=30),
        lambda: SGDClassifier(loss=r.choice(["log_loss", "hinge", "modified_huber"]), max_iter=20, random_state=0),
        lambda: DummyClassifier(strategy=r.choice(["prior", "most_frequent"])),
        lambda: VotingClassifier(
            [("t", DecisionTreeClassifier(max_depth=3, random_state=0)), ("d", DummyClassifier())],
            voting=r.choice(["hard", "soft"]),
        ),
        lambda: StackingClassifier([("t", DecisionTreeClassifier(max_depth=3, random_state=0))], cv=3),
        lambda: CalibratedClassifierCV(
            RandomForestClassifier(3, max_depth=3, random_state=0, n_jobs=1),
            method=r.choice(["isotonic", "sigmoid"]),
            cv=3,
        ),
        lambda: xgb.XGBClassifier(
            n_estimators=5,
            max_depth=4,
            n_jobs=1,
            booster=r.choice(["gbtree", "gbtree", "dart"]),
            missing=r.choice([np.nan, np.nan, np.nan, 0.0]),
        ),
        lambda: xgb.XGBRFClassifier(n_estimators=4, max_depth=4, n_jobs=1),
        lambda: lgb.LGBMClassifier(
            n_estimators=5,
            num_leaves=8,
            min_child_samples=3,
            verbose=-1,
            n_jobs=1,
            boosting_type=r.choice(["gbdt", "gbdt", "dart"]),
            zero_as_missing=_chance(r, 30),
            use_missing=_chance(r, 80),
        ),
    ]
    return r.choice(makers)()


def _regressors(r: Random) -> Any:
    makers: list[Callable[[], Any]] = [
        lambda: DecisionTreeRegressor(max_depth=4, random_state=0),
        lambda: ExtraTreeRegressor(max_depth=4, random_state=0),
        lambda: RandomForestRegressor(5, max_depth=4, random_state=0, n_jobs=1),
        lambda: ExtraTreesRegressor(5, max_depth=4, random_state=0, n_jobs=1),
        lambda: GradientBoostingRegressor(n_estimators=4, random_state=0, loss=r.choice(["squared_error", "huber"])),
        lambda: HistGradientBoostingRegressor(max_iter=4, random_state=0, early_stopping=False, min_samples_leaf=3),
        lambda: IsolationForest(n_estimators=4, random_state=0, contamination=r.choice(["auto", 0.1])),
        lambda: r.choice([LinearRegression(), Ridge(), Lasso(0.01), ElasticNet(0.01)]),
        lambda: SGDRegressor(max_iter=20, random_state=0),
        lambda: r.choice([PoissonRegressor(max_iter=20), GammaRegressor(max_iter=20)]),
        lambda: DummyRegressor(strategy=r.choice(["mean", "median"])),
        lambda: VotingRegressor([("t", DecisionTreeRegressor(max_depth=3, random_state=0)), ("d", DummyRegressor())]),
        lambda: StackingRegressor([("t", DecisionTreeRegressor(max_depth=3, random_state=0))], cv=3),
        lambda: TransformedTargetRegressor(
            DecisionTreeRegressor(max_depth=3, random_state=0),
            **r.choice([{"func": np.log1p, "inverse_func": np.expm1}, {"transformer": StandardScaler()}]),
        ),
        lambda: xgb.XGBRegressor(
            n_estimators=5,
            max_depth=4,
            n_jobs=1,
            booster=r.choice(["gbtree", "gbtree", "dart", "gblinear"]),
            objective=r.choice(["reg:squarederror", "reg:absoluteerror", "count:poisson"]),
            missing=r.choice([np.nan, np.nan, np.nan, 0.0]),
            base_score=r.choice([None, 0.3]),
        ),
        lambda: xgb.XGBRFRegressor(n_estimators=4, max_depth=4, n_jobs=1),
        lambda: lgb.LGBMRegressor(
            n_estimators=5,
            num_leaves=8,
            min_child_samples=3,
            verbose=-1,
            n_jobs=1,
            boosting_type=r.choice(["gbdt", "gbdt", "dart"]),
            zero_as_missing=_chance(r, 30),
            linear_tree=_chance(r, 20),
        ),
    ]
    return r.choice(makers)()


def _signal(columns: list[_Column], rng: np.random.Generator) -> np.ndarray:
    total = rng.normal(size=TRAIN_ROWS) * 0.3
    for column in columns:
        codes = pd.factorize(pd.Series(column.train).astype(str))[0].astype(float)
        total += (codes - codes.mean()) / (codes.std() + 1e-9)
    return total


def random_case(r: Random) -> Case:
    """Draw a pipeline, nested up to three deep, its training table and rows to hold it to."""
    rng = np.random.default_rng(r.randint(0, 2**32 - 1))
    columns, train, test = _table(r, rng)
    signal = _signal(columns, rng)
    steps = _features(r, columns, train)
    y: np.ndarray
    if _chance(r, 45):
        cuts = r.choice([[0.0], [-0.5, 0.5]])
        labels = r.choice([["no", "yes", "maybe"], [0, 1, 2], [True, False], [-1.0, 3.5, 7.0]])
        codes = np.digitize(signal, cuts[: len(labels) - 1])
        y = np.array(labels)[codes]
        model = _classifiers(r)
    else:
        y = np.exp(signal * 0.3)
        model = _regressors(r)
    if isinstance(model, (xgb.XGBClassifier, xgb.XGBRFClassifier)):
        y = pd.factorize(y, sort=True)[0]
    if _chance(r, 40):
        steps.append(SimpleImputer())
    kind = r.randint(0, 9)
    if kind == 0:
        steps = [model] if all(column.kind == "number" for column in columns) else steps
    elif kind >= 3:
        steps.append(model)
    estimator = steps[0] if len(steps) == 1 and not isinstance(steps[0], str) else make_pipeline(*steps)
    if isinstance(estimator, Pipeline) and _chance(r, 5):
        estimator.set_output(transform="pandas")
    if isinstance(train, np.ndarray) and train.dtype == np.float64 and _chance(r, 5):
        train = np.asfortranarray(train)
    return Case(estimator, train, y, test)
