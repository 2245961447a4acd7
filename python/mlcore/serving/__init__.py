"""Serving models over HTTP: in this process, in a child process, and by gRPC."""

from __future__ import annotations

from mlcore.serving.process import ServerProcess, get_server_path, spawn
from mlcore.serving.server import Server, serve

__all__ = ["Server", "ServerProcess", "get_server_path", "serve", "spawn"]
