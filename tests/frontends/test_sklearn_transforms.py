"""Numeric transforms of scikit-learn against the original, on edge rows, for float64, float32 and integer tables."""

from __future__ import annotations

import mlcore
import numpy as np
import pandas as pd
import pytest
from agreement import assert_agreement, assert_rows, compiled, dense, same
from examples_sklearn_transforms import labels, numbers
from mlcore.errors import UnsupportedError
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

SCALERS = {
    "standard": StandardScaler(),
    "standard-no-mean": StandardScaler(with_mean=False),
    "standard-no-std": StandardScaler(with_std=False),
    "standard-neither": StandardScaler(with_mean=False, with_std=False),
    "min-max": MinMaxScaler(),
    "min-max-range": MinMaxScaler(feature_range=(-0.3, 1.7)),
    "min-max-clip": MinMaxScaler(clip=True, feature_range=(0.1, 0.9)),
    "max-abs": MaxAbsScaler(),
    "max-abs-clip": MaxAbsScaler(clip=True),
    "robust": RobustScaler(),
    "robust-no-centre": RobustScaler(with_centering=False),
    "robust-no-scale": RobustScaler(with_scaling=False),
    "robust-unit": RobustScaler(quantile_range=(10.0, 80.0), unit_variance=True),
    "max-norm": Normalizer(norm="max"),
    "binarizer": Binarizer(),
    "binarizer-cut": Binarizer(threshold=0.1),
    "binarizer-numpy-cut": Binarizer(threshold=np.float64(0.1)),
    "bins-onehot": KBinsDiscretizer(n_bins=4),
    "bins-dense": KBinsDiscretizer(n_bins=[2, 3, 4, 5], encode="onehot-dense", strategy="uniform"),
    "bins-ordinal": KBinsDiscretizer(n_bins=4, encode="ordinal", strategy="kmeans"),
    "bins-float32": KBinsDiscretizer(n_bins=4, encode="ordinal", dtype=np.float32),
    "bins-float64": KBinsDiscretizer(n_bins=4, encode="onehot", dtype=np.float64),
    "poly": PolynomialFeatures(),
    "poly-3": PolynomialFeatures(degree=3, order="F"),
    "poly-4-interaction": PolynomialFeatures(degree=4, interaction_only=True),
    "poly-2-3": PolynomialFeatures(degree=(2, 3), include_bias=False),
    "poly-0": PolynomialFeatures(degree=0),
    "poly-bias-3": PolynomialFeatures(degree=(3, 3)),
}
SELECTORS = {
    "variance": VarianceThreshold(0.5),
    "k-best": SelectKBest(k=2),
    "percentile": SelectPercentile(percentile=60),
    "fpr": SelectFpr(),
    "fdr": SelectFdr(),
    "fwe": SelectFwe(),
    "univariate": GenericUnivariateSelect(mode="k_best", param=1),
    "from-model": SelectFromModel(LogisticRegression(), max_features=2),
    "rfe": RFE(LogisticRegression(), n_features_to_select=2),
    "rfecv": RFECV(LogisticRegression(), cv=2),
    "sequential": SequentialFeatureSelector(LogisticRegression(), n_features_to_select=2, cv=2),
}


def edges(dtype: type = np.float64) -> np.ndarray:
    """Rows with a special value in each column in turn, beside ordinary ones."""
    X = numbers(12, dtype=dtype)
    if np.dtype(dtype).kind == "i":
        return np.vstack([X, [[0, 0, 0, 0], [2**40, -(2**40), 7, -7]]]).astype(dtype)
    tiny, large = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    rows = [X, np.zeros((1, 4)), -np.zeros((1, 4))]
    for special in (np.nan, np.inf, -np.inf, -0.0, tiny, -tiny, large, 0.1, np.nextafter(dtype(0.1), dtype(1))):
        for column in range(4):
            row = X[:1].copy()
            row[0, column] = special
            rows.append(row)
    return np.vstack(rows).astype(dtype)


def learned(estimator: object, dtype: type = np.float64) -> object:
    X = numbers(columns=4)
    return estimator.fit((X * 10).astype(dtype) if np.dtype(dtype).kind == "i" else X.astype(dtype), labels())


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32], ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", SCALERS)
def test_scalers_bins_and_polynomials(name: str, dtype: type) -> None:
    estimator = learned(SCALERS[name], dtype)
    assert assert_agreement(estimator, edges(dtype), sample=numbers(20, dtype=dtype)) > 10


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", SELECTORS)
def test_selectors(name: str, dtype: type) -> None:
    estimator = learned(SELECTORS[name], dtype)
    assert assert_agreement(estimator, edges(dtype), sample=numbers(20, dtype=dtype)) > 10


@pytest.mark.parametrize("name", ["standard", "min-max-clip", "robust", "bins-ordinal", "poly"])
def test_fitted_in_one_width_used_in_the_other(name: str) -> None:
    for fit_dtype, dtype in ((np.float64, np.float32), (np.float32, np.float64), (np.int64, np.float64)):
        estimator = learned(SCALERS[name], fit_dtype)
        assert assert_agreement(estimator, edges(dtype), sample=numbers(20, dtype=dtype)) > 10


@pytest.mark.parametrize("name", ["standard", "min-max", "bins-onehot", "poly", "binarizer"])
def test_data_frames_of_mixed_types(name: str) -> None:
    X = numbers()
    frame = pd.DataFrame(
        {
            "a": X[:, 0].astype(np.float32),
            "b": (X[:, 1]).astype(np.int16),
            "c": X[:, 2] > 0,
            "d": X[:, 3].astype(np.float32),
        }
    )
    estimator = SCALERS[name].__class__(**SCALERS[name].get_params()).fit(frame)
    assert dense(estimator.transform(frame)).dtype == np.float32
    assert assert_agreement(estimator, frame) == 60
    wide = frame.astype({"b": np.int64})
    estimator.fit(wide)
    assert dense(estimator.transform(wide)).dtype == np.float64
    assert assert_agreement(estimator, wide) == 60


def test_values_on_and_beside_a_bin_edge() -> None:
    for dtype in (np.float64, np.float32):
        X = np.round(numbers(columns=2), 1).astype(dtype)
        estimator = KBinsDiscretizer(n_bins=5, encode="ordinal").fit(X)
        inner = np.concatenate([edge[1:-1] for edge in estimator.bin_edges_]).astype(dtype)
        around = np.concatenate([inner, np.nextafter(inner, dtype(-9e9)), np.nextafter(inner, dtype(9e9))])
        assert assert_agreement(estimator, np.column_stack([around, around]), sample=X) == len(around)


def test_a_constant_column_has_one_bin() -> None:
    X = numbers(columns=2)
    X[:, 1] = 3.0
    for encode in ("ordinal", "onehot", "onehot-dense"):
        with pytest.warns(UserWarning, match="constant"):
            estimator = KBinsDiscretizer(n_bins=3, encode=encode).fit(X)
        assert assert_agreement(estimator, X) == 60


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_norms_stay_within_their_tolerance(norm: str) -> None:
    for dtype in (np.float64, np.float32):
        estimator = learned(Normalizer(norm=norm), dtype)
        assert assert_agreement(estimator, edges(dtype), sample=numbers(20, dtype=dtype), ulps=8) > 10


EXACT = [np.abs, np.fabs, np.negative, np.square, np.sqrt, np.reciprocal, np.sign, np.floor, np.ceil, np.trunc, np.rint]
TOLERANT = [np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p, np.tanh, np.cbrt]


@pytest.mark.parametrize(
    "function", [None, np.positive, *EXACT, *TOLERANT], ids=lambda f: getattr(f, "__name__", "none")
)
@pytest.mark.parametrize("validate", [False, True])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions(function: object, validate: bool) -> None:
    for dtype in (np.float64, np.float32):
        estimator = FunctionTransformer(function, validate=validate).fit(numbers(dtype=dtype))
        ulps = 4 if function in TOLERANT else 0
        assert assert_agreement(estimator, edges(dtype), sample=numbers(20, dtype=dtype), ulps=ulps) > 10


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_on_a_data_frame_act_on_each_column_in_its_type() -> None:
    X = numbers(columns=2)
    frame = pd.DataFrame({"a": X[:, 0].astype(np.float32), "b": X[:, 1], "c": np.arange(60)})
    estimator = FunctionTransformer(np.sqrt).fit(frame)
    assert assert_agreement(estimator, frame) == 60


def test_functions_that_are_python_code_are_refused() -> None:
    X = numbers()
    for function in (np.nan_to_num, lambda X: X + 1, np.sinh):
        with pytest.raises(UnsupportedError, match="parameter func"):
            mlcore.compile(FunctionTransformer(function).fit(X), sample=X)
    with pytest.raises(UnsupportedError, match="kw_args"):
        mlcore.compile(FunctionTransformer(np.exp, kw_args={"where": True}).fit(X), sample=X)
    with pytest.raises(UnsupportedError, match="integer arithmetic"):
        mlcore.compile(FunctionTransformer(np.square).fit(X), sample=(X * 10).astype(np.int64))


def test_float16_and_text_are_refused_by_numeric_steps() -> None:
    X = numbers()
    with pytest.raises(UnsupportedError, match="float16"):
        mlcore.compile(StandardScaler().fit(X), sample=X.astype(np.float16))
    frame = pd.DataFrame({"a": ["1", "2"]})
    with pytest.raises(UnsupportedError, match="found strings"):
        mlcore.compile(StandardScaler().fit(frame.astype(float)), sample=frame)


def test_a_single_row_and_a_batch_agree() -> None:
    X = numbers()
    estimator = StandardScaler().fit(X)
    model = compiled(estimator, X)
    assert same(estimator.transform(X[:1]), np.asarray(model.transform(X[:1])))
    assert assert_rows(estimator, model, X) == 60


def test_functions_of_integers_that_stay_integers() -> None:
    for dtype in (np.int64, np.int8, np.uint16):
        X = (np.arange(40).reshape(10, 4) % 5 - 2).astype(dtype)
        for function in (np.sign, np.floor, np.positive, *([np.absolute] if np.dtype(dtype).kind == "u" else [])):
            assert assert_agreement(FunctionTransformer(function).fit(X), X) == 10
