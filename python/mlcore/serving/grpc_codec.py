"""Messages of the Open Inference Protocol as requests of HTTP's V2, and V2's answers as messages.

Nothing is checked here: what does not fit is handed on in a form that the server refuses with its own words.
"""

from __future__ import annotations

import functools
import json
import struct
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from mlcore._optional import import_optional
from mlcore.serving.server import Answer

__all__ = ["METHODS", "SERVICE", "Call", "Method", "make_pool", "message_class", "refusal_of"]

SERVICE = "inference.GRPCInferenceService"
# the serialized form of inference.proto: whatever protobuf is installed reads it, where protoc's Python would ask for
# its own version
_PROTOCOL = Path(__file__).with_name("inference.binpb")
_PURPOSE = "serving over gRPC"
_LENGTH = "Inference-Header-Content-Length"

# datatype -> the field with its values, and struct's letter of one
_CONTENTS = {
    "BOOL": ("bool_contents", "?"),
    "INT8": ("int_contents", "b"),
    "INT16": ("int_contents", "h"),
    "INT32": ("int_contents", "i"),
    "INT64": ("int64_contents", "q"),
    "UINT8": ("uint_contents", "B"),
    "UINT16": ("uint_contents", "H"),
    "UINT32": ("uint_contents", "I"),
    "UINT64": ("uint64_contents", "Q"),
    "FP32": ("fp32_contents", "f"),
    "FP64": ("fp64_contents", "d"),
}
# status of HTTP -> name of gRPC's; further ones by their class
_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


# -- the protocol's messages ------------------------------------------------------------------------------------


def make_pool(*more: bytes) -> Any:
    """A pool of descriptors with the protocol and ``more`` files.

    Never the pool that all share: there the files of other clients and servers of the protocol would clash with ours.
    """
    descriptors = import_optional("google.protobuf.descriptor_pb2", _PURPOSE)
    pool = import_optional("google.protobuf.descriptor_pool", _PURPOSE).DescriptorPool()
    (protocol,) = descriptors.FileDescriptorSet.FromString(_PROTOCOL.read_bytes()).file
    for file in (protocol.SerializeToString(), *more):
        pool.AddSerializedFile(file)
    return pool


@functools.cache
def _classes() -> dict[str, Any]:
    factory = import_optional("google.protobuf.message_factory", _PURPOSE)
    types = make_pool().FindFileByName("inference.proto").message_types_by_name
    return {name: factory.GetMessageClass(found) for name, found in types.items()}


def message_class(name: str) -> Any:
    """The class of a message, such as ``ModelInferRequest``."""
    return _classes()[name]


# -- requests ---------------------------------------------------------------------------------------------------


class Call(NamedTuple):
    """A request as `Server.request` takes it."""

    method: str
    target: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def _model(name: str, version: str, what: str = "") -> str:
    middle = f"/versions/{quote(version, safe='')}" if version else ""
    return f"/v2/models/{quote(name, safe='')}{middle}{what}"


def _parameters(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON; one without a value is null."""
    found = {}
    for name, value in sent.items():
        choice = value.WhichOneof("parameter_choice")
        chosen = None if choice is None else getattr(value, choice)
        found[name] = b64encode(chosen).decode() if isinstance(chosen, bytes) else chosen  # as V2 has files in JSON
    return found


def _packed(values: Iterable[bytes]) -> bytes:
    return b"".join(part for value in values for part in (struct.pack("<I", len(value)), value))


def _contents(tensor: Any) -> bytes | list[int]:
    """Typed contents as bytes; integers that the datatype cannot hold as they are, for JSON."""
    if tensor.datatype == "BYTES":
        return _packed(tensor.contents.bytes_contents)
    field, letter = _CONTENTS.get(tensor.datatype, ("bool_contents", "?"))
    values = getattr(tensor.contents, field)
    try:
        return struct.pack(f"<{len(values)}{letter}", *values)
    except struct.error:
        return list(values)


def _infer(request: Any) -> Call:
    inputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    raws = list(request.raw_input_contents)
    for tensor, raw in zip_longest(request.inputs, raws[: len(request.inputs)]):
        parameters = _parameters(tensor.parameters) if tensor.parameters else {}
        parameters.pop("binary_data_size", None)
        one = {"name": tensor.name, "datatype": tensor.datatype, "shape": [*tensor.shape], "parameters": parameters}
        values = _contents(tensor) if raw is None else raw
        if isinstance(values, list):
            one["data"] = values
        else:
            parameters["binary_data_size"] = len(values)
            parts.append(values)
        if raw is not None and tensor.HasField("contents") and tensor.contents.ByteSize() > 0:
            one["data"] = []  # it came both ways, which the server refuses
        inputs.append(one)
    head: dict[str, Any] = {"inputs": inputs}
    if request.id:
        head["id"] = request.id
    if request.outputs:
        head["outputs"] = [
            {"name": one.name, "parameters": {**_parameters(one.parameters), "binary_data": True}}
            for one in request.outputs
        ]
    head["parameters"] = {**_parameters(request.parameters), "binary_data_output": True}
    text = json.dumps(head).encode()
    body = b"".join([text, *parts, *raws[len(inputs) :]])
    return Call("POST", _model(request.model_name, request.model_version, "/infer"), body, ((_LENGTH, str(len(text))),))


def _manage(what: str, request: Any) -> Call:
    body = json.dumps({"parameters": _parameters(request.parameters)}).encode()
    return Call("POST", f"/v2/repository/models/{quote(request.model_name, safe='')}/{what}", body)


def _index(request: Any) -> Call:
    return Call("POST", "/v2/repository/index", b'{"ready":true}' if request.ready else b"{}")


# -- answers ----------------------------------------------------------------------------------------------------


def _error_of(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered with {answer.status}"


def refusal_of(answer: Answer) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """The name of gRPC's status, the message, and metadata of an answer that is a refusal."""
    code = _CODES.get(answer.status) or ("INTERNAL" if answer.status >= 500 else "INVALID_ARGUMENT")
    wait = answer.headers.get("Retry-After")
    return code, _error_of(answer), () if wait is None else (("retry-after", wait),)


def _set_parameters(target: Any, values: Mapping[str, Any]) -> None:
    kinds: dict[type, str] = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    for name, value in values.items():
        setattr(target[name], kinds[type(value)], value)


def _fill_inferred(message: Any, answer: Answer) -> None:
    length = int(answer.headers.get(_LENGTH, len(answer.body)))
    head = json.loads(answer.body[:length])
    message.model_name, message.model_version = head["model_name"], head["model_version"]
    message.id = head.get("id", "")
    _set_parameters(message.parameters, head.get("parameters", {}))
    at = length
    for one in head["outputs"]:
        output = message.outputs.add(name=one["name"], datatype=one["datatype"], shape=one["shape"])
        parameters = one["parameters"]
        size = parameters.pop("binary_data_size")
        _set_parameters(output.parameters, parameters)
        message.raw_output_contents.append(answer.body[at : at + size])
        at += size


def _fill_streamed(message: Any, answer: Answer, request: Any) -> None:
    """As Triton does it: a refusal is a message of the stream, which names its request; and each answer is the last."""
    inner = message.infer_response
    if answer.status == 200:
        _fill_inferred(inner, answer)
    else:
        message.error_message = _error_of(answer)
        inner.id, inner.model_name, inner.model_version = request.id, request.model_name, request.model_version
    inner.parameters["triton_final_response"].bool_param = True


def _fill_index(message: Any, answer: Answer, _: Any) -> None:
    for one in json.loads(answer.body):
        message.models.add(**one)


def _merge(message: Any, answer: Answer) -> None:
    message.MergeFrom(type(message)(**json.loads(answer.body)))


# -- methods ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """One method of the service.

    Attributes
    ----------
    encode : callable
        From its message to a request.
    fill : callable
        Writes an answer into its response: ``fill(message, answer, request)``.
    answers : set of int or None
        The statuses that `fill` takes; others are refusals. None: all.
    is_long : bool
        Whether it holds up others for longer than a handover to a thread costs, whatever its size.
    request, response : str
        The names of its messages.
    """

    request: str
    response: str
    encode: Callable[[Any], Call]
    fill: Callable[[Any, Answer, Any], None]
    answers: frozenset[int] | None = frozenset({200})
    is_long: bool = False


def _whether(name: str, encode: Callable[[Any], Call]) -> Method:
    """A question whose answer is yes or no: no to what there is not (404), and to what is not ready (503)."""
    field = "live" if name == "ServerLive" else "ready"

    def fill(message: Any, answer: Answer, _: Any) -> None:
        setattr(message, field, answer.status == 200)

    return Method(f"{name}Request", f"{name}Response", encode, fill, frozenset({200, 404, 503}))


def _tell(name: str, encode: Callable[[Any], Call]) -> Method:
    return Method(f"{name}Request", f"{name}Response", encode, lambda message, answer, _: _merge(message, answer))


def _change(name: str, what: str) -> Method:
    messages = f"{name}Request", f"{name}Response"
    return Method(*messages, functools.partial(_manage, what), lambda *_: None, is_long=True)


METHODS = {
    "ServerLive": _whether("ServerLive", lambda _: Call("GET", "/v2/health/live")),
    "ServerReady": _whether("ServerReady", lambda _: Call("GET", "/v2/health/ready")),
    "ModelReady": _whether("ModelReady", lambda one: Call("GET", _model(one.name, one.version, "/ready"))),
    "ServerMetadata": _tell("ServerMetadata", lambda _: Call("GET", "/v2")),
    "ModelMetadata": _tell("ModelMetadata", lambda one: Call("GET", _model(one.name, one.version))),
    "ModelInfer": Method(
        "ModelInferRequest", "ModelInferResponse", _infer, lambda message, answer, _: _fill_inferred(message, answer)
    ),
    "ModelStreamInfer": Method("ModelInferRequest", "ModelStreamInferResponse", _infer, _fill_streamed, None),
    "RepositoryIndex": Method("RepositoryIndexRequest", "RepositoryIndexResponse", _index, _fill_index),
    "RepositoryModelLoad": _change("RepositoryModelLoad", "load"),
    "RepositoryModelUnload": _change("RepositoryModelUnload", "unload"),
}
