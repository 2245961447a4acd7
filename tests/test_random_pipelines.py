"""Random pipelines on dirty tables: the original raises while fitting, or compile refuses, or every row agrees."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlcore
import numpy as np
import pandas as pd
from cases import scale
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mlcore.errors import InputError, UnsupportedError
from mlcore.frontends.reference import reference
from mlcore.parity import verify
from mlcore.parity.compare import dense
from random_pipelines import Case, random_case


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _part(X: Any, rows: Any) -> Any:
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def _original(estimator: Any, method: str, X: Any) -> Any:
    """The original's answer, or the error it raised."""
    try:
        return reference(estimator, method, X)
    except Exception as error:  # whatever the library raises is its refusal
        return error


def _compiled(model: mlcore.Model, method: str, X: Any) -> Any:
    try:
        return model.call(method, X)
    except InputError as error:
        return error


def _arrays(result: Any) -> list[np.ndarray]:
    return [dense(one) for one in result] if isinstance(result, list) else [dense(result)]


def _bits(result: Any) -> list[tuple[Any, ...]]:
    """Shape, dtype and bits, every NaN being the same NaN."""
    out = []
    for array in _arrays(result):
        if array.dtype.kind == "f":
            array = np.where(np.isnan(array), np.nan, array).astype(array.dtype)
            out.append((array.shape, array.dtype, array.tobytes()))
        else:
            out.append((array.shape, array.dtype, repr(array.tolist())))
    return out


def examine(case: Case) -> str:
    """Hold one case to the promise; says how far it got: ``unfit``, ``refused`` or ``agreed``."""
    with _quiet():
        try:
            estimator = case.estimator.fit(case.train, case.y)
            first = next(m for m in ("predict", "transform") if hasattr(estimator, m))
            reference(estimator, first, case.train)
        except Exception:  # the original cannot learn from, or answer, this table
            return "unfit"
        try:
            model = mlcore.compile(estimator, case.train)
        except UnsupportedError:
            return "refused"
        test, method = case.test, model.methods[0]
        kept = []
        for row in range(len(test)):
            one = _part(test, slice(row, row + 1))
            expected, found = _original(estimator, method, one), _compiled(model, method, one)
            refused = isinstance(expected, Exception)
            assert refused == isinstance(found, Exception), (
                f"{case!r}\nrow {row}: {one!r}\noriginal: {expected!r}\ncompiled: {found!r}"
            )
            if not refused:
                kept.append(row)
        good = _part(test, kept)
        if kept:
            whole = {name: model.call(name, good) for name in model.methods}
            report = verify(model, estimator, good)
            for name, parity in report.methods.items():
                assert parity.mismatches == 0, f"{case!r}\n{name}: {parity}"
            _assert_rows(model, good, whole)
            _assert_shapes(estimator, model, good, whole)
        if len(kept) < len(test):
            assert isinstance(_compiled(model, method, test), InputError)
        for name in model.methods:
            empty = model.call(name, _part(case.train, slice(0, 0)))
            for one, all_rows in zip(_arrays(empty), _arrays(model.call(name, case.train)), strict=True):
                assert one.shape == (0, *all_rows.shape[1:])
                assert one.dtype == all_rows.dtype
    return "agreed"


def _assert_shapes(estimator: Any, model: mlcore.Model, good: Any, whole: dict[str, Any]) -> None:
    for name in model.methods:
        expected = _original(estimator, name, good)
        for one, other in zip(_arrays(expected), _arrays(whole[name]), strict=True):
            assert one.shape == other.shape
            # pandas holds columns of several types where an array has one; nothing but NaN in objects says no type
            loose = isinstance(expected, pd.DataFrame) or (one.dtype == object and pd.isna(one).all())
            assert loose or one.dtype == other.dtype, (name, one.dtype, other.dtype)


def _assert_rows(model: mlcore.Model, good: Any, whole: dict[str, Any]) -> None:
    """The same bits one by one and from a copy that went through bytes."""
    copy = mlcore.Model.from_bytes(model.to_bytes())
    for name, batch in whole.items():
        assert _bits(copy.call(name, good)) == _bits(batch)
        singles = [model.call(name, _part(good, slice(row, row + 1))) for row in range(len(good))]
        for position, array in enumerate(_arrays(batch)):
            pieces = [_arrays(single)[position] for single in singles]
            assert _bits(np.concatenate(pieces)) == _bits(array)
    assert copy.to_bytes() == model.to_bytes()


@settings(
    max_examples=scale(60),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.randoms(use_true_random=False))
def test_random_pipelines_agree(source: random.Random) -> None:
    assume(examine(random_case(source)) != "unfit")
