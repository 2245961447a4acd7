"""Triton's official clients of the Open Inference Protocol ask `mlcore serve --grpc-port`."""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import mlcore
import pandas as pd
import pytest
from grpc_demo import run_grpc_page
from sklearn.linear_model import LinearRegression
from triton_server import PACKAGES, grpcclient, quiet_client
from triton_tables import FRAME, answers, assert_answers, assert_same, inputs_of, make_model, output_names, tensors
from tritonclient.grpc import aio


@pytest.fixture(scope="module")
def model() -> mlcore.Model:
    return make_model()


@pytest.fixture(scope="module")
def address(model: mlcore.Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of gRPC, of a server with `many` and `line`."""
    folder = tmp_path_factory.mktemp("models")
    model.save(folder / "many.mlc")
    mlcore.compile(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])).save(folder / "line.mlc")
    command = [sys.executable, "-m", "mlcore", "serve", str(folder), "--port", "0", "--grpc-port", "0", "--manage"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        urls = [process.stdout.readline().removeprefix("listening on ").strip() for _ in range(2)]
        yield urls[1].removeprefix("grpc://")
        process.terminate()
        assert process.wait(timeout=20) == 0


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Any]:
    with quiet_client(), grpcclient.InferenceServerClient(address) as client:
        yield client


def test_what_the_server_says_of_itself(client: Any, model: mlcore.Model) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("many")
    assert client.is_model_ready("many", "1")
    assert not client.is_model_ready("nothing")
    assert client.get_server_metadata().version == mlcore.__version__
    metadata = json.loads(json.dumps(client.get_model_metadata("many", as_json=True)))
    assert metadata["versions"] == ["1"]
    described = [(one["name"], one["datatype"]) for one in metadata["inputs"]]
    assert described == [(one["name"], one["type"]) for one in model.core.tensors["inputs"]]
    assert [one["name"] for one in metadata["outputs"]] == output_names(model)
    index = client.get_model_repository_index()
    assert {(one.name, one.version, one.state) for one in index.models} == {
        ("many", "1", "READY"),
        ("line", "1", "READY"),
    }


def test_load_and_unload(client: Any) -> None:
    client.unload_model("line")
    assert not client.is_model_ready("line")
    assert client.is_server_ready()
    client.load_model("line")
    assert client.is_model_ready("line")
    with pytest.raises(grpcclient.InferenceServerException) as caught:
        client.load_model("nothing")
    assert caught.value.status() == "StatusCode.NOT_FOUND"


@pytest.mark.parametrize("rows", [1, 2, 300])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_infer(client: Any, model: mlcore.Model, rows: int, compression: str | None) -> None:
    part = FRAME.iloc[:rows]
    inputs = inputs_of(grpcclient, tensors(model, part))
    result = client.infer("many", inputs, request_id="7", compression_algorithm=compression, client_timeout=20)
    assert_answers(model, part, result)
    assert result.get_response().id == "7"


def test_a_large_request(client: Any, model: mlcore.Model) -> None:
    rows = pd.concat([FRAME] * 50, ignore_index=True)
    assert_answers(model, rows, client.infer("many", inputs_of(grpcclient, tensors(model, rows))))


def test_requested_outputs(client: Any, model: mlcore.Model) -> None:
    inputs = inputs_of(grpcclient, tensors(model, FRAME))
    for names in (["predict"], ["margin", "predict"], ["transform", "predict_proba"]):
        result = client.infer("many", inputs, outputs=[grpcclient.InferRequestedOutput(one) for one in names])
        assert [one.name for one in result.get_response().outputs] == names
        for name in names:
            assert_same(name, result.as_numpy(name), answers(model, FRAME)[name])


def test_refusals(client: Any, model: mlcore.Model) -> None:
    inputs = inputs_of(grpcclient, tensors(model, FRAME))
    for arguments, status in (
        (("nothing", inputs), "NOT_FOUND"),
        (("many", inputs, "2"), "NOT_FOUND"),
        (("many", inputs[:-1]), "INVALID_ARGUMENT"),
    ):
        with pytest.raises(grpcclient.InferenceServerException, match="expected") as caught:
            client.infer(*arguments)
        assert caught.value.status() == f"StatusCode.{status}"
    with pytest.raises(grpcclient.InferenceServerException) as caught:
        client.get_model_config("many")
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


def test_async_infer(client: Any, model: mlcore.Model) -> None:
    found: queue.Queue[Any] = queue.Queue()
    for start in range(0, 300, 50):
        inputs = inputs_of(grpcclient, tensors(model, FRAME.iloc[start : start + 50]))
        client.async_infer("many", inputs, lambda result, error: found.put(error or result), request_id=str(start))
    for _ in range(6):
        result = found.get(timeout=30)
        start = int(result.get_response().id)
        assert_answers(model, FRAME.iloc[start : start + 50], result)


def test_streaming(address: str, model: mlcore.Model) -> None:
    found: queue.Queue[Any] = queue.Queue()
    with quiet_client(), grpcclient.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: found.put((result, error)))
        for start in range(0, 300, 50):
            inputs = inputs_of(grpcclient, tensors(model, FRAME.iloc[start : start + 50]))
            name = "nothing" if start == 100 else "many"
            client.async_stream_infer(name, inputs, request_id=str(start), enable_empty_final_response=True)
        results = [found.get(timeout=30) for _ in range(6)]
        client.stop_stream()
    for start, (result, error) in zip(range(0, 300, 50), results, strict=True):
        if start == 100:
            assert "expected the name of a model" in str(error)
            continue
        assert error is None
        response = result.get_response()
        assert response.id == str(start)
        assert response.parameters["triton_final_response"].bool_param
        assert_answers(model, FRAME.iloc[start : start + 50], result)


def test_asyncio(address: str, model: mlcore.Model) -> None:
    async def one(client: Any, start: int) -> None:
        part = FRAME.iloc[start : start + 50]
        assert_answers(model, part, await client.infer("many", inputs_of(grpcclient, tensors(model, part))))

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for start in range(0, 300, 50):
            inputs = inputs_of(grpcclient, tensors(model, FRAME.iloc[start : start + 50]))
            yield {"model_name": "many", "inputs": inputs, "request_id": str(start)}

    async def everything() -> None:
        async with aio.InferenceServerClient(address) as client:
            assert await client.is_server_ready()
            await asyncio.gather(*(one(client, start) for start in range(0, 300, 50)))
            starts = []
            async for result, error in client.stream_infer(requests()):
                assert error is None
                start = int(result.get_response().id)
                assert_answers(model, FRAME.iloc[start : start + 50], result)
                starts.append(start)
            assert starts == list(range(0, 300, 50))

    asyncio.run(everything())


def test_the_client_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, _ = run_grpc_page(tmp_path, monkeypatch, PACKAGES)
    ours, first, _ = printed.splitlines()[-3:]
    one, other = ([f"{float(text):.5g}" for text in line.strip("[ ]").split()] for line in (ours, first))
    assert one == other  # the same first row by both clients
