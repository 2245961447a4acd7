"""Write what fuzz_http starts from: the models of the serving tests, and requests of every kind for them.

Usage: python tests/fuzz/make_requests.py MODELS_DIRECTORY REQUESTS_DIRECTORY
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "serving"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from serving_client import v2_binary, v2_json
from serving_models import ROWS, make_models

ROW = ROWS[0]


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Build a request as bytes."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: a",
        *(f"{name.replace('_', '-')}: {headers[name]}" for name in headers),
    ]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def requests(model: Any) -> Iterator[bytes]:
    """Build one request of each kind."""
    split = {"columns": list(ROW), "data": [list(ROW.values())]}
    columns = {name: [value, value] for name, value in ROW.items()}
    bodies = {
        "/v1/models/mixed/rows": [[ROW, ROW], {"rows": [ROW], "outputs": ["margin", "transform"]}],
        "/v1/models/mixed:predict": [{"instances": [ROW]}, {"instances": [list(ROW.values())]}, {"inputs": columns}],
        "/v1/models/mixed:classify": [{"examples": [ROW]}],
        "/v1/models/value:regress": [{"examples": [ROW]}],
        "/v1/models/bare/rows": [[{"x0": 1, "x1": 2.5, "x2": None, "x3": "NaN"}]],
        "/v1/models/integers/rows": [[{}]],
        "/v2/models/mixed/infer": [v2_json(model, [ROW, ROW])],
        "/v2/models/bare/versions/1/infer": [
            {"inputs": [{"name": "X", "datatype": "FP64", "shape": [1, 4], "data": [[1, 2, None, 4.5]]}]}
        ],
        "/invocations": [{"dataframe_split": split}, {"dataframe_records": [ROW]}, {"inputs": columns}],
        "/predictions/mixed": [ROW, [ROW]],
        "/v2/repository/models/mixed/load": [{}],
    }
    for path, several in bodies.items():
        for body in several:
            text = json.dumps(body).encode()
            yield request("POST", path, text)
            yield request("POST", path, gzip.compress(text, mtime=0), Content_Encoding="gzip")
    binary, headers = v2_binary(model, [ROW, ROW])
    yield request("POST", "/v2/models/mixed/infer", binary, **{k.replace("-", "_"): v for k, v in headers.items()})
    cells = ("" if value is None else str(value) for value in ROW.values())
    csv = ",".join(ROW) + "\n" + ",".join(cells) + "\n"
    yield request("POST", "/invocations", csv.encode(), Content_Type="text/csv")
    for path in ("/v2", "/v2/models/mixed", "/v1/models", "/v1/models/mixed/metadata", "/metrics", "/openapi.json"):
        yield request("GET", path, X_Request_Timeout_Ms="100")


def main(models: Path, seeds: Path) -> None:
    """Write both folders."""
    models.mkdir(parents=True)
    seeds.mkdir(parents=True)
    made = make_models()
    for name, model in made.items():
        model.save(models / f"{name}.mlc")
    for data in requests(made["mixed"]):
        (seeds / hashlib.sha1(data).hexdigest()).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
