"""The pages of the documentation about serving: their commands run one after the other, as a reader would type them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import mlcore

__all__ = ["DEMO", "PAGES", "blocks", "make_demo", "run_page"]

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGES = ("serving.md", *(f"serving-{name}.md" for name in ("limits", "mlflow", "tensorflow", "torchserve", "triton")))
DEMO = "mlcore demo -o fraud.mlc --rows 3000"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def make_demo(folder: Path) -> Path:
    """What the first command of every page writes."""
    subprocess.run(
        [sys.executable, "-m", *DEMO.split()],
        cwd=folder,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return folder / "fraud.mlc"


def run_page(page: str, folder: Path, demo: Path, *, curl: str = "curl", packages: Path | None = None) -> str:
    """Run the commands of a page in a folder; gives what they printed.

    ``curl="translated"`` needs none; with ``packages``, the folder of a client library, its Python code runs too.
    """
    first, second = _free_ports(2)
    tools = folder / "bin"
    tools.mkdir()
    # the reader's mlcore; ports of our own, because others may use the usual ones
    (tools / "mlcore").write_text(
        f"""#!/bin/sh
case "${{AIP_HTTP_PORT:+vertex}}$*" in
  demo*) exec cp {demo} fraud.mlc ;;
  vertex*|*--port*|*--unix*) exec {sys.executable} -m mlcore "$@" ;;
  *) exec {sys.executable} -m mlcore "$@" --port {first} ;;
esac
"""
    )
    if curl == "translated":
        (tools / "curl").write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent / "curl.py"} "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    ports = {"8080": str(first), "8081": str(second)}

    def with_ports(text: str) -> str:
        return re.sub(r"\b808[01]\b", lambda found: ports[found[0]], text)

    script = "set -eu\ntrap 'kill $(jobs -p); wait' EXIT\n" + with_ports("".join(blocks(page, "bash")))
    if packages is not None:
        (folder / "client.py").write_text(with_ports("".join(blocks(page, "py"))))
        script += f"\nPYTHONPATH={packages} {sys.executable} client.py\n"
    package = str(Path(mlcore.__file__).parent.parent)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": package},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
