"""More than the server takes: rates per client, the queue of a loop, deadlines, loads beside requests."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlcore
import pytest
from mlcore.serving import ServerProcess
from serving_client import Client, responses
from serving_models import ROWS

Start = Callable[..., ServerProcess]
PATH = "/v1/models/mixed/rows"


def request_of(rows: int, *headers: str) -> bytes:
    body = json.dumps([ROWS[0]] * rows)
    lines = ["Host: a", "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return (
        f"POST {PATH} HTTP/1.1\r\n{chr(13) + chr(10)}".replace("\r\n\r\n", "\r\n").encode()
        + ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
    )


def read_all(sock: socket.socket) -> bytes:
    found = b""
    while chunk := sock.recv(1 << 20):
        found += chunk
    return found


def behind_a_long_one(server: ServerProcess, requests: list[bytes]) -> list[int]:
    """The statuses of requests that come while the only loop computes another; that one's answer is 200."""
    socks = [socket.create_connection(("127.0.0.1", server.port or 0), timeout=60) for _ in range(1 + len(requests))]
    long, *others = socks
    for sock in socks:  # all of them accepted
        sock.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
        sock.recv(4096)
    long.sendall(request_of(60_000))
    time.sleep(0.05)  # it is being read or computed
    for sock, request in zip(others, requests, strict=True):
        sock.sendall(request)
    found = [responses(read_all(sock))[0] for sock in socks]
    for sock in socks:
        sock.close()
    assert found[0].status == 200
    for one in found[1:]:
        if one.status == 503:
            assert one.headers["retry-after"] == "1"
            assert "queue" in one.error
    return [one.status for one in found[1:]]


@pytest.mark.parametrize("batch_rows", [0, 5000])
def test_a_full_queue_is_refused_and_the_rest_is_answered(saved: Path, start: Start, batch_rows: int) -> None:
    server = start(saved / "mixed.mlc", loops=1, max_queue=3, batch_rows=batch_rows)
    statuses = behind_a_long_one(server, [request_of(2000)] * 12)
    assert set(statuses) == {200, 503}
    with Client(server) as client:
        assert client.rows("mixed", ROWS).status == 200
        metrics = client.get("/metrics").body.decode()
    assert f"mlcore_shed_requests_total {statuses.count(503)}\n" in metrics


@pytest.mark.parametrize("batch_rows", [0, 100_000])
def test_what_has_waited_too_long_is_not_computed(saved: Path, start: Start, batch_rows: int) -> None:
    server = start(saved / "mixed.mlc", loops=1, batch_rows=batch_rows)
    impatient = request_of(5000, "X-Request-Timeout-Ms: 1")
    statuses = behind_a_long_one(server, [impatient] * 6)
    assert 408 in statuses
    assert set(statuses) <= {200, 408}


def test_rates_by_address(saved: Path, start: Start) -> None:
    server = start(saved / "mixed.mlc", rate=0.5, burst=4)
    with Client(server) as client, Client(server) as other:
        assert [client.rows("mixed", ROWS).status for _ in range(4)] == [200] * 4
        refused = other.rows("mixed", ROWS)  # another connection of the same client
        assert (refused.status, refused.headers["retry-after"]) == (429, "2")
        assert refused.error == "expected at most 0.5 requests a second but found more"
        assert client.get("/v2/health/ready").status == 200  # probes are free


def test_rates_by_a_header(saved: Path, start: Start) -> None:
    server = start(saved / "mixed.mlc", rate=0.01, burst=2, client_header="X-Real-IP")
    with Client(server) as client:
        for name in ("a", "b"):
            found = [client.post(PATH, ROWS, X_Real_IP=name).status for _ in range(3)]
            assert found == [200, 200, 429]


def test_requests_are_answered_beside_a_load(models: dict[str, mlcore.Model], tmp_path: Path, start: Start) -> None:
    """One loop, and another connection of it loads a model over and over."""
    import numpy as np
    import xgboost as xgb

    X = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    heavy = xgb.XGBRegressor(n_estimators=300, max_depth=8, n_jobs=1).fit(X, X[:, 0] * X[:, 1])
    mlcore.compile(heavy, X[:100]).save(tmp_path / "heavy.mlc")
    models["integers"].save(tmp_path / "integers.mlc")
    server = start(tmp_path, loops=1, manage=True)

    def load(times: int) -> float:
        with Client(server) as client:
            began = time.perf_counter()
            for _ in range(times):
                assert client.post("/v2/repository/models/heavy/load", {}).status == 200
            return (time.perf_counter() - began) / times

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load, 10)
        waits = []
        with Client(server) as client:
            while not loading.done():
                began = time.perf_counter()
                assert client.rows("integers", [{"a": 1, "b": 2}]).status == 200
                waits.append(time.perf_counter() - began)
        each = loading.result()
    assert len(waits) > 20
    assert sorted(waits)[len(waits) // 2] < each / 4, (sorted(waits)[-3:], each)


def test_load_of_nothing_is_refused_by_the_same_thread(saved: Path, start: Start) -> None:
    server = start(saved / "mixed.mlc", manage=True)
    with Client(server) as client:
        assert client.post("/v2/repository/models/nobody/load", {}).status == 404
        assert client.get("/v2/health/live").status == 200


@pytest.mark.parametrize("header", ["x", "-1", "1e3", ""])
def test_a_deadline_that_is_no_number(saved: Path, start: Start, header: str) -> None:
    server = start(saved / "mixed.mlc")
    with Client(server) as client:
        status = client.post(PATH, ROWS, X_Request_Timeout_Ms=header).status
        assert status == (400 if header else 200)
