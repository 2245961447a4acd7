"""The output ``leaf``: which leaf of each tree a row falls into, where `mlcore.compile` was asked for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends.context import Output, Value

__all__ = ["leaf_array", "leaf_output", "within_float32"]

Array = npt.NDArray[Any]


def leaf_output(leaves: Value) -> Output:
    """What a ``trees`` op with the result ``leaf`` gives, of shape (n, n_trees) also for one tree."""
    return Output(leaves, "int64")


def leaf_array(leaves: Any) -> Array:
    """What a library answers, in which leaf numbers may be floats, one tree no axis and classes one of their own."""
    found = np.asarray(leaves)
    return found.reshape(len(found), -1).astype(np.int64)


def within_float32(X: Any) -> Any:
    """``X`` with the largest float32 for what is beyond it.

    No split of a tree tells them apart, but XGBoost refuses infinities where it gives leaves, not where it predicts.
    """
    most = float(np.finfo(np.float32).max)
    if hasattr(X, "iloc"):
        floats = [name for name, dtype in X.dtypes.items() if getattr(dtype, "kind", "O") == "f"]
        return X.assign(**{name: X[name].clip(-most, most) for name in floats})
    found = np.asarray(X)
    return np.clip(found, -most, most) if found.dtype.kind == "f" else X
