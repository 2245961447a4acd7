"""Many clients at once: each gets its own answer, whatever the others send."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor

import mlcore
from cases import scale
from mlcore.serving import ServerProcess
from serving_client import Client, exchange, responses
from serving_models import ROWS

CLIENTS = 8
REQUESTS = scale(400)


def _ask(server: ServerProcess, client_number: int) -> int:
    """Send tagged requests of every kind, good and bad, over one connection; gives how many were answered."""
    choose = random.Random(client_number)
    with Client(server) as client:
        for number in range(REQUESTS):
            tag = client_number * 10**9 + number
            kind = choose.randrange(6)
            if kind == 0:
                answer = client.rows("integers", [{"a": tag, "b": -tag}] * choose.randint(1, 5))
                tags = {tuple(row["transform"].values()) for row in answer.json["rows"]}
                assert tags == {(tag, -tag)}, answer
            elif kind == 1:
                tensors = [{"name": n, "datatype": "INT64", "shape": [1], "data": [tag]} for n in "ab"]
                answer = client.infer("integers", {"id": f"{tag}", "inputs": tensors})
                assert answer.json["id"] == str(tag), answer
                assert answer.json["outputs"][0]["data"] == [tag, tag], answer
            elif kind == 2:
                row = number % 50
                answer = client.rows("mixed", [ROWS[0]] * row + [ROWS[0] | {"amount": "x"}])
                assert answer.status == 400, answer
                assert f"row {row}" in answer.error
            elif kind == 3:
                body = {"signature_name": "transform", "instances": [[tag, 5]]}
                answer = client.post("/v1/models/integers:predict", body)
                assert str(tag) in answer.body.decode(), answer
            elif kind == 4:
                assert client.get(f"/nothing/{tag}").status == 404
            else:
                answer = client.rows("mixed", ROWS[: 1 + number % len(ROWS)])
                assert len(answer.json["rows"]) == 1 + number % len(ROWS), answer
    return REQUESTS


def test_nothing_is_mixed_up(server: ServerProcess) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(lambda number: _ask(server, number), range(CLIENTS))) == CLIENTS * REQUESTS


def test_pipelines_side_by_side(server: ServerProcess) -> None:
    """Hundreds of requests in one piece on each of several connections."""

    def ask(number: int) -> None:
        tags = [number * 10**9 + index for index in range(scale(200))]
        parts = []
        for tag in tags:
            body = json.dumps([{"a": tag, "b": 0}])
            head = "POST /v1/models/integers/rows HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            parts.append(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        last = b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        found = responses(exchange(server, b"".join(parts) + last))
        answered = [one.json["rows"][0]["transform"]["p__a"] for one in found[:-1]]
        assert answered == tags

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))


def test_the_same_bytes_whoever_else_asks(server: ServerProcess, models: dict[str, mlcore.Model]) -> None:
    with Client(server) as client:
        alone = client.rows("mixed", ROWS * 20).body

    def ask(number: int) -> set[bytes]:
        with Client(server) as client:
            return {client.rows("mixed", ROWS * 20).body for _ in range(scale(10))}

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert set().union(*pool.map(ask, range(CLIENTS))) == {alone}
