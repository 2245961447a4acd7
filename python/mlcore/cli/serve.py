"""The command that becomes the HTTP server, or serves gRPC beside it: serve."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, NoReturn

from mlcore.errors import InputError
from mlcore.serving import get_server_path

__all__ = ["add_commands"]

# option, its value's type and name, what --help says; the executable has the defaults
_OPTIONS: list[tuple[str, Any, str, str]] = [
    ("--port", int, "N", "the port; 0: any that is free (default: 8080)"),
    ("--host", str, "ADDR", "the address to listen on (default: 127.0.0.1)"),
    ("--unix", str, "PATH", "listen on a Unix socket instead"),
    ("--loops", int, "N", "event loops, each of which answers its connections (default: number of cores)"),
    ("--versions", str, "WHICH", "versions of a folder to serve: latest, all, or numbers as in 1,2 (default: latest)"),
    ("--default-model", str, "NAME", "the model of /invocations when there are several"),
    ("--reload-seconds", float, "S", "how often to look for changed files; 0: never (default: 1)"),
    ("--token-file", str, "FILE", "a token that every request for a model must bring as Authorization: Bearer"),
    ("--manage-token-file", str, "FILE", "a token for load and unload"),
    ("--access-log", float, "RATE", "share of requests to log, as JSON lines on standard error, 0 to 1 (default: 0)"),
    ("--rate", float, "N", "requests a second that a client may send; beyond it 429 (default: any number)"),
    ("--burst", float, "N", "requests that a client may send at once (default: those of a second)"),
    ("--client-header", str, "NAME", "the header that says who the client is, which the proxy in front sets"),
    ("--max-queue", int, "N", "most requests that wait for an event loop; beyond it 503 (default: 1024)"),
    ("--batch-rows", int, "N", "most rows of waiting requests to compute in one run (default: 0, one request a run)"),
    ("--max-body", int, "BYTES", "longest body, also after decompression (default: 67108864)"),
    ("--max-header", int, "BYTES", "longest head of a request (default: 32768)"),
    ("--max-rows", int, "N", "most rows of a request (default: 1000000)"),
    ("--max-depth", int, "N", "how deep JSON may nest (default: 32)"),
    ("--max-connections", int, "N", "most connections at a time (default: 1024)"),
    ("--read-timeout", float, "S", "seconds for a body to arrive (default: 30)"),
    ("--idle-timeout", float, "S", "seconds a connection may wait between requests (default: 75)"),
    ("--header-timeout", float, "S", "seconds for the head of a request to arrive (default: 10)"),
    ("--drain-timeout", float, "S", "seconds that SIGTERM leaves to requests that have begun (default: 30)"),
]
# of the host of gRPC, which the executable does not have
_GRPC_OPTIONS: list[tuple[str, Any, str, str]] = [
    ("--grpc-port", int, "N", "serve KServe V2 over gRPC too, at this port; 0: any that is free; needs mlcore[grpc]"),
    ("--grpc-host", str, "ADDR", "the address of gRPC (default: that of --host)"),
]
_SWITCHES = {
    "--manage": "allow models to be loaded and unloaded over the API",
    "--show-values": "let messages say what a client sent; they may then reach logs",
}


def add_commands(commands: Any) -> None:
    """Add the subcommands to the parser."""
    serve = commands.add_parser(
        "serve",
        help="serve models over HTTP",
        description="Serve models over HTTP: JSON rows, KServe V2, TensorFlow Serving, MLflow and TorchServe. The "
        "process becomes mlcore-server, which has no Python in it, or stays one of Python when --grpc-port is given; "
        "SIGTERM answers what has begun and ends it.",
        argument_default=argparse.SUPPRESS,  # only what was given goes on
    )
    serve.add_argument(
        "models", nargs="*", metavar="MODEL", help="an .mlc file, or a folder of <name>/<version>/model.mlc"
    )
    for option, kind, value, text in _OPTIONS + _GRPC_OPTIONS:
        serve.add_argument(option, type=kind, metavar=value, help=text)
    for option, text in _SWITCHES.items():
        serve.add_argument(option, action="store_true", help=text)
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    given = vars(options)
    arguments = list(given.get("models", []))
    for option, *_ in _OPTIONS:
        name = option.removeprefix("--").replace("-", "_")
        if name in given:
            arguments += [option, str(given[name])]
    arguments += [option for option in _SWITCHES if given.get(option.removeprefix("--").replace("-", "_"))]
    if "grpc_port" not in given:
        if "grpc_host" in given:
            raise InputError("--grpc-host: expected --grpc-port beside it but found none")
        _become_server(arguments)
    from mlcore.cli.serve_grpc import run  # asyncio takes its time, and other commands have no use for it

    return run(arguments, given)


def _become_server(arguments: list[str]) -> NoReturn:
    path = get_server_path()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(path, [path, *arguments])
