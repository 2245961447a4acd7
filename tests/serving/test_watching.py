"""What people and monitors see: the status page and its document, counters by column; names of models, Vertex AI."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import mlcore
import numpy as np
import pandas as pd
import pytest
from forge import Artifact
from mlcore.errors import InputError
from mlcore.serving import ServerProcess, get_server_path
from serving_client import Client
from serving_models import ROWS
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

Start = Callable[..., ServerProcess]


def metrics(client: Client, name: str, model: str = "watched") -> dict[str, float]:
    """Values of a metric of a model, by what stands in the braces behind its name."""
    found = re.findall(rf'^{name}{{model="{model}",?([^}}]*)}} (\S+)$', client.get("/metrics").body.decode(), re.M)
    return {labels: float(value) for labels, value in found}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frame = pd.DataFrame({"amount": [1.0, 2.0, np.nan, 10.0], "count": [5, 6, 7, 8], "city": ["a", "b", "b", None]})
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    features = ColumnTransformer([("n", SimpleImputer(), ["amount", "count"]), ("t", texts, ["city"])])
    pipeline = make_pipeline(features, LinearRegression()).fit(frame, [1.0, 2.0, 3.0, 4.0])
    path = tmp_path_factory.mktemp("watched") / "watched.mlc"
    mlcore.compile(pipeline, frame, keep_ranges=True).save(path)
    return path


def row(amount: float | None, count: int, city: str | None) -> dict[str, object]:
    return {"amount": amount, "count": count, "city": city}


def test_columns_are_counted(watched: Path, start: Start) -> None:
    server = start(watched)
    rows = [row(1.0, 5, "a"), row(None, 8, "b"), row(0.5, 9, "c"), row(11.0, 4, None), row(10.0, 6, "")]
    with Client(server) as client:
        assert client.rows("watched", rows).status == 200
        assert client.rows("watched", [*rows, row(1.0, 5, "a") | {"count": "x"}]).status == 400  # counts nothing
        assert metrics(client, "mlcore_column_rows_total") == {"": 5}
        assert metrics(client, "mlcore_column_missing_total") == {
            'column="amount"': 1,
            'column="count"': 0,
            'column="city"': 1,
        }
        assert metrics(client, "mlcore_column_unseen_total") == {'column="city"': 2}
        assert metrics(client, "mlcore_column_out_of_range_total") == {'column="amount"': 2, 'column="count"': 2}


def test_a_part_of_a_long_request_is_counted(watched: Path, start: Start) -> None:
    server = start(watched)
    with Client(server) as client:
        assert client.rows("watched", [row(99.0, 5, "a")] * 5000).status == 200
        assert metrics(client, "mlcore_column_rows_total") == {"": 256}
        assert metrics(client, "mlcore_column_out_of_range_total")['column="amount"'] == 256


def test_binary_tensors_are_counted(server: ServerProcess, models: dict[str, mlcore.Model]) -> None:
    from serving_client import v2_binary

    body, headers = v2_binary(models["mixed"], ROWS)
    with Client(server) as client:
        before = metrics(client, "mlcore_column_missing_total", "mixed")
        assert client.request("POST", "/v2/models/mixed/infer", body, headers).status == 200
        after = metrics(client, "mlcore_column_missing_total", "mixed")
    # NaN is missing too
    expected = {"amount": 2, "rate": 2, "visits": 1, "city": 1}
    assert {key: after[key] - before[key] for key in after} == {
        f'column="{name}"': expected.get(name, 0) for name in ROWS[0]
    }


def test_ranges_are_asked_for(watched: Path) -> None:
    model = mlcore.load(watched)
    assert json.loads(model.provenance["ranges"]) == {"amount": [1.0, 10.0], "count": [5.0, 8.0]}
    line = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    assert "ranges" not in mlcore.compile(line, [[0.5]]).provenance
    with pytest.raises(InputError, match="keep_ranges: expected a sample"):
        mlcore.compile(line, keep_ranges=True)
    by_position = mlcore.compile(line, np.array([[0.5], [2.5]]), keep_ranges=True)
    assert json.loads(by_position.provenance["ranges"]) == {"x0": [0.5, 2.5]}


@pytest.mark.parametrize("ranges", ["x", "[]", '{"x0": 1}', '{"x0": [1.0]}', '{"x0": [1.0, "2"]}'])
def test_damaged_ranges_are_refused(ranges: str, tmp_path: Path) -> None:
    model = mlcore.compile(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), np.array([[0.5]]), keep_ranges=True)
    artifact = Artifact.parse(model.to_bytes())
    artifact.header["provenance"]["ranges"] = ranges
    (tmp_path / "line.mlc").write_bytes(artifact.content())
    with pytest.raises(InputError, match="expected ranges of columns"):
        mlcore.serve(tmp_path / "line.mlc", port=0)


def test_a_long_chain_of_steps_is_followed_without_recursion(tmp_path: Path) -> None:
    """A file with one filling after the other, far more than a stack would hold."""
    frame = pd.DataFrame({"city": ["a", "b", None]})
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    artifact = Artifact.parse(mlcore.compile(texts.fit(frame), frame).to_bytes())
    nodes = artifact.header["nodes"]
    (first,) = [i for i, node in enumerate(nodes) if node["op"] == "fill"]
    count = 30_000
    chain = [nodes[first] | {"inputs": [first + i]} for i in range(count)]
    after = [node | {"inputs": [i + count if i >= first else i for i in node["inputs"]]} for node in nodes[first + 1 :]]
    artifact.header["nodes"] = [*nodes[: first + 1], *chain, *after]
    for output in artifact.header["outputs"]:
        output["value"] += count
    (tmp_path / "long.mlc").write_bytes(artifact.content())
    with mlcore.serve(tmp_path / "long.mlc", port=0) as server:
        answer = server.request("POST", "/v1/models/long/rows", b'[{"city": "c"}, {"city": "a"}]')
        assert answer.status == 200, answer
        assert b'mlcore_column_unseen_total{model="long",column="city"} 1\n' in server.request("GET", "/metrics").body


# -- the status page --------------------------------------------------------------------------------------------


def test_the_page_loads_nothing_from_elsewhere(server: ServerProcess) -> None:
    with Client(server) as client:
        page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    text = page.body.decode()
    assert not re.search(r"src=|href=|@import|url\(", text)
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}


def test_the_document_of_the_page(saved: Path, start: Start, tmp_path: Path) -> None:
    (tmp_path / "bad.mlc").write_bytes(b"nothing")
    server = start(saved / "mixed.mlc", tmp_path / "bad.mlc")
    with Client(server) as client:
        for _ in range(3):
            client.rows("mixed", ROWS)
        client.rows("mixed", [ROWS[0] | {"amount": "secret"}])
        client.get("/nothing")
        found = client.get("/status.json").json
    (model,) = found["models"]
    assert (model["name"], model["results"]["2xx"], model["results"]["4xx"]) == ("mixed", 3, 1)
    assert sum(model["latency"]) == 4
    assert len(model["latency"]) == len(found["latency_bounds"]) + 1
    assert [one["name"] for one in found["refused"]] == ["bad"]
    latest, earlier = found["errors"]
    assert (latest["status"], earlier["status"], earlier["model"]) == (404, 400, "mixed")
    assert "column 'amount'" in earlier["answer"]["error"]
    assert "secret" not in json.dumps(found)
    assert (found["in_flight"], found["draining"]) == (1, False)


def test_the_document_asks_for_a_token_and_the_page_does_not(saved: Path, start: Start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    server = start(saved / "mixed.mlc", token_file=tmp_path / "token")
    with Client(server) as client:
        assert client.get("/").status == 200
        assert client.get("/status.json").status == 401
        assert client.get("/status.json", Authorization="Bearer 0123456789abcdef").status == 200


def test_only_the_last_errors_are_kept(saved: Path, start: Start) -> None:
    server = start(saved / "mixed.mlc")
    with Client(server) as client:
        for i in range(50):
            client.get(f"/nothing/{i}")
        assert len(client.get("/status.json").json["errors"]) == 20


# -- names, Vertex AI -------------------------------------------------------------------------------------------


def test_names_that_the_command_line_gives(saved: Path, models: dict[str, mlcore.Model], tmp_path: Path) -> None:
    for version in (1, 2):
        (tmp_path / "versions" / str(version)).mkdir(parents=True)
        models["words"].save(tmp_path / "versions" / str(version) / "model.mlc")
    (tmp_path / "one").mkdir()
    models["words"].save(tmp_path / "one" / "anything.mlc")
    given = [f"a={saved / 'words.mlc'}", f"b={tmp_path / 'versions'}", f"c={tmp_path / 'one'}"]
    with mlcore.serve(*given, port=0) as server:
        for name, version in {"a": "1", "b": "2", "c": "1"}.items():
            body = json.dumps([{"amount": 1.0, "rate": 2.0}]).encode()
            found = json.loads(server.request("POST", f"/v1/models/{name}/rows", body).body)
            assert (found["model_name"], found["model_version"]) == (name, version)
    models["words"].save(tmp_path / "one" / "second.mlc")
    with mlcore.serve(given[2], port=0) as server:
        assert "another file has this name" in server.refused["c"]
    with pytest.raises(InputError, match="expected a model that can be served"):
        mlcore.serve(f"d={tmp_path / 'nothing'}", port=0)


@pytest.fixture
def vertex(saved: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    def run(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [get_server_path(), *arguments], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return run


def test_the_variables_of_vertex(saved: Path, tmp_path: Path, vertex: Callable[..., subprocess.Popen[str]]) -> None:
    (tmp_path / "words.mlc").write_bytes((saved / "words.mlc").read_bytes())
    process = vertex(
        AIP_HTTP_PORT="0", AIP_HEALTH_ROUTE="/alive", AIP_PREDICT_ROUTE="/ask", AIP_STORAGE_URI=str(tmp_path)
    )
    try:
        assert process.stdout is not None
        (port,) = re.findall(r"listening on http://0\.0\.0\.0:(\d+)", process.stdout.readline())
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", int(port))

        def ask(method: str, path: str, body: object = None) -> tuple[int, object]:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else None

        assert ask("GET", "/alive")[0] == 200
        instances = [{"amount": 0.25, "rate": 1.5}]
        assert ask("POST", "/ask", {"instances": instances}) == (200, {"predictions": ["no"]})
        named = {"instances": instances, "parameters": {"signature_name": "predict_proba"}}
        status, answer = ask("POST", "/ask", named)
        assert isinstance(answer, dict)
        assert (status, len(answer["predictions"][0])) == (200, 2)
        assert ask("POST", "/ask", {"instances": instances, "parameters": None})[0] == 200
        assert ask("POST", "/ask", {"instances": instances, "parameters": {"other": 1}})[0] == 400
        assert ask("GET", "/ask")[0] == 405
        connection.close()
    finally:
        process.terminate()
        assert process.wait(20) == 0
        process.communicate()


def test_what_the_command_line_says_goes_first(saved: Path, vertex: Callable[..., subprocess.Popen[str]]) -> None:
    process = vertex("--port", "0", str(saved / "words.mlc"), AIP_HTTP_PORT="1", AIP_STORAGE_URI="gs://b/m")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
    process.terminate()
    process.communicate()
    assert process.returncode == 0


def test_models_of_vertex_are_not_fetched(vertex: Callable[..., subprocess.Popen[str]]) -> None:
    process = vertex(AIP_HTTP_PORT="0", AIP_STORAGE_URI="gs://bucket/model")
    _, printed = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "AIP_STORAGE_URI: expected a folder of this machine but found an address" in printed
