"""Judges two arrays: bit equality, distance in units in the last place, or a stated tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Rule", "dense", "mismatching_rows", "ulp_distance"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Rule:
    """What an output promises.

    Attributes
    ----------
    ulps : int
        Allowed distance in units in the last place; 0 means the same bits.
    relative : float
        Allowed distance as a share of the largest magnitude in the row (outputs behind a dot product).
    unit_scale : bool
        Distances count in units of 1.0 rather than of the value (complements of probabilities).
    """

    ulps: int = 0
    relative: float = 0.0
    unit_scale: bool = False


def dense(value: Any) -> Array:
    """What a method of the original returned, as an ndarray (sparse matrices and data frames included)."""
    if hasattr(value, "toarray"):
        value = value.toarray()
    elif hasattr(value, "iloc") and getattr(value, "ndim", 0) == 2:
        # pandas would give pandas.NA in an object array, where a compiled model has NaN in a float one
        masked = {
            name: np.float64 if value[name].isna().any() else dtype.numpy_dtype
            for name, dtype in value.dtypes.items()
            if hasattr(dtype, "numpy_dtype")
        }
        value = value.astype(masked).to_numpy()
    elif hasattr(value, "to_numpy"):
        value = value.to_numpy()
    return np.asarray(value)


def ulp_distance(expected: Array, found: Array) -> Array:
    """Distance in units in the last place; 0 where both are NaN, and a huge number where only one is.

    Examples
    --------
    >>> import numpy as np
    >>> ulp_distance(np.array([1.0, np.nan]), np.array([np.nextafter(1.0, 2.0), np.nan])).tolist()
    [1.0, 0.0]
    """
    integer = np.int64 if expected.dtype == np.float64 else np.int32
    lowest = np.iinfo(integer).min

    def ordered(values: Array) -> Array:
        bits: Array = np.ascontiguousarray(values).view(integer)
        # negative numbers run backwards, and -0.0 is one step below 0.0, so that different bits never count as equal
        return np.where(bits < 0, lowest - bits - 1, bits).astype(np.float64 if integer is np.int64 else np.int64)

    if integer is np.int64:
        first = np.ascontiguousarray(expected).view(np.int64)
        second = np.ascontiguousarray(found).view(np.int64)
        distance = np.abs(ordered(expected) - ordered(found))
        # doubles cannot tell neighbours of large integers apart: small distances are taken from the bits
        same_sign = (first < 0) == (second < 0)
        with np.errstate(over="ignore"):
            near = np.abs(first - second)
        distance = np.where(same_sign, near.astype(np.float64), np.maximum(distance, 1.0))
    else:
        distance = np.abs(ordered(expected) - ordered(found)).astype(np.float64)
    nan_expected, nan_found = np.isnan(expected), np.isnan(found)
    distance = np.where(nan_expected & nan_found, 0.0, distance)
    return np.where(nan_expected != nan_found, np.inf, distance)


def mismatching_rows(expected: Array, found: Array, rule: Rule) -> tuple[Array, int]:
    """Rows outside ``rule`` as a mask, and the largest distance in ULP (0 for anything but floats)."""
    if expected.dtype.kind == "f" and found.dtype == expected.dtype:
        if expected.dtype == np.float16:
            raise TypeError("float16 outputs are not supported")
        distance = ulp_distance(expected, found)
        with np.errstate(invalid="ignore"):
            apart = np.abs(expected.astype(np.float64) - found.astype(np.float64))
            if rule.unit_scale:
                distance = np.fmin(distance, apart / float(np.finfo(expected.dtype).eps))
            outside = distance > rule.ulps
            if rule.relative:
                finite = expected[np.isfinite(expected)]
                scale = max(1.0, float(np.abs(finite).max(initial=0.0)))
                outside &= ~(apart <= rule.relative * scale)
        worst = float(distance.max(initial=0.0))
        largest = int(min(np.ceil(worst), 2**62)) if np.isfinite(worst) else 2**62
    else:
        outside = expected != found
        if expected.dtype.kind == "O":
            # NaN labels: missing on both sides is equal
            nothing = np.array([value is None for value in expected.ravel()]).reshape(expected.shape)
            nothing &= found.dtype.kind == "f"
            both = ((expected != expected) | nothing) & (found != found)
            outside = np.asarray(outside & ~both, dtype=bool)
        largest = 0
    return np.any(np.reshape(outside, (len(expected), -1)), axis=1), largest
