"""Data and fitting for the example models of scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

Array = np.ndarray
Maker = Callable[[], Any]

ROWS = 160
COLUMNS = 4


# -- data -------------------------------------------------------------------------------------------------------


def numbers(*, missing: bool = False, dtype: Any = np.float64) -> Array:
    """Features with ties, zeros of both signs and a column of small codes."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(ROWS, COLUMNS))
    X[:, 1] = np.round(X[:, 1], 1)
    X[:, 2] = rng.integers(0, 6, ROWS)
    X[rng.random(X.shape) < 0.05] = 0.0
    X[rng.random(X.shape) < 0.02] = -0.0
    if missing:
        X[rng.random(X.shape) < 0.15] = np.nan
    return X.astype(dtype)


def frame(*, missing: bool = False) -> pd.DataFrame:
    """Numbers, a string category, an integer category and a boolean."""
    rng = np.random.default_rng(6)
    table = pd.DataFrame(numbers(missing=missing)[:, :2], columns=["a", "b"])
    table["town"] = np.array(["Ede", "Oslo", "Bern", "Żary", "Ulm"], dtype=object)[rng.integers(0, 5, ROWS)]
    table["code"] = rng.integers(0, 7, ROWS)
    table["flag"] = rng.integers(0, 2, ROWS).astype(bool)
    if missing:
        table["town"] = table["town"].where(rng.random(ROWS) > 0.1, None)
    return table


def signal(X: Any) -> Array:
    """A noisy target."""
    if isinstance(X, pd.DataFrame) and "town" in X:
        values = X["a"].fillna(0).to_numpy() + X["code"].to_numpy() % 3 + X["town"].isin(["Ede", "Ulm"]).to_numpy()
    else:
        filled = np.nan_to_num(np.asarray(X, dtype=np.float64))
        values = filled[:, 0] + filled[:, 1] * filled[:, 3] + (filled[:, 2] == 2)
    return values + 0.3 * np.random.default_rng(7).normal(size=len(values))


def positive(X: Any) -> Array:
    return np.exp(signal(X) / 2)


def targets(X: Any) -> Array:
    y = signal(X)
    return np.column_stack([y, -y, y * y])


def binary(X: Any) -> Array:
    return (signal(X) > 0.2).astype(np.int64)


def strings(X: Any) -> Array:
    return np.array(["no", "perhaps", "yes"])[np.digitize(signal(X), [-0.4, 0.9])]


def classes(X: Any, count: int = 3) -> Array:
    """Integer labels that are not 0, 1, ..."""
    y = signal(X)
    return np.digitize(y, np.quantile(y, np.linspace(0, 1, count + 1)[1:-1])) * 10 + 5


def several_labels(X: Any) -> Array:
    """Two targets with different label sets."""
    return np.column_stack([classes(X), binary(X)])


def several_strings(X: Any) -> Array:
    return np.column_stack([strings(X), np.where(binary(X) == 1, "plus", "minus")])


def flags(X: Any) -> Array:
    """Three 0/1 targets (multilabel)."""
    y = signal(X)
    return np.column_stack([y > 0, y > 1, y < -0.5]).astype(np.int64)


# -- makers -----------------------------------------------------------------------------------------------------


def fitted(estimator: Any, y: Callable[[Any], Any], X: Any = None, **fit: Any) -> Any:
    X = numbers() if X is None else X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        return estimator.fit(X, y(X), **fit)


def each(cls: Any, y: Callable[[Any], Any], options: Iterable[dict[str, Any]]) -> list[Maker]:
    """One maker per set of options."""
    return [lambda option=option: fitted(cls(**option), y) for option in options]  # type: ignore[misc]
