"""Artifacts of every format version load for ever and give the bytes they gave when they were written."""

from __future__ import annotations

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
        for method in model.methods:
            expected, found = stored[f"answer {method}"], np.asarray(model.call(method, table))
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
