"""`mlcore.serve`: the server inside this process."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import mlcore
import numpy as np
import pytest
from mlcore.errors import ArtifactIOError, InputError, MlcoreError
from serving_client import Answer, assert_same
from serving_models import ROWS, answers, frame_of
from xgboost import XGBClassifier


def body_of(rows: object) -> bytes:
    return json.dumps(rows).encode()


def test_the_same_answers_with_and_without_a_connection(saved: Path, models: dict[str, mlcore.Model]) -> None:
    with mlcore.serve(saved / "mixed.mlc", port=0) as server:
        inside = server.request("POST", "/v1/models/mixed/rows", body_of(ROWS))
        with urlopen(f"{server.url}/v1/models/mixed/rows", body_of(ROWS)) as answer:
            assert answer.read() == inside.body
        assert (inside.status, inside.headers["Content-Type"]) == (200, "application/json")
        expected = answers(models["mixed"], frame_of(ROWS))
        found = [row["predict_proba"] for row in json.loads(inside.body)["rows"]]
        assert_same("predict_proba", found, expected["predict_proba"])


def test_refusals_are_answers(saved: Path) -> None:
    with mlcore.serve(saved / "mixed.mlc", port=0) as server:
        refused = server.request("POST", "/v1/models/mixed/rows", body_of([ROWS[0] | {"amount": "x"}]))
        assert refused.status == 400
        assert "column 'amount'" in json.loads(refused.body)["error"]
        assert server.request("GET", "/nothing").status == 404
        assert server.request("GET", "/v1/models/mixed/rows").headers["Allow"] == "POST"


def test_leaves_are_an_output(tmp_path: Path) -> None:
    """In every protocol's terms: a tensor of 64-bit integers, a list for each row; not among what nobody asks for."""
    X = np.random.default_rng(2).normal(size=(30, 3)).astype(np.float32)
    forest = XGBClassifier(n_estimators=3, max_depth=3).fit(X, np.arange(30) % 3)
    mlcore.compile(forest, X, leaf=True).save(tmp_path / "forest.mlc")
    expected = forest.apply(X).astype(np.int64)
    with mlcore.serve(tmp_path / "forest.mlc", port=0) as server:
        described = json.loads(server.request("GET", "/v2/models/forest").body)["outputs"]
        assert {"name": "leaf", "datatype": "INT64", "shape": [-1, 9]} in described
        tensor = {"name": "X", "datatype": "FP32", "shape": [30, 3], "data": X.tolist()}
        body = {"inputs": [tensor], "outputs": [{"name": "leaf"}]}
        (found,) = json.loads(server.request("POST", "/v2/models/forest/infer", body_of(body)).body)["outputs"]
        assert (found["name"], found["datatype"], found["shape"]) == ("leaf", "INT64", [30, 9])
        assert found["data"] == expected.ravel().tolist()
        rows = [{f"x{column}": float(value) for column, value in enumerate(row)} for row in X]
        path = "/v1/models/forest/rows"
        answer = json.loads(server.request("POST", path, body_of({"rows": rows, "outputs": ["leaf"]})).body)
        assert [row["leaf"] for row in answer["rows"]] == expected.tolist()
        usual = json.loads(server.request("POST", path, body_of(rows)).body)["rows"][0]
        assert set(usual) == {"predict", "predict_proba"}


def test_python_goes_on_meanwhile(saved: Path) -> None:
    """Requests are answered while this thread holds the interpreter's lock."""
    with mlcore.serve(saved / "words.mlc", port=0, loops=1) as server:
        import socket

        with socket.create_connection(("127.0.0.1", server.port or 0)) as sock:
            body = body_of([{"amount": 0.25, "rate": 1.5}])
            head = f"POST /v1/models/words/rows HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            end = time.perf_counter() + 0.3
            while time.perf_counter() < end:
                sum(range(1000))
            sock.setblocking(False)
            assert sock.recv(65536).startswith(b"HTTP/1.1 200")


def test_many_threads_ask_at_once(saved: Path) -> None:
    with mlcore.serve(saved / "integers.mlc", port=0) as server:
        mixed: list[Answer] = []

        def ask(number: int) -> None:
            for i in range(200):
                tag = number * 10**9 + i
                found = server.request("POST", "/v1/models/integers/rows", body_of([{"a": tag, "b": -tag}]))
                if tuple(json.loads(found.body)["rows"][0]["transform"].values()) != (tag, -tag):
                    mixed.append(Answer(found.status, found.headers, found.body))

        threads = [threading.Thread(target=ask, args=[number]) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not mixed


def test_its_end(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.socket"
    server = mlcore.serve(saved / "words.mlc", unix=path)
    assert (server.url, server.port, path.is_socket()) == (f"unix:{path}", None, True)
    server.close()
    server.close()
    assert not path.exists()
    assert "closed" in repr(server)
    with pytest.raises(MlcoreError, match="closed"):
        server.request("GET", "/ping")


def test_what_cannot_be_served(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mlc").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"expected a model that can be served.*bad: "):
        mlcore.serve(tmp_path / "bad.mlc", port=0)
    with pytest.raises(InputError, match=r"expected an \.mlc file or a folder of them but found none"):
        mlcore.serve(port=0)
    with pytest.raises(InputError, match="--burst: expected a number"):
        mlcore.serve(saved / "words.mlc", port=0, burst="x")
    with mlcore.serve(saved / "words.mlc", tmp_path / "bad.mlc", port=0) as server:
        assert list(server.refused) == ["bad"]
        with pytest.raises(ArtifactIOError, match="expected to listen on"):
            mlcore.serve(saved / "words.mlc", port=server.port or 0)


def test_a_forked_child_has_no_server(saved: Path) -> None:
    with mlcore.serve(saved / "words.mlc", port=0) as server:
        child = os.fork()
        if child == 0:
            try:
                server.request("GET", "/ping")
            except InputError:
                server.close()
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert server.request("GET", "/ping").status == 200
