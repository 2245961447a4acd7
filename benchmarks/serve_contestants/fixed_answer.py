"""The floor of any Python server: the body is read, and the answer is always the same."""

import os
from pathlib import Path

ANSWER = Path(os.environ["ANSWER"]).read_bytes()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
START = {"type": "http.response.start", "status": 200, "headers": HEADERS}
BODY = {"type": "http.response.body", "body": ANSWER}


async def app(scope, receive, send):  # noqa: ARG001 - the shape of every ASGI application
    """Answer whatever is asked."""
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send(BODY)
