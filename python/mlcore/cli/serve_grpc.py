"""serve with --grpc-port: the HTTP server and gRPC's in one process of Python."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from typing import Any

from mlcore.serving import Server
from mlcore.serving.grpc_host import MAX_BODY, MAX_CALLS, serve_grpc

__all__ = ["run"]


def run(arguments: list[str], given: Mapping[str, Any]) -> int:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    arguments : list of str
        The command line of the HTTP server.
    given : mapping of str to object
        The options that were given, also those of gRPC.

    Returns
    -------
    int
        The exit code.
    """
    asyncio.run(_serve(arguments, given))
    return 0


async def _serve(arguments: list[str], given: Mapping[str, Any]) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with Server(arguments) as server:
        for name, reason in server.refused.items():
            print(f"mlcore serve: {name}: {reason}", file=sys.stderr)
        host = await serve_grpc(
            server,
            port=given["grpc_port"],
            host=given.get("grpc_host", given.get("host", "127.0.0.1")),
            max_body=given.get("max_body", MAX_BODY),
            max_calls=given.get("max_connections", MAX_CALLS),
            client_header=given.get("client_header"),
        )
        for url in [*server.urls, host.url]:
            print(f"listening on {url}", flush=True)
        await ended.wait()
        await host.stop(given.get("drain_timeout", 30.0))
