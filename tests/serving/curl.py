"""The options of curl that the pages about serving use, over http.client: for machines that have no curl."""

from __future__ import annotations

import argparse
import http.client
import socket
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-f", action="store_true")
    parser.add_argument("-X", default=None)
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d")
    parser.add_argument("--data-binary")
    parser.add_argument("--unix-socket")
    parser.add_argument("url")
    options = parser.parse_args()
    address, slash, path = options.url.partition("/")
    host, _, port = address.partition(":")
    connection = http.client.HTTPConnection(host, int(port or 80), timeout=30)
    data = options.data_binary if options.d is None else options.d
    body = None if data is None else data.encode()
    if data is not None and data.startswith("@"):
        body = Path(data[1:]).read_bytes()
        if options.d is not None:
            body = body.replace(b"\r", b"").replace(b"\n", b"")
    headers = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
    for header in options.H:
        name, _, value = header.partition(": ")
        headers[name] = value
    try:
        if options.unix_socket:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(options.unix_socket)
        method = options.X or ("GET" if body is None else "POST")
        connection.request(method, slash + path or "/", body, headers)
        answer = connection.getresponse()
    except OSError:
        return 7
    if options.f and answer.status >= 400:
        return 22
    sys.stdout.buffer.write(answer.read())
    return 0


if __name__ == "__main__":
    sys.exit(main())
