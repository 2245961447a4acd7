"""Waiting requests that are computed together: the bytes, counts and log lines of a server that computes each alone."""

from __future__ import annotations

import gzip
import json
import random
import re
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mlcore
import pytest
from cases import scale
from mlcore.errors import InputError
from mlcore.serving import ServerProcess
from serving_client import TIMEOUT, Client, exchange, responses, v2_binary, v2_json
from serving_models import MATRIX, ROWS, WORDS, frame_of
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

Start = Callable[..., ServerProcess]
ROWS_AT_ONCE = 60
CONNECTIONS = 40


def request_of(method: str, path: str, body: bytes | object = b"", **headers: str) -> bytes:
    """Bytes whose answer ends with the connection."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Host": "a", "Content-Type": "application/json", "Connection": "close", "Content-Length": str(len(data))}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in {**named, **headers}.items()]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + data


LONG = request_of("POST", "/v1/models/mixed/rows", [ROWS[0]] * 15_000)


@pytest.fixture(scope="module")
def strict(models: dict[str, mlcore.Model]) -> mlcore.Model:
    """Refuses, while it runs, a city that it does not know; parsers take any text."""
    table = frame_of(ROWS).loc[[0, 2, 8], ["city", "amount"]]
    cities = OrdinalEncoder(handle_unknown="error")
    columns = ColumnTransformer([("city", cities, ["city"]), ("amount", "passthrough", ["amount"])])
    return mlcore.compile(make_pipeline(columns).fit(table), table)


@pytest.fixture
def both(saved: Path, strict: mlcore.Model, tmp_path: Path, start: Start) -> tuple[ServerProcess, ServerProcess]:
    """Servers of the same models, of which the second joins requests."""
    strict.save(tmp_path / "strict.mlc")
    files = [*sorted(saved.iterdir()), tmp_path / "strict.mlc"]
    options: dict[str, Any] = {"loops": 1, "default_model": "value", "access_log": 1, "reload_seconds": 0}
    return start(*files, **options), start(*files, batch_rows=ROWS_AT_ONCE, **options)


class Requests:
    """Requests of all protocols, good and bad, each with a tag of its own where its form has room for one."""

    def __init__(self, models: dict[str, mlcore.Model], seed: int) -> None:
        self.models = models
        self.choose = random.Random(seed)
        self.tag = 10**12

    def __iter__(self) -> Iterator[bytes]:
        kinds = [*[self.rows, self.tagged, self.v2, self.binary, self.v1, self.served_by_others] * 2, self.bad]
        while True:
            self.tag += 1
            yield self.choose.choice(kinds)()

    def some(self, most: int = 4) -> list[dict[str, Any]]:
        rows = [dict(self.choose.choice(ROWS)) for _ in range(self.choose.randint(0 if most > 1 else 1, most))]
        for row in rows:
            row["small"] = self.tag % 127
        return rows

    def rows(self) -> bytes:
        model = self.choose.choice(["mixed", "mixed", "value"])
        outputs: list[list[str] | None] = [None, None, ["predict"]]
        if model == "mixed":
            outputs += [["predict_proba"], ["margin", "predict"], ["predict", "margin"]]
        chosen = self.choose.choice(outputs)
        rows = self.some(self.choose.choice([1, 1, 1, 4, 30, 100]))
        body = rows if chosen is None else {"rows": rows, "outputs": chosen}
        path, data = f"/v1/models/{model}/rows", json.dumps(body).encode()
        if self.choose.random() < 0.2:
            return request_of("POST", path, gzip.compress(data), Content_Encoding="gzip")
        if self.choose.random() < 0.05:
            data += b" " * 100_000  # so long that those before it are not to wait for its end
        return request_of("POST", path, data)

    def tagged(self) -> bytes:
        rows = [{"a": self.tag, "b": -self.tag - row} for row in range(self.choose.randint(1, 3))]
        return request_of("POST", "/v1/models/integers/rows", rows)

    def v2(self) -> bytes:
        model = self.choose.choice(["mixed", "value", "integers"])
        rows = [{"a": self.tag, "b": 5}] if model == "integers" else self.some()
        body = {"id": str(self.tag), **v2_json(self.models[model], rows, nested=self.choose.random() < 0.5)}
        if model == "mixed" and self.choose.random() < 0.5:
            body["outputs"] = [{"name": "predict_proba", "parameters": {"binary_data": True}}, {"name": "predict"}]
        return request_of("POST", f"/v2/models/{model}/infer", body)

    def binary(self) -> bytes:
        if self.choose.random() < 0.3:
            matrix = MATRIX[: self.choose.randint(1, 3)]
            tensor = {"name": "X", "datatype": "FP32", "shape": list(matrix.shape)}
            tensor["parameters"] = {"binary_data_size": matrix.nbytes}
            head = json.dumps({"inputs": [tensor]}).encode()
            headers = {"Inference-Header-Content-Length": str(len(head))}
            return request_of("POST", "/v2/models/bare/infer", head + matrix.tobytes(), **headers)
        data, headers = v2_binary(self.models["mixed"], self.some(), binary_output=self.choose.random() < 0.5)
        return request_of("POST", "/v2/models/mixed/infer", data, **headers)

    def v1(self) -> bytes:
        kind = self.choose.randrange(5)
        words = [self.choose.choice(WORDS) | {"rate": self.tag % 1000 / 8}]
        if kind == 0:
            return request_of("POST", "/v1/models/words:classify", {"examples": words})
        if kind == 1:
            return request_of("POST", "/v1/models/value:regress", {"examples": self.some()})
        if kind == 2:
            columns = {"amount": [0.5, -1.0], "rate": [self.tag % 1000 / 8, 2.0]}
            return request_of("POST", "/v1/models/words:predict", {"inputs": columns})
        if kind == 3:
            return request_of("POST", "/v1/models/bare:predict", {"instances": [[1.0, 2.5, None, self.tag % 999 / 8]]})
        return request_of("POST", "/predictions/words", words if self.choose.random() < 0.5 else words[0])

    def served_by_others(self) -> bytes:
        rows = [row for row in self.some(3) if row["city"] != ROWS[6]["city"]] or [ROWS[0]]
        names = list(rows[0])
        if self.choose.random() < 0.5:
            split = {"columns": names, "data": [[row[name] for name in names] for row in rows]}
            return request_of("POST", "/invocations", {"dataframe_split": split})
        cells = [["" if row[name] is None else str(row[name]) for name in names] for row in rows]
        text = "\n".join(",".join(line) for line in [names, *cells]).replace("nan", "NaN").replace("inf", "Infinity")
        return request_of("POST", "/invocations", text.encode(), Content_Type="text/csv")

    def bad(self) -> bytes:
        rows = "/v1/models/mixed/rows"
        return self.choose.choice(
            [
                request_of("POST", rows, [ROWS[0], ROWS[1] | {"amount": "x"}]),
                request_of("POST", rows, b'[{"amount": '),
                request_of("POST", rows, {"rows": self.some(), "outputs": ["nothing"]}),
                request_of("POST", rows, self.some(), X_Request_Timeout_Ms="0"),
                request_of("POST", rows, b"no gzip", Content_Encoding="gzip"),
                request_of("GET", rows),
                request_of("HEAD", "/v1/models/mixed"),
                request_of("GET", f"/nothing/{self.tag}"),
                request_of("POST", "/v2/models/mixed/infer", {"inputs": []}),
                strict_request("Oslo", f"a{self.tag}"),
                strict_request("Oslo"),
            ]
        )


def strict_request(*cities: str) -> bytes:
    return request_of("POST", "/v1/models/strict/rows", [{"amount": 1.0, "city": city} for city in cities])


def behind_a_long_one(server: ServerProcess, requests: list[bytes]) -> list[bytes]:
    """All that comes back for requests that come on connections of their own while the only loop computes another."""
    with ExitStack() as stack:
        address = ("127.0.0.1", server.port or 0)
        socks = [stack.enter_context(socket.create_connection(address, TIMEOUT)) for _ in range(1 + len(requests))]
        for sock in socks:  # all of them are accepted
            sock.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
            sock.recv(4096)
        socks[0].sendall(LONG)
        time.sleep(0.01)
        for sock, request in zip(socks[1:], requests, strict=True):
            sock.sendall(request)
        found = []
        for sock in socks:
            pieces = []
            while piece := sock.recv(1 << 20):
                pieces.append(piece)
            found.append(b"".join(pieces))
    assert responses(found[0])[0].status == 200
    return found[1:]


def counts_of(server: ServerProcess) -> dict[str, float]:
    """What /metrics counts, without times and what differs by its nature."""
    with Client(server) as client:
        lines = client.get("/metrics").body.decode().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in samples.items() if "_seconds" not in name}


def joined(counts: dict[str, float], what: str) -> float:
    return sum(value for name, value in counts.items() if name.startswith(f"mlcore_joined_{what}_total"))


def log_of(server: ServerProcess) -> list[str]:
    """Its lines without times and probes, in any order."""
    lines = [json.loads(line) for line in server.log.splitlines()]
    kept = [line for line in lines if line["path"] not in ("/ping", "/metrics")]
    return sorted(json.dumps({name: value for name, value in line.items() if name != "seconds"}) for line in kept)


def test_the_same_answers_counts_and_log(
    both: tuple[ServerProcess, ServerProcess], models: dict[str, mlcore.Model]
) -> None:
    alone, together = both
    waves = scale(12)
    requests = iter(Requests(models, 1))
    statuses = set()
    for _ in range(waves):
        wave = [next(requests) for _ in range(CONNECTIONS)]
        expected = [exchange(alone, request) for request in wave]
        exchange(alone, LONG)
        for request, found, wanted in zip(wave, behind_a_long_one(together, wave), expected, strict=True):
            assert found == wanted, request
            if not request.startswith(b"HEAD"):
                statuses.add(responses(found)[0].status)
    assert statuses >= {200, 400, 404, 405, 408}
    before, after = counts_of(alone), counts_of(together)
    runs, rows = joined(after, "runs"), joined(after, "rows")
    print(f"{waves * CONNECTIONS} requests, {runs:.0f} joined runs of {rows / runs:.1f} rows")
    assert joined(before, "runs") == 0
    assert runs > waves
    assert 2 * runs <= rows <= ROWS_AT_ONCE * runs
    after["mlcore_unrouted_requests_total"] -= waves * (1 + CONNECTIONS)  # the first one of each connection
    ignored = re.compile("mlcore_(joined|model_loaded|connections|requests_in_flight)")
    same = {name: value for name, value in after.items() if not ignored.match(name)}
    assert same == {name: value for name, value in before.items() if not ignored.match(name)}
    assert sum(name.startswith("mlcore_column_") for name in same) > 20
    for server in both:
        assert server.close() == 0
    assert log_of(together) == log_of(alone)


def test_a_request_that_the_model_refuses_fails_alone(both: tuple[ServerProcess, ServerProcess]) -> None:
    """Its message names its own row, and those beside it, whose run it spoiled, are answered."""
    alone, together = both
    wave = [strict_request("Oslo"), strict_request("Oslo", "nowhere"), strict_request("Oslo", "São Paulo", "日本")] * 8
    for _ in range(scale(3)):
        found = behind_a_long_one(together, wave)
        assert found == [exchange(alone, request) for request in wave]
    answers = [responses(one)[0] for one in found]
    assert [one.status for one in answers] == [200, 400, 200] * 8
    assert "row 1" in answers[1].error
    # without the bad one they are joined
    before = joined(counts_of(together), "runs")
    behind_a_long_one(together, [request for request in wave if b"nowhere" not in request])
    assert joined(counts_of(together), "runs") > before


def test_nobody_waits_where_nobody_is_before(saved: Path, start: Start) -> None:
    """With other connections open, requests that come one by one take as long as without, and none are joined."""
    servers = [start(saved / "integers.mlc", loops=1, **options) for options in ({}, {"batch_rows": 1000})]
    request = [{"a": 1, "b": 2}]
    times: list[list[float]] = [[], []]
    with ExitStack() as stack:
        clients = [[stack.enter_context(Client(server)) for _ in range(3)] for server in servers]
        for number in range(scale(300)):
            for which, some in enumerate(clients):
                began = time.perf_counter()
                assert some[number % 3].rows("integers", request).status == 200
                times[which].append(time.perf_counter() - began)
    plain, batching = (statistics.median(one) for one in times)
    print(f"median {plain * 1e6:.0f} us, with batches {batching * 1e6:.0f} us")
    assert batching < 1.5 * plain + 0.5e-3
    assert joined(counts_of(servers[1]), "runs") == 0


def test_rows_are_limited(saved: Path, start: Start) -> None:
    """One row short of two requests: nothing is ever joined."""
    requests = [request_of("POST", "/v1/models/mixed/rows", ROWS[:5])] * 20
    server = start(saved / "mixed.mlc", loops=1, batch_rows=9)
    assert len(set(behind_a_long_one(server, requests))) == 1
    assert joined(counts_of(server), "runs") == 0
    server = start(saved / "mixed.mlc", loops=1, batch_rows=10)
    assert len(set(behind_a_long_one(server, requests))) == 1
    counts = counts_of(server)
    assert joined(counts, "runs") > 0
    assert joined(counts, "rows") == 10 * joined(counts, "runs")


def test_inside_python(saved: Path) -> None:
    with mlcore.serve(saved / "integers.mlc", port=0, loops=1, batch_rows=8) as server:
        body = json.dumps([{"a": 1, "b": 2}]).encode()
        assert server.request("POST", "/v1/models/integers/rows", body).status == 200
        assert b'mlcore_joined_runs_total{model="integers"} 0\n' in server.request("GET", "/metrics").body
    for wrong in (-1, 10**7):
        with pytest.raises(InputError, match="--batch-rows: expected a number from 0 to"):
            mlcore.serve(saved / "integers.mlc", port=0, batch_rows=wrong)
