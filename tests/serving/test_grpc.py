"""The Open Inference Protocol over gRPC: the answers of the call in this process, and the refusals of HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import mlcore
import numpy as np
import pandas as pd
import pytest
from google.protobuf import descriptor_pb2
from grpc_demo import run_grpc_page
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from mlcore.cli import main
from mlcore.errors import ArtifactIOError
from mlcore.serving import Server
from mlcore.serving.grpc_codec import METHODS, message_class
from mlcore.serving.grpc_host import GrpcHost, serve_grpc
from mlcore.serving.server import Answer
from serving_client import _columns, _packed, _unpacked, assert_same
from serving_models import MATRIX, ROWS, WORDS, answers, frame_of

Models = dict[str, mlcore.Model]
PACKAGE = Path(mlcore.__file__).parent
TIMEOUT = 20.0
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
KEYS = [1, -(2**53) - 1, 2**63 - 1]
CONTENTS = {"BOOL": "bool", "BYTES": "bytes", "FP32": "fp32", "FP64": "fp64", "INT64": "int64", "INT8": "int"}


def method_of(name: str, channel: Any, *, raw: bool = False) -> Any:
    """A method of the service as grpcio's clients call it; ``raw``: with bytes for requests."""
    method = METHODS[name]
    make = channel.stream_stream if name == "ModelStreamInfer" else channel.unary_unary
    return make(
        f"/inference.GRPCInferenceService/{name}",
        request_serializer=None if raw else message_class(method.request).SerializeToString,
        response_deserializer=message_class(method.response).FromString,
    )


class Host:
    """A host of gRPC over a server, in an event loop on a thread of its own; and a client of it."""

    def __init__(self, server: Any, **options: Any) -> None:
        self.server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.host: GrpcHost = self.do(serve_grpc(server, port=0, **options))
        self.address = f"127.0.0.1:{self.host.port}"
        self.channel = grpc.insecure_channel(self.address, options=[("grpc.max_receive_message_length", -1)])
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT)

    def method(self, name: str) -> Any:
        return method_of(name, self.channel)

    def call(self, name: str, request: Any = None, /, *, metadata: Any = None, **fields: Any) -> Any:
        sent = message_class(METHODS[name].request)(**fields) if request is None else request
        return self.method(name)(sent, metadata=metadata, timeout=TIMEOUT)

    def close(self, timeout: float = 5.0) -> None:
        self.channel.close()
        self.do(self.host.stop(timeout))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextlib.contextmanager
def hosting(*models: Path, options: dict[str, Any] | None = None, **server_options: Any) -> Iterator[Host]:
    with mlcore.serve(*models, port=0, loops=1, **server_options) as server:
        host = Host(server, **(options or {}))
        try:
            yield host
        finally:
            host.close()


class Stub:
    """A server that answers as it is told, and keeps what it was asked."""

    def __init__(self, status: int = 200, body: bytes = b"{}", headers: dict[str, str] | None = None) -> None:
        self.answer = Answer(status, headers or {}, body)
        self.seen: list[tuple[str, str, bytes, dict[str, str]]] = []

    def request(self, method: str, target: str, body: bytes = b"", headers: Any = (), client: str = "") -> Answer:
        self.seen.append((method, target, body, dict(headers)))
        return self.answer


@contextlib.contextmanager
def stubbed(stub: Any) -> Iterator[Host]:
    host = Host(stub)
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(scope="module")
def host(saved: Path) -> Iterator[Host]:
    """All models; nobody changes them."""
    with hosting(saved) as found:
        yield found


@contextlib.contextmanager
def refused(code: str, match: str | None = None) -> Iterator[Any]:
    with pytest.raises(grpc.RpcError, match=match) as caught:
        yield caught
    assert caught.value.code() == grpc.StatusCode[code], caught.value


def request_of(
    name: str, sent: list[tuple[str, str, list[int], list[Any]]], *, typed: bool = False, **fields: Any
) -> Any:
    """A request with these inputs (name, datatype, shape, values), raw or in typed contents."""
    request = message_class("ModelInferRequest")(model_name=name, **fields)
    for input_name, datatype, shape, values in sent:
        tensor = request.inputs.add(name=input_name, datatype=datatype, shape=shape)
        if typed:
            field = getattr(tensor.contents, f"{CONTENTS[datatype]}_contents")
            empty: Any = "" if datatype == "BYTES" else 0
            filled = [empty if value is None else value for value in values]
            field.extend([value.encode() for value in filled] if datatype == "BYTES" else filled)
        else:
            request.raw_input_contents.append(_packed(datatype, values))
    return request


def tensors_of(model: mlcore.Model, rows: list[dict[str, Any]]) -> list[tuple[str, str, list[int], list[Any]]]:
    """The inputs of the rows, with a mask where something is missing."""
    found: list[tuple[str, str, list[int], list[Any]]] = []
    for name, datatype, valid, values in _columns(model, rows):
        found.append((name, datatype, [len(rows), 1], values))
        if any(value is None for value in values):
            found.append((valid, "BOOL", [len(rows)], [value is not None for value in values]))
    return found


def outputs_of(response: Any) -> dict[str, np.ndarray]:
    assert len(response.outputs) == len(response.raw_output_contents)
    pairs = zip(response.outputs, response.raw_output_contents, strict=True)
    return {one.name: _unpacked(one.datatype, raw).reshape(list(one.shape)) for one, raw in pairs}


def asked(name: str, models: Models) -> tuple[list[tuple[str, str, list[int], list[Any]]], Any]:
    """Inputs for a model, and the table that they are."""
    if name == "bare":
        return [("X", "FP32", [3, 4], MATRIX.ravel().tolist())], MATRIX
    if name == "integers":
        frame = pd.DataFrame({"a": KEYS, "b": KEYS[::-1]})
        return [(column, "INT64", [3], frame[column].tolist()) for column in "ab"], frame
    if name == "words":
        frame = pd.DataFrame(WORDS).astype({"rate": np.float32})
        return tensors_of(models[name], WORDS), frame
    return tensors_of(models[name], ROWS), frame_of(ROWS)


def tagged(tag: int, rows: int = 1, **fields: Any) -> Any:
    sent = [(name, "INT64", [rows], [tag] * rows) for name in "ab"]
    return request_of("integers", sent, id=str(tag), **fields)


def until(ended: threading.Event, *requests: Any) -> Iterator[Any]:
    """The requests of a stream, which then stays open without another."""
    yield from requests
    ended.wait(TIMEOUT)


# -- the protocol -----------------------------------------------------------------------------------------------


def test_the_descriptors_are_those_of_the_protocol(tmp_path: Path) -> None:
    from grpc_tools import protoc

    folder, made = PACKAGE / "serving", tmp_path / "made.binpb"
    assert protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={made}", "inference.proto"]) == 0
    files = [descriptor_pb2.FileDescriptorSet.FromString(p.read_bytes()) for p in (made, folder / "inference.binpb")]
    assert files[0] == files[1]
    (service,) = files[0].file[0].service
    assert {one.name for one in service.method} == set(METHODS)
    for one in service.method:
        method = METHODS[one.name]
        assert [one.input_type, one.output_type] == [f".inference.{method.request}", f".inference.{method.response}"]


def test_another_file_of_the_protocol_in_the_process() -> None:
    """As tritonclient brings one, whose package and messages have the same names."""
    script = """
from google.protobuf import descriptor_pb2, descriptor_pool
from mlcore.serving.grpc_codec import message_class
other = descriptor_pb2.FileDescriptorProto(name="grpc_service.proto", package="inference", syntax="proto3")
other.message_type.add(name="ModelInferRequest")
descriptor_pool.Default().AddSerializedFile(other.SerializeToString())
assert message_class("ModelInferRequest")(id="7").id == "7"
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=TIMEOUT)


# -- answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
@pytest.mark.parametrize("name", ["mixed", "value", "words", "bare", "integers"])
def test_answers_of_the_call(host: Host, models: Models, name: str, typed: bool) -> None:
    sent, table = asked(name, models)
    response = host.call("ModelInfer", request_of(name, sent, typed=typed, id="an id"))
    assert (response.model_name, response.model_version, response.id) == (name, "1", "an id")
    assert not response.parameters
    found, expected = outputs_of(response), answers(models[name], table)
    assert list(found) == list(expected)
    for output, values in expected.items():
        assert_same(output, found[output], values)


def test_the_shapes_and_types_of_http(host: Host, models: Models) -> None:
    for name in models:
        sent, _ = asked(name, models)
        response = host.call("ModelInfer", request_of(name, sent))
        metadata = json.loads(host.server.request("GET", f"/v2/models/{name}").body)
        shapes = [[len(sent[0][3]) if d == -1 else d for d in one["shape"]] for one in metadata["outputs"]]
        if name == "bare":
            shapes = [[3] for _ in shapes]
        found = [(one.name, one.datatype, list(one.shape)) for one in response.outputs]
        described = [(one["name"], one["datatype"]) for one in metadata["outputs"]]
        assert found == [(*one, shape) for one, shape in zip(described, shapes, strict=True)]
        assert not any(one.HasField("contents") or one.parameters for one in response.outputs)


@pytest.mark.parametrize("names", [["predict"], ["margin", "predict"], ["predict_proba", "margin", "predict"]])
def test_the_outputs_that_were_asked_for_in_their_order(host: Host, models: Models, names: list[str]) -> None:
    sent, table = asked("words", models)
    response = host.call("ModelInfer", request_of("words", sent, outputs=[{"name": name} for name in names]))
    assert [one.name for one in response.outputs] == names
    for name, values in outputs_of(response).items():
        assert_same(name, values, answers(models["words"], table)[name])
    assert response.id == ""


def test_a_large_request_in_pieces_that_threads_compute(host: Host, models: Models) -> None:
    sent, table = asked("mixed", models)
    many = [(name, kind, [len(values) * 500, *shape[1:]], values * 500) for name, kind, shape, values in sent]
    request = request_of("mixed", many)
    assert request.ByteSize() > 200_000
    expected = answers(models["mixed"], table)
    for name, values in outputs_of(host.call("ModelInfer", request)).items():
        assert_same(name, values, np.concatenate([expected[name]] * 500))


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests(host: Host, models: Models, compression: grpc.Compression) -> None:
    sent, _ = asked("mixed", models)
    request = request_of("mixed", sent)
    plain = host.call("ModelInfer", request)
    assert host.method("ModelInfer")(request, compression=compression, timeout=TIMEOUT) == plain


def test_no_rows(host: Host) -> None:
    for typed in (False, True):
        sent: list[Any] = [("X", "FP32", [0, 4], [])]
        response = host.call("ModelInfer", request_of("bare", sent, typed=typed))
        assert [list(one.shape) for one in response.outputs] == [[0], [0]]
        assert list(response.raw_output_contents) == [b"", b""]


def test_parameters_go_where_those_of_http_go(host: Host) -> None:
    """Those that are not known change nothing; those that say where bytes lie are not the client's."""
    parameter = message_class("InferParameter")
    values = {
        "bool": parameter(bool_param=True),
        "int": parameter(int64_param=-(2**63)),
        "uint": parameter(uint64_param=2**64 - 1),
        "double": parameter(double_param=0.1),
        "string": parameter(string_param='a"\u2028\x00é🙂'),
        "binary_data_output": parameter(bool_param=False),
        "binary_data_size": parameter(int64_param=3),
        "binary_data": parameter(bool_param=False),
    }
    plain = tagged(7, outputs=[{"name": "transform"}])
    request = tagged(7, outputs=[{"name": "transform", "parameters": values}], parameters=values)
    for one in request.inputs:
        for name, value in values.items():
            one.parameters[name].CopyFrom(value)
    assert host.call("ModelInfer", request) == host.call("ModelInfer", plain)
    with stubbed(Stub(400)) as stub:
        with refused("INVALID_ARGUMENT"):
            stub.call("ModelInfer", request)
        ((_, _, body, headers),) = stub.server.seen
    head = json.loads(body[: int(headers["Inference-Header-Content-Length"])])
    sent = {"bool": True, "int": -(2**63), "uint": 2**64 - 1, "double": 0.1, "string": 'a"\u2028\x00é🙂'}
    assert head["parameters"] == {**sent, "binary_data_output": True, "binary_data_size": 3, "binary_data": False}
    assert head["outputs"][0]["parameters"] == head["parameters"] | {"binary_data_output": False, "binary_data": True}
    assert head["inputs"][0]["parameters"] == head["outputs"][0]["parameters"] | {
        "binary_data_size": 8,
        "binary_data": False,
    }


def test_parameters_of_an_answer(models: Models) -> None:
    head = {
        "model_name": "m",
        "model_version": "3",
        "parameters": {"a": True, "b": 2, "c": 0.5, "d": "x"},
        "outputs": [{"name": "o", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4, "e": 5}}],
    }
    text = json.dumps(head).encode()
    with stubbed(Stub(200, text + b"abcd", {"Inference-Header-Content-Length": str(len(text))})) as host:
        response = host.call("ModelInfer", tagged(1))
    found = {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in response.parameters.items()}
    assert found == head["parameters"]
    assert dict(response.outputs[0].parameters)["e"].int64_param == 5
    assert (response.model_version, list(response.raw_output_contents)) == ("3", [b"abcd"])


# -- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (405, "INVALID_ARGUMENT"),
        (408, "DEADLINE_EXCEEDED"),
        (413, "RESOURCE_EXHAUSTED"),
        (415, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (507, "INTERNAL"),
    ],
)
def test_each_status_of_http(status: int, code: str) -> None:
    wait = {"Retry-After": "7"} if status in (429, 503) else {}
    body = json.dumps({"error": "why: é🙂\n"}).encode()
    with stubbed(Stub(status, body, wait)) as host:
        with refused(code) as caught:
            host.call("ModelInfer", tagged(1))
        assert caught.value.details() == "why: é🙂\n"
        trailing = {name: value for name, value in caught.value.trailing_metadata() or () if name == "retry-after"}
        assert trailing == ({"retry-after": "7"} if wait else {})
        (one,) = host.method("ModelStreamInfer")(iter([tagged(1)]), timeout=TIMEOUT)
        assert one.error_message == "why: é🙂\n"


def test_what_is_no_refusal_of_ours() -> None:
    with stubbed(Stub(502, b"<html>")) as host, refused("INTERNAL", "the server answered with 502"):
        host.call("ModelInfer", tagged(1))


def test_a_fault_says_nothing_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def request(self, *_: Any) -> Answer:
            raise ValueError("4111111111111111")

    with stubbed(Broken()) as host, refused("INTERNAL", "the server has a fault") as caught:
        host.call("ModelInfer", tagged(1))
    assert "4111" not in str(caught.value)
    assert "met a fault" in caplog.text


def _broken(**changes: Any) -> Any:
    request = tagged(7)
    for name, value in changes.items():
        setattr(request, name, value)
    return request


def test_requests_that_do_not_fit(host: Host) -> None:
    for changes in ({"model_name": "nothing"}, {"model_version": "2"}, {"model_version": "01"}):
        with refused("NOT_FOUND", "expected"):
            host.call("ModelInfer", _broken(**changes))
    for name in ("", "..", "a/b", "integers/versions/1", "integers?x", "a\x00b"):
        with pytest.raises(grpc.RpcError) as caught:
            host.call("ModelInfer", _broken(model_name=name))
        assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), name
    with refused("INVALID_ARGUMENT", "expected inputs but found none"):
        host.call("ModelInfer", model_name="integers")
    with refused("INVALID_ARGUMENT", "expected a ModelInferRequest but found other bytes"):
        method_of("ModelInfer", host.channel, raw=True)(b"\xff\xff", timeout=TIMEOUT)
    with refused("UNIMPLEMENTED"):
        host.channel.unary_unary("/inference.GRPCInferenceService/ModelConfig")(b"", timeout=TIMEOUT)
    assert host.call("ModelInfer", tagged(7)).id == "7"


def _with_input(change: Callable[[Any, Any], None]) -> Any:
    request = tagged(7, rows=2)
    change(request, request.inputs[1])
    return request


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda request, one: setattr(one, "name", "c"), "expected an input of the model"),
        (lambda request, one: setattr(one, "datatype", "INT65"), "expected a datatype of the protocol"),
        (lambda request, one: setattr(one, "datatype", ""), "expected a datatype of the protocol"),
        (lambda request, one: setattr(one, "datatype", "BF16"), "expected"),
        (lambda request, one: setattr(one, "datatype", "FP16"), "input 'b': expected 2 values but found 16 bytes"),
        (lambda request, one: one.shape.append(2), "expected rows of 1 values"),
        (lambda request, one: one.shape.extend([1, 1]), "expected a shape of one or two numbers"),
        (lambda request, one: one.shape.__setitem__(0, -1), "expected a shape of numbers from 0 on"),
        (lambda request, one: one.shape.__setitem__(0, 3), "expected 2 rows"),
        (lambda request, one: one.ClearField("shape"), "expected a shape"),
        (lambda request, one: request.raw_input_contents.pop(), "expected 2 values but found 0 bytes"),
        (lambda request, one: request.raw_input_contents.append(b"x"), "found 1 bytes more"),
        (lambda request, one: request.raw_input_contents.__setitem__(1, b"x"), "expected 2 values but found 1 bytes"),
        (lambda request, one: one.contents.int64_contents.append(1), "expected either data or binary_data_size"),
        (lambda request, one: request.inputs.add().CopyFrom(one), "expected"),
    ],
)
def test_inputs_that_do_not_fit(host: Host, change: Any, match: str) -> None:
    with refused("INVALID_ARGUMENT", match):
        host.call("ModelInfer", _with_input(change))


def test_contents_that_do_not_fit(host: Host, models: Models) -> None:
    sent, _ = asked("mixed", models)
    for value in (128, -129, 2**31 - 1):
        wrong = [(n, k, s, [value] * len(v) if n == "small" else v) for n, k, s, v in sent]
        with refused("INVALID_ARGUMENT", "input 'small', row 0: expected INT8"):
            host.call("ModelInfer", request_of("mixed", wrong, typed=True))
    request = request_of("mixed", sent, typed=True)
    small = next(one for one in request.inputs if one.name == "small")
    small.contents.int64_contents.extend(small.contents.int_contents)
    small.contents.ClearField("int_contents")  # the values lie where those of another datatype belong
    with refused("INVALID_ARGUMENT", "input 'small': expected 10 values but found 0 bytes"):
        host.call("ModelInfer", request)


def test_limits(saved: Path) -> None:
    with hosting(saved / "integers.mlc", max_rows=5, options={"max_body": 1000}) as host:
        assert host.call("ModelInfer", tagged(1, rows=5))
        with refused("RESOURCE_EXHAUSTED", "expected at most 5 rows but found 6"):
            host.call("ModelInfer", tagged(1, rows=6))
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            with refused("RESOURCE_EXHAUSTED", "larger than max"):
                host.method("ModelInfer")(tagged(1, rows=100_000), compression=compression, timeout=TIMEOUT)
        assert host.call("ModelInfer", tagged(1)).id == "1"


def test_rates(saved: Path) -> None:
    with hosting(
        saved / "integers.mlc", rate=0.5, burst=2, client_header="X-User", options={"client_header": "X-User"}
    ) as host:
        for user in ("a", "b"):
            for _ in range(2):
                assert host.call("ModelInfer", tagged(1), metadata=[("x-user", user)])
            with refused("RESOURCE_EXHAUSTED", "requests a second") as caught:
                host.call("ModelInfer", tagged(1), metadata=[("x-user", user)])
            assert ("retry-after", "2") in [tuple(one) for one in caught.value.trailing_metadata()]


def test_most_calls_at_a_time(saved: Path) -> None:
    with hosting(saved / "integers.mlc", options={"max_calls": 1}) as host:
        hold = threading.Event()
        stream = host.method("ModelStreamInfer")(until(hold, tagged(1)))
        assert next(stream).infer_response.id == "1"
        with refused("RESOURCE_EXHAUSTED", "[Cc]oncurrent"):
            host.call("ServerLive")
        hold.set()
        assert list(stream) == []


# -- metadata ---------------------------------------------------------------------------------------------------


def test_tokens(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("reader-0123456789abcdef\n")
    (tmp_path / "manage").write_text("keeper-0123456789abcdef\n")
    files = {"token_file": tmp_path / "token", "manage_token_file": tmp_path / "manage"}
    reader, keeper = ([("authorization", f"Bearer {who}-0123456789abcdef")] for who in ("reader", "keeper"))
    with hosting(saved / "integers.mlc", manage=True, **files) as host:
        assert host.call("ServerLive").live
        assert host.call("ServerReady").ready
        assert host.health.Check(health_pb2.HealthCheckRequest()).status == SERVING
        model = health_pb2.HealthCheckRequest(service="integers")
        metadata_of = message_class("ModelMetadataRequest")(name="integers")
        for name, request in {"ModelInfer": tagged(1), "ModelMetadata": metadata_of, "ServerMetadata": None}.items():
            for metadata in (None, [("authorization", "Bearer x")], keeper):
                with refused("UNAUTHENTICATED"):
                    host.call(name, request, metadata=metadata)
        with refused("UNAUTHENTICATED"):
            host.health.Check(model)
        with refused("UNAUTHENTICATED"):
            next(host.health.Watch(model))
        assert host.health.Check(model, metadata=reader).status == SERVING
        assert host.call("ModelInfer", tagged(1), metadata=reader).id == "1"
        with refused("PERMISSION_DENIED"):
            host.call("RepositoryModelUnload", model_name="integers", metadata=reader)
        host.call("RepositoryModelUnload", model_name="integers", metadata=keeper)
        with refused("NOT_FOUND"):
            host.call("ModelInfer", tagged(1), metadata=reader)


def test_what_of_a_call_goes_on() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = [("authorization", "Bearer x"), ("traceparent", trace), ("x-request-timeout-ms", "0"), ("a-bin", b"\x00")]
    with stubbed(Stub(400)) as host:
        for timeout in (5.0, None):
            with refused("INVALID_ARGUMENT"):
                host.method("ModelInfer")(tagged(1), timeout=timeout, metadata=sent)
        first, second = (headers for *_, headers in host.server.seen)
    assert 0 < int(first.pop("X-Request-Timeout-Ms")) <= 5100  # gRPC rounds it on its way
    assert first == second
    del first["Inference-Header-Content-Length"]
    assert first == {"authorization": "Bearer x", "traceparent": trace}


def test_a_deadline_that_passed_while_others_were_computed() -> None:
    """It is told to the server as what is left when its turn comes."""

    class Slow(Stub):
        def request(self, method: str, target: str, body: bytes = b"", headers: Any = (), client: str = "") -> Answer:
            super().request(method, target, body, headers, client)
            time.sleep(0.3)
            return self.answer

    with stubbed(Slow(400)) as host, ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(host.method("ModelInfer"), tagged(1), timeout=0.45) for _ in range(2)]
        for call in calls:
            assert isinstance(call.exception(), grpc.RpcError)
        left = [int(headers["X-Request-Timeout-Ms"]) for *_, headers in host.server.seen]
    assert len(left) == 1 or left[1] < left[0] - 200


# -- what it says about itself ----------------------------------------------------------------------------------


def test_metadata(host: Host, models: Models) -> None:
    assert host.call("ServerLive").live
    assert host.call("ServerReady").ready
    found = host.call("ServerMetadata")
    assert (found.name, found.version, list(found.extensions)) == (
        "mlcore",
        mlcore.__version__,
        ["binary_tensor_data", "model_repository"],
    )
    for name in models:
        assert host.call("ModelReady", name=name).ready
        assert host.call("ModelReady", name=name, version="1").ready
        for version in ("", "1"):
            message = host.call("ModelMetadata", name=name, version=version)
            expected = json.loads(host.server.request("GET", f"/v2/models/{name}").body)
            assert (message.name, list(message.versions), message.platform) == (name, ["1"], "mlcore")
            for side in ("inputs", "outputs"):
                tensors = [
                    {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
                    for one in getattr(message, side)
                ]
                assert tensors == expected[side]
    assert not host.call("ModelReady", name="nothing").ready
    assert not host.call("ModelReady", name="mixed", version="2").ready
    with refused("INVALID_ARGUMENT"):
        host.call("ModelReady", name="..")
    with refused("NOT_FOUND"):
        host.call("ModelMetadata", name="nothing")


def test_the_repository(saved: Path, tmp_path: Path) -> None:
    for name in ("integers", "bare"):
        (tmp_path / f"{name}.mlc").write_bytes((saved / f"{name}.mlc").read_bytes())

    def states(host: Host, **fields: Any) -> dict[str, tuple[str, str]]:
        return {one.name: (one.version, one.state) for one in host.call("RepositoryIndex", **fields).models}

    with hosting(tmp_path, manage=True) as host:
        assert states(host) == {"integers": ("1", "READY"), "bare": ("1", "READY")}
        parameter = message_class("ModelRepositoryParameter")
        parameters = {"unload_dependents": parameter(bool_param=False), "file:1/x": parameter(bytes_param=b"\x00")}
        host.call("RepositoryModelUnload", model_name="integers", parameters=parameters)
        assert states(host) == {"integers": ("1", "UNAVAILABLE"), "bare": ("1", "READY")}
        assert states(host, ready=True) == {"bare": ("1", "READY")}
        assert not host.call("ModelReady", name="integers").ready
        with refused("NOT_FOUND"):
            host.call("ModelInfer", tagged(1))
        host.call("RepositoryModelLoad", model_name="integers", parameters=parameters)
        assert host.call("ModelInfer", tagged(1)).id == "1"
        with refused("NOT_FOUND"):
            host.call("RepositoryModelLoad", model_name="nothing")
        (tmp_path / "bare.mlc").write_bytes(b"no model")
        with pytest.raises(grpc.RpcError, match="bare"):
            host.call("RepositoryModelLoad", model_name="bare")
    with hosting(saved / "integers.mlc") as host, refused("PERMISSION_DENIED", "--manage"):
        host.call("RepositoryModelUnload", model_name="integers")


def test_reflection(host: Host) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(host.channel)
    symbols = ["inference.GRPCInferenceService", "inference.ModelInferRequest", "grpc.health.v1.Health", "a.B"]
    requests = [reflection_pb2.ServerReflectionRequest(list_services="")]
    requests += [reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols]
    services, *files, missing = stub.ServerReflectionInfo(iter(requests))
    assert {one.name for one in services.list_services_response.service} == {
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    names = []
    for file in files:
        (raw,) = file.file_descriptor_response.file_descriptor_proto
        names.append(descriptor_pb2.FileDescriptorProto.FromString(raw).name)
    assert names == ["inference.proto", "inference.proto", health_pb2.DESCRIPTOR.name]
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    newer = host.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = newer(iter(requests[:1]))
    assert answer == services


def test_health_follows_the_models(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlcore.serving.grpc_host._WATCH_SECONDS", 0.05)

    def check(host: Host, service: str) -> int:
        return int(host.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT).status)

    with hosting(saved / "integers.mlc", saved / "bare.mlc", manage=True) as host:
        everything = ("", "inference.GRPCInferenceService")
        watches = {
            service: host.health.Watch(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT)
            for service in ("", "integers", "nothing")
        }
        assert {service: next(watch).status for service, watch in watches.items()} == {
            "": SERVING,
            "integers": SERVING,
            "nothing": UNKNOWN,
        }
        assert [check(host, service) for service in (*everything, "integers", "bare")] == [SERVING] * 4
        with refused("NOT_FOUND"):
            check(host, "nothing")
        host.call("RepositoryModelUnload", model_name="integers")
        assert next(watches["integers"]).status == UNKNOWN
        with refused("NOT_FOUND"):
            check(host, "integers")
        assert [check(host, service) for service in (*everything, "bare")] == [SERVING] * 3
        host.call("RepositoryModelUnload", model_name="bare")
        assert [check(host, service) for service in everything] == [NOT_SERVING] * 2
        assert not host.call("ServerReady").ready
        assert next(watches[""]).status == NOT_SERVING
        host.call("RepositoryModelLoad", model_name="integers")
        assert next(watches["integers"]).status == SERVING
        assert next(watches[""]).status == SERVING
        began = time.monotonic()
        host.do(host.host.stop(TIMEOUT))  # those who watch hold up nothing, and are told
        assert time.monotonic() - began < 2
        assert {name: [one.status for one in watch] for name, watch in watches.items()} == {
            "": [NOT_SERVING],
            "integers": [NOT_SERVING],
            "nothing": [NOT_SERVING],
        }


# -- many requests ----------------------------------------------------------------------------------------------


def test_streaming(host: Host, models: Models) -> None:
    """An answer each, in order, whatever its size; a refusal does not end the stream."""
    requests = []
    for tag in range(60):
        request = tagged(tag, rows=20_000 if tag % 20 == 3 else 1 + tag % 3)
        if tag % 7 == 5:
            request.inputs[0].name = "c"
        if tag % 11 == 6:
            request.model_name = "nothing"
        requests.append(request)
    found = list(host.method("ModelStreamInfer")(iter(requests), timeout=TIMEOUT))
    assert len(found) == len(requests)
    for tag, (request, one) in enumerate(zip(requests, found, strict=True)):
        inner = one.infer_response
        assert inner.id == str(tag)
        assert inner.model_name == request.model_name
        assert {name: value.bool_param for name, value in inner.parameters.items()} == {"triton_final_response": True}
        if tag % 7 == 5 or tag % 11 == 6:
            assert one.error_message
            assert not inner.outputs
        else:
            assert one.error_message == ""
            assert (outputs_of(inner)["transform"] == tag).all()
    with refused("INVALID_ARGUMENT", "other bytes"):
        list(method_of("ModelStreamInfer", host.channel, raw=True)(iter([b"\xff\xff"]), timeout=TIMEOUT))


def test_a_stream_that_its_client_leaves(host: Host) -> None:
    hold = threading.Event()
    stream = host.method("ModelStreamInfer")(until(hold, tagged(1)))
    assert next(stream).infer_response.id == "1"
    stream.cancel()
    hold.set()
    assert host.call("ModelInfer", tagged(2)).id == "2"


def test_tagged_requests_never_mix(host: Host) -> None:
    """200 at a time, one in ten of them bad, and some so large that threads compute them."""

    async def ask(method: Any, tag: int) -> None:
        rows = 6000 if tag % 25 == 7 else 1 + tag % 5
        request = tagged(tag, rows=rows)
        if tag % 10 == 3:
            request.inputs[1].name = f"bad{tag}"
            with refused("INVALID_ARGUMENT", f"'bad{tag}'"):
                await method(request, timeout=TIMEOUT)
            return
        response = await method(request, timeout=TIMEOUT)
        assert response.id == str(tag)
        values = outputs_of(response)["transform"]
        assert values.shape == (rows, 2)
        assert (values == tag).all()

    async def everyone() -> None:
        async with grpc.aio.insecure_channel(host.address) as channel:
            method = method_of("ModelInfer", channel)
            tags = list(range(200))
            random.Random(0).shuffle(tags)
            await asyncio.gather(*(ask(method, tag) for tag in tags))

    asyncio.run(everyone())


# -- start and end ----------------------------------------------------------------------------------------------


def test_the_end_waits_for_what_has_begun(saved: Path) -> None:
    """Calls in threads are answered; streams that wait are told; new calls are not taken."""

    class Slow:
        def __init__(self, server: Server) -> None:
            self.server, self.begun = server, threading.Semaphore(0)

        def request(self, method: str, target: str, body: bytes = b"", headers: Any = (), client: str = "") -> Answer:
            if len(body) > 64 << 10:
                self.begun.release()
                time.sleep(0.5)
            return self.server.request(method, target, body, headers, client)

    hold = threading.Event()
    with mlcore.serve(saved / "integers.mlc", port=0) as server:
        slow = Slow(server)
        host = Host(slow)
        stream = host.method("ModelStreamInfer")(until(hold, tagged(7)), timeout=TIMEOUT)
        assert next(stream).infer_response.id == "7"
        services = reflection_pb2_grpc.ServerReflectionStub(host.channel).ServerReflectionInfo(
            until(hold, reflection_pb2.ServerReflectionRequest(list_services=""))
        )
        assert next(services).HasField("list_services_response")
        with ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(host.call, "ModelInfer", tagged(tag, rows=10_000)) for tag in (1, 2)]
            assert all(slow.begun.acquire(timeout=TIMEOUT) for _ in calls)
            began = time.monotonic()
            host.do(host.host.stop(TIMEOUT))
            assert 0.2 < time.monotonic() - began < 10
            assert [call.result().id for call in calls] == ["1", "2"]
        with refused("UNAVAILABLE"):
            host.call("ServerLive")
        for waiting in (stream, services):
            with refused("UNAVAILABLE", "the server is stopping"):
                next(waiting)
        hold.set()
        assert server.request("GET", "/v2/health/ready").status == 200  # HTTP goes on
        host.close()


def test_a_server_that_was_closed_first(saved: Path) -> None:
    with mlcore.serve(saved / "integers.mlc", port=0) as server:
        host = Host(server)
    with refused("UNAVAILABLE", "expected a running server"):
        host.call("ModelInfer", tagged(1))
    host.close()


def test_a_port_that_is_taken(host: Host) -> None:
    async def second() -> None:
        await serve_grpc(host.server, port=host.host.port)

    with pytest.raises(ArtifactIOError, match=f"expected to listen on 127.0.0.1:{host.host.port}"):
        asyncio.run(second())


def _serve(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlcore", "serve", *(str(part) for part in arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_command(saved: Path, tmp_path: Path) -> None:
    """Both protocols in one process of Python, which SIGTERM ends when what has begun is answered."""
    (tmp_path / "bad.mlc").write_bytes(b"no model")
    process = _serve(saved / "integers.mlc", tmp_path / "bad.mlc", "--port", 0, "--grpc-port", 0, "--drain-timeout", 9)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        urls = [process.stdout.readline().removeprefix("listening on ").strip() for _ in range(2)]
        assert urls[0].startswith("http://127.0.0.1:")
        assert urls[1].startswith("grpc://127.0.0.1:")
        with grpc.insecure_channel(urls[1].removeprefix("grpc://")) as channel:
            method = method_of("ModelInfer", channel)
            assert method(tagged(1), timeout=TIMEOUT).id == "1"
            calls = [method.future(tagged(tag, rows=200_000), timeout=TIMEOUT) for tag in range(4)]
            time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            codes = {call.code() for call in calls}
        assert grpc.StatusCode.OK in codes
        assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        assert process.wait(TIMEOUT) == 0
        assert process.stderr.read().startswith("mlcore serve: bad: ")
        assert process.stdout.read() == ""


@pytest.mark.parametrize(
    ("options", "code", "match"),
    [
        (["--grpc-port", "0", "--grpc-host", "not an address"], 1, "mlcore serve: expected to listen on"),
        (["--grpc-port", "0", "--max-rows", "-1"], 1, "mlcore serve: --max-rows: expected a number"),
        (["--grpc-host", "::1"], 1, "mlcore serve: --grpc-host: expected --grpc-port"),
        (["--grpc-port", "many"], 2, "--grpc-port"),
    ],
)
def test_bad_options_are_named(
    saved: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, match: str
) -> None:
    arguments = ["serve", str(saved / "integers.mlc"), "--port", "0", *options]
    if code == 2:
        with pytest.raises(SystemExit):
            main(arguments)
    else:
        assert main(arguments) == code
    printed = capsys.readouterr()
    assert match in printed.err
    assert printed.out == ""


def test_without_grpcio_the_message_says_what_to_install(
    saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("grpc", "grpc_health.v1.health_pb2", "grpc_reflection.v1alpha.reflection"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            assert main(["serve", str(saved / "integers.mlc"), "--port", "0", "--grpc-port", "0"]) == 1
        assert "pip install 'mlcore[grpc]'" in capsys.readouterr().err


# -- the page ---------------------------------------------------------------------------------------------------


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, model = run_grpc_page(tmp_path, monkeypatch)
    frame = pd.DataFrame(
        {"amount": 12.5, "balance": np.nan, "age_of_card": 900, "velocity": np.float32(0.5), "merchant": "grocery"}
        | {"country": "NL", "channel": "chip", "is_recurring": True, "time": pd.Timestamp("2026-01-01", tz="UTC")},
        index=[0],
    ).astype({"velocity": np.float32, "time": "datetime64[us, UTC]"})
    found = np.array([np.float32(text) for text in printed.splitlines()[-1].split()])
    assert_same("page", found, model.predict_proba(frame)[0])
