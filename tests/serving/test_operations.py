"""Running it: health, metadata, the repository, reloading, versions, tokens, metrics, logs, start and end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from mlcore.cli import main
from mlcore.errors import MlcoreError
from mlcore.serving import ServerProcess, spawn
from serving_client import Client, assert_same, exchange, responses
from serving_models import ROWS, WORDS, answers
from sklearn.linear_model import LinearRegression

Models = dict[str, mlcore.Model]
Start = Callable[..., ServerProcess]
SOON = {"reload_seconds": 0.1}


def line(slope: float) -> mlcore.Model:
    """A model whose answer for x0 = 1 is its slope."""
    return mlcore.compile(LinearRegression(fit_intercept=False).fit([[1.0], [2.0]], [slope, 2 * slope]))


def slope_of(client: Client, name: str = "line", version: int | None = None) -> float:
    middle = "" if version is None else f"/versions/{version}"
    answer = client.post(f"/v1/models/{name}{middle}/rows", [{"x0": 1.0}])
    assert answer.status == 200, answer
    return round(answer.json["rows"][0]["predict"], 6)


def until(check: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def put(model: mlcore.Model | bytes, path: Path) -> None:
    """A new file in the place of the old one, as a deployment does it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = model if isinstance(model, bytes) else model.to_bytes()
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    new.rename(path)


# -- what it says about itself ----------------------------------------------------------------------------------


def test_health(client: Client) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/mixed/ready", "/v2/models/mixed/versions/1/ready"):
        assert client.get(path).status == 200, path
    for path in ("/ping", "/health"):
        assert client.get(path).status == 200, path
    assert client.get("/v2/models/nothing/ready").status == 404
    assert client.get("/version").body.decode().strip()


def test_metadata_of_the_server(client: Client) -> None:
    assert client.get("/v2").json == {
        "name": "mlcore",
        "version": mlcore.__version__,
        "extensions": ["binary_tensor_data", "model_repository"],
    }


def test_metadata_of_a_model(client: Client, models: Models) -> None:
    for path in ("/v2/models/mixed", "/v2/models/mixed/versions/1"):
        found = client.get(path).json
        assert (found["name"], found["versions"], found["platform"]) == ("mixed", ["1"], "mlcore")
        tensors = models["mixed"].core.tensors
        inputs = {one["name"]: one for one in found["inputs"]}
        for one in tensors["inputs"]:
            assert inputs[one["name"]]["datatype"] == one["type"]
            assert inputs[one["name"]]["shape"][0] == -1
        names = [(one["name"], one["datatype"]) for one in found["outputs"]]
        assert names == [(one["name"], one["type"]) for one in tensors["outputs"]]
    (matrix, *_) = client.get("/v2/models/bare").json["inputs"]
    assert (matrix["name"], matrix["datatype"], matrix["shape"]) == ("X", "FP32", [-1, 4])


def test_status_of_v1(client: Client) -> None:
    status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert client.get("/v1/models/mixed").json == {"model_version_status": [status]}
    assert client.get("/v1/models/mixed/versions/1").json == {"model_version_status": [status]}
    assert client.get("/v1/models/mixed/metadata").status == 200
    assert client.get("/v1/models").status == 200


def test_index(client: Client, models: Models) -> None:
    index = client.index()
    assert set(index) == {(name, "1") for name in models}
    assert {one["state"] for one in index.values()} == {"READY"}


def test_openapi(client: Client) -> None:
    document = client.get("/openapi.json").json
    assert document["openapi"].startswith("3.")
    assert document["paths"]


def test_metrics(start: Start, saved: Path) -> None:
    server = start(saved / "words.mlc", loops=1)
    with Client(server) as client:
        for _ in range(3):
            assert client.rows("words", WORDS).status == 200
        assert client.rows("words", [{}]).status == 400
        answer = client.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.body.decode()
    assert text.endswith("\n")
    samples: dict[str, float] = {}
    for one in text.splitlines():
        if not one.startswith("#"):
            name, _, value = one.rpartition(" ")
            assert name not in samples, one
            samples[name] = float(value)
    typed = {one.split()[2] for one in text.splitlines() if one.startswith("# TYPE ")}
    for name in samples:
        base = name.partition("{")[0]
        assert base in typed or base.rsplit("_", 1)[0] in typed, name
    of_words = {name: value for name, value in samples.items() if 'model="words"' in name}
    assert any(value == 3 * len(WORDS) and "rows" in name for name, value in of_words.items()), of_words
    assert any(value == 3 and "2" in name.partition("{")[2] for name, value in of_words.items()), of_words


# -- models -----------------------------------------------------------------------------------------------------


def test_load_and_unload(start: Start, tmp_path: Path) -> None:
    put(line(2), tmp_path / "line" / "1" / "model.mlc")
    server = start(tmp_path, manage=True, reload_seconds=0)
    with Client(server) as client:
        assert slope_of(client) == 2
        assert client.post("/v2/repository/models/line/unload", {}).status == 200
        assert client.rows("line", [{"x0": 1.0}]).status in (404, 503)
        assert client.get("/v2/models/line/ready").status in (404, 503)
        assert client.index()["line", "1"]["state"] == "UNAVAILABLE"
        assert client.post("/v2/repository/models/line/load", {}).status == 200
        assert slope_of(client) == 2
        put(line(3), tmp_path / "line" / "1" / "model.mlc")
        time.sleep(0.3)
        assert slope_of(client) == 2  # it was told never to look by itself
        assert client.post("/v2/repository/models/line/load", {}).status == 200
        assert slope_of(client) == 3
        put(line(5), tmp_path / "other" / "1" / "model.mlc")
        assert client.post("/v2/repository/models/other/load", {}).status == 200
        assert slope_of(client, "other") == 5
        for name in ("nothing", "..", "%2e%2e", "a b", "line%2f1"):
            for action in ("load", "unload"):
                answer = client.post(f"/v2/repository/models/{name.replace(' ', '%20')}/{action}", {})
                assert answer.status in (400, 404), (name, answer)


def test_load_and_unload_need_manage(start: Start, saved: Path) -> None:
    server = start(saved / "words.mlc")
    with Client(server) as client:
        for action in ("load", "unload"):
            answer = client.post(f"/v2/repository/models/words/{action}", {})
            assert answer.status == 403, answer
            assert answer.error
        assert client.rows("words", WORDS).status == 200


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_changed_file_is_taken(start: Start, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "line.mlc" if kind == "file" else tmp_path / "line" / "1" / "model.mlc"
    put(line(2), path)
    server = start(path if kind == "file" else tmp_path, **SOON)
    with Client(server) as client:
        assert slope_of(client) == 2
        put(line(3), path)
        until(lambda: slope_of(client) == 3)


def _damaged(model: mlcore.Model) -> dict[str, bytes]:
    data = model.to_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    return {
        "empty": b"",
        "cut": data[:-1],
        "flipped": bytes(flipped),
        "text": b"no model at all",
        "longer": data + b"x",
    }


def test_a_damaged_file_never_takes_traffic(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "line" / "1" / "model.mlc"
    put(line(2), path)
    server = start(tmp_path, manage=True, **SOON)
    with Client(server) as client:
        for kind, data in _damaged(line(4)).items():
            put(data, path)
            until(lambda: client.index()["line", "1"].get("reason"))
            assert slope_of(client) == 2, kind
            answer = client.post("/v2/repository/models/line/load", {})
            assert 400 <= answer.status < 500, (kind, answer)
            assert answer.error
            assert slope_of(client) == 2, kind
            put(line(2), path)
            until(lambda: not client.index()["line", "1"].get("reason"))
        assert client.index()["line", "1"]["state"] == "READY"


def test_no_request_meets_a_half_of_a_reload(start: Start, tmp_path: Path) -> None:
    """While files change, every request is answered, and all rows of it by one model."""
    path = tmp_path / "line" / "1" / "model.mlc"
    lines = {slope: line(slope).to_bytes() for slope in (2, 3, 5)}
    put(lines[2], path)
    server = start(tmp_path, loops=2, reload_seconds=0.05)
    seen: set[float] = set()
    problems: list[object] = []
    done = threading.Event()

    def ask() -> None:
        try:
            with Client(server) as client:
                while not done.is_set():
                    answer = client.rows("line", [{"x0": 1.0}] * 20)
                    slopes = {round(row["predict"], 6) for row in answer.json["rows"]}
                    if answer.status != 200 or len(slopes) != 1:
                        problems.append(answer)
                    seen.update(slopes)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(12):
        put(lines[(2, 3, 5)[turn % 3]], path)
        time.sleep(0.12)
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert seen == {2, 3, 5}


def test_versions(start: Start, tmp_path: Path) -> None:
    for version in (1, 2, 10):
        put(line(version), tmp_path / "line" / str(version) / "model.mlc")
    (tmp_path / "line" / "notes").mkdir()
    with Client(start(tmp_path)) as client:
        assert (slope_of(client), slope_of(client, version=10)) == (10, 10)
        assert client.get("/v2/models/line").json["versions"] == ["10"]
        assert client.rows("line/versions/2", [{"x0": 1.0}]).status == 404
    with Client(start(tmp_path, versions="all")) as client:
        assert [slope_of(client, version=version) for version in (1, 2, 10)] == [1, 2, 10]
        assert slope_of(client) == 10
        assert client.get("/v2/models/line").json["versions"] == ["1", "2", "10"]
        answer = client.post("/predictions/line/2", {"x0": 1.0})
        assert round(answer.json, 6) == 2
        answer = client.infer(
            "line/versions/1", {"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 1], "data": [1]}]}
        )
        assert answer.json["model_version"] == "1"
    with Client(start(tmp_path, versions="1,2")) as client:
        assert slope_of(client) == 2
        assert client.get("/v2/models/line/versions/10").status == 404


def test_a_new_version_is_taken_and_a_bad_one_is_not(start: Start, tmp_path: Path) -> None:
    put(line(1), tmp_path / "line" / "1" / "model.mlc")
    with Client(start(tmp_path, **SOON)) as client:
        put(_damaged(line(2))["flipped"], tmp_path / "line" / "2" / "model.mlc")
        until(lambda: client.index().get(("line", "2"), {}).get("reason"))
        assert client.index()["line", "2"]["state"] == "UNAVAILABLE"
        assert slope_of(client) == 1
        put(line(3), tmp_path / "line" / "3" / "model.mlc")
        until(lambda: slope_of(client) == 3)
        shutil.rmtree(tmp_path / "line" / "3")
        until(lambda: slope_of(client) == 1)


def test_the_default_model(start: Start, saved: Path) -> None:
    with Client(start(saved / "words.mlc")) as client:
        assert client.post("/invocations", {"dataframe_records": WORDS}).status == 200
    with Client(start(saved / "words.mlc", saved / "value.mlc")) as client:
        answer = client.post("/invocations", {"dataframe_records": WORDS})
        assert answer.status in (400, 404), answer
        assert answer.error
    with Client(start(saved / "words.mlc", saved / "value.mlc", default_model="words")) as client:
        assert client.post("/invocations", {"dataframe_records": WORDS}).json["predictions"][0] in ("no", "yes")


# -- tokens, logs -----------------------------------------------------------------------------------------------


def test_tokens(start: Start, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("reader-0123456789abcdef\n")
    (tmp_path / "manage").write_text("keeper-0123456789abcdef\n")
    tokens: dict[str, Any] = {"token_file": tmp_path / "token", "manage_token_file": tmp_path / "manage"}
    server = start(saved / "words.mlc", manage=True, **tokens)
    reader = {"Authorization": "Bearer reader-0123456789abcdef"}
    keeper = {"Authorization": "Bearer keeper-0123456789abcdef"}
    with Client(server) as client:
        assert client.get("/v2/health/live").status == 200  # probes have no token
        assert client.get("/v2/health/ready").status == 200
        wrong = ["", "Bearer", "Bearer ", "Bearer x", "Basic reader-0123456789abcdef", "reader-0123456789abcdef"]
        wrong += [reader["Authorization"][:-1], reader["Authorization"] + "x", reader["Authorization"].upper()]
        for headers in [{}, *({"Authorization": one} for one in wrong)]:
            answer = client.post("/v1/models/words/rows", WORDS, **headers)
            assert answer.status == 401, (headers, answer)
            assert answer.headers["www-authenticate"].lower().startswith("bearer")
            assert "reader" not in answer.error
        for path in ("/v2/models/words", "/metrics", "/v1/models/words"):
            assert client.get(path).status == 401, path
        assert client.post("/v1/models/words/rows", WORDS, **reader).status == 200
        assert client.post("/v2/repository/models/words/unload", {}).status == 401
        assert client.post("/v2/repository/models/words/unload", {}, **reader).status == 403
        assert client.post("/v1/models/words/rows", WORDS, **reader).status == 200
        assert client.post("/v2/repository/models/words/unload", {}, **keeper).status == 200
    assert "reader-" not in server.log
    assert "keeper-" not in server.log


def test_the_access_log(start: Start, saved: Path) -> None:
    server = start(saved / "words.mlc", access_log=1)
    secret = "4111111111111111"
    with Client(server) as client:
        client.rows("words", WORDS)
        client.post("/v1/models/words/rows", [{"amount": secret, "rate": 1}])
        client.get(f"/nothing?card={secret}", Authorization=f"Bearer {secret}")
    assert server.close() == 0
    lines = [json.loads(one) for one in server.log.splitlines() if one.startswith("{")]
    assert [one["status"] for one in lines] == [200, 400, 404]
    assert all("method" in one for one in lines)
    assert secret not in server.log
    quiet = start(saved / "words.mlc")
    with Client(quiet) as client:
        client.rows("words", WORDS)
    assert quiet.close() == 0
    assert not [one for one in quiet.log.splitlines() if one.startswith("{")]


# -- start and end ----------------------------------------------------------------------------------------------


def test_the_first_answer_comes_within_a_second(saved: Path) -> None:
    times = []
    for _ in range(3):
        began = time.monotonic()
        with spawn(saved / "mixed.mlc") as server, Client(server) as client:
            assert client.rows("mixed", ROWS).status == 200
            times.append(time.monotonic() - began)
    assert min(times) < 1, times


def test_a_unix_socket(start: Start, saved: Path, models: Models, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = start(saved / "words.mlc", unix=path)
    assert (server.url, server.port) == (f"unix:{path}", None)
    with Client(server) as client:
        answer = client.rows("words", WORDS)
    table = pd.DataFrame(WORDS).astype({"rate": np.float32})
    assert_same("predict", [row["predict"] for row in answer.json["rows"]], answers(models["words"], table)["predict"])
    assert server.close() == 0
    assert not path.exists()


@pytest.mark.parametrize("model", ["missing", "damaged", "none", "empty folder"])
def test_a_bad_start_says_why(tmp_path: Path, model: str) -> None:
    (tmp_path / "damaged.mlc").write_bytes(b"no model")
    (tmp_path / "folder").mkdir()
    arguments = {
        "missing": [tmp_path / "missing.mlc"],
        "damaged": [tmp_path / "damaged.mlc"],
        "none": [],
        "empty folder": [tmp_path / "folder"],
    }[model]
    with pytest.raises(MlcoreError, match="the server did not start") as caught:
        spawn(*arguments)
    if model in ("missing", "damaged"):
        assert f"{model}.mlc" in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("port", 65536),
        ("port", -1),
        ("loops", 0),
        ("max_rows", "many"),
        ("access_log", 1.5),
        ("versions", "newest"),
        ("default_model", "nothing"),
        ("token_file", "/nonexistent"),
        ("nothing", 1),
        ("host", "not an address"),
    ],
)
def test_bad_options_are_named(saved: Path, option: str, value: Any) -> None:
    with pytest.raises(MlcoreError, match="the server did not start") as caught:
        spawn(saved / "words.mlc", **{option: value})
    flag = option.replace("_", "-")
    assert flag in str(caught.value), str(caught.value)


def test_a_port_that_is_taken(saved: Path, server: ServerProcess) -> None:
    with pytest.raises(MlcoreError, match=str(server.port)):
        spawn(saved / "words.mlc", port=server.port or 0)


def test_sigterm_answers_what_has_begun(saved: Path) -> None:
    """Whole requests, requests of which half has come, and pipelined ones."""
    with spawn(saved / "mixed.mlc", loops=2) as server:
        assert server.port is not None
        text = json.dumps(ROWS * 200).encode()
        head = f"POST /v1/models/mixed/rows HTTP/1.1\r\nHost: a\r\nContent-Length: {len(text)}\r\n"
        request = f"{head}Content-Type: application/json\r\n\r\n".encode() + text
        socks = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(8)]
        for index, sock in enumerate(socks):
            sock.sendall(request if index % 2 else request[: len(request) // 2])
        idle = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        for index, sock in enumerate(socks):
            if index % 2 == 0:
                sock.sendall(request[len(request) // 2 :])
        bodies = set()
        for sock in socks:
            raw = b""
            while chunk := sock.recv(65536):
                raw += chunk
            (answer,) = responses(raw)
            assert answer.status == 200, answer
            bodies.add(answer.body)
            sock.close()
        assert len(bodies) == 1
        assert idle.recv(1) == b""
        idle.close()
        assert server.process.wait(timeout=10) == 0
        with pytest.raises(ConnectionError):
            exchange(server, b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")


def test_the_drain_has_an_end(saved: Path) -> None:
    with spawn(saved / "words.mlc", drain_timeout=1) as server:
        assert server.port is not None
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"POST /v1/models/words/rows HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n ")
            time.sleep(0.1)
            began = time.monotonic()
            server.close()
            assert time.monotonic() - began < 5


# -- the command ------------------------------------------------------------------------------------------------


def test_the_command_becomes_the_server(saved: Path) -> None:
    command = [sys.executable, "-m", "mlcore", "serve", saved / "words.mlc", "--port", "0", "--max-rows", "1"]
    process = subprocess.Popen(
        [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip().removeprefix("listening on ")
        executable = Path(os.readlink(f"/proc/{process.pid}/exe"))
        assert executable == Path(mlcore.get_server_path()).resolve()
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0
        assert process.stdout is not None
        process.stdout.close()


def test_only_what_was_given_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def execv(path: str, arguments: list[str]) -> None:
        assert path == arguments[0] == mlcore.get_server_path()
        seen.append(arguments[1:])
        raise OSError("not today")

    monkeypatch.setattr("mlcore.cli.serve.os.execv", execv)
    assert main(["serve", "a.mlc"]) == 1
    assert (
        main(["serve", "a.mlc", "folder", "--access-log", "0.01", "--manage", "--port", "0", "--versions", "1,2"]) == 1
    )
    assert main(["serve", "--unix", "/run/s", "--reload-seconds", "0", "a.mlc"]) == 1
    assert seen == [
        ["a.mlc"],
        ["a.mlc", "folder", "--port", "0", "--versions", "1,2", "--access-log", "0.01", "--manage"],
        ["a.mlc", "--unix", "/run/s", "--reload-seconds", "0.0"],
    ]


def test_the_path_of_a_build_without_a_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mlcore.serving.process._EXECUTABLE", tmp_path / "mlcore-server")
    with pytest.raises(MlcoreError, match=r"expected the server at .* but found none: .*make dev"):
        mlcore.get_server_path()
