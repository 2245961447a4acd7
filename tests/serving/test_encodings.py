"""One table in every encoding that clients use: the bytes of the answer are those of the model in this process."""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from mlcore.serving import ServerProcess
from serving_client import Client, assert_same, v2_binary, v2_json, v2_outputs
from serving_models import EMPTY, MATRIX, ROWS, WORDS, answers, frame_of

Models = dict[str, mlcore.Model]
COLUMNS = list(ROWS[0])


def _quoted(value: Any) -> Any:
    """With NaN and infinities in quotes, so that the text is JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _quoted(one) for key, one in value.items()}
    return [_quoted(one) for one in value] if isinstance(value, list) else value


SPELLINGS = {
    "bare words": json.dumps,
    "quoted words": lambda value: json.dumps(_quoted(value)),
    "characters": lambda value: json.dumps(value, ensure_ascii=False),
    "spaces": lambda value: json.dumps(value, indent=3),
    "tight": lambda value: json.dumps(value, separators=(",", ":")),
}


def _reversed(row: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(list(row.items())))


# -- rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", ["mixed", "value"])
def test_rows(client: Client, models: Models, name: str, spelling: str) -> None:
    table = [*ROWS, EMPTY]
    expected = answers(models[name], frame_of(table))
    body = SPELLINGS[spelling]({"rows": table, "outputs": list(expected)})
    answer = client.post(f"/v1/models/{name}/rows", body)
    assert answer.status == 200, answer
    found = answer.json
    assert (found["model_name"], found["model_version"], len(found["rows"])) == (name, "1", len(table))
    for output, values in expected.items():
        assert_same(output, [row[output] for row in found["rows"]], values)


def test_rows_default_outputs(client: Client, models: Models) -> None:
    answer = client.rows("mixed", ROWS)
    assert [list(row) for row in answer.json["rows"]] == [["predict", "predict_proba"]] * len(ROWS)
    assert list(answer.json["rows"][0]["predict_proba"]) == ["0", "1"]
    assert [list(row) for row in client.rows("value", ROWS).json["rows"]] == [["predict"]] * len(ROWS)
    (row,) = client.rows("integers", [{"a": 1, "b": 2}]).json["rows"]
    assert row == {"transform": {"p__a": 1, "p__b": 2}}
    (row,) = client.rows("words", WORDS[:1]).json["rows"]
    expected = answers(models["words"], pd.DataFrame(WORDS[:1]).astype({"rate": np.float32}))
    assert row["predict"] == expected["predict"][0]
    assert list(row["predict_proba"]) == ["no", "yes"]
    assert_same("predict_proba", row["predict_proba"], expected["predict_proba"])


def test_rows_outputs_by_either_name(client: Client, models: Models) -> None:
    expected = answers(models["mixed"], frame_of(ROWS))["margin"]
    for name in ("margin", "decision_function"):
        answer = client.rows("mixed", ROWS, [name])
        assert answer.status == 200, answer
        assert_same(name, [list(row.values()) for row in answer.json["rows"]], expected)


def test_columns_in_any_order(client: Client, models: Models) -> None:
    """Also in another order from row to row."""
    table = [_reversed(row) if index % 2 else row for index, row in enumerate(ROWS)]
    expected = answers(models["value"], frame_of(ROWS))["predict"]
    assert_same("predict", [row["predict"] for row in client.rows("value", table).json["rows"]], expected)
    body = v2_json(models["value"], ROWS)
    body["inputs"].reverse()
    assert_same("predict", v2_outputs(client.infer("value", body))["predict"], expected)


@pytest.mark.parametrize("text", ["0.1", "1e-1", "0.1000000014901161", "0.10000000149011612", "100e-3"])
def test_a_decimal_becomes_the_nearest_float32(client: Client, models: Models, text: str) -> None:
    expected = answers(models["value"], frame_of([ROWS[0] | {"rate": 0.1}]))["predict"]
    body = json.dumps([ROWS[0] | {"rate": 12345.0}]).replace("12345.0", text)
    answer = client.post("/v1/models/value/rows", body)
    assert_same("predict", answer.json["rows"][0]["predict"], expected)


@pytest.mark.parametrize("value", [0, 2**53, 2**53 + 1, 2**63 - 1, -(2**63) + 1, -(2**53) - 1])
def test_integers_are_never_rounded(client: Client, value: int) -> None:
    (row,) = client.rows("integers", [{"a": value, "b": -1}]).json["rows"]
    assert row["transform"] == {"p__a": value, "p__b": -1}
    inputs = [{"name": name, "datatype": "INT64", "shape": [1], "data": [value]} for name in "ab"]
    (output,) = client.infer("integers", {"inputs": inputs}).json["outputs"]
    assert (output["datatype"], output["shape"], output["data"]) == ("INT64", [1, 2], [value, value])


def test_a_whole_decimal_is_an_integer(client: Client) -> None:
    """JSON has one kind of number; what writes 3 as 3.0 means the same."""
    body = '[{"a": 3.0, "b": -4e2}, {"a": 9007199254740992.0, "b": -0.0}]'
    found = client.post("/v1/models/integers/rows", body).json["rows"]
    assert [row["transform"] for row in found] == [{"p__a": 3, "p__b": -400}, {"p__a": 2**53, "p__b": 0}]


def test_no_rows(client: Client) -> None:
    assert client.rows("mixed", []).json["rows"] == []
    assert client.post("/predictions/value", []).json == []
    assert client.post("/invocations", {"dataframe_records": []}).json == {"predictions": []}
    inputs = [{"name": name, "datatype": "INT64", "shape": [0], "data": []} for name in "ab"]
    (output,) = client.infer("integers", {"inputs": inputs}).json["outputs"]
    assert (output["shape"], output["data"]) == ([0, 2], [])


# -- KServe V2 --------------------------------------------------------------------------------------------------


def _assert_v2(model: mlcore.Model, table: Any, found: dict[str, np.ndarray]) -> None:
    expected = answers(model, table)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].shape[0] == len(table)
        assert_same(name, found[name], values)


@pytest.mark.parametrize("nested", [False, True], ids=["[n]", "[n, 1]"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_v2_json(client: Client, models: Models, spelling: str, nested: bool) -> None:
    table = [*ROWS, EMPTY]
    body = SPELLINGS[spelling]({"id": "seven"} | v2_json(models["mixed"], table, nested=nested))
    answer = client.infer("mixed", body)
    assert (answer.json["model_name"], answer.json["model_version"], answer.json["id"]) == ("mixed", "1", "seven")
    _assert_v2(models["mixed"], frame_of(table), v2_outputs(answer))


@pytest.mark.parametrize("binary_output", [False, True])
@pytest.mark.parametrize("name", ["mixed", "value"])
def test_v2_binary(client: Client, models: Models, name: str, binary_output: bool) -> None:
    table = [*ROWS, EMPTY]
    body, headers = v2_binary(models[name], table, binary_output=binary_output)
    answer = client.request("POST", f"/v2/models/{name}/infer", body, headers)
    assert ("inference-header-content-length" in answer.headers) == binary_output, answer
    _assert_v2(models[name], frame_of(table), v2_outputs(answer))


def test_v2_each_output_as_it_was_asked_for(client: Client, models: Models) -> None:
    outputs: list[dict[str, Any]] = [
        {"name": "predict_proba", "parameters": {"binary_data": True}},
        {"name": "predict", "parameters": {"binary_data": False}},
    ]
    answer = client.infer("mixed", v2_json(models["mixed"], ROWS) | {"outputs": outputs})
    found = v2_outputs(answer)
    assert list(found) == ["predict_proba", "predict"]
    expected = answers(models["mixed"], frame_of(ROWS))
    for name, values in found.items():
        assert_same(name, values, expected[name])


def test_v2_text_outputs(client: Client, models: Models) -> None:
    table = pd.DataFrame(WORDS).astype({"rate": np.float32})
    _assert_v2(models["words"], table, v2_outputs(client.infer("words", v2_json(models["words"], WORDS))))
    body, headers = v2_binary(models["words"], WORDS)
    _assert_v2(models["words"], table, v2_outputs(client.request("POST", "/v2/models/words/infer", body, headers)))


def test_v2_a_mask_says_what_is_missing(client: Client, models: Models) -> None:
    rows = [row | {"visits": 1 if row["visits"] is None else row["visits"]} for row in ROWS]
    there = [index % 3 != 0 for index in range(len(rows))]
    body = v2_json(models["mixed"], rows)
    body["inputs"].append({"name": "visits__valid", "datatype": "BOOL", "shape": [len(rows)], "data": there})
    masked = [row | {"visits": row["visits"] if ok else None} for row, ok in zip(rows, there, strict=True)]
    _assert_v2(models["mixed"], frame_of(masked), v2_outputs(client.infer("mixed", body)))


def test_v2_matrix(client: Client, models: Models) -> None:
    for data in (MATRIX.ravel().tolist(), MATRIX.tolist(), _quoted(MATRIX.tolist())):
        body = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [3, 4], "data": data}]}
        _assert_v2(models["bare"], MATRIX, v2_outputs(client.infer("bare", body)))
    nulls = [[None if math.isnan(value) else value for value in row] for row in MATRIX.tolist()]
    body = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [3, 4], "data": nulls}]}
    _assert_v2(models["bare"], MATRIX, v2_outputs(client.infer("bare", body)))
    # binary, and any model whose columns are of one type
    tensor = {"name": "X", "datatype": "FP32", "shape": [3, 4], "parameters": {"binary_data_size": MATRIX.nbytes}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = client.request("POST", "/v2/models/bare/infer", head + MATRIX.tobytes(), headers)
    _assert_v2(models["bare"], MATRIX, v2_outputs(answer))
    integers = {"inputs": [{"name": "X", "datatype": "INT64", "shape": [1, 2], "data": [2**53 + 1, 2**63 - 1]}]}
    (output,) = client.infer("integers", integers).json["outputs"]
    assert output["data"] == [2**53 + 1, 2**63 - 1]


def test_v2_columns_of_a_bare_model(client: Client, models: Models) -> None:
    inputs = [
        {"name": f"x{column}", "datatype": "FP32", "shape": [3], "data": MATRIX[:, column].tolist()}
        for column in range(4)
    ]
    _assert_v2(models["bare"], MATRIX, v2_outputs(client.infer("bare", {"inputs": inputs})))


def test_v2_narrower_types_fit(client: Client, models: Models) -> None:
    body = v2_json(models["mixed"], ROWS[:1])
    kinds = {"amount": ("INT32", [12]), "visits": ("UINT8", [200]), "key": ("INT16", [-7])}
    for one in body["inputs"]:
        if one["name"] in kinds:
            one["datatype"], one["data"] = kinds[one["name"]]
    table = frame_of([ROWS[0] | {"amount": 12.0, "visits": 200, "key": -7}])
    _assert_v2(models["mixed"], table, v2_outputs(client.infer("mixed", body)))


# -- TensorFlow Serving -----------------------------------------------------------------------------------------


def _list_of_columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_v1_predict(client: Client, models: Models) -> None:
    expected = answers(models["value"], frame_of(ROWS))["predict"]
    for instances in (ROWS, [list(row.values()) for row in ROWS]):
        answer = client.post("/v1/models/value:predict", {"instances": instances})
        assert_same("predict", answer.json["predictions"], expected)
    answer = client.post("/v1/models/value:predict", {"inputs": _list_of_columns(ROWS)})
    assert_same("predict", answer.json["outputs"], expected)
    answer = client.post("/v1/models/value/versions/1:predict", {"instances": ROWS})
    assert_same("predict", answer.json["predictions"], expected)


def test_v1_signatures_are_outputs(client: Client, models: Models) -> None:
    for name, expected in answers(models["mixed"], frame_of(ROWS)).items():
        answer = client.post("/v1/models/mixed:predict", {"signature_name": name, "instances": ROWS})
        assert answer.status == 200, answer
        assert len(answer.json["predictions"]) == len(ROWS)
        assert_same(name, answer.json["predictions"], expected)


def test_v1_classify_and_regress(client: Client, models: Models) -> None:
    expected = answers(models["words"], pd.DataFrame(WORDS).astype({"rate": np.float32}))["predict_proba"]
    results = client.post("/v1/models/words:classify", {"examples": WORDS}).json["results"]
    assert [[label for label, _ in row] for row in results] == [["no", "yes"]] * 3
    assert_same("classify", [[score for _, score in row] for row in results], expected)
    answer = client.post("/v1/models/value:regress", {"examples": ROWS})
    assert_same("regress", answer.json["results"], answers(models["value"], frame_of(ROWS))["predict"])


def test_v1_bare_lists(client: Client, models: Models) -> None:
    answer = client.post("/v1/models/bare:predict", {"instances": MATRIX.tolist()})
    assert_same("predict", answer.json["predictions"], answers(models["bare"], MATRIX)["predict"])


# -- MLflow, SageMaker, TorchServe ------------------------------------------------------------------------------


def test_invocations(client: Client, models: Models) -> None:
    """Of `value`, which this server was told to take where no model is named."""
    expected = answers(models["value"], frame_of(ROWS))["predict"]
    values = [list(row.values()) for row in ROWS]
    bodies = [
        {"dataframe_split": {"columns": COLUMNS, "data": values}},
        {"dataframe_split": {"index": list(range(len(ROWS))), "columns": COLUMNS, "data": values}},
        {"dataframe_split": {"columns": COLUMNS[::-1], "data": [row[::-1] for row in values]}},
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {"inputs": _list_of_columns(ROWS)},
    ]
    for body in bodies:
        answer = client.post("/invocations", body)
        assert answer.status == 200, answer
        assert_same("predict", answer.json["predictions"], expected)


def _csv(rows: list[dict[str, Any]], true: str = "true", false: str = "false") -> str:
    def cell(value: Any) -> str:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if isinstance(value, bool):
            return true if value else false
        text = str(_quoted(value))
        return '"' + text.replace('"', '""') + '"' if any(c in text for c in '",\r\n') else text

    lines = [",".join(COLUMNS), *(",".join(cell(value) for value in row.values()) for row in rows)]
    return "\n".join(lines) + "\n"


def test_invocations_csv(client: Client, models: Models) -> None:
    rows = [*(row for row in ROWS if "\x00" not in (row["city"] or "")), ROWS[0] | {"city": 'a "b", c\nd'}]
    expected = answers(models["value"], frame_of(rows))["predict"]
    for text in (_csv(rows), _csv(rows).rstrip("\n"), _csv(rows[:-1]).replace("\n", "\r\n")):
        answer = client.post("/invocations", text, type="text/csv")
        assert answer.status == 200, answer
        assert_same("predict", answer.json["predictions"], expected[: len(answer.json["predictions"])])
        assert len(answer.json["predictions"]) >= len(rows) - 1


def test_invocations_csv_as_pandas_writes_it(client: Client, models: Models) -> None:
    rows = [row for row in ROWS if "\x00" not in (row["city"] or "")]
    frame = frame_of(rows).replace([np.inf, -np.inf], 1.0)
    out = io.StringIO()
    frame.to_csv(out, index=False)
    answer = client.post("/invocations", out.getvalue(), type="text/csv; charset=utf-8")
    assert answer.status == 200, answer
    assert_same("predict", answer.json["predictions"], answers(models["value"], frame)["predict"])


def test_predictions(client: Client, models: Models) -> None:
    expected = answers(models["value"], frame_of(ROWS))["predict"]
    assert_same("predict", client.post("/predictions/value", ROWS).json, expected)
    assert_same("predict", client.post("/predictions/value/1", ROWS).json, expected)
    one = client.post("/predictions/value", ROWS[0]).json
    assert isinstance(one, float)
    assert_same("predict", one, expected[:1])
    assert client.post("/predictions/words", WORDS[0]).json in ("no", "yes")


# -- around the body --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity", "GZIP"])
def test_compressed_bodies(client: Client, models: Models, coding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[coding.lower()]
    expected = answers(models["value"], frame_of(ROWS))["predict"]
    body = pack(json.dumps(ROWS).encode())
    answer = client.post("/v1/models/value/rows", body, Content_Encoding=coding)
    assert answer.status == 200, answer
    assert_same("predict", [row["predict"] for row in answer.json["rows"]], expected)


def test_chunked_bodies(server: ServerProcess, client: Client, models: Models) -> None:
    text = json.dumps(ROWS).encode()
    client.connection.request(
        "POST", "/v1/models/value/rows", iter([text[:7], text[7:100], text[100:]]), encode_chunked=True,
        headers={"Transfer-Encoding": "chunked", "Content-Type": "application/json"},
    )  # fmt: skip
    answer = client.connection.getresponse()
    found = json.loads(answer.read())["rows"]
    assert_same("predict", [row["predict"] for row in found], answers(models["value"], frame_of(ROWS))["predict"])


def test_many_rows(client: Client, models: Models) -> None:
    table = ROWS * 500
    expected = answers(models["value"], frame_of(table))["predict"]
    assert_same("predict", [row["predict"] for row in client.rows("value", table).json["rows"]], expected)
    body, headers = v2_binary(models["value"], table)
    found = v2_outputs(client.request("POST", "/v2/models/value/infer", body, headers))
    assert_same("predict", found["predict"], expected)
