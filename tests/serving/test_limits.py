"""What a client may not have: long bodies, deep ones, many rows, slow heads, endless connections."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlcore
import pytest
from mlcore.serving import ServerProcess, spawn
from serving_client import Client, exchange, responses
from serving_models import WORDS

BODY = 100_000
ROW = WORDS[0]


@pytest.fixture(scope="module")
def small(saved: Path) -> Iterator[ServerProcess]:
    """A server with small limits."""
    options: dict[str, Any] = {"max_body": BODY, "max_header": 4096, "max_rows": 100, "max_depth": 6}
    times: dict[str, Any] = {"header_timeout": 1, "read_timeout": 1, "idle_timeout": 2}
    with spawn(saved / "words.mlc", saved / "bare.mlc", loops=1, **options, **times) as server:
        yield server
        with Client(server) as client:
            assert client.rows("words", [ROW]).status == 200  # after all that it still answers


def _post(size: int, *, close: bool = True, path: str = "/v1/models/words/rows") -> bytes:
    more = "Connection: close\r\n" if close else ""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return f"{head}{more}Content-Length: {size}\r\n\r\n".encode()


def test_a_body_up_to_the_limit(small: ServerProcess) -> None:
    text = json.dumps([ROW]).encode()
    with Client(small) as client:
        assert client.post("/v1/models/words/rows", text.ljust(BODY)).status == 200
        answer = client.post("/v1/models/words/rows", text.ljust(BODY + 1))
        assert answer.status == 413, answer
        assert answer.error
        assert client.rows("words", [ROW]).status == 200


@pytest.mark.parametrize("size", [BODY + 1, 2**31, 2**32, 2**63 - 1])
def test_a_long_body_is_refused_before_it_comes(small: ServerProcess, size: int) -> None:
    (answer,) = responses(exchange(small, _post(size)))
    assert answer.status == 413
    assert answer.error


def test_chunks_are_counted(small: ServerProcess) -> None:
    head = _post(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked").replace(b"Connection: close\r\n", b"")
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    (answer,) = responses(exchange(small, head, *[chunk] * 200))
    assert answer.status == 413, answer
    # one that says that it is huge, and many that hold one byte
    (answer,) = responses(exchange(small, head + b"7fffffffffffffff\r\n" + b" " * 100))
    assert answer.status in (400, 413), answer
    tiny = b"1\r\n \r\n" * (BODY + 1)
    (answer,) = responses(exchange(small, head, tiny))
    assert answer.status == 413, answer
    # extensions are no way around the limit
    (answer,) = responses(exchange(small, head, b"1;" + b"x" * 200_000 + b"\r\n \r\n0\r\n\r\n"))
    assert answer.status in (400, 413, 431), answer
    # nor are trailers
    (answer,) = responses(exchange(small, head, b"0\r\n" + b"A: b\r\n" * 50_000 + b"\r\n"))
    assert answer.status in (400, 413, 431), answer


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_does_not_unfold(small: ServerProcess, coding: str) -> None:
    """A megabyte that becomes a gigabyte: refused by its length, or as soon as it has unfolded to the limit."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if coding == "gzip" else 15)
    zeros = b" " * 2**20
    bomb = b"".join(packer.compress(zeros) for _ in range(90)) + packer.flush()
    assert len(bomb) < BODY
    with Client(small) as client:
        before = _resident(small)
        start = time.monotonic()
        answer = client.post("/v1/models/words/rows", bomb, Content_Encoding=coding)
        assert answer.status == 413, answer
        assert answer.error
        assert time.monotonic() - start < 2
        assert _resident(small) - before < 16 * 2**20


def test_a_bomb_against_the_usual_limits(client: Client, server: ServerProcess) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first, again = (packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    bomb = first + again * 1000  # the checksum at its end is never reached
    assert 500_000 < len(bomb) < 2_000_000
    before = _resident(server)
    answer = client.post("/v1/models/words/rows", bomb, Content_Encoding="gzip")
    assert answer.status == 413, answer
    assert _resident(server) - before < 200 * 2**20


def _resident(server: ServerProcess) -> int:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("expected VmRSS in the status of the process")


@pytest.mark.parametrize("cut", [0, 5, 12, -1, -5])
def test_damaged_compression(small: ServerProcess, cut: int) -> None:
    packed = bytearray(gzip.compress(json.dumps([ROW]).encode()))
    if cut >= 0:
        del packed[cut:]
    else:
        packed[cut] ^= 0x55
    with Client(small) as client:
        answer = client.post("/v1/models/words/rows", bytes(packed), Content_Encoding="gzip")
        assert answer.status == 400, answer
        trailing = gzip.compress(json.dumps([ROW]).encode()) + b"more"
        assert client.post("/v1/models/words/rows", trailing, Content_Encoding="gzip").status == 400


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip, br", "x"])
def test_other_codings(small: ServerProcess, coding: str) -> None:
    with Client(small) as client:
        answer = client.post("/v1/models/words/rows", b"[]", Content_Encoding=coding)
        assert answer.status == 415, answer
        assert answer.error


@pytest.mark.parametrize(
    "text",
    ["[" * 7, "[" * 50_000, '{"a":' * 7 + "1" + "}" * 7, "[" * 40_000 + "]" * 40_000, '[{"amount": [[[[[1]]]]]}]'],
    ids=["7 open", "50,000 open", "objects", "closed", "in a value"],
)
def test_depth(small: ServerProcess, text: str) -> None:
    with Client(small) as client:
        for path in (
            "/v1/models/words/rows",
            "/v2/models/words/infer",
            "/v1/models/words:predict",
            "/predictions/words",
        ):
            answer = client.post(path, text)
            assert answer.status == 400, answer
            assert "6" in answer.error


def test_rows_up_to_the_limit(small: ServerProcess) -> None:
    with Client(small) as client:
        assert client.rows("words", [ROW] * 100).status == 200
        tensor = {"name": "X", "datatype": "FP32", "shape": [101, 4], "data": [0] * 404}
        for path, body in (
            ("/v1/models/words/rows", [ROW] * 101),
            ("/v1/models/words:predict", {"instances": [ROW] * 101}),
            ("/v1/models/words:predict", {"inputs": {"amount": [1] * 101, "rate": [1] * 101}}),
            ("/v2/models/bare/infer", {"inputs": [tensor]}),
            ("/predictions/words", [ROW] * 101),
        ):
            answer = client.post(path, body)
            assert answer.status == 413, (path, answer)
            assert answer.error


@pytest.mark.parametrize(
    "head",
    [
        b"GET /ping HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000 + b"\r\n\r\n",
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"A" * 5000,
    ],
    ids=["header", "target", "headers", "method"],
)
def test_a_long_head(small: ServerProcess, head: bytes) -> None:
    (answer,) = responses(exchange(small, head))
    assert answer.status in (400, 431), answer
    if b"X: " in head or b"A: b" in head:
        assert answer.status == 431


def _slow(server: ServerProcess, *parts: bytes, pause: float) -> tuple[list[int], float]:
    start = time.monotonic()
    found = responses(exchange(server, *parts, pause=pause, timeout=10))
    return [answer.status for answer in found], time.monotonic() - start


def test_a_slow_head(small: ServerProcess) -> None:
    """A byte now and then does not keep a connection open."""
    statuses, seconds = _slow(small, *[bytes([c]) for c in b"GET /ping HTTP/1.1\r\n"], pause=0.1)
    assert statuses in ([], [408])
    assert seconds < 5


def test_a_slow_body(small: ServerProcess) -> None:
    statuses, seconds = _slow(small, _post(50), *[b" "] * 20, pause=0.1)
    assert statuses == [408]
    assert seconds < 5


def test_a_body_that_never_comes(small: ServerProcess) -> None:
    statuses, seconds = _slow(small, _post(50), pause=0)
    assert statuses == [408]
    assert 0.5 < seconds < 5


def test_a_connection_without_requests(small: ServerProcess) -> None:
    statuses, seconds = _slow(small, b"", pause=0)
    assert statuses in ([], [408])
    assert seconds < 6
    statuses, seconds = _slow(small, b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n", pause=0)
    assert statuses in ([200], [200, 408])
    assert 1 < seconds < 6


def test_connections_up_to_the_limit(start: Callable[..., ServerProcess], saved: Path) -> None:
    """One too many is closed, perhaps with a 503; when another has gone there is room again."""
    server = start(saved / "words.mlc", max_connections=4, loops=1)
    assert server.port is not None
    kept = [Client(server) for _ in range(4)]
    assert [client.get("/ping").status for client in kept] == [200] * 4
    try:
        found = exchange(server, b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n", timeout=3)
    except ConnectionError:
        found = b""
    assert b" 200 " not in found
    kept.pop().__exit__()
    deadline = time.monotonic() + 5
    while True:
        with Client(server) as client:
            try:
                assert client.get("/ping").status in (200, 503)
                break
            except (TimeoutError, ConnectionError):
                assert time.monotonic() < deadline
                time.sleep(0.02)
    for client in kept:
        assert client.get("/ping").status == 200
        client.__exit__()


def test_a_client_that_does_not_read(small: ServerProcess, models: dict[str, mlcore.Model]) -> None:
    """It is dropped in the end, and nobody else notices."""
    assert small.port is not None
    text = json.dumps({"rows": [ROW] * 100, "outputs": ["predict", "predict_proba", "transform", "margin"]}).encode()
    request = _post(len(text), close=False) + text
    with socket.create_connection(("127.0.0.1", small.port), timeout=1) as sock, Client(small) as client:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            for _ in range(2000):
                sock.sendall(request)
        except (TimeoutError, ConnectionError):
            pass
        start = time.monotonic()
        assert client.rows("words", [ROW]).status == 200
        assert time.monotonic() - start < 1


def test_clients_that_go_away(small: ServerProcess) -> None:
    """In the head, in the body, before the answer; softly and with a reset."""
    assert small.port is not None
    text = json.dumps([ROW] * 50).encode()
    request = _post(len(text), close=False) + text
    for cut in (1, 20, len(request) // 2, len(request)):
        for reset in (False, True):
            with socket.create_connection(("127.0.0.1", small.port), timeout=5) as sock:
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.sendall(request[:cut])
    with Client(small) as client:
        assert client.rows("words", [ROW]).status == 200
