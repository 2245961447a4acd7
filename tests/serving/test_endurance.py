"""Counts: tagged requests by the ten thousand, models swapped under load, servers killed and stopped at any time.

MLCORE_TEST_SCALE multiplies them; docs/full-scale.md has what was found with large ones.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import mlcore
import pytest
from cases import scale
from mlcore.errors import MlcoreError
from mlcore.serving import ServerProcess, spawn
from serving_client import TIMEOUT, Client, responses
from serving_models import ROWS
from sklearn.linear_model import LinearRegression

Start = Callable[..., ServerProcess]
JSON = "Host: a\r\nContent-Type: application/json\r\n"
GROWTH = 32 << 20  # bytes that a server under load may grow by, however long that goes on


def memory_of(server: ServerProcess, what: str = "VmRSS") -> int:
    """Resident bytes, or others that the system counts."""
    (line,) = [
        line
        for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
        if line.startswith(f"{what}:")
    ]
    return int(line.split()[1]) * 1024


def post(path: str, body: object, *, close: bool = False) -> bytes:
    text = json.dumps(body)
    last = "Connection: close\r\n" if close else ""
    return f"POST {path} HTTP/1.1\r\n{JSON}{last}Content-Length: {len(text)}\r\n\r\n{text}".encode()


@contextmanager
def connected(server: ServerProcess) -> Iterator[socket.socket]:
    address: Any = ("127.0.0.1", server.port) if server.port else server.url.removeprefix("unix:")
    with socket.socket(socket.AF_INET if server.port else socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(address)
        yield sock


def received(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer when the other side closes before."""
    found = bytearray()
    while len(found) < size and (chunk := sock.recv(min(size - len(found), 1 << 18))):
        found += chunk
    return bytes(found)


def length_in(head: bytes) -> int:
    (length,) = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return length


def received_to_the_end(sock: socket.socket) -> bytes:
    return received(sock, 1 << 40)


# -- tagged requests --------------------------------------------------------------------------------------------

MARK = 10**12 + 1  # a tag; all others have as many digits, so that only these differ between answers


def kinds_of_requests() -> list[tuple[bytes, int]]:
    """Requests with a tag in them, good and bad, with the status of their answers."""
    tensors = [{"name": name, "datatype": "INT64", "shape": [1], "data": [MARK]} for name in "ab"]
    good: list[tuple[str, object]] = [
        ("/v1/models/integers/rows", [{"a": MARK, "b": -MARK}]),
        ("/v1/models/integers/rows", [{"a": MARK, "b": row} for row in range(5)]),
        ("/v2/models/integers/infer", {"id": str(MARK), "inputs": tensors}),
        ("/v1/models/integers:predict", {"signature_name": "transform", "instances": [[MARK, 5]]}),
        ("/predictions/integers", [{"a": -MARK, "b": MARK}]),
    ]
    bad: list[tuple[str, object]] = [
        ("/v1/models/integers/rows", [{"a": MARK, "b": 1}] * row + [{"a": MARK, "b": "x"}]) for row in (0, 3)
    ]
    requests = [(post(path, body), 200) for path, body in good] + [(post(path, body), 400) for path, body in bad]
    return [*requests, (f"GET /nothing/{MARK} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 404)]


def answer_to(server: ServerProcess, request: bytes, status: int) -> bytes:
    """The bytes that come back, asked for alone."""
    with connected(server) as sock:
        sock.sendall(request)
        found = b""
        while b"\r\n\r\n" not in found:
            found += sock.recv(65536)
        head, _, body = found.partition(b"\r\n\r\n")
        found += received(sock, length_in(head) - len(body))
    (answer,) = responses(found)
    assert answer.status == status, answer
    return found


@pytest.mark.parametrize("batch_rows", [0, 50])
def test_tagged_requests_by_the_thousand(start: Start, saved: Path, batch_rows: int) -> None:
    """In pipelines on many connections: the stream of answers is, byte for byte, that of each request alone."""
    connections, batch = 8, 200
    batches = max(1, scale(24_000) // connections // batch)
    server = start(saved / "integers.mlc", loops=2, batch_rows=batch_rows)
    mark = str(MARK).encode()
    kinds = [(request, answer_to(server, request, status)) for request, status in kinds_of_requests()]
    assert sum(mark in answer for _, answer in kinds) == 5  # what is refused is not repeated

    def ask(number: int) -> int:
        choose = random.Random(number)
        with connected(server) as sock:
            for index in range(batches):
                first = MARK + (number * batches + index) * batch
                asked = [(choose.choice(kinds), str(first + tag).encode()) for tag in range(batch)]
                sock.sendall(b"".join(request.replace(mark, tag) for (request, _), tag in asked))
                expected = b"".join(answer.replace(mark, tag) for (_, answer), tag in asked)
                assert received(sock, len(expected)) == expected
        return batches * batch

    ask(connections)  # memory is what it is to be
    before, began = memory_of(server), time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        count = sum(pool.map(ask, range(connections)))
    print(f"{count} requests in {time.monotonic() - began:.1f} s, {before >> 20} MB, then {memory_of(server) >> 20} MB")
    assert memory_of(server) - before < GROWTH


def test_memory_of_a_large_request_is_given_back(start: Start, saved: Path) -> None:
    server = start(saved / "mixed.mlc", loops=1)
    small, large = post("/v1/models/mixed/rows", ROWS), post("/v1/models/mixed/rows", [ROWS[0]] * 200_000)
    answer_to(server, small, 200)
    before = memory_of(server)
    answer_to(server, large, 200)
    answer_to(server, small, 200)
    assert memory_of(server) - before < GROWTH


@pytest.mark.parametrize("body", [b"-", b"12", b"[1", b"[0.5e"])
def test_numbers_that_end_with_the_body_take_no_memory(start: Start, saved: Path, body: bytes) -> None:
    server = start(saved / "integers.mlc", loops=1)
    path = "/v1/models/integers/rows"
    request = f"POST {path} HTTP/1.1\r\n{JSON}Content-Length: {len(body)}\r\n\r\n".encode() + body
    answer_to(server, request, 400)
    before = memory_of(server, "VmSize")
    for _ in range(30):
        answer_to(server, request, 400)
        assert memory_of(server, "VmSize") - before < GROWTH


# -- models that change -----------------------------------------------------------------------------------------


def put(data: bytes, path: Path) -> None:
    """A new file in the place of the old one, as a deployment does it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    new.rename(path)


MODELS = 20


class Swaps:
    """What clients have seen of models that change one by one; the answers of number n are n modulo MODELS."""

    def __init__(self) -> None:
        self.seen = 0  # the newest that an answer came from: no request that begins now may meet an older one
        self.there = 0  # the newest whose file is in place
        self.answers = 0
        self._lock = threading.Lock()

    def check(self, floor: int, slopes: set[float], version: str | None) -> None:
        (slope,) = slopes  # all rows are of one model
        between = range(floor, self.there + 1)
        numbers = [n for n in between if n % MODELS == round(slope) and version in (None, str(n + 1))]
        assert numbers, (slope, version, between)
        with self._lock:  # the first: of an answer that took so long that it may be a later one, no more is known
            self.seen = max(self.seen, numbers[0])
            self.answers += 1


@pytest.mark.parametrize("batch_rows", [0, 500])
@pytest.mark.parametrize("kind", ["file", "version"])
def test_models_swapped_under_load(start: Start, tmp_path: Path, kind: str, batch_rows: int) -> None:
    """Every request is answered, whole, by the old model or the new one, and nobody meets one that was followed.

    ``file``: one file is replaced again and again; ``version``: folders of versions come and go.
    """
    slopes = [
        mlcore.compile(LinearRegression(fit_intercept=False).fit([[1.0], [2.0]], [slope, 2 * slope]))
        for slope in range(MODELS)
    ]
    files = [model.to_bytes() for model in slopes]

    def path_of(number: int) -> Path:
        return tmp_path / "line" / (str(number + 1) if kind == "version" else "1") / "model.mlc"

    put(files[0], path_of(0))
    server = start(tmp_path, loops=1 if batch_rows else 2, reload_seconds=0.02, batch_rows=batch_rows)
    swaps, done, count = Swaps(), threading.Event(), scale(15)

    def ask(number: int) -> None:
        rows = [{"x0": 1.0}] * (1 + 40 * number)
        tensor = {"name": "X", "datatype": "FP64", "shape": [len(rows), 1], "data": [1.0] * len(rows)}
        with Client(server) as client:
            while not done.is_set():
                floor = swaps.seen
                if number % 2:
                    answer = client.rows("line", rows)
                    values = [row["predict"] for row in answer.json["rows"]]
                else:
                    answer = client.infer("line", {"inputs": [tensor]})
                    values = answer.json["outputs"][0]["data"]
                assert (answer.status, len(values)) == (200, len(rows)), answer
                version = answer.json["model_version"] if kind == "version" else None
                swaps.check(floor, {round(value, 6) for value in values}, version)

    def swap() -> None:
        for number in range(1, count + 1):
            swaps.there = number
            put(files[number % MODELS], path_of(number))
            deadline = time.monotonic() + TIMEOUT
            while swaps.seen < number and not any(one.done() for one in asking):
                assert time.monotonic() < deadline, f"model {number} never answered"
                time.sleep(0.002)
            if kind == "version" and number > 1:
                path_of(number - 2).unlink()
                path_of(number - 2).parent.rmdir()

    began, before = time.monotonic(), memory_of(server)
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        try:
            swap()
        finally:
            done.set()
        for one in asking:
            one.result()
    print(
        f"{swaps.seen} swaps in {time.monotonic() - began:.1f} s under {swaps.answers} requests, "
        f"{before >> 20} MB, then {memory_of(server) >> 20} MB"
    )
    assert swaps.seen == count
    assert memory_of(server) - before < GROWTH
    with Client(server) as client:
        metrics = client.get("/metrics").body.decode()
    assert ('mlcore_joined_runs_total{model="line"} 0\n' in metrics) == (batch_rows == 0)


# -- ends -------------------------------------------------------------------------------------------------------


def _assert_answers(server: ServerProcess) -> None:
    with Client(server) as client:
        assert client.rows("integers", [{"a": 7, "b": 8}]).json["rows"] == [{"transform": {"p__a": 7, "p__b": 8}}]


@pytest.mark.parametrize("listens", ["port", "unix"])
def test_killed_at_any_time(saved: Path, tmp_path: Path, listens: str) -> None:
    """Nothing that it leaves behind hinders the next start: no socket file, no port, no half of anything."""
    path = tmp_path / "socket"
    choose = random.Random(5)
    options: dict[str, Any] = {"unix": path} if listens == "unix" else {}
    with spawn(saved / "integers.mlc", **options) as server:
        _assert_answers(server)
        options = options or {"port": server.port}
        server.process.kill()
    for round_number in range(scale(6)):
        server = spawn(saved / "integers.mlc", reload_seconds=0.02, **options)
        try:
            _assert_answers(server)
            with connected(server) as whole, connected(server) as half, connected(server):
                request = post("/v1/models/integers/rows", [{"a": 1, "b": 2}] * 500)
                whole.sendall(request * 3)
                half.sendall(request[: len(request) // 2])
                time.sleep(choose.uniform(0, 0.02))
                server.process.kill()
                assert set(_whole_answers(whole)) <= {200}
        finally:
            server.close()
        assert server.returncode == -9
        assert path.exists() == (listens == "unix"), round_number


def _whole_answers(sock: socket.socket) -> list[int]:
    """Statuses of the answers that came whole before the other side was killed."""
    found = b""
    try:
        while chunk := sock.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    statuses = []
    while b"\r\n\r\n" in found:
        head, _, rest = found.partition(b"\r\n\r\n")
        length = length_in(head)
        if len(rest) >= length:
            statuses.append(int(head.split()[1]))
        found = rest[length:]
    return statuses


@pytest.mark.parametrize("listens", ["port", "unix"])
def test_killed_while_it_starts(saved: Path, tmp_path: Path, listens: str) -> None:
    path = tmp_path / "socket"
    options: dict[str, Any] = {"unix": path} if listens == "unix" else {}
    began = time.monotonic()
    with spawn(saved / "integers.mlc", **options) as server:
        seconds = time.monotonic() - began
        options = options or {"port": server.port}
    (name, value), choose = *options.items(), random.Random(6)
    command = [mlcore.get_server_path(), str(saved / "integers.mlc"), f"--{name}", str(value)]
    for _ in range(scale(8)):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(choose.uniform(0, seconds))
        child.kill()
        child.wait()
    with spawn(saved / "integers.mlc", **options) as server:
        _assert_answers(server)


def test_a_socket_that_is_answered_is_not_taken(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with spawn(saved / "integers.mlc", unix=path) as server:
        with pytest.raises(MlcoreError, match="found a server that does"):
            spawn(saved / "integers.mlc", unix=path)
        _assert_answers(server)
    path.write_text("somebody's")
    with pytest.raises(MlcoreError, match="found another file"):
        spawn(saved / "integers.mlc", unix=path)
    assert path.read_text() == "somebody's"


@pytest.mark.parametrize("batch_rows", [0, 500])
@pytest.mark.parametrize("load", ["light", "heavy"])
def test_a_drain_loses_no_answer(saved: Path, load: str, batch_rows: int) -> None:
    """What was sent before SIGTERM is answered, whole, though the loops may not have read a byte of it by then.

    Of requests in a pipeline it answers the first ones; the last answer tells that no more will come.
    """
    small = post("/v1/models/integers/rows", [{"a": 1, "b": 2}])
    large = post("/v1/models/mixed/rows", ROWS * 2000)
    asked = [large if load == "heavy" else small] * 4 + [small * 5] * 4 + [small] * 6
    for _ in range(scale(3)):
        with ExitStack() as stack:
            models = [saved / "integers.mlc", saved / "mixed.mlc"]
            server = stack.enter_context(spawn(*models, loops=2, batch_rows=batch_rows))
            socks = [stack.enter_context(connected(server)) for _ in asked]
            for sock in socks:  # answered once: nobody waits to be accepted
                sock.sendall(small)
                assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
            for sock, request in zip(socks, asked, strict=True):
                sock.sendall(request)
            server.process.terminate()
            with ThreadPoolExecutor(len(socks)) as pool:
                found = list(pool.map(received_to_the_end, socks))
            assert server.process.wait(timeout=20) == 0
        for raw, request in zip(found, asked, strict=True):
            answers = responses(raw)
            sent = request.count(b"POST ")
            assert 1 <= len(answers) <= sent
            assert {answer.status for answer in answers} == {200}
            assert len(answers) == sent or answers[-1].headers["connection"] == "close", answers[-1]


def test_a_drain_takes_who_waits_to_be_accepted(saved: Path) -> None:
    """Connections that were made, and requests that were sent, while the only loop had no time to look at them."""
    small = post("/v1/models/integers/rows", [{"a": 1, "b": 2}])
    large = post("/v1/models/mixed/rows", ROWS * 8000)
    with ExitStack() as stack:
        server = stack.enter_context(spawn(saved / "integers.mlc", saved / "mixed.mlc", loops=1))
        busy = stack.enter_context(connected(server))
        busy.sendall(large)
        time.sleep(0.05)  # now it computes
        socks = [stack.enter_context(connected(server)) for _ in range(8)]
        for sock in socks:
            sock.sendall(small)
        server.process.terminate()
        with ThreadPoolExecutor(len(socks) + 1) as pool:
            found = list(pool.map(received_to_the_end, [busy, *socks]))  # ConnectionResetError: it was not taken
        assert server.process.wait(timeout=20) == 0
    assert [answer.status for raw in found for answer in responses(raw)] == [200] * 9
