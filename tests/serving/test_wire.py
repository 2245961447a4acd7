"""HTTP/1.1 itself over a raw socket: what proxies disagree about is refused, and what is right is kept in order."""

from __future__ import annotations

import json

import pytest
from mlcore.serving import ServerProcess
from serving_client import Client, exchange, responses
from serving_models import WORDS

BODY = json.dumps(WORDS[:1]).encode()
PATH = b"/v1/models/words/rows"
NEXT = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"  # what a smuggler would like to be answered


def _post(*headers: bytes, body: bytes = BODY, first: bytes = b"POST " + PATH + b" HTTP/1.1") -> bytes:
    lines = [first, b"Host: a", b"Content-Type: application/json", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def _chunks(body: bytes) -> bytes:
    return _post(CHUNKED, body=body)


MALFORMED = {
    "length and coding": _post(LENGTH, CHUNKED),
    "coding and length": _post(CHUNKED, LENGTH, body=CHUNKS),
    "two lengths": _post(LENGTH, b"Content-Length: 0"),
    "the same length twice": _post(LENGTH, LENGTH),
    "a list of lengths": _post(LENGTH + b", %d" % len(BODY)),
    "a negative length": _post(b"Content-Length: -1"),
    "a length with a sign": _post(b"Content-Length: +%d" % len(BODY)),
    "a hexadecimal length": _post(b"Content-Length: 0x10"),
    "an empty length": _post(b"Content-Length: "),
    "a length beyond 64 bits": _post(b"Content-Length: 18446744073709551617"),
    "a length with a space": _post(b"Content-Length : %d" % len(BODY)),
    "a length with text behind": _post(LENGTH + b" x"),
    "an unknown coding": _post(b"Transfer-Encoding: xchunked", body=CHUNKS),
    "identity": _post(b"Transfer-Encoding: identity", LENGTH),
    "chunked is not last": _post(b"Transfer-Encoding: chunked, identity", body=CHUNKS),
    "chunked twice": _post(b"Transfer-Encoding: chunked, chunked", body=CHUNKS),
    "two codings": _post(CHUNKED, b"Transfer-Encoding: identity", body=CHUNKS),
    "a coding with a tab before": _post(b"Transfer-Encoding:\x0bchunked", body=CHUNKS),
    "a folded line": _post(LENGTH, b"X: a", b" b"),
    "a folded line with a tab": _post(b"Transfer-Encoding:", b"\tchunked", body=CHUNKS),
    "a folded first header": b"GET /ping HTTP/1.1\r\n Host: a\r\n\r\n",
    "bare line feeds": _post(LENGTH).replace(b"\r\n", b"\n"),
    "one bare line feed": _post(LENGTH, b"X: a\nY: b"),
    "a bare carriage return": _post(LENGTH, b"X: a\rY: b"),
    "NUL in a value": _post(LENGTH, b"X: a\x00b"),
    "NUL in a name": _post(LENGTH, b"X\x00: a"),
    "NUL in the target": _post(LENGTH, first=b"POST " + PATH + b"\x00 HTTP/1.1"),
    "a control character": _post(LENGTH, b"X: a\x01b"),
    "a space in a name": _post(LENGTH, b"X Y: a"),
    "no name": _post(LENGTH, b": a"),
    "no colon": _post(LENGTH, b"X"),
    "a space in the target": _post(LENGTH, first=b"POST " + PATH + b" x HTTP/1.1"),
    "two spaces": _post(LENGTH, first=b"POST  " + PATH + b" HTTP/1.1"),
    "no version": _post(LENGTH, first=b"POST " + PATH),
    "HTTP/0.9": b"GET /ping\r\n\r\n",
    "HTTP/2.0": _post(LENGTH, first=b"POST " + PATH + b" HTTP/2.0"),
    "HTTP/1.10": _post(LENGTH, first=b"POST " + PATH + b" HTTP/1.10"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    "text": b"hello\r\n\r\n",
    "no host": b"GET /ping HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a chunk size that is none": _chunks(b"g\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a negative chunk": _chunks(b"-1\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk size with 0x": _chunks(b"0x%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk size beyond 64 bits": _chunks(b"10000000000000002\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "no chunk size": _chunks(b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk that is too long": _chunks(b"1\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunks with bare line feeds": _chunks(CHUNKS.replace(b"\r\n", b"\n")),
    "a chunk size with a space before": _chunks(b" " + CHUNKS),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_messages_end_the_connection(server: ServerProcess, name: str) -> None:
    """One answer, 400 (or what says more), and nothing that came behind is looked at."""
    (answer,) = responses(exchange(server, MALFORMED[name] + NEXT * 2))
    assert answer.status in (400, 411, 413, 501, 505), answer
    assert answer.status == 400 or "two" not in name, answer
    assert answer.error
    assert answer.headers.get("connection", "").lower() == "close", answer


TARGETS = [
    b"/v1/models/words%2frows",
    b"/v1/models%2Fwords/rows",
    b"/v1/models/words/../words/rows",
    b"/v1/models/./words/rows",
    b"/v1/models/%2e%2e/words/rows",
    b"/v1/models/..%2f..%2fetc%2fpasswd/rows",
    b"//v1/models/words/rows",
    b"/v1//models/words/rows",
    b"/v1/models/words/rows/",
    b"/v1/models/words/rows/more",
    b"/v1/models//rows",
    b"/v1/models/words%00/rows",
    b"/v1/models/words%/rows",
    b"/v1/models/words%zz/rows",
    b"/v1/models/words;x/rows",
    b"/v1/models/words\\rows",
    b"/V1/models/words/rows",
    b"/v1/models/Words/rows",
    b"/v1/models/words/versions/2/rows",
    b"/v1/models/words/versions/-1/rows",
    b"/v1/models/words/versions/1x/rows",
    b"/v1/models/words/versions/01/rows",
    b"/v1/models/words/versions/18446744073709551617/rows",
    b"/v1/models/nothing/rows",
    b"/v1/models/words.mlc/rows",
    b"v1/models/words/rows",
    b"http:/v1/models/words/rows",
    b"*",
    b"/",
    b"/etc/passwd",
    b"/../../../../etc/passwd",
]


@pytest.mark.parametrize("target", TARGETS)
def test_paths_are_taken_as_they_are(server: ServerProcess, target: bytes) -> None:
    request = _post(LENGTH, b"Connection: close", first=b"POST " + target + b" HTTP/1.1")
    (answer,) = responses(exchange(server, request))
    assert answer.status in (400, 404, 405), answer
    assert answer.error
    if b"nothing" in target or b"versions/2" in target:
        assert answer.status == 404


def test_a_query_is_not_looked_at(server: ServerProcess, client: Client) -> None:
    assert client.post("/v1/models/words/rows?a=b", BODY).status == 200


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    rows = [{"amount": float(index), "rate": 1} for index in range(50)]
    parts = []
    for row in rows:
        body = json.dumps({"rows": [row], "outputs": ["transform"]}).encode()
        parts.append(_post(b"Content-Length: %d" % len(body), body=body))
        parts.append(NEXT)
    last = b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    found = responses(exchange(server, b"".join(parts) + last))
    assert [answer.status for answer in found] == [200] * 101
    answered = [answer.json["rows"][0]["transform"]["amount"] for answer in found[:-1:2]]
    with Client(server) as client:
        whole = client.rows("words", rows, ["transform"]).json["rows"]
    assert answered == [row["transform"]["amount"] for row in whole]
    assert len(set(answered)) == 50


def test_any_cut_of_a_request(server: ServerProcess) -> None:
    """The bytes of a request and of the one behind it may arrive in any pieces."""
    whole = _chunks(CHUNKS) + _post(LENGTH, b"Connection: close")
    for size in (1, 2, 7, 64, 1000):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        found = responses(exchange(server, *pieces))
        assert [answer.status for answer in found] == [200, 200], size
        assert found[0].body == found[1].body


def test_chunks_as_they_may_be(server: ServerProcess) -> None:
    split = b"1;a=b\r\n" + BODY[:1] + b"\r\n%X\r\n" % (len(BODY) - 1) + BODY[1:] + b"\r\n000\r\n\r\n"
    for body in (CHUNKS, split):
        found = responses(exchange(server, _chunks(body) + NEXT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
        assert [answer.status for answer in found] == [200, 200], body


def test_keep_alive_and_close(server: ServerProcess) -> None:
    old = b"GET /ping HTTP/1.0\r\n\r\n"
    assert [one.status for one in responses(exchange(server, old))] == [200]
    kept = b"GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert [one.status for one in responses(exchange(server, kept + old))] == [200, 200]
    closed = b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    (answer,) = responses(exchange(server, closed + NEXT))
    assert answer.headers["connection"].lower() == "close"


def test_a_refusal_of_the_body_keeps_the_connection(server: ServerProcess) -> None:
    bad = _post(b"Content-Length: 3", body=b"[{]")
    last = _post(LENGTH, b"Connection: close")
    assert [answer.status for answer in responses(exchange(server, bad + bad + last))] == [400, 400, 200]


def test_expect_continue(server: ServerProcess) -> None:
    request = _post(LENGTH, b"Expect: 100-continue", b"Connection: close", body=b"")
    raw = exchange(server, request, BODY, pause=0.3)
    head, _, rest = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 100 ")
    assert [answer.status for answer in responses(rest)] == [200]


def test_head_has_no_body(server: ServerProcess) -> None:
    for path in (b"/ping", b"/v2", b"/v2/models/words", b"/nothing"):
        request = b"HEAD " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        raw = exchange(server, request)
        head, _, rest = raw.partition(b"\r\n\r\n")
        assert rest == b""
        status = int(head.split()[1])
        get = responses(exchange(server, request.replace(b"HEAD", b"GET")))[0]
        assert status in (get.status, 405)
        if status != 405:
            assert f"content-length: {len(get.body)}".encode() in head.lower()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/words/rows", 405),
        ("PUT", "/v1/models/words/rows", 405),
        ("DELETE", "/v2/models/words", 405),
        ("POST", "/v2/health/live", 405),
        ("GET", "/invocations", 405),
        ("OPTIONS", "/v2", 405),
        ("PATCH", "/v2/models/words/infer", 405),
        ("TRACE", "/ping", 405),
        ("GET", "/nothing", 404),
        ("POST", "/v1/models/words:nothing", 404),
        ("GET", "/v2/models/nothing", 404),
        ("GET", "/v2/models/words/versions/9", 404),
    ],
)
def test_methods_and_routes(client: Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path, b"" if method in ("POST", "PUT", "PATCH") else None)
    assert answer.status == status, answer
    assert answer.error
    if status == 405:
        assert answer.headers["allow"]
        assert method not in answer.headers["allow"].split(", ")


def test_a_post_without_a_length_has_no_body(server: ServerProcess) -> None:
    """As `curl -X POST` sends it."""
    (answer,) = responses(exchange(server, _post(b"Connection: close", body=b"")))
    assert answer.status == 400, answer
    assert answer.error
    head = b"POST /v2/repository/index HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    (answer,) = responses(exchange(server, head))
    assert answer.status == 200, answer


@pytest.mark.parametrize(
    ("path", "type", "status"),
    [
        ("/v1/models/words/rows", "text/plain", 415),
        ("/v1/models/words/rows", "text/csv", 415),
        ("/v1/models/words/rows", "application/json; charset=utf-8", 200),
        ("/v1/models/words/rows", "Application/JSON", 200),
        ("/v1/models/words/rows", "application/x-www-form-urlencoded", 200),  # what curl -d says
        ("/invocations", "application/xml", 415),
        ("/invocations", "text/plain", 415),
    ],
)
def test_content_types(client: Client, path: str, type: str, status: int) -> None:
    answer = client.post(path, BODY, type=type)
    assert answer.status == status, answer
    if status != 200:
        assert answer.error


def test_answers_say_what_they_are(client: Client) -> None:
    for answer in (
        client.rows("words", WORDS),
        client.get("/nothing"),
        client.get("/v2"),
        client.post("/predictions/words", ""),
    ):
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert "server" not in answer.headers or not any(c.isdigit() for c in answer.headers["server"])
