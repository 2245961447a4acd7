"""The status page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.request import Request, urlopen

import mlcore
import pytest
from mlcore.serving import Server
from sklearn.linear_model import LinearRegression

NAME = "<b>line"  # no markup, wherever it is shown
SECONDS = 7  # of the browser's clock: the page asks every other one


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "line.mlc"
    mlcore.compile(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])).save(path)
    (path.parent / "damaged.mlc").write_bytes(b"nothing")
    return path


@pytest.fixture
def server(model: Path) -> Iterator[Server]:
    with mlcore.serve(f"{NAME}={model}", model.parent / "damaged.mlc", port=0) as server:
        yield server


def browse(url: str, *options: str) -> str:
    """The document after the page's scripts have run, and what they complained of."""
    browser = shutil.which("chromium")
    assert browser, "expected chromium, which tests/system/install.sh installs"
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--enable-logging=stderr", f"--virtual-time-budget={SECONDS * 1000}", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "401" not in line]
    assert not complaints, complaints
    return done.stdout


def cells(dom: str, table: str) -> list[list[str]]:
    (body,) = re.findall(rf'<tbody id="{table}">(.*?)</tbody>', dom, re.S)
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.S)
    return [[unescape(re.sub(r"<.*?>", "", cell)) for cell in re.findall(r"<td.*?>(.*?)</td>", row)] for row in rows]


def test_it_shows_what_is_served(server: Server, tmp_path: Path) -> None:
    path = f"/v1/models/{NAME.replace('<', '%3C').replace('>', '%3E')}/rows"
    for value in (1.0, 2.0, "secret"):
        server.request("POST", path, json.dumps([{"x0": value}]).encode())
    dom = browse(server.url, "--dump-dom")
    assert re.search(r'<span id="state" class="good">serving</span>', dom)
    (shown,) = cells(dom, "models")
    assert shown[:2] == [NAME, "1"]
    assert [int(value) for value in shown[-4:]] == [2, 2, 1, 0]  # rows, 2xx, 4xx, 5xx
    assert "<b>line" not in dom
    ((name, version, reason),) = cells(dom, "refused")
    assert (name, version) == ("damaged", "1")
    assert "damaged.mlc" in reason
    ((_, status, of, message),) = cells(dom, "errors")
    assert (status, of) == ("400", NAME)
    assert "row 0, column 'x0': expected" in message
    assert "secret" not in dom
    assert "<svg" in dom

    picture = tmp_path / "page.png"
    browse(server.url, f"--screenshot={picture}", "--window-size=1100,700")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_it_asks_for_the_token(model: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    with mlcore.serve(model, port=0, token_file=tmp_path / "token") as server:
        dom = browse(server.url, "--dump-dom")
        assert "asks for a token" in dom
        assert '<main id="main" hidden' in dom
        assert not re.search(r'<form id="login" hidden', dom)
        asked = Request(f"{server.url}/status.json", headers={"Authorization": "Bearer 0123456789abcdef"})
        with urlopen(asked) as answer:
            assert [one["name"] for one in json.load(answer)["models"]] == ["line"]
