"""The page "Triton in five minutes": its commands run one after the other, as a reader would type them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mlcore
import numpy as np
import pandas as pd
import pytest
from tools import ROOT, run
from triton_server import SERVER, free_ports, quiet_client

PAGE = (ROOT / "docs" / "triton.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    http, grpc, metrics = free_ports(3)
    tools = tmp_path / "bin"
    tools.mkdir()
    ports = f"--http-port={http} --grpc-port={grpc} --metrics-port={metrics} --exit-timeout-secs=1"
    # the reader's tritonserver and mlcore; ports of our own, because others may use the usual ones
    (tools / "tritonserver").write_text(f'#!/bin/sh\nexec {SERVER}/bin/tritonserver {ports} "$@"\n')
    (tools / "mlcore").write_text(f'#!/bin/sh\nexec {sys.executable} -m mlcore "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    (client,) = _blocks("py")
    commands = "".join(_blocks("bash")).replace("localhost:8000", f"localhost:{http}")
    assert commands.count("mlcore ") >= 3
    assert f"localhost:{http}" in commands
    monkeypatch.chdir(tmp_path)
    script = f"set -eu\ntrap 'kill %1' EXIT\n{commands}\ntouch asked\nwhile [ ! -e done ]; do sleep 0.1; done\n"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            ["bash", "-m", "-c", script],
            cwd=tmp_path,
            env=os.environ
            | {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(Path(mlcore.__file__).parent.parent)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + 120
            while not (tmp_path / "asked").exists():
                assert process.poll() is None, (tmp_path / "log").read_text()[-4000:]
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-4000:]
                time.sleep(0.1)
            with quiet_client():
                exec(compile(client.replace("localhost:8001", f"localhost:{grpc}"), "docs/triton.md", "exec"), {})
        finally:
            (tmp_path / "done").touch()
            process.wait(timeout=30)
    answer = json.loads((tmp_path / "answer.json").read_text())
    found = {one["name"]: one for one in answer["outputs"]}
    rows = {
        "amount": [12.5, 980.0],
        "balance": [1500.0, None],
        "age_of_card": [900, 12],
        "velocity": np.array([0.5, 7.25], np.float32),
        "merchant": ["grocery", "jewellery"],
        "country": ["NL", "NG"],
        "channel": ["chip", "online"],
        "is_recurring": [True, False],
        "time": np.array([1767225600000000, 1767232800000000]).view("datetime64[us]"),
    }
    table = pd.DataFrame(rows)
    table["time"] = table["time"].dt.tz_localize("UTC")
    model = mlcore.load(tmp_path / "fraud.mlc")
    proba = np.array(found["predict_proba"]["data"], np.float32).reshape(2, 2)
    assert proba.tobytes() == model.predict_proba(table).tobytes()
    assert found["predict"]["data"] == model.predict(table).tolist()


def test_the_backend_loads_beside_the_core_alone(tmp_path: Path) -> None:
    """As in a container, where the page's recipe puts them: both libraries in one folder, no package around them."""
    (recipe,) = _blocks("dockerfile")
    assert "libtriton_mlcore.so" in recipe
    assert "libmlcore.so" in recipe
    folder = tmp_path / "mlcore"
    folder.mkdir()
    shutil.copy(Path(mlcore.get_triton_backend_dir()) / "mlcore" / "libtriton_mlcore.so", folder)
    shutil.copy(Path(mlcore.get_library_dir()) / "libmlcore.so", folder)
    found = run(["ldd", folder / "libtriton_mlcore.so"])
    assert re.search(rf"libmlcore\.so => {re.escape(str(folder))}/libmlcore\.so", found), found
