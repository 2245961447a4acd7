"""The page "Serving over HTTP": its commands run one after the other, as a reader would type them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from serving_client import assert_same

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "serving.md").read_text()
CURLS = ["translated"] + (["curl"] if shutil.which("curl") else [])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page's first command writes; made once."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "mlcore", "demo", "-o", "fraud.mlc", "--rows", "3000"]
    assert " ".join(command[2:]) in PAGE
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "fraud.mlc"


@pytest.mark.parametrize("curl", CURLS)
def test_the_commands_of_the_page(tmp_path: Path, demo: Path, curl: str) -> None:
    first, second = _free_ports(2)
    tools = tmp_path / "bin"
    tools.mkdir()
    # the reader's mlcore; ports of our own, because others may use the usual ones
    (tools / "mlcore").write_text(
        f"""#!/bin/sh
case "$*" in
  demo*) exec cp {demo} fraud.mlc ;;
  *--port*|*--unix*) exec {sys.executable} -m mlcore "$@" ;;
  *) exec {sys.executable} -m mlcore "$@" --port {first} ;;
esac
"""
    )
    if curl == "translated":
        (tools / "curl").write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent / "curl.py"} "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    ports = {"8080": str(first), "8081": str(second)}
    commands = re.sub(r"\b808[01]\b", lambda found: ports[found[0]], "".join(blocks))
    assert commands.count("mlcore serve") == 3
    script = f"set -eu\ntrap 'kill $(jobs -p); wait' EXIT\n{commands}\n"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ
        | {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(Path(mlcore.__file__).parent.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    _assert_answers(tmp_path, mlcore.load(demo))
    assert '{"error":' in done.stdout  # the request without a token, and no other
    assert done.stdout.count('{"error":') == 1, done.stdout


def _table() -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "amount": [12.5, 980.0],
            "balance": [np.nan, 0.0],
            "age_of_card": [900, 12],
            "velocity": np.array([0.5, 7.25], np.float32),
            "merchant": ["grocery", "jewellery"],
            "country": ["NL", "NG"],
            "channel": ["chip", "online"],
            "is_recurring": [True, False],
            "time": np.array([1767225600000000, 1767232800000000]).view("datetime64[us]"),
        }
    )
    table["time"] = table["time"].dt.tz_localize("UTC")
    return table


def _assert_answers(folder: Path, model: mlcore.Model) -> None:
    def answer(name: str) -> Any:
        return json.loads((folder / name).read_text())

    labels, chances = model.predict(_table()), model.predict_proba(_table())
    for name in ("rows.json", "token.json"):
        (row,) = answer(name)["rows"]
        assert row["predict"] == labels[0]
        assert list(row["predict_proba"]) == ["0", "1"]
        assert_same(name, row["predict_proba"], chances[:1])
    (output,) = answer("infer.json")["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("predict_proba", "FP32", [2, 2])
    assert_same("infer.json", output["data"], chances)
    assert_same("predict.json", answer("predict.json")["predictions"], chances[:1])
    for name in ("invocations.json", "csv.json"):
        assert answer(name) == {"predictions": [int(labels[0])]}, name
    assert answer("prediction.json") == labels[0]
    index = {(one["name"], one["version"]): one["state"] for one in answer("index.json")}
    assert index["fraud", "2"] == "READY"
    assert 'model="fraud"' in (folder / "metrics.txt").read_text()
