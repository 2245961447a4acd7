"""One table in every encoding, sent by the official clients: the answers are the bytes of the call in this process."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
import requests
from mlcore.serving import ServerProcess, spawn
from serving_client import assert_same
from serving_models import EMPTY, MATRIX, ROWS, WORDS, answers, frame_of, make_models
from tools import mlflow_client
from triton_server import httpclient, quiet_client
from triton_tables import inputs_of, output_names, tensors

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Table:
    """A served model and rows for it, as JSON has them and as pandas has them."""

    name: str
    model: mlcore.Model
    rows: list[dict[str, Any]]
    frame: Any

    @property
    def columns(self) -> list[str]:
        return list(self.rows[0])

    @property
    def lists(self) -> list[list[Any]]:
        return [list(row.values()) for row in self.rows]


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    models = make_models()
    mixed = [*ROWS, EMPTY]
    integers = [{"a": row["key"], "b": -row["key"]} for row in ROWS]
    matrix = [{f"x{column}": float(value) for column, value in enumerate(row)} for row in MATRIX]
    found = [
        Table("mixed", models["mixed"], mixed, frame_of(mixed)),
        Table("value", models["value"], mixed, frame_of(mixed)),
        Table("words", models["words"], WORDS, pd.DataFrame(WORDS).astype({"rate": np.float32})),
        Table("integers", models["integers"], integers, pd.DataFrame(integers)),
        Table("bare", models["bare"], matrix, MATRIX),
    ]
    return {table.name: table for table in found}


@pytest.fixture(scope="module")
def server(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("served")
    for name, table in tables.items():
        (folder / name / "1").mkdir(parents=True)
        table.model.save(folder / name / "1" / "model.mlc")
    with spawn(folder, manage=True, loops=2, default_model="value") as server:
        yield server
        assert server.returncode is None, server.log
    assert server.returncode == 0, server.log


@pytest.fixture
def triton_client(server: ServerProcess) -> Iterator[Any]:
    with quiet_client(), httpclient.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=4) as client:
        yield client


def _post(server: ServerProcess, path: str, body: object, headers: dict[str, str] = JSON) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = requests.post(server.url + path, data=data, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- every encoding, with `requests` ----------------------------------------------------------------------------


def _rows(server: ServerProcess, table: Table, **headers: str) -> dict[str, Any]:
    body = json.dumps({"rows": table.rows, "outputs": list(answers(table.model, table.frame))}).encode()
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "": bytes}[headers.get("Content-Encoding", "")]
    found = _post(server, f"/v1/models/{table.name}/rows", pack(body), JSON | headers)["rows"]
    return {name: [row[name] for row in found] for name in found[0]}


def _v1(server: ServerProcess, table: Table, form: str, key: str) -> dict[str, Any]:
    bodies = {
        "objects": {"instances": table.rows},
        "lists": {"instances": table.lists},
        "columns": {"inputs": {name: [row[name] for row in table.rows] for name in table.columns}},
    }
    path = f"/v1/models/{table.name}:predict"
    return {
        name: _post(server, path, bodies[form] | {"signature_name": name})[key]
        for name in answers(table.model, table.frame)
    }


def _invocations(server: ServerProcess, body: object) -> dict[str, Any]:
    return {"predict": _post(server, "/invocations", body)["predictions"]}


def _csv(server: ServerProcess, table: Table) -> dict[str, Any]:
    text = table.frame.to_csv(index=False).encode()
    answer = requests.post(server.url + "/invocations", data=text, headers={"Content-Type": "text/csv"}, timeout=20)
    assert answer.status_code == 200, answer.text
    return {"predict": answer.json()["predictions"]}


Encoding = Callable[[ServerProcess, Table], dict[str, Any]]
OF_ANY_MODEL: dict[str, Encoding] = {
    "rows": _rows,
    "rows, gzip": lambda server, table: _rows(server, table, **{"Content-Encoding": "gzip"}),
    "rows, deflate": lambda server, table: _rows(server, table, **{"Content-Encoding": "deflate"}),
    "V1 instances, objects": lambda server, table: _v1(server, table, "objects", "predictions"),
    "V1 instances, lists": lambda server, table: _v1(server, table, "lists", "predictions"),
    "V1 inputs": lambda server, table: _v1(server, table, "columns", "outputs"),
}
OF_THE_DEFAULT_MODEL: dict[str, Encoding] = {
    "dataframe_split": lambda server, table: _invocations(
        server, {"dataframe_split": {"columns": table.columns, "data": table.lists}}
    ),
    "dataframe_records": lambda server, table: _invocations(server, {"dataframe_records": table.rows}),
    "instances": lambda server, table: _invocations(server, {"instances": table.rows}),
    "inputs": lambda server, table: _invocations(
        server, {"inputs": {name: [row[name] for row in table.rows] for name in table.columns}}
    ),
    "TorchServe": lambda server, table: {"predict": _post(server, f"/predictions/{table.name}", table.rows)},
}


@pytest.mark.parametrize("encoding", OF_ANY_MODEL)
@pytest.mark.parametrize("name", ["mixed", "value", "words", "integers", "bare"])
def test_requests(server: ServerProcess, tables: dict[str, Table], name: str, encoding: str) -> None:
    table = tables[name]
    _assert_answers(table, OF_ANY_MODEL[encoding](server, table))


@pytest.mark.parametrize("encoding", OF_THE_DEFAULT_MODEL)
def test_requests_without_a_name(server: ServerProcess, tables: dict[str, Table], encoding: str) -> None:
    table = tables["value"]
    _assert_answers(table, OF_THE_DEFAULT_MODEL[encoding](server, table), ["predict"])


def test_requests_csv(server: ServerProcess, tables: dict[str, Table]) -> None:
    rows = [row for row in tables["value"].rows if "\x00" not in (row["city"] or "")]
    # pandas writes an empty text and a missing one alike, and infinities as words of its own
    frame = frame_of([row for row in rows if row["city"] != ""]).replace([np.inf, -np.inf], 1.0)
    table = Table("value", tables["value"].model, rows, frame)
    _assert_answers(table, _csv(server, table), ["predict"])


def _assert_answers(table: Table, found: dict[str, Any], names: list[str] | None = None) -> None:
    expected = answers(table.model, table.frame)
    assert set(found) == set(expected if names is None else names)
    for name, values in found.items():
        assert_same(name, values, expected[name])


# -- KServe V2, with tritonclient -------------------------------------------------------------------------------


def _arrays(result: Any, names: list[str]) -> dict[str, np.ndarray]:
    """The outputs; texts of binary tensors come as bytes, those of JSON as texts."""
    found = {name: result.as_numpy(name) for name in names}
    return {
        name: np.array([one.decode() if isinstance(one, bytes) else one for one in array.ravel()], object)
        if array.dtype.kind == "O"
        else array
        for name, array in found.items()
    }


def _wanted(names: list[str], binary: bool) -> list[Any]:
    return [httpclient.InferRequestedOutput(name, binary_data=binary) for name in names]


@pytest.mark.parametrize("answered", ["binary", "json"])
@pytest.mark.parametrize("sent", ["binary", "json"])
@pytest.mark.parametrize("name", ["mixed", "value", "words", "integers", "bare"])
def test_tritonclient(triton_client: Any, tables: dict[str, Table], name: str, sent: str, answered: str) -> None:
    table = tables[name]
    names = output_names(table.model)
    inputs = inputs_of(httpclient, tensors(table.model, table.frame), binary_data=sent == "binary")
    result = triton_client.infer(name, inputs, outputs=_wanted(names, answered == "binary"), request_id="seven")
    assert (result.get_response()["id"], result.get_response()["model_version"]) == ("seven", "1")
    _assert_answers(table, _arrays(result, names))


@pytest.mark.parametrize("lists", [False, True], ids=["[n, 1]", "[n]"])
def test_tritonclient_asks_for_nothing_by_name(triton_client: Any, tables: dict[str, Table], lists: bool) -> None:
    """All outputs come, as binary tensors."""
    table = tables["mixed"]
    inputs = inputs_of(httpclient, tensors(table.model, table.frame, lists=lists))
    result = triton_client.infer("mixed", inputs)
    names = [one["name"] for one in result.get_response()["outputs"]]
    assert names == output_names(table.model)
    _assert_answers(table, _arrays(result, names))


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_tritonclient_compresses(triton_client: Any, tables: dict[str, Table], coding: str, binary: bool) -> None:
    table = tables["mixed"]
    names = output_names(table.model)
    result = triton_client.infer(
        "mixed",
        inputs_of(httpclient, tensors(table.model, table.frame), binary_data=binary),
        model_version="1",
        outputs=_wanted(names, binary),
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    _assert_answers(table, _arrays(result, names))


def test_tritonclient_asks_for_one_output(triton_client: Any, tables: dict[str, Table]) -> None:
    table = tables["mixed"]
    inputs = inputs_of(httpclient, tensors(table.model, table.frame))
    for name, expected in answers(table.model, table.frame).items():
        result = triton_client.infer("mixed", inputs, outputs=_wanted([name], True))
        assert [one["name"] for one in result.get_response()["outputs"]] == [name]
        assert_same(name, result.as_numpy(name), expected)


def test_tritonclient_side_by_side(triton_client: Any, tables: dict[str, Table]) -> None:
    table = tables["mixed"]
    inputs = inputs_of(httpclient, tensors(table.model, table.frame))
    waiting = [triton_client.async_infer("mixed", inputs, request_id=str(number)) for number in range(16)]
    for number, one in enumerate(waiting):
        result = one.get_result()
        assert result.get_response()["id"] == str(number)
        _assert_answers(table, _arrays(result, output_names(table.model)))


def test_tritonclient_aio(server: ServerProcess, tables: dict[str, Table]) -> None:
    async def ask() -> list[Any]:
        from tritonclient.http import aio

        async with aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            asked = []
            for name in ("mixed", "words") * 8:
                table = tables[name]
                inputs = inputs_of(httpclient, tensors(table.model, table.frame))
                asked.append(client.infer(name, inputs, outputs=_wanted(output_names(table.model), True)))
            assert await client.is_model_ready("mixed")
            return await asyncio.gather(*asked)

    with quiet_client():
        results = asyncio.run(ask())
    for name, result in zip(("mixed", "words") * 8, results, strict=True):
        _assert_answers(tables[name], _arrays(result, output_names(tables[name].model)))


def test_tritonclient_reads_what_is_served(triton_client: Any, tables: dict[str, Table]) -> None:
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert triton_client.is_model_ready("mixed", "1")
    assert not triton_client.is_model_ready("nothing")
    assert triton_client.get_server_metadata()["version"] == mlcore.__version__
    metadata = triton_client.get_model_metadata("mixed")
    sent = tensors(tables["mixed"].model, tables["mixed"].frame)
    kinds = {name: kind for name, (kind, _) in sent.items() if not name.endswith("__valid")}
    assert {one["name"]: one["datatype"] for one in metadata["inputs"]} == kinds
    assert [one["name"] for one in metadata["outputs"]] == output_names(tables["mixed"].model)
    index = {one["name"]: one["state"] for one in triton_client.get_model_repository_index()}
    assert index == dict.fromkeys(tables, "READY")


def test_tritonclient_loads_and_unloads(tables: dict[str, Table], tmp_path: Path) -> None:
    table = tables["words"]
    (tmp_path / "words" / "1").mkdir(parents=True)
    table.model.save(tmp_path / "words" / "1" / "model.mlc")
    with (
        spawn(tmp_path, manage=True, reload_seconds=0) as server,
        quiet_client(),
        httpclient.InferenceServerClient(f"127.0.0.1:{server.port}") as client,
    ):
        client.unload_model("words")
        assert not client.is_model_ready("words")
        with pytest.raises(httpclient.InferenceServerException, match="expected the name of a model"):
            client.infer("words", inputs_of(httpclient, tensors(table.model, table.frame)))
        client.load_model("words")
        assert client.is_model_ready("words")
        result = client.infer("words", inputs_of(httpclient, tensors(table.model, table.frame)))
        _assert_answers(table, _arrays(result, output_names(table.model)))


def test_tritonclient_is_told_what_is_wrong(triton_client: Any, tables: dict[str, Table]) -> None:
    inputs = inputs_of(httpclient, tensors(tables["mixed"].model, tables["mixed"].frame))
    with pytest.raises(httpclient.InferenceServerException, match=r"\[400\].*'city'"):
        triton_client.infer("mixed", [one for one in inputs if one.name() not in ("city", "city__valid")])
    with pytest.raises(httpclient.InferenceServerException, match=r"\[404\].*expected the name of a model"):
        triton_client.infer("nothing", inputs)


# -- MLflow -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlflow(server: ServerProcess) -> Any:
    return mlflow_client()("127.0.0.1", server.port)


def test_mlflow_table(mlflow: Any, tables: dict[str, Table]) -> None:
    """It sends `dataframe_split`; a column of integers with gaps is one of objects there, because it knows no pd.NA."""
    table = tables["value"]
    sent = table.frame.astype(object).where(table.frame.notna(), None)
    found = mlflow.invoke(sent).get_predictions("ndarray", np.float32)
    assert_same("predict", found, answers(table.model, table.frame)["predict"])
    whole = table.frame[table.frame["visits"].notna()].astype({"visits": np.int64}).reset_index(drop=True)
    found = mlflow.invoke(whole).get_predictions("ndarray", np.float32)
    assert_same("predict", found, answers(table.model, whole)["predict"])


def test_mlflow_records_and_lists(mlflow: Any, tables: dict[str, Table]) -> None:
    table = tables["value"]
    for sent in ({"dataframe_records": table.rows}, {"instances": table.rows}):
        found = mlflow.invoke(json.dumps(sent)).get_predictions("ndarray", np.float32)
        assert_same("predict", found, answers(table.model, table.frame)["predict"])
    found = mlflow.invoke(table.rows).get_predictions("ndarray", np.float32)  # as {"inputs": [...]}
    assert_same("predict", found, answers(table.model, table.frame)["predict"])


def test_mlflow_matrix(tables: dict[str, Table], tmp_path: Path) -> None:
    tables["bare"].model.save(tmp_path / "bare.mlc")
    with spawn(tmp_path / "bare.mlc") as server:
        found = mlflow_client()("127.0.0.1", server.port).invoke(MATRIX).get_predictions("ndarray", np.float32)
    assert_same("predict", found, answers(tables["bare"].model, MATRIX)["predict"])


def test_mlflow_waits_and_is_told_what_is_wrong(mlflow: Any) -> None:
    mlflow.wait_server_ready(timeout=5)
    mlflow.ping()
    assert mlflow.get_version().strip()
    with pytest.raises(Exception, match=r"error code 400.*expected"):
        mlflow.invoke(pd.DataFrame({"amount": [1.0]}))
