"""Random pipelines on dirty tables: the original raises while fitting, or compile refuses, or every row agrees."""

from __future__ import annotations

import random
from typing import Any

import mlcore
import numpy as np
from cases import scale
from emulated import assert_same_on_device
from holding import accepted_rows, arrays, assert_promises, bits, compiled, part, quiet
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mlcore.errors import InputError, UnsupportedError
from mlcore.frontends.reference import reference
from random_pipelines import Case, random_case


def examine(case: Case) -> str:
    """Hold one case to the promise; says how far it got: ``unfit``, ``refused`` or ``agreed``."""
    with quiet():
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
        kept = accepted_rows(estimator, model, case.test)
        if kept:
            good = part(case.test, kept)
            assert_promises(estimator, model, good)
            _assert_rows(model, good)
        if any(isinstance(compiled(model, model.methods[0], part(case.test, [row])), InputError) for row in range(16)):
            assert isinstance(compiled(model, model.methods[0], case.test), InputError)
        _assert_empty(model, case.train)
    return "agreed"


def _assert_rows(model: mlcore.Model, good: Any) -> None:
    """The same bits one by one and from a copy that went through bytes."""
    copy = mlcore.Model.from_bytes(model.to_bytes())
    for name in model.methods:
        batch = model.call(name, good)
        assert bits(copy.call(name, good)) == bits(batch)
        singles = [model.call(name, part(good, slice(row, row + 1))) for row in range(len(good))]
        for position, array in enumerate(arrays(batch)):
            assert bits(np.concatenate([arrays(single)[position] for single in singles])) == bits(array)
    assert copy.to_bytes() == model.to_bytes()
    assert_same_on_device(model, good)


def _assert_empty(model: mlcore.Model, train: Any) -> None:
    for name in model.methods:
        for one, full in zip(arrays(model.call(name, part(train, []))), arrays(model.call(name, train)), strict=True):
            assert one.shape == (0, *full.shape[1:])
            assert one.dtype == full.dtype


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
