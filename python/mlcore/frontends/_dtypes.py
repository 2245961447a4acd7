"""Rules of NumPy and scikit-learn for the dtype of a table: what check_array and hstack make of its columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["checked_dtype", "kind_dtype", "stacked_dtype"]

DType = np.dtype[Any]

_BLOCKS = {"f64": "float64", "f32": "float32", "i64": "int64", "i32": "int32", "str": "object"}
_OBJECT = np.dtype(object)


def kind_dtype(kind: str | None) -> DType:
    """NumPy dtype of a column of this kind: a schema type, a block's type or a NumPy name; float64 while undecided."""
    if kind is None:
        return np.dtype(np.float64)
    if kind in ("string", "date32", "date64"):
        return _OBJECT
    if kind.startswith("timestamp"):
        unit, zone = re.fullmatch(r"timestamp\[(\w+)(, .+)?\]", kind).groups()  # type: ignore[union-attr]
        return np.dtype(f"datetime64[{unit}]") if zone is None else _OBJECT
    return np.dtype(_BLOCKS.get(kind, kind))


def checked_dtype(dtypes: Sequence[DType]) -> DType:
    """What ``check_array`` takes a data frame's dtype to be: object where a column is, else NumPy's promotion."""
    if not dtypes:
        return np.dtype(np.float64)
    if any(dtype == _OBJECT for dtype in dtypes):
        return _OBJECT
    if any(dtype.kind == "M" for dtype in dtypes):
        return dtypes[0] if all(dtype == dtypes[0] for dtype in dtypes) else _OBJECT
    return np.result_type(*dtypes)


def stacked_dtype(dtypes: Sequence[DType]) -> DType:
    """What ``np.asarray`` makes of a data frame: as `checked_dtype`, but booleans do not mix with numbers."""
    if any(dtype.kind == "b" for dtype in dtypes) and not all(dtype.kind == "b" for dtype in dtypes):
        return _OBJECT
    return checked_dtype(dtypes)
