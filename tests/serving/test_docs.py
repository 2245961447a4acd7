"""The pages about serving: their commands run, and what they answer is what the model says in this process."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from serving_client import assert_same
from serving_pages import DEMO, PAGES, blocks, make_demo, run_page

REFUSED = {"serving-limits.md": 3}  # how many requests of a page are


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def model(demo: Path) -> mlcore.Model:
    return mlcore.load(demo)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_page(tmp_path: Path, demo: Path, model: mlcore.Model, page: str) -> None:
    _assert_page(page, tmp_path, model, run_page(page, tmp_path, demo, curl="translated"))


@pytest.mark.skipif(not shutil.which("curl"), reason="this machine has no curl")
@pytest.mark.parametrize("page", ["serving.md", "serving-limits.md"])
def test_the_commands_with_curl_itself(tmp_path: Path, demo: Path, model: mlcore.Model, page: str) -> None:
    _assert_page(page, tmp_path, model, run_page(page, tmp_path, demo))


def _assert_page(page: str, folder: Path, model: mlcore.Model, printed: str) -> None:
    assert printed.count('{"error":') == REFUSED.get(page, 0), printed
    commands = "".join(blocks(page, "bash"))
    assert commands.startswith(DEMO)
    written = re.findall(r"\| tee (\S+)", commands)
    assert written
    for name in written:
        text = (folder / name).read_text()
        CHECKS[name](model, json.loads(text) if name.endswith(".json") else text)


def _table() -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "amount": [12.5, 980.0],
            "balance": [np.nan, 0.0],
            "age_of_card": [900, 12],
            "velocity": np.array([0.5, 7.25], np.float32),
            "merchant": ["grocery", "jewellery"],
            "country": ["NL", "NG"],
            "channel": ["chip", "online"],
            "is_recurring": [True, False],
            "time": np.array([1767225600000000, 1767232800000000]).view("datetime64[us]"),
        }
    )
    table["time"] = table["time"].dt.tz_localize("UTC")
    return table


def _chances(model: mlcore.Model) -> np.ndarray:
    return model.predict_proba(_table())


def _label(model: mlcore.Model) -> int:
    return int(model.predict(_table())[0])


def _rows(model: mlcore.Model, answer: Any) -> None:
    (row,) = answer["rows"]
    assert row["predict"] == _label(model)
    assert list(row["predict_proba"]) == ["0", "1"]
    assert_same("rows", row["predict_proba"], _chances(model)[:1])


def _infer(model: mlcore.Model, answer: Any) -> None:
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("predict_proba", "FP32", [2, 2])
    assert_same("infer", output["data"], _chances(model))


def _classify(model: mlcore.Model, answer: Any) -> None:
    (pairs,) = answer["results"]
    assert [label for label, _ in pairs] == ["0", "1"]
    assert_same("classify", [chance for _, chance in pairs], _chances(model)[:1])


def _index(model: mlcore.Model, answer: Any) -> None:
    assert {(one["name"], one["version"]): one["state"] for one in answer}["fraud", "2"] == "READY"


def _metrics(model: mlcore.Model, text: str) -> None:
    assert 'model="fraud"' in text


def _predictions(model: mlcore.Model, answer: Any) -> None:
    assert answer == {"predictions": [_label(model)]}


def _equals(expected: Callable[[mlcore.Model], Any]) -> Callable[[mlcore.Model, Any], None]:
    def check(model: mlcore.Model, answer: Any) -> None:
        assert answer == expected(model)

    return check


def _refuses(*words: str) -> Callable[[mlcore.Model, Any], None]:
    def check(model: mlcore.Model, answer: Any) -> None:
        assert all(word in answer["error"] for word in words), answer

    return check


# of every file that a command of a page writes with `tee`
CHECKS: dict[str, Callable[[mlcore.Model, Any], None]] = {
    "rows.json": _rows,
    "token.json": _rows,
    "infer.json": _infer,
    "predict.json": lambda model, answer: assert_same("predict", answer["predictions"], _chances(model)[:1]),
    "vertex_answer.json": lambda model, answer: assert_same("vertex", answer["predictions"], _chances(model)[:1]),
    "columns.json": lambda model, answer: assert_same("columns", answer["outputs"], _chances(model)),
    "classify.json": _classify,
    "status.json": _equals(
        lambda _: {
            "model_version_status": [
                {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ]
        }
    ),
    "invocations.json": _predictions,
    "split.json": _predictions,
    "csv.json": _predictions,
    "prediction.json": _equals(_label),
    "predictions.json": _equals(lambda model: [_label(model)] * 2),
    "index.json": _index,
    "metrics.txt": _metrics,
    "long_answer.json": _refuses("body", "100"),
    "deep_answer.json": _refuses("32"),
}
