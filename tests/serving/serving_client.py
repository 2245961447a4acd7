"""Talking to the server: requests and answers, raw bytes, and the encodings of a table that clients use."""

from __future__ import annotations

import http.client
import json
import math
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

import mlcore
import numpy as np
from mlcore.serving import ServerProcess

__all__ = ["Answer", "Client", "assert_same", "exchange", "responses", "v2_binary", "v2_json", "v2_outputs"]

TIMEOUT = 20.0
NUMPY = {
    "BOOL": np.dtype(bool),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of a refusal, whose form is the same for all of them."""
        assert self.headers["content-type"] == "application/json", self
        (name, message), *more = self.json.items()
        assert (name, more) == ("error", []), self
        assert message, self
        return str(message)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


class Client:
    """One connection that is kept alive."""

    def __init__(self, server: ServerProcess) -> None:
        self.connection = (
            _UnixConnection(server.url.removeprefix("unix:"))
            if server.port is None
            else http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        data = body.encode() if isinstance(body, str) else body
        self.connection.request(method, path, data, headers or {})
        answer = self.connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: object, *, type: str = "application/json", **headers: str) -> Answer:
        """Post bytes or text as they are, and anything else as JSON (NaN and infinities as bare words)."""
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, data, {"Content-Type": type, **named})

    def rows(self, model: str, rows: Any, outputs: list[str] | None = None) -> Answer:
        body = rows if outputs is None else {"rows": rows, "outputs": outputs}
        return self.post(f"/v1/models/{model}/rows", body)

    def infer(self, model: str, body: object) -> Answer:
        return self.post(f"/v2/models/{model}/infer", body)

    def index(self) -> dict[tuple[str, str], dict[str, str]]:
        """The models that the server knows, by name and version."""
        answer = self.post("/v2/repository/index", {})
        assert answer.status == 200, answer
        return {(one["name"], one["version"]): one for one in answer.json}


# -- raw bytes --------------------------------------------------------------------------------------------------


def exchange(server: ServerProcess, *parts: bytes, pause: float = 0.0, timeout: float = TIMEOUT) -> bytes:
    """Send the parts and read until the server closes; TimeoutError when it does not."""
    assert server.port is not None
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            try:
                sock.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                break  # it answered and closed before it had read everything
            time.sleep(pause)
        found = []
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                chunk = sock.recv(65536)
            except ConnectionResetError:
                break
            if not chunk:
                break
            found.append(chunk)
        return b"".join(found)


def responses(raw: bytes) -> list[Answer]:
    """All answers in what came over one connection; their lengths must be stated."""
    found = []
    while raw:
        head, separator, rest = raw.partition(b"\r\n\r\n")
        assert separator, raw
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers["content-length"])
        assert len(rest) >= length, raw
        found.append(Answer(int(first.split()[1]), headers, rest[:length]))
        raw = rest[length:]
    return found


# -- KServe V2 --------------------------------------------------------------------------------------------------


def _columns(model: mlcore.Model, rows: list[dict[str, Any]]) -> list[tuple[str, str, str, list[Any]]]:
    """Name, type, name of the mask and values of every input that is a column."""
    inputs = model.core.tensors["inputs"]
    return [(one["name"], one["type"], one["valid"], [row[one["name"]] for row in rows]) for one in inputs]


def v2_json(model: mlcore.Model, rows: list[dict[str, Any]], *, nested: bool = False) -> dict[str, Any]:
    """Tensors with their data as JSON; null is a missing value."""
    inputs = []
    for name, type, _, values in _columns(model, rows):
        shape = [len(rows), 1] if nested else [len(rows)]
        inputs.append({"name": name, "datatype": type, "shape": shape, "data": values})
    return {"inputs": inputs}


def _packed(type: str, values: list[Any]) -> bytes:
    if type == "BYTES":
        texts = [("" if value is None else value).encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    dtype = NUMPY.get(type) or np.dtype(type.lower())
    return np.array([0 if value is None else value for value in values], dtype).tobytes()


def v2_binary(
    model: mlcore.Model, rows: list[dict[str, Any]], *, binary_output: bool = True
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the same with binary tensors, and a mask where something is missing."""
    inputs: list[dict[str, Any]] = []
    data = b""

    def add(name: str, type: str, values: list[Any]) -> None:
        nonlocal data
        packed = _packed(type, values)
        data += packed
        parameters = {"binary_data_size": len(packed)}
        inputs.append({"name": name, "datatype": type, "shape": [len(rows), 1], "parameters": parameters})

    for name, type, valid, values in _columns(model, rows):
        add(name, type, values)
        if any(value is None for value in values):
            add(valid, "BOOL", [value is not None for value in values])
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": binary_output}}).encode()
    return head + data, {"Inference-Header-Content-Length": str(len(head))}


def _unpacked(type: str, data: bytes) -> np.ndarray:
    if type != "BYTES":
        return np.frombuffer(data, NUMPY.get(type) or np.dtype(type.lower()))
    texts, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        texts.append(data[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return np.array(texts, dtype=object)


def v2_outputs(answer: Answer) -> dict[str, np.ndarray]:
    """The tensors of an answer by name, in its shapes, whichever way they came."""
    assert answer.status == 200, answer
    length = answer.headers.get("inference-header-content-length")
    head = json.loads(answer.body if length is None else answer.body[: int(length)])
    rest = b"" if length is None else answer.body[int(length) :]
    found = {}
    for one in head["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size")
        if size is None:
            dtype = object if one["datatype"] == "BYTES" else NUMPY.get(one["datatype"], one["datatype"].lower())
            values = np.array(flat(one["data"]), dtype)
        else:
            values, rest = _unpacked(one["datatype"], rest[:size]), rest[size:]
        assert values.size == math.prod(one["shape"]), one
        found[one["name"]] = values.reshape(one["shape"])
    assert not rest, answer
    return found


# -- comparing --------------------------------------------------------------------------------------------------


def flat(value: Any) -> list[Any]:
    """The values of an answer in order: objects by name, lists by position; NaN and infinities come in quotes."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [inner for one in value for inner in flat(one)]
    return [value]


def assert_same(name: str, found: Any, expected: np.ndarray) -> None:
    """The same values, bit by bit, every NaN being the same NaN; text by its characters."""
    values = found.ravel().tolist() if isinstance(found, np.ndarray) else flat(found)
    assert len(values) == expected.size, (name, values, expected)
    if expected.dtype.kind in "OU":
        assert values == [str(value) for value in expected.ravel()], name
        return
    if expected.dtype.kind in "iub":
        assert all(isinstance(value, bool if expected.dtype.kind == "b" else int) for value in values), (name, values)
        assert values == expected.ravel().tolist(), name
        return
    if isinstance(found, np.ndarray):
        assert found.dtype == expected.dtype, (name, found.dtype)
    numbers = np.array([float(value) for value in values], np.float64).astype(expected.dtype)
    same = np.where(np.isnan(numbers), np.nan, numbers).astype(expected.dtype)
    wanted = np.where(np.isnan(expected), np.nan, expected).astype(expected.dtype)
    assert same.tobytes() == wanted.tobytes(), (name, numbers, expected)
