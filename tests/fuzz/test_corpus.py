"""The stored corpus: real models of every kind, as files that every later version must read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mlcore import _core

ROOT = Path(__file__).resolve().parent.parent.parent
CORPUS = sorted((ROOT / "tests" / "fuzz" / "corpus").glob("*.mlc"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_stored_artifact_loads_and_is_canonical(path: Path) -> None:
    model = _core.Model.load(str(path))
    assert model.to_bytes() == path.read_bytes()


def test_corpus_shows_every_op() -> None:
    registered = re.findall(r"&k(\w+)Op\b", (ROOT / "cpp" / "ops" / "registry.cc").read_text())
    seen = set()
    for path in CORPUS:
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        seen |= {node["op"].replace("_", "") for node in header["nodes"]}
    assert {name.lower() for name in registered} <= seen
