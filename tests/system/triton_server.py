"""The real Triton server for the tests: started, asked, stopped; and its official clients, made importable."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import BUILD

ENVIRONMENT = BUILD / "system-env" / "triton"
PACKAGES = ENVIRONMENT / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
SERVER = PACKAGES / "pytriton" / "tritonserver"

if str(PACKAGES) not in sys.path:
    sys.path.append(str(PACKAGES))  # at the end: what both have comes from the environment of the tests
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tritonclient.grpc as grpcclient
    import tritonclient.http as httpclient

__all__ = ["Server", "free_ports", "grpcclient", "httpclient", "quiet_client"]


def free_ports(count: int) -> list[int]:
    """Ports of this host that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Server:
    """A ``tritonserver`` process over a model repository of its own, which loads what it is told to."""

    def __init__(self, repository: Path, backends: Path, *options: str) -> None:
        self.repository = repository
        repository.mkdir(parents=True, exist_ok=True)
        http, grpc, metrics = free_ports(3)
        self.http_address, self.grpc_address = f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"
        self.log = repository.parent / "triton.log"
        command = [
            SERVER / "bin" / "tritonserver",
            f"--model-repository={repository}",
            f"--backend-directory={backends}",
            "--model-control-mode=explicit",
            "--http-address=127.0.0.1",
            f"--http-port={http}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={grpc}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={metrics}",
            "--exit-timeout-secs=2",
            *options,
        ]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 60
        while not self.is_live():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"the server did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)
        self.http = httpclient.InferenceServerClient(self.http_address, concurrency=8)
        self.grpc = grpcclient.InferenceServerClient(self.grpc_address)

    def is_live(self) -> bool:
        """It answers; it is not called ready while a model in its repository could not be loaded."""
        try:
            with urllib.request.urlopen(f"http://{self.http_address}/v2/health/live", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def post(self, path: str, body: object = None) -> tuple[int, Any]:
        """Plain HTTP with JSON, as `curl` would send it: status and answer."""
        data = json.dumps(body if body is not None else {}).encode()
        request = urllib.request.Request(f"http://{self.http_address}/{path}", data=data, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read().decode() or "null")

    def load(self, name: str) -> None:
        """Load, or load again, a model; AssertionError with the server's message when it refuses."""
        status, answer = self.post(f"v2/repository/models/{name}/load")
        assert status == 200, answer

    def refusal(self, name: str) -> str:
        """What the server says about a model that it cannot load."""
        status, answer = self.post(f"v2/repository/models/{name}/load")
        assert status != 200, f"expected {name} to be refused"
        return str(answer["error"])

    def unload(self, name: str) -> None:
        status, answer = self.post(f"v2/repository/models/{name}/unload")
        assert status == 200, answer

    def add(self, name: str, artifact: bytes, config: str | None = None, version: int = 1) -> None:
        """Put a model into the repository; ``config=None``: the configuration is the backend's name."""
        folder = self.repository / name
        (folder / str(version)).mkdir(parents=True, exist_ok=True)
        (folder / str(version) / "model.mlc").write_bytes(artifact)
        (folder / "config.pbtxt").write_text('backend: "mlcore"\n' if config is None else config)

    def remove(self, name: str) -> None:
        shutil.rmtree(self.repository / name, ignore_errors=True)

    def memory(self) -> int:
        """Resident bytes of the server."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("expected VmRSS in the status of the process")

    def stop(self) -> None:
        for client in (getattr(self, "http", None), getattr(self, "grpc", None)):
            if client is not None:
                client.close()  # the server waits for connections that are still open
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextlib.contextmanager
def quiet_client() -> Iterator[None]:
    """Silence warnings that the clients raise about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
