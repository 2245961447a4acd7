"""Bodies that do not fit: 4xx with row, column, what was expected and what kind was found; never the value itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcore
import pandas as pd
import pytest
from mlcore.serving import ServerProcess
from serving_client import Client, v2_binary, v2_json
from serving_models import ROWS
from sklearn.preprocessing import OneHotEncoder

Models = dict[str, mlcore.Model]
ROW = ROWS[0]

BAD_VALUES: list[tuple[str, str, list[str]]] = [
    ("amount", '"1.5"', ["float64", "a string"]),
    ("amount", '"nan"', ["float64", "a string"]),
    ("amount", "true", ["float64", "a boolean"]),
    ("amount", "[1]", ["float64", "a list"]),
    ("amount", "{}", ["float64", "an object"]),
    ("amount", "9007199254740993", ["float64"]),
    ("rate", "16777217", ["float32"]),
    ("rate", "1e39", ["float32"]),
    ("visits", "1.5", ["int64", "a number"]),
    ("visits", "true", ["int64", "a boolean"]),
    ("visits", "NaN", ["int64"]),
    ("visits", "Infinity", ["int64"]),
    ("visits", "9223372036854775808", ["int64"]),
    ("visits", "-9223372036854775809", ["int64"]),
    ("visits", "9.3e18", ["int64"]),
    ("small", "128", ["int8"]),
    ("small", "-129", ["int8"]),
    ("flag", "1", ["bool", "an integer"]),
    ("flag", '"true"', ["bool", "a string"]),
    ("city", "3", ["string", "an integer"]),
    ("city", "false", ["string", "a boolean"]),
    ("city", "[]", ["string", "a list"]),
]


@pytest.mark.parametrize(("column", "value", "words"), BAD_VALUES, ids=[f"{c} {v}" for c, v, _ in BAD_VALUES])
def test_a_bad_value_is_named(client: Client, models: Models, column: str, value: str, words: list[str]) -> None:
    bad = json.dumps([ROW, ROW, ROW | {column: "@"}, ROW]).replace('"@"', value)
    for path, body in (
        ("/v1/models/mixed/rows", bad),
        ("/v1/models/mixed:predict", f'{{"instances": {bad}}}'),
        ("/predictions/mixed", bad),
        ("/invocations", f'{{"dataframe_records": {bad}}}'),
    ):
        answer = client.post(path, body)
        assert answer.status == 400, (path, answer)
        for word in [f"'{column}'", "row 2", *words]:
            assert word in answer.error, (path, answer.error)


@pytest.mark.parametrize("column", ["key", "small", "flag"])
def test_a_null_that_a_step_cannot_hold(client: Client, column: str) -> None:
    answer = client.rows("mixed", [ROW, ROW | {column: None}])
    assert answer.status == 400, answer
    assert f"'{column}'" in answer.error
    assert "row 1" in answer.error
    assert "missing" in answer.error


SECRET = "hunter2-4111111111111111"


@pytest.mark.parametrize(
    "body",
    [
        [ROW | {"amount": SECRET}],
        {"rows": [ROW], "outputs": [SECRET]},
        {"rows": [ROW], SECRET: 1},
        f'[{{"{SECRET}": }}]',
        SECRET,
    ],
    ids=["value", "output", "member", "not JSON", "bare"],
)
def test_nothing_is_echoed(client: Client, body: Any) -> None:
    for path in ("/v1/models/mixed/rows", "/v1/models/mixed:predict", "/v2/models/mixed/infer", "/invocations"):
        answer = client.post(path, body)
        assert 400 <= answer.status < 500, answer
        assert SECRET not in answer.error


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([ROW, {k: v for k, v in ROW.items() if k != "city"}], ["row 1", "'city'"]),
        ([ROW, {}], ["row 1", "'amount'", "'city'"]),
        ([ROW, ROW | {"more": 1}], ["row 1"]),
        ([ROW, {("City" if k == "city" else k): v for k, v in ROW.items()}], ["row 1"]),
        ([ROW, 3], ["row 1", "an object", "an integer"]),
        ([ROW, None], ["row 1", "an object", "null"]),
        ([ROW, [1]], ["row 1", "an object", "a list"]),
    ],
    ids=["missing", "empty", "extra", "renamed", "number", "null", "list"],
)
def test_rows_that_are_no_rows(client: Client, rows: list[Any], words: list[str]) -> None:
    answer = client.rows("mixed", rows)
    assert answer.status == 400, answer
    for word in words:
        assert word in answer.error, answer.error


@pytest.mark.parametrize("more", ['"amount": 1.5', '"amount": 2', '"am\\u006funt": 1.5'])
def test_a_column_twice(client: Client, more: str) -> None:
    """Parsers disagree about which of the two counts, so neither does; also when one is written with an escape."""
    body = json.dumps([ROW])[:-2] + f", {more}}}]"
    for path, text in (
        ("/v1/models/mixed/rows", body),
        ("/v1/models/mixed/rows", f'{{"rows": {body}, "rows": []}}'),
        ("/v1/models/mixed:predict", f'{{"instances": {body}}}'),
        ("/invocations", f'{{"dataframe_records": {body}}}'),
    ):
        answer = client.post(path, text)
        assert answer.status == 400, answer
        assert "twice" in answer.error


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[",
        "[}",
        "nul",
        "[1] [2]",
        "[1],",
        "{'a': 1}",
        "[01]",
        "[+1]",
        "[.5]",
        "[1.]",
        "[0x1]",
        "[nan]",
        "[-NaN]",
        "[1,]",
        '["\t"]',
        '["\\x"]',
        '["\\ud800"]',
        '{"a" 1}',
        "// c\n[]",
        "\ufeff[]",
        "[]\x00",
    ],
)
def test_what_is_no_json(client: Client, text: str) -> None:
    for path in ("/v1/models/mixed/rows", "/v2/models/mixed/infer", "/v1/models/mixed:predict", "/predictions/mixed"):
        answer = client.post(path, text)
        assert answer.status == 400, (path, answer)
        assert answer.error


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3", b"\xe2\x82"])
def test_what_is_no_utf8(client: Client, models: Models, bad: bytes) -> None:
    text = json.dumps([ROW | {"city": "@"}]).encode().replace(b"@", bad)
    answer = client.post("/v1/models/mixed/rows", text)
    assert answer.status == 400, answer
    csv = b"amount,rate,visits,key,small,flag,city\n1,1,1,1,1,true," + bad + b"\n"
    assert client.post("/invocations", csv, type="text/csv").status == 400
    body, headers = v2_binary(models["mixed"], [ROW | {"city": "@" * len(bad)}])
    answer = client.request("POST", "/v2/models/mixed/infer", body.replace(b"@" * len(bad), bad), headers)
    assert answer.status == 400, answer
    assert "'city'" in answer.error
    assert "row 0" in answer.error
    assert "UTF-8" in answer.error


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rows": {}},
        {"rows": [ROW], "outputs": "predict"},
        {"rows": [ROW], "outputs": [1]},
        {"rows": [ROW], "outputs": ["nothing"]},
        {"rows": [ROW], "output": ["predict"]},
        3,
        "text",
        None,
        True,
    ],
)
def test_bodies_of_rows(client: Client, body: Any) -> None:
    answer = client.post("/v1/models/mixed/rows", json.dumps(body))
    assert answer.status == 400, answer
    assert answer.error


# -- KServe V2 --------------------------------------------------------------------------------------------------


def _with(models: Models, name: str, changes: dict[str, Any]) -> dict[str, Any]:
    body = v2_json(models["mixed"], [ROW, ROW])
    for one in body["inputs"]:
        if one["name"] == name:
            one.update(changes)
    return body


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("amount", {"datatype": "BYTES"}),
        ("amount", {"datatype": "FP8"}),
        ("amount", {"datatype": 3}),
        ("amount", {"shape": [3]}),
        ("amount", {"shape": [2, 2]}),
        ("amount", {"shape": [1, 2]}),
        ("amount", {"shape": [2, 1, 1]}),
        ("amount", {"shape": []}),
        ("amount", {"shape": [-2]}),
        ("amount", {"shape": [2.5]}),
        ("amount", {"shape": [2**62]}),
        ("amount", {"shape": [2**33, 2**33]}),
        ("amount", {"shape": [2**64]}),
        ("amount", {"data": [1.5]}),
        ("amount", {"data": [1.5, 1.5, 1.5]}),
        ("amount", {"data": [1.5, "x"]}),
        ("amount", {"data": [1.5, [1.5, 1.5]]}),
        ("amount", {"data": 1.5}),
        ("amount", {"name": "amuont"}),
        ("amount", {"name": "rate"}),
        ("amount", {"parameters": {"binary_data_size": 16}}),
        ("visits", {"data": [1, 1.5]}),
        ("visits", {"data": [1, 2**63]}),
        ("visits", {"datatype": "UINT64", "data": [1, 2**63]}),
        ("visits", {"datatype": "INT8", "data": [1, 128]}),
        ("visits", {"datatype": "FP64", "data": [1.0, 2.0]}),
        ("small", {"datatype": "INT64", "data": [1, 300]}),
        ("flag", {"data": [True, 1]}),
        ("city", {"data": ["Oslo", 3]}),
        ("city", {"datatype": "FP64", "data": [1.0, 2.0]}),
    ],
)
def test_v2_tensors_that_do_not_fit(client: Client, models: Models, name: str, changes: dict[str, Any]) -> None:
    answer = client.infer("mixed", _with(models, name, changes))
    assert answer.status == 400, answer
    assert answer.error


def test_v2_inputs_that_do_not_fit(client: Client, models: Models) -> None:
    good = v2_json(models["mixed"], [ROW])
    first = good["inputs"][0]
    bodies: list[Any] = [
        {},
        {"inputs": {}},
        {"inputs": []},
        {"inputs": [3]},
        {"inputs": good["inputs"][1:]},
        {"inputs": [*good["inputs"], first]},
        {"inputs": [*good["inputs"], first | {"name": "more"}]},
        {"inputs": [{k: v for k, v in first.items() if k != "shape"}, *good["inputs"][1:]]},
        {"inputs": [{k: v for k, v in first.items() if k != "datatype"}, *good["inputs"][1:]]},
        {"inputs": [{k: v for k, v in first.items() if k != "name"}, *good["inputs"][1:]]},
        {"inputs": [{k: v for k, v in first.items() if k != "data"}, *good["inputs"][1:]]},
        good | {"outputs": [{"name": "nothing"}]},
        good | {"outputs": [{"name": ""}]},
        {"inputs": good["inputs"] * 3},
        good | {"outputs": ["predict"]},
        good | {"id": 7},
        {"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 7], "data": [0.0] * 7}]},
    ]
    for body in bodies:
        answer = client.infer("mixed", body)
        assert answer.status == 400, (body, answer)
        assert answer.error


def test_v2_binary_that_does_not_add_up(client: Client, models: Models) -> None:
    body, headers = v2_binary(models["mixed"], [ROW, ROW])
    length = int(headers["Inference-Header-Content-Length"])
    lengths = ["0", str(length - 1), str(length + 1), str(len(body) + 1), "-1", "x", "", str(2**64), f"{length}, 2"]
    for changed, value in [(body, one) for one in lengths] + [(body[:-1], str(length)), (body + b"\0", str(length))]:
        answer = client.request("POST", "/v2/models/mixed/infer", changed, {"Inference-Header-Content-Length": value})
        assert answer.status == 400, (value, answer)
        assert answer.error
    for size in (0, 15, 17, 2**40, -1, "16", 1.5):
        head = json.loads(body[:length])
        head["inputs"][0]["parameters"]["binary_data_size"] = size
        text = json.dumps(head).encode()
        named = {"Inference-Header-Content-Length": str(len(text))}
        assert client.request("POST", "/v2/models/mixed/infer", text + body[length:], named).status == 400, size


# -- the others -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/mixed:predict", {}),
        ("/v1/models/mixed:predict", {"instances": [ROW], "inputs": {}}),
        ("/v1/models/mixed:predict", {"instances": ROW}),
        ("/v1/models/mixed:predict", {"instances": [[1.0, 2.0]]}),
        ("/v1/models/mixed:predict", {"instances": [1.0]}),
        ("/v1/models/mixed:predict", {"instances": [ROW, [1.0]]}),
        ("/v1/models/mixed:predict", {"instances": [ROW], "signature_name": "nothing"}),
        ("/v1/models/mixed:predict", {"inputs": {"amount": [1.0, 2.0], "rate": [1.0]}}),
        ("/v1/models/words:classify", {"instances": [{"amount": 1, "rate": 1}]}),
        ("/v1/models/words:classify", {"examples": {"amount": 1, "rate": 1}}),
        ("/v1/models/value:classify", {"examples": [ROW]}),
        ("/v1/models/words:regress", {"examples": [{"amount": 1, "rate": 1}]}),
        ("/invocations", {}),
        ("/invocations", {"dataframe_split": {"columns": ["amount"]}}),
        ("/invocations", {"dataframe_split": {"columns": list(ROW), "data": [[1]]}}),
        ("/invocations", {"dataframe_split": {"columns": [*ROW, "city"], "data": [[*ROW.values(), "x"]]}}),
        ("/invocations", {"dataframe_records": ROW}),
        ("/predictions/mixed", 3),
        ("/predictions/mixed", [[ROW]]),
    ],
)
def test_other_bodies(client: Client, path: str, body: Any) -> None:
    answer = client.post(path, body)
    assert answer.status == 400, answer
    assert answer.error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("\n", []),
        ("amount\n1\n", ["'city'"]),
        ("amount,rate,visits,key,small,flag,city,city\n1,1,1,1,1,true,a,b\n", []),
        ("amount,rate,visits,key,small,flag,city,more\n1,1,1,1,1,true,a,b\n", []),
        ("amount,rate,visits,key,small,flag,city\n1,1,1,1,1,true\n", ["row 0"]),
        ("amount,rate,visits,key,small,flag,city\n1,1,1,1,1,true,a,b\n", ["row 0"]),
        ("amount,rate,visits,key,small,flag,city\n1,1,1,1,1,true,a\nx,1,1,1,1,true,a\n", ["row 1", "'amount'"]),
        ("amount,rate,visits,key,small,flag,city\n1,1,1.5,1,1,true,a\n", ["row 0", "'visits'"]),
        ("amount,rate,visits,key,small,flag,city\n1,1,1,1,1,maybe,a\n", ["row 0", "'flag'"]),
        ('amount,rate,visits,key,small,flag,city\n1,1,1,1,1,true,"a\n', []),
    ],
)
def test_csv_that_does_not_fit(client: Client, text: str, words: list[str]) -> None:
    answer = client.post("/invocations", text, type="text/csv")
    assert answer.status == 400, answer
    for word in words:
        assert word in answer.error


@pytest.mark.parametrize("shown", [False, True])
def test_what_a_step_refuses_is_shown_on_demand_alone(
    start: Callable[..., ServerProcess], tmp_path: Path, shown: bool
) -> None:
    frame = pd.DataFrame({"city": ["Oslo", "Rome"] * 4})
    encoder = OneHotEncoder(handle_unknown="error", sparse_output=False).fit(frame)
    mlcore.compile(encoder, sample=frame).save(tmp_path / "city.mlc")
    with Client(start(tmp_path / "city.mlc", show_values=shown)) as client:
        answer = client.rows("city", [{"city": "Rome"}, {"city": SECRET}])
    assert answer.status == 400, answer
    assert "city" in answer.error
    assert (SECRET in answer.error) == shown
