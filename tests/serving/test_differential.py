"""Random tables: over HTTP and in this process the same bits, or both refuse."""

from __future__ import annotations

import json
import math
from typing import Any

import mlcore
import numpy as np
from cases import scale
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlcore.errors import InputError
from mlcore.serving import ServerProcess
from serving_client import Client, assert_same, v2_json, v2_outputs
from serving_models import KEYS, answers

integers = st.one_of(st.integers(-9, 9), st.sampled_from(KEYS), st.integers(-(2**63) + 1, 2**64 - 1))
texts = st.one_of(
    st.sampled_from(["Oslo", "São Paulo", "", "Oslo "]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
wrong = st.one_of(st.booleans(), st.just("x"), st.just(1.5), st.just([]))


def _column(*usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly values of the column's type, now and then a null, rarely something of another type."""
    return st.integers(0, 39).flatmap(lambda n: wrong if n == 0 else st.none() if n < 4 else st.one_of(*usual))


ROW = st.fixed_dictionaries(
    {
        "amount": _column(st.floats(), st.integers(-(2**53), 2**53), integers),
        "rate": _column(st.floats(width=32), st.integers(-(2**24), 2**24)),
        "visits": _column(integers),
        "key": _column(integers),
        "small": _column(st.integers(-128, 127), st.integers(-200, 200)),
        "flag": _column(st.booleans()),
        "city": _column(texts),
    }
)
EXAMPLES = settings(
    max_examples=scale(150),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _in_process(model: mlcore.Model, rows: list[dict[str, Any]]) -> dict[str, np.ndarray] | None:
    try:
        return answers(model, rows)
    except InputError:
        return None


@EXAMPLES
@given(rows=st.lists(ROW, min_size=1, max_size=5), plain=st.booleans())
def test_rows_and_v2(
    server: ServerProcess, models: dict[str, mlcore.Model], rows: list[dict[str, Any]], plain: bool
) -> None:
    expected = _in_process(models["mixed"], rows)
    with Client(server) as client:
        text = json.dumps(
            {"rows": rows, "outputs": ["predict", "predict_proba", "margin", "transform"]}, ensure_ascii=plain
        )
        by_rows = client.post("/v1/models/mixed/rows", text)
        by_tensors = client.infer("mixed", json.dumps(v2_json(models["mixed"], rows), ensure_ascii=plain))
    if expected is None:
        assert by_rows.status == 400, by_rows
        assert by_tensors.status == 400, by_tensors
        assert by_rows.error
        assert by_tensors.error
        return
    assert by_rows.status == 200, by_rows
    tensors = v2_outputs(by_tensors)
    for name, values in expected.items():
        assert_same(name, [row[name] for row in by_rows.json["rows"]], values)
        assert_same(name, tensors[name], values)


@EXAMPLES
@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6), digits=st.integers(1, 25)
)
def test_decimals_of_any_length(
    server: ServerProcess, models: dict[str, mlcore.Model], values: list[float], digits: int
) -> None:
    """However many digits a number is written with, it is the nearest double."""
    texts = [f"{value:.{digits}e}" for value in values]
    rounded = [float(text) for text in texts]
    body = "[" + ",".join(f'{{"amount": {text}, "rate": 1}}' for text in texts) + "]"
    expected = _in_process(models["words"], [{"amount": value, "rate": 1} for value in rounded])
    with Client(server) as client:
        answer = client.post("/v1/models/words/rows", f'{{"rows": {body}, "outputs": ["transform"]}}')
    if any(math.isinf(float(text)) for text in texts):
        assert answer.status == 400, answer  # no double is near to it
        return
    if expected is None:
        return  # scaled to an infinity, which the next step refuses
    assert_same("transform", [row["transform"] for row in answer.json["rows"]], expected["transform"])
