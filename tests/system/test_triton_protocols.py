"""One request in every protocol of the real Triton server gives the bytes of the call in this process."""

from __future__ import annotations

import asyncio
import json
import queue
import random
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from cases import scale
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from triton_server import Server, grpcclient, httpclient, quiet_client
from triton_tables import FRAME, answers, assert_answers, assert_same, inputs_of, make_model, output_names, tensors


@pytest.fixture(scope="module")
def model() -> mlcore.Model:
    return make_model()


@pytest.fixture(scope="module")
def server(triton: Server, model: mlcore.Model) -> Server:
    triton.add("many", model.to_bytes())
    triton.load("many")
    return triton


def test_http_json(server: Server, model: mlcore.Model) -> None:
    """As `curl` sends it. JSON has no NaN, so that missing numbers are said by a mask."""
    rows = FRAME.iloc[:60]
    inputs = []
    for name, (kind, values) in tensors(model, rows).items():
        if kind in ("FP64", "FP32") and np.isnan(values).any():
            there = ~np.isnan(values)
            inputs.append(_json(f"{name}__valid", "BOOL", there))
            values = np.where(there, values, 0.0)
        inputs.append(_json(name, kind, values))
    wanted = [{"name": name} for name in ("predict", "predict_proba", "margin")]
    status, answer = server.post("v2/models/many/infer", {"id": "7", "inputs": inputs, "outputs": wanted})
    assert status == 200, answer
    assert answer["id"] == "7"
    expected = answers(model, rows)
    assert {one["name"] for one in answer["outputs"]} == {"predict", "predict_proba", "margin"}
    for one in answer["outputs"]:
        if one["datatype"] == "BYTES":
            assert one["data"] == expected[one["name"]].tolist()
        else:
            found = np.array(one["data"], expected[one["name"]].dtype).reshape(one["shape"])
            assert_same(one["name"], found, expected[one["name"]])


def _json(name: str, kind: str, values: np.ndarray) -> dict[str, Any]:
    return {"name": name, "shape": list(values.shape), "datatype": kind, "data": values.ravel().tolist()}


@pytest.mark.parametrize("rows", [1, 2, 64, 300])
def test_http_binary(server: Server, model: mlcore.Model, rows: int) -> None:
    part = FRAME.iloc[:rows]
    inputs = inputs_of(httpclient, tensors(model, part), binary_data=True)
    outputs = [httpclient.InferRequestedOutput(name, binary_data=True) for name in output_names(model)]
    assert_answers(model, part, server.http.infer("many", inputs, outputs=outputs))


def test_http_async_and_compressed(server: Server, model: mlcore.Model) -> None:
    inputs = inputs_of(httpclient, tensors(model, FRAME), binary_data=True)
    waiting = [server.http.async_infer("many", inputs, request_compression_algorithm="gzip") for _ in range(8)]
    for one in waiting:
        assert_answers(model, FRAME, one.get_result())


@pytest.mark.parametrize("rows", [1, 300])
def test_grpc(server: Server, model: mlcore.Model, rows: int) -> None:
    part = FRAME.iloc[:rows]
    assert_answers(model, part, server.grpc.infer("many", inputs_of(grpcclient, tensors(model, part))))


def test_grpc_async(server: Server, model: mlcore.Model) -> None:
    found: queue.Queue[Any] = queue.Queue()
    for start in range(0, 300, 50):
        part = FRAME.iloc[start : start + 50]
        server.grpc.async_infer(
            "many",
            inputs_of(grpcclient, tensors(model, part)),
            lambda result, error: found.put(error or result),
            request_id=str(start),
        )
    for _ in range(6):
        result = found.get(timeout=30)
        start = int(result.get_response().id)
        assert_answers(model, FRAME.iloc[start : start + 50], result)


def test_grpc_streaming(server: Server, model: mlcore.Model) -> None:
    found: queue.Queue[Any] = queue.Queue()
    with quiet_client(), grpcclient.InferenceServerClient(server.grpc_address) as client:
        client.start_stream(lambda result, error: found.put(error or result))
        for start in range(0, 300, 100):
            part = FRAME.iloc[start : start + 100]
            client.async_stream_infer("many", inputs_of(grpcclient, tensors(model, part)), request_id=str(start))
        results = [found.get(timeout=30) for _ in range(3)]
        client.stop_stream()
    for result in results:
        start = int(result.get_response().id)
        assert_answers(model, FRAME.iloc[start : start + 100], result)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_system_shared_memory(server: Server, model: mlcore.Model, protocol: str) -> None:
    """Inputs and outputs lie in memory that client and server share."""
    from tritonclient import utils
    from tritonclient.utils import shared_memory

    client, library = {"http": (server.http, httpclient), "grpc": (server.grpc, grpcclient)}[protocol]
    rows = FRAME.iloc[:50]
    sent, expected = tensors(model, rows), answers(model, rows)
    regions = []
    try:
        inputs = []
        for index, (name, (kind, values)) in enumerate(sent.items()):
            values = utils.serialize_byte_tensor(values) if kind == "BYTES" else values
            raw = values.item() if kind == "BYTES" else values.tobytes()
            region = shared_memory.create_shared_memory_region(f"in{index}", f"/mlcore_{protocol}_in{index}", len(raw))
            regions.append((f"in{index}", region))
            shared_memory.set_shared_memory_region(region, [np.frombuffer(raw, np.uint8)])
            client.register_system_shared_memory(f"in{index}", f"/mlcore_{protocol}_in{index}", len(raw))
            one = library.InferInput(name, list(sent[name][1].shape), kind)
            one.set_shared_memory(f"in{index}", len(raw))
            inputs.append(one)
        proba = expected["predict_proba"]
        region = shared_memory.create_shared_memory_region("out", f"/mlcore_{protocol}_out", proba.nbytes)
        regions.append(("out", region))
        client.register_system_shared_memory("out", f"/mlcore_{protocol}_out", proba.nbytes)
        wanted = library.InferRequestedOutput("predict_proba")
        wanted.set_shared_memory("out", proba.nbytes)
        client.infer("many", inputs, outputs=[wanted])
        found = shared_memory.get_contents_as_numpy(region, proba.dtype, proba.shape)
        assert_same("predict_proba", found, proba)
    finally:
        for name, region in regions:
            client.unregister_system_shared_memory(name)
            shared_memory.destroy_shared_memory_region(region)


def test_requested_outputs_only(server: Server, model: mlcore.Model) -> None:
    inputs = inputs_of(grpcclient, tensors(model, FRAME))
    for names in (["predict"], ["margin"], ["transform", "predict"], output_names(model)):
        result = server.grpc.infer("many", inputs, outputs=[grpcclient.InferRequestedOutput(one) for one in names])
        assert {one.name for one in result.get_response().outputs} == set(names)
        for name in names:
            assert_same(name, result.as_numpy(name), answers(model, FRAME)[name])


def test_buffers_in_pieces(server: Server, model: mlcore.Model) -> None:
    """A body of megabytes arrives in pieces, which the server hands on as they came."""
    rows = pd.concat([FRAME] * 200, ignore_index=True)
    inputs = inputs_of(httpclient, tensors(model, rows), binary_data=True)
    outputs = [httpclient.InferRequestedOutput(name, binary_data=True) for name in ("predict_proba", "transform")]
    result, expected = server.http.infer("many", inputs, outputs=outputs), answers(model, rows)
    for name in ("predict_proba", "transform"):
        assert_same(name, result.as_numpy(name), expected[name])


# -- many requests at once --------------------------------------------------------------------------------------

BATCHING = """
backend: "mlcore"
max_batch_size: 4096
dynamic_batching { max_queue_delay_microseconds: 2000 }
instance_group [ { kind: KIND_CPU count: 2 } ]
"""


def _tagged() -> mlcore.Model:
    """Gives back what it is sent, and refuses texts that it does not know."""
    frame = pd.DataFrame({"tag": np.arange(5.0), "word": pd.Series(["a", "b", "c", "d", "e"], dtype=object)})
    columns = ColumnTransformer(
        [("tag", FunctionTransformer(np.negative), ["tag"]), ("word", OneHotEncoder(sparse_output=False), ["word"])]
    )
    return mlcore.compile(columns.fit(frame), frame)


def test_tagged_requests_never_mix(triton: Server) -> None:
    """1,000 requests at a time with tags of their own, one in ten of them bad: each gets its own rows, or its error."""
    triton.add("tagged", _tagged().to_bytes(), BATCHING)
    triton.load("tagged")
    rounds, count = scale(2), 1000

    async def ask(client: Any, tag: int) -> None:
        rows = 1 + tag % 5
        is_bad = tag % 10 == 3
        tags = tag + np.arange(rows) / 8
        words = [*"abcde"][:rows]
        if is_bad:
            words[rows // 2] = f"bad {tag}"
        sent = {"tag": ("FP64", tags.reshape(-1, 1)), "word": ("BYTES", np.array(words, object).reshape(-1, 1))}
        if tag % 4 == 0:
            sent["tag__valid"] = ("BOOL", np.arange(rows).reshape(-1, 1) != 2)
        asked = client.infer("tagged", inputs_of(grpcclient, sent))
        if is_bad:
            with pytest.raises(grpcclient.InferenceServerException, match=rf"'bad {tag}' \(row {rows // 2}\)"):
                await asked
            return
        result = await asked
        found = result.as_numpy("transform")
        expected = np.column_stack([-tags, np.eye(5)[:rows]])
        if tag % 4 == 0:
            expected[2:3, 0] = np.nan
        np.testing.assert_array_equal(found, expected)

    async def round_of(start: int) -> None:
        from tritonclient.grpc import aio

        async with aio.InferenceServerClient(triton.grpc_address) as client:
            tags = list(range(start, start + count))
            random.Random(start).shuffle(tags)
            await asyncio.gather(*(ask(client, tag) for tag in tags))

    for number in range(rounds):
        asyncio.run(round_of(number * count))
    stats = triton.http.get_inference_statistics("tagged")["model_stats"][0]
    bad = rounds * count // 10
    assert stats["inference_stats"]["success"]["count"] == rounds * count - bad
    assert stats["inference_stats"]["fail"]["count"] == bad
    assert stats["execution_count"] < rounds * count / 2, "requests were run together"
    batches = {one["batch_size"]: one["compute_infer"]["count"] for one in stats["batch_stats"]}
    assert sum(size * times for size, times in batches.items()) == stats["inference_count"]


def test_statistics_are_json(triton: Server) -> None:
    text = json.dumps(triton.http.get_inference_statistics())
    assert '"compute_infer"' in text
