"""Artifacts of every format version load for ever and give the bytes they gave when they were written."""

from __future__ import annotations

import re
from pathlib import Path

import mlcore
import numpy as np
import pytest

FILES = sorted((Path(__file__).parent / "golden").glob("v*/*.mlc"))


def _table(stored: np.lib.npyio.NpzFile) -> dict[str, np.ndarray]:
    columns = {}
    for name in stored.files:
        if name.startswith("answer ") or name.endswith("?"):
            continue
        values = stored[name]
        if f"{name}?" in stored.files:
            values = values.astype(object)
            values[stored[f"{name}?"]] = np.nan  # what pandas 3 has for a missing text
        columns[name] = values
    return columns


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_artifact(path: Path) -> None:
    data = path.read_bytes()
    model = mlcore.load(path)
    assert model.core.golden_rows > 0
    with np.load(path.with_suffix(".npz")) as stored:
        table = _table(stored)
        answers = {}
        for method in model.methods:
            answer = model.call(method, table)
            several = {f"{method} {i}": one for i, one in enumerate(answer)} if isinstance(answer, list) else {}
            answers |= several or {method: np.asarray(answer)}
        assert {f"answer {name}" for name in answers} == {name for name in stored.files if name.startswith("answer ")}
        for name, found in answers.items():
            expected = stored[f"answer {name}"]
            if found.dtype == object:
                assert found.astype("U").tolist() == expected.tolist()
            else:
                assert found.dtype == expected.dtype
                assert found.tobytes() == expected.tobytes()
    # one canonical encoding: what was read is what would be written
    assert mlcore.Model.from_bytes(data).to_bytes() == data


def test_every_version_is_kept() -> None:
    assert {path.parent.name for path in FILES} == {"v1"}
    assert len(FILES) >= 12


def test_every_op_and_kind_of_output_occurs() -> None:
    sources = (Path(__file__).parent.parent / "cpp" / "ops").glob("*.cc")
    known = {name for file in sources for name in re.findall(r'OpDef k\w+Op\{\s*"(\w+)"', file.read_text())}
    assert len(known) >= 30
    cores = [mlcore.load(path).core for path in FILES]
    # a range stands for checks that were folded with their steps; no front end writes one
    assert known - {"range"} == {node["op"] for core in cores for node in core.nodes}
    kinds = {(output["method"], output["vector"], output["index"] >= 0) for core in cores for output in core.outputs}
    assert {("predict", True, False), ("predict", False, False), ("predict_proba", False, True)} <= kinds
    assert {("decision_function", True, False), ("decision_function", False, False)} <= kinds
    assert {("transform", False, False), ("score_samples", True, False)} <= kinds


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_files_are_small(path: Path) -> None:
    assert path.stat().st_size + path.with_suffix(".npz").stat().st_size < 100_000
